"""The plain-Python twin of the kernel of spikes."""

from collections.abc import Sequence

REACH = 5


def find_spikes(close: Sequence[float], start: int, stop: int, jump: float, near: float) -> tuple[int, int, int]:
    """The same with a list of the bars: of each that begins a spike, those up to the close near the one before it."""

    def is_apart(value: float, other: float, factor: float) -> bool:
        low, high = sorted([value, other])
        return high > low * factor

    found: list[int] = []
    resume = start
    for t in range(start, stop):
        if t < resume:
            continue
        resume = t + 1
        if is_apart(close[t], close[t - 1], jump):
            later = range(t + 1, min(t + REACH, len(close)))
            back = next((k for k in later if not is_apart(close[k], close[t - 1], near)), None)
            if back is not None:
                found += range(t, back)
                resume = back + 1
    return len(found), found[0] if found else -1, resume
