"""Sums and extremes of a trailing window by definition."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from .features import trailing

BOUND = Fraction(10) ** 100


def bounded(value: float) -> float:
    """The middle one of the value and both bounds."""
    return sorted([-1e100, value, 1e100])[1]


def ratio(numerator: float, denominator: float) -> float:
    """The exact quotient, rounded; of both bounds the nearer."""
    exact = Fraction(numerator) / Fraction(denominator) if denominator else Fraction(0)
    return float(sorted([-BOUND, exact, BOUND])[1])


def moving_sum(values: Sequence[float], window: int) -> list[float]:
    """The exact sum of each window, rounded."""
    return [float(sum(map(Fraction, trailing(values, t, window)))) for t in range(len(values))]


def moving_highest(values: Sequence[float], sign: float, window: int) -> list[float]:
    """The greatest of each window, times sign."""
    return [max(sign * value for value in trailing(values, t, window)) for t in range(len(values))]
