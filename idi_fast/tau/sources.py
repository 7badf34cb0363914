"""Where a trace can be taken from: our own folders, and what the reference leaves.

That is a folder of streams (`NAME.in`, with or without a streams.json that lists them), a trace.json, or a manifest
that names the streams beside it with their digests.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from idi_fast.agents.streams import MARKET_STREAMS, TRACE_STREAMS, check_lengths, stream_type
from idi_fast.agents.trace_files import read_trace
from idi_fast.config.block import shown
from idi_fast.data.timestamps import iso_time
from idi_fast.errors import ArtifactError, ConfigError, InputError
from idi_fast.storage.files import MANIFEST, digest, read_manifest, refuse_population
from idi_fast.storage.json_files import UnfitFile, load_json, read_json, read_regular
from idi_fast.tau.trace_json import DATA_VERSION, OURS, looks_like_trace, parse_trace

MANIFEST_FILE = "artifact_manifest.json"
MANIFEST_VERSION = "idi-manifest-v1"
STREAMS_FOLDER = "streams"
INDEX = "streams.json"
TRACE_JSON = "trace.json"
UNKNOWN_CONFIG = "0" * 64
"""The fingerprint of a config that a trace of the reference's does not name."""
MAX_STREAM = 2**28
"""Bytes of a stream file that are read."""
_BLANKS = b" \t\r"
_HASH = re.compile("[0-9a-f]{64}")


class Source(NamedTuple):
    """A trace from wherever.

    frame: `tick` and a column a stream, of our own traces all columns; about: `compat` (whose rules it follows) and
    `fingerprint` of its config; digest: SHA-256 and length of what was read; ours: the trace.parquet, where idi-fast
    wrote it; metadata: what a trace.json says of itself.
    """

    frame: pl.DataFrame
    about: dict[str, Any]
    digest: dict[str, Any]
    ours: Path | None = None
    metadata: Mapping[str, Any] = MappingProxyType({})


def read_source(path: str | Path) -> Source:
    """The trace at a path.

    path: a folder that `train` or `backtest` wrote, or its trace.parquet; or of the reference's a folder of streams, a
    trace.json or a manifest. Raises ArtifactError, InputError: with the file, the line or tick, what was found and what
    was expected.
    """
    path = Path(path)
    if path.is_dir():
        refuse_population(path)
        if not (path / "trace.parquet").exists():
            _refuse_torn(path)
            if (path / TRACE_JSON).is_file():
                return _of_json(path / TRACE_JSON)
            folder = streams_folder(path)
            if folder is not None:
                return _of_streams(folder, _manifest_in(path))
    elif path.suffix == ".json" and path.is_file():
        return _of_json(path)
    elif path.suffix == ".in":
        raise InputError(f"{path} is one stream; give the folder that holds all of them, {path.parent}")
    frame, about = read_trace(path)
    trace = path / "trace.parquet" if path.is_dir() else path
    return Source(frame, about, digest(trace), trace)


def _refuse_torn(folder: Path) -> None:
    """Raise ArtifactError if a folder of ours lacks its trace: the streams that are left are not what was asked for."""
    manifest = read_manifest(folder)
    if manifest is not None and "trace.parquet" in manifest["files"]:
        raise ArtifactError(f"{folder / 'trace.parquet'} is missing, though {MANIFEST} beside it lists it")


def streams_folder(path: Path) -> Path | None:
    """Where the streams of a folder lie: in it, or in its folder `streams`; None where there are none."""
    return next((place for place in (path, path / STREAMS_FOLDER) if any(place.glob("*.in"))), None)


def is_reference_json(path: Path) -> bool:
    """Whether a file is a trace.json or a manifest of streams, rather than any other JSON. Raises ConfigError."""
    if path.suffix != ".json" or not path.is_file():
        return False
    value = read_json(path)
    return looks_like_trace(value) or is_stream_manifest(value)


def is_stream_manifest(value: Any) -> bool:
    """Whether a JSON value is one of the reference's manifests, which name streams; ours have a number as version."""
    return isinstance(value, dict) and isinstance(value.get("schema_version"), str) and "streams" in value


def _of_json(path: Path) -> Source:
    try:
        value = read_json(path)
    except ConfigError as error:
        raise ArtifactError(str(error)) from None
    if is_stream_manifest(value):
        folder = streams_folder(path.parent)
        if folder is None:
            raise ArtifactError(f"{path} lists streams, but there are none beside it nor in {path.parent / 'streams'}")
        return _of_streams(folder, path)
    if not looks_like_trace(value) and not isinstance(value, list) and path.name != TRACE_JSON:
        raise ArtifactError(f"{path} is neither a trace.json nor a manifest of streams; give a trace, or its folder")
    frame, metadata = parse_trace(value, str(path))
    is_default = metadata.get("env_id", "").startswith(OURS)
    about = {"compat": None if is_default else "idi_iann", "fingerprint": _fingerprint(metadata.get("config_hash"))}
    return Source(frame, about, digest(path), metadata=metadata)


