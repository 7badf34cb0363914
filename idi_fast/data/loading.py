"""Price histories from files, read by the reader process and validated."""

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from idi_fast.config.arguments import check_names, check_text, described
from idi_fast.config.read_options import DecimalMark, ReadOptions, Vendor
from idi_fast.data import bar_files
from idi_fast.data.bounds import Bounds, Time
from idi_fast.data.history import History
from idi_fast.data.sources import find_files
from idi_fast.errors import ConfigError, DataError, InputError
from idi_fast.storage.files import digest
from idi_fast.storage.reader.client import ask, stream

CHUNK_BARS = 262_144
"""Bars read at a time: few enough to bound memory, many enough to keep Python's share small."""
"""The same if all bars are kept in the end."""
DIGESTED_ALONG_BYTES = 2**24
"""Files up to this size are digested while reading; a thread for each of many costs more than it saves."""


class HistoryFiles:
    """A price history in files, read and validated a chunk at a time: see `open_history`.

    columns: the column in the files behind each name; most_bars: rows in the files, before any is dropped; digests and
    dropped: as of a `History`, once all chunks are read. name: what errors call rows that were sorted into files of
    ours, whose digests mean nothing.
    """

    def __init__(
        self,
        path: str | Path,
        files: tuple[Path, ...],
        found: dict,
        options: ReadOptions,
        *,
        drop: bool,
        name: str | None,
        bounds: Bounds,
    ):
        if bounds and "time" not in found["columns"]:
            raise InputError("a start or an end was given, but the history has no times; name their column")
        self._bounds = bounds
        self._found, self._name = found["columns"], name
        self.columns = {role: column for role, column in self._found.items() if role != "clock"}
        self.digests: dict[str, dict] = {}
        self.dropped, self.copies = 0, 0
        self.notes: tuple[str, ...] = ()
        self._path, self._files, self._drop = path, files, drop
        self._options = options.to_dict()
        self._how = {"numbered": found["numbered"], "clock_digits": found["clock_digits"]}
        self._first_notes = tuple(found["notes"])

    @cached_property
    def most_bars(self) -> int:
        """Rows in the files."""
        return ask("count", {"files": list(map(str, self._files)), "options": self._options})

    def chunks(self, rows: int | None = None) -> Iterator[History]:
        """The bars in order, about `rows` at a time (None: CHUNK_BARS), at least one chunk. Raises DataError for
        invalid bars."""
        rows = CHUNK_BARS if rows is None else rows
        bars, span = 0, [0, 0]
        self.dropped, self.copies, self.notes = 0, 0, self._first_notes
        with ThreadPoolExecutor(1) as pool:
            files = self._files if self._name is None else ()
            aside = {file: pool.submit(digest, file) for file in files if file.stat().st_size > DIGESTED_ALONG_BYTES}
            try:
                for chunk in self._chunks(rows):
                    if self._bounds and chunk.time is not None:
                        span = [span[0] if any(span) else int(chunk.time[0]), int(chunk.time[-1])]
                        chunk = chunk.slice(*self._bounds.places(chunk, last=False))
                    if len(chunk):
                        bars += len(chunk)
                        yield chunk
            except Exception:
                pool.shutdown(cancel_futures=True)
                raise
            finally:
                # Of all files, even if the rest of their bars is not needed.
                self.digests = {
                    str(file): aside[file].result() if file in aside else digest(file)
                    for file in files
                    if file not in aside or not aside[file].cancelled()
                }
        if not bars and any(span):
            raise DataError(f"{self._path}: {self._bounds.refusal(*span)}")
        if bars < 2:
            raise DataError(f"{self._path}: {bars} usable rows ({self.dropped} dropped), expected 2 or more")

    def _chunks(self, rows: int) -> Iterator[History]:
        about = {"columns": self._found, "rows": rows, "drop": self._drop, "name": self._name}
        about |= {"options": self._options, **self._how, "small_bytes": bar_files.SMALL_BYTES}
        items = stream("bars", {"files": list(map(str, self._files)), **about})
        try:
            for about, (*values, gaps) in items:
                self.dropped += about["dropped"] + about["copies"]
                self.copies += about["copies"]
                self.notes += tuple(about["notes"])
                if len(gaps):
                    yield self._chunk(dict(zip(self.columns, values, strict=True)), gaps)
        finally:
            items.close()

    def _chunk(self, arrays: dict[str, np.ndarray], gaps: np.ndarray) -> History:
        return _assembled(arrays, after_gap=gaps, dropped=0, columns=self.columns)

    def load(self) -> History:
        """All bars at once."""
        whole: list[np.ndarray] = []
        for chunk in self.chunks():
            parts = [*(chunk.column(name) for name in self.columns), chunk.after_gap]
            whole = whole or [np.empty(0, values.dtype) for values in parts]
            first = whole[0].size
            for values, part in zip(whole, parts, strict=True):
                # In place, since joining all chunks in the end would hold everything twice.
                values.resize(first + part.size, refcheck=False)
                values[first:] = part
        *values, after_gap = whole
        arrays = dict(zip(self.columns, values, strict=True))
        about = {
            "dropped": self.dropped,
            "copies": self.copies,
            "columns": self.columns,
            "digests": self.digests,
            "notes": self.notes,
        }
        return _assembled(arrays, after_gap=after_gap, **about)


