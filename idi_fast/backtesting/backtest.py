"""Backtest a policy on price history: roll it out causally, keep its account, and compute its KPIs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack, overload

import numpy as np
import polars as pl

from idi_fast import display
from idi_fast.agents.policy import Policy, check_policy
from idi_fast.agents.trace import Trace, joined
from idi_fast.backtesting.account import Account, account_columns, assume
from idi_fast.backtesting.engine import Engine, Segment
from idi_fast.backtesting.files import EquityRows, TradeRows, backtest_files
from idi_fast.backtesting.kpi_units import kpi_rows, shown_row
from idi_fast.data.history import History, HistoryLike, required_history
from idi_fast.data.in_sample import describe_data
from idi_fast.data.loading import HistoryFiles
from idi_fast.data.timestamps import parse_time
from idi_fast.errors import InputError
from idi_fast.kernels.backtest import EXIT_BAR
from idi_fast.storage.files import new_directory, write_json
from idi_fast.storage.json_files import null_nan
from idi_fast.storage.manifests import SCHEMA_VERSION
from idi_fast.training.artifact import backtest_run_file, write_backtest_run
from idi_fast.training.population import Population

if TYPE_CHECKING:
    from idi_fast.backtesting.populations import PopulationBacktest


@dataclass(frozen=True)
class Backtest(display.Plotted):
    """A finished backtest over n bars in memory; made by `backtest`.

    Attributes
    ----------
    kpis : dict of str to float
        Figures of the account by name, see docs/KPIS.md; NaN where one is undefined.
    trades : polars.DataFrame
        A row per trade: when and at what price it began and ended, and what it earned.
    equity : polars.DataFrame
        A row per bar: time, close, position, equity from 1, drawdown, and buying and holding.
    assumptions : dict
        The fill, costs and bars assumed.
    undefined : dict of str to str
        Why a figure is undefined, by its name.
    buy_and_hold : dict of str to float
        The figures of buy and hold.
    alerts : dict
        How well the policy's alerts predicted risk events, by mood and regime.
    notes : list of str
        Reasons to doubt the figures.
    calibration : list of dict or None
        Of a planned policy what its table expected of actions, by bucket, and what came of it; None of a learnt one.
    trace : Trace
        A row per bar of what the agent saw and did.
    account : Account
        Equity and position as arrays (n,), and the trades.
    held_equity : numpy.ndarray
        float64 (n,), the equity of buying and holding, from 1.
    history : History
        The bars from the start to the end.
    policy : Policy
        The tested policy.
    """

    assumptions: dict
    kpis: dict
    undefined: dict
    buy_and_hold: dict
    alerts: dict
    notes: list[str]
    account: Account
    held_equity: np.ndarray
    history: History
    policy: Policy
    _make_engine: Callable[[], Engine]
    calibration: list[dict] | None = None

    @cached_property
    def trace(self) -> Trace:
        """A row per bar of what the agent saw and did; made when it is first asked for, by following the policy once
        more, since it takes ten times the memory of all else; InputError if policy or history were changed."""
        engine = self._make_engine()
        return joined([engine.trace(segment) for segment in self._again(engine)])

    def _again(self, engine: Engine) -> Iterator[Segment]:
        first = 0
        for segment in engine.segments():
            bars = slice(first, first := first + segment.equity.size)
            kept = self.account.position[bars], self.account.equity[bars]
            if not all(map(np.array_equal, kept, (segment.position, segment.equity))):
                raise InputError("the policy or the history was changed after the backtest; backtest it again")
            yield segment

    @cached_property
    def equity(self) -> pl.DataFrame:
        """A row per bar, see `equity_frame`."""
        return self.equity_frame()

    @cached_property
    def trades(self) -> pl.DataFrame:
        """A row per trade, see `trades_frame`."""
        return self.trades_frame()

    def __repr__(self) -> str:
        return display.as_text(self._title(), self._rows(), _HEADS)

    def _repr_html_(self) -> str:
        lines = {"policy": self.account.equity, "buy and hold": self.held_equity}
        links = display.file_links(display.saved_at(self))
        return display.as_html(self._title(), self._rows(), _HEADS, lines, links=links)

    def summary_frame(self) -> pl.DataFrame:
        """A row for the policy and one for buying and holding, a column per figure of docs/KPIS.md."""
        return kpi_rows(self.kpis, self.buy_and_hold)

    def _title(self) -> str:
        about = self.assumptions
        times = f", {about['first_time']} to {about['last_time']}" if about["first_time"] else ""
        sample = ", in sample" if about["in_sample"] else ""
        return f"Backtest of {about['bars']:,} bars{times}, {about['fill']}, {about['fee_bps']:g} bps{sample}"

    def _rows(self) -> list[tuple]:
        return [shown_row(name, self.kpis.get(name), self.buy_and_hold.get(name, "")) for name in SHOWN_KPIS]

    def to_dict(self) -> dict:
        """The content of kpis.json; undefined values are null."""
        calibration = {} if self.calibration is None else {"calibration": self.calibration}
        return _kpis_file({name: getattr(self, name) for name in _KPIS} | calibration)

    def run_file(self) -> dict:
        """The content of run.json."""
        return backtest_run_file("backtest", self.assumptions, self.policy, describe_data(self.history))

    def equity_frame(self) -> pl.DataFrame:
        """A row per bar: see `backtest_files.EquityRows`."""
        return EquityRows().frame(self.history, self.account.position, self.account.equity, self.held_equity)

    def trades_frame(self) -> pl.DataFrame:
        """A row per trade: see `backtest_files.TradeRows`."""
        rows, trades = TradeRows(), self.account.trades
        is_open = trades[:, EXIT_BAR] < 0
        return pl.concat([rows.frame(self.history, trades[~is_open], trades[is_open]), rows.last(trades[is_open])])

    def save(self, out: str | Path, *, force: bool = False) -> None:
        """Write the folder that `idi-fast backtest` writes; `force` replaces an earlier one. Raises OutputError."""
        with new_directory(out, force=force) as folder:
            engine = self._make_engine()
            _write_tables(folder, engine, self._again(engine), self.policy)
            _finish(folder, self.to_dict(), self.policy, engine.describe_data())
        display.remember_place(self, out)


SHOWN_KPIS = ("total_return", "sharpe_annualised", "max_drawdown", "trades", "exposure")
"""The figures that a backtest shows when it is printed."""
_HEADS = ("", "policy", "buy and hold")
_KPIS = ("assumptions", "kpis", "undefined", "buy_and_hold", "alerts", "notes")


class BacktestOptions(TypedDict, total=False):
    """The options of `backtest`, by name."""

    fill: str | None
    fee_bps: float | None
    slippage_bps: float
    long_only: bool
    initial_position: int
    size: float
    cash_rate: float | None
    borrow_bps: float | None
    funding: str | None
    risk_free: float | str
    start: str | date | None
    end: str | date | None
    year_days: int | None


@overload
def backtest(policy: Policy, history: HistoryLike, **options: Unpack[BacktestOptions]) -> Backtest: ...
@overload
def backtest(
    policy: Population | Sequence[Policy], history: HistoryLike, **options: Unpack[BacktestOptions]
) -> "PopulationBacktest": ...
def backtest(
    policy: Policy | Population | Sequence[Policy],
    history: HistoryLike,
    *,
    fill: str | None = None,
    fee_bps: float | None = None,
    slippage_bps: float = 0.0,
    long_only: bool = False,
    initial_position: int = 0,
    size: float = 1.0,
    cash_rate: float | None = None,
    borrow_bps: float | None = None,
    funding: str | None = None,
    risk_free: float | str = 0.0,
    start: str | date | None = None,
    end: str | date | None = None,
    year_days: int | None = None,
) -> "Backtest | PopulationBacktest":
    """Replay a policy over a price history in memory, causally, and keep its account; or many policies in one pass.

    Parameters
    ----------
    policy
        A policy of the crypto or history environment; or a population that kept all its policies, or a list of some:
        the bars are then encoded once for all that read them alike, and each has the figures that it has alone.
    history
        Bars with the columns that the policy's features read; they need times if `start` or `end` is given.
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
        -1, 0 or 1, held before the first bar.
    size
        Share of the equity, above 0, that a position and its fee take at its entry; it is not rebalanced while held.
    cash_rate
        Interest a year on the equity that is in no position, 0.04 being 4%; by default the policy's own.
    borrow_bps
        Basis points of its notional that a short pays a year; by default the policy's own.
    funding
        Column of the funding rate at each bar, which longs pay and shorts receive; by default the policy's own.
    risk_free
        Rate a year, or a column of such rates, that Sharpe, Sortino and alpha compare returns with.
    start, end
        Times of the first bar wanted, and of the first no longer wanted: ISO 8601 text or a date, UTC unless it says
        otherwise. The bars before `start` fill the features' windows. Without a start a policy that was trained with a
        split (`environment.data.split`) is tested from there on.
    year_days
        Trading days of a year, to annualise by; by default the time between the bars.

    Returns
    -------
    Backtest or PopulationBacktest
        Of a policy `kpis`, `trades`, `equity`, trace and account; of many a `table` with a row per policy, and the
        `spread` of each figure. `save` writes what `idi-fast backtest` writes.

    Raises
    ------
    ArtifactError
        If policy and history do not fit.
    InputError
        For a bad option.

    Examples
    --------
    >>> import numpy as np
    >>> import idi_fast as idi
    >>> close = 100.0 + np.sin(np.arange(300) / 5.0)
    >>> time = np.arange(300) * 86_400 * 10**9  # ns: a bar per day from 1970 on
    >>> bars = idi.History.from_frame({"time": time.view("datetime64[ns]"), "open": close, "close": close})
    >>> run = idi.train({"episodes": 4, "episode_length": 16}, bars, seed=0)
    >>> test = idi.backtest(run.policy, bars, start="1970-07-01", fee_bps=5)
    >>> test.equity.height
    119
    >>> {"total_return", "sharpe_annualised", "max_drawdown"} <= test.kpis.keys()
    True
    """
    options: BacktestOptions = {
        "fill": fill,
        "fee_bps": fee_bps,
        "slippage_bps": slippage_bps,
        "long_only": long_only,
        "initial_position": initial_position,
        "size": size,
        "cash_rate": cash_rate,
        "borrow_bps": borrow_bps,
        "funding": funding,
        "risk_free": risk_free,
        "start": start,
        "end": end,
        "year_days": year_days,
    }
    if isinstance(policy, Population | list | tuple):
        from idi_fast.backtesting.populations import backtest_population, members

        return backtest_population(members(policy), history, **options)
    policy = check_policy(policy)
    history = required_history(history, extra=account_columns(policy.config, funding, risk_free))
    make = partial(make_engine, policy, history, **options)
    engine = make()
    kept = [(part.equity, part.position, part.held_equity, part.trades) for part in engine.segments()]
    equity, position, held_equity, trades = map(np.concatenate, zip(*kept, strict=True))
    first, whole = engine.first_bar, equity.size == len(history)
    return Backtest(
        **engine.summary(),
        account=Account(equity, position, np.concatenate([trades, engine.keeper.open_trade]), **engine.keeper.totals),
        held_equity=held_equity,
        history=history if whole else history.slice(first, first + equity.size),
        policy=policy,
        _make_engine=make,
    )


def write_backtest(
    folder: Path,
    policy: Policy,
    history: History | HistoryFiles,
    *,
    trace: bool = True,
    **options: Unpack[BacktestOptions],
) -> dict:
    """Fill an empty folder with a backtest, in memory that does not grow with the history; returns the content of
    kpis.json.

    trace: whether to write the tables per bar and per trade, and the streams; otherwise kpis.json, run.json and
    manifest.json only. Other arguments and errors: those of `make_engine`.
    """
    engine = make_engine(policy, history, **options)
    if trace:
        _write_tables(folder, engine, engine.segments(), policy)
    else:
        for _ in engine.segments():
            pass  # the engine keeps count
    result = _kpis_file(engine.summary())
    _finish(folder, result, policy, engine.describe_data())
    return result


def make_engine(
    policy: Policy,
    history: History | HistoryFiles,
    *,
    fill: str | None = None,
    fee_bps: float | None = None,
    slippage_bps: float = 0.0,
    long_only: bool = False,
    initial_position: int = 0,
    size: float = 1.0,
    cash_rate: float | None = None,
    borrow_bps: float | None = None,
    funding: str | None = None,
    risk_free: float | str = 0.0,
    start: str | date | None = None,
    end: str | date | None = None,
    year_days: int | None = None,
    symbol: str | None = None,
) -> Engine:
    """The engine of a policy over a history.

    The decision on bar t uses bars up to t only. What follows enters the account, never the decisions: an agent's mood
    follows the rewards that its own config defines.

    fill: "next_open" (default if there is an open), "next_close" or "same_close"; fee_bps: basis points of the
    traded notional, per side, by default the policy's own; slippage_bps: basis points by which each fill is worse than
    the price; long_only: targets below 0 mean flat; initial_position: −1, 0 or 1, which the agent holds before the
    first bar (and knows of), and the account takes at that bar's fill; size, cash_rate, borrow_bps, funding,
    risk_free: see `TradingAssumptions`, by default the policy's own; start, end: ISO 8601 times of the first bar
    included and of the first excluded; year_days: trading days per year, for annualising; symbol: that of the history,
    whose own edges a policy may have.
    Raises ArtifactError if policy and history do not fit, InputError for a bad option.
    """
    assumed = assume(
        policy.config,
        history.columns,
        fill=fill,
        fee_bps=fee_bps,
        slippage_bps=slippage_bps,
        long_only=long_only,
        initial_position=initial_position,
        size=size,
        cash_rate=cash_rate,
        borrow_bps=borrow_bps,
        funding=funding,
        risk_free=risk_free,
    )
    begin, whence = _start(policy, start)
    return Engine(
        policy,
        history,
        assumed,
        start=begin,
        end=None if end is None else parse_time(end, "end"),
        year_days=year_days,
        symbol=symbol,
        whence=whence,
    )


def _start(policy: Policy, start: str | date | None) -> tuple[int | None, str]:
    """When a backtest begins, and where that is said in words: if it was not given, it is at the split of the policy's
    training, if that had one."""
    split = policy.config.environment.data.split
    if start is None and split is not None and not split.endswith("%"):
        return parse_time(split, "start"), ", where the policy's training ended; `start` chooses another time"
    return None if start is None else parse_time(start, "start"), ""


def _write_tables(folder: Path, engine: Engine, segments: Iterable[Segment], policy: Policy) -> None:
    with backtest_files(folder, policy.config) as writer:
        for segment in segments:
            writer.write(segment, engine.trace(segment))
        writer.finish(engine.keeper.open_trade)


def _kpis_file(summary: dict) -> dict:
    return null_nan({"schema_version": SCHEMA_VERSION, **summary})


def _finish(folder: Path, result: dict, policy: Policy, data: dict) -> None:
    write_json(folder / "kpis.json", result)
    write_backtest_run(folder, "backtest", result["assumptions"], policy, data)


def calibrate(history: History) -> dict[str, float]:
    """Mean and sample deviation of the log return per bar, like the simulated market's parameters."""
    returns = np.diff(np.log(history.close))
    return {"drift": float(returns.mean()), "vol": float(returns.std(ddof=1)) if returns.size > 1 else 0.0}
