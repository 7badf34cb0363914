"""Compare the outputs of two runs, value by value: streams, traces, tables, JSON; folders file by file."""

import os
from pathlib import Path
from typing import Any

import polars as pl

from idi_fast.agents.streams import TRACE_STREAMS
from idi_fast.differences import around, compare_columns, compare_lines, compare_policies, key_differences
from idi_fast.environments.actions import ACTIONS
from idi_fast.errors import ArtifactError, InputError, nearest
from idi_fast.storage.files import MANIFEST, TIMINGS, digest, list_files
from idi_fast.storage.json_files import loads, read_json
from idi_fast.storage.manifests import SCHEMA_VERSION
from idi_fast.storage.reader.client import ANY, Limits
from idi_fast.storage.tables import Table
from idi_fast.tau.sources import TRACE_JSON, is_reference_json, is_stream_manifest, read_source, stream_digests
from idi_fast.tau.trace_json import looks_like_trace, parse_trace

CONTEXT = 3
"""Ticks shown before and after the first that differs."""
KINDS = {
    ".in": "stream",
    ".out": "stream",
    ".parquet": "table",
    ".json": "json",
    ".csv": "text",
    ".tau": "text",
    ".md": "text",
    ".txt": "text",
}
"""What a file is compared as, by the end of its name; any other is compared as bytes."""
NOT_LOOKED_AT = {TIMINGS, "streams.json"}
"""Ignored: how long a run took, and an index of files that are compared themselves."""
UNDECISIVE = ("format", "sketches")
"""Keys of a policy's metadata that change none of its decisions."""


def compare(a: str | Path, b: str | Path, context: int = CONTEXT, limits: Limits = ANY) -> dict:
    """What differs between two folders (of streams, artifacts, backtests, any outputs), or two files of one kind.

    Values decide: lines without their endings, columns without their types, JSON by key. Bytes that differ, other types
    of columns, other versions in run.json and other metadata of tables but policies are noted and are no difference.
    A folder of streams is compared with an artifact's streams; a file with that of its name in a folder. A trace.json
    or a manifest of the reference's is compared with any other trace by its streams, tick by tick. context: ticks shown
    on either side of the first that differs.

    Returns JSON values: `equal`, `a`, `b`, `only_in_a` and `only_in_b` (names of files), and `files`, each with `name`,
    `kind`, `sha256` of both, `equal`, `notes` and, by its kind (but for streams and texts only if the bytes differ):

    - stream, text: `lines` of both, `differing` (how many), `first` (see below; lines of texts count from 1)
    - table: `rows` of both, `columns` that differ, each with `name`, `differing`, `largest` (absolute difference, None
      if it is not of numbers) and `first`; `columns_only_in_a` and `_b`
    - policy: the same, but a row is a state: `first` has the `state` and its values `a` and `b`; `states_only_in_a` and
      `_b`: their number, `count`, and the `first` of them; `keys` that differ in config, seed, bucket edges, bars
    - json: `keys` that differ, each with its `key`, `a` and `b`, of which one is missing where it has none

    `first` says `at` which tick, row or line, and shows values `a` and `b` `from` that on that comes `context` earlier;
    None: there is none. Raises InputError, ArtifactError, ConfigError.
    """
    if context < 0:
        raise InputError(f"context is {context}; expected 0 or more")
    left, right = _existing(a), _existing(b)
    pairs: list[tuple[str, Path, Path]] = []
    only_in_a: list[str] = []
    only_in_b: list[str] = []
    if _is_by_streams(left, right):
        pass
    elif left.is_dir() and right.is_dir():
        left, right = _streams_of(left, right)
        names_a, names_b = _names(left), _names(right)
        pairs = [(name, left / name, right / name) for name in sorted(names_a & names_b)]
        only_in_a, only_in_b = sorted(names_a - names_b), sorted(names_b - names_a)
        if not pairs:
            raise InputError(f"{left} and {right} have no file in common; give folders of the same kind")
    else:
        left, right = _of_the_same_name(left, right), _of_the_same_name(right, left)
        if _kind(left) != _kind(right):
            raise InputError(f"{left} is compared as {_kind(left)}, {right} as {_kind(right)}; expected the same kind")
        name = left.name if left.name == right.name else f"{left.name} and {right.name}"
        pairs = [(name, left, right)]
    try:
        files = [{"name": name, **_compare_files(one, other, context, limits)} for name, one, other in pairs]
        files = files or [_compare_traces(left, right, context)]
    except OSError as error:
        raise ArtifactError(f"{error.filename}: cannot be read: {error.strerror}") from error
    return {
        "schema_version": SCHEMA_VERSION,
        "a": str(left),
        "b": str(right),
        "equal": all(file["equal"] for file in files) and not only_in_a and not only_in_b,
        "only_in_a": only_in_a,
        "only_in_b": only_in_b,
        "files": files,
    }


