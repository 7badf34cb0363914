"""Folders that the Tau interpreter runs as they are: a specification, its inputs, and the expected outputs."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from idi_fast import __version__
from idi_fast.agents.streams import stream_text
from idi_fast.data.bounds import Bounds, Time
from idi_fast.errors import InputError
from idi_fast.storage.files import LATER, digest, new_directory, write_json
from idi_fast.storage.manifests import SCHEMA_VERSION, write_manifest
from idi_fast.tau.check import estimate, span
from idi_fast.tau.contract import Contract, find_contract
from idi_fast.tau.declarations import Declaration
from idi_fast.tau.export import Taken, take_streams
from idi_fast.tau.fix import EXPECTED
from idi_fast.tau.simulation import Simulation, simulate
from idi_fast.tau.spec import Spec

SPECIFICATION = "agent.tau"


def write_spec(
    source: str | Path,
    out: str | Path,
    kind: str | Path,
    *,
    streams: Mapping[str, str] | None = None,
    columns: str | Path | None = None,
    name_prefix: str = "",
    emotes: bool = True,
    start: int | Time = 0,
    end: Time | None = None,
    ticks: int | None = None,
    force: bool = False,
) -> dict:
    """Write a folder that the interpreter runs as it is: agent.tau, inputs/, outputs/, expected/ and README.md.

    The folder appears whole or not at all.

    Parameters
    ----------
    source
        A folder that `train` or `backtest` wrote, or its trace.parquet.
    out
        The folder to write.
    kind
        "v38", "layered" or the path of a contract (docs/TAU.md).
    streams
        By stream the column that it is taken from, where that has another name.
    columns
        A CSV or Parquet file of such columns, whose rows are the trace's ticks.
    name_prefix
        Stands before the names of all streams and their files.
    emotes
        Whether those of the contract are read.
    start
        The first tick of the trace that is read, by its number, or the time of the first, ISO 8601.
    end, ticks
        The time of the first tick that is not read any more, or how many are; by default all.
    force
        Whether an earlier folder is replaced.

    Returns
    -------
    dict
        What spec.json in the folder holds: kind, name_prefix, emotes, source and digests of what was read, start,
        ticks; inputs with name, type, file and the column they are from; outputs with name, type, file, the input that
        they mirror and at how many ticks they are not 0; the contract.

    Raises
    ------
    ConfigError, ArtifactError, OutputError
        Where contract, trace or output cannot be used.
    InputError
        For other arguments, and where these inputs break a guarantee of the contract.
    """
    contract = find_contract(kind) if emotes else find_contract(kind).without_emotes()
    spec = contract.specification(name_prefix)
    taken = take_streams(source, str(kind), contract.types, streams=streams, columns=columns)
    start, ticks = _bounds(taken, start, end, ticks)
    chosen = _ticks(taken, start, ticks)
    files = {stream.path: stream_text(values) for stream, values in zip(spec.inputs, chosen, strict=True)}
    _check_guarantees(contract, name_prefix, files, start)
    run = simulate(spec, files)
    about = {
        "schema_version": SCHEMA_VERSION,
        "kind": str(kind),
        "name_prefix": name_prefix,
        "emotes": emotes,
        "source": str(source),
        "trace": taken.source.digest,
        "columns": None if columns is None else {"file": str(columns), **digest(Path(columns))},
        "start": start,
        "ticks": run.steps,
        **described(spec, taken.origins.values(), run),
        "contract": contract.to_dict(),
    }
    read = [path for path in (source, columns, kind if Path(kind).is_file() else None) if path is not None]
    with new_directory(out, force=force, inputs=read) as folder:
        _fill(folder, spec, files, run)
        (folder / "README.md").write_text(readme(contract, spec, about), encoding="ascii", newline="\n")
        write_json(folder / "spec.json", about)
        later: dict[str, Any] = {LATER: [stream.path for stream in spec.outputs]}
        write_manifest(folder, config_sha256=taken.source.about["fingerprint"], **later)
    return about


def _bounds(taken: Taken, start: int | Time, end: Time | None, ticks: int | None) -> tuple[int, int | None]:
    """The first tick, and how many, of a range of the trace's times."""
    if isinstance(start, int) and end is None:
        return start, ticks
    if end is not None and ticks is not None:
        raise InputError("end and ticks exclude each other")
    bounds, frame = Bounds.of(None if isinstance(start, int) else start, end), taken.source.frame
    if "time" not in frame.columns or frame["time"].null_count():
        raise InputError("a time was given, but the trace has none; give start and ticks as numbers")
    time = frame["time"].to_physical().to_numpy()
    first = start if isinstance(start, int) else int(np.searchsorted(time, bounds.start or 0))
    stop = len(time) if bounds.end is None else int(np.searchsorted(time, bounds.end))
    if first >= stop:
        raise InputError(bounds.refusal(int(time[0]), int(time[-1]), what="tick", whole="trace"))
    return first, ticks if bounds.end is None else stop - first


