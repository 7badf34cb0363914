"""Published folders with each proof, changed by a publisher who rewrites the manifests to fit: no claim of the verdict
may hold that the change has made false.

Verified in this process, since thousands of changes take a moment each. Which claims a change falsifies is derived
from the names of the files whose bytes it changed, not from what `verify` checks.
"""

import hashlib
import json
import random
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import polars as pl

from idi_fast.bench.campaign import mutate
from idi_fast.bench.campaign.trial import FAILED, HANG, OK, REFUSED, TRACEBACK, WRONG, Fault, Trial, expect, tree
from idi_fast.bench.campaign.world import World
from idi_fast.bench.machine import peak_memory
from idi_fast.errors import InputError
from idi_fast.evidence.claims import BROKEN, HOLDS
from idi_fast.evidence.openings import write_commitment
from idi_fast.evidence.provers import ProverOptions
from idi_fast.evidence.publish import prove_folder
from idi_fast.evidence.verify import Verification, verify_folder
from idi_fast.storage.files import MANIFEST, TIMINGS, list_files

PROGRAM = """
import hashlib, pathlib, sys
manifest, streams, proof, receipt, what = sys.argv[1:]
data = b"".join(path.read_bytes() for path in sorted(pathlib.Path(streams).iterdir()))
made = hashlib.sha256(pathlib.Path(manifest).read_bytes() + data).digest()
if what == "prove":
    pathlib.Path(proof).write_bytes(made)
sys.exit(what == "verify" and pathlib.Path(proof).read_bytes() != made)
"""
KINDS = ("digest", "replay", "replay", "zk", "zk", "zk data", "command", "reference")
SECONDS, BYTES = 10.0, 2**30
"""What a verification may take: processor time of this process, and memory beyond what the process had before."""
HEADER = ("config_sha256", "inputs", "training", "metadata")
COMMITMENTS = ("commitment.json", "qtable.commit.json", "qtable.proofs.json")
UNSAID = {"source", "kind", "emotes", "schema_version", "columns"}
"""Keys of spec.json of which no claim speaks."""


def attempt(world: World, rng: random.Random, trial: Trial) -> str:
    """Change one folder, and check that no claim about it holds that is no longer true."""
    trial.kind = rng.choice(KINDS)
    honest = _honest(world)[trial.kind]
    folder = world.folder / "trial"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(honest, folder)
    names = [name for name in list_files(folder) if name not in (TIMINGS, MANIFEST)]
    how = _change(rng, folder, rng.choice([*names, MANIFEST, "trace.parquet", "proof/statement.json", "run.json"]))
    remade = rng.random() < 0.9 and _remade(folder)
    trial.what = f"{trial.kind}: {how}{', and the manifests made to fit' if remade else ''}"[:300]
    before = tree(honest)
    if tree(folder) == before:
        return OK
    stood, began = _memory_now(), time.process_time()
    try:
        found = verify_folder(folder, options=_means(world, trial.kind))
    except InputError:
        return REFUSED
    except Exception as error:
        raise Fault(TRACEBACK, f"{trial.what}: {type(error).__name__}: {error}") from error
    seconds, taken = time.process_time() - began, (peak_memory() or 0) - stood
    expect(seconds < SECONDS, HANG, f"{trial.what}: {seconds:.1f} s")
    expect(taken < BYTES, HANG, f"{trial.what}: {taken:,} bytes of memory")
    unforeseen = [claim.found for claim in found.claims if claim.found.startswith(BROKEN)]
    expect(not unforeseen, TRACEBACK, f"{trial.what}: {unforeseen}")
    wrong = _untrue(folder, honest, found, remade)
    expect(not wrong, WRONG, f"{trial.what}: {', '.join(wrong)} said to hold")
    return OK if found.ok else FAILED


def _memory_now() -> int:
    """Bytes that this process has in memory, from which its peak is counted anew.

    Where the system does not let the peak be reset, this is the peak so far, and only what exceeds it is counted.
    """
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak_memory() or 0


