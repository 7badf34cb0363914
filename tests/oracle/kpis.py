"""The sums of the KPIs by their definitions over whole series, in exact fractions where the kernels round."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Any, NamedTuple


def simple_returns(equity: Sequence[float], before: float) -> list[float] | int:
    """Return of each bar whose equity before is above 0; −1 − t for the first that is no equity."""
    for t, value in enumerate(equity):
        ruined = 0.0 in (before, *equity[:t])
        if math.isnan(value) or math.isinf(value) or value < 0 or (ruined and value != 0):
            return -1 - t
    return [
        float(Fraction(now) / Fraction(last)) - 1.0 for last, now in pairwise([before, *equity]) if last > 0
    ]  # a float and its quotient are rounded once, as in the kernel


class Drawdown(NamedTuple):
    """Depth as a share of the peak, below 0; bars from the peak to the recovery or the end; whether that was one."""

    depth: float
    bars: int
    recovered: bool


def drawdowns(equity: Sequence[float]) -> list[Drawdown]:
    """All drawdowns of an equity that begins with 1 before the first bar."""
    series = [1.0, *equity]
    at_peak = [t for t, peak in enumerate(accumulate(series, max)) if series[t] == peak]
    stretches = [(*pair, True) for pair in pairwise(at_peak)]
    stretches.append((at_peak[-1], len(series) - 1, False))
    return [
        Drawdown(min(series[first : last + 1]) / series[first] - 1.0, last - first, recovered)
        for first, last, recovered in stretches
        if min(series[first : last + 1]) < series[first]
    ]


class Signed(NamedTuple):
    gains: Fraction
    losses: Fraction
    downside: Fraction
    up: int
    down: int


def signed_sums(values: Sequence[float]) -> Signed:
    """Sums of what is above 0, of what is below, of the latter's squares, and how many there are of both."""
    exact = [Fraction(float(value)) for value in values]
    above, below = [value for value in exact if value > 0], [value for value in exact if value < 0]
    downside = sum((value**2 for value in below), Fraction())
    return Signed(sum(above, Fraction()), -sum(below, Fraction()), downside, len(above), len(below))


def mean(values: Sequence[float]) -> Fraction:
    """The exact mean."""
    return sum((Fraction(float(value)) for value in values), Fraction()) / len(values)


def _moment(power: int, x: Sequence[float], y: Sequence[float] = ()) -> Fraction:
    """Sum of powers of the differences of x from its mean, times those of y, if there is one."""
    middle = mean(x)
    from_x = [(Fraction(float(value)) - middle) ** power for value in x]
    parts = (a * b for a, b in zip(from_x, _differences(y), strict=True)) if len(y) else from_x
    return sum(parts, Fraction())


def _differences(values: Sequence[float]) -> list[Fraction]:
    middle = mean(values)
    return [Fraction(float(value)) - middle for value in values]


def central_sums(x: Sequence[float], y: Sequence[float]) -> list[Fraction]:
    """Sums of powers 2 to 4 of the differences of x, and of y, from their means, and of the products of both."""
    return [*(_moment(power, series) for series in (x, y) for power in (2, 3, 4)), _moment(1, x, y)]


def merge_moments(values: Sequence[float]) -> list[Fraction]:
    """Count, mean and central sums of powers 2 to 4 of all values, however they were split."""
    if not len(values):
        return [Fraction(0)] * 5
    return [Fraction(len(values)), mean(values), *(_moment(power, values) for power in (2, 3, 4))]


def merge_products(x: Sequence[float], y: Sequence[float]) -> list[Fraction]:
    """Count of all pairs, both means, the squares of y and the products with x."""
    if not len(x):
        return [Fraction(0)] * 5
    return [Fraction(len(x)), mean(x), mean(y), _moment(2, y), _moment(1, x, y)]


class Bars(NamedTuple):
    """All that is kept of bars: of the run and of holding moments, signed sums and drawdowns; pairs; the returns."""

    moments: list[list[Fraction]]
    signed: list[Signed]
    drawdowns: list[list[Drawdown]]
    pairs: list[Fraction]
    returns: list[float]
    exposed: int


def push_curve(equity: Sequence[float]) -> tuple[list[float], list[Drawdown]]:
    """The returns and drawdowns of an equity."""
    returns = simple_returns(equity, 1.0)
    assert not isinstance(returns, int), f"no equity at {-1 - returns}"
    return returns, drawdowns(equity)


def end_block(x: Sequence[float], y: Sequence[float]) -> tuple[list[list[Fraction]], list[Signed], list[Fraction]]:
    """Moments and signed sums of two series of returns, and of their pairs, as far as both go."""
    both = min(len(x), len(y))
    return [merge_moments(x), merge_moments(y)], [signed_sums(x), signed_sums(y)], merge_products(x[:both], y[:both])


def push_bars(equity: Sequence[float], position: Sequence[int], held: Sequence[float]) -> Bars:
    """The same of whole equities."""
    (run, run_falls), (holding, holding_falls) = push_curve(equity), push_curve(held)
    moments, signed, pairs = end_block(run, holding)
    _, exposed = end_bars(position)
    return Bars(moments, signed, [run_falls, holding_falls], pairs, run, exposed)


def end_bars(position: Sequence[int]) -> tuple[int, int]:
    """How many bars there are, and how many with a position."""
    return len(position), sum(value != 0 for value in position)


def add_compensated(values: Sequence[float]) -> Fraction:
    """Their exact sum."""
    return sum((Fraction(value) for value in values), Fraction(0))


class Trades(NamedTuple):
    closed: int
    winners: int
    losers: int
    won: Fraction
    lost: Fraction
    best: float
    worst: float
    growth: Fraction
    held: int
    longest_held: int


def push_trades(trades: Sequence[Any]) -> Trades:
    """Sums over closed trades, a row each: entry bar, exit bar, three more, profit."""
    profits = [Fraction(row[5]) for row in trades]
    bars = [int(row[1]) - int(row[0]) for row in trades]
    won, lost = [p for p in profits if p > 0], [-p for p in profits if p < 0]
    return Trades(
        len(profits),
        len(won),
        len(lost),
        sum(won, Fraction(0)),
        sum(lost, Fraction(0)),
        max(map(float, profits), default=-math.inf),
        min(map(float, profits), default=math.inf),
        math.prod((1 + profit for profit in profits), start=Fraction(1)),
        sum(bars),
        max(bars, default=0),
    )


class Decisions(NamedTuple):
    actions: int
    moves: int
    hits: int
    alerts: int
    risks: int
    warnings: int


def push_decisions(action: Sequence[int], move: Sequence[int], alert: Sequence[int], risk: Sequence[int]) -> Decisions:
    """Each decision beside the bar that followed it."""
    meant = {0: None, 1: 1, 2: -1}
    sides = [meant[int(chosen)] for chosen in action][:-1]
    moves = [int(direction) or None for direction in move[1:]]
    said, events = [bool(value) for value in alert[:-1]], [bool(value) for value in risk[1:]]
    return Decisions(
        len(sides) - sides.count(None),
        len(moves) - moves.count(None),
        sum(side == direction is not None for side, direction in zip(sides, moves, strict=True)),
        sum(said),
        sum(events),
        sum(map(bool.__and__, said, events)),
    )


def count_days(time_ns: Sequence[int]) -> Counter[date]:
    """Bars of each calendar day in UTC."""
    return Counter(date(1970, 1, 1) + timedelta(microseconds=int(time) // 1000) for time in time_ns)