def _is_by_streams(a: Path, b: Path) -> bool:
    """Whether the reference's JSON is on one side and a trace of another form on the other."""
    if a.is_dir() and b.is_dir():
        only = [(path / TRACE_JSON).is_file() and not (path / "trace.parquet").exists() for path in (a, b)]
        return only in ([True, False], [False, True])
    if a.is_file() and b.is_file() and {_kind(a), _kind(b)} == {"json"}:
        found = [read_json(path) for path in (a, b)]
        are_traces = [looks_like_trace(value) for value in found]
        return any(map(is_stream_manifest, found)) and any(are_traces) and not all(are_traces)
    for one, other in ((a, b), (b, a)):
        holds_its_name = other.is_dir() and (other / one.name).is_file()
        if one.is_file() and not holds_its_name and is_reference_json(one):
            return True
    return False


def _compare_traces(a: Path, b: Path, context: int) -> dict:
    """Compare the streams of two traces of different forms, as columns."""
    one, other = read_source(a), read_source(b)
    name = a.name if a.name == b.name else f"{a.name} and {b.name}"
    found = _compare_ticks(one.frame, other.frame, context)
    return {"name": name, "kind": "table", "sha256": [each.digest["sha256"] for each in (one, other)], **found}


def _compare_ticks(a: pl.DataFrame, b: pl.DataFrame, context: int) -> dict:
    one, other = (frame.select(name for name in TRACE_STREAMS if name in frame.columns) for frame in (a, b))
    found = compare_columns(one, other, lambda x, y, at: around(x, y, at, context))
    found["notes"] = []  # of types, which are those of the form
    return {**found, "equal": found["equal"] and one.height == other.height, "rows": [one.height, other.height]}


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not os.path.exists(path):
        beside = os.listdir(path.parent) if os.path.isdir(path.parent) else []
        raise InputError(f"{path}: no such file or folder.{nearest(path.name, beside)}")
    return path


def _names(folder: Path) -> set[str]:
    """Files in and below a folder that are compared, relative to it; hidden ones are not."""
    try:
        found = [name for name in list_files(folder) if not os.path.isdir(folder / name)]  # a link to a folder
    except OSError as error:
        raise ArtifactError(f"{error.filename}: cannot be read: {error.strerror}") from error
    names = {name for name in found if not any(part.startswith(".") for part in name.split("/"))}
    if all(_kind(Path(name)) in ("bytes", "text") for name in names):
        raise InputError(f"{folder} holds nothing to compare; expected streams (*.in, *.out), Parquet or JSON files")
    return {name for name in names if name.rpartition("/")[2] not in NOT_LOOKED_AT}


def _streams_of(a: Path, b: Path) -> tuple[Path, Path]:
    """The same folders, except that a folder of streams is compared with a run's streams."""
    holds_streams = [any(_kind(path) == "stream" for path in folder.iterdir()) for folder in (a, b)]
    if holds_streams == [True, False] and (b / "streams").is_dir():
        return a, b / "streams"
    if holds_streams == [False, True] and (a / "streams").is_dir():
        return a / "streams", b
    return a, b


def _of_the_same_name(path: Path, other: Path) -> Path:
    """The file itself, or the one with the other's name in a folder."""
    if not path.is_dir():
        return path
    if not (path / other.name).is_file():
        raise InputError(
            f"{path} holds no {other.name} to compare with {other}.{nearest(other.name, os.listdir(path))}"
        )
    return path / other.name


