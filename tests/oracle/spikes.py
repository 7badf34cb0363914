"""The plain-Python twin of the kernel of spikes and splits."""

from collections.abc import Sequence

REACH = 11
GRADUAL = 4


def find_spikes(
    close: Sequence[float], start: int, stop: int, jump: float, near: float, split: float, tail: int
) -> tuple[int, int, int, int, int]:
    """The same with a list of the bars: of each that begins a spike, those up to the close near the one before it."""

    def is_apart(value: float, other: float, factor: float) -> bool:
        low, high = sorted([value, other])
        return high > low * factor

    found: list[int] = []
    levels: list[int] = []
    resume = start
    for t in range(start, stop):
        if t < resume:
            continue
        resume = t + 1
        if not is_apart(close[t], close[t - 1], jump):
            continue
        run = [t]
        for k in range(t + 1, len(close)):
            if not is_apart(close[k], close[t - 1], near):
                break
            run.append(k)
        ends = run[-1] + 1 == len(close)
        comes_back = not ends and (len(run) <= GRADUAL or is_apart(close[run[-1] + 1], close[run[-1]], jump))
        if len(run) < REACH and (comes_back or (ends and t >= tail)):
            found += run
            resume = run[-1] + 2
        elif len(run) >= REACH and t >= tail and is_apart(close[t], close[t - 1], split):
            levels.append(t)
    return len(found), found[0] if found else -1, resume, len(levels), levels[0] if levels else -1
