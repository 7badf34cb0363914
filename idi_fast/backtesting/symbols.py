"""Backtest a policy on many symbols in parallel: each on its own, and all as one book of equal parts."""

import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Unpack

import numpy as np
import polars as pl

from idi_fast import display
from idi_fast.agents.policy import Policy
from idi_fast.backtesting.backtest import SHOWN_KPIS, BacktestOptions, make_engine
from idi_fast.backtesting.calibration import Calibration, with_calibration
from idi_fast.backtesting.engine import Engine, NoBars
from idi_fast.backtesting.files import GROUP_ROWS, ReturnRows, TradeRows
from idi_fast.backtesting.kpi_accumulator import KpiAccumulator
from idi_fast.backtesting.kpi_definitions import Totals
from idi_fast.backtesting.kpi_units import kpi_rows, shown_row
from idi_fast.backtesting.risk_free import check_one_rate
from idi_fast.config.money import EARNED_AND_PAID, OF_MONEY
from idi_fast.data.bar_frequency import BarTimes, ElapsedYears
from idi_fast.data.history import History
from idi_fast.data.loading import HistoryFiles
from idi_fast.data.timestamps import iso_time, time_series
from idi_fast.errors import InputError
from idi_fast.parallel.worker_pool import WorkerPool, usable_cores
from idi_fast.storage.files import digest, write_json
from idi_fast.storage.json_files import null_nan
from idi_fast.storage.manifests import SCHEMA_VERSION
from idi_fast.storage.tables import TableWriter, write_table
from idi_fast.training.artifact import write_backtest_run


class Book:
    """Equal capital in each of several accounts, never moved between them; cash before an account's first bar, and its
    final value after its last.

    times int64 (n,): those of all bars, in ns UTC, or without times the numbers of the bars; equity float64 (n,): of
    the book; held_equity float64 (n,): of buying and holding all symbols.
    """

    def __init__(self) -> None:
        self.accounts = 0
        self.times = np.empty(0, np.int64)
        self._sums = np.empty((2, 0))

    def add(self, times: np.ndarray, equity: np.ndarray, held_equity: np.ndarray) -> None:
        """Another account: times int64 (n,), equity and held_equity float64 (n,)."""
        own = np.stack([equity, held_equity])
        if np.array_equal(times, self.times):
            self._sums += own
        else:
            union = np.union1d(self.times, times)
            before = np.full((2, 1), float(self.accounts))
            self._sums = _last_known(self.times, self._sums, before, union)
            self._sums += _last_known(times, own, np.ones((2, 1)), union)
            self.times = union
        self.accounts += 1

    @property
    def equity(self) -> np.ndarray:
        """Of the book, from 1."""
        return self._sums[0] / self.accounts

    @property
    def held_equity(self) -> np.ndarray:
        """Of buying and holding all symbols."""
        return self._sums[1] / self.accounts


