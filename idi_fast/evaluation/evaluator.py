"""Evaluation: what a policy earns when it only follows its tables, on episodes that training has not drawn."""

import copy
import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from idi_fast.agents.learner import make_memory, make_tables
from idi_fast.agents.policy import Policy
from idi_fast.agents.trace import Trace, greedy_trace
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.config_history import load_config_history
from idi_fast.data.history import History
from idi_fast.environments.environment import Environment, HistoryBars, make_environment, market_tape, reward_weights
from idi_fast.environments.features import Bars
from idi_fast.environments.rng import make_generators
from idi_fast.environments.state_space import make_rules
from idi_fast.errors import Cancelled, IdiFastError, InputError
from idi_fast.kernels.learn import Tables, Tape, learn_actions, mood_steps

EVALUATION_EPISODES = 1000
"""Episodes of an evaluation: its standard error is then a thirtieth of an episode's own spread."""
EVALUATION_ROWS = 16_384
"""Rows that an evaluation may take however short training was, under a millisecond; also those made at a time."""


DENSE_STATES = 2**18


@dataclass(frozen=True)
class Evaluation:
    """The mean episode reward and its standard error, episodes taken as independent (None for a single episode)."""

    mean: float
    standard_error: float | None
    episodes: int

    @classmethod
    def of(cls, rewards: np.ndarray) -> "Evaluation":
        """Of the rewards of some episodes, float64 (n,); IdiFastError where they are no finite numbers."""
        n = rewards.size
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(rewards.mean())
            error = float(rewards.std(ddof=1)) / math.sqrt(n) if n > 1 else None
        if not math.isfinite(mean) or not math.isfinite(error or 0.0):
            raise IdiFastError("the rewards of the evaluation overflowed; use a smaller volatility or pnl")
        return cls(mean, error, n)


