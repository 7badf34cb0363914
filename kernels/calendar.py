"""Transforms of a bar's time: see `idi_fast.config.transforms`."""

from idi_fast.kernels._jit import kernel

HOUR = 3_600 * 10**9
DAY = 24 * HOUR
"""In ns."""


@kernel
def time_of_day(time, window, state, out):
    """Hours since midnight UTC. time int64 (n,), ns. Mutates: out."""
    for t in range(time.size):
        out[t] = (time[t] % DAY) / HOUR


@kernel
def day_of_week(time, window, state, out):
    """0 on a Monday UTC … 6 on a Sunday. time int64 (n,), ns. Mutates: out."""
    for t in range(time.size):
        out[t] = (time[t] // DAY + 3) % 7  # 1970 began on a Thursday
