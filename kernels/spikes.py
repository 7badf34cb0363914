"""Closes that jump away and come back, as wrong ticks do, or stay there, as after a split."""

from idi_fast.kernels._jit import index, kernel

REACH = 11
"""Bars within which a close must have come back."""
GRADUAL = 4
"""Bars after which it must have come back by a jump: markets that were shocked come back little by little."""


@kernel
def find_spikes(close, start, stop, jump, near, split, tail):
    """How many bars stand apart, the first of them or −1, the bar to go on from, and how many bars begin a level that
    stays, with the first of these or −1.

    close float64 (n,), above 0; bars [start, stop) may be the first of a spike, start at least 1; jump: the factor by
    which a close is then more or less than the one before it; near: that within which one of the next REACH − 1 closes
    must be of the one before the spike; split: the factor, also beyond `jump`, of a level that stays for REACH bars.
    From bar `tail` on a spike may last until the closes end, and a level may begin.
    """
    bars, first, t = 0, -1, start
    levels, first_level = 0, -1
    while t < stop:
        # Nearly all bars are none: without a branch in the loop they take a seventh of the time, 0.3 ns each.
        while t + 128 <= stop:
            has_jump = False
            for k in range(t, t + 128):
                now, last = close[index(k)], close[index(k - 1)]
                has_jump |= (now > last * jump) | (now * jump < last)
            if has_jump:
                break
            t += 128
        before = close[t - 1]
        if not (close[t] > before * jump or close[t] * jump < before):
            t += 1
            continue
        end = min(t + REACH, close.size)
        back = t + 1
        while back < end and (close[back] > before * near or close[back] * near < before):
            back += 1
        if back < end:
            last = close[back - 1]
            is_spike = back - t <= GRADUAL or close[back] > last * jump or close[back] * jump < last
        else:
            is_spike = back - t < REACH and t >= tail
        if is_spike:
            first = t if first < 0 else first
            bars += back - t
            t = back
        elif back - t == REACH and t >= tail and (close[t] > before * split or close[t] * split < before):
            first_level = t if first_level < 0 else first_level
            levels += 1
        t += 1
    return bars, first, t, levels, first_level
