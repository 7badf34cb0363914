"""Hand the streams of a trace over to a Tau specification."""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from idi_fast.agents.streams import CONTRACTS, check_stream, install_streams, left_behind, stream_files, stream_type
from idi_fast.errors import ArtifactError, InputError, nearest
from idi_fast.storage.files import check_place
from idi_fast.storage.reader.client import stream
from idi_fast.storage.tables import Table
from idi_fast.tau.contract import find_contract
from idi_fast.training.artifact import read_trace

ALL = "all"
"""The kind of every stream that all traces have; it has no equations."""


class Taken(NamedTuple):
    """Streams of a trace.

    values: of each stream whole numbers (n,) that its type takes; origins: the column that each was taken from, and
    after it the file if that is not the trace; about: the trace's metadata.
    """

    values: dict[str, np.ndarray]
    origins: dict[str, str]
    about: dict


def stream_columns(assignments: Iterable[str]) -> dict[str, str]:
    """Columns by stream, of texts NAME=COLUMN. Raises InputError."""
    found: dict[str, str] = {}
    for text in assignments:
        name, _, column = text.partition("=")
        if not name or not column:
            raise InputError(f"--stream is {text!r}; expected NAME=COLUMN, as in profit_guard=in_profit")
        if name in found:
            raise InputError(f"--stream gives {name!r} twice; expected each stream once")
        found[name] = column
    return found


def take_streams(
    source: str | Path, kind: str, types: Mapping[str, str], *,
    streams: Mapping[str, str] | None = None, columns: str | Path | None = None,
) -> Taken:  # fmt: skip
    """Streams of these Tau types from a trace, a value a tick.

    source: a folder that `train` or `backtest` wrote, or its trace.parquet; kind: what messages call those who read
    them. A stream is the trace's column of its name, unless `streams` names another for it: a column of the CSV or
    Parquet file `columns`, whose rows are the trace's ticks in their order, or, where that has none of the name, of the
    trace. Raises ArtifactError, InputError: for columns that are not there, nulls, what is no whole number, values that
    the type does not take, files of another length.
    """
    streams = streams or {}
    for name in streams:
        if name not in types:
            raise InputError(f"--stream {name}=…: {kind} reads no such stream.{nearest(name, types)}")
    if columns is not None and not streams:
        raise InputError("--columns without --stream has no effect; name what is to be taken: --stream NAME=COLUMN")
    trace, about = read_trace(source)
    if trace.height == 0:
        raise ArtifactError(f"the trace of {source} has no ticks; an empty stream stops a specification at once")
    missing = [name for name in types if name not in streams and name not in trace.columns]
    if missing:
        raise ArtifactError(
            f"{kind!r} reads {', '.join(missing)}, which the trace of {source} does not have; "
            f"name columns to take instead: --stream {missing[0]}=COLUMN"
        )
    own = None if columns is None else _read_columns(Path(columns), trace)
    values, origins = {}, {}
    for name, width in types.items():
        column = streams.get(name, name)
        table, origins[name] = trace, column
        if own is not None and name in streams and column in own.columns:
            table, origins[name] = own, f"{column} of {columns}"
        if column not in table.columns:
            known = [*([] if own is None else own.columns), *trace.columns]
            where = f"the trace of {source}" if own is None else f"{columns} nor in the trace of {source}"
            raise InputError(f"--stream {name}={column}: no such column in {where}.{nearest(column, known)}")
        values[name] = _whole_numbers(name, table[column])
        check_stream(name, values[name], width)
    return Taken(values, origins, about)


def _read_columns(path: Path, trace: pl.DataFrame) -> pl.DataFrame:
    """A user's columns, checked to have a row for each tick."""
    what = str(path)
    if path.suffix.lower() == ".parquet":
        frame = Table.open(path).frame()
    elif path.suffix.lower() == ".csv":
        blocks = stream("csv", {"path": str(path), "what": what}, error=ArtifactError)
        frame = pl.concat(pl.read_ipc_stream(io.BytesIO(block.data)) for _, (block,) in blocks)
    else:
        raise InputError(f"--columns is {what!r}; expected a file named .csv or .parquet")
    if frame.height != trace.height:
        raise InputError(f"{path} has {frame.height:,} rows; expected {trace.height:,}, one for each tick of the trace")
    if "tick" in frame.columns and not frame["tick"].equals(trace["tick"].cast(frame["tick"].dtype, strict=False)):
        raise InputError(f"{path}: its column 'tick' is not that of the trace, which counts from 0; expected its rows")
    return frame


def _whole_numbers(name: str, column: pl.Series) -> np.ndarray:
    if column.null_count():
        tick = int(column.is_null().arg_true()[0])
        raise ArtifactError(f"stream {name!r}: column {column.name!r} is null at tick {tick}; expected a value a tick")
    if column.dtype == pl.Boolean:
        column = column.cast(pl.UInt8)
    if not column.dtype.is_integer():
        found = f"column {column.name!r} is of type {column.dtype}"
        raise ArtifactError(f"stream {name!r}: {found}; expected whole numbers, or true and false")
    return column.to_numpy()


def export_streams(
    artifact: str | Path, folder: str | Path, kind: str | Path = ALL, *,
    streams: Mapping[str, str] | None = None, columns: str | Path | None = None,
) -> dict:  # fmt: skip
    """Write the `.in` files and streams.json of a contract into `folder`, all or none; other files stay.

    kind: whose streams: "v38", "layered", the path of a contract (`tau.contract`), or "all", those of every trace;
    artifact, streams, columns: as of `take_streams`. Returns what was written: folder, kind, ticks, the Tau type of
    each stream, the column that each was taken from, and left_behind, streams of an earlier export that are still
    there. Raises ArtifactError, InputError, OutputError.
    """
    if kind == ALL:
        types = {name: stream_type(name) for name in CONTRACTS[ALL]}
    else:
        types = find_contract(kind, others=[ALL]).types
    check_place(folder)
    check_place(Path(folder) / "streams.json")  # nor may the folder itself be an output of ours
    taken = take_streams(artifact, str(kind), types, streams=streams, columns=columns)
    install_streams(stream_files(taken.values, types, newline=taken.about["compat"] is None), Path(folder))
    return {
        "folder": str(folder),
        "kind": str(kind),
        "ticks": next(iter(taken.values.values())).size,
        "streams": types,
        "columns": taken.origins,
        "left_behind": left_behind(Path(folder), types),
    }
