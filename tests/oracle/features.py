"""The features by definition: statistics of plain slices of the whole series, nothing carried along."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise


def trailing(values: Sequence[float], t: int, window: int) -> list[float]:
    """The last `window` values up to number t, fewer at the start."""
    return [float(value) for value in values[max(0, t - window + 1) : t + 1]]


def push_moments(values: Sequence[float], window: int) -> list[tuple[float, float, int]]:
    """Mean, sum of squared deviations and number of values of the window at each value, exact but for one rounding."""
    moments = []
    for t in range(len(values)):
        exact = [Fraction(value) for value in trailing(values, t, window)]
        mean = sum(exact) / len(exact)
        moments.append((float(mean), float(sum((value - mean) ** 2 for value in exact)), len(exact)))
    return moments


def push_lap(before: Sequence[float], lap: Sequence[float]) -> list[tuple[float, float]]:
    """Mean and sum of squared deviations of the last values, as many as a lap has, at each value of the second lap."""
    return [moments[:2] for moments in push_moments([*before, *lap], len(lap))[len(before) :]]


def sample_deviation(values: Sequence[float]) -> float:
    """Sample standard deviation; 0 below two values."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def moving_deviation(values: Sequence[float], window: int) -> list[tuple[float, float]]:
    """Mean and sample deviation of the window at each value."""
    windows = [trailing(values, t, window) for t in range(len(values))]
    return [(statistics.fmean(around), sample_deviation(around)) for around in windows]


def zscore(values: Sequence[float], window: int) -> list[float]:
    """How many deviations each value is from its window's mean."""
    scores = []
    for t, value in enumerate(values):
        around = trailing(values, t, window)
        deviation = sample_deviation(around)
        distance = Fraction(value) - statistics.mean(map(Fraction, around))
        scores.append(float(distance / Fraction(deviation)) if deviation else 0.0)
    return scores


def volatility(values: Sequence[float], window: int) -> list[float]:
    """Deviation of the last changes: the value and the `window` before it."""
    result = []
    for t in range(len(values)):
        around = trailing(values, t, window + 1)
        result.append(sample_deviation([after - before for before, after in pairwise(around)]))
    return result


def log_return(values: Sequence[float], window: int) -> list[float]:
    """The whole series less the series `window` later, its first value standing for those before it."""
    earlier = [*[values[0]] * window, *values] if len(values) else []
    return [value - before for value, before in zip(values, earlier, strict=False)]


def drawdown(values: Sequence[float], window: int) -> list[float]:
    """How far below the highest of its window."""
    return [value - max(trailing(values, t, window)) for t, value in enumerate(values)]


def ema_ratio(values: Sequence[float], window: int) -> list[Fraction]:
    """How far above the average of all values so far, each weighing less by the same factor than the one after it.

    The first value keeps the weight of all that would have come before it.
    """
    weight = Fraction(2, window + 1)
    exact = [Fraction(value) for value in values]
    result = []
    for t, value in enumerate(exact):
        past = sum(weight * (1 - weight) ** age * exact[t - age] for age in range(t))
        result.append(value - (past + (1 - weight) ** t * exact[0]))
    return result


def level(values: Sequence[float], window: int) -> list[float]:
    """The series."""
    return list(values)


def push_series(rows: Sequence[tuple[str, Sequence[float], int]]) -> list[list[float]]:
    """Each row by the name of its transform, of its values and window."""
    return [globals()[transform](values, window) for transform, values, window in rows]