class Evaluator:
    """Evaluates policies of one config on the same episodes, so that they are compared fairly; safe in threads.

    On synthetic and crypto the episodes are fresh ones, drawn from the evaluation stream of `seed`. On history they are
    consecutive windows of the bars, evenly spread over them where there are more than are wanted: the very bars that
    training has drawn its episodes from (`in_sample`). There are up to 1,000 episodes, but no more than training has,
    or than make 16,384 rows, unless `episodes` says how many. bars: the history as the policies to come have seen it,
    which spares making it again.
    """

    def __init__(
        self, config: TrainingConfig, seed: int, history: History | None = None, bars: HistoryBars | None = None,
        episodes: int | None = None,
    ):  # fmt: skip
        self.config = config
        self.seed = seed
        self.in_sample = history is not None
        self._history = history
        self._bars = bars
        self._generators = make_generators(config.engine, seed)
        length = config.episode_length
        if episodes is None:
            episodes = min(EVALUATION_EPISODES, max(config.episodes, EVALUATION_ROWS // (length + 1), 2))
        self.episodes = episodes if history is None else min(episodes, (len(history) - 1) // length)

    def evaluate(self, policy: Policy, cancelled: threading.Event | None = None) -> Evaluation:
        """The greedy policy's evaluation; raises Cancelled soon after `cancelled` was set."""
        return Evaluation.of(self.rewards(policy, cancelled=cancelled))

    def rewards(
        self,
        policy: Policy,
        values: Callable[[np.ndarray], np.ndarray] | None = None,
        action: Callable[[int], np.ndarray] = lambda n: np.full(n, -1, np.int8),
        cancelled: threading.Event | None = None,
    ) -> np.ndarray:
        """The reward of each episode, float64 (episodes,), of an agent that sees and earns what the policy does.

        values: of states int64 (n,) the values of their actions, float64 (n, 3), by default the policy's; action: of n
        rows the actions that it takes whatever those say, int8 (n,), −1 where it follows them.
        """
        history = self._history
        fill = self._fresh_market(policy).fill if history is None else self._window_rows(policy, history)
        return self._walk(policy, policy.values if values is None else values, action, fill, cancelled)

    def follow(self, policy: Policy, n: int) -> Trace:
        """The greedy policy's trace of n ticks, a single episode drawn as fresh ones are; not for a history."""
        tape, facts = self._fresh_market(policy).facts(n + 1)
        rules = make_rules(self.config, policy.space)
        return greedy_trace(self.config, policy.space, rules, policy.q, policy.comm_q, tape, facts)

    def _fresh_market(self, policy: Policy) -> Environment:
        generators = replace(self._generators, environment=copy.deepcopy(self._generators.evaluation))
        return make_environment(self.config, generators, encoder=policy.encoder)

    def _window_rows(self, policy: Policy, history: History) -> Callable[[int], Tape]:
        config, length = self.config, self.config.episode_length
        market = self._bars
        if market is None or market.encoder is not policy.encoder:
            market = self._bars = HistoryBars(config, history, policy.encoder)  # for this policy's baselines too
        windows = (len(history) - 1) // length
        starts = np.arange(self.episodes) * windows // self.episodes * length
        weights, made = reward_weights(config), 0

        def fill(n: int) -> Tape:
            nonlocal made
            episode, tick = np.divmod(np.arange(made, made + n), length + 1)
            made += n
            chosen = starts[episode] + tick
            return market_tape(Bars(*(column[chosen] for column in market.bars)), weights, np.empty((n, 9)))

        return fill

    def _walk(
        self, policy: Policy, values: Callable[[np.ndarray], np.ndarray], action: Callable[[int], np.ndarray],
        fill: Callable[[int], Tape], cancelled: threading.Event | None,
    ) -> np.ndarray:  # fmt: skip
        config, rules = self.config, make_rules(self.config, policy.space)
        # Of large tables only the rows of the observations that come are looked at.
        is_sparse = policy.layout.tiling is not None or policy.space.n_states > DENSE_STATES
        tables = None if is_sparse else _following(values(np.arange(policy.space.n_states)))
        memory = make_memory(None, 0, bounded=False, steps=0)
        agent, sums = np.zeros(4, np.int64), np.zeros(2)
        rewards, ended = np.empty(self.episodes), 0
        rows = self.episodes * (config.episode_length + 1)
        # Tables of the states that there are change from block to block: no episode must go on in the next.
        block = max(1, EVALUATION_ROWS // (config.episode_length + 1)) * (config.episode_length + 1)
        block = block if is_sparse else EVALUATION_ROWS
        for start in range(0, rows, block):
            if cancelled is not None and cancelled.is_set():
                raise Cancelled("cancelled in the evaluation")
            n = min(block, rows - start)
            tape = fill(n)
            steps = np.empty(tape.base.shape, np.uint8)
            if rules.n_moods:
                mood_steps(tape.base, steps)
            if is_sparse:
                codes, found = np.unique(tape.code, return_inverse=True)
                tables = _following(values(policy.layout.states_of(codes)))
                tape = tape._replace(code=found.astype(np.int32))
            ended += learn_actions(
                tape, steps, rules, tables, memory, agent, sums, action(n), config.episode_length, 0.0,
                config.discount, np.empty(n, np.int32), np.empty(n), rewards[ended:],
            )  # fmt: skip
        return rewards


def _following(values: np.ndarray) -> Tables:
    # Learning at a rate of 0 without exploration is following the tables: nothing in them changes.
    tables = make_tables(values.shape[0], 1)
    tables.q[:] = values
    tables.greedy[:] = np.argmax(values, axis=1)
    return tables


def select_best_policy(policies: Iterable[Policy], seed: int | None = None, history: History | None = None) -> Policy:
    """The policy with the highest evaluation, ties to the first; all are evaluated on the same episodes.

    policies: of one config; seed: whose evaluation stream the episodes are drawn from, by default the first policy's;
    history: the bars they were trained on, by default loaded as the config says. Raises InputError.
    """
    policies = list(policies)
    if not policies:
        raise InputError("there is no policy to select from")
    config = policies[0].config
    if any(policy.config != config for policy in policies):
        raise InputError("the policies are of different configs, whose rewards cannot be compared; give those of one")
    if config.environment.kind == "history" and history is None:
        history = load_config_history(config)
    evaluator = Evaluator(config, policies[0].seed if seed is None else seed, history)
    return max(policies, key=lambda policy: evaluator.evaluate(policy).mean)
