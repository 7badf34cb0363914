"""Columns that look like the bars' times, so that none is overlooked silently."""

import re
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path

import polars as pl

from idi_fast.data.bar_files import header_note, header_rows, read_head
from idi_fast.data.time_forms import (
    MIDNIGHT,
    as_text,
    holds_times,
    is_bar_field,
    is_clock,
    is_clock_digits,
    is_date,
    is_named_for_clock,
    is_named_so,
    order_of_dates,
    tells_bars_apart,
    tells_order,
)
from idi_fast.data.timestamps import NS_PER_TICK, TimeReader, dates_in_digits, meaning_of_number, unit_of
from idi_fast.errors import DataError

NO_TIME = "none"
"""Name of the time column that means: the bars have no times."""
SAMPLE = 256
"""Rows of a file that are examined."""
GOOD_FORM = "2024-01-31T09:30:00Z"


def refuse_unread_times(schemas: Mapping[Path, pl.Schema], columns: Mapping[str, str], label: str | None) -> None:
    """Refuse files with columns that look like times of which none, or only a part, is read.

    columns: those that are read, by role; label: what errors call the files, if not their own names. Raises
    DataError, which names the column, shows a value and says what to do.
    """
    for file, schema in schemas.items():
        others = [name for name in schema if name not in columns.values()]
        if "time" in columns:
            _refuse_times_of_day(file, schema, columns["time"], others, label or str(file))
        elif others:
            _refuse_times(file, schema, columns["close"], others, label or str(file))


def _refuse_times(file: Path, schema: pl.Schema, price: str, names: list[str], label: str) -> None:
    head = read_head(file, [*names, price], SAMPLE)
    extra = header_rows(head[price])
    body = head[extra:]
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
    meaning = ""
    if len(values) and unit_of(values.dtype) is None:
        meaning = meaning_of_number(values[0]) or order_of_dates(values, 0)
    remedy = f"write its times as {GOOD_FORM}" + (f" ({meaning})" if meaning else "")
    if _is_understood(values):
        remedy = f"name it as their column (`time={name!r}`)"
    if extra:
        remedy = f"{header_note(head[price])}, then {remedy}"
    raise DataError(
        f"{label}: column {name!r}{shown} looks like the bars' times, but was not named as such; {remedy}, or if they "
        f"have none say so (`time={NO_TIME!r}`)"
    )


def _is_named_for_times(name: str, values: pl.Series) -> bool:
    return is_named_so(name) or (tells_bars_apart(name) and tells_order(values))


def _refuse_times_of_day(file: Path, schema: pl.Schema, time: str, others: list[str], label: str) -> None:
    """Refuse dates whose times of day are in another column, and times of day whose dates are."""
    kinds = (pl.String, pl.Time, pl.Date, pl.Datetime)
    others = [name for name in others if not is_bar_field(name) and (schema[name] in kinds or is_named_so(name))]
    if not others:
        return
    head = read_head(file, [time, *others], SAMPLE)
    if _are_times_of_day(time, head[time].drop_nulls()):
        dates = next((name for name in others if _are_dates(head[name].drop_nulls())), None)
        if dates is not None:
            _refuse_apart(head, dates, time, label)
    elif _are_whole_days(head[time]):
        for name in others:
            values = head[name].drop_nulls()
            values = values.filter(
                pl.Series([not re.match(MIDNIGHT, text) for text in as_text(values)], dtype=pl.Boolean)
            )
            if _are_times_of_day(name, values):
                _refuse_apart(head, time, name, label)


def _refuse_apart(head: pl.DataFrame, dates: str, clock: str, label: str) -> None:
    """Refuse dates and times of day in separate columns."""
    clocks = [text for text in as_text(head[clock].drop_nulls()) if not re.match(MIDNIGHT, text)]
    shown = f" ({clocks[0]!r})" if clocks else ""
    # With several bars per day the dates alone would be refused.
    can_do = head[dates].n_unique() == len(head) and _is_understood(head[dates].drop_nulls())
    other = f"read the dates alone (`time={dates!r}`)" if can_do else f"read no times (`time={NO_TIME!r}`)"
    raise DataError(
        f"{label}: column {clock!r}{shown} looks like the times of day for the dates in {dates!r}; join them in one "
        f"column, as {GOOD_FORM}, or {other}"
    )


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
    return all(re.fullmatch(r"\d{4}-\d{2}-\d{2}|\d+", text) for text in as_text(values))


def _is_understood(values: pl.Series) -> bool:
    readable = values.dtype in (pl.String, pl.Date, pl.Datetime) or values.dtype.is_integer()
    if not readable or not len(values):
        return False
    reader = TimeReader()
    return reader.read(values).null_count() == 0 and not reader.is_ambiguous()
