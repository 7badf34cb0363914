"""The lowest and the highest of many returns, of which those are kept that an exact percentile may need."""

import math
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
    int64: how many of the lowest must be among these; of more than twice as many some are dropped."""

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
def at_rank(values, rank):
    """The value of a rank, from 0 for the lowest, of values float64 (n,): Hoare's selection (1961), of which each step
    counts, and then keeps those on the side of the rank."""
    values, n = values.copy(), values.size
    while True:
        first, middle, last = values[0], values[n // 2], values[n - 1]
        pivot = max(min(first, middle), min(max(first, middle), last))
        below, equal, kept = 0, 0, index(0)
        for t in range(n):
            below += values[index(t)] < pivot
            equal += values[index(t)] == pivot
        if below <= rank < below + equal:
            return pivot
        if rank < below:
            for t in range(n):
                value = values[index(t)]
                values[kept] = value
                kept += index(value < pivot)
        else:
            rank -= below + equal
            for t in range(n):
                value = values[index(t)]
                values[kept] = value
                kept += index(value > pivot)
        n = np.int64(kept)


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
def two_ranks(values, rank):
    """The value of a rank of values float64 (n,), and the next one, if any.

    A sample estimates its place, counting the lower ones verifies it, and only the few near it are looked at
    (Floyd & Rivest 1975): 2 ns a value where NumPy's selection takes 10.
    """
    sample = values[:: _stride(values.size)].copy()
    margin = 2.0 / math.sqrt(sample.size)  # four standard errors of a share of one half, more for other shares
    share, n = rank / values.size, sample.size
    first, last = max(np.int64((share - margin) * n), 0), min(np.int64((share + margin) * n) + 1, n - 1)
    floor = at_rank(sample, first) if first > 0 else -np.inf
    near = np.empty(values.size + 1)
    below, count = values_between(values, floor, at_rank(sample, last), near)
    if not below <= rank < below + count - 1:
        below, count = values_between(values, -np.inf, np.inf, near)
    low, high, not_above = at_rank(near[:count], rank - below), np.inf, 0
    for t in range(count):
        not_above += near[t] <= low
        high = min(high, near[t] if near[t] > low else np.inf)
    return low, low if not_above > rank - below + 1 or not_above == count else high


@kernel(inline=True)
def _stride(n):
    """Of a sample of n values: their cube root."""
    return np.int64(round(np.float64(n) ** (1.0 / 3.0)))


@kernel
def cut(lowest):
    """Drop values, from more than 2 · least, that are not among the `least` lowest; the order of the others stays.
    Mutates: lowest."""
    least, size = lowest.least, np.int64(lowest.state[KEPT])
    kept = lowest.values[:size]
    # A sample estimates a limit with slightly more than `least` values below, and counting verifies it.
    sample = kept[:: _stride(size)].copy()
    rank = np.int64((least / size + 2.0 / math.sqrt(sample.size)) * sample.size)
    limit = at_rank(sample, rank) if rank < sample.size else np.inf
    below, at = 0, 0
    for t in range(size):
        below += kept[t] < limit
        at += kept[t] == limit
    # With many equal values, such as returns without a position, few may lie below the limit, but enough not above.
    if below > 1.5 * least or (below < least and below + at < least):
        limit, _ = two_ranks(kept, least - 1)
    count = index(0)
    for t in range(size):
        value = kept[index(t)]
        kept[count] = value
        count += index(value < limit)
    for t in range(np.int64(count), least):
        kept[t] = limit  # the others are equal to it
    lowest.state[KEPT], lowest.state[LIMIT] = max(np.int64(count), least), limit


@kernel
def cut_tails(low, high):
    """`cut` those of two `Lowest` that hold more than twice as many as they must. Mutates: low, high."""
    for tail in (low, high):
        if tail.state[KEPT] > 2 * tail.least:
            cut(tail)


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
