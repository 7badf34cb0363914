"""Price history from CSV and Parquet files, as validated flat arrays ready for the kernels."""

import textwrap
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from idi_fast import display
from idi_fast.config.arguments import check_integer, check_names, check_text, described
from idi_fast.data import bar_files
from idi_fast.data.bar_files import (
    LEAST,
    RULES,
    USUAL_NAMES,
    find_files,
    listing,
)
from idi_fast.data.timestamps import iso_time
from idi_fast.errors import ConfigError, DataError, InputError, nearest
from idi_fast.storage.files import digest
from idi_fast.storage.reader.client import ask, stream

CHUNK_BARS = 262_144
"""Bars read at a time: few enough to bound memory, many enough to keep Python's share small."""
WHOLE_ROWS = 1_048_576
"""The same if all bars are kept in the end."""
DIGESTED_ALONG_BYTES = 2**24
"""Files up to this size are digested while reading; a thread for each of many costs more than it saves."""


@dataclass(frozen=True, kw_only=True, eq=False)
class History:
    """Bars in time order, as arrays of n entries; C-contiguous and writable. Made by `load_history` or `from_frame`.

    Attributes
    ----------
    close : numpy.ndarray
        float64 (n,), the price, finite and above 0.
    open : numpy.ndarray or None
        float64 (n,), the price at which the bar begins, finite and above 0.
    volume : numpy.ndarray or None
        float64 (n,), what was traded, finite and not negative.
    time : numpy.ndarray or None
        int64 (n,), nanoseconds since 1970-01-01 UTC, strictly increasing.
    risk : numpy.ndarray or None
        uint8 (n,), 1 at a risk event, else 0.
    extra : dict of str to numpy.ndarray
        Further columns by the names they were asked for, float64 (n,), finite.
    after_gap : numpy.ndarray
        bool (n,), whether rows were dropped between the bar before and this one.
    dropped : int
        Rows dropped from the whole input.
    columns : dict of str to str
        The input's column behind each of the names above.
    digests : dict
        SHA-256 and length of each file, by its path, in the order read; empty for a frame.

    Raises
    ------
    DataError
        For an invalid value. Arrays of other types are converted.
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
                # One layout for the kernels: only arrays with another one are copied.
                values = np.require(values, kind, ["C", "W"])
                if values.shape != (len(self.close),):
                    raise DataError(f"{name} has the shape {values.shape}; expected {(len(self.close),)}")
                object.__setattr__(self, name, values)
        for name, least in LEAST.items():
            values = getattr(self, name)
            # A NaN makes both comparisons false.
            if values is not None and values.size and not (values.min() >= least and values.max() < np.inf):
                raise DataError(f"{name} holds a value that is not {RULES[name][1]}")

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        time: str | None = None,
        price: str | None = None,
        open: str | None = None,
        volume: str | None = None,
        risk: str | None = None,
        extra: Sequence[str] = (),
        nan: Literal["refuse", "drop"] = "refuse",
    ) -> "History":
        """Read and validate a price history from a frame, by the rules for files.

        Parameters
        ----------
        frame
            A DataFrame or LazyFrame of polars, a DataFrame of pandas, a Table or RecordBatch of Arrow, or a dict of
            columns by name. An index of pandas that is no mere count of the rows is a column, and without a name the
            time. Times without a zone are UTC.
        time, price, open, volume, risk, extra, nan
            As for `load_history`.

        Returns
        -------
        History
            A copy; the frame is not changed.

        Raises
        ------
        DataError
            The text names the row (from 1), the column and the value.
        InputError
            If `frame` is something else.

        Examples
        --------
        >>> import polars as pl
        >>> import idi_fast as idi
        >>> frame = pl.DataFrame({"date": ["2024-01-01", "2024-01-02"], "close": [101.5, 99.0]})
        >>> bars = idi.History.from_frame(frame)
        >>> bars.close
        array([101.5,  99. ])
        >>> bars.time
        array([1704067200000000000, 1704153600000000000])
        """
        from idi_fast.data.frames import history_from_frame  # not above: it makes histories

        return history_from_frame(
            frame, time=time, price=price, open=open, volume=volume, risk=risk, extra=extra, nan=nan
        )

    def __len__(self) -> int:
        return len(self.close)

    def __repr__(self) -> str:
        return display.as_text(f"History of {len(self):,} bars", self._rows())

    def _repr_html_(self) -> str:
        return display.as_html(f"History of {len(self):,} bars", self._rows(), lines={"close": self.close})

    def _rows(self) -> list[tuple[str, object]]:
        if not len(self):
            return []
        span = []
        if self.time is not None:
            span = [("time", f"{iso_time(self.time[0])} to {iso_time(self.time[-1])}")]
        low, high = float(self.close.min()), float(self.close.max())
        close = f"{float(self.close[-1]):.6g} at the end, {low:.6g} to {high:.6g}"
        dropped = [("dropped rows", self.dropped)] if self.dropped else []
        names = textwrap.shorten(", ".join(self.columns), 80, placeholder=" …")
        return [*span, ("close", close), ("columns", names), *dropped]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, in the order read."""
        return tuple(map(Path, self.digests))

    @property
    def most_bars(self) -> int:
        """The number of bars; for `HistoryFiles`, an upper bound known beforehand."""
        return len(self)

    def column(self, name: str) -> np.ndarray:
        """Return the array called `name`; DataError if there is none."""
        check_text("name", name)
        if name not in self.columns:
            hint = nearest(name, self.columns)
            raise DataError(f"the history has no column {name!r}, only {listing(self.columns)}.{hint}")
        return getattr(self, name) if name in USUAL_NAMES else self.extra[name]

    def slice(self, start: int | None, stop: int | None) -> Self:
        """Return bars `start` to `stop`, counted as in Python's slices, as views."""
        start, stop = (check_integer("start", start, optional=True), check_integer("stop", stop, optional=True))
        bars = slice(start, stop)
        arrays = {name: self.column(name)[bars] for name in self.columns if name in USUAL_NAMES}
        extra = {name: values[bars] for name, values in self.extra.items()}
        return replace(self, **arrays, extra=extra, after_gap=self.after_gap[bars])


