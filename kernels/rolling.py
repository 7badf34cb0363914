"""Order statistics and moments of a trailing window: see `idi_fast.config.transforms`."""

import math

import numpy as np

from idi_fast.kernels._jit import index, kernel
from idi_fast.kernels.features import EPSILON
from idi_fast.kernels.laps import BOUND, bounded


@kernel(inline=True)
def twice_below(values, first, stop, value):
    """How many of values[first:stop] lie below the value, twice, and how many equal it."""
    twice = 0
    for k in range(first, stop):
        twice += np.int64(values[index(k)] < value) + np.int64(values[index(k)] <= value)
    return twice


@kernel
def rolling_rank(values, window, state, out):
    """Share of the other values of the last `window` that lie below, of equal ones half; 0.5 for a first value.

    state (window,): how many were seen, the last window − 1, +inf for those that there were not. Mutates: state, out.
    """
    seen, last, n = state[0], state[1:], values.size
    if seen == 0.0:
        for k in range(last.size):
            last[k] = np.inf
    for t in range(n):
        # Counting is vectorised, and up to hundreds of values cheaper than to keep them in order. It reads the series,
        # for a vector of a ring has to wait until the value just written to it has left the processor.
        twice = twice_below(values, max(0, t - last.size), t, values[t]) + twice_below(last, t, last.size, values[t])
        count = min(seen + t + 1, window)
        out[t] = 0.5 * twice / (count - 1.0) if count > 1.0 else 0.5
    stay = max(0, last.size - n)
    for k in range(last.size):
        last[k] = last[k + n] if k < stay else values[n - last.size + k]
    state[0] += n


@kernel
def replace_in_order(ordered, old, value, out):
    """What is in order, with `value` for `old`, of which it has one. Both float64 (n + 2,): −inf, n values, +inf; as
    long as there are fewer, what is missing is +inf, and so is `old`. Mutates: out."""
    # Without a branch, so that it is vectorised: an eighth of the time of two searches and a move.
    for k in range(1, ordered.size - 1):
        here = ordered[index(k)] if ordered[index(k)] < old else ordered[index(k + 1)]
        before = ordered[index(k - 1)] if ordered[index(k - 1)] < old else ordered[index(k)]
        before = before if before > value else value
        out[index(k)] = here if here < before else before


@kernel
def rolling_quantile(values, window, quantile, state, out):
    """Quantile of the last `window` values, between two of them by linear interpolation. Mutates: state, out.

    state (3 · window + 6,): how many were seen, which of the two is current, ring, twice the ring in order between −inf
    and +inf.
    """
    ring, ordered, spare = state[2 : 2 + window], state[2 + window : 4 + 2 * window], state[4 + 2 * window :]
    if state[0] == 0.0:
        for k in range(window + 2):
            ordered[k] = spare[k] = np.inf
        ordered[0] = spare[0] = -np.inf
        for k in range(window):
            ring[k] = np.inf
    if state[1] != 0.0:
        ordered, spare = spare, ordered
    slot = int(state[0]) % window
    for t in range(values.size):
        value, old = bounded(values[t]), ring[slot]
        replace_in_order(ordered, old, value, spare)
        ordered, spare = spare, ordered
        ring[slot] = value
        slot = slot + 1 if slot + 1 < window else 0
        place = quantile * (min(state[0] + t + 1, window) - 1.0)
        below = int(place)
        share, lower = place - below, ordered[below + 1]
        out[t] = lower + share * (ordered[below + 2] - lower) if share > 0.0 else lower
    state[0] += values.size
    state[1] = (state[1] + values.size) % 2.0


@kernel(inline=True)
def least_deviation(value):
    """Of changes: each is only as exact as the values it is taken between; and the cube is to be a number."""
    return 16.0 * EPSILON * abs(value) + 1.0 / BOUND


@kernel
def rolling_skew(values, window, state, out):
    """Skewness (Fisher's g1) of the last `window` changes; 0 where they do not vary.

    state (3 · window + 9,): how many were seen, place in the ring, last value, mean and sums of squares and cubes of
    this lap's changes, and three rings of those of the last lap from a place on, with 0 behind them. The changes of
    this lap stand in the first. Mutates: state, out.
    """
    size = window + 1
    means, squares, cubes = state[6 : 6 + size], state[6 + size : 6 + 2 * size], state[6 + 2 * size :]
    slot, last, mean, square, cube = int(state[1]), state[2], state[3], state[4], state[5]
    for t in range(values.size):
        value = bounded(values[t])
        change, last, seen = value - last, value, state[0] + t
        if seen == 0.0:
            out[t] = 0.0
            continue
        mean, square, cube = with_value(float(slot), mean, square, cube, change)
        means[slot] = change
        slot += 1
        # The end of the last lap, if there was one, and the beginning of this one.
        count, n = min(seen, window), float(slot)
        m = count - n
        distance = mean - means[slot] if m > 0.0 else 0.0
        weight = 1.0 / count
        step = distance * weight
        whole = square + squares[slot] + distance * step * n * m
        third = cube + cubes[slot] + distance * step * step * n * m * (m - n)
        third += 3.0 * step * (m * square - n * squares[slot])
        deviation = math.sqrt(whole * weight)
        varies = deviation > least_deviation(value)
        out[t] = third / (whole * deviation) if varies else 0.0
        if slot == window:
            lap_moments(means, squares, cubes)
            slot, mean, square, cube = 0, 0.0, 0.0, 0.0
    state[0] += values.size
    state[1], state[2], state[3], state[4], state[5] = slot, last, mean, square, cube


