"""Evaluation: what a policy earns when it follows its tables, on episodes that training has not drawn."""

import copy
import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from idi_fast import display
from idi_fast.agents.episodes import Episodes
from idi_fast.agents.learner import make_memory, make_tables
from idi_fast.agents.policy import Policy, check_policy
from idi_fast.agents.trace import Trace, greedy_trace
from idi_fast.config.arguments import check_integer, described
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.panel import Panel, TrainingBars, TrainingBarsLike, check_bars, members
from idi_fast.environments.environment import Environment, make_environment
from idi_fast.environments.history_bars import HistoryBars
from idi_fast.environments.rewards import RewardRule
from idi_fast.environments.rng import make_generators
from idi_fast.environments.splits import load_training_bars
from idi_fast.environments.state_space import make_rules
from idi_fast.errors import Cancelled, InputError, NumericalError
from idi_fast.evaluation.other_agents import Act
from idi_fast.kernels.learn import Learner, Rows, Tables, Tape, learn_actions, mood_steps

if TYPE_CHECKING:
    import polars as pl

EVALUATION_EPISODES = 1000
"""Episodes of an evaluation: the standard error is then a thirtieth of the deviation of an episode."""
EVALUATION_ROWS = 16_384
"""Rows that an evaluation may use however short training was, under a millisecond; also the rows made at a time."""


DENSE_STATES = 2**18


@dataclass(frozen=True)
class Evaluation:
    """The mean reward of an episode over several of them.

    Attributes
    ----------
    mean : float
        No unit.
    standard_error : float or None
        Treating episodes as independent; None for a single one.
    episodes : int
        How many.
    """

    mean: float
    standard_error: float | None
    episodes: int

    @classmethod
    def of(cls, rewards: np.ndarray) -> "Evaluation":
        """From the rewards of some episodes, float64 (n,); NumericalError if they are not finite."""
        n = rewards.size
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(rewards.mean())
            error = float(rewards.std(ddof=1)) / math.sqrt(n) if n > 1 else None
        if not math.isfinite(mean) or not math.isfinite(error or 0.0):
            raise NumericalError("the rewards of the evaluation overflowed; use a smaller volatility or pnl")
        return cls(mean, error, n)

    def row(self, of: str) -> dict[str, object]:
        """Its row of a summary; of: whose it is."""
        return {"of": of, "mean": self.mean, "standard_error": self.standard_error, "episodes": self.episodes}

    def summary_frame(self) -> "pl.DataFrame":
        """One row: mean, standard_error, episodes."""
        import polars as pl

        return pl.DataFrame([self.row("evaluation")])

    def _repr_html_(self) -> str:
        rows = [("mean reward", self.mean), ("standard error", self.standard_error), ("episodes", self.episodes)]
        chart = display.interval_chart([("mean ± 2 errors", self.mean, self.standard_error)])
        return display.as_html("Evaluation", rows, chart=chart)