def _assembled(arrays: dict[str, np.ndarray], **about: Any) -> History:
    """A history of arrays by the name of their column; those of other names than the usual ones are its extra columns.

    about: the other fields of `History`.
    """
    return History(
        close=arrays.pop("close"),
        open=arrays.pop("open", None),
        high=arrays.pop("high", None),
        low=arrays.pop("low", None),
        volume=arrays.pop("volume", None),
        time=arrays.pop("time", None),
        risk=arrays.pop("risk", None),
        extra=arrays,
        **about,
    )


AS_FOUND = ReadOptions()
OPTIONAL = ("time", "open", "high", "low", "volume")


def open_history(
    path: str | Path,
    *,
    time: str | None = None,
    price: str | None = None,
    open: str | None = None,
    volume: str | None = None,
    risk: str | None = None,
    high: str | None = None,
    low: str | None = None,
    extra: Sequence[str] = (),
    nan: Literal["refuse", "drop"] = "refuse",
    optional: Collection[str] = ("time", "open", "volume"),
    options: ReadOptions = AS_FOUND,
    start: Time | None = None,
    end: Time | None = None,
    files: tuple[Path, ...] | None = None,
    name: str | None = None,
    decimal: str | None = None,
) -> HistoryFiles:
    """Find a price history's files and columns; the rows are read and validated when they are asked for.

    Arguments and errors are those of `load_history`, but for

    options
        How the files are read.
    files, name, decimal
        The files of `path`, where they are known already, what errors call their rows, and the decimal mark of their
        text, as for `number_forms.read_numbers`.
    """
    path = _check_path(path)
    given = {"time": time, "close": price, "open": open, "high": high, "low": low, "volume": volume, "risk": risk}
    for role, column in given.items():
        check_text("price" if role == "close" else role, column, expected="the name of a column", optional=True)
    extra = check_names("extra", extra)
    if nan not in ("refuse", "drop"):
        raise ConfigError(f"nan: found {nan!r}, expected 'refuse' or 'drop'")
    bounds = Bounds.of(start, end)
    options = options if decimal is None else replace(options, decimal=decimal)
    files = find_files(Path(path)) if files is None else files
    sought = {"given": given, "sought": ["close", *optional], "extra": list(extra), "options": options.to_dict()}
    found = ask("columns", {"files": list(map(str, files)), **sought, "label": name})
    return HistoryFiles(path, files, found, options, drop=nan == "drop", name=name, bounds=bounds)


