"""An account over time, read from equity.parquet block by block and thinned out for plotting."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view

from idi_fast.backtesting import kpis
from idi_fast.storage.tables import Table

MOST_POINTS = 4_000
"""Approximate points of a line; a screen has no more columns."""
BLOCK_ROWS = 2**20
LEAST_WINDOW = 30
"""Fewest bars of a window for which a Sharpe ratio is worth drawing."""


@dataclass(frozen=True)
class Line:
    """x int64 (n,): ms since 1970 or ticks; y float64 (n,)."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Course:
    """An account over time in buckets of `size` bars; 1 if nothing had to be thinned out.

    is_dated: whether there are times; lines: by column, with the lowest and the highest value of each bucket, and the
    first and the last of all; ends int64 (buckets,): x of a bucket's last bar; sides float64 (2, buckets): mean
    exposure to the long side and, negative, to the short, None if the table has no position; moments: by column
    those of the bars' returns, from `bucket_moments`, and as "excess" those of what the policy's exceed the held
    ones by; months: the equity at the end of each month, by months
    since 1970, in order.
    """

    bars: int
    size: int
    is_dated: bool
    lines: dict[str, Line]
    ends: np.ndarray
    sides: np.ndarray | None
    moments: dict[str, np.ndarray]
    months: dict[int, float]