def _manifest_in(folder: Path) -> Path | None:
    """The reference's manifest in a folder, under its own name or under that of ours."""
    for name in (MANIFEST_FILE, MANIFEST):
        if (folder / name).is_file():
            try:
                if is_stream_manifest(read_json(folder / name)):
                    return folder / name
            except ConfigError as error:
                raise ArtifactError(str(error)) from None
    return None


def _of_streams(folder: Path, manifest: Path | None) -> Source:
    files = _listed(folder)
    data = {name: _read(folder / file) for name, file in files.items()}
    config = None if manifest is None else _check_manifest(manifest, {files[name]: data[name] for name in files})
    values = {name: _values(folder / files[name], name, data[name]) for name in files}
    try:
        check_lengths(values)
    except ArtifactError as error:
        raise ArtifactError(f"{folder}: {error}") from None
    terminated = all(text.endswith(b"\n") for text in data.values())
    about = {"compat": None if terminated else "idi_iann", "fingerprint": _fingerprint(config)}
    n = next(iter(values.values())).size
    ordered = [name for name in (*TRACE_STREAMS, *MARKET_STREAMS) if name in values]
    ordered += [name for name in values if name not in ordered]
    frame = pl.DataFrame({"tick": np.arange(n), **{name: values[name] for name in ordered}})
    return Source(frame, about, _digest_of({files[name]: data[name] for name in files}))


def _listed(folder: Path) -> dict[str, str]:
    """The files of a folder's streams, by stream: those that streams.json lists, or else all."""
    index = folder / INDEX
    if not index.is_file():
        return {file.stem: file.name for file in sorted(folder.glob("*.in"))}
    try:
        tree = read_json(index)
    except ConfigError as error:
        raise ArtifactError(str(error)) from None
    streams = tree.get("streams") if isinstance(tree, dict) else None
    if not isinstance(streams, dict) or not streams:
        raise ArtifactError(f"{index}: streams is {shown(streams)}; expected an object of file names by stream")
    for name, file in streams.items():
        if not isinstance(file, str) or not file or Path(file).name != file or "\\" in file:
            raise ArtifactError(f"{index}: streams.{name[:80]} is {shown(file)}; expected the name of a file beside it")
        if not (folder / file).is_file():
            raise ArtifactError(f"{index}: streams.{name[:80]} is {file!r}; expected a file that is in {folder}")
    return streams


def _read(file: Path) -> bytes:
    try:
        return read_regular(file, MAX_STREAM)
    except UnfitFile as error:
        raise ArtifactError(f"{file}: cannot be read: it {error.strerror}") from None
    except OSError as error:
        raise ArtifactError(f"{file}: cannot be read: {error.strerror}") from None


def _values(file: Path, name: str, data: bytes) -> np.ndarray:
    """The whole numbers of a stream, uint8 where its type is known, else int64 (n,)."""
    is_known = name in TRACE_STREAMS or name in MARKET_STREAMS
    kind = stream_type(name) if is_known else ""
    most = 2**63 - 1 if not is_known else 1 if kind == "sbf" else (1 << int(kind[3:-1])) - 1
    wanted = f"0 to {most}" if is_known else "a whole number of 0 or more"
    lines = data.split(b"\n")
    while lines and not lines[-1].strip(_BLANKS):
        lines.pop()
    if not lines:
        raise ArtifactError(f"{file} has no ticks; expected a value a line")
    known = {line: _number(line, most) for line in set(lines)}
    if None in known.values():
        at = next(number for number, line in enumerate(lines) if known[line] is None)
        text = lines[at].decode("utf-8", "backslashreplace").strip()
        found = f"is {text[:40]!r}" if text else "is empty"
        raise ArtifactError(f"{file}: line {at + 1} {found}; expected {wanted}")
    return np.array([known[line] for line in lines], np.uint8 if is_known else np.int64)


def _number(line: bytes, most: int) -> int | None:
    digits = line.strip(_BLANKS)
    value = int(digits) if re.fullmatch(rb"[0-9]{1,19}", digits) else -1
    return value if 0 <= value <= most else None


def _fingerprint(text: Any) -> str:
    return text if isinstance(text, str) and _HASH.fullmatch(text) else UNKNOWN_CONFIG


