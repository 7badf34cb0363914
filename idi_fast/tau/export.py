"""Hand the streams of a trace over to a Tau specification, or as a trace.json to the reference's tools."""

import io
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from idi_fast.agents.streams import TRACE_STREAMS, check_stream, left_behind, stream_files, stream_type, upper_half
from idi_fast.errors import ArtifactError, InputError, nearest
from idi_fast.storage.files import check_kept, check_place, check_replaceable_file
from idi_fast.storage.reader.client import stream
from idi_fast.storage.staging import install
from idi_fast.storage.tables import Table
from idi_fast.tau.contract import find_contract
from idi_fast.tau.sources import Source, read_source, trace_json_metadata
from idi_fast.tau.trace_json import REQUIRED, trace_text

ALL = "all"
"""The kind with every stream that all traces have; it has no equations."""


FEATURE = "feature:"
"""What the name of a feature follows, where a column could be named."""


class Taken(NamedTuple):
    """Streams of a trace.

    values: of each stream whole numbers (n,) that its type takes; origins: the column that each was taken from, and
    after it the file if that is not the trace; source: the trace itself.
    """

    values: dict[str, np.ndarray]
    origins: dict[str, str]
    source: Source


def stream_columns(assignments: Iterable[str]) -> dict[str, str]:
    """Columns by stream, from texts NAME=COLUMN. Raises InputError."""
    found: dict[str, str] = {}
    for text in assignments:
        name, _, column = text.partition("=")
        if not name or not column:
            raise InputError(f"`streams` is {text!r}; expected NAME=COLUMN, as in profit_guard=in_profit")
        if name in found:
            raise InputError(f"`streams` gives {name!r} twice; expected each stream once")
        found[name] = column
    return found


def take_streams(
    source: str | Path,
    kind: str,
    types: Mapping[str, str],
    *,
    optional: Collection[str] = (),
    streams: Mapping[str, str] | None = None,
    columns: str | Path | None = None,
) -> Taken:
    """Streams of these Tau types from a trace, a value per tick.

    source: a folder that `train` or `backtest` wrote, its trace.parquet, or what the reference leaves (`read_source`);
    kind: what messages call those who read them; optional: streams that a trace of the reference's may lack. A stream
    is the trace's column of its name, unless `streams` names another for it: a column of the CSV or Parquet file
    `columns`, whose rows are the trace's ticks in their order, or, where that has none of the name, of the trace; or
    `feature:NAME`, of a feature in a list: whether its bucket lies in the upper half or, where the type is not sbf, the
    bucket.
    Raises ArtifactError, InputError: for columns that are not there, nulls, what is no whole number, values that the
    type does not take, files of another length.
    """
    streams = streams or {}
    for name in streams:
        if name not in types:
            raise InputError(f"`streams={name}=…`: {kind} reads no such stream.{nearest(name, types)}")
    if columns is not None and not streams:
        raise InputError("`columns` without `streams` has no effect; name the columns to take: `streams=NAME=COLUMN`")
    found = read_source(source)
    trace = found.frame
    if trace.height == 0:
        raise ArtifactError(f"the trace of {source} has no ticks; an empty stream stops a specification at once")
    missing = [name for name in types if name not in streams and name not in trace.columns]
    if found.ours is None:
        left_out = [name for name in missing if name in optional]
        types = {name: width for name, width in types.items() if name not in left_out}
        missing = [name for name in missing if name in types] if types else left_out
    if missing:
        what = "features or columns" if "features" in found.about else "columns"
        column = f"{FEATURE}NAME" if "features" in found.about else "COLUMN"
        raise ArtifactError(
            f"{kind!r} reads {', '.join(missing)}, which the trace of {source} does not have; "
            f"name {what} to take instead: `streams={missing[0]}={column}`"
        )
    own = None if columns is None else _read_columns(Path(columns), trace)
    values, origins = {}, {}
    for name, width in types.items():
        column = streams.get(name, name)
        table, origins[name] = trace, column
        if column.startswith(FEATURE):
            values[name] = of_feature(
                trace, found.about, column.removeprefix(FEATURE), f"`streams={name}={column}`", width
            )
            check_stream(name, values[name], width)
            continue
        if own is not None and name in streams and column in own.columns:
            table, origins[name] = own, f"{column} of {columns}"
        if column not in table.columns:
            known = [*([] if own is None else own.columns), *trace.columns]
            where = f"the trace of {source}" if own is None else f"{columns} nor in the trace of {source}"
            raise InputError(f"`streams={name}={column}`: no such column in {where}.{nearest(column, known)}")
        values[name] = _whole_numbers(name, table[column])
        check_stream(name, values[name], width)
    return Taken(values, origins, found)


def of_feature(trace: pl.DataFrame, about: Mapping[str, Any], name: str, asked: str, width: str) -> np.ndarray:
    """What a stream of a Tau type says of a feature of a trace, uint8 or int32 (n,); about: what else the trace says.
    Raises InputError."""
    sizes = about.get("features")
    if not isinstance(sizes, dict) or not sizes:
        raise InputError(f"{asked}: the trace says of no features; expected that of an agent with a list of features")
    if name not in sizes:
        raise InputError(f"{asked}: the agent has no such feature, only {', '.join(sizes)}.{nearest(name, sizes)}")
    bucket = _whole_numbers(asked, trace[f"{name}_bucket"])
    return upper_half(bucket, sizes[name]).astype(np.uint8) if width == "sbf" else bucket


