"""What a result came to, in plain words: the figures first, what chance may have done after them."""

import math
from collections.abc import Callable

MINUS = "−"
MOST_DIGITS = 17
"""Significant digits that tell any two floats apart."""


def beside(own: float, other: float, name: str, figure: Callable[[float, int], str], more: str = "") -> str:
    """Whether a figure is better or worse than another one: worse than buy and hold (−68.6 % against +142 %).

    name: of the other; figure: writes a value in so many significant digits, of which there are three, or as many as
    tell the two apart; more: put into the brackets after them.
    """
    if own == other:
        return f"the same as {name} ({figure(own, 3)}{more})"
    pairs = [(figure(own, digits), figure(other, digits)) for digits in range(3, MOST_DIGITS + 1)]
    mine, others = next((pair for pair in pairs if pair[0] != pair[1]), pairs[-1])
    return f"{'better' if own > other else 'worse'} than {name} ({mine} against {others}{more})"


def signed_percent(share: float, digits: int) -> str:
    """A return as a percentage with its sign, in so many significant digits but all of those before the point."""
    value = 100.0 * share
    if value == 0.0 or not math.isfinite(value):
        return "0 %" if value == 0.0 else "beyond all numbers"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:+,.{places}f} %".replace("-", MINUS)


def reward(value: float, digits: int) -> str:
    """A mean reward in so many significant digits."""
    return f"{value:.{digits}g}".replace("-", MINUS)


def seeds_that(count: int, seeds: int) -> str:
    """So many of the seeds: no seed, 2 of 5 seeds, all 5 seeds."""
    if count == 0:
        return "no seed"
    if count < seeds:
        return f"{count} of {seeds} seeds"
    return "its one seed" if seeds == 1 else f"all {seeds} seeds"


def short_tests(lengths: dict[str, int], longest: int) -> list[str]:
    """A note for each number of bars, by its name, below what the longest feature looks back over."""
    return [
        f"{name} has {bars:,} bars, fewer than the {longest:,} that the longest feature looks back over: it says little"
        for name, bars in lengths.items()
        if bars < longest
    ]
