"""Transforms that compare a value with another one: see `idi_fast.config.transforms`."""

from idi_fast.kernels._jit import kernel
from idi_fast.kernels.laps import bounded, moving_highest, ratio


@kernel
def simple_return(values, window, lag, state, out):
    """Return over `window` bars, as it was `lag` bars ago. state (window + lag + 3,): whether it has begun, place in
    the ring, ring. Mutates: state, out."""
    ring = state[2 : 3 + window + lag]
    if state[0] == 0.0 and values.size:
        # Before the series, its first value.
        state[0] = 1.0
        for k in range(ring.size):
            ring[k] = bounded(values[0])
    slot = int(state[1])
    for t in range(values.size):
        ring[slot] = bounded(values[t])
        recent = slot - lag if slot >= lag else slot - lag + ring.size
        slot = slot + 1 if slot + 1 < ring.size else 0
        out[t] = ratio(ring[recent] - ring[slot], abs(ring[slot]))
    state[1] = slot


@kernel
def lag(values, window, state, out):
    """The value `window` bars ago. state (window + 2,): whether it has begun, place in the ring, ring.
    Mutates: state, out."""
    ring = state[2 : 2 + window]
    if state[0] == 0.0 and values.size:
        # Before the series, its first value.
        state[0] = 1.0
        for k in range(ring.size):
            ring[k] = values[0]
    slot = int(state[1])
    for t in range(values.size):
        earlier = ring[slot]
        ring[slot] = values[t]
        out[t] = earlier
        slot = slot + 1 if slot + 1 < ring.size else 0
    state[1] = slot


@kernel
def spread(values, other, window, state, out):
    """(value − other) / |other|. Mutates: out."""
    for t in range(values.size):
        out[t] = ratio(bounded(values[t]) - bounded(other[t]), abs(bounded(other[t])))


@kernel
def run_up(values, window, state, out):
    """(value − lowest) / |lowest| of the last `window`. state (window + 4,). Mutates: state, out."""
    for t in range(values.size):
        out[t] = bounded(values[t])
    moving_highest(out, -1.0, window, state, out)
    for t in range(values.size):
        out[t] = ratio(bounded(values[t]) + out[t], abs(out[t]))
