"""From bars to the tables of a policy, without episodes."""

import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from idi_fast.agents.certainty import Certainty
from idi_fast.agents.learner import make_tables
from idi_fast.config.settings import TrainingConfig
from idi_fast.environments.features import Bars
from idi_fast.environments.rewards import reward_weights
from idi_fast.environments.rng import Generator
from idi_fast.environments.state_space import StateSpace
from idi_fast.errors import Cancelled
from idi_fast.kernels.learn import Rules, Tables
from idi_fast.planning.bootstrap import occurrences, resamples
from idi_fast.planning.counts import ONCE, count
from idi_fast.planning.doubt import Doubt, measure_doubt
from idi_fast.planning.hierarchy import Hierarchy, unordered_features
from idi_fast.planning.shrinkage import Choice, choose_shrinkage, follow_table
from idi_fast.planning.solution import Process, Solution, action_values, make_process, solve


class Plan(NamedTuple):
    """The tables that bars support, how certain they are, and how they came about, as JSON values."""

    tables: Tables
    certainty: Certainty
    about: dict


class Planner:
    """Plans the tables of one config.

    generator: of the resamples of `learning.bootstrap`.
    """

    def __init__(self, config: TrainingConfig, space: StateSpace, rules: Rules, generator: Generator):
        self._config = config
        self._space = space
        self._rules = rules
        self._generator = generator
        self._weights = reward_weights(config)
        self._hierarchy = Hierarchy.of(space, unordered_features(config))
        # Without its term the reward, and so all values, are the same in every mood.
        self._by_mood = rules.n_moods > 1 and rules.clarity != 0.0

    def plan(self, series: Sequence[Bars], cancelled: threading.Event | None = None) -> Plan:
        """The plan on some series of bars, each with bars of its own before none. Raises Cancelled, NumericalError."""
        learning, hierarchy = self._config.learning, self._hierarchy
        choice = Choice(0.0, {})
        if isinstance(learning.shrinkage, str):
            choice = choose_shrinkage(series, hierarchy, self._rules, self._weights, self._config.discount, cancelled)
        else:
            choice = Choice(learning.shrinkage, {})
        process = self._process(series, choice.shrinkage)
        solution = solve(process, learning.tolerance, cancelled=cancelled)
        doubt = measure_doubt(series, self._weights, process, solution, hierarchy.n_observations)
        if learning.confidence > 0.0:
            solution = self._confident(process, solution, doubt, cancelled)
        nearest = process.nodes.nearest(np.arange(hierarchy.n_observations))
        q = self._sure_values(process, solution, doubt, nearest)
        about = self._about(series, choice)
        agreement = None
        if learning.bootstrap:
            q, agreement, resampled = self._ensemble(series, choice.shrinkage, solution, q, cancelled)
            about |= resampled
        tables = self._tables(process, q, nearest, cancelled)
        reached = slice(None) if self._config.environment.allow_short else slice(1, None)
        certainty = self._certainty(doubt, nearest, agreement, reached)
        return Plan(tables, certainty, about)

    def _process(self, series: Sequence[Bars], shrinkage: float, times: np.ndarray = ONCE) -> Process:
        n = self._hierarchy.n_observations
        totals = count(series, n, self._weights, by_mood=self._by_mood, times=times)
        kappa = np.full(self._hierarchy.levels, shrinkage)
        return make_process(totals, self._hierarchy, self._rules, self._config.discount, kappa)

    def _confident(
        self, process: Process, solution: Solution, doubt: Doubt, cancelled: threading.Event | None
    ) -> Solution:
        """The solution whose actions are all better than holding by `learning.confidence` standard errors, as the first
        solution has them."""
        observed = np.arange(process.shape[0])
        unsure = self._unsure(action_values(process, solution, observed), doubt.errors[observed])
        bits = (~unsure).astype(np.uint8) @ np.array([1, 2, 4], np.uint8)
        allowed = np.ascontiguousarray(bits.transpose(0, 2, 1)).reshape(process.shape)
        return solve(
            process, self._config.learning.tolerance, allowed=allowed, start=solution.values, cancelled=cancelled
        )

    def _unsure(self, q: np.ndarray, errors: np.ndarray) -> np.ndarray:
        """Which actions are not better than holding by `learning.confidence` standard errors, bool like q."""
        unsure = np.zeros(q.shape, bool)
        unsure[..., 1:] = q[..., 1:] - q[..., :1] < self._config.learning.confidence * errors
        return unsure

    def _sure_values(self, process: Process, solution: Solution, doubt: Doubt, nearest: np.ndarray) -> np.ndarray:
        """Values of all states, float64 (observations, n_moods, 3, 3); unsure actions have at most that of holding."""
        q = action_values(process, solution, nearest)
        if self._config.learning.confidence > 0.0:
            np.copyto(q, np.minimum(q, q[..., :1]), where=self._unsure(q, doubt.errors[nearest]))
        return q

    def _ensemble(
        self,
        series: Sequence[Bars],
        shrinkage: float,
        solution: Solution,
        q: np.ndarray,
        cancelled: threading.Event | None,
    ) -> tuple[np.ndarray, np.ndarray, dict]:
        """The mean of the tables of resampled bars, the share of these that agree with its actions, and what their
        actions earn on their own bars and on the real ones."""
        learning, n = self._config.learning, self._hierarchy.n_observations
        bars = Bars(*(np.concatenate(columns) for columns in zip(*series, strict=True)))
        total, chosen_actions, earned = np.zeros_like(q), [], []
        for chosen in resamples(series, self._generator, learning.bootstrap):
            if cancelled is not None and cancelled.is_set():
                raise Cancelled("cancelled while planning on resamples")
            process = self._process(series, shrinkage, occurrences(chosen))
            own = action_values(process, solve(process, learning.tolerance), process.nodes.nearest(np.arange(n)))
            total += own
            chosen_actions.append(np.argmax(own, axis=-1).astype(np.int8))
            drawn = bars.rows(chosen)
            earned.append([self._earned(each, own) for each in (drawn, bars)])
        q = total / learning.bootstrap
        best = np.argmax(q, axis=-1)
        agreement = np.zeros(best.shape)
        for actions in chosen_actions:
            agreement += actions == best
        agreement /= learning.bootstrap
        if learning.min_agreement > 0.0:
            np.copyto(q, np.minimum(q, q[..., :1]), where=(agreement < learning.min_agreement)[..., np.newaxis])
        on_own, on_real = np.array(earned).T / bars.observation.size
        return (
            q,
            agreement,
            {
                "expected_reward": [float(value) for value in np.quantile(on_real, (0.025, 0.5, 0.975))],
                "optimism": float((on_own - on_real).mean()),
            },
        )

    def _earned(self, bars: Bars, q: np.ndarray) -> float:
        return follow_table(bars, self._full(q).reshape(-1, 3), self._rules, self._weights)

    def _full(self, q: np.ndarray) -> np.ndarray:
        """Values of each mood, where those of one stand for all."""
        return np.broadcast_to(q, (q.shape[0], self._rules.n_moods, *q.shape[2:]))

    def _tables(
        self, process: Process, q: np.ndarray, nearest: np.ndarray, cancelled: threading.Event | None
    ) -> Tables:
        reached = slice(None) if self._config.environment.allow_short else slice(1, None)
        n, shape = nearest.size, (nearest.size, self._rules.n_moods, 3)
        bonuses = self._rules.comm_bonus
        tables = make_tables(n * self._rules.n_moods * 3, bonuses.shape[1])
        tables.q.reshape(*shape, 3)[:, :, reached] = self._full(q)[:, :, reached]
        # What is said moves nothing: the best words are those with the best bonus, whatever follows.
        said = process.alerts[:, np.newaxis] * bonuses[1] + (1.0 - process.alerts[:, np.newaxis]) * bonuses[0]
        best = np.argmax(q, axis=-1)
        observed = process.nodes.observations
        allowed = np.left_shift(1, best[observed]).astype(np.uint8).transpose(0, 2, 1).reshape(process.shape)
        solution = solve(
            process,
            self._config.learning.tolerance,
            bonus=said[: observed.size].max(axis=1),
            allowed=np.ascontiguousarray(allowed),
            cancelled=cancelled,
        )
        acting = np.take_along_axis(action_values(process, solution, nearest), best[..., np.newaxis], axis=-1)
        comm_q = acting + said[nearest][:, np.newaxis, np.newaxis]
        tables.comm_q.reshape(*shape, -1)[:, :, reached] = self._full(comm_q)[:, :, reached]
        tables.greedy[:] = np.argmax(tables.q, axis=1)
        tables.comm_greedy[:] = np.argmax(tables.comm_q, axis=1)
        seen = np.zeros(n, np.int64)
        seen[observed] = process.bars[: observed.size]
        tables.visits.reshape(shape)[:, :, reached] = seen[:, np.newaxis, np.newaxis]
        return tables

    def _certainty(self, doubt: Doubt, nearest: np.ndarray, agreement: np.ndarray | None, reached: slice) -> Certainty:
        shape = (nearest.size, self._rules.n_moods, 3)
        errors, bars = np.zeros((*shape, 2)), np.zeros(shape)
        errors[:, :, reached] = self._full(doubt.errors[nearest])[:, :, reached]
        bars[:, :, reached] = doubt.bars[nearest][:, np.newaxis, np.newaxis]
        agreed = None if agreement is None else self._full(agreement).reshape(-1).copy()
        return Certainty(errors.reshape(-1, 2), bars.reshape(-1), agreed)

    def _about(self, series: Sequence[Bars], choice: Choice) -> dict:
        return {
            "bars": sum(bars.observation.size for bars in series),
            "shrinkage": choice.shrinkage,
            "left_out_reward": [{"shrinkage": kappa, "per_bar": earned} for kappa, earned in choice.earned.items()],
        }