@kernel(inline=True)
def with_value(count, mean, square, cube, value):
    """Mean and sums of squared and cubed deviations of `count` values and one more (Pébay 2008)."""
    n, distance = count + 1.0, value - mean
    step = distance * (1.0 / n)
    term = distance * step * count
    cube += term * step * (n - 2.0) - 3.0 * step * square
    return mean + step, square + term, cube


@kernel
def lap_moments(means, squares, cubes):
    """Mean and sums of squared and cubed deviations from each value on, the last place left out; the values stand in
    `means`. Mutates: means, squares, cubes."""
    mean, square, cube = 0.0, 0.0, 0.0
    for k in range(means.size - 2, -1, -1):
        mean, square, cube = with_value(means.size - 2 - k, mean, square, cube, means[k])
        means[k], squares[k], cubes[k] = mean, square, cube


@kernel
def autocorrelation(values, window, lag, state, out):
    """Correlation of the last `window` changes with those `lag` bars before; 0 where either do not vary.

    state (5 · window + lag + 13,): how many were seen, place in the ring, last value, means, squares and products of
    this lap's pairs, changes not yet paired, and five rings of those of the last lap from a place on, with 0 behind
    them. The pairs of this lap stand in the first two. Mutates: state, out.
    """
    size = window + 1
    waiting, rings = state[8 : 8 + lag], state[8 + lag :]
    earlier, later = rings[:size], rings[size : 2 * size]
    squares, others, products = rings[2 * size : 3 * size], rings[3 * size : 4 * size], rings[4 * size :]
    slot, last, x, y, xx, yy, xy = int(state[1]), state[2], state[3], state[4], state[5], state[6], state[7]
    place = (int(state[0]) - 1) % lag if state[0] > 0.0 else 0
    for t in range(values.size):
        value = bounded(values[t])
        change, last, seen = value - last, value, state[0] + t
        out[t] = 0.0
        if seen == 0.0:
            continue
        before = waiting[place]
        waiting[place] = change
        place = place + 1 if place + 1 < lag else 0
        if seen <= lag:
            continue
        x, y, xx, yy, xy = with_pair(slot, x, y, xx, yy, xy, before, change)
        earlier[slot], later[slot] = before, change
        slot += 1
        count, n = min(seen - lag, window), float(slot)
        m = count - n
        across, along = x - earlier[slot], y - later[slot]
        weight = n * m / count
        covariance = xy + products[slot] + across * along * weight
        variance = xx + squares[slot] + across * across * weight
        other = yy + others[slot] + along * along * weight
        least = least_deviation(value)
        varies = min(variance, other) > count * least * least
        out[t] = min(max(covariance / (math.sqrt(variance) * math.sqrt(other)), -1.0), 1.0) if varies else 0.0
        if slot == window:
            lap_pairs(earlier, later, squares, others, products)
            slot, x, y, xx, yy, xy = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    state[0] += values.size
    state[1], state[2], state[3], state[4], state[5], state[6], state[7] = slot, last, x, y, xx, yy, xy


@kernel(inline=True)
def with_pair(count, x, y, xx, yy, xy, before, change):
    """Means, sums of squared deviations and of their products of `count` pairs and one more (Welford; Pébay 2008)."""
    weight = 1.0 / (count + 1.0)
    across, along = before - x, change - y
    x, y = x + across * weight, y + along * weight
    return x, y, xx + across * (before - x), yy + along * (change - y), xy + across * (change - y)


@kernel
def lap_pairs(earlier, later, squares, others, products):
    """Means, squares and products of the pairs from each on, the last place left out; the pairs stand in `earlier` and
    `later`. Mutates: all."""
    x, y, xx, yy, xy = 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(earlier.size - 2, -1, -1):
        x, y, xx, yy, xy = with_pair(earlier.size - 2 - k, x, y, xx, yy, xy, earlier[k], later[k])
        earlier[k], later[k], squares[k], others[k], products[k] = x, y, xx, yy, xy
