"""Transforms by moving averages: see `idi_fast.config.transforms` for formulas, sources and arguments."""

import math

import numpy as np

from idi_fast.kernels._jit import kernel
from idi_fast.kernels.features import EPSILON, moving_deviation
from idi_fast.kernels.laps import NOTHING, bounded, moving_sum, ratio


@kernel(inline=True)
def beyond_rounding(distance, count, total):
    """A value's distance from a mean, times count; 0 if it may be but the rounding of the sum, as in a flat window."""
    return distance if abs(distance) > count * EPSILON * abs(total) else 0.0


@kernel
def sma_ratio(values, window, state, out):
    """(value − mean) / |mean| of the last `window`. state (window + 4,). Mutates: state, out."""
    for t in range(values.size):
        out[t] = bounded(values[t])
    moving_sum(out, window, state[1:], out)
    for t in range(values.size):
        count = min(state[0] + t + 1, window)
        distance = beyond_rounding(bounded(values[t]) * count - out[t], count, out[t])
        out[t] = ratio(distance, abs(out[t]))
    state[0] += values.size


@kernel
def volume_ratio(volume, window, state, out):
    """Volume / mean of the last `window`; 0 without any. state (window + 4,). Mutates: state, out."""
    for t in range(volume.size):
        out[t] = bounded(volume[t])
    moving_sum(out, window, state[1:], out)
    for t in range(volume.size):
        count = min(state[0] + t + 1, window)
        traded = bounded(volume[t]) * count
        is_mean = beyond_rounding(traded - out[t], count, out[t]) == 0.0
        out[t] = ratio(out[t] if is_mean else traded, out[t])
    state[0] += volume.size


@kernel
def macd_histogram(values, slow, fast, signal, state, out):
    """MACD less its average, as a share of the value. state (4,): whether it has begun, averages. Mutates: state, out.

    An average moves by its weight, 2 / (span + 1), times the distance.
    """
    slow_weight, fast_weight, signal_weight = 2.0 / (slow + 1.0), 2.0 / (fast + 1.0), 2.0 / (signal + 1.0)
    slow_average, fast_average, average = state[1], state[2], state[3]
    if state[0] == 0.0 and values.size:
        slow_average = fast_average = bounded(values[0])
        state[0] = 1.0
    for t in range(values.size):
        value = bounded(values[t])
        slow_average += slow_weight * (value - slow_average)
        fast_average += fast_weight * (value - fast_average)
        macd = fast_average - slow_average
        average += signal_weight * (macd - average)
        average = average if abs(average) > NOTHING else 0.0
        out[t] = ratio(macd - average, abs(value))
    state[1], state[2], state[3] = slow_average, fast_average, average


@kernel
def bollinger_position(values, window, width, state, out):
    """Place between the bands, which lie `width` population deviations off the mean: 0 lower, 1 upper, 0.5 if flat.

    state (window + 5,): how many were seen, moments, ring. Mutates: state, out.
    """
    n, seen, means = values.size, int(state[0]), np.empty(values.size)
    series = np.empty(n)
    for t in range(n):
        series[t] = bounded(values[t])
    moving_deviation(series, state[5:], state[1:5], seen, means, out)
    for t in range(n):
        count = min(seen + t + 1, window)
        bands = 2.0 * width * out[t] * math.sqrt((count - 1.0) / count)
        out[t] = 0.5 + ratio(series[t] - means[t], bands)
    state[0] += n
