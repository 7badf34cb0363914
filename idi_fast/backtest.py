"""Replay a policy causally over a price history and keep its account."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from idi_fast import kpis
from idi_fast.alerts import alert_kpis, alerts_by
from idi_fast.artifact import SCHEMA_VERSION, write_backtest_run, write_trace
from idi_fast.environments import (
    Facts,
    charged_fee_bps,
    entry_values,
    log_columns,
    log_fill,
    market_tape,
    reward_weights,
)
from idi_fast.errors import ArtifactError, InputError
from idi_fast.features import BarStream
from idi_fast.files import new_directory, write_json
from idi_fast.history import History
from idi_fast.kernels import backtest as kernels
from idi_fast.policy import Policy
from idi_fast.provenance import iso_time, saw
from idi_fast.space import make_rules
from idi_fast.tables import write_table
from idi_fast.trace import Trace, replay, time_series

FILLS = {"next_open": kernels.NEXT_OPEN, "next_close": kernels.NEXT_CLOSE, "same_close": kernels.SAME_CLOSE}


@dataclass(frozen=True)
class Account:
    """equity float64 (n,) at each close, from 1; position int8 (n,) held at the close; trades float64 (m, 7) as in
    `kernels.backtest.account`; fees and traded notional in units of the initial equity; liquidated_at: a bar or −1."""

    equity: np.ndarray
    position: np.ndarray
    trades: np.ndarray
    fees: float
    traded: float
    liquidated_at: int


@dataclass(frozen=True)
class Backtest:
    """A finished backtest: what was assumed, the KPIs, the same of buy and hold, the trace and the two accounts."""

    assumptions: dict
    kpis: dict
    buy_and_hold: dict
    trace: Trace
    account: Account
    held: Account
    history: History
    policy: Policy

    def to_dict(self) -> dict:
        """What kpis.json holds; undefined values are null."""
        return {
            "schema_version": SCHEMA_VERSION,
            "assumptions": self.assumptions,
            "kpis": kpis.null_nan(self.kpis),
            "buy_and_hold": kpis.null_nan(self.buy_and_hold),
            "alerts": alerts_by(self.trace),
        }

    def equity_frame(self) -> pl.DataFrame:
        """One row a bar: tick, time, close, position held at the close, equity, drawdown, buy_and_hold (its equity)."""
        columns: dict[str, object] = {"tick": np.arange(len(self.history))}
        if self.history.time is not None:
            columns["time"] = time_series(self.history.time)
        equity = self.account.equity
        peak = np.maximum(1.0, np.maximum.accumulate(equity))
        columns |= {"close": self.history.close, "position": self.account.position, "equity": equity}
        return pl.DataFrame({**columns, "drawdown": equity / peak - 1.0, "buy_and_hold": self.held.equity})

    def save(self, out: str | Path, *, force: bool = False) -> None:
        """Write the folder that `idi-fast backtest` writes; `force` replaces an earlier one. Raises OutputError."""
        with new_directory(out, force=force) as folder:
            self.write(folder)

    def write(self, folder: Path) -> None:
        """Fill an empty folder with kpis.json, trace.parquet, equity.parquet, streams/, run.json and manifest.json."""
        write_json(folder / "kpis.json", self.to_dict())
        write_trace(folder, self.trace)
        write_table(folder / "equity.parquet", self.equity_frame())
        write_backtest_run(folder, "backtest", self.assumptions, self.policy, self.history)


def backtest(policy: Policy, history: History, *, fill: str | None = None, fee_bps: float | None = None) -> Backtest:
    """Replay a policy over a history.

    The decision on bar t uses bars up to t only. `fill` (None: next_open, or next_close where there is no open) and
    `fee_bps` (basis points of the traded notional, per side; None: the policy's own) enter the account, never the
    decisions: an agent's mood follows the rewards that its own config defines. Raises ArtifactError where policy and
    history do not fit, InputError for a bad option.
    """
    if not isinstance(policy, Policy) or not isinstance(history, History):
        raise InputError("backtest takes a Policy and a History (see Policy.load, load_history)")
    fill = resolve_fill(fill, history)
    if fee_bps is None:
        fee_bps = policy.config.environment.market.fee_bps
    check_fee_bps(fee_bps)
    trace = replay_history(policy, history)
    account = keep_account(trace.position, history, fill, fee_bps)
    held = hold(history, fill, fee_bps)
    times = (None, None) if history.time is None else (iso_time(history.time[0]), iso_time(history.time[-1]))
    per_year = kpis.periods_per_year(history.time)
    return Backtest(
        assumptions={
            "fill": fill,
            "fee_bps": fee_bps,
            "bars": len(history),
            "first_time": times[0],
            "last_time": times[1],
            "in_sample": policy.trained_on is not None and saw(policy.trained_on, history),
            "periods_per_year": None if np.isnan(per_year) else per_year,
            "dropped_rows": history.dropped,
        },
        kpis={
            **kpis.equity_kpis(account.equity, per_year),
            **kpis.trade_kpis(account.trades),
            "unvisited_states": float((~policy.visited(trace.state)).mean()),
            "exposure": float((account.position != 0).mean()),
            "turnover": account.traded,
            "fees": account.fees,
            "mean_reward": float(trace.reward[:-1].mean()),
            **kpis.action_kpis(trace.action, history.close),
            **alert_kpis(trace),
            "liquidated_at": account.liquidated_at if account.liquidated_at >= 0 else None,
        },
        buy_and_hold={**kpis.equity_kpis(held.equity, per_year), "fees": held.fees},
        trace=trace,
        account=account,
        held=held,
        history=history,
        policy=policy,
    )


def resolve_fill(fill: str | None, history: History) -> str:
    """A fill as `backtest` takes it, by its name in the config; InputError where the history does not allow it."""
    if fill is None:
        fill = "next_close" if history.open is None else "next_open"
    fill = fill.replace("-", "_")
    if fill not in FILLS:
        raise InputError(f"fill is {fill!r}; expected one of {', '.join(FILLS)}")
    if fill == "next_open" and history.open is None:
        raise InputError("fill is next_open, but the history has no open; name its column, or fill at next_close")
    return fill


def check_fee_bps(fee_bps: float) -> None:
    """Raise InputError unless it is a fee, in basis points."""
    if not 0.0 <= fee_bps < 10_000.0:
        raise InputError(f"fee_bps is {fee_bps}; expected a number from 0 to below 10000")


def replay_history(policy: Policy, history: History) -> Trace:
    """The trace of a policy over all bars: row t is what was seen at the close of bar t, and what was decided then.

    Every column but `reward`, which follows the decision and is NaN on the last bar, is known at that close.
    """
    columns = _fitting_columns(policy, history)
    config = policy.config
    fill = log_fill(history, config.environment.data.fill)
    bars = BarStream(policy.encoder, charged_fee_bps(config)).push(columns, fill)
    # One bar more, in which nothing happens, lets the agent decide on the last one.
    bars = type(bars)(*(np.append(array, array[-1:]) for array in bars))
    tape = market_tape(bars, reward_weights(config), np.empty((bars.code.size, 9)))
    close = columns["close"]
    facts = Facts(
        value=np.append(close, close[-1]), entry=np.append(entry_values(close, fill), close[-1]),
        regime=bars.regime, risk=bars.risk, move=bars.move, close=history.close, time=history.time,
        after_gap=np.append(history.after_gap, False),
    )  # fmt: skip
    rules = make_rules(config, policy.space)
    trace = replay(config, policy.space, rules, policy.q, policy.comm_q, tape, facts)
    trace.reward[-1] = np.nan
    return trace


def _fitting_columns(policy: Policy, history: History) -> dict[str, np.ndarray]:
    if policy.encoder is None:
        kind = policy.config.environment.kind
        raise ArtifactError(
            f"the policy was trained on the {kind} environment and has no features to read a price history with; "
            "train one with `idi-fast train --env history --data DATA`, or --env crypto without --compat"
        )
    if policy.config.environment.observe_regime:
        raise ArtifactError(
            "the policy sees the simulated market's regime, which no price history has; train one without "
            "environment.observe_regime"
        )
    columns = log_columns(history)
    for name, feature in policy.encoder.features.items():
        if feature.column not in columns:
            raise ArtifactError(
                f"the policy's feature {name!r} reads the column {feature.column!r}, which this history does not have "
                f"(it has {', '.join(sorted(columns))}); name it, or train a policy without it"
            )
    return columns


def keep_account(target: np.ndarray, history: History, fill: str, fee_bps: float) -> Account:
    """The account of target positions int8 (n,) decided at each close."""
    n = target.size
    equity, position = np.empty(n), np.empty(n, np.int8)
    # A trade begins where the target changes to something other than flat.
    begins = np.count_nonzero((np.diff(target, prepend=np.int8(0)) != 0) & (target != 0))
    trades, totals = np.empty((begins + 1, 7)), np.empty(3)
    open_ = history.close if history.open is None else history.open
    count = kernels.account(target, open_, history.close, FILLS[fill], fee_bps / 1e4, equity, position, trades, totals)
    return Account(equity, position, trades[:count], float(totals[0]), float(totals[1]), int(totals[2]))


def hold(history: History, fill: str, fee_bps: float) -> Account:
    """The account of buying at the first fill and holding."""
    return keep_account(np.ones(len(history), np.int8), history, fill, fee_bps)


def account_after(
    policy: Policy, history: History, start: int, stop: int, warmup: int, fill: str, fee_bps: float
) -> Account:
    """The account of a policy over bars [start, stop) of a history, from flat; the `warmup` bars before them only
    fill its features' windows."""
    trace = replay_history(policy, history.slice(start - warmup, stop))
    return keep_account(trace.position[warmup:], history.slice(start, stop), fill, fee_bps)


def calibrate(history: History) -> dict[str, float]:
    """Mean and sample deviation of the log return per bar, as the simulated market's parameters take them."""
    returns = np.diff(np.log(history.close))
    return {"drift": float(returns.mean()), "vol": float(returns.std(ddof=1)) if returns.size > 1 else 0.0}
