"""Price histories as Parquet files, for the suite `backtest` to read."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from idi_fast.bench.yardsticks import SEED
from idi_fast.data.history import History
from idi_fast.data.timestamps import time_series

COLUMNS = ("time", "open", "close", "volume")
CHUNK = 1_048_576
STEP = 1e-4
"""Deviation of a bar's log return: a cent at a price of 100, as a second moves it. 10⁸ of them make 1 at most."""


def write_bars(path: Path, history: History, names: Sequence[str] = COLUMNS) -> Path:
    """Columns of the history as a Parquet file."""
    columns: dict[str, np.ndarray | pl.Series] = {name: history.column(name) for name in names}
    if "time" in names:
        columns["time"] = time_series(history.column("time"))
    pl.DataFrame(columns).write_parquet(path)
    return path


def write_walk(path: Path, bars: int, seed: int = SEED) -> Path:
    """A Parquet file of `close`, a random walk in cents, and `volume`, integers, as polars writes it by default; made
    chunk by chunk."""
    schema = {"close": pl.Float64, "volume": pl.Int64}
    # No query selects columns, rows or a batch size before the file is written.
    register_io_source(lambda *_: _walk(bars, seed), schema=schema).sink_parquet(path)
    return path


def _walk(bars: int, seed: int) -> Iterator[pl.DataFrame]:
    rng, last = np.random.default_rng(seed), np.log(100.0)
    for first in range(0, bars, CHUNK):
        n = min(CHUNK, bars - first)
        logs = last + np.cumsum(rng.normal(0.0, STEP, n))
        last = logs[-1]
        volume = rng.lognormal(8.0, 0.5, n).astype(np.int64)
        yield pl.DataFrame({"close": np.exp(logs).round(2), "volume": volume})
