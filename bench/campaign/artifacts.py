"""Tampered folders of every kind: no command breaks on them, and `verify` never accepts changed content."""

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl

from idi_fast.bench.campaign import mutate
from idi_fast.bench.campaign.trial import (
    FAILED,
    LOST,
    OK,
    REFUSED,
    WRONG,
    Trial,
    describe,
    difference,
    expect,
    tree,
    verdict_on,
)
from idi_fast.bench.campaign.world import QUICK, World
from idi_fast.storage.files import MANIFEST, TIMINGS, list_files

READERS = {
    "evaluate": ("evaluate", "{run}", "--episodes", 20, "--json"),
    "backtest": ("backtest", "later.csv", "--policy", "{run}", "--out", "out"),
    "export": ("export", "{run}", "--to", "out", "--json"),
    "spec": ("spec", "{run}", "--kind", "v38", "--out", "out"),
    "compare": ("compare", "{run}", "whole", "--json"),
    "digest": ("prove", "{run}", "--prover", "digest"),
    "replay": ("prove", "{run}", "--prover", "replay"),
    "manifest": ("manifest", "{run}", "--json"),
    "manifest --check": ("manifest", "{run}", "--check", "--json"),
    "commit": ("commit", "{run}", "--out", "out", "--json"),
    "init-policy": ("train", "--data", "bars.csv", "--init-policy", "{run}", *QUICK, "--out", "out"),
    "replace": ("train", *QUICK, "--force", "--out", "{run}"),
    "tau check": ("tau", "check", "{run}", "--json"),
    "verify": ("verify", "{run}"),
}
WRITING_RUN = {"digest", "replay", "manifest", "replace"}
"""Commands whose output is the folder itself."""
SILENT = {"compare", "tau check", "verify"}
"""Commands whose findings stand on stdout."""
RUNS = (
    "agent",
    "agent",
    "synthetic",
    "compat",
    "tiles",
    "population",
    "test",
    "walk",
    "grid",
    "spec",
    "binding",
    "proven",
)
FORGED = ("proven", "proven", "agent", "test")
USERS = (
    b"# Thesis\n\nTen years of work.\n",
    b"date,return\n2024-01-02,0.01\n2024-01-03,-0.02\n",
    b'{"schema_version": 1, "kind": "diary", "entries": []}\n',
    b"\x89PNG\r\n\x1a\n" + bytes(200),
    b"PAR1" + bytes(200) + b"idi-fast-" + (4).to_bytes(4, "little") + b"PAR1",
    b'i_x:sbf := in file("x.in").\n',
)
"""What users keep in files."""
CHECKED = {
    "evaluate": "policy.parquet",
    "backtest": "policy.parquet",
    "export": "trace.parquet",
    "spec": "trace.parquet",
}
"""Commands that read a file which the manifest beside it describes: another one is refused."""


def attempt(world: World, rng: random.Random, trial: Trial) -> str:
    """Tamper with one folder, and have a command read it."""
    part = rng.random()
    if part < 0.2:
        return _forged(world, rng, trial)
    if part > 0.94:
        return _listed(world, rng, trial)
    return _tampered(world, rng, trial, "verify" if part < 0.5 else rng.choice(sorted(READERS)))


def _tampered(world: World, rng: random.Random, trial: Trial, kind: str) -> str:
    name, trial.kind = rng.choice(RUNS), kind
    needed = {"backtest": ["later.csv"], "init-policy": ["bars.csv"], "replay": ["bars.csv"]}.get(kind, [])
    folder = world.sandbox(name, *needed)
    whole = tree(folder / name)
    if kind == "compare":
        shutil.copytree(folder / name, folder / "whole")
    touched, what = _tamper(rng, folder / name)
    trial.what = f"{name}: {what}"
    before = tree(folder)
    changed = difference(tree(folder / name), whole)
    outcome = world.worker.run(*(str(arg).format(run=name) for arg in READERS[kind]), cwd=folder)
    verdict = verdict_on(outcome, silent_failure=kind in SILENT)
    if kind == "verify" and changed and MANIFEST not in touched:
        expect(verdict != OK, WRONG, f"taken for whole, though {changed}: {describe(outcome)}")
    if CHECKED.get(kind) in touched and changed and name != "population" and MANIFEST not in touched:
        expect(verdict != OK, WRONG, f"taken, though {changed}: {describe(outcome)}")
    if verdict != OK or kind not in WRITING_RUN:
        made = difference(_without(tree(folder), "out" if verdict == OK else None), before)
        expect(not made, WRONG, f"{verdict}, and yet {made}: {describe(outcome)}")
    return verdict


def _forged(world: World, rng: random.Random, trial: Trial) -> str:
    """Change a folder's content and rewrite its manifest: noticed if a proof binds it, or two files contain it."""
    name, trial.kind = rng.choice(FORGED), "forged"
    folder = world.sandbox(name)
    changes = ["stream", "trace"]
    if name == "proven":
        changes += ["policy", "episodes", "run"]
    kind = rng.choice(changes)
    trial.what = f"{name}: {_FORGERIES[kind](rng, folder / name)}, and the manifest made anew"
    made = world.worker.run("manifest", name, cwd=folder)
    if verdict_on(made, silent_failure=False) != OK:
        return REFUSED
    outcome = world.worker.run("verify", name, cwd=folder)
    verdict = verdict_on(outcome)
    expect(verdict == FAILED, WRONG, f"a forgery was taken for whole: {describe(outcome)}")
    return verdict


