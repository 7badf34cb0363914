"""Price history from CSV and Parquet files, as validated flat arrays ready for the kernels."""

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NoReturn, Self

import numpy as np
import polars as pl

from idi_fast.data import bar_files
from idi_fast.data.bar_files import (
    LEAST,
    RULES,
    USUAL_NAMES,
    Converter,
    check_types,
    choose_columns,
    count_rows,
    find_files,
    listing,
    read_batches,
    read_schema,
)
from idi_fast.data.time_columns import NO_TIME, refuse_unread_times
from idi_fast.data.time_forms import is_named_so
from idi_fast.errors import ConfigError, DataError, nearest
from idi_fast.storage.files import digest
from idi_fast.storage.reader.client import ask, stream

CHUNK_BARS = 262_144
"""Bars read at a time: so few that memory stays bounded, so many that the part of Python is small."""
WHOLE_ROWS = 1_048_576
"""The same where all bars are wanted in the end."""
DIGESTED_ALONG_BYTES = 2**24
"""Files up to here are digested in passing; a thread of its own for each of many costs more than it saves."""


@dataclass(frozen=True, kw_only=True, eq=False)
class History:
    """Bars in time order; the arrays are C-contiguous and writable, one entry a bar.

    Attributes
    ----------
    close : float64 (n,), price, finite and above 0
    open : float64 (n,) or None, price, finite and above 0
    volume : float64 (n,) or None, finite and not negative
    time : int64 (n,) or None, nanoseconds since 1970-01-01 UTC, strictly increasing
    risk : uint8 (n,) or None, 0 or 1
    extra : further columns by the names they were asked for, float64 (n,), finite
    after_gap : bool (n,), whether rows were dropped between the bar before and this one
    dropped : rows dropped from the whole input
    columns : the column in the files behind each of the names above
    digests : SHA-256 and length of each file, by its path, in the order read

    Arrays of other types are converted; DataError where a value is not what it should be.
    """

    close: np.ndarray
    open: np.ndarray | None
    volume: np.ndarray | None
    time: np.ndarray | None
    risk: np.ndarray | None
    extra: dict[str, np.ndarray]
    after_gap: np.ndarray
    dropped: int
    columns: dict[str, str]
    digests: dict[str, dict] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kinds = {"close": float, "open": float, "volume": float, "time": np.int64, "risk": np.uint8, "after_gap": bool}
        for name, kind in kinds.items():
            values = getattr(self, name)
            if values is not None:
                # One layout for the kernels, whatever came: a copy is made only of what has another.
                values = np.require(values, kind, ["C", "W"])
                if values.shape != (len(self.close),):
                    raise DataError(f"{name} has the shape {values.shape}; expected {(len(self.close),)}")
                object.__setattr__(self, name, values)
        for name, least in LEAST.items():
            values = getattr(self, name)
            # A NaN makes both comparisons false.
            if values is not None and values.size and not (values.min() >= least and values.max() < np.inf):
                raise DataError(f"{name} holds a value that is not {RULES[name][1]}")

    def __len__(self) -> int:
        return len(self.close)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, in the order read."""
        return tuple(map(Path, self.digests))

    @property
    def most_bars(self) -> int:
        """How many bars there are: what `HistoryFiles` know beforehand is no less."""
        return len(self)

    def column(self, name: str) -> np.ndarray:
        """Return the array called `name`; DataError if there is none."""
        if name not in self.columns:
            hint = nearest(name, self.columns)
            raise DataError(f"the history has no column {name!r}, only {listing(self.columns)}.{hint}")
        return getattr(self, name) if name in USUAL_NAMES else self.extra[name]

    def slice(self, start: int | None, stop: int | None) -> Self:
        """Return bars `start` to `stop`, counted as in Python's slices, as views."""
        bars = slice(start, stop)
        arrays = {name: self.column(name)[bars] for name in self.columns if name in USUAL_NAMES}
        extra = {name: values[bars] for name, values in self.extra.items()}
        return replace(self, **arrays, extra=extra, after_gap=self.after_gap[bars])