def _digest_of(files: Mapping[str, bytes]) -> dict[str, Any]:
    """SHA-256 over name, length (u64-LE) and data of each file, in the order of the names, as in an artifact digest."""
    sha256 = hashlib.sha256()
    for name in sorted(files):
        sha256.update(name.encode() + len(files[name]).to_bytes(8, "little"))
        sha256.update(files[name])
    return {"sha256": sha256.hexdigest(), "bytes": sum(map(len, files.values()))}


def _check_manifest(path: Path, files: Mapping[str, bytes]) -> Any:
    """Compare the streams that were read with a manifest of the reference's; return what it says of the config."""
    manifest = read_json(path)
    listed = stream_digests(manifest, str(path))
    for name in listed:
        if name not in files:
            raise ArtifactError(f"{path} lists {name}, which is not there; expected every stream that it lists")
    for name, data in files.items():
        if name not in listed:
            raise ArtifactError(f"{path} does not list {name}; expected every stream that is there")
        sha256, length = listed[name]
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            raise ArtifactError(
                f"{path}: {name} has the SHA-256 {found[:16]}…; expected {sha256[:16]}…: it was changed"
            )
        ticks = sum(map(bool, data.splitlines()))
        if length is not None and ticks != length:
            raise ArtifactError(f"{path}: {name} has {ticks} lines; expected {length}")
    return manifest.get("config_sha256", manifest.get("config_hash"))


def stream_digests(manifest: Mapping[str, Any], where: str) -> dict[str, tuple[str, int | None]]:
    """SHA-256 and, where it is told, length of each stream file that a manifest of the reference's lists.

    It lists objects of name, sha256 and length (idi-manifest-v1) or maps names to hashes (versions as 1.0.0).
    """
    streams = manifest["streams"]
    if isinstance(streams, dict):
        entries = [{"name": name, "sha256": sha256, "length": None} for name, sha256 in streams.items()]
    elif isinstance(streams, list):
        entries = streams
    else:
        raise ArtifactError(f"{where}: streams is {shown(streams)}; expected a list of streams, or an object of hashes")
    found: dict[str, tuple[str, int | None]] = {}
    for number, entry in enumerate(entries):
        key = f"{where}: streams[{number}]"
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise ArtifactError(f"{key} is {shown(entry)}; expected an object with name, sha256 and length")
        sha256, length = entry.get("sha256"), entry.get("length")
        if not isinstance(sha256, str) or not _HASH.fullmatch(sha256):
            raise ArtifactError(
                f"{key}: sha256 of {entry['name'][:80]} is {shown(sha256)}; expected 64 lower-case hexadecimal digits"
            )
        if type(length) is not int and (length is not None or isinstance(streams, list)):
            raise ArtifactError(f"{key}: length of {entry['name'][:80]} is {shown(length)}; expected an integer")
        name = entry["name"] if entry["name"].endswith(".in") else f"{entry['name']}.in"
        if name in found:
            raise ArtifactError(f"{key}: {name[:80]} stands twice; expected each stream once")
        found[name] = sha256, length
    if not found:
        raise ArtifactError(f"{where} lists no streams; expected at least one")
    return found


def trace_json_metadata(source: Source) -> dict[str, Any]:
    """What a trace.json says of a trace: of ours from run.json beside it, where there is one.

    The time is that at which trace.parquet was written.
    """
    if source.metadata:
        return dict(source.metadata)
    fingerprint, compat, ours = source.about["fingerprint"], source.about["compat"], source.ours
    run = {} if ours is None else _run_beside(ours, fingerprint)
    seed = _at(run, "policy", "seed") if "policy" in run else _at(run, "seed")
    kind = "history" if run.get("kind") == "backtest" else _at(run, "config", "environment", "kind")
    has_seed, has_config = type(seed) is int, fingerprint != UNKNOWN_CONFIG
    policy = (fingerprint if has_config else "unknown") + (f"-{seed}" if has_seed else "")
    return {
        "episode_id": source.digest["sha256"],
        "policy_id": policy,
        "env_id": (f"{compat}/" if compat else OURS) + (kind if isinstance(kind, str) else "unknown"),
        "data_version": DATA_VERSION,
        **({"seed": seed} if has_seed else {}),
        **({"config_hash": fingerprint} if has_config else {}),
        **({} if ours is None else {"timestamp": iso_time(int(ours.stat().st_mtime) * 10**9)}),
    }


def _run_beside(trace: Path, fingerprint: str) -> dict[str, Any]:
    """run.json of the run that a trace is of; {} where it lies by itself."""
    try:
        run = load_json(trace.parent / "run.json")
    except (OSError, ValueError):
        return {}
    if not isinstance(run, dict):
        return {}
    told = _at(run, "policy", "fingerprint") if "policy" in run else _at(run, "fingerprint")
    return run if told == fingerprint else {}


def _at(tree: Any, *keys: str) -> Any:
    """The value under keys within one another, None where there is none."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree
