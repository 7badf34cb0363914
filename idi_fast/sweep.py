"""Sweeps: a grid of configs under several seeds, chosen on validation data and reported on test data."""

import itertools
import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from idi_fast import kpis
from idi_fast.artifact import SCHEMA_VERSION, write_manifest
from idi_fast.config import TrainingConfig
from idi_fast.config_io import with_overrides
from idi_fast.crew import Crew
from idi_fast.errors import InputError
from idi_fast.evaluation import EVALUATION_EPISODES
from idi_fast.files import new_directory, write_json
from idi_fast.history import History
from idi_fast.judges import EpisodeJudge, HistoryJudge
from idi_fast.policy import Policy
from idi_fast.provenance import describe_history, versions
from idi_fast.seeds import check_seeds
from idi_fast.tables import write_table
from idi_fast.trainer import Trainer, load_config_history

SIGNIFICANT = 0.95
"""Deflated Sharpe ratio from which on a sweep's best is called more than luck."""
MOST_POINTS = 10_000
FIXED = {
    "history": ("engine", "environment"),
    "crypto": ("engine", "environment.kind", "environment.market", "environment.data", "rewards", "episode_length"),
}
"""What makes the runs of a grid incomparable where it differs: what is earned, and on what."""


@dataclass(frozen=True)
class Point:
    """One config of a grid; values: what it has of each key of the grid."""

    values: dict[str, Any]
    config: TrainingConfig


def make_points(config: TrainingConfig, grid: Mapping[str, Sequence[Any]]) -> list[Point]:
    """The configs of a grid, the last key's values changing fastest. Raises ConfigError, InputError."""
    if not grid:
        raise InputError("the grid is empty; give it a key and its values, for example learning_rate: 0.05, 0.1")
    fixed = FIXED.get(config.environment.kind, FIXED["crypto"])
    for key, values in grid.items():
        if any(f"{key}.".startswith(f"{part}.") for part in fixed):
            raise InputError(f"the grid has {key}, which changes what is earned; runs of it cannot be compared")
        if not values:
            raise InputError(f"the grid has no values for {key}")
    count = int(np.prod([len(values) for values in grid.values()], dtype=object))
    if count > MOST_POINTS:
        raise InputError(f"the grid has {count:,} points; expected no more than {MOST_POINTS:,}")
    points: list[Point] = []
    for values in itertools.product(*grid.values()):
        given = dict(zip(grid, values, strict=True))
        made = with_overrides(config, [f"{key}={json.dumps(value)}" for key, value in given.items()])
        for point in points:
            if point.config == made:
                raise InputError(f"the grid has {_listed(given)} twice; name each value of a key once")
        points.append(Point(given, made))
    return points


@dataclass(frozen=True)
class Sweep:
    """A finished sweep.

    points: a row a config of the grid, in its order: point, a column a key, score on validation data, its minimum and
    maximum over the seeds; trials: a row a point and seed; chosen: the number of the point with the highest score;
    policies: those of the chosen point, by seed; summary: what sweep.json holds.
    """

    config: TrainingConfig
    history: History | None
    points: pl.DataFrame
    trials: pl.DataFrame
    chosen: int
    policies: dict[int, Policy]
    summary: dict

    def write(self, folder: Path) -> None:
        """Fill an empty folder: sweep.json, points.parquet, trials.parquet, the chosen config.json and its policies,
        run.json and manifest.json."""
        write_json(folder / "sweep.json", self.summary)
        write_json(folder / "config.json", self.config.to_dict())
        write_table(folder / "points.parquet", self.points)
        write_table(folder / "trials.parquet", self.trials)
        (folder / "policies").mkdir()
        for seed, policy in self.policies.items():
            policy.save(folder / "policies" / f"{seed}.parquet")
        fingerprint = self.config.fingerprint()
        run = {
            "schema_version": SCHEMA_VERSION, "kind": "sweep", "fingerprint": fingerprint,
            "assumptions": self.summary["assumptions"], "versions": versions(),
            "data": None if self.history is None else describe_history(self.history), "config": self.config.to_dict(),
        }  # fmt: skip
        write_json(folder / "run.json", run)
        write_manifest(folder, config_sha256=fingerprint, training={"seeds": list(self.policies)})

    def save(self, out: str | Path, *, force: bool = False) -> None:
        """Write the folder that `idi-fast sweep` writes; `force` replaces an earlier one. Raises OutputError."""
        with new_directory(out, force=force) as folder:
            self.write(folder)


