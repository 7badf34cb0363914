"""Populations: one config trained under many seeds on all cores, each lane bit for bit what its seed gives alone."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import polars as pl

from idi_fast import display
from idi_fast.agents.policy import Policy
from idi_fast.agents.trace import Trace
from idi_fast.config.arguments import check_callback, check_choice
from idi_fast.config.plugins import MarketFunction
from idi_fast.config.seeds import check_seeds, refuse_equal_seeds
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.panel import TrainingBars, TrainingBarsLike
from idi_fast.environments.history_bars import HistoryBars
from idi_fast.environments.splits import check_given, training_bars
from idi_fast.errors import IdiFastError, InputError
from idi_fast.evaluation.baselines import Comparison, compare_to_baselines, plain_verdict
from idi_fast.evaluation.evaluator import Evaluation, Evaluator
from idi_fast.parallel.worker_pool import WorkerPool
from idi_fast.training.artifact import training_summary
from idi_fast.training.combination import combine
from idi_fast.training.episode_log import EpisodeRewards
from idi_fast.training.population_checkpoint import PopulationCheckpoints
from idi_fast.training.trainer import Trainer

COMBINATIONS = ("best", "mean", "vote")
"""What one policy of many is made by."""
OF_BEST = ("mean", "standard_error", "interval", "baselines", "best_baseline", "has_learnt")
"""Figures of the best lane's evaluation in run.json, under the names of a single run."""


@dataclass(frozen=True)
class Lane:
    """One seed's training run, finished: what `create_trainer(config, seed).run()` gives, and its evaluation.

    Attributes
    ----------
    trainer : Trainer
    policy : Policy
    trace : Trace
    evaluation : Evaluation
        Of the greedy policy, on episodes that are the same for all lanes.
    """

    trainer: Trainer
    policy: Policy
    trace: Trace
    evaluation: Evaluation

    def __repr__(self) -> str:
        return f"Lane of seed {self.seed}, evaluation {display.format_value(self.evaluation.mean)}"

    def _repr_html_(self) -> str:
        chart = {"reward of an episode": self.trainer.episode_rewards}
        rows = [(name.replace("_", " "), value) for name, value in self.row().items()]
        return display.as_html(repr(self), rows, lines=chart)

    def summary_frame(self) -> pl.DataFrame:
        """One row, as in `Population.summary`."""
        row = self.row()
        return pl.DataFrame([{"of": f"seed {row.pop('seed')}", **row}])

    @property
    def seed(self) -> int:
        """The lane's seed."""
        return self.trainer.seed

    def row(self) -> dict[str, object]:
        """Its row of `Population.summary`."""
        summary = training_summary(self.trainer, self.policy)
        return {
            "seed": str(self.seed),
            "mean_reward": summary["mean_reward"],
            "last_tenth_mean_reward": summary["last_tenth_mean_reward"],
            "evaluation": self.evaluation.mean,
            "evaluation_standard_error": self.evaluation.standard_error,
            "visited_states": summary["visited_states"],
        }


SUMMARY_SCHEMA = {
    "seed": pl.String,  # as text: seeds of any size
    "mean_reward": pl.Float64,
    "last_tenth_mean_reward": pl.Float64,
    "evaluation": pl.Float64,
    "evaluation_standard_error": pl.Float64,
    "visited_states": pl.Int64,
}


