"""Operations of the reader process on the files of a price history: find columns, count rows, read bars."""

from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import polars as pl

from idi_fast.data.bar_files import (
    Converter,
    check_types,
    choose_columns,
    count_rows,
    read_batches,
    read_head,
    read_schema,
)
from idi_fast.data.time_columns import NO_TIME, refuse_unread_times
from idi_fast.data.time_forms import is_named_so
from idi_fast.errors import DataError


def find_columns(
    files: list[str], given: dict[str, str | None], sought: list[str], extra: list[str], label: str | None
) -> Iterator[tuple[dict[str, str], list]]:
    """The files' column for close, time … and each of `extra`. label: what errors call the files."""
    schemas = {Path(file): read_schema(Path(file)) for file in files}
    first = next(iter(schemas))
    names, time = schemas[first].names(), given["time"]
    if time is not None and time.lower() == NO_TIME and time not in names:
        given, sought = {**given, "time": None}, [role for role in sought if role != "time"]
    columns = choose_columns(first, names, given, sought, extra)
    check_types(schemas, columns)
    if time is None and "time" in sought:
        refuse_unread_times(schemas, columns, label)
    yield columns, []


def count_all(files: list[str]) -> Iterator:
    """Rows in the files."""
    yield sum(count_rows(Path(file)) for file in files), []


def read_bars(
    files: list[str], columns: dict[str, str], rows: int, drop: bool, name: str | None, small_bytes: int
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """How many rows were dropped, and of those that were not the columns and whether rows were dropped before each;
    about `rows` at a time."""
    place, after_gap, row = None, False, 0
    for file in map(Path, files):
        called, row = name or str(file), 0 if name is None else row
        converter = Converter(called, columns, first_row=row, drop=drop)
        for frame in read_batches(file, columns.values(), rows, small_bytes):
            arrays, missing = converter.convert(frame)
            n = len(arrays["close"])
            kept = slice(None) if missing is None else np.flatnonzero(~missing)
            gaps = np.zeros(len(frame), bool)  # whether the row before each is missing
            gaps[:1] = after_gap
            if missing is not None:
                gaps[1:] = missing[:-1]
            if len(frame):
                after_gap = missing is not None and missing[-1]
            if "time" in arrays and n:
                numbers = np.arange(row + 1, row + 1 + len(frame))[kept]
                try:
                    place = _check_order(arrays["time"], columns["time"], place, called, numbers)
                except DataError as error:
                    raise DataError(f"{error}{_symbols_hint(file, columns) if name is None else ''}") from None
            row += len(frame)
            yield len(frame) - n, [*(arrays[role] for role in columns), gaps[kept]]
        converter.finish()


def _symbols_hint(file: Path, columns: dict[str, str]) -> str:
    """How to read a file whose times do not increase, if they may be those of several symbols; else empty."""
    head = read_head(file, read_schema(file).names(), 100)
    others = [name for name in head.columns if name not in columns.values() and not is_named_so(name)]
    texts = [name for name in others if _is_text(head[name])]
    pairs = (part.partition("=") for part in file.parent.parts)
    keys = [key for key, sign, value in pairs if sign and not value.isdecimal()]  # year=2024 is none
    named = [*texts, *keys]
    name = named[0] if len(named) == 1 else "NAME"
    return f"; if these are several symbols: `symbol_col={name!r}`" if named else ""


def _check_order(
    values: np.ndarray, name: str, last: tuple[int, str] | None, file: str, rows: np.ndarray
) -> tuple[int, str]:
    """The last of the times, and its place; refuse times that do not strictly increase. last: those before them."""
    if last is not None and values[0] <= last[0]:
        _refuse_order(name, *last, values[0], f"{file}, row {rows[0]}")
    late = values[1:] <= values[:-1]
    if late.any():
        bar = int(late.argmax())
        places = (f"{file}, row {rows[at]}" for at in (bar, bar + 1))
        _refuse_order(name, values[bar], next(places), values[bar + 1], next(places))
    return int(values[-1]), f"{file}, row {rows[-1]}"


def _is_text(values: pl.Series) -> bool:
    """Whether a column, which of a CSV file is always text, holds none of its values as a number."""
    return values.dtype == pl.String and values.count() > 0 and values.cast(pl.Float64, strict=False).count() == 0


def _refuse_order(name: str, time_before: int, place_before: str, time: int, place: str) -> NoReturn:
    pair = np.array([time_before, time]).view("datetime64[ns]")
    before, now = np.datetime_as_string(pair, unit="auto")
    verb = "repeats" if now == before else "is earlier than"
    raise DataError(f"{place}, column {name!r}: {now} {verb} {before} in {place_before}; times must increase")
