"""Causal transforms of a series, one value in, one value out, over a trailing window.

Each carries its state, so a series may come in chunks of any size with bit-identical results. `ring` float64
(window,) holds the last values, `seen` int64 (1,) counts them; before the window is full, what is there is used.
"""

import math
from typing import NamedTuple

import numpy as np

from idi_fast.kernels._jit import index, kernel

TRANSFORMS = ("zscore", "volatility", "log_return", "drawdown", "ema_ratio", "level")
ZSCORE, VOLATILITY, LOG_RETURN, DRAWDOWN, EMA_RATIO, LEVEL = range(len(TRANSFORMS))
COLUMNS = 8
"""Columns that `push_series` takes: as many always, since each number of them would be compiled."""
EPSILON = 2.0**-52
COLLAPSE = 1e-6
"""Share of what it was at which a sliding sum of squares is mostly the rounding of what has left the window."""


@kernel(inline=True)
def push_moments(ring, moments, n, value):
    """Put value number n into the ring; update mean and sum of squared deviations; return how many are in it.

    moments float64 (4,): mean, squares, a place for the caller, and the largest squares since they were last summed.
    The sliding update drifts by rounding, so the window is summed afresh once per lap of the ring, and whenever the
    squares fall to a millionth of what they were: an outlier that has left, or a series gone flat, leaves no trace.
    The error grows with neither the length of the series nor its extremes. Mutates: ring, moments.
    """
    window = ring.size
    slot = n % window
    old = ring[slot]
    ring[slot] = value
    count = min(n + 1, window)
    before = moments[0]
    if n < window:
        moments[0] += (value - before) / count
        moments[1] += (value - before) * (value - moments[0])
    else:
        moments[0] += (value - old) / window
        moments[1] += (value - old) * ((value - moments[0]) + (old - before))
    moments[3] = max(moments[3], moments[1])
    if slot == window - 1 or moments[1] < COLLAPSE * moments[3]:
        mean = 0.0
        for k in range(count):
            mean += ring[k]
        mean /= count
        squares = 0.0
        for k in range(count):
            squares += (ring[k] - mean) * (ring[k] - mean)
        moments[0], moments[1], moments[3] = mean, squares, squares
    return count


@kernel(inline=True)
def push_lap(values, first, ring, moments, means, squares):
    """`push_moments` for a lap of a full ring: the `window` values from number `first` on, the first into slot 0.

    Returns whether it was done. It is not, and ring and moments are as they were, where the squares have fallen so far
    that they may be due for fresh sums on the way. Without that branch, and since the fresh sums of a lap do not wait
    for its sliding ones, a value takes 2.3 ns instead of 12. Mutates: ring, moments, means, squares.
    """
    window = ring.size
    mean, square, largest, least, total = moments[0], moments[1], moments[3], np.inf, 0.0
    for k in range(window):
        t = index(first + k)
        value, old, before = values[t], ring[k], mean
        mean += (value - old) / window
        square += (value - old) * ((value - mean) + (old - before))
        largest, least = max(largest, square), min(least, square)
        means[t], squares[t] = mean, square
        total += value
    if not least >= COLLAPSE * largest:
        return False
    mean, square = total / window, 0.0
    for k in range(window):
        value = values[index(first + k)]
        ring[k] = value
        square += (value - mean) * (value - mean)
    last = index(first + window - 1)
    means[last], squares[last] = mean, square
    moments[0], moments[1], moments[3] = mean, square, square
    return True


@kernel(inline=True)
def sample_deviation(mean, squares, count):
    """Sample standard deviation (ddof 1); 0 below two values, and where only rounding is left of it."""
    if count < 2:
        return 0.0
    # No branch on the data: a loop over many is vectorised.
    deviation = math.sqrt(max(squares, 0.0) / (count - 1))
    return deviation if deviation > 1e-12 * abs(mean) else 0.0


@kernel
def moving_deviation(values, ring, moments, n, means, out):
    """Mean and sample deviation of the window at each value, of which the first is number n.

    means, out float64 (values.size,). Mutates: ring, moments, means, out.
    """
    window = ring.size
    t = 0
    while t < values.size:
        is_lap = (n + t) % window == 0 and n + t >= window and t + window <= values.size
        if is_lap and push_lap(values, t, ring, moments, means, out):
            t += window
        else:
            push_moments(ring, moments, n + t, values[t])
            means[t], out[t] = moments[0], moments[1]
            t += 1
    # Roots and quotients in a loop of their own, which is vectorised: 0.9 ns a value instead of 3.7.
    growing = min(values.size, max(0, window - n))
    for t in range(growing):
        out[t] = sample_deviation(means[t], out[t], n + t + 1)
    for t in range(growing, values.size):
        out[index(t)] = sample_deviation(means[index(t)], out[index(t)], window)


