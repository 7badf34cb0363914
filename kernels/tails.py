"""The lowest and the highest of many returns, of which those are kept that an exact percentile may need."""

from typing import NamedTuple

import numpy as np

from idi_fast.kernels._jit import index, kernel, lowest_bit

KEPT, LIMIT = range(2)
"""How many values are kept, and what one must be below to be kept."""

LANES = 32
"""Partial sums of each sum: additions wait for one another, but those of neighbouring lanes are one instruction. In
which order values are added up does not depend on the machine."""


class Lowest(NamedTuple):
    """The lowest of many values: state float64 (2,), values float64 (m,), of which the first state[KEPT] count; least
    int64: how many of the lowest must be among these; beyond twice as many there is room for a block."""

    state: np.ndarray
    values: np.ndarray
    least: int


@kernel
def keep_tails(values, low, high):
    """Keep those of the values float64 (n,) that are below the limit of `low`, and the negatives of those whose
    negatives are below that of `high`. low, high: `Lowest` with room for n more. Mutates: low, high."""
    lows, highs = low.values, high.values
    n_low, n_high = index(low.state[KEPT]), index(high.state[KEPT])
    below, above = low.state[LIMIT], -high.state[LIMIT]
    whole = values.size // 64 * 64
    for start in range(0, whole, 64):
        # Few are kept: 64 at a time are compared in vectors, which takes a third of the time of one at a time.
        part, found = values[start : start + 64], np.uint64(0)
        for k in range(64):
            value = part[index(k)]
            found |= np.uint64((value < below) | (value > above)) << np.uint64(k)
        while found:
            value = part[lowest_bit(found)]
            found &= found - np.uint64(1)
            # Always, and then overwritten: no branch that cannot be predicted.
            lows[n_low], highs[n_high] = value, -value
            n_low += index(value < below)
            n_high += index(value > above)
    for t in range(whole, values.size):
        value = values[index(t)]
        lows[n_low], highs[n_high] = value, -value
        n_low += index(value < below)
        n_high += index(value > above)
    low.state[KEPT], high.state[KEPT] = n_low, n_high


@kernel
def is_full(low, high):
    """Whether some must be dropped from one of two `Lowest`, which else have room for another block."""
    return max(low.state[KEPT] - 2 * low.least, high.state[KEPT] - 2 * high.least) > 0


@kernel
def keep_lowest(values, lowest):
    """Keep those of the values float64 (n,), which may be those kept before, that are below the limit, after those that
    lowest.state says are kept. Mutates: lowest."""
    count, limit, kept = index(lowest.state[KEPT]), lowest.state[LIMIT], lowest.values
    for t in range(values.size):
        value = values[index(t)]
        kept[count] = value
        count += index(value < limit)
    lowest.state[KEPT] = count


@kernel
def values_between(values, floor, ceiling, out):
    """Copy the values float64 (n,) from floor to ceiling to out, longer than n; return how many are below the
    floor, and how many are in out. Mutates: out."""
    below, count = 0, index(0)
    for t in range(values.size):
        out[count] = values[t]
        below += values[t] < floor
        count += index((values[t] >= floor) & (values[t] <= ceiling))
    return below, np.int64(count)


@kernel
def sum_below(values, limit):
    """Sum of those of the values float64 (n,) that are below a limit, and how many they are."""
    sums, count = np.zeros(LANES), 0
    for start in range(0, values.size, LANES):
        part = values[start : min(values.size, start + LANES)]
        for lane in range(part.size):
            k = index(lane)
            sums[k] += part[k] if part[k] < limit else 0.0
            count += part[k] < limit
    return sums.sum(), count