def _kind(path: Path) -> str:
    return KINDS.get(path.suffix.lower(), "bytes")


def _compare_files(a: Path, b: Path, context: int, limits: Limits) -> dict:
    kind, hashes = _kind(a), [digest(path)["sha256"] for path in (a, b)]
    if kind in ("stream", "text"):
        found = compare_lines(a.read_bytes(), b.read_bytes(), context, counted_from=int(kind == "text"))
    elif hashes[0] == hashes[1]:
        found = {"equal": True, "notes": []}
    elif kind == "table":
        found = _compare_tables(a, b, context, limits)
    elif kind == "json":
        found = _compare_json(a, b, context)
    else:
        found = {"equal": False, "notes": []}
    return {"kind": kind, "sha256": hashes, **found}


def _compare_json(a: Path, b: Path, context: int) -> dict:
    one, other = read_json(a), read_json(b)
    if looks_like_trace(one) and looks_like_trace(other):
        return _compare_trace_json(a, b, one, other, context)
    noted = ("versions.",) if a.name == "run.json" else ()
    # The digests in a manifest are of files that are compared themselves.
    ignored = ("files.",) if a.name == MANIFEST else ()
    if is_stream_manifest(one) and is_stream_manifest(other):
        one, other = (_by_stream(tree, path) for tree, path in ((one, a), (other, b)))
        noted = ("generated_at", "config_path")
    keys = [found for found in key_differences(one, other) if not found["key"].startswith(ignored)]
    notes = [
        f"{found['key']} is {found.get('a')} in A, {found.get('b')} in B"
        for found in keys
        if found["key"].startswith(noted)
    ]
    keys = [found for found in keys if not found["key"].startswith(noted)]
    return {"equal": not keys, "keys": keys, "notes": notes}


def _by_stream(manifest: dict[str, Any], path: Path) -> dict[str, Any]:
    """A manifest of the reference's whose streams are an object, in no order."""
    listed = stream_digests(manifest, str(path)).items()
    return {**manifest, "streams": {name: {"sha256": sha256, "length": length} for name, (sha256, length) in listed}}


def _compare_trace_json(a: Path, b: Path, one: Any, other: Any, context: int) -> dict:
    """Compare ticks; what the metadata say is noted."""
    (ticks, about), (ticks_b, about_b) = parse_trace(one, str(a)), parse_trace(other, str(b))
    found = _compare_ticks(ticks, ticks_b, context)
    differing = [found["key"] for found in key_differences(about, about_b)]
    notes = [f"the metadata differ in {', '.join(differing)}"] if differing else []
    return {"kind": "table", **found, "notes": notes}


def _compare_tables(a: Path, b: Path, context: int, limits: Limits) -> dict:
    (one, about), (other, about_other) = (_read_table(path, limits) for path in (a, b))
    metadata = list(key_differences(about, about_other))
    if all(f"q_{name}" in frame.columns for frame in (one, other) for name in ACTIONS):
        # What the first format of policies has no key for, there is none of.
        none = {"symbols": [], "plugins": {}}
        metadata = list(key_differences(none | about, none | about_other))
        decides = [found for found in metadata if found["key"].partition(".")[0] not in UNDECISIVE]
        found = compare_policies(one, other, decides)
        if len(decides) < len(metadata):
            found["notes"].append("the formats differ, or what they say of the training bars beside the edges")
        return found
    found = compare_columns(one, other, lambda x, y, at: around(x, y, at, context))
    if metadata:
        found["notes"].append(f"the metadata differ in {', '.join(found['key'] or 'all' for found in metadata)}")
    return {**found, "equal": found["equal"] and one.height == other.height, "rows": [one.height, other.height]}


def _read_table(path: Path, limits: Limits) -> tuple[pl.DataFrame, dict]:
    """A table and its metadata, which other people's tables do not have."""
    table = Table.open(path, f"the table {path}", limits)
    try:
        return table.frame(), {} if table.about is None else loads(table.about)
    except ValueError as error:
        raise ArtifactError(f"cannot read {table.what}: {error}") from error