def _listed(world: World, rng: random.Random, trial: Trial) -> str:
    """Replace one of a run's files by a user's, listed with its true digest: --force must not delete it."""
    name, trial.kind = rng.choice(RUNS), "replace users' files"
    folder = world.sandbox(name)
    manifest = json.loads((folder / name / MANIFEST).read_bytes())
    path = rng.choice(sorted(manifest["files"]))
    data = rng.choice(USERS)
    (folder / name / path).write_bytes(data)
    manifest["files"][path] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    if rng.random() < 0.5:  # nothing else of ours is there
        kept = {path: manifest["files"][path]}
        for other in set(list_files(folder / name)) - {path, MANIFEST}:
            (folder / name / other).unlink()
        manifest["files"] = kept
    (folder / name / MANIFEST).write_text(json.dumps(manifest))
    trial.what = f"{name}: {path} is {data[:24]!r}…"
    before = tree(folder)
    outcome = world.worker.run("train", *QUICK, "--force", "--out", name, cwd=folder)
    expect(verdict_on(outcome) == REFUSED, LOST, f"a user's file was replaced: {describe(outcome)}")
    left = difference(tree(folder), before)
    expect(not left, LOST, f"refused, and yet {left}: {describe(outcome)}")
    return REFUSED


def _tamper(rng: random.Random, run: Path) -> tuple[set[str], str]:
    """Change one thing in a folder; returns the names of the affected files, and what was done."""
    names = [name for name in list_files(run) if name.rpartition("/")[2] != TIMINGS]
    weights = [3 if name.endswith((MANIFEST, ".parquet")) else 2 if name.endswith(".json") else 1 for name in names]
    name = rng.choices(names, weights)[0]
    path, data = run / name, (run / name).read_bytes()
    kind = rng.choices(("content", "gone", "link", "folder", "other", "added", "fifo"), (16, 1, 1, 1, 2, 1, 1))[0]
    touched = {name}
    if kind == "content":
        how = _damage(rng, path, data)
        return touched, f"{name}: {how}"
    if kind in ("gone", "link", "folder", "fifo"):
        path.unlink()
        if kind == "link":
            path.symlink_to(rng.choice(("/dev/zero", "/etc/passwd", name.rpartition("/")[2], "..", "/dev/stdin")))
        elif kind == "folder":
            path.mkdir()
        elif kind == "fifo":
            os.mkfifo(path)
    elif kind == "other":
        other = rng.choice(names)
        path.write_bytes((run / other).read_bytes())
        return {name} if data != path.read_bytes() else set(), f"{name} is a copy of {other}"
    else:
        name = rng.choice(
            ("more.txt", "streams/q_more.in", ".hidden", "a" * 200, "x\ny", "run.json.bak", "proof/proof.bin")
        )
        touched = {name}
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_bytes(rng.randbytes(40))
    return touched, f"{name}: {kind}"


def _damage(rng: random.Random, path: Path, data: bytes) -> str:
    if path.suffix == ".json" and rng.random() < 0.7:
        changed, how = mutate.of_json(rng, json.loads(data))
    elif path.suffix == ".parquet" and rng.random() < 0.3:
        frame = pl.read_parquet(path)
        column = rng.choice(frame.columns)
        kinds = {
            "a column less": lambda: frame.drop(column),
            "rows less": lambda: frame.head(rng.randrange(max(frame.height, 1))),
            "a column as text": lambda: frame.with_columns(frame[column].cast(pl.String, strict=False)),
            "rows twice": lambda: pl.concat([frame, frame]),
            "nulls": lambda: frame.with_columns(pl.lit(None).alias(column)),
        }
        how = rng.choice(sorted(kinds))
        kinds[how]().write_parquet(path, metadata=pl.read_parquet_metadata(path))
        return f"{how} ({column})"
    elif path.suffix in (".parquet", ".bin"):
        changed, how = mutate.of_bytes(rng, data, rng.choice((0, 4, max(len(data) - 600, 0))))
    else:
        changed, how = mutate.of_text(rng, data)
    path.write_bytes(changed)
    return how


def _forge_stream(rng: random.Random, run: Path) -> str:
    path = rng.choice(sorted((run / "streams").glob("*.in")))
    lines = path.read_text().splitlines()
    at = rng.randrange(len(lines))
    lines[at] = "1" if lines[at] == "0" else "0"
    path.write_text("".join(f"{line}\n" for line in lines))
    return f"line {at + 1} of {path.name}"


def _forge_table(name: str) -> Callable[[random.Random, Path], str]:
    def forge(rng: random.Random, run: Path) -> str:
        frame = pl.read_parquet(run / name)
        columns = ["action"] if name == "trace.parquet" else [c for c, kind in frame.schema.items() if kind.is_float()]
        column, row = rng.choice(columns), rng.randrange(frame.height)
        values = frame[column].to_list()
        if name == "trace.parquet":
            values[row] = next(each for each in ("hold", "buy", "sell") if each != values[row])
        else:
            values[row] = (values[row] or 0.0) + 1.5
        metadata = pl.read_parquet_metadata(run / name)
        changed = frame.with_columns(pl.Series(column, values, dtype=frame.schema[column]))
        changed.write_parquet(run / name, metadata=metadata)
        return f"{column} in row {row} of {name}"

    return forge


def _forge_run(rng: random.Random, run: Path) -> str:
    about = json.loads((run / "run.json").read_text())
    key = rng.choice(sorted(name for name, value in about["summary"].items() if isinstance(value, int | float)))
    about["summary"][key] += 1
    (run / "run.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    return f"summary.{key} of run.json"


_FORGERIES: dict[str, Callable[[random.Random, Path], str]] = {
    "stream": _forge_stream,
    "trace": _forge_table("trace.parquet"),
    "policy": _forge_table("policy.parquet"),
    "episodes": _forge_table("episodes.parquet"),
    "run": _forge_run,
}


def _without(found: dict[str, bytes | None], name: str | None) -> dict[str, bytes | None]:
    return {path: data for path, data in found.items() if name is None or path.partition("/")[0] != name}
