"""How a file's times are read: found from its first rows, and from the others where these fit several readings."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

import polars as pl

from idi_fast.config.read_options import SERIAL_DAYS, UNITS
from idi_fast.data.date_forms import (
    Form,
    forms_of,
    forms_of_digits,
    narrowed,
    polars_format,
    read_dates,
)
from idi_fast.data.timestamps import NS_PER_TICK, TICKS_PER_SECOND, TimeReader, iso_to_ns, unit_of

SERIAL_ZERO = 25_569
"""The serial day of a spreadsheet that is 1970-01-01."""
COMMA_FRACTION = r"(:\d\d),(\d+)"
FRACTIONS = (("s", r"\d{9,10}\.\d+"), ("ms", r"\d{12,13}\.\d+"), ("us", r"\d{15,16}\.\d+"))
"""Epochs with a fraction, as floats are written."""
MOST_SERIAL = 109_574
"""That of the end of 2199."""


class Times(Protocol):
    """Reads a file's column of times, a batch at a time."""

    def read(self, source: pl.Series) -> pl.Series:
        """The times as Int64, ns since 1970-01-01 UTC, null where a value is none."""
        ...

    def is_ambiguous(self) -> bool:
        """Whether all values so far may as well be something else."""
        ...


class TimePlan(NamedTuple):
    """How times are read.

    forms: the readings that all rows allow, when they are dates in other forms than ISO 8601; one, or more where that
    cannot be told; zone: that of times that name none, None: UTC; format: the one that was asked for, or the unit of
    epochs with a fraction; has_comma: whether fractions of a second follow a comma.
    """

    forms: tuple[Form, ...] = ()
    zone: str | None = None
    format: str | None = None
    has_comma: bool = False

    def reader(self) -> Times:
        """What reads one file's times."""
        if self.format in UNITS:
            reader: Times = _Epochs(self.format)
        elif self.format == SERIAL_DAYS:
            reader = _SerialDays()
        elif self.forms:
            reader = _Dates(self.forms)
        else:
            reader = TimeReader()
        if self.has_comma:
            reader = _PointFractions(reader)
        return reader if self.zone is None else _Zoned(reader, self.zone)

    def about(self) -> list[str]:
        """What is said of it: "day first" …"""
        return [form.order for form in self.forms if form.order][:1]


class _Dates:
    def __init__(self, forms: tuple[Form, ...]) -> None:
        self._forms, self._first = forms, forms[0]

    def read(self, source: pl.Series) -> pl.Series:
        if len(self._forms) > 1:  # all rows allow each of them
            return pl.repeat(None, len(source), dtype=pl.Int64, eager=True)
        return read_dates(source.cast(pl.String), self._first.formats)

    def is_ambiguous(self) -> bool:
        return False


class _Epochs:
    def __init__(self, unit: str) -> None:
        self._unit = unit

    def read(self, source: pl.Series) -> pl.Series:
        per_second = TICKS_PER_SECOND[self._unit]
        most = (2**63 - 1) // 10**9 * per_second
        ticks = source.cast(pl.Int64, strict=False)
        if source.dtype.is_float() or ticks.null_count() > source.null_count():
            # A double of today's seconds is good to less than a microsecond.
            numbers = source.cast(pl.Float64, strict=False)
            numbers = numbers.set(~numbers.is_between(-most, most).fill_null(False), None)
            return (numbers * (10**6 / per_second)).round().cast(pl.Int64) * 1000
        return ticks.set(~ticks.is_between(-most, most), None) * NS_PER_TICK[self._unit]

    def is_ambiguous(self) -> bool:
        return False


class _SerialDays:
    def read(self, source: pl.Series) -> pl.Series:
        if source.dtype == pl.String:
            source = source.str.replace(",", ".", literal=True)
        days = source.cast(pl.Float64, strict=False)
        days = days.set(~days.is_between(0, MOST_SERIAL), None)
        # A day's fraction has some 1e-11 of precision: less than a millisecond.
        milliseconds = ((days - SERIAL_ZERO) * 86_400_000).round().cast(pl.Int64)
        return milliseconds * NS_PER_TICK["ms"]

    def is_ambiguous(self) -> bool:
        return False


class _PointFractions:
    """Times whose fraction of a second follows a comma."""

    def __init__(self, reader: Times) -> None:
        self._reader = reader

    def read(self, source: pl.Series) -> pl.Series:
        return self._reader.read(source.str.replace(COMMA_FRACTION, "${1}.${2}"))

    def is_ambiguous(self) -> bool:
        return self._reader.is_ambiguous()


