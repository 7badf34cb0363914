"""Numbers in text files: decimal marks, thousands separators, currency signs and the suffixes K, M and B."""

import re
from collections.abc import Callable, Iterable

import polars as pl

MARKS = (".", ",")
UNKNOWN = "?"
"""A decimal mark that all numbers leave open: no number with a mark is read."""
SPACES = "'’ \u00a0\u202f"
"""Signs that separate thousands whatever the decimal mark."""
CURRENCIES = r"(?:[A-Z]{1,2}\$|[A-Z]{3}\s|\s[A-Z]{3}$|[$€£¥₹₽₩₿\s])"
"""Signs and codes of currencies around a number."""
SUFFIXES = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}

# What a number with one of the marks shows of the decimal mark: {mark} is it, {other} separates thousands.
DECIMAL = (
    r"{mark}\d{{1,2}}$|{mark}\d{{4,}}$|^\D*{mark}\d|^\D*0+{mark}\d|\d{{4,}}{mark}\d|{mark}\d*[eE]"  # 1.5, 0.123
    r"|{other}\d{{3}}{mark}\d|{other}\d{{2,3}}{other}\d{{3}}"  # 1,234.567, 1,234,567 and the Indian 12,34,567
)
GROUPED = r"^\D*\d{1,3}[.,]\d{3}\D*$"
"""A number with one mark, which may be either: 1.234."""


def find_decimal_mark(columns: Iterable[pl.Series]) -> str | None:
    """The decimal mark of numbers given as text, None if they do not tell. Where both are shown it is the point, whose
    rows with commas are refused then."""
    columns = [values for values in columns if values.dtype == pl.String]
    for mark, other in (MARKS, MARKS[::-1]):
        shown = DECIMAL.format(mark=re.escape(mark), other=re.escape(other))
        if any(_without_signs(values).str.contains(shown).any() for values in columns):
            return mark
    return None


def is_undecided(columns: Iterable[pl.Series], mark: str) -> bool:
    """Whether numbers with a mark of which nothing else is known can be read in two ways: they all look like 1,234, and
    no number has four digits in a row, as one without separators of thousands would."""
    texts = [_without_signs(values) for values in columns if values.dtype == pl.String]
    if mark == "." and any(text.str.contains(r"\d{4}").any() for text in texts):
        return False
    return any(text.str.contains(GROUPED.replace("[.,]", re.escape(mark))).any() for text in texts)


def plan_numbers(head: pl.DataFrame, rest: Callable[[], Iterable[pl.DataFrame]], separator: str) -> str | None:
    """The decimal mark of a file's columns of numbers, None if they have none, UNKNOWN if it cannot be told.

    head: their first rows; rest: all rows in batches, looked at where a mark in the first ones may be the decimal mark
    or separate thousands, until one tells; separator: of the fields; where it is a comma, a point is the decimal mark.
    """
    mark = find_decimal_mark(head)
    marks = [sign for sign in ((",",) if separator == "," else (",", ".")) if mark is None and is_undecided(head, sign)]
    if not marks:
        return mark
    for batch in rest():
        mark = find_decimal_mark(batch)
        if mark is not None:
            return mark
        if marks == ["."] and not is_undecided(batch, "."):
            return "."
    return UNKNOWN


def read_numbers(source: pl.Series, decimal: str | None, thousands: str | None = None) -> pl.Series:
    """Text as float64, null where it is no number.

    decimal: the decimal mark, None if no number has shown one, so that none with a comma is read, UNKNOWN if those that
    have a mark leave it open; thousands: what separates thousands, None for a comma or a point, whichever is not the
    decimal mark, an apostrophe or a space.
    """
    plain = source.cast(pl.Float64, strict=False)
    if decimal == UNKNOWN:
        return plain.set(source.str.contains("[.,]"), None)
    if decimal != "," and plain.null_count() == source.null_count():
        return plain
    written = _without_signs(source)
    separators = thousands if thousands is not None else SPACES + ("," if decimal == "." else "." if decimal else "")
    point = re.escape(decimal or ".")
    group = "".join(map(re.escape, separators))
    whole = (
        rf"(?:\d{{1,3}}(?:[{group}]\d{{3}})+|\d{{1,2}}(?:[{group}]\d{{2}})+[{group}]\d{{3}}|\d*)" if group else r"\d*"
    )
    form = rf"^([+-]?{whole}(?:{point}\d*)?(?:[eE][+-]?\d+)?)\s?([KkMmBbTt]?)$"
    parts = written.str.extract_groups(form)
    digits = parts.struct.field("1")
    if group:
        digits = digits.str.replace_all(f"[{group}]", "")
    if decimal == ",":
        digits = digits.str.replace(",", ".", literal=True)
    values = digits.cast(pl.Float64, strict=False)
    factors = parts.struct.field("2").str.to_lowercase().replace_strict(SUFFIXES, default=1.0, return_dtype=pl.Float64)
    values = values * factors
    return values if decimal == "," else plain.fill_null(values)


def _without_signs(source: pl.Series) -> pl.Series:
    """Text without the signs and codes of currencies around it, also where they stand after a plus or a minus."""
    text = source.str.replace_all(rf"^{CURRENCIES}+|{CURRENCIES}+$", "")
    return text.str.replace(rf"^([+-]){CURRENCIES}+", "${1}")
