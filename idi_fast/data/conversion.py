"""Price histories written again: one file of many, in other kinds, with longer bars."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from idi_fast.config.read_options import OPTIONS, ReadOptions
from idi_fast.data.bounds import Time
from idi_fast.data.history import History
from idi_fast.data.loading import OPTIONAL, HistoryFiles, open_history
from idi_fast.data.panel import check_alike
from idi_fast.data.rules import PRICES
from idi_fast.data.sources import find_files
from idi_fast.data.symbols import open_groups
from idi_fast.data.timestamps import iso_time
from idi_fast.errors import InputError, nearest
from idi_fast.storage.failures import explained
from idi_fast.storage.files import check_kept, check_place, check_replaceable_file, output_path
from idi_fast.storage.staging import Staging
from idi_fast.storage.tables import TableWriter

COLUMNS = ("time", "price", "open", "high", "low", "volume", "nan")
"""Arguments of `load_history` besides the options of reading that a conversion takes."""
KINDS = (".parquet", ".csv", ".csv.gz", ".feather", ".arrow")
"""Ends of the names of files that can be written."""
EVERY = r"[1-9][0-9]{0,5}(s|m|h|d|w|mo|q|y)"
ORDER = ("time", "open", "high", "low", "close", "volume", "risk")
"""Columns in the order in which they are written, further ones after."""
CSV_TIME = "%Y-%m-%dT%H:%M:%S%.fZ"


def check_every(text: str) -> str:
    """The length of bars, as polars names it; InputError for anything else."""
    if re.fullmatch(EVERY, text) is None:
        raise InputError(f"resample is {text!r}; expected a length such as 30s, 5m, 1h, 1d, 1w or 1mo")
    return text


def frame_of(history: History) -> pl.DataFrame:
    """The bars as a frame, in the usual order of columns."""
    frame = history.to_frame()
    usual = [name for name in ORDER if name in frame.columns]
    return frame.select(*usual, pl.exclude(usual))


def resampled(bars: pl.DataFrame, every: str, zone: str | None = None) -> pl.DataFrame:
    """Bars put together to longer ones: the first open, highest high, lowest low, last close, sum of volumes.

    bars: in order, each with the time at which it begins; every: as `check_every`; zone: of the days, None: UTC. A
    longer bar begins at a multiple of its length, on that day's clock, and takes the bars that begin before the next
    one does. Where there is no open, high or low, closes stand for them. Of other columns it takes the last value, of
    `risk` the largest.
    """
    first = pl.col("open" if "open" in bars.columns else "close")
    prices = {
        "open": first.first(),
        "high": pl.max_horizontal(pl.col(name) for name in PRICES if name in bars.columns).max(),
        "low": pl.min_horizontal(pl.col(name) for name in PRICES if name in bars.columns).min(),
        "close": pl.col("close").last(),
    }
    others = {name: pl.col(name).last() for name in bars.columns if name not in (*prices, "time")}
    others |= {name: pl.col(name).sum() for name in ("volume",) if name in others}
    others |= {name: pl.col(name).max() for name in ("risk",) if name in others}
    begin = pl.col("time")
    if zone is not None:
        begin = begin.dt.convert_time_zone(zone)
    begin = begin.dt.truncate(every).dt.convert_time_zone("UTC")
    grouped = bars.with_columns(begin.alias("time")).group_by("time", maintain_order=True)
    return grouped.agg(**prices, **others)


def converted(history: HistoryFiles, every: str | None, zone: str | None) -> Iterator[pl.DataFrame]:
    """The bars of a history in files as frames, chunk by chunk, resampled if `every` is given: see `resampled`."""
    if every is None:
        for chunk in history.chunks():
            yield frame_of(chunk)
        return
    if "time" not in history.columns:
        raise InputError("the bars have no times, by which they could be resampled; name their column")
    waiting: pl.DataFrame | None = None
    for chunk in history.chunks():
        bars = frame_of(chunk)
        bars = bars if waiting is None else pl.concat([waiting, bars])
        begins = resampled(bars, every, zone)["time"]
        # The last longer bar may go on in the next chunk.
        open_from = bars["time"].search_sorted(begins[-1])
        if open_from:
            yield resampled(bars[:open_from], every, zone)
        waiting = bars[open_from:]
    if waiting is not None and len(waiting):
        yield resampled(waiting, every, zone)


def check_kind(path: Path) -> None:
    """InputError for a file of a kind that is not written."""
    if not path.name.lower().endswith(KINDS):
        raise InputError(f"{path}: not a known kind of file, expected a name in {', '.join(KINDS)}")


def convert_files(
    files: Sequence[str | Path],
    to: str | Path,
    *,
    resample: str | None = None,
    start: Time | None = None,
    end: Time | None = None,
    keep: Sequence[str] = (),
    symbol_col: str | None = None,
    symbol_files: bool = False,
    reading: Mapping[str, Any] | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Write price files as one file, which appears whole or not at all.

    Parameters
    ----------
    files
        Files, globs or folders, read in the order given.
    to
        The file to write, of one of `KINDS`.
    resample
        The length of the bars, as `5m`, `1h`, `1d`, `1mo`; None: as they are. See `resampled`.
    start, end
        Times of the first bar included and of the first excluded.
    keep
        Further columns of numbers to keep.
    symbol_col, symbol_files
        The column, or the key of `key=value` folders, that names the symbol of each bar; whether each file is a symbol.
        Symbols are written one after the other, with a column `symbol`.
    reading
        How the files are read: arguments of `load_history`, as `{"sep": ";", "nan": "drop"}`.
    force
        Whether a file may be replaced.

    Returns
    -------
    dict
        `file`, `bars`, `symbols`, `first`, `last`, `dropped_rows`, and `notes` on how the files were read.

    Raises
    ------
    ConfigError, DataError, InputError, OutputError
        If the files cannot be read, an argument cannot be used, or the output cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import idi_fast as idi
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "hours.csv"
    ...     _ = file.write_text("time;close\\n2024-01-01 09:00;1,5\\n2024-01-01 10:00;1,25\\n2024-01-02 09:00;2\\n")
    ...     report = idi.convert_files([file], Path(folder) / "days.parquet", resample="1d")
    >>> report["bars"], report["last"]
    (2, '2024-01-02T00:00:00Z')
    """
    files = [files] if isinstance(files, str | Path) else files
    to, every = output_path(to), None if resample is None else check_every(resample)
    check_kind(to)
    check_place(to)
    given = dict(reading or {})
    options = ReadOptions.of({name: given.pop(name) for name in OPTIONS if name in given})
    for name in given:
        if name not in COLUMNS:
            known = [*COLUMNS, *OPTIONS]
            raise InputError(f"reading has {name!r}; expected {', '.join(known)}.{nearest(name, known)}")
    if "symbol" in keep and (symbol_col is not None or symbol_files):
        raise InputError("keep has 'symbol', the name of the column that tells the symbols apart; leave it out")
    columns = {**given, "extra": keep, "optional": OPTIONAL, "options": options, "start": start, "end": end}
    found = tuple(dict.fromkeys(file for place in files for file in find_files(Path(place))))
    check_kept(to, map(str, found))
    report: dict[str, Any] = {"file": str(to), "bars": 0, "symbols": None, "first": None, "last": None}
    report |= {"dropped_rows": 0, "notes": []}
    span: list[int] = []
    with Staging() as staging, TemporaryDirectory(dir=to.parent, prefix=".idi-fast-") as scratch:
        staging.watch(to)
        check_replaceable_file(to, force)
        opened = partial(open_history, **columns)
        histories: dict[str | None, HistoryFiles] = {}
        if symbol_col is not None or symbol_files:
            histories.update(open_groups(found, Path(scratch), symbol_col, options, opened))
        else:
            histories[None] = opened(found[0], files=found)
        check_alike({symbol: history.columns for symbol, history in histories.items()})
        report["symbols"] = None if None in histories else len(histories)
        with explained(to), bar_writer(staging.reserve(to)) as write:
            for symbol, history in histories.items():
                for frame in converted(history, every, options.tz):
                    named = frame if symbol is None else frame.insert_column(0, pl.lit(symbol).alias("symbol"))
                    write(named)
                    report["bars"] += len(frame)
                    span += _span(frame)
                report["dropped_rows"] += history.dropped
                report["notes"] += history.notes
        staging.swap([to])
    report |= {"first": iso_time(min(span)), "last": iso_time(max(span))} if span else {}
    return report


def _span(frame: pl.DataFrame) -> list[int]:
    """The times of the first and the last bar, ns UTC."""
    return frame["time"].dt.epoch("ns")[[0, -1]].to_list() if "time" in frame.columns and len(frame) else []


@contextmanager
def bar_writer(path: Path) -> Iterator[Callable[[pl.DataFrame], Any]]:
    """A writer that appends frames to a new file of one of `KINDS`."""
    name = path.name.lower()
    if name.endswith(".parquet"):
        with TableWriter(path) as table:
            yield table.write
    elif name.endswith((".feather", ".arrow")):
        import pyarrow as pa

        writer: Any = None
        with open(path, "xb") as file:

            def write(frame: pl.DataFrame) -> None:
                nonlocal writer
                table = frame.to_arrow()
                writer = pa.ipc.new_file(file, table.schema) if writer is None else writer
                writer.write_table(table)

            yield write
            if writer is not None:
                writer.close()
    else:
        import gzip

        with open(path, "xb") as plain, gzip.open(plain, "wb") if name.endswith(".gz") else plain as file:
            started = False

            def append(frame: pl.DataFrame) -> None:
                nonlocal started
                file.write(frame.write_csv(include_header=not started, datetime_format=CSV_TIME).encode())
                started = True

            yield append
