"""Columns of time as nanoseconds since 1970-01-01 UTC."""

import re
from datetime import date, datetime, timedelta
from typing import Any, TypeGuard

import numpy as np
import polars as pl

from idi_fast.errors import InputError

# %#z: Z, +02, +02:00; it takes eight times as long as Z.
ISO_FORMATS = (
    "%F",
    "%FT%T",
    "%FT%TZ",
    "%FT%T+00:00",
    "%FT%T%.f",
    "%FT%T%.fZ",
    "%FT%T%.f%#z",
    "%FT%H:%M",
    "%FT%H:%M%#z",
)
# Beyond 1677–2262 polars wraps an int64 of nanoseconds silently: it reads the year 3000 as 1830.
ISO_START = r"^(1[7-9]|2[01])\d\d-\d\d-\d\d"
YEARS = (1700, 2199)
NS_PER_TICK = {"D": 86_400 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}

TICKS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
EARLIEST, LATEST = -2_208_988_800, 4_102_444_799
"""Earliest and latest time, in seconds, that a number can mean: 1900-01-01 and the end of 2099."""
NEAREST = 31_536_000
"""A column of epochs does not begin within these seconds of 1970-01-01: counters, spreadsheets' serial days and dates
of eight digits do."""
LEADING_ZERO = r"^[+-]?0\d"
"""An epoch does not begin so."""

DIGITS_OF = {"Y": 4, "j": 3, "f": 3}
DIGIT_FORMATS = {
    form: sum(DIGITS_OF.get(part, 2) for part in form.split("%")[1:])
    for form in (
        "%Y%m%d",
        "%Y%m%d%H",
        "%Y%m%d%H%M",
        "%Y%m%d%H%M%S",
        "%Y%m%d%H%M%S%f",
        "%Y%m",
        "%Y%j",
        *(day + rest for day in ("%y%m%d", "%d%m%y", "%m%d%y") for rest in ("", "%H%M", "%H%M%S")),
        *(day + rest for day in ("%d%m%Y", "%m%d%Y") for rest in ("", "%H", "%H%M", "%H%M%S")),
    )
}
"""The forms of a date in digits, and their numbers of digits."""
AMBIGUOUS_ROWS = 64
"""Evenly spaced epochs look like dates of one form for at most 60 rows (seconds that look like minutes); from this
row on they are dates."""

TICK_ZEROS = {".NET ticks": 62_135_596_800, "a Windows file time": 11_644_473_600}
"""Counts of 100 ns, and the seconds from their origins (the years 1 and 1601) to 1970."""
TICKS_OF_100_NS = 10**7
MINUTE_NS = 60 * 10**9

DAY_COUNTS = {
    "a spreadsheet's": 25_569,
    "the day since 1970 of": 0,
    "the modified Julian day of": 40_587,
    "the Julian day of": 2_440_587.5,
    "MATLAB's": 719_529,
    "the ordinal day of": 719_163,
}
"""Counts of days, and the number of 1970-01-01 in each."""
RECENT = (datetime(1990, 1, 1), datetime(2040, 1, 1))
"""A count of days means a time between these."""


