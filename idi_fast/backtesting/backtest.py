"""Backtest a policy on price history: roll it out causally, keep its account, and compute its KPIs."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
import polars as pl

from idi_fast.agents.policy import Policy
from idi_fast.agents.trace import Trace
from idi_fast.backtesting.account import Account, TradingAssumptions, resolve_fill
from idi_fast.backtesting.engine import Engine, Segment
from idi_fast.backtesting.files import EquityRows, TradeRows, backtest_files
from idi_fast.data.history import History, HistoryFiles
from idi_fast.data.timestamps import parse_time
from idi_fast.errors import InputError
from idi_fast.storage.files import new_directory, write_json
from idi_fast.storage.json_files import null_nan
from idi_fast.training.artifact import SCHEMA_VERSION, write_backtest_run


@dataclass(frozen=True)
class Backtest:
    """A finished backtest over bars in memory: see `backtest`.

    assumptions, kpis (NaN means undefined), undefined (why, by name), buy_and_hold (KPIs of holding), alerts (by mood
    and regime), notes (what makes the figures doubtful): as in kpis.json; trace; account: of the policy; held_equity
    float64 (n,): of buying and holding; history: the bars from the start to the end.
    """

    assumptions: dict
    kpis: dict
    undefined: dict
    buy_and_hold: dict
    alerts: dict
    notes: list[str]
    trace: Trace
    account: Account
    held_equity: np.ndarray
    history: History
    policy: Policy
    _segment: Segment
    _data: dict

    def to_dict(self) -> dict:
        """What kpis.json holds; undefined values are null."""
        return _kpis_file({name: getattr(self, name) for name in _KPIS})

    def equity_frame(self) -> pl.DataFrame:
        """A row a bar: see `backtest_files.EquityRows`."""
        return EquityRows().frame(self.history, self.account.position, self.account.equity, self.held_equity)

    def trades_frame(self) -> pl.DataFrame:
        """A row a trade: see `backtest_files.TradeRows`."""
        rows, ended = TradeRows(), self._segment.trades
        still_open = self.account.trades[len(ended) :]
        return pl.concat([rows.frame(self.history, ended, still_open), rows.last(still_open)])

    def save(self, out: str | Path, *, force: bool = False) -> None:
        """Write the folder that `idi-fast backtest` writes; `force` replaces an earlier one. Raises OutputError."""
        with new_directory(out, force=force) as folder:
            still_open = self.account.trades[len(self._segment.trades) :]
            with backtest_files(folder, self.policy.config) as writer:
                writer.write(self._segment, self.trace, still_open)
                writer.finish(still_open)
            _finish(folder, self.to_dict(), self.policy, self._data)


_KPIS = ("assumptions", "kpis", "undefined", "buy_and_hold", "alerts", "notes")


class BacktestOptions(TypedDict, total=False):
    """The options of `backtest`, by name."""

    fill: str | None
    fee_bps: float | None
    slippage_bps: float
    long_only: bool
    initial_position: int
    start: str | None
    end: str | None
    year_days: int | None


def backtest(
    policy: Policy,
    history: History,
    *,
    fill: str | None = None,
    fee_bps: float | None = None,
    slippage_bps: float = 0.0,
    long_only: bool = False,
    initial_position: int = 0,
    start: str | None = None,
    end: str | None = None,
    year_days: int | None = None,
) -> Backtest:
    """Run a policy over a price history in memory, causally, and keep its account.

    Parameters
    ----------
    policy
        A policy of the crypto or history environment.
    history
        Bars with the columns that the policy's features read.
    fill
        "next_open" (the default where there is an open), "next_close" or "same_close": the price at which what was
        decided at a bar's close is filled.
    fee_bps
        Fee per side in basis points of the traded notional; by default the policy's own.
    slippage_bps
        Basis points by which each fill is worse than the price.
    long_only
        Whether the account stays flat where the policy is short.
    initial_position
        -1, 0 or 1, held when the first bar comes.
    start, end
        Times in ISO 8601 of the first bar wanted, and of the first no longer wanted; the bars before `start` fill the
        features' windows.
    year_days
        Trading days of a year, to annualise by; by default the time between the bars.

    Returns
    -------
    Backtest
        KPIs, account, trace and tables; `save` writes what `idi-fast backtest` writes.

    Raises
    ------
    ArtifactError
        Where policy and history do not fit.
    InputError
        For a bad option.
    """
    if not isinstance(policy, Policy) or not isinstance(history, History):
        raise InputError("backtest takes a Policy and a History (see Policy.load, load_history)")
    engine = make_engine(
        policy, history, fill=fill, fee_bps=fee_bps, slippage_bps=slippage_bps, long_only=long_only,
        initial_position=initial_position, start=start, end=end, year_days=year_days,
    )  # fmt: skip
    (segment,) = engine.segments()
    trades = np.concatenate([segment.trades, engine.keeper.open_trade])
    return Backtest(
        **engine.summary(),
        trace=engine.trace(segment),
        account=Account(segment.equity, segment.position, trades, **engine.keeper.totals),
        held_equity=segment.held_equity,
        history=segment.seen.history,
        policy=policy,
        _segment=segment,
        _data=engine.describe_data(),
    )


def write_backtest(
    folder: Path, policy: Policy, history: History | HistoryFiles, *, trace: bool = True,
    **options: Unpack[BacktestOptions],
) -> dict:  # fmt: skip
    """Fill an empty folder with a backtest, in memory that does not grow with the history; returns the content of
    kpis.json.

    trace: whether to write the tables per bar and per trade, and the streams; otherwise kpis.json, run.json and
    manifest.json only. Other arguments and errors: those of `make_engine`.
    """
    engine = make_engine(policy, history, **options)
    if trace:
        with backtest_files(folder, policy.config) as writer:
            for segment in engine.segments():
                writer.write(segment, engine.trace(segment), engine.keeper.open_trade)
            writer.finish(engine.keeper.open_trade)
    else:
        for _ in engine.segments():
            pass  # the engine keeps count
    result = _kpis_file(engine.summary())
    _finish(folder, result, policy, engine.describe_data())
    return result


def make_engine(
    policy: Policy, history: History | HistoryFiles, *, fill: str | None = None, fee_bps: float | None = None,
    slippage_bps: float = 0.0, long_only: bool = False, initial_position: int = 0, start: str | None = None,
    end: str | None = None, year_days: int | None = None,
) -> Engine:  # fmt: skip
    """The engine of a policy over a history.

    The decision on bar t uses bars up to t only. What follows enters the account, never the decisions: an agent's mood
    follows the rewards that its own config defines.

    fill: "next_open" (default if there is an open), "next_close" or "same_close"; fee_bps: basis points of the
    traded notional, per side, by default the policy's own; slippage_bps: basis points by which each fill is worse than
    the price; long_only: targets below 0 mean flat; initial_position: −1, 0 or 1, which the agent holds before the
    first bar (and knows of), and the account takes at that bar's fill; start, end: ISO 8601 times of the first bar
    included and of the first excluded; year_days: trading days per year, for annualising.
    Raises ArtifactError if policy and history do not fit, InputError for a bad option.
    """
    assumed = TradingAssumptions(
        fill=resolve_fill(fill, "open" in history.columns),
        fee_bps=policy.config.environment.market.fee_bps if fee_bps is None else fee_bps,
        slippage_bps=slippage_bps, long_only=long_only, initial_position=initial_position,
    )  # fmt: skip
    return Engine(
        policy, history, assumed, start=None if start is None else parse_time(start, "start"),
        end=None if end is None else parse_time(end, "end"), year_days=year_days,
    )  # fmt: skip


def _kpis_file(summary: dict) -> dict:
    return null_nan({"schema_version": SCHEMA_VERSION, **summary})


def _finish(folder: Path, result: dict, policy: Policy, data: dict) -> None:
    write_json(folder / "kpis.json", result)
    write_backtest_run(folder, "backtest", result["assumptions"], policy, data)


def calibrate(history: History) -> dict[str, float]:
    """Mean and sample deviation of the log return per bar, like the simulated market's parameters."""
    returns = np.diff(np.log(history.close))
    return {"drift": float(returns.mean()), "vol": float(returns.std(ddof=1)) if returns.size > 1 else 0.0}
