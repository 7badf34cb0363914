"""What differs between two values of a kind: texts line by line, JSON key by key, tables by columns or by states."""

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import polars as pl

from idi_fast.errors import ArtifactError

STATE_VALUES = ("q_", "comm_", "visits", "planned")
"""Prefixes of the columns of a policy's table that hold values; the others name the state."""
ROW, ROW_B = "row of A", "row of B"
"""Columns added to the states, with names that none of theirs has."""


def compare_lines(a: bytes, b: bytes, context: int, *, counted_from: int) -> dict:
    """Compare lines; see `compare.compare` for what is returned, of a stream or text."""
    one, other = _lines(a), _lines(b)
    differing, at = 0, None
    if a != b:
        unequal = list(map(operator.ne, one, other))
        differing = sum(unequal)
        at = unequal.index(True) if differing else min(len(one), len(other))
    equal = a == b or (not differing and len(one) == len(other))
    return {
        "equal": equal,
        "lines": [len(one), len(other)],
        "differing": differing,
        "first": None if equal or at is None else around(one, other, at, context, counted_from),
        "notes": _notes_on_bytes(a, b),
    }


def _lines(data: bytes) -> list[bytes]:
    """Lines without their endings; the last one may have none."""
    lines = data.replace(b"\r\n", b"\n").split(b"\n")
    return lines if lines[-1] else lines[:-1]


def _notes_on_bytes(a: bytes, b: bytes) -> list[str]:
    unterminated = [bool(data) and not data.endswith(b"\n") for data in (a, b)]
    foreign = [b"\r\n" in data for data in (a, b)]
    notes = []
    if unterminated[0] != unterminated[1]:
        notes.append(f"the last line is not terminated in {'AB'[unterminated[1]]}")
    if foreign[0] != foreign[1]:
        notes.append(f"lines end with CRLF in {'AB'[foreign[1]]}")
    return notes


def around(a: Sequence | pl.Series, b: Sequence | pl.Series, at: int, context: int, counted_from: int = 0) -> dict:
    """The values next to a place in two sequences, the longer of which contains it."""
    start, stop = max(0, at - context), min(at + context + 1, max(len(a), len(b)))
    shown = [[_plain(values[k]) if k < len(values) else None for k in range(start, stop)] for values in (a, b)]
    return {"at": at + counted_from, "from": start + counted_from, "a": shown[0], "b": shown[1]}


def _plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)


def key_differences(a: Any, b: Any, key: str = "") -> Iterator[dict]:
    """The innermost keys, joined by dots, whose values differ, each with the values there are."""
    if isinstance(a, list) and isinstance(b, list):
        a, b = dict(enumerate(a)), dict(enumerate(b))
    if isinstance(a, dict) and isinstance(b, dict):
        for name in dict.fromkeys([*a, *b]):
            inner = f"{key}.{name}" if key else str(name)
            if name in a and name in b:
                yield from key_differences(a[name], b[name], inner)
            else:
                yield {"key": inner, **{side: _plain(of[name]) for side, of in (("a", a), ("b", b)) if name in of}}
    elif not _same(a, b):
        yield {"key": key, "a": _plain(a), "b": _plain(b)}


def _same(a: Any, b: Any) -> bool:
    # To Python true is 1, and NaN is not itself.
    return (a == b and isinstance(a, bool) == isinstance(b, bool)) or (a != a and b != b)


def compare_columns(a: pl.DataFrame, b: pl.DataFrame, show: Callable[[pl.Series, pl.Series, int], dict]) -> dict:
    """Compare columns of the same name over the rows that both have; show: describes the first difference."""
    columns, notes, n = [], [], min(a.height, b.height)
    for name in (name for name in a.columns if name in b.columns):
        one, other = a[name], b[name]
        if one.dtype != other.dtype:
            notes.append(f"{name} is {one.dtype} in A, {other.dtype} in B")
        alike = _alike(one.head(n), other.head(n))
        unequal = pl.repeat(True, n, eager=True) if alike is None else alike[0].ne_missing(alike[1])
        if unequal.any():
            largest = None if alike is None else _largest_difference(*(series.filter(unequal) for series in alike))
            columns.append(
                {
                    "name": name,
                    "differing": int(unequal.sum()),
                    "largest": largest,
                    "first": show(one, other, int(unequal.arg_true()[0])),
                }
            )
    only_in_a, only_in_b = ([name for name in x.columns if name not in y.columns] for x, y in ((a, b), (b, a)))
    return {
        "equal": not columns and not only_in_a and not only_in_b,
        "columns": columns,
        "columns_only_in_a": only_in_a,
        "columns_only_in_b": only_in_b,
        "notes": notes,
    }


