"""The lowest and highest of whole series, by sorting."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction


def keep_tails(values: Sequence[float], below: float, above: float) -> tuple[list[float], list[float]]:
    """Those below one limit, and the negatives of those whose negatives are below the other."""
    return list(filter(below.__gt__, values)), list(filter(above.__gt__, (-value for value in values)))


def at_rank(values: Sequence[float], rank: int) -> float:
    """The value of a rank, from 0 for the lowest."""
    return sorted(values)[rank]


def two_ranks(values: Sequence[float], rank: int) -> tuple[float, float]:
    """That, and the next one; the last has none and stands for it."""
    low, *higher = sorted(values)[rank:]
    return low, higher[0] if higher else low


def values_between(values: Sequence[float], floor: float, ceiling: float) -> tuple[int, list[float]]:
    """How many lie below the floor, and those from there to the ceiling."""
    return len([value for value in values if value < floor]), [v for v in values if not (v < floor or v > ceiling)]


def cut(kept: Sequence[float], least: int) -> list[float]:
    """Those which must not be dropped, the lowest, in order of size."""
    return sorted(kept)[:least]


def cut_tails(low: Sequence[float], high: Sequence[float], least: int) -> list[list[float]]:
    """The same of both, of more than twice as many."""
    return [cut(kept, least) if len(kept) > 2 * least else sorted(kept) for kept in (low, high)]


def sum_below(values: Sequence[float], limit: float) -> tuple[Fraction, int]:
    """The exact sum of those below a limit, and their number."""
    below = [Fraction(value) for value in values if value < limit]
    return sum(below, Fraction(0)), len(below)