def _read_columns(path: Path, trace: pl.DataFrame) -> pl.DataFrame:
    """A user's columns, checked to have a row for each tick."""
    what = str(path)
    if path.suffix.lower() == ".parquet":
        frame = Table.open(path).frame()
    elif path.suffix.lower() == ".csv":
        blocks = stream("csv", {"path": str(path), "what": what}, error=ArtifactError)
        frame = pl.concat(pl.read_ipc_stream(io.BytesIO(block.data)) for _, (block,) in blocks)
    else:
        raise InputError(f"`columns` is {what!r}; expected a file named .csv or .parquet")
    if frame.height != trace.height:
        raise InputError(f"{path} has {frame.height:,} rows; expected {trace.height:,}, one for each tick of the trace")
    if "tick" in frame.columns and not frame["tick"].equals(trace["tick"].cast(frame["tick"].dtype, strict=False)):
        raise InputError(f"{path}: its column 'tick' is not that of the trace, which counts from 0; expected its rows")
    return frame


def _whole_numbers(name: str, column: pl.Series) -> np.ndarray:
    if column.null_count():
        tick = int(column.is_null().arg_true()[0])
        raise ArtifactError(
            f"stream {name!r}: column {column.name!r} is null at tick {tick}; expected a value per tick"
        )
    if column.dtype == pl.Boolean:
        column = column.cast(pl.UInt8)
    if not column.dtype.is_integer():
        found = f"column {column.name!r} is of type {column.dtype}"
        raise ArtifactError(f"stream {name!r}: {found}; expected whole numbers, or true and false")
    return column.to_numpy()


def export_streams(
    artifact: str | Path,
    folder: str | Path | None = None,
    kind: str | Path = ALL,
    *,
    streams: Mapping[str, str] | None = None,
    columns: str | Path | None = None,
    trace_json: str | Path | None = None,
    force: bool = False,
) -> dict:
    """Write the `.in` files and streams.json of a contract into `folder`, a trace.json, or both: all or none of it.

    Parameters
    ----------
    artifact
        A folder that `train` or `backtest` wrote, or its trace.parquet; of the reference a folder of streams, a
        trace.json or a manifest.
    folder
        Where the files go; other files there stay. None with `trace_json` alone.
    kind
        Whose streams: "v38", "layered", the path of a contract (docs/TAU.md), or "all", those of every trace (of the
        reference's: those that it has).
    streams
        The column of each stream that is taken from a column of another name.
    columns
        A CSV or Parquet file of such columns, whose rows are the trace's ticks.
    trace_json
        A file for the trace in the reference's form, which holds the streams of every trace whatever the kind.
    force
        Whether that file may be replaced.

    Returns
    -------
    dict
        What was written: folder, kind, ticks, the Tau type of each stream, the column that each was taken from,
        trace_json, and left_behind, streams of an earlier export that are still there.

    Raises
    ------
    ArtifactError
        Where there is no trace, or it lacks a stream.
    InputError
        For columns that are not there, or whose values the type does not take.
    OutputError
        Where the files cannot be written.
    """
    every = {name: stream_type(name) for name in TRACE_STREAMS}
    types = every if kind == ALL else find_contract(kind, others=[ALL]).types
    if folder is None:
        if trace_json is None:
            raise InputError("there is nothing to write; name a folder for the streams, or a file by `trace_json`")
        if kind != ALL:
            raise InputError("`kind` has no effect without a folder; a trace.json has the streams of every trace")
    else:
        check_place(folder)
        check_place(Path(folder) / "streams.json")  # nor may the folder itself be an output of ours
    if trace_json is not None:
        _check_trace_file(Path(trace_json), [artifact, *([] if columns is None else [columns])], force)
    wanted = types if trace_json is None else {**types, **every}
    optional = every if kind == ALL else every.keys() - types.keys()
    taken = take_streams(artifact, str(kind), wanted, optional=optional, streams=streams, columns=columns)
    types = {name: width for name, width in types.items() if name in taken.values}
    files: dict[Path, bytes] = {}
    if trace_json is not None:
        files[Path(trace_json)] = _trace_text(artifact, taken)
    if folder is not None:
        chosen = {name: taken.values[name] for name in types}
        texts = stream_files(chosen, types, newline=taken.source.about["compat"] is None)
        for name, text in texts.items():
            if trace_json is not None and os.path.abspath(Path(folder) / name) == os.path.abspath(trace_json):
                raise InputError(
                    f"`trace_json` is {str(trace_json)!r}, which is {name} of the streams; choose another name"
                )
            files[Path(folder) / name] = text
    install(files)
    return {
        "folder": None if folder is None else str(folder),
        "kind": str(kind),
        "ticks": taken.source.frame.height,
        "streams": types,
        "columns": {name: taken.origins[name] for name in types},
        "trace_json": None if trace_json is None else str(trace_json),
        "left_behind": [] if folder is None else left_behind(Path(folder), types),
    }


def _check_trace_file(file: Path, read: Iterable[str | Path], force: bool) -> None:
    if file.suffix != ".json":
        raise InputError(f"`trace_json` is {str(file)!r}; expected a file named .json")
    check_place(file)
    check_kept(file, read)
    check_replaceable_file(file, force, "trace")


def _trace_text(artifact: str | Path, taken: Taken) -> bytes:
    values = {name: values for name, values in taken.values.items() if name in TRACE_STREAMS}
    lacking = [name for name in REQUIRED if name not in values]
    if lacking:
        raise ArtifactError(f"a trace.json needs {', '.join(lacking)}, which the trace of {artifact} does not have")
    return trace_text(values, trace_json_metadata(taken.source))
