"""From bars to the tables of a policy, without episodes."""

import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from idi_fast.agents.certainty import Certainty
from idi_fast.agents.learner import make_tables
from idi_fast.config.settings import TrainingConfig
from idi_fast.environments.features import Bars
from idi_fast.environments.rewards import RewardRule
from idi_fast.environments.rng import Generator
from idi_fast.environments.state_space import StateSpace
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

    rewards: makes those of the bars; generator: of the resamples of `learning.bootstrap`.
    """

    def __init__(
        self, config: TrainingConfig, space: StateSpace, rules: Rules, rewards: RewardRule, generator: Generator
    ):
        self._config = config
        self._space = space
        self._rules = rules
        self._generator = generator
        self._rewards = rewards
        self._hierarchy = Hierarchy.of(space, unordered_features(config))
        # Without its term the reward, and so all values, are the same in every mood.
        self._by_mood = rules.n_moods > 1 and rules.clarity != 0.0

    def plan(self, series: Sequence[Bars], cancelled: threading.Event | None = None) -> Plan:
        """The plan on some series of bars, as those of several symbols. Raises Cancelled, NumericalError."""
        learning, hierarchy = self._config.learning, self._hierarchy
        if isinstance(learning.shrinkage, str):
            choice = choose_shrinkage(series, hierarchy, self._rules, self._rewards, self._config.discount, cancelled)
        else:
            choice = Choice(learning.shrinkage, {})
        process = self._process(series, choice.shrinkage)
        solution = solve(process, learning.tolerance, cancelled=cancelled)
        doubt = measure_doubt(series, self._rewards, process, solution, hierarchy.n_observations)
        unsure = self._unsure(process, solution, doubt)
        if unsure is not None:
            solution = self._of_sure_actions(process, solution, unsure, cancelled)
        nearest = process.nodes.nearest(np.arange(hierarchy.n_observations))
        q, about = action_values(process, solution, nearest), self._about(series, choice)
        agreement = earned = None
        if learning.bootstrap:
            q, agreement, earned = self._ensemble(series, choice.shrinkage, cancelled)
            _hold_where(q, (agreement < learning.min_agreement)[..., np.newaxis])
        if unsure is not None:
            _hold_where(q, unsure[nearest])
        if earned is not None or choice.earned:
            about |= self._of_chance(series, q, choice, earned)
        tables = self._tables(process, q, nearest, cancelled)
        certainty = self._certainty(doubt, nearest, agreement)._replace(optimism=about.get("optimism_share"))
        return Plan(tables, certainty, about)

    def _process(self, series: Sequence[Bars], shrinkage: float, times: np.ndarray = ONCE) -> Process:
        n = self._hierarchy.n_observations
        totals = count(series, n, self._rewards, by_mood=self._by_mood, times=times)
        kappa = np.full(self._hierarchy.levels, shrinkage)
        return make_process(totals, self._hierarchy, self._rules, self._config.discount, kappa)

    def _unsure(self, process: Process, solution: Solution, doubt: Doubt) -> np.ndarray | None:
        """Which actions of each node are not better than holding by `learning.confidence` standard errors, bool like
        `action_values`; None where that is not asked for."""
        confidence = self._config.learning.confidence
        if confidence == 0.0:
            return None
        q = action_values(process, solution, np.arange(process.nodes.size))
        unsure = np.zeros(q.shape, bool)
        unsure[..., 1:] = q[..., 1:] - q[..., :1] < confidence * doubt.errors
        return unsure

    def _of_sure_actions(
        self, process: Process, solution: Solution, unsure: np.ndarray, cancelled: threading.Event | None
    ) -> Solution:
        """The solution where only sure actions may be taken, now and later."""
        bits = (~unsure[: process.shape[0]]).astype(np.uint8) @ np.array([1, 2, 4], np.uint8)
        allowed = np.ascontiguousarray(bits.transpose(0, 2, 1)).reshape(process.shape)
        return solve(
            process, self._config.learning.tolerance, allowed=allowed, start=solution.values, cancelled=cancelled
        )

    def _ensemble(
        self, series: Sequence[Bars], shrinkage: float, cancelled: threading.Event | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The mean of the tables of resampled bars, the share of these that agree with its actions, and what their
        actions earn per bar on all real bars and on those that were not drawn, float64 (resamples, 2)."""
        learning = self._config.learning
        bars = _joined(series)
        total, actions, earned, each = np.float64(0.0), [], [], np.empty(bars.observation.size)
        for chosen in resamples(series, self._generator, learning.bootstrap):
            times = occurrences(chosen)
            process = self._process(series, shrinkage, times)
            nearest = process.nodes.nearest(np.arange(self._hierarchy.n_observations))
            own = action_values(process, solve(process, learning.tolerance, cancelled=cancelled), nearest)
            total = total + own
            actions.append(np.argmax(own, axis=-1).astype(np.int8))
            follow_table(bars, self._flat(own), self._rules, self._rewards, each)
            left_out = times == 0
            earned.append((each.mean(), each[left_out].mean() if left_out.any() else np.nan))
        q = np.asarray(total / learning.bootstrap)
        best = np.argmax(q, axis=-1)
        agreement = np.asarray(sum((each == best).astype(float) for each in actions)) / learning.bootstrap
        return q, agreement, np.array(earned)

    def _of_chance(self, series: Sequence[Bars], q: np.ndarray, choice: Choice, earned: np.ndarray | None) -> dict:
        """What the final table earns on its own bars, and how much of it bars that were left out say is chance."""
        about, bars = {}, _joined(series)
        each = np.empty(bars.observation.size)
        follow_table(bars, self._flat(q), self._rules, self._rewards, each)
        in_sample = float(each.mean())
        if earned is not None:
            about["expected_reward"] = [float(value) for value in np.quantile(earned[:, 0], (0.025, 0.5, 0.975))]
            left_out = earned[:, 1][np.isfinite(earned[:, 1])]
            share = optimism_share(lost_share(in_sample, float(left_out.mean()))) if left_out.size else None
        else:
            share = lost_share(in_sample, choice.earned[choice.shrinkage])
        return {**about, "in_sample_reward": in_sample, "optimism_share": share}

    def _flat(self, q: np.ndarray) -> np.ndarray:
        return self._full(q).reshape(-1, 3)

    def _full(self, q: np.ndarray) -> np.ndarray:
        """Values of each mood, where those of one stand for all."""
        return np.broadcast_to(q, (q.shape[0], self._rules.n_moods, *q.shape[2:]))

    def _tables(
        self, process: Process, q: np.ndarray, nearest: np.ndarray, cancelled: threading.Event | None
    ) -> Tables:
        n, reached, shape = nearest.size, self._reached, (nearest.size, self._rules.n_moods, 3)
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

    def _certainty(self, doubt: Doubt, nearest: np.ndarray, agreement: np.ndarray | None) -> Certainty:
        shape, reached = (nearest.size, self._rules.n_moods, 3), self._reached
        errors, bars = np.zeros((*shape, 2)), np.zeros(shape)
        errors[:, :, reached] = self._full(doubt.errors[nearest])[:, :, reached]
        bars[:, :, reached] = doubt.bars[nearest][:, np.newaxis, np.newaxis]
        agreed = None if agreement is None else self._full(agreement).reshape(-1).copy()
        return Certainty(errors.reshape(-1, 2), bars.reshape(-1), agreed)

    @property
    def _reached(self) -> slice:
        """The positions that there may be."""
        return slice(None) if self._config.environment.allow_short else slice(1, None)

    def _about(self, series: Sequence[Bars], choice: Choice) -> dict:
        return {
            "bars": sum(bars.observation.size for bars in series),
            "shrinkage": choice.shrinkage,
            "left_out_reward": [{"shrinkage": kappa, "per_bar": earned} for kappa, earned in choice.earned.items()],
        }


def lost_share(in_sample: float, left_out: float) -> float | None:
    """The share of what a table earns on its own bars that tables like it do not earn on bars that they lack, from 0 to
    1; None where it earns nothing."""
    return min(max(1.0 - left_out / in_sample, 0.0), 1.0) if in_sample > 0.0 else None


def optimism_share(lost: float | None) -> float | None:
    """The share of chance in what a table earns on its own bars, from the share that tables of resamples lose on bars
    that these lack: the .632+ bootstrap (Efron & Tibshirani 1997), whose no-information reward is 0."""
    return None if lost is None else 0.632 * lost / (1.0 - 0.368 * lost)


def _joined(series: Sequence[Bars]) -> Bars:
    return series[0] if len(series) == 1 else Bars(*(np.concatenate(columns) for columns in zip(*series, strict=True)))


def _hold_where(q: np.ndarray, barred: np.ndarray) -> None:
    """Give barred actions at most the value of holding, which then is the first best. Mutates: q."""
    np.copyto(q, np.minimum(q, q[..., :1]), where=barred)
