"""Columns of time as nanoseconds since 1970-01-01 UTC."""

import re
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from idi_fast.errors import InputError

ISO_FORMATS = ("%F", "%FT%T", "%FT%T%.f", "%FT%T%.f%#z", "%FT%H:%M", "%FT%H:%M%#z")  # %#z: Z, +02, +02:00
# Beyond 1677–2262 polars wraps an int64 of nanoseconds silently: it reads the year 3000 as 1830.
ISO_START = r"^(1[7-9]|2[01])\d\d-\d\d-\d\d"
NS_PER_TICK = {"D": 86_400 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}

TICKS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
EARLIEST, LATEST = -2_208_988_800, 4_102_444_799
"""Seconds of the earliest and the latest time that a number is read as: 1900-01-01 and the end of 2099."""
NEAREST = 31_536_000
"""A column of numbers does not begin less than these seconds from 1970-01-01: counters, spreadsheets' serial days and
dates of eight digits do."""

DIGIT_FORMATS = (
    "%Y%m%d", "%Y%m%d%H", "%Y%m%d%H%M", "%Y%m%d%H%M%S", "%Y%m%d%H%M%S%f", "%y%m%d", "%y%m%d%H%M", "%y%m%d%H%M%S",
)  # fmt: skip
DIGITS_OF = {"Y": 4, "f": 3}
SERIAL_DAYS = range(20_000, 80_000)
"""What a spreadsheet calls the days of 1954 to 2119."""
AMBIGUOUS_ROWS = 64
"""Epochs at even distances read as dates for 60 rows at most (those of seconds as minutes); from here on they are
dates."""


class TimeReader:
    """Reads a file's column of time, a batch at a time; the result does not depend on where the batches end.

    Dates, date-times and ISO 8601 text are taken as they are. Integers are Unix epochs in the unit (s, ms, us, ns) in
    which the first one lies in 1900 to 2099, but not within a year of 1970-01-01. Numbers that also read as dates (of
    10 or 12 digits) are refused, unless a row that cannot be a date shows that they are epochs.
    """

    def __init__(self) -> None:
        self._first: int | str | None = None
        self._could_be_dates, self._is_undecided = 0, True

    def read(self, source: pl.Series) -> pl.Series:
        """The times as Int64, ns since 1970-01-01 UTC; null where a value is none or cannot be told."""
        unit = unit_of(source.dtype)
        if unit is not None:
            ticks, most = source.to_physical().cast(pl.Int64), (2**63 - 1) // NS_PER_TICK[unit]
            return ticks.set(~ticks.is_between(-most, most), None) * NS_PER_TICK[unit]
        if self._first is None:
            self._first = source.drop_nulls().first()
        if source.dtype == pl.String and not _is_number(self._first):
            return _iso_to_ns(source)
        ticks, unit = source.cast(pl.Int64, strict=False), _epoch_unit(self._first)
        if unit is None:
            return ticks.clear(len(ticks))
        per_second = TICKS_PER_SECOND[unit]
        ticks = ticks.set(~ticks.is_between(EARLIEST * per_second, (LATEST + 1) * per_second - 1), None)
        return self._without_dates(ticks) * NS_PER_TICK[unit]

    def is_ambiguous(self) -> bool:
        """Whether all the numbers so far may as well be dates."""
        return self._is_undecided and self._could_be_dates > 0

    def _without_dates(self, ticks: pl.Series) -> pl.Series:
        """The same, with null in the row by which all must be taken for dates, if there is one."""
        if not self._is_undecided:
            return ticks
        for row in ticks.is_not_null().arg_true()[: AMBIGUOUS_ROWS - self._could_be_dates]:
            if date_in_digits(ticks[row]) is None:
                self._is_undecided = False
                return ticks
            self._could_be_dates += 1
            if self._could_be_dates == AMBIGUOUS_ROWS:
                return ticks.scatter(row, None)
        return ticks


def parse_time(text: str, name: str) -> int:
    """A date or date-time in ISO 8601, UTC unless it says otherwise, as ns; InputError about `name` if it is none."""
    found = _iso_to_ns(pl.Series([text.strip()], dtype=pl.String)).item()
    if found is None:
        raise InputError(f"{name} is {text!r}; expected a date or date-time like 2024-01-31 or 2024-01-31T09:30:00Z")
    return found


def unit_of(dtype: pl.DataType) -> str | None:
    """NumPy's name for the unit that a time type counts in; None for other types."""
    return "D" if dtype == pl.Date else getattr(dtype, "time_unit", None)


def date_in_digits(value: int) -> datetime | None:
    """The date that a number spells in digits, such as 20240131 or 202401310930, if it does."""
    digits = str(value)
    for form in DIGIT_FORMATS:
        if len(digits) != sum(DIGITS_OF.get(part, 2) for part in form.split("%")[1:]):
            continue
        try:
            found = datetime.strptime(digits, form)
        except ValueError:
            continue
        if 1900 <= found.year < 2200:
            return found
    return None


def explain_number(value: object) -> str:
    """What a number that was refused as a time may mean, to follow the refusal; empty where nothing is known."""
    if value is None or not _is_number(value):
        return ""
    number, readings = int(value), []
    if (date := date_in_digits(number)) is not None:
        readings.append(f"{date.isoformat()} in digits")
    if number in SERIAL_DAYS:
        readings.append(f"a spreadsheet's {(datetime(1899, 12, 30) + timedelta(number)).date()}")
    unit = _epoch_unit(value)
    if readings and unit is not None:
        readings.append(f"the epoch of {np.datetime64(number * NS_PER_TICK[unit], 'ns').astype('datetime64[s]')}Z")
    advice = "write times as 2024-01-31T09:30:00Z"
    return f" ({value} may be {' or '.join(readings)}; {advice})" if readings else ""


def _is_number(value: object) -> bool:
    # No epoch or date has more digits, and Python refuses to read some thousands of them.
    return not isinstance(value, str) or re.fullmatch(r"[+-]?\d{1,20}", value) is not None


def _epoch_unit(first: int | str | None) -> str | None:
    if first is None or (isinstance(first, str) and re.match(r"[+-]?0", first)):  # an epoch has no leading zero
        return None
    for unit, per_second in TICKS_PER_SECOND.items():
        seconds = int(first) // per_second
        if EARLIEST <= seconds <= LATEST and abs(int(first)) >= NEAREST * per_second:
            return unit
    return None


def _iso_to_ns(text: pl.Series) -> pl.Series:
    """Parse ISO 8601 text, beginning with the format that suits the first row."""
    text = text.set(~text.str.contains(ISO_START), None).str.replace(" ", "T", literal=True)
    first = text.drop_nulls().head(1)
    ns = pl.repeat(None, len(text), dtype=pl.Int64, eager=True)
    for form in sorted(ISO_FORMATS, key=lambda form: _parsed(first, form).null_count()):
        rest = text.set(ns.is_not_null(), None)
        if rest.null_count() == len(rest):
            break
        ns = ns.fill_null(_parsed(rest, form))
    return ns


def _parsed(text: pl.Series, form: str) -> pl.Series:
    return text.str.to_datetime(form, time_unit="ns", strict=False, cache=False).to_physical()
