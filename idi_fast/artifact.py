"""What a run leaves behind: a folder that ordinary tools read, with the digests of all it holds."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl

import idi_fast
from idi_fast.config import TrainingConfig
from idi_fast.errors import ArtifactError
from idi_fast.files import MANIFEST, TIMINGS, digest, list_files, new_directory, write_json
from idi_fast.history import History
from idi_fast.policy import Policy
from idi_fast.provenance import describe_history
from idi_fast.tables import read_table, write_table
from idi_fast.trace import Trace
from idi_fast.trainer import Trainer

SCHEMA_VERSION = 1
TRACE_FORMAT = "idi-fast-trace-1"


def versions() -> dict[str, str]:
    """Versions of everything that has a part in the numbers."""
    packages = {name: version(name) for name in ("numba", "numpy", "polars")}
    return {"idi_fast": idi_fast.__version__, "python": platform.python_version(), **packages}


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
        path = path / "trace.parquet"
    if not os.path.isfile(path):
        raise ArtifactError(f"no trace at {path}; give a folder that `idi-fast train` or `backtest` wrote")
    return read_table(path, TRACE_FORMAT, "trace")


def training_summary(trainer: Trainer, policy: Policy) -> dict:
    """What training came to, for people and for run.json."""
    tail = trainer.episode_rewards[-max(1, trainer.episode_rewards.size // 10) :]
    return {
        **trainer.stats(),
        "last_tenth_mean_reward": float(tail.mean()) if tail.size else 0.0,
        "steps": trainer.config.episodes * trainer.config.episode_length,
        "states": policy.space.n_states,
        "visited_states": int(np.count_nonzero(policy.visits)),
    }


def write_training(folder: Path, trainer: Trainer, policy: Policy, trace: Trace, seconds: dict[str, float]) -> dict:
    """Fill an empty folder with the artifact of a training run; return its run.json as a dict.

    All but timings.json depends on nothing but version, config, seed and data: two runs leave the same bytes.
    """
    policy.save(folder / "policy.parquet")
    episodes = pl.DataFrame(
        {
            "episode": np.arange(trainer.config.episodes),
            "reward": trainer.episode_rewards,
            "exploration": trainer.exploration,
        }
    )
    write_table(folder / "episodes.parquet", episodes)
    write_trace(folder, trace)
    run = {
        "schema_version": SCHEMA_VERSION,
        "kind": "train",
        "seed": trainer.seed,
        "fingerprint": trainer.config.fingerprint(),
        "summary": training_summary(trainer, policy),
        "versions": versions(),
        "trained_on": policy.trained_on,
        "config": trainer.config.to_dict(),
    }
    write_json(folder / "run.json", run)
    write_json(folder / TIMINGS, seconds)
    training = {"seed": trainer.seed, "episodes": trainer.config.episodes}
    write_manifest(folder, config_sha256=run["fingerprint"], training=training)
    return run


def save_training(out: str | Path, trainer: Trainer, policy: Policy, trace: Trace, *, force: bool = False) -> None:
    """Write the artifact that `idi-fast train` writes; `force` replaces an earlier one. Raises OutputError."""
    with new_directory(out, force=force) as folder:
        write_training(folder, trainer, policy, trace, {})


def write_backtest_run(folder: Path, kind: str, assumptions: dict, policy: Policy, history: History) -> None:
    """Write run.json and manifest.json of a backtest, the last of its files."""
    run = {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "assumptions": assumptions,
        "policy": policy.identity(),
        "versions": versions(),
        "data": describe_history(history),
    }
    write_json(folder / "run.json", run)
    write_manifest(folder, config_sha256=policy.config.fingerprint(), training={"seed": policy.seed})


def write_manifest(folder: Path, **about: object) -> None:
    """Write manifest.json: digests of every file but timings.json, the one file that two equal runs may differ in."""
    files = {name: digest(folder / name) for name in list_files(folder) if name not in (TIMINGS, MANIFEST)}
    write_json(folder / MANIFEST, {"schema_version": SCHEMA_VERSION, **about, "files": files})