class Evaluator:
    """Evaluates policies of one config on the same episodes, so that the comparison is fair; thread-safe.

    On synthetic and crypto the episodes are fresh ones, drawn from the evaluation stream of `seed`. On history they are
    consecutive windows of the bars, spread evenly if there are more than needed: the very bars that training has drawn
    its episodes from (`in_sample`). There are up to 1,000 episodes, but no more than training has, or than make 16,384
    rows if that is more, unless `episodes` says how many. bars: the encoded history, if it already exists; in_sample:
    whether the bars are those of the training, None: they are if there are some.
    """

    def __init__(
        self,
        config: TrainingConfig,
        seed: int,
        history: TrainingBars | None = None,
        bars: HistoryBars | None = None,
        episodes: int | None = None,
        in_sample: bool | None = None,
    ):
        self.config = config
        self.seed = seed
        self.in_sample = history is not None if in_sample is None else in_sample
        self._history = history
        self._bars = bars
        self._generators = make_generators(config.engine, seed)
        length = config.episode_length
        if episodes is None:
            episodes = min(EVALUATION_EPISODES, max(config.episodes, EVALUATION_ROWS // (length + 1), 2))
        if history is not None:
            episodes = min(episodes, sum((len(each) - 1) // length for _, each in members(history)))
        self.episodes = episodes

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
        """The reward of each episode, float64 (episodes,), of an agent in the policy's environment.

        values: maps states int64 (n,) to the values of their actions, float64 (n, 3), by default the policy's; action:
        int8 (n,), the actions taken at n rows regardless of the values, −1 to follow them.
        """
        history = self._history
        fill = self._fresh_market(policy).fill if history is None else self._window_rows(policy, history)
        return self._walk(policy, policy.values if values is None else values, action, fill, cancelled)

    def agent_rewards(self, policy: Policy, act: Act) -> np.ndarray:
        """The reward of each episode, float64 (episodes,), of an agent of another kind in the policy's environment."""
        history, length = self._history, self.config.episode_length
        fill = self._fresh_market(policy).fill if history is None else self._window_rows(policy, history)
        rewards = np.zeros(self.episodes)
        at_a_time = max(1, EVALUATION_ROWS // (length + 1))
        for first in range(0, self.episodes, at_a_time):
            part = rewards[first : first + at_a_time]
            episodes = Episodes(self.config, policy.space, part.size)
            episodes.reset(fill(part.size * (length + 1)))
            while not episodes.has_ended:
                part += episodes.step(act(episodes.digits()))
        return rewards

    def by_symbol(self, rewards: np.ndarray) -> dict[str, np.ndarray]:
        """The rewards float64 (episodes,) of a panel's episodes by symbol, those of one history under no name; after
        `rewards` was called. A symbol may have none."""
        if not isinstance(self._history, Panel) or self._bars is None:
            return {}
        stops, _ = self._bars.windows(self.config.episode_length, self.config.episode_length)
        places = np.searchsorted(stops, self._windows(stops), "right")
        return {symbol: rewards[places == place] for place, symbol in enumerate(self._history.histories)}

    def _windows(self, stops: np.ndarray) -> np.ndarray:
        return np.arange(self.episodes) * stops[-1] // self.episodes

    def follow(self, policy: Policy, n: int) -> Trace:
        """The greedy policy's trace of n ticks, a single episode drawn like fresh ones; not for a history."""
        tape, facts = self._fresh_market(policy).facts(n + 1)
        rules = make_rules(self.config, policy.space)
        return greedy_trace(self.config, policy.space, rules, policy.q, policy.comm_q, tape, facts)

    def _fresh_market(self, policy: Policy) -> Environment:
        generators = replace(self._generators, environment=copy.deepcopy(self._generators.evaluation))
        return make_environment(self.config, generators, encoder=policy.encoder)

    def _window_rows(self, policy: Policy, history: TrainingBars) -> Callable[[int], Tape]:
        config, length = self.config, self.config.episode_length
        market = self._bars
        if market is None or market.encoder is not policy.encoder:
            market = self._bars = HistoryBars(config, history, policy.encoder)  # for this policy's baselines too
        stops, shifts = market.windows(length, length)
        windows = self._windows(stops)
        starts = windows * length + shifts[np.searchsorted(stops, windows, "right")]
        rule, made = RewardRule(config, market.encoder), 0

        def fill(n: int) -> Tape:
            nonlocal made
            episode, tick = np.divmod(np.arange(made, made + n), length + 1)
            made += n
            tape = Tape(np.empty((n, 9)), np.empty(n, np.int32), np.empty(n, np.uint8))
            return rule.chosen(market.bars, starts[episode] + tick, tape)

        return fill

    def _walk(
        self,
        policy: Policy,
        values: Callable[[np.ndarray], np.ndarray],
        action: Callable[[int], np.ndarray],
        fill: Callable[[int], Tape],
        cancelled: threading.Event | None,
    ) -> np.ndarray:
        config, rules = self.config, make_rules(self.config, policy.space)
        # With large tables only the rows of the coming observations are used.
        is_sparse = policy.layout.tiling is not None or policy.space.n_states > DENSE_STATES
        fixed = None if is_sparse else _following(values(np.arange(policy.space.n_states)))
        memory = make_memory(None, 0, bounded=False, steps=0)
        agent, sums = np.zeros(4, np.int64), np.zeros(2)
        rewards, ended = np.empty(self.episodes), 0
        rows = self.episodes * (config.episode_length + 1)
        # Tables of the occurring states change from block to block: no episode may continue in the next.
        block = max(1, EVALUATION_ROWS // (config.episode_length + 1)) * (config.episode_length + 1)
        block = block if is_sparse else EVALUATION_ROWS
        for start in range(0, rows, block):
            if cancelled is not None and cancelled.is_set():
                raise Cancelled("cancelled in the evaluation")
            n = min(block, rows - start)
            tape = fill(n)
            steps = np.empty(tape.reward_by_position.shape, np.uint8)
            if rules.n_moods:
                mood_steps(tape.reward_by_position, steps)
            tables = fixed
            if tables is None:
                codes, found = np.unique(tape.observation, return_inverse=True)
                tables = _following(values(policy.layout.states_of(codes)))
                tape = tape._replace(observation=found.astype(np.int32))
            learner = Learner(rules, tables, memory, agent, sums, config.episode_length, 0.0, config.discount)
            comm = np.empty(0, np.int16)
            ended += learn_actions(
                tape, Rows(action(n), comm, steps, np.empty(n, np.int32), np.empty(n)), learner, rewards[ended:]
            )
        return rewards


def _following(values: np.ndarray) -> Tables:
    # Learning at a rate of 0 without exploration follows the tables and changes nothing in them.
    tables = make_tables(values.shape[0], 1)
    tables.q[:] = values
    tables.greedy[:] = np.argmax(values, axis=1)
    return tables


def select_best_policy(
    policies: Iterable[Policy], seed: int | None = None, history: TrainingBarsLike | None = None
) -> Policy:
    """The policy with the highest evaluation, ties to the first; all are evaluated on the same episodes.

    Parameters
    ----------
    policies
        Of one config.
    seed
        The seed whose evaluation stream the episodes come from, by default the first policy's.
    history
        The bars they were trained on, by default those of the config.

    Returns
    -------
    Policy
        One of the given policies.

    Raises
    ------
    InputError
        If there are none, or they are of different configs.

    Examples
    --------
    >>> import idi_fast as idi
    >>> policies = [idi.train(idi.TrainingConfig(episodes=16), seed=seed).policy for seed in (1, 2)]
    >>> idi.select_best_policy(policies).seed in (1, 2)
    True
    """
    if isinstance(policies, Policy) or not isinstance(policies, Iterable):
        raise InputError(f"policies is {described(policies)}; expected a list of Policy")
    policies, history = [check_policy(policy) for policy in policies], check_bars(history)
    seed = check_integer("seed", seed, optional=True)
    if not policies:
        raise InputError("there is no policy to select from")
    config = policies[0].config
    if any(policy.config != config for policy in policies):
        raise InputError("the policies are of different configs, whose rewards cannot be compared; give those of one")
    if config.environment.kind == "history" and history is None:
        history = load_training_bars(config)
    evaluator = Evaluator(config, policies[0].seed if seed is None else seed, history)
    return max(policies, key=lambda policy: evaluator.evaluate(policy).mean)
