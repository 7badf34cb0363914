"""Training: an environment's tape, an agent that learns from it, and the greedy rollout at the end."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from idi_fast.agent import EXPLORATION_FLOOR, Agent
from idi_fast.config import DataConfig, TrainingConfig
from idi_fast.environments import make_environment
from idi_fast.errors import Cancelled, DataError, IdiFastError, InputError
from idi_fast.features import MARKET_COLUMNS
from idi_fast.history import History, load_history
from idi_fast.policy import Policy
from idi_fast.provenance import describe_history
from idi_fast.rng import draw_seed, make_generators
from idi_fast.space import FEATURES, make_rules
from idi_fast.trace import Trace, replay

BLOCK_ROWS = 16_384
"""Rows of tape made and learnt from at a time: its arrays fit the second-level cache."""


@dataclass(frozen=True)
class Progress:
    """How far training is; `mean_reward` is that of the episodes that ended since the last call, NaN if none did."""

    episodes: int
    total_episodes: int
    steps: int
    mean_reward: float


class Trainer:
    """One training run. Make it with `create_trainer`, call `run` once."""

    def __init__(self, config: TrainingConfig, seed: int, history: History | None = None):
        self.config = config
        self.seed = seed
        self.history = history
        generators = make_generators(config.engine, seed)
        self._environment = make_environment(config, generators, history)
        self._rules = make_rules(config, self._environment.space)
        self._agent = Agent(config, self._environment.space, self._rules, generators.agent)
        self._cancelled = threading.Event()
        self._started = False
        self.episode_rewards = np.zeros(0)

    def compile(self) -> None:
        """Compile the training kernels, or load them from the cache, by training on no rows; else `run` does it."""
        self._agent.learn(self._environment.fill(0), np.zeros(0))

    def cancel(self) -> None:
        """Make a running `run` raise `Cancelled` within a block of rows; safe from any thread."""
        self._cancelled.set()

    def run(self, progress: Callable[[Progress], None] | None = None) -> tuple[Policy, Trace]:
        """Train, then follow the greedy policy for one episode; `progress` is called after each block of rows."""
        self.train(progress)
        return self.rollout()

    def rollout(self) -> tuple[Policy, Trace]:
        """The policy as trained, and its greedy trace of one more episode; the second half of `run`."""
        tables, environment = self._agent.tables, self._environment
        numbers = tables.q, tables.comm_q, self.episode_rewards
        if not all(np.isfinite(array).all() for array in numbers) or not np.isfinite(self.stats()["mean_reward"]):
            raise IdiFastError(
                "the Q-values grew beyond all numbers; use a smaller learning_rate, discount or volatility"
            )
        tape, facts = environment.facts(self.config.episode_length + 1)
        trace = replay(self.config, environment.space, self._rules, tables.q, tables.comm_q, tape, facts)
        if self.config.engine.compat:
            # The reference's table gains a row for each state that the rollout looks up.
            np.add.at(tables.visits, trace.state, 1)
        policy = Policy(
            config=self.config, seed=self.seed, space=environment.space, encoder=environment.encoder,
            q=tables.q, comm_q=tables.comm_q, visits=tables.visits,
            trained_on=None if self.history is None else describe_history(self.history),
        )  # fmt: skip
        return policy, trace

    def train(self, progress: Callable[[Progress], None] | None = None) -> None:
        """Train all episodes: the first half of `run`. Sets `episode_rewards` float64 (episodes,)."""
        if self._started:
            raise IdiFastError("this trainer has been run; create another for another run")
        self._started = True
        config = self.config
        rows = config.episodes * (config.episode_length + 1)
        rewards = np.empty(config.episodes)
        ended = 0
        for start in range(0, rows, BLOCK_ROWS):
            if self._cancelled.is_set():
                raise Cancelled(f"cancelled after {ended} of {config.episodes} episodes")
            stop = min(start + BLOCK_ROWS, rows)
            tape = self._environment.fill(stop - start)
            before, ended = ended, ended + self._agent.learn(tape, rewards[ended:])
            if progress is not None:
                mean = float(rewards[before:ended].mean()) if ended > before else float("nan")
                resets = -(-stop // (config.episode_length + 1))
                progress(Progress(ended, config.episodes, stop - resets, mean))
        self.episode_rewards = rewards

    @property
    def exploration(self) -> np.ndarray:
        """The exploration rate of each episode, float64 (episodes,)."""
        rates = np.full(self.config.episodes, self.config.exploration_decay)
        rates[:1] = 1.0
        return np.maximum(EXPLORATION_FLOOR, np.multiply.accumulate(rates))

    def stats(self) -> dict[str, object]:
        """Episodes, mean episode reward, and how often each communication action was taken in training."""
        # np.add.accumulate adds from left to right, as the reference does; np.sum adds in pairs.
        n = self.episode_rewards.size
        with np.errstate(over="ignore", invalid="ignore"):
            total = float(np.add.accumulate(self.episode_rewards)[-1]) if n else 0.0
        counts = self._agent.tables.comm_counts.tolist()
        names = dict.fromkeys(self.config.communication.actions)
        return {
            "episodes": n,
            "mean_reward": total / n if n else 0.0,
            "comm_action_counts": dict(zip(names, counts, strict=True)),
        }


def create_trainer(config: TrainingConfig, seed: int | None = 0, history: History | None = None) -> Trainer:
    """A trainer for a config.

    seed: any integer (None: drawn, see `Trainer.seed`); history: bars to train on, where the config's environment is
    "history"; else those of `config.environment.data.path` are loaded. Raises ConfigError, DataError, InputError.
    """
    if not isinstance(config, TrainingConfig) or not isinstance(history, History | None):
        raise InputError(
            "create_trainer takes a TrainingConfig and a History (see TrainingConfig.from_dict, load_history)"
        )
    if history is not None and config.environment.kind != "history":
        raise InputError(
            f"a history was given, but environment.kind is {config.environment.kind!r}; set it to 'history'"
        )
    if config.environment.kind == "history" and history is None:
        history = load_config_history(config)
    return Trainer(config, draw_seed() if seed is None else seed, history)


def feature_columns(config: TrainingConfig) -> tuple[str, ...]:
    """Columns beyond close, open and volume that the config's features read."""
    features = (getattr(config.features, name) for name in FEATURES)
    named = {feature.column for feature in features if feature is not None}
    return tuple(sorted(named - set(MARKET_COLUMNS)))


def load_config_history(config: TrainingConfig, data: DataConfig | None = None) -> History:
    """The history that a config's `environment.data` names, with the columns that its features read."""
    data = config.environment.data if data is None else data
    if data.path is None:
        raise DataError("environment.kind is 'history', but environment.data.path names no data (--data PATH)")
    return load_history(
        data.path, time=data.time, price=data.price, open=data.open, volume=data.volume,
        extra=feature_columns(config), nan=data.nan,
    )  # fmt: skip