def _alike(a: pl.Series, b: pl.Series) -> tuple[pl.Series, pl.Series] | None:
    """Two columns as comparable types, None if there are none."""
    if a.dtype == b.dtype:
        return a, b
    if all(series.dtype.is_numeric() or series.dtype == pl.Boolean for series in (a, b)):
        a, b = (series.cast(pl.UInt8) if series.dtype == pl.Boolean else series for series in (a, b))
        return a, b
    if all(series.dtype == pl.Datetime for series in (a, b)):
        return a.dt.epoch("ns"), b.dt.epoch("ns")  # a time without a zone is UTC
    if all(series.dtype in (pl.String, pl.Categorical, pl.Enum) for series in (a, b)):
        return a.cast(pl.String), b.cast(pl.String)
    return None


def _largest_difference(a: pl.Series, b: pl.Series) -> float | None:
    """The largest absolute difference of numbers, if finite; None if there is none."""
    if not (a.dtype.is_numeric() and b.dtype.is_numeric()):
        return None
    gaps = (a.cast(pl.Float64) - b.cast(pl.Float64)).abs()
    largest = gaps.filter(gaps.is_finite()).max()
    return largest if isinstance(largest, float) else None


def compare_policies(a: pl.DataFrame, b: pl.DataFrame, keys: list[dict]) -> dict:
    """Compare tables of policies state by state; keys: those of their metadata that differ and decide."""
    states, states_b = ([name for name in frame.columns if not name.startswith(STATE_VALUES)] for frame in (a, b))
    if set(states) == set(states_b):
        common, alone = _match_states(a, b, states)
    else:  # of other features: the two have no state in common
        common, alone = pl.DataFrame({ROW: [], ROW_B: []}, schema=dict.fromkeys((ROW, ROW_B), pl.UInt32)), (a, b)

    def show(one: pl.Series, other: pl.Series, at: int) -> dict:
        return {"state": common.select(states).row(at, named=True), "a": _plain(one[at]), "b": _plain(other[at])}

    found = compare_columns(a[common[ROW]].drop(states), b[common[ROW_B]].drop(states_b), show)
    only_in_a, only_in_b = (
        {"count": rows.height, "first": next(rows.select(names).iter_rows(named=True), None)}
        for rows, names in zip(alone, (states, states_b), strict=True)
    )
    return {
        **found,
        "kind": "policy",
        "equal": found["equal"] and not keys and common.height == a.height == b.height,
        "rows": [a.height, b.height],
        "states_only_in_a": only_in_a,
        "states_only_in_b": only_in_b,
        "keys": keys,
    }


def _match_states(
    a: pl.DataFrame, b: pl.DataFrame, states: list[str]
) -> tuple[pl.DataFrame, tuple[pl.DataFrame, pl.DataFrame]]:
    """The states that both have, with their rows, in A's order; and those that only A and only B have."""
    one, other = a.with_row_index(ROW), b.with_row_index(ROW_B)
    numbers = pl.col(states).cast(pl.Int64)
    try:
        matched = (
            one.select(ROW, numbers)
            .join(other.select(ROW_B, numbers), on=states, how="full", coalesce=True, validate="1:1")
            .sort(ROW, ROW_B)
        )
    except pl.exceptions.PolarsError as error:
        raise ArtifactError(f"the states of the policies cannot be matched: {str(error).splitlines()[0]}") from error
    in_a, in_b = (matched[row].is_not_null() for row in (ROW, ROW_B))
    return matched.filter(in_a & in_b), (matched.filter(~in_b), matched.filter(~in_a))
