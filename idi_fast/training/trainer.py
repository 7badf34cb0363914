"""Training: an environment's tape, an agent that learns from it, and the greedy rollout at the end."""

import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from idi_fast.agents.learner import Agent
from idi_fast.agents.policy import Policy, check_policy
from idi_fast.agents.trace import Trace, greedy_trace
from idi_fast.config.arguments import check_callback, check_integer, described
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.in_sample import describe_bars
from idi_fast.data.panel import TrainingBars, TrainingBarsLike, check_bars
from idi_fast.environments.environment import CryptoEnvironment, SyntheticEnvironment, make_environment
from idi_fast.environments.features import named
from idi_fast.environments.history_bars import HistoryBars
from idi_fast.environments.history_environment import HistoryEnvironment, OwnMarketEnvironment
from idi_fast.environments.rewards import RewardRule
from idi_fast.environments.rng import draw_seed, make_generators
from idi_fast.environments.splits import training_bars
from idi_fast.environments.state_space import make_rules
from idi_fast.errors import Cancelled, IdiFastError, InputError, NumericalError
from idi_fast.kernels.learn import Tables
from idi_fast.planning.planner import Plan, Planner
from idi_fast.training.checkpoint import Checkpoints, Position
from idi_fast.training.episode_log import EpisodeRewards
from idi_fast.training.exploration import exploration_blocks, exploration_rate
from idi_fast.training.run_description import describe_run
from idi_fast.training.stopping import Patience, stopped_config

BLOCK_ROWS = 16_384
"""Rows of tape made and learnt from at a time: half or twice as many take as long."""
MOST_BLOCKS = 32
"""The most of these blocks that a kernel with its own tape processes in one call."""
CALL_SECONDS = 0.02
"""It gets fewer if they take longer, since a run is cancelled, watched or saved only between calls."""


@dataclass(frozen=True)
class Progress:
    """How far training is.

    Attributes
    ----------
    episodes, total_episodes : int
        Finished episodes, and all episodes.
    steps : int
        Steps trained so far.
    mean_reward : float
        Mean over the episodes that ended since the last call, NaN if none did.
    exploration : float
        The exploration rate of the last episode that ended, NaN if none did or each state has its own.
    """

    episodes: int
    total_episodes: int
    steps: int
    mean_reward: float
    exploration: float


ProgressCallback = Callable[[Progress], bool | None]
"""Called with the progress of a training; one that returns False ends it after the current episode."""


