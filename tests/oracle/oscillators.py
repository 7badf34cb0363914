"""Oscillators by definition, in fractions."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate, pairwise

from .features import trailing


def wilder(values: Sequence[Fraction], window: int) -> list[Fraction]:
    """Wilder's average: the mean of the first `window` values; from then on each value has the weight of one of them,
    and all before it lose that share of theirs."""
    keep = 1 - Fraction(1, window)
    averages = []
    for t in range(len(values)):
        first, later = values[: min(t + 1, window)], values[window : t + 1]
        recent = sum(value * keep ** (len(later) - 1 - age) for age, value in enumerate(later))
        averages.append(sum(first) / len(first) * keep ** len(later) + recent / window)
    return averages


def rsi(values: Sequence[float], window: int) -> list[float]:
    """100 − 100 / (1 + average rise / average fall)."""
    changes = [Fraction(after) - Fraction(before) for before, after in pairwise(values)]
    rises = wilder([max(change, Fraction(0)) for change in changes], window)
    falls = wilder([max(-change, Fraction(0)) for change in changes], window)
    result = [50.0]
    for rise, fall in zip(rises, falls, strict=True):
        result.append(float(100 - 100 / (1 + rise / fall)) if fall else 100.0 if rise else 50.0)
    return result[: len(values)]


def stochastic(high: Sequence[float], low: Sequence[float], close: Sequence[float], window: int) -> list[float]:
    """Where the close is between the lowest and the highest of the window."""
    places = []
    for t, value in enumerate(close):
        highest, lowest = Fraction(max(trailing(high, t, window))), Fraction(min(trailing(low, t, window)))
        percent = 100 * (Fraction(value) - lowest) / (highest - lowest) if highest > lowest else Fraction(50)
        places.append(float(sorted([Fraction(0), percent, Fraction(100)])[1]))
    return places


def obv_slope(close: Sequence[float], volume: Sequence[float], window: int) -> list[float]:
    """How far the on-balance volume has come within the window, as a share of the volume traded."""
    signs = [0, *((after > before) - (after < before) for before, after in pairwise(close))]
    balance = [0, *accumulate(sign * Fraction(traded) for sign, traded in zip(signs, volume, strict=False))]
    slopes = []
    for t in range(len(close)):
        change = balance[t + 1] - balance[max(0, t + 1 - window)]
        traded = sum(map(Fraction, trailing(volume, t, window)))
        slopes.append(float(change / traded) if traded else 0.0)
    return slopes


def bars_since_highest(values: Sequence[float], sign: float, window: int) -> list[float]:
    """Place of the greatest, counted from the window's end."""
    ages = []
    for t in range(len(values)):
        backwards = [sign * value for value in trailing(values, t, window)][::-1]
        ages.append(float(backwards.index(max(backwards))))
    return ages


def bars_since_high(values: Sequence[float], window: int) -> list[float]:
    """Place of the highest, counted from the window's end."""
    return bars_since_highest(values, 1.0, window)


def bars_since_low(values: Sequence[float], window: int) -> list[float]:
    """Place of the lowest, counted from the window's end."""
    return bars_since_highest(values, -1.0, window)