@kernel
def zscore(values, ring, moments, seen, out):
    """(value − mean) / sample deviation over the window; 0 where that is 0. Mutates: ring, moments, seen, out."""
    means = np.empty(values.size)
    moving_deviation(values, ring, moments, seen[0], means, out)
    for t in range(values.size):
        out[t] = (values[t] - means[t]) / out[t] if out[t] > 0.0 else 0.0
    seen[0] += values.size


@kernel
def volatility(values, ring, moments, seen, out):
    """Sample deviation of the last `window` changes. moments[2]: the last value. Mutates: ring, moments, seen, out."""
    n = values.size
    if n == 0:
        return
    changes, means = np.empty(n), np.empty(n)
    changes[0], out[0] = values[0] - moments[2], 0.0
    for t in range(1, n):
        changes[t] = values[t] - values[t - 1]
    first = 1 if seen[0] == 0 else 0  # the series' first value has no change
    moving_deviation(changes[first:], ring, moments, seen[0] + first - 1, means[first:], out[first:])
    for t in range(n):
        # A change is only as exact as the values it is taken between.
        out[t] = out[t] if out[t] > 16.0 * EPSILON * abs(values[t]) else 0.0
    moments[2] = values[n - 1]
    seen[0] += n


@kernel
def log_return(values, ring, moments, seen, out):
    """Value minus the value `window` bars ago; the values are logarithms. Mutates: ring, seen, out."""
    if seen[0] == 0:
        # Before the series, its first value.
        for k in range(ring.size if values.size else 0):
            ring[k] = values[0]
    slot = seen[0] % ring.size
    for t in range(values.size):
        out[t] = values[t] - ring[slot]
        ring[slot] = values[t]
        slot = slot + 1 if slot + 1 < ring.size else 0
    seen[0] += values.size


@kernel
def drawdown(values, ring, moments, seen, out):
    """Value minus the highest of the last `window`; the values are logarithms. Mutates: ring, moments, seen, out."""
    # One lap of the ring after another: moments[0] is the maximum of this lap; the places still to be written hold the
    # maxima of the last lap from there to its end. So a window costs the same whatever its length and the series.
    window = ring.size
    if seen[0] == 0:
        for k in range(window):
            ring[k] = -np.inf
    t = 0
    while t < values.size:
        slot = (seen[0] + t) % window
        if slot == 0:
            moments[0] = -np.inf
            for k in range(window - 2, -1, -1):
                ring[k] = max(ring[k], ring[k + 1])
        highest = moments[0]
        stop = min(values.size, t + window - slot)
        for k in range(t, stop):
            value, place = values[index(k)], slot + k - t
            highest = max(highest, value)
            ring[index(place)] = value
            earlier = ring[index(place + 1)] if place + 1 < window else highest
            out[index(k)] = value - max(highest, earlier)
        moments[0] = highest
        t = stop
    seen[0] += values.size


@kernel
def ema_ratio(values, ring, moments, seen, out):
    """Value minus its exponential average, span `window` (weight 2 / (window + 1)). Mutates: moments, seen, out."""
    weight = 2.0 / (ring.size + 1.0)
    average = values[0] if seen[0] == 0 and values.size else moments[0]
    for t in range(values.size):
        average += weight * (values[t] - average)
        out[t] = values[t] - average
    moments[0] = average
    seen[0] += values.size


@kernel
def level(values, ring, moments, seen, out):
    """The value itself. Mutates: out."""
    for t in range(values.size):
        out[t] = values[t]


class Windows(NamedTuple):
    """The state of k of these transforms, flat, so that no other number of them is compiled anew.

    kinds int64 (k,): the place in TRANSFORMS of each, −1 of what is computed elsewhere; inputs int64 (k,): which column
    it is of; rings float64, one behind the other, that of each from first_ring int64 (k + 1,) on; moments float64
    (k, 4), seen int64 (k, 1).
    """

    kinds: np.ndarray
    inputs: np.ndarray
    rings: np.ndarray
    first_ring: np.ndarray
    moments: np.ndarray
    seen: np.ndarray


@kernel(splice=True)
def push_series(columns, first, windows, values):
    """The transforms of the next values of columns, those from number `first` on, as many as a row of `values` has.

    columns: COLUMNS arrays float64 (n,); values float64 (k or more, m). Mutates: windows, values.
    """
    for k in range(windows.kinds.size):
        kind, out = windows.kinds[k], values[k]
        if kind >= 0:
            column = columns[windows.inputs[k]][first : first + out.size]
            ring = windows.rings[windows.first_ring[k] : windows.first_ring[k + 1]]
            moments, seen = windows.moments[k], windows.seen[k]
            if kind == ZSCORE:
                zscore(column, ring, moments, seen, out)
            elif kind == VOLATILITY:
                volatility(column, ring, moments, seen, out)
            elif kind == LOG_RETURN:
                log_return(column, ring, moments, seen, out)
            elif kind == DRAWDOWN:
                drawdown(column, ring, moments, seen, out)
            elif kind == EMA_RATIO:
                ema_ratio(column, ring, moments, seen, out)
            elif kind == LEVEL:
                level(column, ring, moments, seen, out)
