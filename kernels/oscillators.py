"""Oscillators and the time since an extreme: see `idi_fast.config.transforms`."""

import numpy as np

from idi_fast.kernels._jit import index, kernel
from idi_fast.kernels.laps import NOTHING, bounded, moving_highest, moving_sum, ratio


@kernel
def rsi(values, window, state, out):
    """100 · rises / (rises + falls), averaged as Wilder does; 50 without either. Mutates: state, out.

    state (4,): how many were seen, last value, average rise, average fall.
    """
    seen, last, rise, fall = state[0], state[1], state[2], state[3]
    for t in range(values.size):
        value = bounded(values[t])
        change = value - last if seen + t > 0.0 else 0.0
        last = value
        # The mean of the changes so far, until there are `window`.
        weight = 1.0 / min(max(seen + t, 1.0), window)
        rise += weight * (max(change, 0.0) - rise)
        fall += weight * (max(-change, 0.0) - fall)
        rise, fall = (rise if rise > NOTHING else 0.0), (fall if fall > NOTHING else 0.0)
        total = rise + fall
        out[t] = 100.0 * (rise / total) if total > 0.0 else 50.0
    state[0], state[1], state[2], state[3] = seen + values.size, last, rise, fall


@kernel
def stochastic(high, low, close, window, state, out):
    """100 · (close − lowest) / (highest − lowest) of the last `window` bars, in 0 to 100; 50 without a range.

    state (2 · (window + 4),). Mutates: state, out.
    """
    n, half = close.size, window + 4
    lowest = np.empty(n)
    for t in range(n):
        out[t], lowest[t] = bounded(high[t]), bounded(low[t])
    moving_highest(out, 1.0, window, state[:half], out)
    moving_highest(lowest, -1.0, window, state[half:], lowest)
    for t in range(n):
        width, above = out[t] + lowest[t], bounded(close[t]) + lowest[t]
        out[t] = min(max(100.0 * above / width, 0.0), 100.0) if width > 0.0 else 50.0


@kernel
def obv_slope(close, volume, window, state, out):
    """Volume of rising less that of falling bars, as a share of all, of the last `window`; 0 without volume.

    state (2 · (window + 3) + 2,): whether it has begun, last close, two sums. Mutates: state, out.
    """
    n, half = close.size, window + 3
    if n == 0:
        return
    last, traded = state[1] if state[0] > 0.0 else close[0], np.empty(n)
    for t in range(n):
        traded[t] = bounded(volume[t])
        sign = (1.0 if close[t] > last else 0.0) - (1.0 if close[t] < last else 0.0)
        out[t] = sign * traded[t]
        last = close[t]
    state[0], state[1] = 1.0, last
    moving_sum(out, window, state[2 : 2 + half], out)
    moving_sum(traded, window, state[2 + half :], traded)
    for t in range(n):
        out[t] = ratio(out[t], traded[t])


@kernel
def bars_since_highest(values, sign, window, state, out):
    """Bars since the highest of the last `window` values times sign, the latest of equal ones.

    state (2 · window + 6,): place in the ring, whether it has begun, highest of this lap, its place, ring of the
    highest from a place of the last lap on, ring of their places, each with one place more. Mutates: state, out.
    """
    slot, highest, at = int(state[0]), state[2], state[3]
    ring, places = state[4 : 5 + window], state[5 + window :]
    if state[1] == 0.0:
        state[1], highest = 1.0, -np.inf
        for k in range(window + 1):
            ring[k] = -np.inf
    t = 0
    while t < values.size:
        stop = min(values.size, t + window - slot)
        for k in range(t, stop):
            value, place = sign * values[index(k)], slot + k - t
            is_highest = value >= highest
            highest, at = (value if is_highest else highest), (np.float64(place) if is_highest else at)
            ring[index(place)] = value
            is_of_this_lap = highest >= ring[index(place + 1)]
            out[index(k)] = place - (at if is_of_this_lap else places[index(place + 1)] - window)
        slot, t = slot + stop - t, stop
        if slot == window:
            for k in range(window - 1, -1, -1):
                is_highest = ring[index(k)] > ring[index(k + 1)]
                ring[index(k)] = ring[index(k)] if is_highest else ring[index(k + 1)]
                places[index(k)] = k if is_highest else places[index(k + 1)]
            slot, highest = 0, -np.inf
    state[0], state[2], state[3] = slot, highest, at


@kernel
def bars_since_high(values, window, state, out):
    """Bars since the highest of the last `window` values. state (2 · window + 6,). Mutates: state, out."""
    bars_since_highest(values, 1.0, window, state, out)


@kernel
def bars_since_low(values, window, state, out):
    """Bars since the lowest of the last `window` values. state (2 · window + 6,). Mutates: state, out."""
    bars_since_highest(values, -1.0, window, state, out)