def _untrue(folder: Path, honest: Path, found: Verification, remade: bool) -> list[str]:
    """The claims that are reported to hold and do not."""
    one, other = tree(folder), tree(honest)
    changed = {name for name in set(one) | set(other) if one.get(name, 0) != other.get(name, 0)} - {MANIFEST}
    changed -= {name for name in changed if one.get(name, other.get(name)) is None}  # folders
    header, own_header = (_header_changes(folder / name, honest / name) for name in ("", "spec"))
    untrue: set[str] = set()
    if changed and not remade:
        untrue.add("manifest")
    streams = {name for name in changed if name.startswith("streams/")}
    table = changed & {"trace.parquet"}
    if streams:
        untrue |= {"streams"}
    bound = streams | table | (changed & {"commitment.json", "proof/statement.json", "proof/proof.bin"})
    if bound or header & set(HEADER):
        untrue |= {"zk", *(() if (folder / "policy.parquet").exists() else ("actions",))}
    run = _other_versions_only(folder, honest) if "run.json" in changed else False
    trained = streams | table | (changed & {"policy.parquet", "episodes.parquet"})
    if trained or ("run.json" in changed and not run):
        untrue.add("replay")
        # Where the table is hidden the rewards are all the figures that there are.
        if (folder / "run.json").exists() or _other(folder, honest, "trace.parquet", ["reward"]):
            untrue.add("figures")
    if changed & {"artifact_manifest.json", "proof/proof.bin", "proof/receipt.json"} or streams:
        untrue |= {"digest", "command"}
    committed = {name for name in changed & set(COMMITMENTS) & set(one) if _other_json(folder, honest, name)}
    if committed or ("policy.parquet" in changed and _other_values(folder, honest)):
        untrue.add("commitment")
    if table or own_header & set(HEADER) or _spec_changes(folder, honest, changed):
        untrue.add("spec")
    # Two commitments have a row each, of which the other still holds.
    held = {name: all(each.result == HOLDS for each in found.claims if each.name == name) for name in untrue}
    said = [claim.name for claim in found.claims if claim.name in untrue and held[claim.name]]
    harmless = {"artifact_manifest.json", TIMINGS, f"spec/{MANIFEST}"} | ({"spec/README.md"} - set(one))
    if found.verdict == "ok" and (changed - harmless or header - {"proof_policy", "later"}):
        said.append("everything")
    return said


def _other(folder: Path, honest: Path, name: str, columns: list[str] | None = None) -> bool:
    """Whether the values of a table have changed."""
    try:
        one, other = (pl.read_parquet(place / name, columns=columns) for place in (folder, honest))
        return not set(other.columns) <= set(one.columns) or not one.select(other.columns).equals(other)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return True


def _other_values(folder: Path, honest: Path) -> bool:
    """Whether what a commitment speaks of has changed: states, visits and values in steps of 1/65536."""
    try:
        one, other = (
            pl.read_parquet(place / "policy.parquet")
            .select(pl.exclude("^comm_.*$"))
            .with_columns((pl.col("^q_.*$") * 65536).cast(pl.Int64))
            for place in (folder, honest)
        )
        return not one.equals(other)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return True


def _other_json(folder: Path, honest: Path, name: str) -> bool:
    """Whether the content of a JSON file has changed, however it is written."""
    try:
        one, other = (json.loads((place / name).read_bytes()) for place in (folder, honest))
        return one != other
    except (OSError, ValueError, RecursionError):
        return True


def _header_changes(folder: Path, honest: Path) -> set[str]:
    """The keys beside `files` in which the manifests differ."""
    try:
        one, other = (json.loads((place / MANIFEST).read_bytes()) for place in (folder, honest))
        return {key for key in {*one, *other} - {"files"} if one.get(key) != other.get(key)}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {"all"}


def _other_versions_only(folder: Path, honest: Path) -> bool:
    try:
        one, other = (json.loads((place / "run.json").read_bytes()) for place in (folder, honest))
        return {**one, "versions": 0} == {**other, "versions": 0} and one.get("versions") != other["versions"]
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return False


def _spec_changes(folder: Path, honest: Path, changed: set[str]) -> bool:
    own = {name for name in changed if name.startswith(("spec/inputs/", "spec/expected/")) or name == "spec/agent.tau"}
    new = {name for name in own if not (honest / name).exists()}  # which are named under others
    if own - new:
        return True
    if "spec/spec.json" not in changed:
        return False
    try:
        one, other = (json.loads((place / "spec/spec.json").read_bytes()) for place in (folder, honest))
        return any(one.get(key) != other.get(key) for key in {*one, *other} - UNSAID)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return True


def _change(rng: random.Random, folder: Path, name: str) -> str:
    path = folder / name
    kind = rng.choice(("content", "content", "content", "content", "gone", "other", "added", "value", "value"))
    if not path.is_file():
        kind = "added"
    if kind == "gone":
        path.unlink()
        return f"{name} removed"
    if kind == "added":
        name = rng.choice(
            (name, "kpis.json", "report.html", "streams/Q_BUY.in", "proof/more.bin", "spec/x", f"{name}.1")
        )
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(rng.choice((b"", b"{}", b"1\n", rng.randbytes(60))))
        return f"{name} added"
    if kind == "other":
        other = rng.choice([each for each in list_files(folder) if each != TIMINGS])
        path.write_bytes((folder / other).read_bytes())
        return f"{name} is a copy of {other}"
    data = path.read_bytes()
    if path.suffix == ".parquet" and kind == "value":
        return f"{name}: {_change_table(rng, path)}"
    if path.suffix == ".json" and rng.random() < 0.85:
        changed, how = mutate.of_json(rng, json.loads(data))
        if rng.random() < 0.5:  # as we write it, so that what is said counts and not how
            try:
                changed = (json.dumps(json.loads(changed), indent=2, ensure_ascii=False) + "\n").encode()
            except (ValueError, RecursionError):
                how += " (text)"
    elif path.suffix in (".parquet", ".bin"):
        changed, how = mutate.of_bytes(rng, data, rng.choice((0, 4, max(len(data) - 600, 0))))
    else:
        changed, how = mutate.of_text(rng, data)
    path.write_bytes(changed)
    return f"{name}: {how}"


