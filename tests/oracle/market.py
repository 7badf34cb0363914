"""Bars and their rows by definition: exact fractions, enumeration and lookup instead of running sums and indices."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from decimal import Context, Decimal
from fractions import Fraction
from itertools import pairwise, product
from typing import NamedTuple

from . import Column

POSITIONS = (-1, 0, 1)
PRECISE = Context(prec=50)


class BarReturn(NamedTuple):
    """A bar's earnings per unit of position in units of volatility, its cost, its direction and its risk flag."""

    gap: float
    change: float
    cost: float
    move: int
    risk: bool


def simple_return(log_from: float, log_to: float) -> Decimal:
    """The simple return between two log prices, to 40 digits and more."""
    return PRECISE.subtract(PRECISE.exp(PRECISE.subtract(Decimal(log_to), Decimal(log_from))), Decimal(1))


def simple_returns(log_from: Sequence[float], log_to: Sequence[float]) -> list[Decimal]:
    """The same of many."""
    return [simple_return(*map(float, pair)) for pair in zip(log_from, log_to, strict=True)]


def in_units(unit: float, gap: Column, change: Column, cost: Column) -> tuple[list[float], list[float], list[float]]:
    """Bars measured by a unit instead of their own volatility, 1 / cost; where cost is 0 nothing is earned."""
    made = [
        (float(g) / (float(c) * unit), float(d) / (float(c) * unit), 1.0 / unit) if c else (float(g), float(d), 0.0)
        for g, d, c in zip(gap, change, cost, strict=True)
    ]
    return tuple(map(list, zip(*made, strict=True))) if made else ([], [], [])


def bar_returns(
    log_close: Column, log_fill: Column, volatility: Column, floor: float, fee_rate: float
) -> list[BarReturn]:
    """The whole series at once; `log_fill` may be empty."""
    bars = [BarReturn(0.0, 0.0, 0.0, 0, False)]
    for t in range(1, len(log_close)):
        before, after = float(log_close[t - 1]), float(log_close[t])
        fill = float(log_fill[t]) if len(log_fill) else before
        scale = max(float(volatility[t - 1]), floor)
        gap, change = (float(simple_return(*way) / Decimal(scale)) for way in ((before, fill), (fill, after)))
        move = 0 if after == before else (1 if after > before else -1)
        bars.append(BarReturn(gap, change, fee_rate / scale, move, not -2.5 * scale <= after - before <= 2.5 * scale))
    return bars[: len(log_close)]


def market_rows(
    gap: Sequence[float],
    change: Sequence[float],
    cost: Sequence[float],
    scarcity: Sequence[float],
    weights: Column,
) -> list[list[Fraction]]:
    """The exact reward of each pair of old and new position."""
    return [
        [market_reward(old, new, *bar, weights) for old, new in product(POSITIONS, repeat=2)]
        for bar in zip(gap, change, cost, scarcity, strict=True)
    ]


def chosen_rows(bars: Sequence[tuple], chosen: Column, weights: Column) -> list[tuple[list[Fraction], int, bool]]:
    """The exact rewards, the observation and the risk flag of chosen bars, each a gap, change, cost, scarcity,
    observation and risk."""
    made = []
    for gap, change, cost, scarcity, observation, risk in (bars[k] for k in chosen):
        made.append((market_rows([gap], [change], [cost], [scarcity], weights)[0], observation, risk))
    return made


def charge_held(
    long: Column, short: Column, fee_rate: float, is_new: int, gap: Column, change: Column, per_volatility: Column
) -> list[tuple[Fraction, Fraction, Fraction, Fraction, Fraction]]:
    """Each bar's gap, change and cost, and what the old and the new position pay whatever their side: so that a long
    earns the move less its charge, and a short the opposite of the move less its own."""
    made = []
    for bar in zip(long, short, gap, change, per_volatility, strict=True):
        of_long, of_short, to_fill, from_fill, unit = (Fraction(float(value)) for value in bar)
        move = from_fill if is_new else to_fill
        earns, loses = move - of_long * unit, -move - of_short * unit
        charged, both = (earns - loses) / 2, -(earns + loses) / 2
        zero, fee = Fraction(0), Fraction(fee_rate) * unit
        made.append((to_fill, charged, fee, zero, both) if is_new else (charged, from_fill, fee, both, zero))
    return made


def charge_rows(
    hold: Sequence[tuple[float, float]], chosen: Column, weight: float, rewards: Sequence[Sequence[float]]
) -> list[list[Fraction]]:
    """The rewards of each pair of old and new position, less what either pays that is one."""
    charges = [[Fraction(float(weight)) * Fraction(float(paid)) for paid in hold[int(k)]] for k in chosen]
    return [
        [
            Fraction(float(reward)) - old_pays * (old != 0) - new_pays * (new != 0)
            for reward, (old, new) in zip(row, product(POSITIONS, repeat=2), strict=True)
        ]
        for row, (old_pays, new_pays) in zip(rewards, charges, strict=True)
    ]


def market_reward(
    old: int, new: int, gap: float, change: float, cost: float, scarcity: float, weights: Column
) -> Fraction:
    """The exact reward of going from one position to another, each −1, 0 or 1."""
    w_pnl, w_scarcity, ethics = map(Fraction, map(float, weights))
    to_fill, from_fill, per_unit, scarcer = (Fraction(float(value)) for value in (gap, change, cost, scarcity))
    traded = len(range(min(old, new), max(old, new)))
    earned = old * to_fill + new * from_fill - traded * per_unit
    return earned * w_pnl + scarcer * w_scarcity + (-ethics if new == -1 else ethics)


def regimes(volatility: Column, trend: Column, edges: Column) -> list[int]:
    """Bull 0, bear 1, chop 2 or panic 3; of those whose rule holds, panic goes first, then bull."""
    panic_above, bear_to, bull_from = edges
    result = []
    for v, r in zip(volatility, trend, strict=True):
        holds = {3: v > panic_above, 0: r >= bull_from, 1: r <= bear_to, 2: True}
        result.append(next(regime for regime, rule in holds.items() if rule))
    return result


def quantize(values: Column, edges: Column) -> list[int]:
    """Where each value would be put among the sorted edges, after those equal to it."""
    return [bisect.bisect_right(edges, value) for value in values]


def bucket_changes(bucket: Column, size: int) -> list[float]:
    """Each change of bucket as a share of the largest there can be."""
    largest = max(size - 1, 1)
    steps = [0, *(int(b) - int(a) for a, b in pairwise(bucket))]
    return [float(Fraction(step, largest)) for step in steps[: len(bucket)]]


def mixed_radix(digits: Column, sizes: Column) -> list[int]:
    """The place of each column of digits in the list of all combinations, the last digit running fastest."""
    place = {combination: k for k, combination in enumerate(product(*(range(size) for size in sizes)))}
    return [place[tuple(map(int, column))] for column in zip(*digits, strict=True)]
