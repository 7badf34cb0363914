"""Columns that look like the bars' times, so that none is passed over without a word."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from idi_fast.bar_files import read_head
from idi_fast.errors import DataError
from idi_fast.timestamps import LATEST, NS_PER_TICK, SERIAL_DAYS, TICKS_PER_SECOND, TimeReader, date_in_digits, unit_of

NO_TIME = "none"
"""Given as the name of the time column: the bars have no times."""
SAMPLE = 256
"""Rows of a file that are looked at."""

WORD = re.compile(
    r"times?|dates?|datetimes?|timestamps?|datestamp|ts|dt|unix|unixtime|epoch|utc|gmt|datum|zeit|uhrzeit|fecha|hora|heure"
    r"|дата|время|日期|时间|時間|日付|日時|날짜|시간"
    r"|(open|close|start|end|begin|trade|quote|bar|candle|event|local|gmt|utc|server|exchange)(time|date|stamp)"
    r"|(date|time)(open|close|start|end|utc|gmt|local|time|ms|us|ns)"
)
"""A column with such a word in its name is one of times, whatever it holds …"""
NAME = re.compile(r"day|month|year|hour|minute|week|quarter|yyyymmdd|yyyymm|tag|monat|jahr|jour|mois|d[ií]a|mes|año")
"""… as is one with just such a name."""
CLOCK = re.compile(r"times?|hours?|minute|clock|zeit|uhrzeit|hora|heure")
"""A word in the name of a column that may hold the time of day for the dates of another one."""
BAR_FIELD = re.compile(
    r"open|high|low|(adj|close|last|mid)?[ _]?(close|price)|last|mid|bid|ask|(quote )?volume|vol|vwap|trades|count"
    r"|amount|turnover|open[ _]?interest"
)
"""The name of a column that holds no times, though a few rows of it may look so."""

EPOCHS_FROM = 10 * 31_536_000
"""Seconds from which on numbers in a column of any name are taken for epochs: 1979-12-30."""

MONTHS = "jan|feb|mar|mär|mrz|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez"
DATE = re.compile(
    r"(?i)^\D{0,12}\d{1,4}[-/.\s]\s?\d{1,2}[-/.\s]\s?\d{1,4}(\D|$)"  # 2024-01-31, 31.01.2024 09:30, 1/31/24
    r"|^\d{8}[ t;_-]\d{1,2}:?\d{2}"  # 20240131 093000, 20240131 09:30:00
    r"|^\d{4}_\d{1,2}_\d{1,2}|^\d{4}-W\d{2}-\d|^\d{1,2}[-/]\d{4}$"  # 2024_01_31, 2024-W05-3, 01/2024
    r"|^\d{4}[-/](\d{1,2}|[qwm]\d{1,2})$|^\d{4}\s?[qw]\d{1,2}$|^q[1-4][\s/-]?\d{4}$"  # 2024-01, 2024Q1, 2024-W05
    rf"|^\D*\d{{0,4}}[\s./-]?({MONTHS})[a-zé]*[\s./,-]*\d"  # Jan 31, 2024, 31-Jan-2024
    r"|^\d{4}\s?[年년]"
)  # fmt: skip
TIME_OF_DAY = re.compile(r"(?i)^\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?\s?([ap]\.?m\.?)?(z|[+-]\d{2}:?\d{2})?$")
MIDNIGHT = re.compile(r"(?i)^[0:.]+(z|\+00:?00)?$|^12:00(:00)?\s?am$")


def refuse_unread_times(schemas: Mapping[Path, pl.Schema], columns: Mapping[str, str], label: str | None) -> None:
    """Refuse files whose columns look like times though none of them, or not all that matters of them, is read.

    columns: those that are read, by role; label: what errors call the files, if not by their own names. Raises
    DataError, which names the column, shows a value and says what to do.
    """
    for file, schema in schemas.items():
        others = [name for name in schema if name not in columns.values()]
        if "time" in columns:
            _refuse_times_of_day(file, schema, columns["time"], others, label or str(file))
        elif others:
            _refuse_times(file, others, label or str(file))


def _refuse_times(file: Path, names: Sequence[str], label: str) -> None:
    head = read_head(file, names, SAMPLE)
    # The first column that holds what it is called says most.
    named = [name for name in names if head[name].dtype != pl.Boolean and _is_named_so(name)]
    found = [name for name in names if name not in named and _holds_times(name, head[name])]
    if not named and not found:
        return
    name = (named or found)[0]
    values = head[name].drop_nulls()
    shown = f" ({_text(values[:1])[0]!r})" if len(values) else ""
    remedy = "write its times as 2024-01-31T09:30:00Z"
    if _is_understood(values):
        remedy = f"name it as their column (--time-col {name!r})"
    raise DataError(
        f"{label}: column {name!r}{shown} looks like the bars' times, but was not named as such; {remedy}, or if they "
        f"have none say so (--time-col {NO_TIME})"
    )


def _refuse_times_of_day(file: Path, schema: pl.Schema, time: str, others: Sequence[str], label: str) -> None:
    """Refuse dates whose times of day stand in another column."""
    clocks = [name for name in others if schema[name] == pl.Time or any(CLOCK.fullmatch(word) for word in _words(name))]
    if not clocks:
        return
    head = read_head(file, [time, *clocks], SAMPLE)
    if not _are_whole_days(head[time]):
        return
    for name in clocks:
        texts = [text for text in _text(head[name].drop_nulls()) if not MIDNIGHT.match(text)]
        if texts and all(TIME_OF_DAY.match(text) or _is_clock_digits(text) for text in texts):
            raise DataError(
                f"{label}: column {name!r} ({texts[0]!r}) looks like the times of day for the dates in {time!r}; join "
                f"them in one column, as 2024-01-31T09:30:00Z, or read the dates alone (--time-col {time!r})"
            )


def _is_understood(values: pl.Series) -> bool:
    readable = values.dtype in (pl.String, pl.Date, pl.Datetime) or values.dtype.is_integer()
    if not readable or not len(values):
        return False
    reader = TimeReader()
    return reader.read(values).null_count() == 0 and not reader.is_ambiguous()


def _is_named_so(name: str) -> bool:
    return any(WORD.fullmatch(word) for word in _words(name)) or NAME.fullmatch(name.strip().lower()) is not None


def _words(name: str) -> set[str]:
    """The words of a name like `Gmt time`, `open_time` or `openTime`, in small letters."""
    apart = re.sub(r"(?<=[a-zа-я])(?=[A-ZА-Я])", " ", name)
    return set(re.findall(r"[^\W\d_]+", apart.lower()))


def _holds_times(name: str, values: pl.Series) -> bool:
    """Whether most of the values look like dates, times or epochs."""
    values = values.drop_nulls()
    if values.dtype in (pl.Date, pl.Datetime, pl.Time):
        return True
    if not len(values) or not (values.dtype == pl.String or values.dtype.is_numeric()):
        return False
    numbers = values.cast(pl.Float64, strict=False).drop_nulls()
    if 2 * len(numbers) > len(values):
        return not BAR_FIELD.fullmatch(name.strip().lower()) and _counts_time(numbers.to_numpy())
    texts = _text(values)
    return 2 * sum(bool(DATE.search(text) or TIME_OF_DAY.search(text)) for text in texts) >= len(texts)


def _counts_time(numbers: np.ndarray) -> bool:
    """Whether numbers go one way, as times do but for a few, and are plausible epochs, dates in digits or a
    spreadsheet's days."""
    steps = np.abs(np.diff(numbers))
    if numbers.size < 2 or not np.isfinite(numbers).all() or not steps.any():
        return False
    # Not all: a file whose rows are out of order is the one that a check of their times is for.
    turns = min((np.diff(numbers) > 0).sum(), (np.diff(numbers) < 0).sum())
    if turns > max(1, numbers.size // 10):
        return False
    low, high = numbers.min(), numbers.max()
    if any(EPOCHS_FROM * scale <= low and high <= LATEST * scale for scale in TICKS_PER_SECOND.values()):
        return True
    if low >= 10**7:
        return all(date_in_digits(int(number)) is not None for number in numbers)
    if (steps == 1).all():  # rows are numbered so
        return False
    if SERIAL_DAYS.start <= low and high < SERIAL_DAYS.stop:
        is_regular = np.abs(steps - np.median(steps)) <= np.median(steps) / 5
        return numbers.size >= 8 and steps.max() <= 31 and is_regular.mean() >= 0.5
    is_whole = (numbers == np.floor(numbers)).all()
    return bool(low >= 10**5 and is_whole) and all(date_in_digits(int(number)) is not None for number in numbers)


def _are_whole_days(values: pl.Series) -> bool:
    """Whether dates are all that a column holds."""
    values, unit = values.drop_nulls(), unit_of(values.dtype)
    if unit is not None:
        return bool((values.to_physical() % (NS_PER_TICK["D"] // NS_PER_TICK[unit]) == 0).all())
    return all(re.fullmatch(r"\d{4}-\d{2}-\d{2}|\d+", text) for text in _text(values))


def _is_clock_digits(text: str) -> bool:
    """Whether digits are a time of day: 9, 930, 0930 or 093000."""
    return re.fullmatch(r"\d|[01]?\d|2[0-3]|([01]?\d|2[0-3])[0-5]\d([0-5]\d)?", text) is not None


def _text(values: pl.Series) -> list[str]:
    unit = unit_of(values.dtype)
    if unit is not None:  # polars panics on years that it cannot print
        return np.datetime_as_string(values.to_physical().to_numpy().astype(f"datetime64[{unit}]")).tolist()
    return [str(value) for value in values]
