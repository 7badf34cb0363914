"""Order statistics and moments of plain slices."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from .features import trailing


def twice_below(values: Sequence[float], first: int, stop: int, value: float) -> int:
    """The place of a value among others, from below and from above."""
    ordered = sorted(values[first:stop])
    return sum(each < value for each in ordered) + sum(each <= value for each in ordered)


def rolling_rank(values: Sequence[float], window: int) -> list[float]:
    """Mean place of the value in its window in order, equal ones in all their orders, from 0 to 1."""
    ranks = []
    for t, value in enumerate(values):
        ordered = sorted(trailing(values, t, window))
        places = [place for place, each in enumerate(ordered) if each == value]
        ranks.append(float(statistics.mean(map(Fraction, places)) / (len(ordered) - 1)) if t else 0.5)
    return ranks


def replace_in_order(ordered: Sequence[float], old: float, value: float) -> list[float]:
    """What is between the first and last in order, one of the old ones replaced."""
    between = list(ordered[1:-1])
    between.remove(old)
    return [ordered[0], *sorted([*between, value]), ordered[-1]]


def rolling_quantile(values: Sequence[float], window: int, quantile: float) -> list[float]:
    """The value at that share of the way from the least to the greatest, in order."""
    result = []
    for t in range(len(values)):
        ordered = [Fraction(value) for value in sorted(trailing(values, t, window))]
        place = Fraction(quantile) * (len(ordered) - 1)
        below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
        result.append(float(below + (place - math.floor(place)) * (above - below)))
    return result


def _changes(values: Sequence[float]) -> list[Fraction]:
    return [Fraction(after) - Fraction(before) for before, after in pairwise(values)]


def least_deviation(value: float) -> float:
    """16 units in the last place of the value, and 1e-100."""
    return float(16 * Fraction(abs(value)) / 2**52 + Fraction(1, 10**100))


def rolling_skew(values: Sequence[float], window: int) -> list[float]:
    """Mean cube of the changes' deviations in units of the deviation."""
    result = []
    for t in range(len(values)):
        changes = _changes(trailing(values, t, window + 1))
        mean = sum(changes) / max(1, len(changes))
        square = sum((change - mean) ** 2 for change in changes) / max(1, len(changes))
        cube = sum((change - mean) ** 3 for change in changes) / max(1, len(changes))
        result.append(float(cube) / float(square) ** 1.5 if square else 0.0)
    return result


def autocorrelation(values: Sequence[float], window: int, lag: int) -> list[float]:
    """Correlation of the changes with those so many bars before."""
    result = []
    for t in range(len(values)):
        changes = _changes(trailing(values, t, window + lag + 1))
        earlier, later = changes[: max(0, len(changes) - lag)], changes[lag:]
        x, y = (sum(each) / max(1, len(later)) for each in (earlier, later))
        product = sum((a - x) * (b - y) for a, b in zip(earlier, later, strict=False))
        squares = [sum((a - mean) ** 2 for a in each) for each, mean in ((earlier, x), (later, y))]
        result.append(float(product) / math.sqrt(squares[0] * squares[1]) if all(squares) else 0.0)
    return result


def with_value(values: Sequence[float], value: float) -> tuple[float, float, float]:
    """Mean and sums of squared and cubed deviations of the values and one more."""
    exact = [Fraction(each) for each in (*values, value)]
    mean = sum(exact) / len(exact)
    return (
        float(mean),
        float(sum((each - mean) ** 2 for each in exact)),
        float(sum((each - mean) ** 3 for each in exact)),
    )


def lap_moments(values: Sequence[float]) -> list[tuple[float, float, float]]:
    """The same of the values from each on."""
    return [with_value(values[k + 1 :], values[k]) for k in range(len(values))]


def with_pair(pairs: Sequence[tuple[float, float]], pair: tuple[float, float]) -> tuple[float, ...]:
    """Means, sums of squared deviations and of their products of the pairs and one more."""
    exact = [(Fraction(before), Fraction(change)) for before, change in (*pairs, pair)]
    x, y = (sum(each) / len(exact) for each in zip(*exact, strict=True))
    sums = (
        sum(f(a - x, b - y) for a, b in exact) for f in (lambda a, b: a * a, lambda a, b: b * b, lambda a, b: a * b)
    )
    return float(x), float(y), *map(float, sums)


def lap_pairs(pairs: Sequence[tuple[float, float]]) -> list[tuple[float, ...]]:
    """The same of the pairs from each on."""
    return [with_pair(pairs[k + 1 :], pairs[k]) for k in range(len(pairs))]
