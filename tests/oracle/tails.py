"""The lowest and highest of whole series, by sorting."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction


def keep_tails(values: Sequence[float], below: float, above: float) -> tuple[list[float], list[float]]:
    """Those below one limit, and the negatives of those whose negatives are below the other."""
    return list(filter(below.__gt__, values)), list(filter(above.__gt__, (-value for value in values)))


def is_full(low: Sequence[float], high: Sequence[float], least: int) -> bool:
    """Whether one of both is more than twice as long as it must be."""
    return max(len(low), len(high)) > 2 * least


def keep_lowest(values: Sequence[float], limit: float) -> list[float]:
    """Those below a limit."""
    return list(filter(limit.__gt__, values))


def values_between(values: Sequence[float], floor: float, ceiling: float) -> tuple[int, list[float]]:
    """How many lie below the floor, and those from there to the ceiling."""
    return len([value for value in values if value < floor]), [v for v in values if not (v < floor or v > ceiling)]


def sum_below(values: Sequence[float], limit: float) -> tuple[Fraction, int]:
    """The exact sum of those below a limit, and their number."""
    below = [Fraction(value) for value in values if value < limit]
    return sum(below, Fraction(0)), len(below)
