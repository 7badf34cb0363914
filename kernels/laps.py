"""What transforms over a trailing window are made of.

A window is the end of the last lap of a ring and the beginning of this one. Sums, or extremes, of this lap are carried
on; those from each value of the last lap to its end are worked out when it is full, into its own places, as long as
these are not overwritten. So a value costs the same whatever the window and the series, nothing is ever subtracted,
and of what has left the window there is no trace, not even a rounding (two stacks as a queue: Tangwongsan et al. 2015,
General Incremental Sliding-Window Aggregation).

A state is zeros before the first value. It holds counts too: a float64 counts to 2**53.
"""

import numpy as np

from idi_fast.kernels._jit import index, kernel

BOUND = 1e100
"""What lies beyond ±BOUND counts as that: a sum of cubes of changes is still finite."""
NOTHING = 1e-200
"""Averages that fade are 0 below this: numbers below 1e-308 take 50 times as long."""


@kernel(inline=True)
def bounded(value):
    """The value, at most BOUND and at least −BOUND."""
    return min(max(value, -BOUND), BOUND)


@kernel(inline=True)
def ratio(numerator, denominator):
    """The quotient, bounded; 0 where the denominator is 0."""
    return bounded(numerator / denominator) if denominator != 0.0 else 0.0


@kernel
def moving_sum(values, window, state, out):
    """Sum of the last `window` values at each. values may be out. state float64 (window + 3,): place in the ring, sum
    of this lap, and the ring with a 0 behind it. Mutates: state, out."""
    slot, total, ring = int(state[0]), state[1], state[2:]
    t = 0
    while t < values.size:
        stop = min(values.size, t + window - slot)
        for k in range(t, stop):
            value = values[index(k)]
            total += value
            place = slot + k - t
            ring[index(place)] = value
            out[index(k)] = total + ring[index(place + 1)]
        slot, t = slot + stop - t, stop
        if slot == window:
            for k in range(window - 2, -1, -1):
                ring[index(k)] += ring[index(k + 1)]
            slot, total = 0, 0.0
    state[0], state[1] = slot, total


@kernel
def moving_highest(values, sign, window, state, out):
    """Highest of the last `window` values at each, all times sign (−1: the lowest, negative). values may be out.

    state float64 (window + 4,): place in the ring, highest of this lap, whether there were values, and the ring with
    −inf behind it. Mutates: state, out.
    """
    slot, highest, ring = int(state[0]), state[1], state[3:]
    if state[2] == 0.0 and values.size:
        highest, state[2] = -np.inf, 1.0
        for k in range(window + 1):
            ring[k] = -np.inf
    t = 0
    while t < values.size:
        stop = min(values.size, t + window - slot)
        for k in range(t, stop):
            value = sign * values[index(k)]
            highest = max(highest, value)
            place = slot + k - t
            ring[index(place)] = value
            out[index(k)] = max(highest, ring[index(place + 1)])
        slot, t = slot + stop - t, stop
        if slot == window:
            for k in range(window - 2, -1, -1):
                ring[index(k)] = max(ring[index(k)], ring[index(k + 1)])
            slot, highest = 0, -np.inf
    state[0], state[1] = slot, highest
