"""Which column of a file is the price, the time and so on: by the names that vendors give them."""

import re
from collections.abc import Mapping, Sequence
from typing import overload

import polars as pl

from idi_fast.data.bar_files import name_there, read_head
from idi_fast.data.column_names import INDEX_NAMES, LETTERS, USUAL_NAMES, folded, listing
from idi_fast.data.rules import NUMBER, RULES
from idi_fast.data.sources import Source
from idi_fast.data.timestamps import unit_of
from idi_fast.errors import DataError, nearest


def choose_columns(
    file: Source, names: list[str], given: Mapping[str, str | None], sought: Sequence[str], extra: Sequence[str]
) -> dict[str, str]:
    """Return the file's column for close, time … and each of `extra`."""
    wanted = [role for role, name in given.items() if name is not None or role in sought or role in extra]
    close = _find_column(file, names, "close", given["close"]) if "close" in wanted else None
    unit = _unit(close or "")
    found = {role: close if role == "close" else _find_column(file, names, role, given[role], unit) for role in wanted}
    columns = {role: name for role, name in found.items() if name is not None}
    if folded(columns.get("close", "")).startswith("adj"):  # the others are as traded: not on its scale
        for role in ("open", "high", "low"):
            if given.get(role) is None:
                columns.pop(role, None)
    for name in ("close", *extra):
        if name in USUAL_NAMES and name not in columns:
            raise DataError(f"{file}: no {'price' if name == 'close' else name} column, {_advice(file, names)}")
        if name not in columns:
            columns[name] = _find_column(file, names, name, name)
    return columns


def _advice(file: Source, names: list[str]) -> str:
    if len(names) == 1 and file.dialect is not None:
        return f"only {names[0]!r}; if its fields are separated by another sign than a comma, name it (`sep`)"
    if file.dialect is not None and file.dialect.header_rows == 0:
        return (
            f"for it has no header, and what its {len(names)} columns hold does not tell: name them, as "
            f"`price={names[min(1, len(names) - 1)]!r}`; the columns are {listing(names)}"
        )
    lines = "" if file.dialect is None else ", or say how many lines come before the table (`skip_rows`)"
    return f"name one{lines}; the columns are {listing(names)}"


@overload
def _find_column(file: Source, names: list[str], role: str, given: str, unit: str = "") -> str: ...
@overload
def _find_column(file: Source, names: list[str], role: str, given: str | None, unit: str = "") -> str | None: ...
def _find_column(file: Source, names: list[str], role: str, given: str | None, unit: str = "") -> str | None:
    """Return the column `given`, or the best of the usual names, of those alike that in brackets `unit`, or for the
    time an index of times."""
    if given in names:
        return given
    if given is not None:
        alike = [name for name in names if _caseless(name) == _caseless(given)]
        alike = alike or [name for name in names if folded(name) == folded(given)]
        if len(alike) > 1:
            raise DataError(f"{file}: the {role} column could be any of {listing(alike)}; name one exactly")
        if alike:
            return alike[0]
        hint = nearest(given, names)
        raise DataError(f"{file}: no column {given!r}; the columns are {listing(names)}.{hint}")
    candidates = candidates_for(file, names, role, unit)
    if candidates:
        return candidates[0]
    indices = [name for name in names if _caseless(name) in INDEX_NAMES or name == names[0] == ""]
    return next((name for name in indices if role == "time" and not _counts_rows(file, name)), None)


def _unit(name: str) -> str:
    """What stands in brackets behind a name: `close (EUR)`; empty where there is nothing."""
    found = re.search(r"[(\[]([^()\[\]]*)[)\]]\s*$", name)
    return "" if found is None else found[1]


def candidates_for(file: Source, names: list[str], role: str, unit: str = "") -> list[str]:
    """The columns that may have a role by their names, best first; of those alike only that with the unit of the
    price. Raises DataError where two have the same name."""
    by_name: dict[str, list[str]] = {}
    for name in names:
        by_name.setdefault(folded(name), []).append(name)
    wanted = USUAL_NAMES[role]
    if role in LETTERS and all(letter in by_name for letter in "ohlc"):
        wanted = [*wanted, LETTERS[role]]
    found = []
    for usual in wanted:
        alike = by_name.get(usual, [])
        if unit and len(alike) > 1:
            alike = [name for name in alike if _unit(name) == unit] or alike
        if len(alike) > 1 and not found:
            raise DataError(f"{file}: the {role} column could be any of {listing(alike)}; name one exactly")
        found += alike
    if role == "volume":  # of a pair: Volume BTC, Volume USD
        found += [name for name in names if folded(name).startswith("volume ") and name not in found]
    return found


def _caseless(name: str) -> str:
    return re.sub(r"_duplicated_\d+$", "", name).strip().lower()


def _counts_rows(file: Source, name: str) -> bool:
    """Tell an index of row numbers from one of times: 10 million seconds end in April 1970."""
    values = read_head(file, [name], 1)[name]
    first = "" if unit_of(values.dtype) else str(values.first())  # polars panics on years beyond all calendars
    return first.isdecimal() and len(first) < 8


def check_types(schemas: Mapping[Source, pl.Schema], columns: Mapping[str, str]) -> None:
    """Refuse columns of the wrong type, and files whose columns differ from those of the first."""
    first = next(iter(schemas))
    for role, name in columns.items():
        expected = schemas[first][name]
        if not _is_fit(role, expected):
            _, values = RULES.get(role, NUMBER)
            raise DataError(f"{first}: column {name!r} has type {expected}, expected {values} in each row")
        for file, schema in schemas.items():
            there = name_there(schema, name)
            if there is None:
                raise DataError(f"{file}: no column {name!r} as in {first}, only {listing(schema)}")
            if schema[there] != expected:
                types = f"type {schema[there]}, expected {expected} as in {first}"
                raise DataError(f"{file}: column {name!r} has {types}")


def _is_fit(role: str, dtype: pl.DataType) -> bool:
    if dtype in (pl.String, pl.Null):
        return True
    if role == "time":
        return dtype.is_numeric() or dtype in (pl.Date, pl.Datetime)
    if role == "clock":
        return dtype.is_integer() or dtype == pl.Time
    return dtype.is_numeric() or (role == "risk" and dtype == pl.Boolean)
