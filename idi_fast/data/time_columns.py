"""Columns that look like the bars' times, so that none is overlooked silently."""

import re
from collections.abc import Mapping
from itertools import takewhile

import polars as pl

from idi_fast.data.bar_files import Source, read_head
from idi_fast.data.date_forms import meaning_of_time
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


def find_clock(file: Source, schema: pl.Schema, columns: Mapping[str, str]) -> tuple[str, str] | None:
    """The columns of dates and of their times of day, where the time's column holds only one of them; else None."""
    time = columns["time"]
    kinds = (pl.String, pl.Time, pl.Date, pl.Datetime)
    others = [name for name in schema if name not in columns.values() and not is_bar_field(name)]
    others = [name for name in others if schema[name] in kinds or is_named_so(name)]
    if not others:
        return None
    head = read_head(file, [time, *others], SAMPLE)
    if _are_times_of_day(time, head[time].drop_nulls()):
        return next(((name, time) for name in others if _are_dates(head[name].drop_nulls())), None)
    if not _are_whole_days(head[time]):
        return None
    return next(((time, name) for name in others if _are_times_of_day(name, head[name].drop_nulls())), None)


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