def _change_table(rng: random.Random, path: Path) -> str:
    """One value of a table or of its metadata."""
    frame, metadata = pl.read_parquet(path), pl.read_parquet_metadata(path)
    if rng.random() < 0.3 and "idi_fast" in metadata:
        changed, how = mutate.of_json(rng, json.loads(metadata["idi_fast"]))
        metadata["idi_fast"] = changed.decode("utf-8", "replace")
        frame.write_parquet(path, metadata=metadata)
        return f"metadata, {how}"
    column, row = rng.choice(frame.columns), rng.randrange(max(frame.height, 1))
    series = frame[column]
    values = series.to_list()
    if series.dtype.is_numeric():
        values[row] = rng.choice((0, 1, 2, -1, (values[row] or 0) + 1, rng.choice(values)))
    elif series.dtype == pl.String:
        values[row] = rng.choice(("hold", "buy", "sell", "silent", "x", rng.choice(values)))
    else:
        values[row] = rng.choice(values)
    try:
        frame = frame.with_columns(pl.Series(column, values, dtype=series.dtype))
    except (OverflowError, TypeError, pl.exceptions.PolarsError):
        frame = frame.drop(column)
    frame.write_parquet(path, metadata=metadata)
    return f"{column} of row {row}"


def _remade(folder: Path) -> bool:
    """Rewrite the manifests for the current files; whether that was possible."""
    for place in (folder / "spec", folder):
        if not (place / MANIFEST).is_file():
            if place == folder:
                return False
            continue
        try:
            manifest = json.loads((place / MANIFEST).read_bytes())
            later = manifest.get("later") or ()
            names = [name for name in list_files(place) if name not in (MANIFEST, TIMINGS, *later)]
            manifest["files"] = {name: _digest(place / name) for name in names}
        except (ValueError, TypeError, AttributeError, RecursionError):
            return False
        try:
            (place / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
        except (UnicodeEncodeError, ValueError):
            return False
    return True


def _digest(path: Path) -> dict[str, object]:
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def _means(world: World, kind: str) -> ProverOptions:
    line = f'{sys.executable} "{world.folder / "program.py"}" {{manifest}} {{streams}} {{proof}} {{receipt}} verify'
    return ProverOptions(data=str(world.made / "bars.csv") if kind == "zk data" else None, verify_command=line)


def _honest(world: World) -> dict[str, Path]:
    """Folders of each kind, made on first use."""
    made: dict[str, Path] = world.memory.setdefault("evidence", {})
    if made:
        return made
    place, private = world.folder / "published", world.folder / "secrets"
    (world.folder / "program.py").write_text(PROGRAM)
    line = f'{sys.executable} "{world.folder / "program.py"}" {{manifest}} {{streams}} {{proof}} {{receipt}} prove'
    makers: dict[str, Callable[[Path], object]] = {
        "digest": lambda out: _beside(world.need("agent"), out, "digest", ProverOptions(bind=("policy_root",))),
        "replay": lambda out: shutil.copytree(world.need("proven"), out),
        "zk": lambda out: _hidden(world.need("proven"), out, private),
        "zk data": lambda out: _hidden(world.need("agent"), out, private),
        "command": lambda out: _beside(world.need("synthetic"), out, "command", ProverOptions(command=line)),
        "reference": lambda out: _with_commitment(world.need("synthetic"), out),
    }
    for kind, make in makers.items():
        make(place / kind)
        found = verify_folder(place / kind, options=_means(world, kind))
        expect(found.ok, WRONG, f"an honest folder ({kind}) fails: {found.failures}")
        made[kind] = place / kind
    return made


def _beside(source: Path, out: Path, prover: str, options: ProverOptions) -> None:
    shutil.copytree(source, out)
    prove_folder(out, prover, options)


def _hidden(source: Path, out: Path, private: Path) -> None:
    prove_folder(source, "zk", ProverOptions(private=private), out=out)


def _with_commitment(source: Path, out: Path) -> None:
    """A policy with the reference's commitment and a plain one of ours beside it."""
    shutil.copytree(source, out)
    for form in ("idi", "idi-fast"):
        write_commitment(source, out.parent / form, form)
        for path in (out.parent / form).iterdir():
            if path.name != MANIFEST:
                shutil.copy(path, out / path.name)
    _remade(out)