def bucket_size(bars: int) -> int:
    """Bars per bucket, so that two values of each make a line of at most MOST_POINTS; 1 if all bars fit."""
    return 1 if bars <= MOST_POINTS else -(-bars // (MOST_POINTS // 2))


def read_course(source: Path | Table) -> Course:
    """The account in a backtest's equity.parquet over time, in one pass with one block in memory.

    The equity of many symbols has neither close nor position.
    """
    table = Table.open(source)
    found, bars = table.columns, table.rows
    is_dated = "time" in found
    size = bucket_size(bars)
    names = [name for name in ("equity", "drawdown", "buy_and_hold", "close", "position") if name in found]
    series = {name: _Series(size) for name in (*names, "drawdown_held") if name != "position"}
    funds = {name: _Returns(size) for name in ("equity", "buy_and_hold")}
    ends, sides, excess, months, peak = [], [], [], {}, 1.0
    for frame in blocks(table, ("time" if is_dated else "tick", *names), size):
        columns = {name: frame[name].to_numpy() for name in names}
        columns["x"] = frame["time"].dt.epoch("ms").to_numpy() if is_dated else frame["tick"].to_numpy()
        peaks = np.maximum.accumulate(np.maximum(columns["buy_and_hold"], peak))
        columns["drawdown_held"], peak = columns["buy_and_hold"] / peaks - 1.0, float(peaks[-1])
        for name, made in series.items():
            made.push(columns["x"], columns[name])
        own, held = (made.push(columns[name]) for name, made in funds.items())
        excess.append(bucket_moments(own - held, size))
        if "position" in found:
            held = columns["position"].astype(np.float64)
            sides.append([bucket_means(side(held, 0.0), size) for side in (np.maximum, np.minimum)])
        ends.append(columns["x"][last_rows(frame.height, size)])
        if is_dated:
            months |= _month_ends(columns["x"], columns["equity"])
    return Course(
        bars=bars,
        size=size,
        is_dated=is_dated,
        lines={name: made.line() for name, made in series.items()},
        ends=np.concatenate(ends),
        sides=np.concatenate(sides, axis=1) if sides else None,
        moments={name: made.moments() for name, made in funds.items()} | {"excess": np.concatenate(excess, axis=1)},
        months=months,
    )


def _month_ends(time_ms: np.ndarray, equity: np.ndarray) -> dict[int, float]:
    month = time_ms.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
    last = np.flatnonzero(np.diff(month, append=month[-1] + 1))
    return dict(zip(month[last].tolist(), equity[last].tolist(), strict=True))


def blocks(table: Table, columns: Sequence[str], size: int) -> Iterator[pl.DataFrame]:
    """Columns of a table in blocks of about a million rows, in whole buckets of `size` rows."""
    yield from table.blocks(columns, size * max(1, BLOCK_ROWS // size))


class _Series:
    """A line that is thinned out as it arrives; its first and last value stay."""

    def __init__(self, size: int):
        self._size, self._x, self._y = size, [], []
        self._ends: list[tuple[float, float]] = []

    def push(self, x: np.ndarray, y: np.ndarray) -> None:
        """Add whole buckets, or the last rows."""
        kept = extreme_rows(y, self._size)
        self._x.append(x[kept])
        self._y.append(y[kept])
        self._ends = [*(self._ends or [(x[0], y[0])])[:1], (x[-1], y[-1])]

    def line(self) -> Line:
        """The thinned line."""
        x, y, (first, last) = np.concatenate(self._x), np.concatenate(self._y), self._ends
        if x[0] != first[0]:
            x, y = np.insert(x, 0, first[0]), np.insert(y, 0, first[1])
        if x[-1] != last[0]:
            x, y = np.append(x, last[0]), np.append(y, last[1])
        return Line(x, y)


class _Returns:
    """The moments of the returns of an equity that starts at 1; there are none once it is 0."""

    def __init__(self, size: int):
        self._size, self._before, self._moments = size, 1.0, []

    def push(self, equity: np.ndarray) -> np.ndarray:
        """Add whole buckets, or the last rows; returns the returns."""
        before = np.concatenate([[self._before], equity[:-1]])
        self._before = float(equity[-1])
        returns = np.divide(equity, before, out=np.full(equity.size, np.nan), where=before > 0.0) - 1.0
        self._moments.append(bucket_moments(returns, self._size))
        return returns

    def moments(self) -> np.ndarray:
        """The moments, float64 (3, buckets)."""
        return np.concatenate(self._moments, axis=1)


def _parts(values: np.ndarray, size: int) -> Iterator[tuple[int, np.ndarray]]:
    """The whole buckets, (buckets, size), and the remainder, (1, rest), each with its first row."""
    whole = values.size // size * size
    for first, part in ((0, values[:whole].reshape(-1, size)), (whole, values[np.newaxis, whole:])):
        if part.size:
            yield first, part


def last_rows(rows: int, size: int) -> np.ndarray:
    """The last row of each bucket of `size` rows, int64 (buckets,)."""
    return np.minimum(np.arange(size, rows + size, size), rows) - 1


def extreme_rows(values: np.ndarray, size: int) -> np.ndarray:
    """The rows of the lowest and the highest value of each bucket of `size` rows, int64 in order, each once."""
    rows = []
    for first, part in _parts(values, size):
        starts = first + np.arange(part.shape[0]) * size
        rows += [starts + part.argmin(axis=1), starts + part.argmax(axis=1)]
    return np.unique(np.concatenate(rows))


def bucket_means(values: np.ndarray, size: int) -> np.ndarray:
    """The mean of each bucket of `size` rows, float64 (buckets,)."""
    return np.concatenate([part.mean(axis=1) for _, part in _parts(values, size)])


def bucket_moments(values: np.ndarray, size: int) -> np.ndarray:
    """For each bucket of `size` rows: the number of values other than NaN, their mean (0 if there is none) and the sum
    of their squared deviations from it; float64 (3, buckets)."""
    made = []
    for _, part in _parts(values, size):
        is_known = ~np.isnan(part)
        n = is_known.sum(axis=1).astype(np.float64)
        mean = np.where(is_known, part, 0.0).sum(axis=1) / np.maximum(n, 1.0)
        made.append(np.stack([n, mean, (np.where(is_known, part - mean[:, np.newaxis], 0.0) ** 2).sum(axis=1)]))
    return np.concatenate(made, axis=1)


def sharpe_window(course: Course, per_year: float | None) -> int:
    """Buckets of a rolling Sharpe ratio's window: half a year of bars, at least LEAST_WINDOW bars and at most a quarter
    of all; 0 if there are too few bars."""
    most = course.bars // 4
    if most < LEAST_WINDOW:
        return 0
    wanted = most if per_year is None else min(most, max(LEAST_WINDOW, round(per_year / 2.0)))
    return max(1, round(wanted / course.size))


def sharpe_bounds(moments: np.ndarray) -> tuple[float, float]:
    """The 95% interval of the Sharpe ratio per bar over all buckets, from their moments; NaN where there is none
    (Lo 2002, see `kpis.sharpe_interval`)."""
    n = float(moments[0].sum())
    sharpe = float(rolling_sharpe(moments, moments.shape[1])[0])
    reach = kpis.SIGMAS_95 * math.sqrt((1.0 + sharpe * sharpe / 2.0) / n) if n else math.nan
    return sharpe - reach, sharpe + reach


def rolling_sharpe(moments: np.ndarray, window: int) -> np.ndarray:
    """The Sharpe ratio per bar of each `window` successive buckets, from their moments (see `bucket_moments`), float64
    (buckets − window + 1,); NaN if the deviation is about 0 or fewer than two returns are known.

    Mean over sample deviation (ddof 1), no risk-free rate (Sharpe 1994); moments are pooled as by Chan, Golub & LeVeque
    (1983).
    """
    n, mean, squares = (sliding_window_view(row, window) for row in moments)
    count = n.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        overall = (n * mean).sum(axis=1) / count
        total = squares.sum(axis=1) + (n * (mean - overall[:, np.newaxis]) ** 2).sum(axis=1)
        deviation = np.sqrt(total / (count - 1.0))
        return np.where((count > 1.0) & (deviation > 1e-12 * np.abs(overall)), overall / deviation, np.nan)