class Trainer:
    """One training run. Make it with `create_trainer`, call `run` once.

    Attributes
    ----------
    config : TrainingConfig
        Of a run that was stopped, that of a run with as many episodes as it had.
    planned : TrainingConfig
        As the run was asked for; the same unless it was stopped.
    seed : int
    history : History, Panel or None
        The bars that it is trained on.
    encoded : HistoryBars or None
        The same as its environment shows them.
    test : History, Panel or None
        Those behind the config's split, if it has one.
    patience : int or None
        That of the run: see `run`.
    rewards : EpisodeRewards
        The log of episode rewards.
    plan : Plan or None
        What a training by value iteration has planned.
    training_seconds : float
        Duration of the training, including a resumed run's earlier part up to the checkpoint that it went on from.
    """

    def __init__(
        self,
        config: TrainingConfig,
        seed: int,
        bars: HistoryBars | None = None,
        initial: Policy | None = None,
        test: TrainingBars | None = None,
    ):
        self.config = self.planned = config
        self.seed = seed
        self.initial = initial
        self.encoded = bars
        self.history = None if bars is None else bars.history
        self.test = test
        generators = make_generators(config.engine, seed)
        self._environment = environment = make_environment(config, generators, bars)
        self._rules = make_rules(config, self._environment.space)
        self._planner: Planner | None = None
        self.plan: Plan | None = None
        if config.learning.plans:
            if initial is not None:
                raise InputError(
                    "an initial policy was given, but learning.algorithm 'value_iteration' starts from none"
                )
            assert environment.encoder is not None  # as of all but the synthetic one, which the config's rules refuse
            rewards = RewardRule(config, environment.encoder)
            self._planner = Planner(config, environment.space, self._rules, rewards, generators.agent)
        self._agent = Agent(config, environment.space, self._rules, generators.agent)
        self._fused: SyntheticEnvironment | None = None
        if self._agent.is_plain and isinstance(environment, SyntheticEnvironment) and environment.is_one_kernel:
            self._fused = environment
        if initial is not None:
            self._agent.start_from(initial)
        self._cancelled = threading.Event()
        self._started = False
        self.patience: int | None = None
        self.rewards = EpisodeRewards()
        self.training_seconds = 0.0

    def compile(self) -> None:
        """Compile the training kernels, or load them from the cache, by training on no rows; otherwise `run` does
        it."""
        if self._planner is None:
            self._learn(0, np.zeros(0))

    def cancel(self) -> None:
        """Make a running `run` raise `Cancelled` after the current rows, mostly within 20 ms; safe from any thread."""
        self._cancelled.set()

    def run(self, progress: ProgressCallback | None = None, *, patience: int | None = None) -> tuple[Policy, Trace]:
        """Train, then follow the greedy policy for one episode.

        Parameters
        ----------
        progress
            Called about every 10 to 20 ms with the progress of the training; if it returns False, that ends after the
            current episode.
        patience
            Episodes without a new highest mean reward, of windows of a tenth of them, after which training ends.

        Returns
        -------
        Policy, Trace
            The tables as trained, and a row per tick of the last episode.

        Raises
        ------
        Cancelled
            Soon after `cancel` was called.
        NumericalError
            If values overflow.
        IdiFastError
            If the trainer has been run before.
        """
        check_callback("progress", progress)
        self.train(progress, patience=patience)
        return self.rollout()

    def rollout(self) -> tuple[Policy, Trace]:
        """The trained policy, and its greedy trace of one more episode; the second half of `run`."""
        tables, environment = self._tables, self._environment
        q = self._agent.values() if self.plan is None else tables.q
        numbers = q, tables.comm_q, self.stats()["mean_reward"]
        if not all(np.isfinite(number).all() for number in numbers):
            raise NumericalError("the Q-values overflowed; use a smaller learning_rate, discount or volatility")
        tape, facts = environment.facts(self.config.episode_length + 1)
        trace = greedy_trace(self.config, environment.space, self._rules, q, tables.comm_q, tape, facts)
        if self.config.engine.compat:
            # The reference's table gains a row for each state that the rollout looks up.
            np.add.at(tables.visits, trace.state, 1)
        policy = Policy(
            config=self.config,
            seed=self.seed,
            space=environment.space,
            encoder=environment.encoder,
            q=q,
            comm_q=tables.comm_q,
            visits=tables.visits,
            trained_on=self._trained_on(),
            counts=self._agent.counts(),
            certainty=None if self.plan is None else self.plan.certainty,
        )
        return policy, trace

    @property
    def _tables(self) -> Tables:
        return self._agent.tables if self.plan is None else self.plan.tables

    def _trained_on(self) -> list[dict]:
        own = [] if self.history is None else describe_bars(self.history)
        before = [] if self.initial is None else self.initial.trained_on
        return [*own, *(bars for bars in before if bars not in own)]

    def train(
        self,
        progress: ProgressCallback | None = None,
        *,
        patience: int | None = None,
        rewards: EpisodeRewards | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        """Train all episodes, or until told to stop: the first half of `run`.

        rewards: where episode rewards go (None: in memory); checkpoints have a log of their own, which takes
        precedence. With checkpoints the run continues from the newest one, saves more as they fall due, and one when it
        is cancelled and at its end. Raises Cancelled; InputError if the checkpoint is of another run; OSError.
        """
        self.patience = check_integer("patience", patience, least=1, optional=True)
        waiting = None if patience is None else Patience(patience)
        if self._started:
            raise IdiFastError("this trainer has been run; create another for another run")
        if self._planner is not None and patience is not None:
            raise InputError(
                "patience is of training by episodes; learning.algorithm 'value_iteration' has none, leave it out"
            )
        if self._planner is not None and checkpoints is not None:
            raise InputError("checkpoints are of training by episodes; learning.algorithm 'value_iteration' has none")
        self._started = True
        if self._planner is not None:
            self._plan(self._planner, progress)
            return
        position = Position()
        if checkpoints is not None:
            rewards = checkpoints.rewards
            position = checkpoints.restore(
                describe_run(self.config, self.seed, self.history, self.initial), self._state
            )
        if rewards is not None:
            self.rewards = rewards
        # An overflow of rewards is an error that the rollout explains, not a warning.
        saving = nullcontext() if checkpoints is None else checkpoints.saving()
        with saving, np.errstate(over="ignore", invalid="ignore"):
            self._train(position, progress, waiting, checkpoints)
        if len(self.rewards) < self.config.episodes:
            self.config = stopped_config(self.config, len(self.rewards))

    def _train(
        self,
        position: Position,
        progress: ProgressCallback | None,
        patience: Patience | None,
        checkpoints: Checkpoints | None,
    ) -> None:
        rewards, episodes, episode_rows = self.rewards, self.config.episodes, self.config.episode_length + 1
        row, rows = position.rows, episodes * episode_rows
        blocks, most_blocks = 1, 1 if self._fused is None else MOST_BLOCKS
        totals = np.empty(-(-min(most_blocks * BLOCK_ROWS, rows) // episode_rows))
        window = rows if patience is None else patience.window * episode_rows
        started = perf_counter() - position.seconds

        def save() -> None:
            if checkpoints is not None:
                checkpoints.save(Position(row, len(rewards), perf_counter() - started), self._state)

        while row < rows and not (patience and patience.is_exhausted(rewards)):
            if self._cancelled.is_set():
                save()
                raise Cancelled(f"cancelled after {len(rewards)} of {episodes} episodes")
            n, began = min(blocks * BLOCK_ROWS, rows - row, window - row % window), perf_counter()
            ended = totals[: self._learn(n, totals)]
            blocks = _paced(blocks, perf_counter() - began, most_blocks)
            rewards.append(ended)
            row += n
            if checkpoints is not None and checkpoints.due(len(rewards)):
                save()
            if progress is not None:
                mean = float(ended.mean()) if ended.size else float("nan")
                rate = exploration_rate(self.config, len(rewards) - 1)
                told = Progress(len(rewards), episodes, row - -(-row // episode_rows), mean, rate)
                if progress(told) is False:  # None, as of a function that returns nothing, goes on
                    rows = -(-row // episode_rows) * episode_rows
        self.training_seconds = perf_counter() - started
        save()

    def _plan(self, planner: Planner, progress: ProgressCallback | None) -> None:
        started, environment = perf_counter(), self._environment
        if isinstance(environment, HistoryEnvironment):
            series = environment.series()
        else:
            assert isinstance(environment, CryptoEnvironment | OwnMarketEnvironment)  # as the config's rules say
            series = environment.series(self.config.learning.bars)
        with np.errstate(over="ignore", invalid="ignore"):
            self.plan = planner.plan(series, self._cancelled)
        self.training_seconds = perf_counter() - started
        if progress is not None:
            progress(Progress(0, 0, self.steps, float("nan"), float("nan")))

    @property
    def steps(self) -> int:
        """Steps of the whole training: those of its episodes, or the bars that it plans on, once it has."""
        if self.plan is not None:
            return self.plan.about["bars"]
        return self.config.drawn_episodes * self.config.episode_length

    def _learn(self, n: int, totals: np.ndarray) -> int:
        if self._fused is not None:
            return self._agent.learn_synthetic(self._fused.source(min(n, BLOCK_ROWS)), n, totals)
        return self._agent.learn(self._environment.fill(n), totals)

    @property
    def _state(self) -> dict[str, np.ndarray]:
        return {**named("environment", self._environment.state), **named("agent", self._agent.state)}

    @property
    def episode_rewards(self) -> np.ndarray:
        """The reward of each episode that has ended, float64 (episodes,), read from the log on demand."""
        return self.rewards.array()

    @property
    def exploration(self) -> np.ndarray:
        """The exploration rate of each episode, float64 (episodes,); NaN if each state has its own."""
        return next(exploration_blocks(self.config, max(1, self.config.drawn_episodes)))

    def stats(self) -> dict[str, Any]:
        """Episodes, mean episode reward, and how often each communication action was taken in training."""
        counts = self._tables.comm_counts.tolist()
        names = dict.fromkeys(self.config.communication.actions)
        return {
            "episodes": len(self.rewards),
            "mean_reward": self.rewards.mean(),
            "comm_action_counts": dict(zip(names, counts, strict=True)),
            **({} if self._agent.collisions is None else {"tile_collisions": self._agent.collisions}),
        }


def _paced(blocks: int, seconds: float, most: int) -> int:
    """The number of blocks to learn from next, given how long the last ones took."""
    if seconds > CALL_SECONDS:
        return max(1, blocks // 2)
    return min(most, blocks * 2) if seconds < CALL_SECONDS / 2 else blocks


def create_trainer(
    config: TrainingConfig,
    seed: int | None = 0,
    history: TrainingBarsLike | None = None,
    *,
    initial: Policy | None = None,
) -> Trainer:
    """Make a trainer, whose `run` can be followed and, from another thread, cancelled.

    Parameters
    ----------
    config
        The settings; `train` takes a dict of them, too.
    seed
        Any integer of 0 or more (under compat of any sign); None: drawn, see `Trainer.seed`.
    history
        Bars to train on, where the config's environment is "history": a history, a frame, or a dict of them by symbol;
        by default those of `config.environment.data.path`.
    initial
        A policy of the same states, whose values training starts from. Bucket edges are fitted anew: a state is one by
        its buckets.

    Returns
    -------
    Trainer
        Its `run()` gives the policy and its trace.

    Raises
    ------
    ConfigError, DataError, InputError
        If an argument cannot be used, or config, history and initial policy do not fit.

    Examples
    --------
    >>> import idi_fast as idi
    >>> policy, trace = idi.create_trainer(idi.TrainingConfig(episodes=16), 7).run()
    >>> len(trace)
    64
    """
    if not isinstance(config, TrainingConfig):
        found = f"config is {described(config)}; see TrainingConfig.from_dict, TrainingConfig.from_json"
        raise InputError(f"create_trainer takes a TrainingConfig and a History; {found}")
    try:
        bars = check_bars(history)
    except InputError as error:
        raise InputError(f"create_trainer takes a TrainingConfig and a History; {error}") from None
    initial = None if initial is None else check_policy(initial)
    config, bars, test = training_bars(config, bars)
    encoded = None if bars is None else HistoryBars(config, bars)
    seed = check_integer("seed", seed, optional=True)
    return Trainer(config, draw_seed() if seed is None else seed, encoded, initial, test)