@dataclass(frozen=True)
class Population(display.Plotted):
    """A trained population; made by `train_population`.

    Attributes
    ----------
    summary : polars.DataFrame
        A row per seed, in the order listed: seed (text), mean_reward and last_tenth_mean_reward of the training
        episodes, evaluation (mean episode reward of the greedy policy) and its standard error, visited_states.
    best : Lane
        That with the highest evaluation, of equals the first listed.
    lanes : dict of int to Lane
        Those that were kept, by seed.
    policies : dict of int to Policy
        Theirs.
    compared : Comparison
        The best lane's evaluation beside the baselines, on the same episodes.
    in_sample : bool
        Whether the evaluation is over bars of the training.
    config : TrainingConfig
    seeds : tuple of int
    jobs : int
        Lanes that were trained at a time.
    keep : str
        "best" or "all".
    seconds : float
        How long it took.
    """

    config: TrainingConfig
    seeds: tuple[int, ...]
    jobs: int
    keep: str
    summary: pl.DataFrame
    lanes: dict[int, Lane]
    best: Lane
    compared: Comparison
    in_sample: bool
    seconds: float
    _evaluator: Evaluator

    def combined(self, how: str = "mean") -> Policy:
        """One policy of all lanes.

        Parameters
        ----------
        how
            "best": that of the best lane; "mean": the mean of their values; "vote": the value of an action is the share
            of the lanes that came to a state and do it there.

        Raises
        ------
        InputError
            If lanes were not kept (`keep` "all"), or have other bucket edges, as on simulated markets.
        """
        check_choice("how", how, COMBINATIONS)
        if how == "best":
            return self.best.policy
        if self.keep != "all":
            raise InputError("only the best lane was kept; train the population with `keep='all'` to combine lanes")
        return combine([self.lanes[seed].policy for seed in self.seeds], how)

    def compare(self, policy: Policy) -> Comparison:
        """A policy of the same states beside the baselines, on the episodes on which `compared` was made."""
        return compare_to_baselines(self._evaluator, policy)

    @property
    def policies(self) -> dict[int, Policy]:
        """The policies that were kept, by seed."""
        return {seed: lane.policy for seed, lane in self.lanes.items()}

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the folder that `idi-fast train --seeds` writes, of the lanes that were kept.

        `force` replaces an earlier output. Raises OutputError.
        """
        from idi_fast.training.population_artifact import save_population

        save_population(path, self, force=force)
        display.remember_place(self, path)

    def __repr__(self) -> str:
        return display.as_text(self._title(), [*self._rows(), ("verdict", self.verdict())])

    def _repr_html_(self) -> str:
        chart = {"evaluation, best to worst": self.summary["evaluation"].sort(descending=True).to_numpy()}
        links = display.file_links(display.saved_at(self))
        return display.as_html(f"{self._title()}: {self.verdict()}", self._rows(), lines=chart, links=links)

    def summary_frame(self) -> pl.DataFrame:
        """A row per seed, as in `summary`, and one per baseline with its evaluation."""
        compared = [(name, found.evaluation) for name, found in self.compared.baselines.items()]
        baselines = [
            {"of": name, "evaluation": found.mean, "evaluation_standard_error": found.standard_error}
            for name, found in compared
        ]
        seeds = self.summary.select(pl.format("seed {}", "seed").alias("of"), pl.exclude("seed"))
        return pl.concat([seeds, pl.DataFrame(baselines)], how="diagonal_relaxed")

    def _title(self) -> str:
        return f"Population of {len(self.seeds):,} seeds, {self.config.environment.kind} environment"

    def _rows(self) -> list[tuple[str, object]]:
        values = self.summary["evaluation"]
        spread = " to ".join(display.format_value(value) for value in (values.min(), values.max()))
        return [("best seed", str(self.best.seed)), ("evaluation", spread), ("median", values.median())]

    def evaluation_file(self) -> dict:
        """What the run.json of a population says of its evaluation."""
        compared = self.compared.to_dict()
        return {
            "of": "mean episode reward of the greedy policy",
            "on": "windows of the training bars" if self.in_sample else "fresh episodes, the same for all seeds",
            "in_sample": self.in_sample,
            "episodes": self.best.evaluation.episodes,
            "drawn_from_seed": None if self.in_sample else self.seeds[0],
            **{name: compared[name] for name in OF_BEST},
            "verdict": self.verdict(),
        }

    def verdict(self) -> str:
        """How the best lane compares with the baselines, in a sentence."""
        if self.compared.in_sample:
            return self.compared.verdict()
        subject = f"the best of {len(self.seeds):,} seeds is " if len(self.seeds) > 1 else ""
        return plain_verdict(self.compared.to_dict(), subject)


@dataclass(frozen=True)
class PopulationProgress:
    """How far a population is.

    Attributes
    ----------
    lanes, total_lanes : int
        Finished lanes, and all lanes.
    steps : int
        Training steps so far, over all lanes.
    """

    lanes: int
    total_lanes: int
    steps: int


def train_population(
    config: TrainingConfig | Mapping[str, Any] | None,
    seeds: Iterable[int],
    jobs: int | None = None,
    keep: str = "best",
    history: TrainingBarsLike | None = None,
    progress: Callable[[PopulationProgress], None] | None = None,
    finished: Callable[[Lane], None] | None = None,
    checkpoints: PopulationCheckpoints | None = None,
    *,
    market: MarketFunction | str | None = None,
) -> Population:
    """Train a lane for each seed, and evaluate all of them on the same episodes.

    A lane equals what `train` alone gives for its seed, to the last bit. An exception in any of them stops all.

    Parameters
    ----------
    config
        The settings, or a dict of them; None: the default. A history or a market makes the synthetic environment its
        own.
    seeds
        Distinct integers, as `train` takes them.
    jobs
        Lanes to train at a time; by default the usable cores.
    keep
        "best" holds on to the lane with the highest evaluation only, of equals the first listed; "all" to all of them.
    history
        Bars to train on; by default those that the config names, where its environment is "history".
    progress
        Called in this thread about ten times a second.
    finished
        Called with each lane, in the lane's own thread.
    checkpoints
        Where lanes save themselves and resume from; lanes that have lost are not trained again, nor `finished`.
    market
        A market of your own to train on, as `train` takes it.

    Returns
    -------
    Population
        `summary`, and the `best` lane with its `policy`; `save` writes what `idi-fast train --seeds` writes.

    Raises
    ------
    InputError
        If an argument cannot be used.
    IdiFastError
        If values overflow.

    Examples
    --------
    >>> import idi_fast as idi
    >>> population = idi.train_population(idi.TrainingConfig(episodes=16), range(4))
    >>> population.summary["seed"].to_list()
    ['0', '1', '2', '3']
    >>> population.best.seed in range(4)
    True
    """
    config, bars = check_given(config, history, market)
    check_callback("progress", progress)
    check_callback("finished", finished)
    seeds = check_seeds(seeds, negative=config.engine.compat is not None)
    refuse_equal_seeds(config, seeds)
    workers = WorkerPool(jobs, len(seeds))
    check_choice("keep", keep, ("best", "all"))
    started = perf_counter()
    config, bars, test = training_bars(config, bars)
    lanes = _Lanes(workers, config, seeds, bars, keep, finished, checkpoints)
    lanes.run(progress)
    best, seconds = lanes.kept[lanes.best], perf_counter() - started
    # Chosen by the training's bars, so that those behind the split, if there is one, have no part in the choice.
    evaluator = lanes.evaluator if test is None else Evaluator(config, seeds[0], test, in_sample=False)
    return Population(
        config=config,
        seeds=seeds,
        jobs=workers.jobs,
        keep=keep,
        summary=pl.DataFrame(lanes.rows, schema=SUMMARY_SCHEMA),
        lanes={seeds[index]: lanes.kept[index] for index in sorted(lanes.kept)},
        best=best,
        compared=compare_to_baselines(evaluator, best.policy),
        in_sample=evaluator.in_sample,
        seconds=seconds,
        _evaluator=evaluator,
    )


class _Lanes:
    """The shared state of the lanes of a population; their threads change it under `_lock` only."""

    def __init__(
        self,
        workers: WorkerPool,
        config: TrainingConfig,
        seeds: Sequence[int],
        history: TrainingBars | None,
        keep: str,
        finished: Callable[[Lane], None] | None,
        checkpoints: PopulationCheckpoints | None,
    ):
        self._bars = None if history is None else HistoryBars(config, history)
        self.evaluator = Evaluator(config, seeds[0], history, self._bars)
        lost = {} if checkpoints is None else checkpoints.begin(config, seeds, history)
        self.rows: list[dict | None] = [lost.get(seed) for seed in seeds]
        self.kept: dict[int, Lane] = {}
        self.best = -1
        self._workers = workers
        self._config = config
        self._seeds = seeds
        self._keeps_all = keep == "all"
        self._finished = finished
        self._checkpoints = checkpoints
        self._lock = threading.Lock()
        self._lane_steps = config.drawn_episodes * config.episode_length
        self._steps = [0 if row is None else self._lane_steps for row in self.rows]

    def run(self, progress: Callable[[PopulationProgress], None] | None) -> None:
        """Train all lanes; an exception here, including an interrupt, stops them before it propagates."""

        def watch() -> None:
            # The lanes only append numbers: a callback from each of their blocks would cost time.
            if progress is not None:
                done = sum(row is not None for row in self.rows)
                progress(PopulationProgress(done, len(self.rows), sum(self._steps)))

        self._workers.each(self._work, [index for index, row in enumerate(self.rows) if row is None], watch)

    def _work(self, index: int) -> None:
        try:
            self._keep(index, self._train(index))
        except Exception as error:
            raise _with_seed(error, self._seeds[index]) from error

    def _train(self, index: int) -> Lane:
        trainer = Trainer(self._config, self._seeds[index], self._bars)
        trainer.compile()

        def note(progress) -> None:
            self._steps[index] = progress.steps

        with self._workers.training(trainer):
            if self._checkpoints is None:
                trainer.train(note)
            else:
                with self._checkpoints.lane(trainer.seed) as checkpoints:
                    trainer.train(note, checkpoints=checkpoints)
                    # The lane outlives the file of its rewards.
                    trainer.rewards = _in_memory(trainer.rewards)
        self._steps[index] = self._lane_steps
        policy, trace = trainer.rollout()
        return Lane(trainer, policy, trace, self.evaluator.evaluate(policy, self._workers.stopped))

    def _keep(self, index: int, lane: Lane) -> None:
        if self._finished is not None:
            self._finished(lane)
        row = lane.row()
        with self._lock:
            self.rows[index] = row
            self.kept[index] = lane
            # Lanes finish in any order: of equals the first listed wins, not the first to finish.
            rivals = [index] if self.best < 0 else [self.best, index]
            self.best, *losers = sorted(rivals, key=lambda rival: (-self._row(rival)["evaluation"], rival))
            if not self._keeps_all:
                self.kept = {self.best: self.kept[self.best]}
        if self._checkpoints is not None:
            for loser in losers:
                self._checkpoints.lost(self._seeds[loser], self._row(loser))

    def _row(self, index: int) -> dict:
        row = self.rows[index]
        assert row is not None  # its lane has been kept
        return row


def _in_memory(log: EpisodeRewards) -> EpisodeRewards:
    copy = EpisodeRewards()
    for block in log.blocks():
        copy.append(block)
    return copy


def _with_seed(error: Exception, seed: int) -> Exception:
    # Bad input is bad whatever the seed. Foreign errors may not be constructible from a text: they get a note.
    if isinstance(error, IdiFastError) and not isinstance(error, InputError):
        return type(error)(f"seed {seed}: {error}")
    error.add_note(f"in the lane of seed {seed}")
    return error
