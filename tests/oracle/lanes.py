"""Many policies over the same bars, one after the other, a bar at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from . import backtest, kpis
from .learn import next_mood, reset_mood
from .market import market_reward


class Bar(NamedTuple):
    """An observation, and what positions earn: see `market.market_reward`."""

    observation: int
    gap: float
    change: float
    cost: float
    scarcity: float


def rollout_lanes(
    bars: Sequence[Bar],
    tables: Sequence[Sequence[int]],
    weights: Sequence[float],
    shape: tuple[int, int],
    clarity: float,
    position: int,
) -> tuple[list[list[int]], list[float]]:
    """What each table says at each bar, and its rewards together.

    shape: numbers of moods and positions, the last digits of a state; position −1, 0 or 1: held before the first bar.
    """
    moods, positions = shape
    said, totals = [], []
    for table in tables:
        before, held, mood, total, codes = position, position, reset_mood(moods), 0.0, []
        for t, bar in enumerate(bars):
            if t:
                reward = float(market_reward(before, held, *bar[1:], weights))
                mood = next_mood(mood, 0.0, reward, moods)
                total += reward + clarity * mood
            codes.append(table[(bar.observation * moods + mood) * positions + held + 1])
            before, held = held, codes[-1] % 4 - 1
        said.append(codes)
        totals.append(total)
    return said, totals


class Settled(NamedTuple):
    """A lane's account, what its KPIs are made of, and how many states are new."""

    account: backtest.Account
    bars: kpis.Bars
    trades: kpis.Trades
    decisions: kpis.Decisions
    new: int


def settle_lane(
    codes: Sequence[int],
    prices: tuple[Sequence[float], Sequence[float]],
    facts: tuple[Sequence[int], Sequence[int]],
    held: Sequence[float],
    terms: tuple[int, float, float, float, bool],
) -> Settled:
    """prices: opens and closes; facts: moves and risk events; held: equity of the holding; terms: fill, rates of fee
    and slippage, size, whether it is long-only."""
    fill, fee_rate, slippage_rate, size, is_long_only = terms
    targets, actions, alerts, new = read_codes(codes, is_long_only)
    account = backtest.account(targets, *prices, fill, fee_rate, slippage_rate, 0, size)
    equity = [float(value) for value in account.equity]
    closed = [trade for trade in account.trades if trade.exit_bar >= 0]
    return Settled(
        account,
        kpis.push_bars(equity, account.position, held),
        kpis.push_trades(closed),
        kpis.push_decisions(actions, facts[0], alerts, facts[1]),
        new,
    )


def read_codes(codes: Sequence[int], is_long_only: bool) -> tuple[list[int], list[int], list[int], int]:
    """Target positions, actions, alerts, and how many states are new."""
    targets, actions, alerts, new = [], [], [], 0
    for code in codes:
        digits = f"{code:06b}"
        target = int(digits[4:], 2) - 1
        targets.append(0 if is_long_only and target < 0 else target)
        actions.append(int(digits[2:4], 2))
        alerts.append(int(digits[1]))
        new += digits[0] == "1"
    return targets, actions, alerts, new
