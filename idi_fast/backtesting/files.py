"""The tables of a backtest, made a segment of bars at a time."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np
import polars as pl

from idi_fast.agents.streams import StreamFiles
from idi_fast.agents.trace import Trace
from idi_fast.agents.trace_files import trace_metadata
from idi_fast.backtesting.engine import Segment
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.candles import Candles
from idi_fast.data.history import History
from idi_fast.data.timestamps import time_series
from idi_fast.kernels.backtest import ENTRY_BAR, EXIT_BAR, TRADE_COLUMNS
from idi_fast.storage.tables import TableWriter, write_table

GROUP_ROWS = 262_144
"""Rows of a row group: few enough to buffer, many enough to be read quickly."""


class EquityRows:
    """The rows of equity.parquet: tick, time, close, position held at the close, equity, drawdown, buy_and_hold (its
    equity)."""

    def __init__(self) -> None:
        self._bars, self._peak = 0, 1.0

    def frame(
        self, history: History, position: np.ndarray, equity: np.ndarray, held_equity: np.ndarray
    ) -> pl.DataFrame:
        """A row for each of the next bars."""
        peak = np.maximum(self._peak, np.maximum.accumulate(equity))
        columns: dict[str, object] = {"tick": np.arange(self._bars, self._bars + len(history))}
        self._bars, self._peak = self._bars + len(history), peak[-1]
        if history.time is not None:
            columns["time"] = time_series(history.time)
        columns |= {"close": history.close, "position": position, "equity": equity}
        return pl.DataFrame({**columns, "drawdown": equity / peak - 1.0, "buy_and_hold": held_equity})


class TradeRows:
    """The rows of trades.parquet: entry_bar, exit_bar, entry_time, exit_time, direction (1 or −1), entry_price,
    exit_price, profit after costs as a share of the equity at entry, fees and slippage in units of the initial equity,
    bars held. A trade that is still open has neither exit nor profit."""

    def __init__(self) -> None:
        self._bars, self._has_times, self._entry_time = 0, False, 0

    def frame(self, history: History, trades: np.ndarray, open_trade: np.ndarray) -> pl.DataFrame:
        """Trades float64 (m, 8) that ended on the next bars; open_trade float64 (0 or 1, 8): open at their end."""
        first, self._bars = self._bars, self._bars + len(history)
        times = {}
        self._has_times = history.time is not None
        if history.time is not None:
            times = {"entry": self._entries(history.time, trades, first)}
            times["exit"] = history.time[trades[:, EXIT_BAR].astype(np.int64) - first]
            if len(open_trade) and open_trade[0, ENTRY_BAR] >= first:
                self._entry_time = history.time[int(open_trade[0, ENTRY_BAR]) - first]
        return self._rows(trades, times)

    def last(self, open_trade: np.ndarray) -> pl.DataFrame:
        """The row of the trade that is still open at the end, float64 (0 or 1, 8)."""
        times = {}
        if self._has_times:
            times = {"entry": np.full(len(open_trade), self._entry_time), "exit": None}
        row = self._rows(open_trade, times)
        return row.with_columns(pl.lit(None).alias(name).cast(row.schema[name]) for name in ("exit_bar", "bars"))

    def _entries(self, time: np.ndarray, trades: np.ndarray, first: int) -> np.ndarray:
        # Only the first trade that ends here can have begun in an earlier segment.
        bar = trades[:, ENTRY_BAR].astype(np.int64) - first
        entries = time[np.maximum(bar, 0)]
        if bar.size and bar[0] < 0:
            entries[0] = self._entry_time
        return entries

    @staticmethod
    def _rows(trades: np.ndarray, times: Mapping[str, np.ndarray | None]) -> pl.DataFrame:
        columns = dict(zip(TRADE_COLUMNS, trades.T, strict=True))
        entry, leave = (columns.pop(name).astype(np.int64) for name in ("entry_bar", "exit_bar"))
        made: dict[str, object] = {"entry_bar": entry, "exit_bar": leave}
        if times:
            nothing = pl.Series([None] * len(trades), dtype=pl.Datetime("ns", "UTC"))
            made |= {
                f"{name}_time": nothing if time is None else time_series(np.asarray(time, np.int64))
                for name, time in times.items()
            }
        made["direction"] = columns.pop("direction").astype(np.int8)
        made |= columns
        return pl.DataFrame({**made, "bars": leave - entry}).with_columns(pl.selectors.float().fill_nan(None))


class ReturnRows:
    """The rows of returns.csv, for portfolio tools: time (or tick) and the return of each bar, 0 after a
    liquidation."""

    def __init__(self) -> None:
        self._bars, self._equity = 0, 1.0

    def text(self, time: np.ndarray | None, equity: np.ndarray) -> str:
        """A line for each of the next bars, after the header if they are the first; time int64 (n,) ns UTC or None."""
        before = np.concatenate([[self._equity], equity[:-1]])
        returns = np.divide(equity, before, out=np.ones(equity.size), where=before > 0.0) - 1.0
        index = np.arange(self._bars, self._bars + equity.size) if time is None else time_series(time)
        name = "tick" if time is None else "time"
        frame = pl.DataFrame({name: index, "return": returns})
        header = self._bars == 0
        self._bars, self._equity = self._bars + equity.size, equity[-1]
        return frame.write_csv(include_header=header, datetime_format="%Y-%m-%dT%H:%M:%S%.f")


class Writer:
    """Appends segments of a backtest to its tables and streams; see `backtest_files`."""

    def __init__(
        self, equity: TableWriter, trades: TableWriter, trace: TableWriter, returns: TextIO, streams: StreamFiles
    ):
        self._equity, self._trades, self._trace, self._returns, self._streams = equity, trades, trace, returns, streams
        self._rows = EquityRows(), TradeRows(), ReturnRows()
        self.candles = Candles()

    def write(self, segment: Segment, trace: Trace) -> None:
        """The next segment."""
        history = segment.seen.history
        equity, trades, returns = self._rows
        self._equity.write(equity.frame(history, segment.position, segment.equity, segment.held_equity))
        self._trades.write(trades.frame(history, segment.trades, segment.open_trade))
        self._returns.write(returns.text(history.time, segment.equity))
        self._trace.write(trace.frame(segment.first))
        self._streams.write(trace.streams)
        self.candles.push(history)

    def finish(self, open_trade: np.ndarray) -> None:
        """The trade that is still open after the last segment."""
        self._trades.write(self._rows[1].last(open_trade))


@contextmanager
def backtest_files(folder: Path, config: TrainingConfig) -> Iterator[Writer]:
    """equity.parquet, trades.parquet, trace.parquet, returns.csv, streams/ and, of bars with more than closes,
    candles.parquet in a folder, complete when the block ends."""
    with (
        TableWriter(folder / "equity.parquet", group_rows=GROUP_ROWS) as equity,
        TableWriter(folder / "trades.parquet", group_rows=GROUP_ROWS) as trades,
        TableWriter(folder / "trace.parquet", trace_metadata(config), group_rows=GROUP_ROWS) as trace,
        open(folder / "returns.csv", "w", encoding="utf-8", newline="\n") as returns,
        StreamFiles(folder / "streams") as streams,
    ):
        writer = Writer(equity, trades, trace, returns, streams)
        yield writer
    if writer.candles.is_more_than_closes:
        write_table(folder / "candles.parquet", writer.candles.frame())
