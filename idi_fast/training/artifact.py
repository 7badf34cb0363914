"""The artifact of a run: a folder that ordinary tools can read, with the digests of its content."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from idi_fast.agents.policy import Policy
from idi_fast.agents.trace import Trace
from idi_fast.agents.trace_files import trace_metadata
from idi_fast.config.plugin_hashes import config_hashes
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.in_sample import describe_bars, versions
from idi_fast.environments.splits import load_training_bars
from idi_fast.evaluation.baselines import Comparison, evaluate, evaluate_on, quick_episodes
from idi_fast.storage.files import (
    TIMINGS,
    digest,
    new_directory,
    read_manifest,
    write_json,
)
from idi_fast.storage.json_files import load_json
from idi_fast.storage.manifests import SCHEMA_VERSION, write_manifest
from idi_fast.storage.tables import write_blocks, write_table
from idi_fast.training import episode_log as episodes
from idi_fast.training.exploration import exploration_blocks
from idi_fast.training.trainer import Trainer


def write_trace(folder: Path, trace: Trace) -> None:
    """Write trace.parquet and streams/."""
    write_table(folder / "trace.parquet", trace.frame(), trace_metadata(trace.config))
    write_streams(folder / "streams", trace.files())


def write_streams(folder: Path, files: dict[str, bytes]) -> None:
    """Write stream files into a new folder."""
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def training_summary(trainer: Trainer, policy: Policy) -> dict:
    """The results of a training, for people and for run.json."""
    plan = {} if trainer.plan is None else {"plan": {**trainer.plan.about, "sure_moves": policy.sure_moves()}}
    return {
        **trainer.stats(),
        **plan,
        "last_tenth_mean_reward": trainer.rewards.last_tenth_mean(),
        "steps": trainer.steps,
        "states": policy.space.n_states,
        **_visited(policy),
    }


def _visited(policy: Policy) -> dict[str, int | None]:
    visited = int(np.count_nonzero(policy.visits))
    if policy.layout.tiling is None:
        return {"visited_states": visited}
    return {"visited_states": None, "table_rows": policy.layout.n_rows, "visited_rows": visited}


def write_training(
    folder: Path,
    trainer: Trainer,
    policy: Policy,
    trace: Trace,
    timings: dict[str, Any],
    metadata: dict[str, str] | None = None,
) -> dict:
    """Fill an empty folder with the artifact of a training run; return its run.json as a dict.

    timings: the content of timings.json; metadata: entries from the user, for the manifest. Everything but timings.json
    depends only on version, config, seed, data and metadata: two runs leave the same bytes.
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
        "config": trainer.config.canonical(),
        **({"plugins": policy.encoder.plugins} if policy.encoder and policy.encoder.plugins else {}),
    }
    write_json(folder / "run.json", run)
    write_json(folder / TIMINGS, timings)
    about: dict[str, Any] = {"training": {"seed": trainer.seed, "episodes": trainer.config.drawn_episodes}}
    if metadata:
        about["metadata"] = metadata
    write_manifest(folder, config_sha256=run["fingerprint"], **about)
    return run


def stopped_early(trainer: Trainer) -> dict[str, dict]:
    """What a run that was stopped early was planned to be: none of its results, for these are of as many episodes."""
    if trainer.planned == trainer.config:
        return {}
    planned = {"episodes": trainer.planned.episodes, "fingerprint": trainer.planned.fingerprint()}
    return {"stopped": {"planned": planned, "patience": trainer.patience}}


def quick_evaluation(trainer: Trainer, policy: Policy) -> Comparison:
    """The evaluation that ends a training, compared with the baselines: over the bars behind its split, or without one
    over those of the training, in sample."""
    episodes = quick_episodes(trainer.config)
    if trainer.test is not None:
        return evaluate(policy, trainer.test, episodes=episodes)
    # The bars are encoded already, and would else be held twice.
    return evaluate_on(policy, trainer.history, policy.seed, episodes, trainer.encoded)


def episode_frames(trainer: Trainer) -> Iterator[pl.DataFrame]:
    """A row per episode, in blocks: its number, reward and exploration rate (null if there is no single rate)."""
    first, size = 0, episodes.BLOCK_EPISODES
    rewards = trainer.rewards.blocks() if len(trainer.rewards) else [np.zeros(0)]
    for reward, exploration in zip(rewards, exploration_blocks(trainer.config, size), strict=True):
        episode = np.arange(first, first + reward.size)
        frame = pl.DataFrame({"episode": episode, "reward": reward, "exploration": exploration})
        yield frame.with_columns(pl.col("exploration").fill_nan(None))
        first += reward.size


def save_training(out: str | Path, trainer: Trainer, policy: Policy, trace: Trace, *, force: bool = False) -> None:
    """Write the artifact that `idi-fast train` writes; `force` replaces an earlier one. Raises OutputError."""
    with new_directory(out, force=force) as folder:
        write_training(folder, trainer, policy, trace, stopped_early(trainer))


def finished_run(
    out: str | Path,
    config: TrainingConfig,
    seed: int | None,
    initial: Policy | None = None,
    patience: int | None = None,
) -> tuple[dict, dict[str, float]] | None:
    """run.json and timings.json of the artifact at `out`, if it is complete and of the same training; else None.

    seed: None for any; patience: with which it was to be trained.
    """
    about = {"kind": "train", "initial_policy": None if initial is None else initial.identity()}
    return finished_output(out, config, about if seed is None else {**about, "seed": seed}, patience)


def finished_output(
    out: str | Path, config: TrainingConfig, about: dict, patience: int | None = None
) -> tuple[dict, dict] | None:
    """run.json and timings.json of the output at `out`, if it is complete and fits the config and `about`.

    A run that the same patience stopped is complete. The config's history is read only if everything else agrees.
    """
    out = Path(out)
    manifest = read_manifest(out)
    try:
        if manifest is None or any(digest(out / name) != file for name, file in manifest["files"].items()):
            return None
        run, seconds = (load_json(out / name) for name in ("run.json", TIMINGS))
    except (OSError, ValueError):
        return None
    about = {"versions": versions(), "plugins": config_hashes(config) or None, **about}
    stopped = seconds.get("stopped", {"patience": None})
    is_stopped = patience is not None and stopped["patience"] == patience
    made_of = stopped["planned"]["fingerprint"] if is_stopped else run.get("fingerprint")
    if made_of != config.fingerprint() or any(run.get(name) != value for name, value in about.items()):
        return None
    # The bars of an initial policy are part of its identity, which is in `about`.
    if config.environment.kind == "history":
        bars = describe_bars(load_training_bars(config))
        if run["trained_on"][: len(bars)] != bars:
            return None
    return run, seconds


def backtest_run_file(kind: str, assumptions: dict, policy: Policy, data: dict) -> dict:
    """The content of a backtest's run.json; data: from `describe_history`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "assumptions": assumptions,
        "policy": policy.identity(),
        "versions": versions(),
        "data": data,
    }


def write_backtest_run(folder: Path, kind: str, assumptions: dict, policy: Policy, data: dict) -> None:
    """Write run.json and manifest.json of a backtest, the last of its files; data: from `describe_history`."""
    write_json(folder / "run.json", backtest_run_file(kind, assumptions, policy, data))
    write_manifest(folder, config_sha256=policy.config.fingerprint(), training={"seed": policy.seed})
