"""What a run leaves behind: a folder that ordinary tools read, with the digests of all it holds."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from idi_fast.agents.policy import Policy
from idi_fast.agents.trace import Trace
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.config_history import load_config_history
from idi_fast.data.in_sample import describe_history, versions
from idi_fast.errors import ArtifactError
from idi_fast.evaluation.baselines import Comparison, evaluate, quick_episodes
from idi_fast.storage.files import (
    LATER,
    MANIFEST,
    TIMINGS,
    digest,
    list_files,
    new_directory,
    read_manifest,
    refuse_population,
    write_json,
)  # fmt: skip
from idi_fast.storage.json_files import load_json
from idi_fast.storage.tables import read_table, write_blocks, write_table
from idi_fast.training import episode_log as episodes
from idi_fast.training.trainer import Trainer

SCHEMA_VERSION = 1
MANIFEST_VERSION = 3
"""Of manifest.json; 1 knew nothing of inputs and proofs, 2 let any file come `later`."""
NO_PROOF = {"prover": "none", "require_proof": False}
"""The proof policy of a folder that says nothing of proofs."""
TRACE_FORMAT = "idi-fast-trace-1"


def trace_metadata(config: TrainingConfig) -> dict:
    """What the reader of a trace must know of the run it is from."""
    return {"format": TRACE_FORMAT, "compat": config.engine.compat, "fingerprint": config.fingerprint()}


def write_trace(folder: Path, trace: Trace) -> None:
    """Write trace.parquet and streams/."""
    write_table(folder / "trace.parquet", trace.frame(), trace_metadata(trace.config))
    write_streams(folder / "streams", trace.files())


def write_streams(folder: Path, files: dict[str, bytes]) -> None:
    """Write stream files into a new folder."""
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def read_trace(path: str | Path) -> tuple[pl.DataFrame, dict]:
    """The trace of an artifact or backtest folder, or of its trace.parquet, and its metadata."""
    path = Path(path)
    if os.path.isdir(path):
        refuse_population(path)
        path = path / "trace.parquet"
        if not path.exists():
            _explain_no_trace(path.parent)
    if not os.path.isfile(path):
        raise ArtifactError(f"no trace at {path}; give a folder that `idi-fast train` or `backtest` wrote")
    return read_table(path, TRACE_FORMAT, "trace")


def _explain_no_trace(folder: Path) -> None:
    """Raise ArtifactError where a folder's run.json tells why it has no trace."""
    try:
        run = load_json(folder / "run.json")
    except (OSError, ValueError):
        return  # no run of ours, or one that says nothing
    kind = run.get("kind") if isinstance(run, dict) else None
    if kind == "backtest":
        raise ArtifactError(f"no trace in {folder}: this backtest kept no trace (--no-trace)")
    if kind == "symbol-backtest":
        raise ArtifactError(f"no trace in {folder}: it is of many symbols; backtest a symbol alone to export it")


def training_summary(trainer: Trainer, policy: Policy) -> dict:
    """What training came to, for people and for run.json."""
    return {
        **trainer.stats(),
        "last_tenth_mean_reward": trainer.rewards.last_tenth_mean(),
        "steps": trainer.config.episodes * trainer.config.episode_length,
        "states": policy.space.n_states,
        **_visited(policy),
    }


def _visited(policy: Policy) -> dict[str, int | None]:
    visited = int(np.count_nonzero(policy.visits))
    if policy.layout.tiling is None:
        return {"visited_states": visited}
    return {"visited_states": None, "table_rows": policy.layout.n_rows, "visited_rows": visited}


def write_training(
    folder: Path, trainer: Trainer, policy: Policy, trace: Trace, seconds: dict[str, float],
    metadata: dict[str, str] | None = None,
) -> dict:  # fmt: skip
    """Fill an empty folder with the artifact of a training run; return its run.json as a dict.

    metadata: what its user says of it, for the manifest. All but timings.json depends on nothing but version, config,
    seed, data and metadata: two runs leave the same bytes.
    """
    policy.save(folder / "policy.parquet")
    write_blocks(folder / "episodes.parquet", episode_frames(trainer))
    write_trace(folder, trace)
    run = {
        "schema_version": SCHEMA_VERSION,
        "kind": "train",
        "seed": trainer.seed,
        "fingerprint": trainer.config.fingerprint(),
        "summary": training_summary(trainer, policy),
        "evaluation": quick_evaluation(trainer, policy).to_dict(),
        "versions": versions(),
        "trained_on": policy.trained_on,
        "initial_policy": None if trainer.initial is None else trainer.initial.identity(),
        "config": trainer.config.to_dict(),
    }
    write_json(folder / "run.json", run)
    write_json(folder / TIMINGS, seconds)
    about: dict[str, Any] = {"training": {"seed": trainer.seed, "episodes": trainer.config.episodes}}
    if metadata:
        about["metadata"] = metadata
    write_manifest(folder, config_sha256=run["fingerprint"], **about)
    return run


