"""A hostile publisher: what he makes fits together as far as the library's own parts can make it fit."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from idi_fast.agents.streams import MARKET_STREAMS, TRACE_STREAMS, stream_files
from idi_fast.agents.trace import decided_streams
from idi_fast.environments.actions import ACTIONS
from idi_fast.environments.state_space import StateSpace, comm_columns, make_rules
from idi_fast.evidence import zk
from idi_fast.evidence.manifest import Manifest, rebuilt
from idi_fast.evidence.provers import claim, digests, find_prover
from idi_fast.evidence.published import Published
from idi_fast.evidence.statement import STATEMENT, Statement, context
from idi_fast.evidence.verify import verify_folder
from idi_fast.storage.tables import table_bytes

SEED = bytes(range(32))


def write(folder: Path, files: dict[str, bytes], manifest: Manifest) -> Path:
    """A folder of files and a manifest that fits them."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "manifest.json").write_bytes(replace(manifest, files=digests(files)).text())
    return folder


def remake(folder: Path) -> Path:
    """The manifests fit again."""
    if (folder / "spec/manifest.json").exists():
        (folder / "spec/manifest.json").write_bytes(rebuilt(folder / "spec").text())
    (folder / "manifest.json").write_bytes(rebuilt(folder).text())
    return folder


def said_of(source: Path) -> Statement:
    """What an honest owner of a folder would say of its trace, with a fingerprint that nobody can compare."""
    return Published(source).statement.salted(SEED, b"")


def consistent(said: Statement, frame: pl.DataFrame, states: np.ndarray, actions: np.ndarray) -> pl.DataFrame:
    """A trace with other decisions, whose buckets, targets and streams are made to follow from them."""
    config = said.config
    space, names = StateSpace.of(config), comm_columns(config)[0]
    rules = make_rules(config, space)
    targets, held = [], said.initial_position
    for action in actions.tolist():
        held = int(rules.next_position[(held + 1) * 3 + action]) - 1
        targets.append(held)
    digits = dict(zip(space.names, space.digits(states).T, strict=True))
    columns = {f"{name}_bucket": digit for name, digit in digits.items() if name != "position"}
    streams = decided_streams(config, space, states, actions, np.zeros(states.size, np.int64), np.zeros(1, np.int64))
    columns |= {name: np.asarray(values).astype(np.uint8) for name, values in streams.items()}
    columns |= {"state": states, "target": np.array(targets, np.int8)}
    texts = [pl.Series("action", [ACTIONS[k] for k in actions]), pl.Series("comm_action", [names[0]] * states.size)]
    return frame.with_columns(*(pl.Series(name, values) for name, values in columns.items()), *texts)


def zk_folder(
    out: Path,
    said: Statement,
    frame: pl.DataFrame,
    table: np.ndarray,
    *,
    more: dict[str, bytes] | None = None,
    prove: Callable[..., bytes] = zk.prove,
) -> Path:
    """A folder with a proof of whatever a trace says, as far as the table has it so."""
    names = [name for name in frame.columns if name in (*TRACE_STREAMS, *MARKET_STREAMS)]
    files = {f"streams/{name}": data for name, data in stream_files({n: frame[n].to_numpy() for n in names}).items()}
    about = {"format": "idi-fast-trace-1", "compat": None, "fingerprint": said.fingerprint}
    files |= {"trace.parquet": table_bytes(frame, about), STATEMENT: said.text()}
    files["commitment.json"] = zk.commit_table(table, SEED).to_json().encode()
    manifest = Manifest(said.fingerprint, {}).with_proof("zk")
    actions = np.array([ACTIONS.index(name) for name in frame["action"]])
    bound = context(manifest, digests(files))
    files["proof/proof.bin"] = prove(table, SEED, frame["state"].to_numpy(), actions, context=bound)
    files["proof/proof.json"] = claim(find_prover("zk"))
    return write(out, files | (more or {}), manifest)


def edited(path: Path, change: Callable[[dict], object]) -> None:
    """Change a JSON file."""
    fields = json.loads(path.read_bytes())
    change(fields)
    path.write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n")


def copied(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target))


def rows(folder, **options) -> dict[str, str]:
    """The results of a verdict, by claim."""
    found = verify_folder(folder, **options)
    return {claim.name: claim.result for claim in found.claims}


def not_held(folder, *names: str, **options) -> None:
    """None of these claims holds, and whoever requires one of them is refused."""
    found = rows(folder, **options)
    for name in names:
        assert found.get(name) != "holds", (name, found)
        assert not verify_folder(folder, require=name, **options).ok
    verdict = verify_folder(folder, **options).verdict
    assert verdict != "ok"