def load_history(
    path: str | Path,
    *,
    time: str | None = None,
    price: str | None = None,
    open: str | None = None,
    volume: str | None = None,
    risk: str | None = None,
    high: str | None = None,
    low: str | None = None,
    extra: Sequence[str] = (),
    nan: Literal["refuse", "drop"] = "refuse",
    optional: Collection[str] = OPTIONAL,
    format: Vendor | None = None,
    sep: str | None = None,
    decimal: DecimalMark | None = None,
    thousands: str | None = None,
    time_format: str | None = None,
    tz: str | None = None,
    no_header: bool = False,
    encoding: str | None = None,
    skip_rows: int | None = None,
    sort: bool = False,
    duplicates: Literal["refuse", "drop"] = "refuse",
    start: Time | None = None,
    end: Time | None = None,
) -> History:
    """Read and validate a whole price history. How it is written is found out; no value is corrected.

    Parameters
    ----------
    path
        A file, a glob, or a folder (plain or partitioned) of files of one kind, which are read in the order of their
        paths with numbers by value: `month=2` before `month=10`. CSV and other delimited text (.csv, .txt, .tsv; packed
        as .gz, .zst, or .zip of one file), Parquet, Arrow (.feather, .arrow) and JSON lines (.jsonl, .ndjson).
    time, price, open, high, low, volume
        Column names; without them the usual names are looked for, in any case and several languages (`time`, `Date` …,
        `close`, `Price`, `Schluss` …). Only the price must exist; an adjusted close is not put together with other
        prices that were not named with it. `time="none"` reads no times. If no time was named and none was found, a
        column that looks like times is refused.
    risk
        Name of a column of booleans or of 0 and 1.
    extra
        Names of further numeric columns; `close`, `open`, `volume`, `time` and `risk` mean those above.
    nan
        `"refuse"` null and NaN, or `"drop"` the rows that hold one in a column read.
    optional
        Roles besides the price to look for under their usual names.
    format
        A vendor's format, for what its files do not tell: `binance`, `histdata`, `kraken`, `metatrader` … (see
        `idi_fast.config.read_options.FORMATS`).
    sep, decimal, thousands
        The sign between the fields of text (`"tab"` for a tab), the decimal mark, and what separates thousands.
    time_format
        A strptime format such as `"%d.%m.%Y %H:%M"`, the unit of Unix epochs (`s`, `ms`, `us`, `ns`) or `"excel"` for a
        spreadsheet's serial days. Without it times are read as ISO 8601, epochs, or dates in the one form that all rows
        allow; where they allow two, the file is refused.
    tz
        Zone of times that name none, as `"America/New_York"`; None: UTC.
    no_header, skip_rows, encoding
        Whether the first row is one of values, although it looks like names; lines before the table; the encoding.
    sort
        Sort rows by their times, instead of refusing those out of order. Files that begin with the newest bar need it
        not.
    duplicates
        `"refuse"` or `"drop"` rows that repeat the one before. A repeated time with other values is always refused.
    start, end
        Times of the first bar included and of the first excluded, as text in ISO 8601 or of a type of times; UTC unless
        they say otherwise.

    Returns
    -------
    History
        `close`, `open`, `high`, `low`, `volume` float64 (n,) and `time` int64 (n,), ns UTC; None for what the input
        lacks. Its `notes` say what was found out.

    Raises
    ------
    DataError
        The text names the file, the row (from 1, not counting the header), the column and the value.
    InputError
        For an argument of another type.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import idi_fast as idi
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "btc.csv"
    ...     _ = file.write_text("time,close\\n2024-01-01,101.5\\n2024-01-02,99\\n")
    ...     bars = idi.load_history(file)
    >>> bars
    History of 2 bars
      time     2024-01-01T00:00:00Z to 2024-01-02T00:00:00Z
      close    99 at the end, 99 to 101.5
      columns  time, close
    """
    reading = {
        "format": format,
        "sep": sep,
        "decimal": decimal,
        "thousands": thousands,
        "time_format": time_format,
        "tz": tz,
        "no_header": no_header,
        "encoding": encoding,
        "skip_rows": skip_rows,
        "sort": sort,
        "duplicates": duplicates,
    }
    return open_history(
        path,
        time=time,
        price=price,
        open=open,
        volume=volume,
        risk=risk,
        high=high,
        low=low,
        extra=extra,
        nan=nan,
        optional=optional,
        options=ReadOptions.of(reading),
        start=start,
        end=end,
    ).load()


def _check_path(path: object) -> str | Path:
    if isinstance(path, str | Path):
        return path
    frame = "; a frame is read by History.from_frame" if hasattr(path, "columns") else ""
    raise InputError(f"path is {described(path)}; expected a CSV or Parquet file, a glob or a folder{frame}")
