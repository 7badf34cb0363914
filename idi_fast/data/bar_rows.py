"""Rows of price files as bars: numbers, times and flags, checked one by one."""

import re
from collections.abc import Mapping

import numpy as np
import polars as pl

from idi_fast.config.read_options import ReadOptions
from idi_fast.data.date_forms import meaning_of_time
from idi_fast.data.number_forms import UNKNOWN, read_numbers
from idi_fast.data.rules import LEAST, NUMBER, RULES
from idi_fast.data.time_plan import TimePlan
from idi_fast.data.timestamps import unit_of
from idi_fast.errors import DataError

MISSING_MARKS = ("null", "none", "na", "n/a", "#n/a", "nat", "-", "--", ".")
"""What vendors write for a missing value, in lower case."""
CLOCK = "clock"
"""Role of a column with the time of day for the dates in the time's column."""


class Converter:
    """Turns one file's batches into bars, in order.

    file, first_row: its name in errors and its first row; columns: its name for each role; times, decimal: how its
    times are read, and the decimal mark of its numbers, as for `number_forms.read_numbers`; drop: leave out rows with
    missing values instead of refusing them.
    """

    def __init__(
        self,
        file: str,
        columns: Mapping[str, str],
        options: ReadOptions,
        times: TimePlan,
        decimal: str | None,
        *,
        clock_digits: int = 0,
        first_row: int,
        drop: bool,
    ):
        self._row = first_row
        self._file, self._columns, self._drop = file, columns, drop
        self._plan, self._times, self._doubt = times, times.reader(), None
        self._decimal, self._thousands = decimal, options.thousands
        self._clock_digits = clock_digits

    def convert(self, frame: pl.DataFrame) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
        """The columns by role without the rows that lack a value; and a bool array of these rows, None if there are
        none. Raises DataError, which names the first bad row."""
        bars, breaches = {}, []
        missing = np.zeros(len(frame), bool)
        for role, name in self._columns.items():
            if role == CLOCK:
                continue
            source, (holds, _) = frame[name], RULES.get(role, NUMBER)
            if role == "time" and CLOCK in self._columns:
                source = joined(source, frame[self._columns[CLOCK]], self._clock_digits)
            values = self._converted(role, source)
            if role == "time" and self._times.is_ambiguous() and source.count():
                row = int(source.is_not_null().arg_true()[-1])
                self._doubt = f"{self._file}, row {self._row + row + 1}, {self._breach(role, source, row)}"
            if _is_plain(role, values):
                bars[role] = values
                continue
            wrong = ~holds(values).fill_null(False)
            if wrong.any():
                lacking = source.is_null() | values.is_nan().fill_null(False)
                if source.dtype == pl.String:
                    lacking = lacking | source.str.to_lowercase().is_in(MISSING_MARKS).fill_null(False)
                missing |= lacking.to_numpy()
                wrong = wrong & ~lacking if self._drop else wrong
            if wrong.any():
                row = wrong.arg_max()
                breaches.append((row, self._breach(role, source, row)))
            bars[role] = values.cast(pl.UInt8, strict=False) if role == "risk" else values
        if breaches:
            row, text = min(breaches)
            raise DataError(f"{self._file}, row {self._row + row + 1}, {text}")
        self._row += len(frame)
        if not missing.any():
            return {role: values.to_numpy(writable=True) for role, values in bars.items()}, None
        kept = pl.Series(~missing)
        return {role: values.filter(kept).to_numpy(writable=True) for role, values in bars.items()}, missing

    def finish(self) -> None:
        """There are no more batches. Raises DataError if the meaning of the times is still ambiguous."""
        if self._times.is_ambiguous():
            raise DataError(self._doubt)

    def _breach(self, role: str, source: pl.Series, row: int) -> str:
        _, expected = RULES.get(role, NUMBER)
        meaning = self._advice(role, source, row)
        return f"column {self._columns[role]!r}: found {_shown(source, row)}, expected {expected}{meaning}"

    def _advice(self, role: str, source: pl.Series, row: int) -> str:
        """What a refused value may mean, and the option that reads it so; empty where nothing is known."""
        value = source[row] if unit_of(source.dtype) is None else None
        if role == "time" and value is not None:
            if self._plan.zone is not None and self._plan._replace(zone=None).reader().read(source)[row] is not None:
                return f" (in {self._plan.zone} this time does not exist, or exists twice)"
            meaning = meaning_of_time(value)
            if meaning:
                return f" ({meaning}; or write times as 2024-01-31T09:30:00Z)"
            if not isinstance(value, str):
                return ""
            named = "; months by name are read in English" * (re.search(r"[^\W\d_]{3}", value) is not None)
            return f" (a time of another form is read if that is named: `time_format`{named})"
        is_open = self._decimal in (None, UNKNOWN)
        if role not in ("time", "risk") and isinstance(value, str) and re.search(r"\d[.,]\d", value) and is_open:
            return (
                " (its mark may separate thousands or be the decimal mark; say which: `decimal='.'` or `decimal=','`)"
            )
        return ""

    def _converted(self, role: str, source: pl.Series) -> pl.Series:
        """float64, for the time int64 nanoseconds UTC, with null for values that are not such."""
        if role == "time":
            return self._times.read(source)
        if role == "risk" and source.dtype == pl.String:
            source = source.str.to_lowercase().replace({"false": "0", "true": "1"})
        if role == "risk" or source.dtype != pl.String:
            return source.cast(pl.Float64, strict=False)
        return read_numbers(source, self._decimal, self._thousands)


def joined(dates: pl.Series, clocks: pl.Series, digits: int) -> pl.Series:
    """Dates with their times of day: text, for columns of types nanoseconds as a date-time. digits: those of a time of
    day in digits, with the leading zeros that it may lack; 0 if it is not in digits."""
    if clocks.dtype == pl.Time:
        days = dates.cast(pl.Datetime("ns"), strict=False)
        return days + clocks.to_physical().cast(pl.Duration("ns"))
    if dates.dtype in (pl.Date, pl.Datetime):
        dates = dates.dt.date().cast(pl.String)
    clocks = clocks.cast(pl.String)
    if digits:
        padded = clocks.str.zfill(digits).str.pad_end(6, "0")
        colons = padded.str.slice(0, 2) + ":" + padded.str.slice(2, 2) + ":" + padded.str.slice(4, 2)
        clocks = clocks.set(clocks.str.len_chars() > digits, None).zip_with(~clocks.str.contains(r"^\d+$"), colons)
    return dates.cast(pl.String) + " " + clocks


def _is_plain(role: str, values: pl.Series) -> bool:
    """Whether everything is valid, at a glance: a NaN makes both comparisons false."""
    if values.null_count() or role in ("time", "risk") or not len(values):
        return False
    array, least = values.to_numpy(), LEAST.get(role, np.finfo(float).min)
    return bool(array.min() >= least and array.max() < np.inf)


def _shown(source: pl.Series, row: int) -> str:
    unit = unit_of(source.dtype)
    if source.dtype in (pl.Date, pl.Datetime) and unit:  # polars panics on years it cannot print, numpy does not
        ticks = source.to_physical()[row]
        return "no value" if ticks is None else str(np.datetime64(ticks, unit))
    value = source[row]
    return "no value" if value is None else repr(value) if isinstance(value, str) else str(value)
