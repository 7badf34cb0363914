"""Columns of time as nanoseconds since 1970-01-01 UTC."""

import re

import polars as pl

from idi_fast.errors import InputError

ISO_FORMATS = ("%F", "%FT%T", "%FT%T%.f", "%FT%T%.f%#z", "%FT%H:%M", "%FT%H:%M%#z")  # %#z: Z, +02, +02:00
# Beyond 1677–2262 polars wraps an int64 of nanoseconds silently: it reads the year 3000 as 1830.
ISO_START = r"^(1[7-9]|2[01])\d\d-\d\d-\d\d"
NS_PER_TICK = {"D": 86_400 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
EPOCH_LIMITS = {"s": 10**11, "ms": 10**14, "us": 10**17, "ns": 2**63}


def to_ns(source: pl.Series, first: int | str | None = None) -> pl.Series:
    """Dates, date-times, ISO 8601 text or integer epochs as Int64 ns; null where a value is none of these.

    The unit of an epoch (s, ms, us, ns) follows from the size of `first`, by default the column's first value.
    """
    first = source.drop_nulls().first() if first is None else first
    if source.dtype == pl.String and not re.match(r"[+-]?\d+$", first or "0"):
        return _iso_to_ns(source)
    ticks = source.to_physical().cast(pl.Int64, strict=False)
    unit = unit_of(source.dtype) or _epoch_unit(int(first or 0))
    if unit is None:
        return ticks.clear(len(ticks))
    limit = (2**63 - 1) // NS_PER_TICK[unit]
    return ticks.set(~ticks.is_between(-limit, limit), None) * NS_PER_TICK[unit]


def parse_time(text: str, name: str) -> int:
    """A date or date-time in ISO 8601, UTC unless it says otherwise, as ns; InputError about `name` if it is none."""
    found = to_ns(pl.Series([text.strip()], dtype=pl.String)).item() if not text.strip().isdigit() else None
    if found is None:
        raise InputError(f"{name} is {text!r}; expected a date or date-time like 2024-01-31 or 2024-01-31T09:30:00Z")
    return found


def unit_of(dtype: pl.DataType) -> str | None:
    """NumPy's name for the unit that a time type counts in; None for other types."""
    return "D" if dtype == pl.Date else getattr(dtype, "time_unit", None)


def _epoch_unit(first: int) -> str | None:
    if 1900_01_01 <= first <= 2199_12_31:  # a date without hyphens; as seconds it would be in 1970
        return None
    return next((unit for unit, limit in EPOCH_LIMITS.items() if abs(first) < limit), None)


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