def quick_evaluation(trainer: Trainer, policy: Policy) -> Comparison:
    """The evaluation that ends a training: beside the baselines, in sample where it was trained on a history."""
    return evaluate(policy, episodes=quick_episodes(trainer.config), history=trainer.history)


def episode_frames(trainer: Trainer) -> Iterator[pl.DataFrame]:
    """A row an episode, in blocks: its number, reward and exploration rate (null where there is no one rate)."""
    first, size = 0, episodes.BLOCK_EPISODES
    rewards = trainer.rewards.blocks() if len(trainer.rewards) else [np.zeros(0)]
    for reward, exploration in zip(rewards, trainer.exploration_blocks(size), strict=True):
        episode = np.arange(first, first + reward.size)
        frame = pl.DataFrame({"episode": episode, "reward": reward, "exploration": exploration})
        yield frame.with_columns(pl.col("exploration").fill_nan(None))
        first += reward.size


def save_training(out: str | Path, trainer: Trainer, policy: Policy, trace: Trace, *, force: bool = False) -> None:
    """Write the artifact that `idi-fast train` writes; `force` replaces an earlier one. Raises OutputError."""
    with new_directory(out, force=force) as folder:
        write_training(folder, trainer, policy, trace, {})


def finished_run(
    out: str | Path, config: TrainingConfig, seed: int | None, initial: Policy | None = None
) -> tuple[dict, dict[str, float]] | None:
    """run.json and timings.json of the artifact at `out`, if it is whole and what training would make; else None.

    seed: None for any.
    """
    about = {"kind": "train", "initial_policy": None if initial is None else initial.identity()}
    return finished_output(out, config, about if seed is None else {**about, "seed": seed})


def finished_output(out: str | Path, config: TrainingConfig, about: dict) -> tuple[dict, dict] | None:
    """run.json and timings.json of what training wrote to `out`, if it is whole and they fit the config and `about`.

    The config's history is read only if all else agrees.
    """
    out = Path(out)
    manifest = read_manifest(out)
    try:
        if manifest is None or any(digest(out / name) != file for name, file in manifest["files"].items()):
            return None
        run, seconds = (load_json(out / name) for name in ("run.json", TIMINGS))
    except (OSError, ValueError):
        return None
    about = {"fingerprint": config.fingerprint(), "versions": versions(), **about}
    if any(run.get(name) != value for name, value in about.items()):
        return None
    # Of the bars of an initial policy its identity speaks, which is in `about`.
    if config.environment.kind == "history" and run["trained_on"][0] != describe_history(load_config_history(config)):
        return None
    return run, seconds


def write_backtest_run(folder: Path, kind: str, assumptions: dict, policy: Policy, data: dict) -> None:
    """Write run.json and manifest.json of a backtest, the last of its files; data: as of `describe_history`."""
    run = {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "assumptions": assumptions,
        "policy": policy.identity(),
        "versions": versions(),
        "data": data,
    }
    write_json(folder / "run.json", run)
    write_manifest(folder, config_sha256=policy.config.fingerprint(), training={"seed": policy.seed})


def write_manifest(folder: Path, *, proof_policy: dict = NO_PROOF, **about: Any) -> None:
    """Write manifest.json: digests of every file but timings.json, the one file that two equal runs may differ in, and
    of the price histories that the run.json beside it names.

    proof_policy: which proof the folder carries, and whether it is nothing without it. The artifacts in a population's
    folder have manifests and timings of their own: these manifests are listed.
    """
    later = about.get(LATER, ())
    names = [name for name in list_files(folder) if name != MANIFEST and Path(name).name != TIMINGS]
    about = {"schema_version": MANIFEST_VERSION, **about, "inputs": inputs_of(folder), "proof_policy": proof_policy}
    files = {name: digest(folder / name) for name in names if name not in later}
    write_json(folder / MANIFEST, {**about, "files": files})


def inputs_of(folder: Path) -> dict[str, dict]:
    """Digests of the price histories that the run.json of a folder names, by the paths that they had; none without."""
    if not (folder / "run.json").is_file():
        return {}
    return named_inputs(load_json(folder / "run.json"))


def named_inputs(run: Mapping[str, Any]) -> dict[str, dict]:
    """Digests of the price histories that a run.json names, by the paths that they had."""
    described = [*run.get("trained_on", ()), *([run["data"]] if run.get("data") else ())]
    return {path: file for history in described for path, file in history["files"].items()}
