"""Volatility by the range of bars, by definition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from .features import trailing
from .oscillators import wilder


def log_ratio(price: float, other: float) -> float:
    """Difference of two logarithms, at most that of 1e100; 0 unless both have one."""
    if price <= 0.0 or other <= 0.0:
        return 0.0
    return max(-math.log(1e100), min(math.log(1e100), math.log(price) - math.log(other)))


def atr(high: Sequence[float], low: Sequence[float], close: Sequence[float], window: int) -> list[float]:
    """Average of what each bar covers, the last close included, as a share of the close."""
    covered = []
    for t, (top, bottom) in enumerate(zip(high, low, strict=True)):
        prices = [Fraction(price) for price in (top, bottom, *close[max(0, t - 1) : t])]
        covered.append(max(prices) - min(prices))
    return [
        float(mean / abs(Fraction(at))) if at else 0.0 for mean, at in zip(wilder(covered, window), close, strict=True)
    ]


def _root_mean(terms: Sequence[float], window: int) -> list[float]:
    windows = [trailing(terms, t, window) for t in range(len(terms))]
    return [math.sqrt(max(0.0, math.fsum(around)) / len(around)) for around in windows]


def parkinson(high: Sequence[float], low: Sequence[float], window: int) -> list[float]:
    """Root of the mean squared logarithmic range, which is 4 ln 2 times the variance of a driftless walk."""
    terms = [log_ratio(top, bottom) ** 2 / math.log(16.0) for top, bottom in zip(high, low, strict=True)]
    return _root_mean(terms, window)


def garman_klass(
    open: Sequence[float], high: Sequence[float], low: Sequence[float], close: Sequence[float], window: int
) -> list[float]:
    """Root of the mean of half the squared range less 0.386 times the squared change from open to close."""
    bars = zip(open, high, low, close, strict=True)
    terms = [log_ratio(h, l) ** 2 / 2 - math.log(4 / math.e) * log_ratio(c, o) ** 2 for o, h, l, c in bars]  # noqa: E741
    return _root_mean(terms, window)
