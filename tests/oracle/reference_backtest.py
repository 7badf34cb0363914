"""The reference's backtest of a trading table and its KPIs, in plain Python, quirks included."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

HOLD, BUY, SELL = 0, 1, 2


def quantile_shares(buckets: int) -> list[float]:
    """The shares 0, 1/buckets, ... 1 as pandas 3 has them in `qcut`: rounded up where they are inexact.

    They decide on which side of an edge a rank falls that lies exactly on it, so they are not k / buckets.
    """
    shares = [float(share) for share in np.linspace(0, 1, buckets + 1)]
    return [share if buckets * share == k else math.nextafter(share, 1.0) for k, share in enumerate(shares)]


def quantile_buckets(series: Sequence[float], buckets: int) -> list[int]:
    """Each value's quantile bucket over the whole series (look-ahead: quirk), ties ranked by position."""
    n = len(series)
    edges = [1 + (n - 1) * share for share in quantile_shares(buckets)]
    result = [0] * n
    for rank, index in enumerate(sorted(range(n), key=lambda i: series[i]), start=1):
        result[index] = max((k for k in range(buckets) if edges[k] < rank), default=0)
    return result


def risk_flags(price: Sequence[float]) -> list[bool]:
    """A fall of more than 2 % in one bar."""
    before = [price[0], *price[:-1]]
    return [(now - last) / (last + 1e-9) < -0.02 for now, last in zip(price, before, strict=True)]


def backtest(
    q: dict[tuple[int, ...], list[float]],
    quantizer: dict,
    price: Sequence[float],
    volume: Sequence[float] | None = None,
    risk: Sequence[float] | None = None,
    fee_bps: float = 0.0,
) -> tuple[dict, list[int]]:
    """The KPIs and the action taken at each bar (0 hold, 1 buy, 2 sell)."""
    price = [float(value) for value in price]
    price_bucket = quantile_buckets(price, quantizer["price_buckets"])
    if volume is None:
        volume_bucket = [0] * len(price)
    else:
        volume_bucket = quantile_buckets([float(value) for value in volume], quantizer["volume_buckets"])
    flags = risk_flags(price) if risk is None else [bool(flag) for flag in risk]

    position, last_price = 0, price[0]
    pnl: list[float] = []
    taken: list[int] = []
    for now, bucket, volume_at in zip(price, price_bucket, volume_bucket, strict=True):
        values = q.get((bucket, volume_at, 0, 0, 0), [0.0, 0.0, 0.0])  # an unseen state holds
        action = values.index(max(values))
        step = (now - last_price) * position
        if position != 0:
            step -= now * (fee_bps / 1e4)  # on every bar that comes in with a position (quirk)
        pnl.append(step)
        taken.append(action)
        position = {HOLD: position, BUY: 1, SELL: -1}[action]
        last_price = now
    return kpis(pnl, taken, flags), taken


def kpis(pnl: list[float], taken: list[int], flags: list[bool]) -> dict:
    """The KPIs over the pnl of each bar; "sell" is the alert, judged against the risk flags."""
    n = len(pnl)
    mean, std = float(np.mean(pnl)), float(np.std(pnl))
    cumulative = np.cumsum(pnl)  # plain left-to-right additions, unlike np.sum, which adds in pairs
    peak = np.maximum.accumulate(cumulative)
    drawdown = (peak - cumulative) / (np.abs(peak) + 1e-9)
    worst = sorted(pnl)[: max(1, int(0.05 * n))]

    alerts = [action == SELL for action in taken]
    hits = sum(alert and flag for alert, flag in zip(alerts, flags, strict=True))
    precision = hits / (sum(alerts) + 1e-9)
    recall = hits / (sum(flags) + 1e-9)
    return {
        "mean": mean,
        "std": std,
        "sharpe_like": mean / (std + 1e-9),
        "max_drawdown": float(np.max(drawdown)),
        "cvar_5": float(np.mean(worst)),
        "win_rate": sum(step > 0 for step in pnl) / n,
        "total_return": float(cumulative[-1]),
        "n_steps": n,
        "action_buy_pct": taken.count(BUY) / n,
        "action_sell_pct": taken.count(SELL) / n,
        "action_hold_pct": taken.count(HOLD) / n,
        "alert_precision": precision,
        "alert_recall": recall,
        "alert_f1": 2 * precision * recall / (precision + recall + 1e-9),
    }
