"""Moving averages by definition, in fractions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from fractions import Fraction

from .features import ema_ratio, trailing


def _mean(values: Sequence[float], t: int, window: int) -> Fraction:
    return statistics.mean(map(Fraction, trailing(values, t, window)))


def beyond_rounding(distance: float, count: float, total: float) -> float:
    """The distance, but 0 if it is at most as many units in the last place of the sum as there are values."""
    return distance if Fraction(abs(distance)) > Fraction(count) * Fraction(abs(total)) / 2**52 else 0.0


def sma_ratio(values: Sequence[float], window: int) -> list[float]:
    """How far each value is from the mean of its window, as a share of it."""
    means = [_mean(values, t, window) for t in range(len(values))]
    return [
        float((Fraction(value) - mean) / abs(mean)) if mean else 0.0 for value, mean in zip(values, means, strict=True)
    ]


def volume_ratio(volume: Sequence[float], window: int) -> list[float]:
    """Each volume as a multiple of the mean of its window."""
    means = [_mean(volume, t, window) for t in range(len(volume))]
    return [float(Fraction(value) / mean) if mean else 0.0 for value, mean in zip(volume, means, strict=True)]


def macd_histogram(values: Sequence[float], slow: int, fast: int, signal: int) -> list[float]:
    """The difference of two averages less the average of that, as a share of each value.

    What is left of a series when its average is taken off is `ema_ratio`.
    """
    averages = [ema_ratio(values, span) for span in (slow, fast)]
    macd = [float(below - above) for below, above in zip(*averages, strict=True)]
    # The average of the MACD begins at 0, as does the MACD.
    above = [float(value) for value in ema_ratio(macd, signal)]
    return [distance / abs(value) if value else 0.0 for distance, value in zip(above, values, strict=True)]


def bollinger_position(values: Sequence[float], window: int, width: float) -> list[float]:
    """Share of the way from the lower to the upper band; the middle where they meet."""
    places = []
    for t, value in enumerate(values):
        around = [Fraction(each) for each in trailing(values, t, window)]
        half = width * math.sqrt(statistics.pvariance(around))
        lower = float(statistics.mean(around)) - half
        places.append((value - lower) / (2.0 * half) if half else 0.5)
    return places