class HistoryFiles:
    """A price history in files, read and validated a chunk at a time: see `open_history`.

    columns: the column in the files behind each name; most_bars: rows in the files, before any is dropped; digests and
    dropped: as of a `History`, once all chunks were read. name: what errors call the rows that were sorted into files
    of ours, whose digests say nothing.
    """

    def __init__(
        self, path: str | Path, files: tuple[Path, ...], columns: dict[str, str], *, drop: bool, name: str | None
    ):
        self.columns, self._name = columns, name
        self.digests: dict[str, dict] = {}
        self.dropped = 0
        self._path, self._files, self._drop = path, files, drop

    @cached_property
    def most_bars(self) -> int:
        """Rows in the files."""
        return ask("count", {"files": list(map(str, self._files))})

    def chunks(self, rows: int | None = None) -> Iterator[History]:
        """The bars in their order, about `rows` at a time (None: CHUNK_BARS), at least one. Raises DataError where they
        are wrong."""
        rows = CHUNK_BARS if rows is None else rows
        bars, self.dropped = 0, 0
        with ThreadPoolExecutor(1) as pool:
            files = self._files if self._name is None else ()
            aside = {file: pool.submit(digest, file) for file in files if file.stat().st_size > DIGESTED_ALONG_BYTES}
            try:
                for chunk in self._chunks(rows):
                    bars += len(chunk)
                    yield chunk
            except Exception:
                pool.shutdown(cancel_futures=True)
                raise
            finally:
                # Of all files, even if nobody wants to see the rest of their bars.
                self.digests = {
                    str(file): aside[file].result() if file in aside else digest(file)
                    for file in files
                    if file not in aside or not aside[file].cancelled()
                }
        if bars < 2:
            raise DataError(f"{self._path}: {bars} usable rows ({self.dropped} dropped), expected 2 or more")

    def _chunks(self, rows: int) -> Iterator[History]:
        about = {"columns": self.columns, "rows": rows, "drop": self._drop, "name": self._name}
        items = stream("bars", {"files": list(map(str, self._files)), **about, "small_bytes": bar_files.SMALL_BYTES})
        try:
            for dropped, (*values, gaps) in items:
                self.dropped += dropped
                if len(gaps):
                    yield self._chunk(dict(zip(self.columns, values, strict=True)), gaps)
        finally:
            items.close()

    def _chunk(self, arrays: dict[str, np.ndarray], gaps: np.ndarray) -> History:
        return _assembled(arrays, after_gap=gaps, dropped=0, columns=self.columns)

    def load(self) -> History:
        """All bars at once."""
        # Copies, for what a chunk lies in is the reader's again as soon as the chunk is gone.
        parts = [
            [values.copy() for values in (*(chunk.column(name) for name in self.columns), chunk.after_gap)]
            for chunk in self.chunks(WHOLE_ROWS)
        ]
        *values, after_gap = map(np.concatenate, zip(*parts, strict=True))
        arrays = dict(zip(self.columns, values, strict=True))
        return _assembled(arrays, after_gap=after_gap, dropped=self.dropped, columns=self.columns, digests=self.digests)


def _assembled(arrays: dict[str, np.ndarray], **about: Any) -> History:
    """A history of arrays by the name of their column; those of other names than the usual ones are its extra columns.

    about: the other fields of `History`.
    """
    return History(
        close=arrays.pop("close"),
        open=arrays.pop("open", None),
        volume=arrays.pop("volume", None),
        time=arrays.pop("time", None),
        risk=arrays.pop("risk", None),
        extra=arrays,
        **about,
    )


def open_history(
    path: str | Path,
    *,
    time: str | None = None,
    price: str | None = None,
    open: str | None = None,
    volume: str | None = None,
    risk: str | None = None,
    extra: Sequence[str] = (),
    nan: Literal["refuse", "drop"] = "refuse",
    optional: Collection[str] = ("time", "open", "volume"),
    files: tuple[Path, ...] | None = None,
    name: str | None = None,
) -> HistoryFiles:
    """Find a price history's files and columns; the rows are read and validated when they are asked for.

    Parameters
    ----------
    path
        A CSV or Parquet file, a glob, or a folder (plain or partitioned) of files of one kind, which are
        read in the order of their paths with numbers by value: `month=2` before `month=10`.
    time, price, open, volume
        Column names; without them the usual names are looked for. Only the price must exist; an adjusted
        close is not put together with an open that was not named with it. Times are dates, date-times
        (UTC unless they say otherwise), ISO 8601 text or Unix epochs, see `TimeReader`; `time="none"` reads
        none. Where no time was named and none was found, a column that looks like times is refused.
    risk
        Name of a column of booleans or of 0 and 1.
    extra
        Names of further numeric columns; `close`, `open`, `volume`, `time` and `risk` mean those above.
    optional
        What to look for under its usual names, besides the price.
    files, name
        The files of `path`, where they are known already, and what errors call their rows.
    nan
        `"refuse"` null and NaN, or `"drop"` the rows that hold one in a column read.

    Raises
    ------
    DataError
        The text names the file, the row (from 1, the CSV header not counted), the column and the value.
    ConfigError
        `nan` is neither of the two.
    """
    if nan not in ("refuse", "drop"):
        raise ConfigError(f"nan: found {nan!r}, expected 'refuse' or 'drop'")
    files = find_files(Path(path)) if files is None else files
    given = {"time": time, "close": price, "open": open, "volume": volume, "risk": risk}
    sought = {"given": given, "sought": ["close", *optional], "extra": list(extra)}
    columns = ask("columns", {"files": list(map(str, files)), **sought, "label": name})
    return HistoryFiles(path, files, columns, drop=nan == "drop", name=name)