def _last_known(times: np.ndarray, values: np.ndarray, before: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Values (2, n) as of the given times; `before` (2, 1) at those before the first."""
    return np.concatenate([before, values], axis=1)[:, np.searchsorted(times, wanted, side="right")]


class _Run:
    """A symbol's finished backtest; its arrays are dropped once they are added to the book."""

    def __init__(self, engine: Engine, *, with_trades: bool):
        rows, times, equity, held, frames = TradeRows(), [], [], [], []
        for segment in engine.segments(ahead=False):
            history, first = segment.seen.history, segment.first
            times.append(np.arange(first, first + len(history)) if history.time is None else history.time)
            equity.append(segment.equity)
            held.append(segment.held_equity)
            if with_trades:
                frames.append(rows.frame(history, segment.trades, segment.open_trade))
        if with_trades:
            frames.append(rows.last(engine.keeper.open_trade))
        self.trades = pl.concat(frames) if frames else None
        self.series = np.concatenate(times), np.concatenate(equity), np.concatenate(held)
        # Here, in the symbol's own thread: only adding up waits for the others.
        self.summary, self.data, self.accumulator = engine.summary(), engine.describe_data(), engine.accumulator
        self.spike_note, self.calibration = engine.spike_note(), engine.calibration


class SymbolBacktest(display.Plotted):
    """The backtests of a policy on many symbols, added up in the given order.

    symbols: a row per symbol: its name, bars, first and last time, all KPIs, and the total return of buy and hold;
    book: see `Book`; skipped: symbols without a bar between the start and the end.
    """

    def __init__(self, most_bars: int, year_days: int | None):
        self.book, self.skipped = Book(), []
        self._rows: list[dict] = []
        self._accumulator, self._bar_times = KpiAccumulator(most_bars), BarTimes(year_days)
        self._assumed: dict = {}
        self._optimism: dict[str, float] = {}
        self._has_times: bool | None = None
        self._with_spikes: list[tuple[str, str]] = []
        self._calibration: Calibration | None = None
        self.data: dict[str, dict] = {}
        self._result: dict | None = None

    def add(self, symbol: str, run: _Run) -> None:
        """The next symbol."""
        summary, about = run.summary, run.data
        has_times = about["first_time"] is not None
        if self._has_times not in (None, has_times):
            raise InputError(f"symbol {symbol!r} has {'' if has_times else 'no '}times, unlike those before it")
        self._has_times, self.data[symbol] = has_times, about
        self.book.add(*run.series)
        self._accumulator.add_counts(run.accumulator)
        if self._calibration is None:
            self._calibration = run.calibration
        elif run.calibration is not None:
            self._calibration.add(run.calibration)
        assumed = summary["assumptions"]
        self._assumed = {name: assumed[name] for name in TERMS}
        self._optimism |= {name: assumed[name] for name in ("optimism",) if name in assumed}
        if run.spike_note is not None:
            self._with_spikes.append((symbol, run.spike_note))
        held = {"buy_and_hold_total_return": summary["buy_and_hold"]["total_return"]}
        times = {name: assumed[name] for name in ("bars", "first_time", "last_time", "in_sample", "dropped_rows")}
        self._rows.append({"symbol": symbol, **times, **summary["kpis"], **held})

    def __repr__(self) -> str:
        return display.as_text(self._title(), self._shown(), _HEADS)

    def _repr_html_(self) -> str:
        lines = {"book": self.book.equity, "buy and hold": self.book.held_equity}
        return display.as_html(self._title(), self._shown(), _HEADS, lines)

    def _title(self) -> str:
        return f"Backtests of {len(self._rows):,} symbols"

    def _shown(self) -> list[tuple]:
        result = self.to_dict()
        own, held = result["kpis"], result["buy_and_hold"]
        return [shown_row(name, own.get(name), held.get(name, "")) for name in SHOWN_KPIS]

    def summary_frame(self) -> pl.DataFrame:
        """A row for the book and one for buying and holding, a column per figure of docs/KPIS.md."""
        result = self.to_dict()
        return kpi_rows(result["kpis"], result["buy_and_hold"])

    @property
    def symbols(self) -> pl.DataFrame:
        """A row per symbol."""
        return pl.DataFrame(self._rows, infer_schema_length=None).with_columns(pl.selectors.float().fill_nan(None))

    def to_dict(self) -> dict:
        """The content of kpis.json: the KPIs of the book; those of trades and decisions are over all symbols
        together. There are no more symbols to add then."""
        if self._result is None:
            self._result = self._pooled()
        return self._result

    def _pooled(self) -> dict:
        book, table, bars = self.book, self.symbols, [row["bars"] for row in self._rows]
        if self._has_times:
            self._bar_times.push(book.times)
        frequency = self._bar_times.frequency()
        mean = {name: float(np.average(table[name].to_numpy(), weights=bars)) for name in BY_BAR}
        totals = Totals(
            int(table["open_trades"].sum()),
            *table.select(pl.col(AMOUNTS).mean()).row(0),
            mean_reward=mean["mean_reward"],
        )
        self._accumulator.push(
            book.equity, np.zeros(book.times.size, np.int8), book.held_equity, self._riskless(book.times)
        )
        result = self._accumulator.result(frequency, totals)
        samples = {row["in_sample"] for row in self._rows}
        assumptions = {
            **self._assumed,
            "symbols": len(self._rows),
            "symbols_without_bars": len(self.skipped),
            "bars": sum(bars),
            "first_time": iso_time(book.times[0]) if self._has_times else None,
            "last_time": iso_time(book.times[-1]) if self._has_times else None,
            "in_sample": True if True in samples else None if None in samples else False,
            **self._optimism,
            "periods_per_year": frequency.periods_per_year,
            "dropped_rows": int(table["dropped_rows"].sum()),
        }
        own = {**mean, "liquidated_symbols": int(table["liquidated_at"].is_not_null().sum())}
        summary = {
            "schema_version": SCHEMA_VERSION,
            "assumptions": assumptions,
            "kpis": {**result.kpis, **own},
            "undefined": {name: why for name, why in result.undefined.items() if name not in mean},
            "buy_and_hold": result.buy_and_hold,
            "notes": [note for note in (self._spike_note(), frequency.caution) if note is not None],
        }
        return null_nan(with_calibration(summary, self._calibration))

    def _riskless(self, times: np.ndarray) -> np.ndarray | None:
        rate = self._assumed["risk_free"]
        return rate * ElapsedYears().push(times) if rate else None

    def _spike_note(self) -> str | None:
        if not self._with_spikes:
            return None
        symbol, note = self._with_spikes[0]
        others = f" (one of {len(self._with_spikes):,} symbols with such bars)" if len(self._with_spikes) > 1 else ""
        return f"symbol {symbol!r}{others}: {note}"

    def equity_frame(self) -> pl.DataFrame:
        """A row per bar of the book: time or tick, equity from 1, drawdown, and buying and holding."""
        times = self.book.times
        frame = pl.DataFrame({"time": time_series(times)} if self._has_times else {"tick": times})
        equity, held = self.book.equity, self.book.held_equity
        drawdown = equity / np.maximum(1.0, np.maximum.accumulate(equity)) - 1.0
        return frame.with_columns(equity=equity, drawdown=drawdown, buy_and_hold=held)

    def write_tables(self, folder: Path) -> None:
        """equity.parquet and returns.csv of the book."""
        write_table(folder / "equity.parquet", self.equity_frame())
        text = ReturnRows().text(self.book.times if self._has_times else None, self.book.equity)
        (folder / "returns.csv").write_text(text, encoding="utf-8", newline="\n")


_HEADS = ("", "book", "buy and hold")
TERMS = ("fill", "fee_bps", "slippage_bps", "long_only", "initial_position", *OF_MONEY)
AMOUNTS = ("turnover", "fees", "slippage", *EARNED_AND_PAID)
"""KPIs in units of the initial equity, whose value for all symbols is their mean."""
BY_BAR = ("exposure", "mean_reward", "unvisited_states")
"""KPIs whose value for all symbols is their mean, weighted by bars."""


def backtest_symbols(
    policy: Policy,
    histories: Mapping[str, History | HistoryFiles],
    *,
    jobs: int | None = None,
    trades: Callable[[pl.DataFrame], None] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **options: Unpack[BacktestOptions],
) -> SymbolBacktest:
    """Backtest a policy on many symbols, several at a time; the result does not depend on how many.

    histories: by symbol; jobs: symbols at a time, by default the usable cores; trades: called with the trades of each
    symbol, in order, a frame of `TradeRows` with its name; progress: called with the number of finished symbols, and of
    all. Other arguments and errors: those of `make_engine`; the text names the symbol.
    """
    if not histories:
        raise InputError("there are no symbols")
    check_one_rate(options.get("risk_free"))
    names = list(histories)
    # One more than there are cores, since each sometimes waits for its files.
    workers, lock = WorkerPool(usable_cores() + 1 if jobs is None else jobs, len(names)), threading.Lock()
    result = SymbolBacktest(sum(history.most_bars for history in histories.values()), options.get("year_days"))
    waiting: dict[int, _Run | None] = {}
    added, adding = 0, False

    def add_next() -> bool:
        """Add up the next symbol if it is finished; in fixed order, so that the sums are the same."""
        nonlocal added, adding
        with lock:
            adding = added in waiting
            if not adding:
                return False
            symbol, ready = names[added], waiting.pop(added)
        if ready is None:
            result.skipped.append(symbol)
        else:
            result.add(symbol, ready)
            if trades is not None and ready.trades is not None:
                trades(ready.trades.select(pl.lit(symbol).alias("symbol"), pl.all()))
        added += 1
        progress(added, len(names))
        return True

    def run(number: int) -> None:
        nonlocal adding
        name = names[number]
        try:
            engine = make_engine(policy, histories[name], symbol=name, **options)
            done = _Run(engine, with_trades=trades is not None)
        except NoBars:
            done = None
        except InputError as error:
            raise type(error)(f"symbol {name!r}: {error}") from error
        with lock:
            waiting[number] = done
            is_adder, adding = not adding, True
        # One thread at a time adds up, while the others continue with their symbols.
        while is_adder and add_next():
            continue

    workers.each(run, range(len(names)))
    if not result.data:
        raise NoBars("no bar of any symbol lies between the start and the end")
    return result


def write_symbol_backtest(
    folder: Path,
    policy: Policy,
    histories: Mapping[str, History | HistoryFiles],
    files: Iterable[Path],
    *,
    trace: bool = True,
    jobs: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **options: Unpack[BacktestOptions],
) -> dict:
    """Fill an empty folder with kpis.json, symbols.parquet, run.json, manifest.json and, with `trace`, equity.parquet,
    returns.csv (of the book) and trades.parquet; returns the content of kpis.json.

    files: those that the histories were opened from. Other arguments and errors: those of `backtest_symbols`.
    """
    if trace:
        with TableWriter(folder / "trades.parquet", group_rows=GROUP_ROWS) as table:
            result = backtest_symbols(policy, histories, jobs=jobs, trades=table.write, progress=progress, **options)
        result.write_tables(folder)
    else:
        result = backtest_symbols(policy, histories, jobs=jobs, progress=progress, **options)
    write_table(folder / "symbols.parquet", result.symbols)
    summary = result.to_dict()
    write_json(folder / "kpis.json", summary)
    digests = {name: made for run in result.data.values() for name, made in run["files"].items()}
    # If rows were sorted apart, the symbols were read from other files than the user's.
    digests = {str(file): digests.get(str(file)) or digest(file) for file in files}
    data = {"files": digests, "symbols": result.data, "without_bars": result.skipped}
    write_backtest_run(folder, "symbol-backtest", summary["assumptions"], policy, data)
    return summary