def sweep(
    config: TrainingConfig,
    grid: Mapping[str, Sequence[Any]],
    history: History | None = None,
    *,
    seeds: Iterable[int] = (0,),
    jobs: int | None = None,
    validation_bars: int | None = None,
    test_bars: int | None = None,
    fill: str | None = None,
    fee_bps: float | None = None,
    episodes: int = EVALUATION_EPISODES,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Sweep:
    """Train every config of a grid under every seed, choose one on validation data, and report it on test data.

    grid: values by config key, as `{"learning_rate": [0.05, 0.1]}`. On history the bars are those for training, then
    `validation_bars` and `test_bars` (a fifth of all each), before each of these an embargo of the longest feature
    window of any config; a config is worth the Sharpe ratio per bar of equal capital in each of its seeds' accounts,
    with `fill` and `fee_bps` as for `backtest`. On simulated markets it is worth the mean, over `episodes` fresh ones
    and the seeds, of what is earned above the best baseline; validation and test episodes come of two further seeds'
    evaluation streams. progress: called with how many runs are done, and of how many. Raises InputError, ConfigError,
    DataError, IdiFastError.
    """
    points = make_points(config, grid)
    seeds = check_seeds(seeds, negative=config.engine.compat is not None)
    if config.environment.kind == "history":
        history = load_config_history(config) if history is None else history
        judge = HistoryJudge(
            [point.config for point in points], history, validation_bars, test_bars, fill,
            config.environment.market.fee_bps if fee_bps is None else fee_bps,
        )  # fmt: skip
    else:
        given = {
            "history": history, "validation_bars": validation_bars, "test_bars": test_bars, "fill": fill,
            "fee_bps": fee_bps,
        }  # fmt: skip
        idle = [name for name, value in given.items() if value is not None]
        if idle:
            raise InputError(f"the {config.environment.kind} environment has no use for {', '.join(idle)}")
        judge = EpisodeJudge(seeds, episodes)
    crew = Crew(jobs, len(points) * len(seeds))
    # Two threads may make the same bars at once: work for nothing now and then, but no waiting.
    training_bars = lru_cache(maxsize=crew.jobs)(lambda number: judge.training_bars(points[number].config))

    def trained(number: int, seed: int) -> Policy:
        trainer = Trainer(points[number].config, seed, training_bars(number))
        with crew.training(trainer):
            trainer.train()
        return trainer.rollout()[0]

    series: dict[tuple[int, int], np.ndarray] = {}
    lock, trials = threading.Lock(), [(number, seed) for number in range(len(points)) for seed in seeds]

    def validate(trial: tuple[int, int]) -> None:
        earned = judge.validation(trained(*trial))
        with lock:
            series[trial] = earned
            progress(len(series), len(trials))

    crew.each(validate, trials)
    books = [np.mean([series[number, seed] for seed in seeds], axis=0) for number in range(len(points))]
    scores = [judge.score(book) for book in books]
    chosen = int(np.argmax(scores))
    policies: dict[int, Policy] = {}
    # Trained once more, to the same bits: that is cheaper than to hold on to every policy until the choice is made.
    crew.each(lambda seed: policies.update({seed: trained(chosen, seed)}), seeds)
    policies = {seed: policies[seed] for seed in seeds}
    by_trial = {trial: judge.score(earned) for trial, earned in series.items()}
    sharpes = [HistoryJudge.score(book) for book in books]
    deflated, test = kpis.deflated_sharpe_ratio(books[chosen], sharpes), judge.test(policies)
    summary = {
        "schema_version": SCHEMA_VERSION,
        "assumptions": {
            "grid": {key: list(values) for key, values in grid.items()}, "points": len(points), "seeds": list(seeds),
            "trials": len(trials), **judge.assumptions(),
        },
        "chosen": {
            "point": chosen, "values": points[chosen].values, "fingerprint": points[chosen].config.fingerprint(),
        },
        "validation": {
            "score": scores[chosen], "score_of": judge.SCORE, "sharpe": sharpes[chosen],
            "expected_best_sharpe": kpis.expected_best_sharpe(sharpes), "deflated_sharpe_ratio": deflated,
        },
        "test": test,
        "verdict": f"{_luck(deflated, len(points))}; {judge.verdict(test)}",
    }  # fmt: skip
    return Sweep(
        config=points[chosen].config, history=history, chosen=chosen, policies=policies,
        points=_points_frame(points, seeds, scores, by_trial), trials=_trials_frame(points, by_trial),
        summary=kpis.null_nan(summary),
    )  # fmt: skip


def _luck(deflated: float, points: int) -> str:
    if np.isnan(deflated):
        return "the chosen config never traded on validation data"
    what = "more than the luck" if deflated >= SIGNIFICANT else "no more than the luck"
    best = f"of the best of {points}" if points > 1 else "of a single one"
    return f"on validation data {what} {best} (deflated Sharpe ratio {deflated:.3f})"


def _points_frame(
    points: list[Point], seeds: Sequence[int], scores: list[float], by_trial: dict[tuple[int, int], float]
) -> pl.DataFrame:
    rows = []
    for number, (point, score) in enumerate(zip(points, scores, strict=True)):
        mine = [by_trial[number, seed] for seed in seeds]
        figures = {"score": score, "min_seed": min(mine), "max_seed": max(mine)}
        rows.append({"point": number, **_cells(point.values), **figures})
    return pl.DataFrame(rows, infer_schema_length=None)


def _trials_frame(points: list[Point], by_trial: dict[tuple[int, int], float]) -> pl.DataFrame:
    rows = [
        {"point": number, "seed": str(seed), **_cells(points[number].values), "score": by_trial[number, seed]}
        for number, seed in sorted(by_trial)
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _cells(values: dict[str, Any]) -> dict[str, Any]:
    plain = (int, float, str, bool, type(None))
    return {key: value if isinstance(value, plain) else json.dumps(value) for key, value in values.items()}


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{key}={json.dumps(value)}" for key, value in values.items())


def parse_grid(texts: Iterable[str]) -> dict[str, list[Any]]:
    """A grid from texts `key=value,value`: JSON values or, where they are none, texts. Raises InputError."""
    grid: dict[str, list[Any]] = {}
    for text in texts:
        key, sign, values = (part.strip() for part in text.partition("="))
        if not sign or not key or not values:
            raise InputError(f"--grid {text}: expected key=value,value, as in learning_rate=0.05,0.1")
        if key in grid:
            raise InputError(f"--grid {key} is given twice; list all its values at once")
        whole = _json_or(f"[{values}]", None)
        grid[key] = [_json_or(part.strip(), part.strip()) for part in values.split(",")] if whole is None else whole
    return grid


def _json_or(text: str, otherwise: Any) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return otherwise