def load_history(
    path: str | Path,
    *,
    time: str | None = None,
    price: str | None = None,
    open: str | None = None,
    volume: str | None = None,
    risk: str | None = None,
    extra: Sequence[str] = (),
    nan: Literal["refuse", "drop"] = "refuse",
    optional: Collection[str] = ("time", "open", "volume"),
) -> History:
    """Read and validate a price history whole; nothing is corrected. Arguments and errors: those of `open_history`."""
    return open_history(
        path, time=time, price=price, open=open, volume=volume, risk=risk, extra=extra, nan=nan, optional=optional
    ).load()


def find_columns(
    files: list[str], given: dict[str, str | None], sought: list[str], extra: list[str], label: str | None
) -> Iterator[tuple[dict[str, str], list]]:
    """The files' column for close, time … and each of `extra`; run by the reader. label: what errors call the files."""
    schemas = {Path(file): read_schema(Path(file)) for file in files}
    first = next(iter(schemas))
    names, time = schemas[first].names(), given["time"]
    if time is not None and time.lower() == NO_TIME and time not in names:
        given, sought = {**given, "time": None}, [role for role in sought if role != "time"]
    columns = choose_columns(first, names, given, sought, extra)
    check_types(schemas, columns)
    if time is None and "time" in sought:
        refuse_unread_times(schemas, columns, label)
    yield columns, []


def count_all(files: list[str]) -> Iterator:
    """Rows in the files; run by the reader."""
    yield sum(count_rows(Path(file)) for file in files), []


def read_bars(
    files: list[str], columns: dict[str, str], rows: int, drop: bool, name: str | None, small_bytes: int
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """How many rows were dropped, and of those that were not the columns and whether rows were dropped before each;
    about `rows` at a time. Run by the reader."""
    place, after_gap, row = None, False, 0
    for file in map(Path, files):
        called, row = name or str(file), 0 if name is None else row
        converter = Converter(called, columns, first_row=row, drop=drop)
        for frame in read_batches(file, columns.values(), rows, small_bytes):
            arrays, missing = converter.convert(frame)
            n = len(arrays["close"])
            kept = slice(None) if missing is None else np.flatnonzero(~missing)
            gaps = np.zeros(len(frame), bool)  # whether the row before each is missing
            gaps[:1] = after_gap
            if missing is not None:
                gaps[1:] = missing[:-1]
            if len(frame):
                after_gap = missing is not None and missing[-1]
            if "time" in arrays and n:
                numbers = np.arange(row + 1, row + 1 + len(frame))[kept]
                try:
                    place = _check_order(arrays["time"], columns["time"], place, called, numbers)
                except DataError as error:
                    raise DataError(f"{error}{_symbols_hint(file, columns) if name is None else ''}") from None
            row += len(frame)
            yield len(frame) - n, [*(arrays[role] for role in columns), gaps[kept]]
        converter.finish()


def _symbols_hint(file: Path, columns: dict[str, str]) -> str:
    """How to read a file whose times do not increase, if they may be those of several symbols; else empty."""
    head = next(read_batches(file, read_schema(file).names(), 100)).head(100)
    others = [name for name in head.columns if name not in columns.values() and not is_named_so(name)]
    texts = [name for name in others if _is_text(head[name])]
    pairs = (part.partition("=") for part in file.parent.parts)
    keys = [key for key, sign, value in pairs if sign and not value.isdecimal()]  # year=2024 is none
    named = [*texts, *keys]
    name = named[0] if len(named) == 1 else "NAME"
    return f"; if these are several symbols: --symbol-col {name}" if named else ""


def _check_order(
    values: np.ndarray, name: str, last: tuple[int, str] | None, file: str, rows: np.ndarray
) -> tuple[int, str]:
    """The last of the times, and its place; refuse times that do not strictly increase. last: those before them."""
    if last is not None and values[0] <= last[0]:
        _refuse_order(name, *last, values[0], f"{file}, row {rows[0]}")
    late = values[1:] <= values[:-1]
    if late.any():
        bar = int(late.argmax())
        places = (f"{file}, row {rows[at]}" for at in (bar, bar + 1))
        _refuse_order(name, values[bar], next(places), values[bar + 1], next(places))
    return int(values[-1]), f"{file}, row {rows[-1]}"


def _is_text(values: pl.Series) -> bool:
    """Whether a column, which of a CSV file is always text, holds none of its values as a number."""
    return values.dtype == pl.String and values.count() > 0 and values.cast(pl.Float64, strict=False).count() == 0


def _refuse_order(name: str, time_before: int, place_before: str, time: int, place: str) -> NoReturn:
    pair = np.array([time_before, time]).view("datetime64[ns]")
    before, now = np.datetime_as_string(pair, unit="auto")
    verb = "repeats" if now == before else "is earlier than"
    raise DataError(f"{place}, column {name!r}: {now} {verb} {before} in {place_before}; times must increase")
