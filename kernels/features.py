"""Causal transforms of a series, one value in, one value out, over a trailing window.

Each carries its state, so a series may come in chunks of any size with bit-identical results. `ring` float64
(window,) holds the last values, `seen` int64 (1,) counts them; before the window is full, what is there is used.
"""

import math

from idi_fast.kernels._jit import kernel

EPSILON = 2.0**-52


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
    if slot == window - 1 or moments[1] < 1e-6 * moments[3]:
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
def sample_deviation(moments, count):
    """Sample standard deviation (ddof 1); 0 below two values, and where only rounding is left of it."""
    if count < 2 or moments[1] <= 0.0:
        return 0.0
    deviation = math.sqrt(moments[1] / (count - 1))
    return deviation if deviation > 1e-12 * abs(moments[0]) else 0.0


@kernel
def zscore(values, ring, moments, seen, out):
    """(value − mean) / sample deviation over the window; 0 where that is 0. Mutates: ring, moments, seen, out."""
    for t in range(values.size):
        count = push_moments(ring, moments, seen[0], values[t])
        deviation = sample_deviation(moments, count)
        out[t] = (values[t] - moments[0]) / deviation if deviation > 0.0 else 0.0
        seen[0] += 1


@kernel
def volatility(values, ring, moments, seen, out):
    """Sample deviation of the last `window` changes. moments[2]: the last value. Mutates: ring, moments, seen, out."""
    for t in range(values.size):
        if seen[0] == 0:
            out[t] = 0.0
        else:
            count = push_moments(ring, moments, seen[0] - 1, values[t] - moments[2])
            deviation = sample_deviation(moments, count)
            # A change is only as exact as the values it is taken between.
            out[t] = deviation if deviation > 16.0 * EPSILON * abs(values[t]) else 0.0
        moments[2] = values[t]
        seen[0] += 1


@kernel
def log_return(values, ring, moments, seen, out):
    """Value minus the value `window` bars ago; the values are logarithms. Mutates: ring, seen, out."""
    for t in range(values.size):
        slot = seen[0] % ring.size
        first = ring[slot] if seen[0] >= ring.size else (ring[0] if seen[0] > 0 else values[t])
        out[t] = values[t] - first
        ring[slot] = values[t]
        seen[0] += 1


@kernel
def drawdown(values, ring, moments, seen, out):
    """Value minus the highest of the last `window`; the values are logarithms. Mutates: ring, moments, seen, out."""
    # One lap of the ring after another: moments[0] is the maximum of this lap; the places still to be written hold the
    # maxima of the last lap from there to its end. So a window costs the same whatever its length and the series.
    window = ring.size
    for t in range(values.size):
        slot = seen[0] % window
        if slot == 0:
            for k in range(window - 2, -1, -1):
                ring[k] = max(ring[k], ring[k + 1])
            moments[0] = values[t]
        moments[0] = max(moments[0], values[t])
        ring[slot] = values[t]
        highest = moments[0]
        if seen[0] >= window and slot + 1 < window:
            highest = max(highest, ring[slot + 1])
        out[t] = values[t] - highest
        seen[0] += 1


@kernel
def ema_ratio(values, ring, moments, seen, out):
    """Value minus its exponential average, span `window` (weight 2 / (window + 1)). Mutates: moments, seen, out."""
    weight = 2.0 / (ring.size + 1.0)
    for t in range(values.size):
        if seen[0] == 0:
            moments[0] = values[t]
        else:
            moments[0] += weight * (values[t] - moments[0])
        out[t] = values[t] - moments[0]
        seen[0] += 1


@kernel
def level(values, ring, moments, seen, out):
    """The value itself. Mutates: out."""
    for t in range(values.size):
        out[t] = values[t]
