"""What a run leaves behind: a folder that ordinary tools read, with the digests of all it holds."""

import io
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl

import idi_fast
from idi_fast.config import TrainingConfig
from idi_fast.errors import ArtifactError
from idi_fast.files import MANIFEST, digest, write_json
from idi_fast.policy import Policy
from idi_fast.trace import Trace
from idi_fast.trainer import Trainer

SCHEMA_VERSION = 1
TIMINGS = "timings.json"
METADATA_KEY = "idi_fast"


def versions() -> dict[str, str]:
    """Versions of everything that has a part in the numbers."""
    packages = {name: version(name) for name in ("numba", "numpy", "polars")}
    return {"idi_fast": idi_fast.__version__, "python": platform.python_version(), **packages}


def write_table(path: Path, frame: pl.DataFrame, metadata: dict | None = None) -> None:
    """Write Parquet with the metadata as JSON under one key."""
    # Through memory, so that a full disk is an OSError of ours and not an exception of the writer's own kind.
    buffer = io.BytesIO()
    text = {} if metadata is None else {METADATA_KEY: json.dumps(metadata, sort_keys=True)}
    frame.write_parquet(buffer, metadata=text)
    path.write_bytes(buffer.getbuffer())


def trace_metadata(config: TrainingConfig) -> dict:
    """What the reader of a trace must know of the run it is from."""
    return {"format": "idi-fast-trace-1", "compat": config.engine.compat, "fingerprint": config.fingerprint()}


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
    if path.is_dir():
        path = path / "trace.parquet"
    if not path.is_file():
        raise ArtifactError(f"no trace at {path}; give a folder that `idi-fast train` or `backtest` wrote")
    try:
        return pl.read_parquet(path), json.loads(pl.read_parquet_metadata(path)[METADATA_KEY])
    except KeyError:
        raise ArtifactError(f"{path} is a Parquet file but not a trace written by idi-fast") from None
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise ArtifactError(f"cannot read the trace {path}: {error}") from error


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


def write_manifest(folder: Path, **about: object) -> None:
    """Write manifest.json: digests of every file but timings.json, the one file that two equal runs may differ in."""
    names = sorted(
        os.path.relpath(os.path.join(parent, name), folder).replace(os.sep, "/")
        for parent, _, names in os.walk(folder)
        for name in names
    )
    files = {name: digest(folder / name) for name in names if name not in (TIMINGS, MANIFEST)}
    write_json(folder / MANIFEST, {"schema_version": SCHEMA_VERSION, **about, "files": files})
