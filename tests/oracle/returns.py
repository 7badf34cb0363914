"""Comparisons of a value with another one, exact but for one rounding."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from .features import trailing


def _distance(value: float, other: float) -> float:
    base = Fraction(other)
    return float((Fraction(value) - base) / abs(base)) if base else 0.0


def _before(values: Sequence[float], t: int) -> float:
    return values[max(0, t)]


def simple_return(values: Sequence[float], window: int, lag: int) -> list[float]:
    """How far the value `lag` bars ago is from the one `window` bars before that, as a share of it."""
    pairs = [(_before(values, t - lag), _before(values, t - lag - window)) for t in range(len(values))]
    return [_distance(*pair) for pair in pairs]


def lag(values: Sequence[float], window: int) -> list[float]:
    """The series `window` bars later, behind its first value."""
    return [*[values[0]] * window, *values][: len(values)]


def spread(values: Sequence[float], other: Sequence[float], window: int) -> list[float]:
    """How far each value is from the other, as a share of it."""
    return [_distance(*pair) for pair in zip(values, other, strict=True)]


def run_up(values: Sequence[float], window: int) -> list[float]:
    """How far each value is from the least of its window, as a share of it."""
    return [_distance(value, min(trailing(values, t, window))) for t, value in enumerate(values)]
