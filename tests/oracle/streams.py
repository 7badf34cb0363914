"""The cues by the reference's emotion engine, and open profit by runs of one position."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby

from .reference import EmotionEngine


def emote_bits(
    mood: Sequence[int], comm: Sequence[str], palette: dict[int, str], linger_ticks: int
) -> list[tuple[int, int, int]]:
    """The positive, alert and persistence bits of each tick; `comm` names the communication actions."""
    engine = EmotionEngine({"palette": palette, "linger_ticks": linger_ticks})
    return [engine.emit(*tick) for tick in zip(mood, comm, strict=True)]


def open_profit(position: Sequence[int], entry: Sequence[float], value: Sequence[float], cost: float) -> list[bool]:
    """Whether each tick's position has earned more than `cost` since its run of ticks began, exactly."""
    profit: list[bool] = []
    for held, run in groupby(position):
        entered = Fraction(float(entry[len(profit)]))
        for _ in run:
            earned = held * (Fraction(float(value[len(profit)])) - entered)
            profit.append(held != 0 and earned > Fraction(cost))
    return profit
