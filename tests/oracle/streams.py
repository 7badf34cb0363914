"""The cues by the reference's emotion engine, and open profit by runs of one position."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby

from . import Column
from .reference import EmotionEngine


def emote_bits(
    mood: Column, comm: Sequence[str], palette: dict[int, str], linger_ticks: int
) -> list[tuple[int, int, int]]:
    """The positive, alert and persistence bits of each tick; `comm` names the communication actions."""
    engine = EmotionEngine({"palette": palette, "linger_ticks": linger_ticks})
    return [engine.emit(*tick) for tick in zip(mood, comm, strict=True)]


def open_profit(position: Column, entry: Column, value: Column, cost: float) -> list[bool]:
    """Whether each tick's position has earned more than `cost` since its run of ticks began, exactly."""
    profit: list[bool] = []
    for held, run in groupby(position):
        entered = Fraction(float(entry[len(profit)]))
        for _ in run:
            earned = held * (Fraction(float(value[len(profit)])) - entered)
            profit.append(held != 0 and earned > Fraction(cost))
    return profit
