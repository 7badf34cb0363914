"""Dates as vendors write them: which forms a column may be in, and reading it by one of them."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import polars as pl

from idi_fast.config.read_options import SERIAL_DAYS
from idi_fast.data.timestamps import (
    DIGIT_FORMATS,
    dates_in_digits,
    days_counted,
    epoch_unit,
    meaning_of_number,
    parsed,
)

DATES_IN_DIGITS = (8, 12, 14)
"""Numbers of digits that are read as dates if they spell some: with ten, most may as well be epochs."""
WEEKDAY = r"(?P<weekday>[A-Za-z]{3,9},? )?"
DATE = (
    r"(?P<date>\d{4}(?P<a>[-/.])\d{1,2}(?P=a)\d{1,2}"  # 2024/1/31
    r"|\d{1,2}(?P<b>[-/.])\d{1,2}(?P=b)(?:\d{4}|\d{2})"  # 31.01.2024, 1/31/24
    r"|[A-Za-z]{3,9}\.? \d{1,2},? \d{4}"  # Jan 31, 2024
    r"|\d{1,2}(?P<c>[-/ ]?)[A-Za-z]{3,9}(?P=c)(?:\d{4}|\d{2})"  # 31-Jan-2024, 31JAN2024
    r"|\d{4}(?P<d>[-/ ])[A-Za-z]{3}(?P=d)\d{1,2}"  # 2024-Jan-31
    r"|\d{8})"
)
TIME = (
    r"(?:(?P<between>[ T,;_-]{1,2})(?P<time>\d{1,2}:\d{2}(?P<seconds>:\d{2}(?P<part>\.\d+)?)?(?P<half> ?[AaPp][Mm])?"
    r"|\d{6}|\d{4}))?"
)
ZONE = r"(?P<zone>Z| ?(?:UTC|GMT)?[+-]\d{2}:?\d{2}| ?(?:UTC|GMT))?"
DAY_ORDERS = {"d": "day first", "m": "month first", "y": "year first"}


class Form(NamedTuple):
    """One reading of a column of dates.

    formats: strptime formats of polars, tried in order, for rows that leave out seconds or their fraction; order: what
    is said of it: "day first" …
    """

    formats: tuple[str, ...]
    order: str = ""


def forms_of(text: str) -> list[Form]:
    """The forms in which a date may be, by one of them; none for another kind of text."""
    found = re.fullmatch(WEEKDAY + DATE + TIME + ZONE, text)
    if found is None:
        return []
    # %A and %B read abbreviations, too.
    before = "" if not found["weekday"] else "%A, " if "," in found["weekday"] else "%A "
    after = "" if found["zone"] is None else re.sub(r"[+-]\d{2}:?\d{2}", "%z", found["zone"])
    times = _time_formats(found)
    return [
        Form(tuple(f"{before}{date}{time}{after}" for time in times), order)
        for date, order in _date_formats(found["date"])
    ]


def _date_formats(date: str) -> list[tuple[str, str]]:
    """The formats of a date, and what is said of them."""
    year = "%Y" if re.search(r"\d{4}$", date) else "%y"
    if re.fullmatch(r"\d{8}", date):
        return [("%Y%m%d", ""), ("%d%m%Y", "day first"), ("%m%d%Y", "month first")]
    if re.search(r"[A-Za-z]", date):
        if date[0].isalpha():
            comma = "," if "," in date else ""
            dot = "." if "." in date else ""
            return [(f"%B{dot} %d{comma} %Y", "")]
        sign = re.sub(r"[\dA-Za-z]", "", date)[:1]
        return [(f"%Y{sign}%B{sign}%d", "")] if date[3].isdigit() else [(f"%d{sign}%B{sign}{year}", "")]
    sign = re.sub(r"\d", "", date)[0]
    if re.match(r"\d{4}", date):
        return [(f"%Y{sign}%m{sign}%d", "")]
    if sign == ".":  # nobody writes the month first with points
        return [(f"%d.%m.{year}", "day first")]
    orders = ("dm", "md") if year == "%Y" else ("dm", "md", "ym")
    return [(sign.join((f"%{one}", f"%{two}", "%d" if one == "y" else year)), DAY_ORDERS[one]) for one, two in orders]


def _time_formats(found: re.Match) -> list[str]:
    between, time = found["between"], found["time"]
    if time is None:
        return [""]
    if ":" not in time:
        return [f"{between}%H%M%S" if len(time) == 6 else f"{between}%H%M"]
    hour, half = ("%I", found["half"].replace(found["half"].strip(), "%p")) if found["half"] else ("%H", "")
    return [f"{between}{hour}:%M{rest}{half}" for rest in (":%S%.f", ":%S", "")]


def forms_of_digits(value: int | str) -> list[Form]:
    """The forms in which digits are a date, if they are as many as dates have."""
    return [
        Form((form,), DAY_ORDERS.get(form[1].lower(), ""))
        for form in dates_in_digits(value)
        if DIGIT_FORMATS[form] in DATES_IN_DIGITS
    ]


def narrowed(forms: list[Form], values: pl.Series) -> list[Form]:
    """The forms that all values are in; those given if none is left, for a row that is in none of them is an error.

    values: text, without null.
    """
    left = [form for form in forms if not read_dates(values, form.formats).null_count()]
    return left or forms


def read_dates(text: pl.Series, formats: Iterable[str]) -> pl.Series:
    """Text as int64, ns UTC, null where it is in none of the formats, or not of the years 1700 to 2199."""
    ns = pl.repeat(None, len(text), dtype=pl.Int64, eager=True)
    for form in formats:
        if "%B" in form:
            text = text.str.replace(r"(?i)\bsept\b", "Sep")
        rest = text.set(ns.is_not_null(), None)
        if rest.null_count() == len(rest):
            break
        ns = ns.fill_null(parsed(rest, form))
    return ns


def meaning_of_time(value: object) -> str:
    """What a value that was refused as a time may mean, and the options that read it so; empty where nothing is known:
    "03/04/2021 may be 2021-04-03, day first, or 2021-03-04, month first; say which: `time_format='%d/%m/%Y'` …"."""
    meaning, names = meaning_of_number(value), []
    if meaning:
        digits = str(value).lstrip("+")
        names = list(dates_in_digits(digits)) if digits.isdecimal() else []
        names += [SERIAL_DAYS] if "a spreadsheet's" in days_counted(float(str(value))) else []
        names += [unit] if names and digits.isdecimal() and (unit := epoch_unit(value)) else []
    else:
        readings = {}
        for form in forms_of(str(value)):
            text = pl.Series([str(value)])
            name = next((name for name in form.formats if parsed(text, name).item() is not None), None)
            if name is not None:
                day = np.datetime64(parsed(text, name).item(), "ns").astype("datetime64[D]")
                readings[name] = f"{day}{', ' if form.order else ''}{form.order}"
        if readings:
            meaning = f"{value} may be {' or '.join(readings.values())}"
            names = [name.replace("%.f", ".%f") for name in readings]
    if not names:
        return meaning
    options = " or ".join(f"`time_format={name!r}`" for name in names)
    return f"{meaning}; {'say which' if len(names) > 1 else 'say so'}: {options}"


def polars_format(form: str) -> str:
    """A format of Python's strptime as polars writes it."""
    return form.replace(".%f", "%.f")
