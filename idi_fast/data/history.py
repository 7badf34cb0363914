"""A price history: validated flat arrays ready for the kernels."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike

from idi_fast import display
from idi_fast.config.arguments import check_integer, check_text, described
from idi_fast.config.read_options import DecimalMark
from idi_fast.data.bounds import Bounds, Time
from idi_fast.data.column_names import USUAL_NAMES, listing
from idi_fast.data.rules import LEAST, PRICES, RULES
from idi_fast.data.timestamps import iso_time
from idi_fast.errors import DataError, InputError, nearest

if TYPE_CHECKING:
    import polars as pl


class ArrowFrame(Protocol):
    """A frame that hands out its rows as an Arrow stream, as those of polars, pandas, Arrow and DuckDB do."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The Arrow PyCapsule of a stream."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class History(display.Plotted):
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
        Rows dropped from the whole input: with missing values, or copies of the one before.
    columns : dict of str to str
        The input's column behind each of the names above.
    digests : dict
        SHA-256 and length of each file, by its path, in the order read; empty for a frame.
    high, low : numpy.ndarray or None
        float64 (n,), the highest and lowest price of the bar, finite and above 0.
    copies : int
        Of the dropped rows those that repeat the one before.
    notes : tuple of str
        What was found out about the input, where it is not plain: its dialect, an order to turn round.

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
    high: np.ndarray | None = None
    low: np.ndarray | None = None
    copies: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        kinds = {**dict.fromkeys((*PRICES, "volume"), float), "time": np.int64, "risk": np.uint8, "after_gap": bool}
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
        high: str | None = None,
        low: str | None = None,
        extra: Sequence[str] = (),
        nan: Literal["refuse", "drop"] = "refuse",
        decimal: DecimalMark | None = None,
        thousands: str | None = None,
        time_format: str | None = None,
        tz: str | None = None,
        sort: bool = False,
        duplicates: Literal["refuse", "drop"] = "refuse",
        start: Time | None = None,
        end: Time | None = None,
    ) -> "History":
        """Read and validate a price history from a frame, by the rules for files.

        Parameters
        ----------
        frame
            A DataFrame or LazyFrame of polars, a DataFrame of pandas, a Table or RecordBatch of Arrow, whatever else
            hands out Arrow streams (`__arrow_c_stream__`) or has the interchange protocol (`__dataframe__`), or a dict
            of columns by name. An index of pandas that is no mere count of the rows is a column, and without a name the
            time. Times without a zone are UTC.
        time, price, open, volume, risk, high, low, extra, nan
            As for `load_history`.
        decimal, thousands, time_format, tz, sort, duplicates, start, end
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

        columns = {"time": time, "price": price, "open": open, "volume": volume, "risk": risk, "high": high, "low": low}
        reading = {"decimal": decimal, "thousands": thousands, "time_format": time_format, "tz": tz, "sort": sort}
        reading |= {"duplicates": duplicates, "start": start, "end": end}
        return history_from_frame(frame, columns=columns, extra=extra, nan=nan, reading=reading)

    @classmethod
    def from_arrays(
        cls,
        close: ArrayLike,
        *,
        time: ArrayLike | None = None,
        open: ArrayLike | None = None,
        high: ArrayLike | None = None,
        low: ArrayLike | None = None,
        volume: ArrayLike | None = None,
        risk: ArrayLike | None = None,
        **extra: ArrayLike,
    ) -> "History":
        """Make a price history of arrays, checked by the rules for files.

        Parameters
        ----------
        close
            The prices, (n,), finite and above 0.
        time
            Date-times, text or epochs, (n,), strictly increasing; None: the bars have no times.
        open, high, low, volume, risk, extra
            Further columns, (n,), the last by names of their own.

        Returns
        -------
        History
            A copy of the arrays.

        Raises
        ------
        DataError
            The text names the row (from 1), the column and the value.

        Examples
        --------
        >>> import idi_fast as idi
        >>> idi.History.from_arrays([101.5, 99.0, 100.0], volume=[5, 7, 6])
        History of 3 bars
          close    100 at the end, 99 to 101.5
          columns  close, volume
        """
        given = {"time": time, "close": close, "open": open, "high": high, "low": low, "volume": volume, "risk": risk}
        columns = {name: np.asarray(values) for name, values in {**given, **extra}.items() if values is not None}
        for name, values in columns.items():
            if values.ndim != 1:
                raise DataError(f"{name} has the shape {values.shape}; expected one dimension")
        names: dict[str, Any] = {name: name for name in given if name in columns and name != "close"}
        return cls.from_frame(columns, price="close", extra=tuple(extra), **{"time": "none", **names})

    def to_frame(self) -> "pl.DataFrame":
        """The bars as a DataFrame of polars: the columns by the names of `columns`, times as date-times of UTC."""
        import polars as pl

        from idi_fast.data.timestamps import time_series

        columns = {name: self.column(name) for name in self.columns}
        return pl.DataFrame({name: time_series(of) if name == "time" else of for name, of in columns.items()})

    def __len__(self) -> int:
        return len(self.close)

    def __repr__(self) -> str:
        return display.as_text(f"History of {len(self):,} bars", self._rows())

    def _repr_html_(self) -> str:
        return display.as_html(f"History of {len(self):,} bars", self._rows(), lines={"close": self.close})

    def summary_frame(self) -> "pl.DataFrame":
        """A row per column of numbers: its first, last, least and greatest value, and its mean."""
        import polars as pl

        columns = {name: self.column(name).astype(float) for name in self.columns if name != "time"}
        rows = [(name, of[0], of[-1], of.min(), of.max(), of.mean()) for name, of in columns.items() if of.size]
        kinds = {"of": pl.String, **dict.fromkeys(("first", "last", "least", "greatest", "mean"), pl.Float64)}
        return pl.DataFrame(rows, schema=kinds, orient="row")

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

    def between(self, start: Time | None, end: Time | None) -> Self:
        """Return the bars from `start` on that lie before `end`, as views.

        Parameters
        ----------
        start, end
            Times as text in ISO 8601 or of a type of times, UTC unless they say otherwise; None: no bound.

        Raises
        ------
        DataError
            If no bar lies between them.
        InputError
            If the history has no times, or a bound is none.
        """
        return self.slice(*Bounds.of(start, end).places(self, last=True))


HistoryLike = History | ArrowFrame | Mapping[str, Any]
"""What is taken for a history: one, or a frame, as for `History.from_frame`."""


def check_history(history: object, extra: Sequence[str] = ()) -> History | None:
    """A history that was given as an argument, of a frame as well, or None; InputError for anything else, which says
    how one is made. extra: further columns to read of a frame."""
    if history is None or isinstance(history, History):
        return history
    if isinstance(history, Mapping) and any(isinstance(value, History) for value in history.values()):
        takers = "train, train_population, evaluate, walk_forward and sweep take those of many symbols"
        raise InputError(f"history is a dict of histories; expected one History ({takers})")
    if looks_like_frame(history):
        return History.from_frame(history, extra=extra)
    how = "History.from_frame(…)"
    if isinstance(history, str | Path):
        how = f"load_history({str(history)!r})"
    elif hasattr(history, "chunks"):
        how = "its load()"
    raise InputError(f"history is {described(history)}; expected a History, as of {how}")


def looks_like_frame(thing: object) -> bool:
    """Whether a thing is a frame that `History.from_frame` takes, or one of its kinds of columns by name."""
    if isinstance(thing, Mapping) or hasattr(thing, "collect_schema"):  # of polars, also a lazy one
        return True
    has_rows = hasattr(thing, "__arrow_c_stream__") or hasattr(thing, "__dataframe__")
    return has_rows and hasattr(thing, "columns")  # a series has none


def required_history(history: object, extra: Sequence[str] = ()) -> History:
    """The same where there must be one."""
    checked = check_history(history, extra)
    if checked is None:
        raise InputError("history is None; expected a History (see load_history, History.from_frame)")
    return checked
