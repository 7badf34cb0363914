"""Volatility by the range of bars: see `idi_fast.config.transforms`."""

import math

from idi_fast.kernels._jit import kernel
from idi_fast.kernels.elementary import natural_log
from idi_fast.kernels.laps import BOUND, NOTHING, bounded, moving_sum, ratio

LN_2 = math.log(2.0)


@kernel(inline=True)
def log_ratio(price, other):
    """ln (price / other), bounded; 0 unless both are above 0."""
    quotient = price / other if price > 0.0 and other > 0.0 else 1.0
    return natural_log(min(max(quotient, 1.0 / BOUND), BOUND))


@kernel
def atr(high, low, close, window, state, out):
    """Average true range by Wilder, as a share of the close. Mutates: state, out.

    state (3,): how many were seen, last close, average.
    """
    seen, last, average = state[0], state[1], state[2]
    for t in range(close.size):
        highest, lowest, value = bounded(high[t]), bounded(low[t]), bounded(close[t])
        last = last if seen + t > 0.0 else lowest
        true_range = max(abs(highest - lowest), abs(highest - last), abs(lowest - last))
        last = value
        # The mean of the ranges so far, until there are `window`.
        average += (true_range - average) * (1.0 / min(seen + t + 1.0, window))
        average = average if average > NOTHING else 0.0
        out[t] = ratio(average, abs(value))
    state[0], state[1], state[2] = seen + close.size, last, average


@kernel
def parkinson(high, low, window, state, out):
    """Root of the mean of ln² (high / low), over 4 ln 2. state (window + 4,). Mutates: state, out."""
    for t in range(high.size):
        width = log_ratio(high[t], low[t])
        out[t] = width * width
    moving_sum(out, window, state[1:], out)
    for t in range(high.size):
        out[t] = math.sqrt(out[t] / (4.0 * LN_2 * min(state[0] + t + 1, window)))
    state[0] += high.size


@kernel
def garman_klass(open, high, low, close, window, state, out):
    """Root of the mean of ½ ln² (high / low) − (2 ln 2 − 1) ln² (close / open). state (window + 4,).
    Mutates: state, out."""
    for t in range(close.size):
        width, change = log_ratio(high[t], low[t]), log_ratio(close[t], open[t])
        out[t] = 0.5 * width * width - (2.0 * LN_2 - 1.0) * change * change
    moving_sum(out, window, state[1:], out)
    for t in range(close.size):
        # Below 0 only where a price lies outside its bar's range.
        out[t] = math.sqrt(max(out[t], 0.0) / min(state[0] + t + 1, window))
    state[0] += close.size