def _ticks(taken: Taken, start: int, ticks: int | None) -> list[np.ndarray]:
    there = next(iter(taken.values.values())).size
    if not 0 <= start < there:
        raise InputError(f"start is {start}; expected 0 to {there - 1}, a tick of the trace")
    if ticks is not None and not 1 <= ticks <= there - start:
        raise InputError(f"ticks is {ticks}; expected 1 to {there - start}, those of the trace from tick {start} on")
    return [values[start : None if ticks is None else start + ticks] for values in taken.values.values()]


def _check_guarantees(contract: Contract, prefix: str, files: Mapping[str, bytes], start: int) -> None:
    run = simulate(contract.guarded(prefix), files)
    for number, each in enumerate(contract.guarantees):
        broken = run.values[f"o_{prefix}{number}"]
        if broken.any():
            raise InputError(
                f"{contract.name!r} guarantees: {each.meaning}; but {each.never} is 1 at tick {start + broken.argmax()}"
            )


def described(spec: Spec, origins: Iterable[str], run: Simulation) -> dict[str, list[dict]]:
    """The inputs with their columns, and the outputs, as in spec.json."""
    mirrored = {output: name for name, output in spec.mirrors.items()}
    return {
        "inputs": [
            {**_described(stream), "column": origin} for stream, origin in zip(spec.inputs, origins, strict=True)
        ],
        "outputs": [
            {
                **_described(stream),
                "mirrors": mirrored.get(stream.name),
                "ticks_not_0": int(np.count_nonzero(run.values[stream.name])),
            }
            for stream in spec.outputs
        ],
    }


def _described(stream: Declaration) -> dict[str, str]:
    return {"name": stream.name, "type": stream.type, "file": stream.path}


def _fill(folder: Path, spec: Spec, files: Mapping[str, bytes], run: Simulation) -> None:
    (folder / SPECIFICATION).write_text(str(spec), encoding="ascii", newline="\n")
    # The interpreter does not create folders.
    for name in ("inputs", "outputs", EXPECTED):
        (folder / name).mkdir()
    for path, text in files.items():
        (folder / path).write_bytes(text)
    for path, text in run.files().items():
        (folder / EXPECTED / Path(path).name).write_bytes(text)


def readme(contract: Contract, spec: Spec, about: dict) -> str:
    """What a user of the folder should know, in ASCII."""
    ticks, start = about["ticks"], about["start"]
    prefix = about["name_prefix"]
    inputs = [
        (stream["file"], stream["name"], stream["type"], given.meaning, stream["column"])
        for stream, given in zip(about["inputs"], contract.inputs, strict=True)
    ]
    outputs = [
        (stream["file"], stream["name"], stream["type"], declared.comment, f"{stream['ticks_not_0']:,}")
        for stream, declared in zip(about["outputs"], spec.outputs, strict=True)
    ]
    named = f", behind the prefix {prefix}" if prefix else ""
    parts = [
        f"# {contract.name}",
        f"An agent in Tau that {contract.meaning}." if contract.meaning else "An agent in Tau.",
        f"idi-fast {__version__} wrote this folder from ticks {start:,} to {start + ticks - 1:,} of {about['source']}.",
        "## Run",
        "In this folder, with the Tau interpreter (0.7):",
        f"```\nmkdir -p outputs\ntau {SPECIFICATION} -q </dev/null\ndiff -r expected outputs\n```",
        f"That takes {span(estimate(ticks))}. **The exit code says nothing**: it is 0 "
        "even if an input is missing or a line cannot be read. The run went well if nothing printed contains `(Error)` "
        f"and `diff` finds nothing: every file in `outputs` then has {ticks:,} lines and equals that in `expected`, "
        "which idi-fast has worked out beforehand. `idi-fast compare expected outputs` says where they differ.",
        "## Inputs",
        "One value a line, a line a tick; all are read from the first tick on, in step. `sbf` is 0 or 1.",
        _table(("file", "stream", "type", "meaning", "from the column"), inputs),
        "## Outputs",
        f"`{EXPECTED}` holds what will come out. The mirrors make the interpreter read every input at every tick.",
        _table(("file", "stream", "type", "meaning", "ticks not 0"), outputs),
        "## Equations",
        f"x[t-1] is x one tick before, 0 at the first. `{SPECIFICATION}` calls an input i_x and an output o_x{named}.",
        "```\n" + "\n".join(f"{output.name}[t] = {output.equation}" for output in contract.outputs) + "\n```",
    ]
    if contract.guarantees:
        parts += ["## Guarantees", "Checked over these inputs:"]
        parts.append("\n".join(f"- {each.meaning}: `{each.never}` is never 1" for each in contract.guarantees))
    return _ascii("\n\n".join(parts) + "\n")


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [tuple(heads)]
    lines += [tuple(cell.replace("|", "\\|") for cell in row) for row in rows]
    lines.insert(1, ("---",) * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ascii(text: str) -> str:
    """The text with non-ASCII characters, which a path or a column may have, as escapes."""
    return text.encode("ascii", "backslashreplace").decode("ascii")