class TimeReader:
    """Reads a file's column of time, a batch at a time; the result does not depend on where the batches end.

    Dates, date-times and ISO 8601 text are read as such. Integers are Unix epochs in the unit (s, ms, us, ns) that puts
    the first one into 1900 to 2099, but not within a year of 1970-01-01. Two kinds of numbers are plausible
    epochs, but not read as such:

    - those that also spell dates in digits, all in one form, unless a row that does not shows that they are epochs;
    - those that are .NET ticks or Windows file times of 1900 to 2099, which as nanoseconds are times of 1973, 1974,
      1989 and 1990, unless all are whole minutes apart as nanoseconds: ticks are so every 100 minutes.
    """

    def __init__(self) -> None:
        self._first: Any = None  # the first value, an integer or text
        self._forms, self._dates = set(DIGIT_FORMATS), 0

    def read(self, source: pl.Series) -> pl.Series:
        """The times as Int64, ns since 1970-01-01 UTC; null if a value is not a time or ambiguous."""
        unit = unit_of(source.dtype)
        if unit is not None:
            ticks, most = source.to_physical().cast(pl.Int64), (2**63 - 1) // NS_PER_TICK[unit]
            return ticks.set(~ticks.is_between(-most, most), None) * NS_PER_TICK[unit]
        if source.dtype.is_float():
            whole = source.is_finite() & (source == source.floor()) & (source.abs() < 2.0**63)
            source = source.set(~whole.fill_null(False), None).cast(pl.Int64)
        if self._first is None:
            self._first = source.drop_nulls().first()
        if source.dtype == pl.String and not _is_number(self._first):
            return iso_to_ns(source)
        ticks, unit = source.cast(pl.Int64, strict=False), epoch_unit(self._first)
        if unit is None:
            return ticks.clear(len(ticks))
        if source.dtype == pl.String:
            ticks = ticks.set(source.str.contains(LEADING_ZERO), None)
        per_second = TICKS_PER_SECOND[unit]
        ticks = ticks.set(~ticks.is_between(EARLIEST * per_second, (LATEST + 1) * per_second - 1), None)
        for zero in TICK_ZEROS.values() if unit == "ns" else ():
            low, high = ((seconds + zero) * TICKS_OF_100_NS for seconds in (EARLIEST, LATEST))
            if low <= int(self._first) <= high:
                apart = (ticks - int(self._first)) % MINUTE_NS != 0
                ticks = ticks.set(apart & ticks.is_between(low, high), None)
        return self._without_dates(ticks) * NS_PER_TICK[unit]

    def is_ambiguous(self) -> bool:
        """Whether all the numbers so far may as well be dates."""
        return bool(self._forms) and self._dates > 0

    def _without_dates(self, ticks: pl.Series) -> pl.Series:
        """The same, with null in the row that makes all of them count as dates, if there is one."""
        if not self._forms:
            return ticks
        for row in ticks.is_not_null().arg_true()[: AMBIGUOUS_ROWS - self._dates]:
            self._forms &= dates_in_digits(ticks[row]).keys()
            if not self._forms:
                return ticks
            self._dates += 1
            if self._dates == AMBIGUOUS_ROWS:
                return ticks.scatter(row, None)
        return ticks


def parse_time(time: str | date | np.datetime64, name: str) -> int:
    """A date or date-time, as text in ISO 8601 or of a type of times, UTC unless it says otherwise, as ns.

    Raises InputError about `name` where it is none, or lies outside the years 1700 to 2199.
    """
    text, found = time, None
    if isinstance(time, date):  # a date-time, too, and pandas' own
        text = time.isoformat()
    elif isinstance(time, np.datetime64):
        text = str(time)
    if isinstance(text, str):
        found = iso_to_ns(pl.Series([text.strip()], dtype=pl.String)).item()
    if found is None:
        raise InputError(f"{name} is {time!r}; expected a date or date-time like 2024-01-31 or 2024-01-31T09:30:00Z")
    return found


def iso_time(time_ns: int) -> str:
    """A time in ns UTC as ISO 8601, without a fraction of a second where there is none."""
    text = str(np.datetime64(int(time_ns), "ns"))
    return text.removesuffix(".000000000") + "Z"


def time_series(time_ns: np.ndarray) -> pl.Series:
    """Times in ns UTC int64 (n,) as a column of date-times."""
    return pl.Series(time_ns).cast(pl.Datetime("ns", "UTC"))


def unit_of(dtype: pl.DataType) -> str | None:
    """NumPy's name for the unit that a time type counts in; None for other types."""
    return "D" if dtype == pl.Date else getattr(dtype, "time_unit", None)


def dates_in_digits(value: int | str) -> dict[str, datetime]:
    """The dates that digits such as 20240131 or 202401310930 spell, by their form.

    A number may lack the leading zero of a day, month or year of two digits.
    """
    digits, found = str(value), {}
    for form, length in DIGIT_FORMATS.items():
        is_year_first = form.startswith("%Y")
        padded = digits if is_year_first or length < 7 or len(digits) == length else f"0{digits}"
        if len(padded) != length:
            continue
        try:
            date = datetime.strptime(padded, form)
        except ValueError:
            continue
        # Fewer years if the year comes last: evenly spaced epochs pass through them in fewer rows.
        if (1900 if is_year_first else 1930) <= date.year < 2100:
            found[form] = date
    return found


def days_counted(value: float) -> dict[str, datetime]:
    """The recent times that a number means as a count of days, by the kind of count."""
    found = {}
    for name, day in DAY_COUNTS.items():
        if abs(value - day) < 10**5:
            time = datetime(1970, 1, 1) + timedelta(seconds=round((value - day) * 86_400))
            if RECENT[0] <= time < RECENT[1]:
                found[name] = time
    return found


def meaning_of_number(value: object) -> str:
    """What a number that was refused as a time may mean: "44245 may be a spreadsheet's 2021-02-18"; or empty."""
    if re.fullmatch(r"[+-]?\d{1,20}(\.\d{1,20})?", str(value)) is None:
        return ""
    readings = [f"{name} {_short(time)}" for name, time in days_counted(float(str(value))).items()]
    if _is_number(value):
        spelt = dict.fromkeys(time.isoformat() for time in dates_in_digits(str(value).lstrip("+")).values())
        readings = [*(f"{time} in digits" for time in spelt), *readings]
        for name, zero in TICK_ZEROS.items():
            seconds = int(value) // TICKS_OF_100_NS - zero
            if EARLIEST <= seconds <= LATEST:
                readings.append(f"{name} of {np.datetime64(seconds, 's')}Z")
        unit = epoch_unit(value)
        if readings and unit is not None:
            ns = int(value) * NS_PER_TICK[unit]
            readings.append(f"the epoch of {np.datetime64(ns, 'ns').astype('datetime64[s]')}Z")
    return f"{value} may be {' or '.join(readings)}" if readings else ""


def _short(time: datetime) -> str:
    return time.isoformat().removesuffix("T00:00:00")


def _is_number(value: object) -> TypeGuard[int | str]:
    # No epoch or date has more digits, and Python refuses to read some thousands of them.
    return not isinstance(value, str) or re.fullmatch(r"[+-]?\d{1,20}", value) is not None


def epoch_unit(first: Any) -> str | None:
    """The unit in which a number, the first of a column, is a plausible Unix epoch; None for others."""
    if first is None or (isinstance(first, str) and re.match(LEADING_ZERO, first)):
        return None
    for unit, per_second in TICKS_PER_SECOND.items():
        seconds = int(first) // per_second
        if EARLIEST <= seconds <= LATEST and abs(int(first)) >= NEAREST * per_second:
            return unit
    return None


def iso_to_ns(text: pl.Series) -> pl.Series:
    """Parse ISO 8601 text, beginning with the format that suits the first row."""
    text = text.set(~text.str.contains(ISO_START), None).str.replace(" ", "T", literal=True)
    first = text.drop_nulls().head(1)
    ns = pl.repeat(None, len(text), dtype=pl.Int64, eager=True)
    for form in sorted(ISO_FORMATS, key=lambda form: _ns(first, form).null_count()):
        rest = text.set(ns.is_not_null(), None)
        if rest.null_count() == len(rest):
            break
        ns = ns.fill_null(_ns(rest, form))
    return ns


def parsed(text: pl.Series, form: str) -> pl.Series:
    """Text in a format of polars as int64, ns UTC; null for other text, and years other than 1700 to 2199."""
    if form.endswith("%H"):  # polars takes no hours without minutes
        text, form = text + "00", form + "%M"
    times = text.str.to_datetime(form, time_unit="us", strict=False, cache=False)
    is_held = times.dt.year().is_between(*YEARS)  # an int64 of nanoseconds would wrap round
    ns = times.to_physical() * 1000
    if "%.f" in form:
        ns = _ns(text, form)
    return ns.set(~is_held, None)


def _ns(text: pl.Series, form: str) -> pl.Series:
    return text.str.to_datetime(form, time_unit="ns", strict=False, cache=False).to_physical()
