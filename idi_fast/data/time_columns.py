"""Columns that look like the bars' times, so that none is overlooked silently."""

import re
from collections.abc import Mapping
from itertools import takewhile

import polars as pl

from idi_fast.config.read_options import ReadOptions
from idi_fast.data.bar_files import read_head
from idi_fast.data.date_forms import meaning_of_time
from idi_fast.data.sources import Source
from idi_fast.data.time_forms import (
    as_text,
    holds_times,
    is_bar_field,
    is_clock,
    is_clock_digits,
    is_date,
    is_named_for_clock,
    is_named_so,
    tells_bars_apart,
    tells_order,
    words,
)
from idi_fast.data.time_plan import plan_times
from idi_fast.data.timestamps import NS_PER_TICK, dates_in_digits, unit_of
from idi_fast.errors import DataError

NO_TIME = "none"
"""Name of the time column that means: the bars have no times."""
SAMPLE = 256
"""Rows of a file that are examined."""
CLOCK_IN = r"\d:\d|\d{4} ?\d{4}"
"""What shows that a date has a time of day."""
HOURS = r"hours?|hr|h|stunde|heures?|hora|ora|uur|godzina|час|時|时|시"
GOOD_FORM = "2024-01-31T09:30:00Z"


def refuse_unread_times(schemas: Mapping[Source, pl.Schema], columns: Mapping[str, str], label: str | None) -> None:
    """Refuse files without times that have a column which looks like them.

    columns: those that are read, by role; label: what errors call the files, if not their own names. Raises
    DataError, which names the column, shows a value and says what to do.
    """
    for file, schema in schemas.items():
        others = [name for name in schema if name not in columns.values()]
        if others and "time" not in columns:
            _refuse_times(file, schema, others, label or str(file))


def _refuse_times(file: Source, schema: pl.Schema, names: list[str], label: str) -> None:
    body = read_head(file, names, SAMPLE)
    # The first column whose values fit its name is the most telling.
    named = [name for name in names if body[name].dtype != pl.Boolean and _is_named_for_times(name, body[name])]
    leading = set(takewhile(lambda name: name in names and not is_bar_field(name), schema))
    others = (name for name in names if name not in named)
    found = [name for name in others if holds_times(name, body[name], leads=name in leading)]
    if not named and not found:
        return
    name = (named or found)[0]
    values = body[name].drop_nulls()
    shown = f" ({as_text(values[:1])[0]!r})" if len(values) else ""
    meaning = meaning_of_time(values[0]) if len(values) and unit_of(values.dtype) is None else ""
    remedy = f"write its times as {GOOD_FORM}"
    if meaning:
        remedy = f"name it (`time={name!r}`) and say how it is read ({meaning}), or {remedy}"
    if _is_understood(values):
        remedy = f"name it as their column (`time={name!r}`)"
    raise DataError(
        f"{label}: column {name!r}{shown} looks like the bars' times, but was not named as such; {remedy}, or if they "
        f"have none say so (`time={NO_TIME!r}`)"
    )


def _is_named_for_times(name: str, values: pl.Series) -> bool:
    return is_named_so(name) or (tells_bars_apart(name) and tells_order(values))


def find_clock(file: Source, schema: pl.Schema, columns: Mapping[str, str]) -> tuple[str, str, int] | None:
    """The columns of dates and of their times of day, where the time's column holds only one of them; else None.

    The number is that of the digits of a time of day in digits, with leading zeros; 0 for others. Raises DataError
    where it cannot be told.
    """
    time = columns["time"]
    kinds = (pl.String, pl.Time, pl.Date, pl.Datetime)
    others = [name for name in schema if name not in columns.values() and not is_bar_field(name)]
    others = [name for name in others if schema[name] in kinds or is_named_so(name)]
    if not others:
        return None
    head = read_head(file, [time, *others], SAMPLE)
    if _are_times_of_day(time, head[time].drop_nulls()):
        dates = next((name for name in others if _are_dates(head[name].drop_nulls())), None)
        return None if dates is None else (dates, time, _clock_digits(file, time, head[time]))
    if not _are_whole_days(head[time]):
        return None
    clock = next((name for name in others if _are_times_of_day(name, head[name].drop_nulls())), None)
    return None if clock is None else (time, clock, _clock_digits(file, clock, head[clock]))


def _clock_digits(file: Source, name: str, values: pl.Series) -> int:
    """The digits of times of day: 2 for hours, 4, or 6 with seconds; 0 if they are not in digits."""
    texts = as_text(values.drop_nulls())
    if not all(text.isdecimal() for text in texts):
        return 0
    longest = max(map(len, texts), default=0)
    if longest > 3:  # shorter ones lack leading zeros
        return 6 if longest > 4 else 4
    if longest <= 2:
        are_padded = all(len(text) == 2 and int(text) < 24 for text in texts) and any(text[0] == "0" for text in texts)
        if are_padded or any(re.fullmatch(HOURS, word) for word in words(name)):
            return 2
    raise DataError(
        f"{file}: column {name!r} ({texts[0]!r}) may hold hours, minutes or seconds of the day; write them as 09:30"
    )


def refuse_named_zone(file: Source, name: str, options: ReadOptions) -> None:
    """Refuse times whose column names a zone other than UTC that no option tells: `Time (EST)`."""
    found = re.search(r"[(\[]\s*([A-Z]{3,5}|UTC[+-].*|[A-Za-z]+/[A-Za-z_]+)\s*[)\]]\s*$", name)
    if found is None or found[1] in ("UTC", "GMT") or options.tz is not None:
        return
    raise DataError(f"{file}: column {name!r} names a zone; say which, as `tz='America/New_York'` (`tz='UTC'`: none)")


def _are_times_of_day(name: str, values: pl.Series) -> bool:
    if values.dtype == pl.Time:
        return len(values) > 0
    if not len(values) or not (values.dtype == pl.String or values.dtype.is_integer()):
        return False
    may_be_digits = is_named_for_clock(name)
    return all(is_clock(text) or (may_be_digits and is_clock_digits(text)) for text in as_text(values))


def _are_dates(values: pl.Series) -> bool:
    """Whether a column's values are dates, with or without times of day."""
    if values.dtype in (pl.Date, pl.Datetime):
        return len(values) > 0
    texts = as_text(values)
    return len(texts) > 0 and all(is_date(text) or bool(dates_in_digits(text)) for text in texts)


def _are_whole_days(values: pl.Series) -> bool:
    """Whether a column holds dates only."""
    values, unit = values.drop_nulls(), unit_of(values.dtype)
    if unit is not None:
        return bool((values.to_physical() % (NS_PER_TICK["D"] // NS_PER_TICK[unit]) == 0).all())
    texts = as_text(values)
    return all(re.fullmatch(r"\d{6,8}", text) or (is_date(text) and not re.search(CLOCK_IN, text)) for text in texts)


def _is_understood(values: pl.Series) -> bool:
    readable = values.dtype in (pl.String, pl.Date, pl.Datetime) or values.dtype.is_integer()
    if not readable or not len(values):
        return False
    reader = plan_times(values, lambda: (), form=None, zone=None, known=None).reader()
    return reader.read(values).null_count() == 0 and not reader.is_ambiguous()
