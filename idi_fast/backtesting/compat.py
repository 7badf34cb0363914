"""The reference trainer's backtest, quirks included: for comparison with old results, not for evaluating a policy.

It ranks each price among all prices, including later ones, and charges a fee on every bar held.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from idi_fast.agents.policy import Policy
from idi_fast.backtesting.account import TradingAssumptions
from idi_fast.data.history import History
from idi_fast.data.in_sample import describe_history
from idi_fast.environments.actions import ACTIONS, BUY, SELL
from idi_fast.errors import ArtifactError
from idi_fast.kernels.backtest import reference_account
from idi_fast.storage.files import write_json
from idi_fast.storage.manifests import SCHEMA_VERSION
from idi_fast.storage.tables import write_table
from idi_fast.training.artifact import write_backtest_run

TINY = 1e-9


@dataclass(frozen=True)
class CompatBacktest:
    """KPIs by the reference's definitions; action int8 (n,) and pnl float64 (n,) in price units, one per bar."""

    assumptions: dict
    kpis: dict
    action: np.ndarray
    pnl: np.ndarray
    history: History
    policy: Policy

    def to_dict(self) -> dict:
        """The content of kpis.json."""
        return {"schema_version": SCHEMA_VERSION, "assumptions": self.assumptions, "kpis": self.kpis}

    def write(self, folder: Path) -> None:
        """Fill an empty folder with kpis.json, trace.parquet, run.json and manifest.json."""
        write_json(folder / "kpis.json", self.to_dict())
        trace = pl.DataFrame(
            {
                "tick": np.arange(self.pnl.size),
                "close": self.history.close,
                "action": pl.Series(np.array(ACTIONS)[self.action], dtype=pl.String),
                "q_buy": (self.action == BUY).astype(np.uint8),
                "q_sell": (self.action == SELL).astype(np.uint8),
                "pnl": self.pnl,
            }
        )
        write_table(folder / "trace.parquet", trace, {"format": "idi-fast-compat-backtest-1"})
        write_backtest_run(folder, "compat-backtest", self.assumptions, self.policy, describe_history(self.history))


def compat_backtest(policy: Policy, history: History, *, fee_bps: float = 0.0) -> CompatBacktest:
    """The reference's backtest of a policy; volume and risk are used if the history has them."""
    TradingAssumptions("same_close", fee_bps)  # refuses what is no fee
    action = _actions(policy, history)
    pnl = np.empty(len(history))
    reference_account(action, history.close, fee_bps, pnl)
    return CompatBacktest(
        assumptions={"compat": "idi_iann", "fee_bps": fee_bps, "bars": len(history)},
        kpis=_kpis(pnl, action, _risk_flags(history)),
        action=action,
        pnl=pnl,
        history=history,
        policy=policy,
    )


def quantile_buckets(values: np.ndarray, buckets: int) -> np.ndarray:
    """Bucket of each value's rank over the whole series, ties ranked by position, int32 (n,).

    The edges are those of pandas 3's `qcut` to the last bit: its shares are rounded up where k / buckets is inexact.
    """
    n = values.size
    ranks = np.empty(n, np.int64)
    ranks[np.argsort(values, kind="stable")] = np.arange(1, n + 1)
    shares = np.linspace(0.0, 1.0, buckets + 1)
    shares = np.where(buckets * shares == np.arange(buckets + 1), shares, np.nextafter(shares, 1.0))
    edges = 1.0 + (n - 1) * shares
    return np.clip(np.searchsorted(edges, ranks, side="left") - 1, 0, buckets - 1).astype(np.int32)


def _actions(policy: Policy, history: History) -> np.ndarray:
    if policy.space.is_compat_crypto or policy.config.tile_coder is not None:
        return np.zeros(len(history), np.int8)  # the keys of such a table never match: it holds
    if policy.space.is_market:
        raise ArtifactError(
            "the reference's backtest looks up five-feature states; this policy's have the position too"
        )
    quantizer = policy.config.quantizer
    digits = np.zeros((len(history), len(policy.space.names)), np.int32)
    digits[:, 0] = quantile_buckets(history.close, quantizer.price_buckets)
    if history.volume is not None:
        digits[:, 1] = quantile_buckets(history.volume, quantizer.volume_buckets)
    return np.argmax(policy.q[policy.space.index(digits)], axis=1).astype(np.int8)


def _risk_flags(history: History) -> np.ndarray:
    if history.risk is not None:
        return history.risk.astype(bool)
    before = np.concatenate([history.close[:1], history.close[:-1]])
    return (history.close - before) / (before + TINY) < -0.02


def _kpis(pnl: np.ndarray, action: np.ndarray, risk: np.ndarray) -> dict:
    n = pnl.size
    mean, deviation = float(np.mean(pnl)), float(np.std(pnl))
    total = np.cumsum(pnl)
    peak = np.maximum.accumulate(total)
    alert = action == SELL
    hits = int(np.count_nonzero(alert & risk))
    precision = hits / (int(np.count_nonzero(alert)) + TINY)
    recall = hits / (int(np.count_nonzero(risk)) + TINY)
    share = {name: int(np.count_nonzero(action == k)) / n for k, name in enumerate(ACTIONS)}
    return {
        "mean": mean,
        "std": deviation,
        "sharpe_like": mean / (deviation + TINY),
        "max_drawdown": float(np.max((peak - total) / (np.abs(peak) + TINY))),
        "cvar_5": float(np.mean(np.sort(pnl)[: max(1, int(0.05 * n))])),
        "win_rate": int(np.count_nonzero(pnl > 0)) / n,
        "total_return": float(total[-1]),
        "n_steps": n,
        "action_buy_pct": share["buy"],
        "action_sell_pct": share["sell"],
        "action_hold_pct": share["hold"],
        "alert_precision": precision,
        "alert_recall": recall,
        "alert_f1": 2 * precision * recall / (precision + recall + TINY),
    }