class _Zoned:
    """Times of a zone: those of an hour that the clocks skip or repeat are none."""

    def __init__(self, reader: Times, zone: str) -> None:
        self._reader, self._zone = reader, zone

    def read(self, source: pl.Series) -> pl.Series:
        wall = self._reader.read(source).cast(pl.Datetime("ns"))
        zoned = wall.dt.replace_time_zone(self._zone, non_existent="null", ambiguous="null")
        return zoned.to_physical()

    def is_ambiguous(self) -> bool:
        return self._reader.is_ambiguous()


def plan_times(
    head: pl.Series,
    rest: Callable[[], Iterable[pl.Series]],
    *,
    form: str | None,
    zone: str | None,
    known: TimePlan | None,
    order: str | None = None,
) -> TimePlan:
    """How times are read.

    head: the first values; rest: all of them in batches, looked at only as far as they are needed to decide; form: the
    format that was asked for, see `ReadOptions`; known: the plan of the file before; order: that of day and month which
    is taken where the rows allow several.
    """
    if unit_of(head.dtype) is not None:
        return TimePlan(zone=None if getattr(head.dtype, "time_zone", None) else zone)
    if form is not None:
        given = (Form((polars_format(form),)),) if "%" in form else ()
        return TimePlan(given, None if form in UNITS or "%z" in form else zone, form)
    values = head.drop_nulls()
    if head.dtype.is_float() and len(values) and ((values == values.floor()) & (values.abs() < 2.0**63)).all():
        values = values.cast(pl.Int64)
    if not len(values) or not (values.dtype.is_numeric() or values.dtype == pl.String):
        return TimePlan()
    text = values.cast(pl.String)
    unit = next((unit for unit, form in FRACTIONS if re.fullmatch(form, _plain_digits(values))), None)
    if unit is not None:
        return TimePlan(format=unit)
    if re.search(COMMA_FRACTION, text[0]):
        plan = plan_times(
            head.str.replace(COMMA_FRACTION, "${1}.${2}"),
            lambda: (batch.str.replace(COMMA_FRACTION, "${1}.${2}") for batch in rest()),
            form=form,
            zone=zone,
            known=known,
            order=order,
        )
        return plan._replace(has_comma=True)
    if text[0].isdecimal():
        forms = [form for form in forms_of_digits(text[0]) if _spells(form, text)]
        # Of 2001 to 2012 digits that begin with the full year may end in the seconds of another order.
        forms = [form for form in forms if form.formats[0].startswith("%Y")] or forms
    else:
        if iso_to_ns(text[:1]).item() is not None:
            has_zone = re.search(r"[T ].*(Z|[+-]\d\d(:?\d\d)?)$", text[0]) is not None
            return TimePlan(zone=None if has_zone else zone)
        forms = forms_of(text[0])
    forms = [form for form in forms if read_dates(text[:1], form.formats).item() is not None]
    forms = narrowed(forms, text)
    if known is not None and known.forms and len(forms) > 1:  # another file of the same column has decided it
        forms = [form for form in forms if form == known.forms[0]] or forms
    forms = _decided(forms, rest)
    if not forms and text[0].isdecimal():
        return TimePlan()  # epochs, which are moments in UTC
    if len(forms) > 1 and order is not None:
        forms = [form for form in forms if form.order == order] or forms
    is_zoned = any("%z" in name or name.endswith(("Z", "UTC", "GMT")) for form in forms for name in form.formats)
    return TimePlan(tuple(forms), None if is_zoned else zone)


def _plain_digits(values: pl.Series) -> str:
    """The first value without an exponent."""
    return f"{values[0]:f}" if values.dtype.is_float() else str(values[0])


def _spells(form: Form, digits: pl.Series) -> bool:
    """Whether digits are dates of a form: most are, since epochs may pass through a few that look so."""
    return 2 * read_dates(digits, form.formats).null_count() < len(digits)


def _decided(forms: list[Form], rest: Callable[[], Iterable[pl.Series]]) -> list[Form]:
    """The forms that all rows are in; those after the row that decides are not looked at."""
    if len(forms) > 1:
        batches: Iterator[pl.Series] = iter(rest())
        while len(forms) > 1 and (batch := next(batches, None)) is not None:
            forms = narrowed(forms, batch.drop_nulls().cast(pl.String))
    return forms