class HistoryFiles:
    """A price history in files, read and validated a chunk at a time: see `open_history`.

    columns: the column in the files behind each name; most_bars: rows in the files, before any is dropped; digests and
    dropped: as of a `History`, once all chunks are read. name: what errors call rows that were sorted into files of
    ours, whose digests mean nothing.
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
        """The bars in order, about `rows` at a time (None: CHUNK_BARS), at least one chunk. Raises DataError for
        invalid bars."""
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
                # Of all files, even if the rest of their bars is not needed.
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
        # Copies, since a chunk's memory is the reader's again as soon as the chunk is gone.
        parts = [
            [values.copy() for values in (*(chunk.column(name) for name in self.columns), chunk.after_gap)]
            for chunk in self.chunks(WHOLE_ROWS)
        ]
        *values, after_gap = parts[0] if len(parts) == 1 else map(np.concatenate, zip(*parts, strict=True))
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

    Arguments and errors are those of `load_history`, but for

    files, name
        The files of `path`, where they are known already, and what errors call their rows.
    """
    path = _check_path(path)
    for role, given in {"time": time, "price": price, "open": open, "volume": volume, "risk": risk}.items():
        check_text(role, given, expected="the name of a column", optional=True)
    extra = check_names("extra", extra)
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
    """Read and validate a whole price history; nothing is corrected.

    Parameters
    ----------
    path
        A CSV or Parquet file, a glob, or a folder (plain or partitioned) of files of one kind, which are read in the
        order of their paths with numbers by value: `month=2` before `month=10`.
    time, price, open, volume
        Column names; without them the usual names are looked for, in any case (`time`, `date` …, `close`, `price` …).
        Only the price must exist; an adjusted close is not put together with an open that was not named with it.
        Times are dates, date-times (UTC unless they say otherwise), ISO 8601 text or Unix epochs in s, ms, us or ns;
        `time="none"` reads none. If no time was named and none was found, a column that looks like times is refused.
    risk
        Name of a column of booleans or of 0 and 1.
    extra
        Names of further numeric columns; `close`, `open`, `volume`, `time` and `risk` mean those above.
    nan
        `"refuse"` null and NaN, or `"drop"` the rows that hold one in a column read.
    optional
        Roles besides the price to look for under their usual names.

    Returns
    -------
    History
        `close`, `open`, `volume` float64 (n,) and `time` int64 (n,), ns UTC; None for what the input lacks.

    Raises
    ------
    DataError
        The text names the file, the row (from 1, not counting the CSV header), the column and the value.
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
    return open_history(
        path, time=time, price=price, open=open, volume=volume, risk=risk, extra=extra, nan=nan, optional=optional
    ).load()


def check_history(history: object) -> History | None:
    """A history that was given as an argument, or None; InputError for anything else, which says how one is made."""
    if history is None or isinstance(history, History):
        return history
    how = "History.from_frame(…)"
    if isinstance(history, str | Path):
        how = f"load_history({str(history)!r})"
    elif isinstance(history, HistoryFiles):
        how = "its load()"
    raise InputError(f"history is {described(history)}; expected a History, as of {how}")


def required_history(history: object) -> History:
    """The same where there must be one."""
    checked = check_history(history)
    if checked is None:
        raise InputError("history is None; expected a History (see load_history, History.from_frame)")
    return checked


def _check_path(path: object) -> str | Path:
    if isinstance(path, str | Path):
        return path
    frame = "; a frame is read by History.from_frame" if hasattr(path, "columns") else ""
    raise InputError(f"path is {described(path)}; expected a CSV or Parquet file, a glob or a folder{frame}")
