"""How strongly means are shrunk, chosen on the training bars."""

import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from idi_fast.environments.features import Bars
from idi_fast.environments.rewards import RewardRule
from idi_fast.kernels.learn import Rules, Tape
from idi_fast.kernels.planning import earn
from idi_fast.kernels.rollout import rollout_bars, rollout_rows
from idi_fast.planning.counts import count_parts, each_left_out
from idi_fast.planning.hierarchy import Hierarchy
from idi_fast.planning.rewards import BLOCK_BARS, by_move, overlapping
from idi_fast.planning.solution import action_values, make_process, solve

USUAL = 400.0
"""Bars that a parent counts as where the bars do not say better: so many tell a mean return of a twentieth of its
deviation, as markets have, from 0."""
CANDIDATES = (5.0, 20.0, 100.0, USUAL, 1600.0, 6400.0)
BLOCKS = 8
FEWEST_BARS = 32
"""Bars of a block from which on it is a test."""
CONVINCING = {"less": 4.0, "more": 2.0}
"""Standard errors by which less or more shrinkage than the usual must earn more: of several candidates the best is
mostly the luckiest, and less shrinkage claims to know more."""
TOLERANCE = 1e-4


class Choice(NamedTuple):
    """A shrinkage, and what tables of each candidate earned per bar on the blocks left out of their making: empty where
    there are too few bars to test any."""

    shrinkage: float
    earned: dict[float, float]


def choose_shrinkage(
    series: Sequence[Bars],
    hierarchy: Hierarchy,
    rules: Rules,
    rule: RewardRule,
    discount: float,
    cancelled: threading.Event | None = None,
) -> Choice:
    """The shrinkage whose tables earn most on consecutive blocks of bars, each left out of the counts in its turn.

    It is the usual one, unless another is convincingly better over the blocks. The mood has no part in this: rewards
    are those before its term. Bars of the training only are used.
    """
    n = sum(each.observation.size for each in series)
    if n < BLOCKS * FEWEST_BARS:
        return Choice(USUAL, {})
    bars = Bars(*(np.concatenate(columns) for columns in zip(*series, strict=True))) if len(series) > 1 else series[0]
    plain = without_mood(rules)
    bounds = np.linspace(0, n, BLOCKS + 1).astype(np.int64).tolist()
    parts = count_parts(series, bounds, hierarchy.n_observations, rule)
    earned = np.zeros((len(CANDIDATES), BLOCKS))
    for number, others in enumerate(each_left_out(parts)):
        start, stop = bounds[number : number + 2]
        codes, found = _numbered(bars.observation[start:stop], hierarchy.n_observations)
        targets, nodes, values = np.empty((len(CANDIDATES), 3 * codes.size), np.uint8), None, None
        for place, candidate in enumerate(CANDIDATES):
            kappa = np.full(hierarchy.levels, candidate)
            process = make_process(others, hierarchy, plain, discount, kappa, nodes)
            solution = solve(process, TOLERANCE, start=values, cancelled=cancelled)
            nodes, values = process.nodes, solution.values
            best = action_values(process, solution, process.nodes.nearest(codes))[:, 0].argmax(axis=2)
            targets[place] = np.take_along_axis(plain.next_position.reshape(1, 3, 3), best[..., np.newaxis], 2).reshape(
                -1
            )
        position = np.ones(len(CANDIDATES), np.int64)
        for first, part in overlapping(bars.rows(slice(start, stop))):
            shown = found[first : first + part.observation.size]
            earn(shown, part, rule.weights, by_move(rule, part), targets, position, earned[:, number])
    better = earned - earned[CANDIDATES.index(USUAL)]
    error = better.std(axis=1, ddof=1) * np.sqrt(BLOCKS)
    least = np.where(np.array(CANDIDATES) < USUAL, CONVINCING["less"], CONVINCING["more"])
    gain = np.where(better.sum(axis=1) > least * error, better.sum(axis=1), 0.0)
    chosen = CANDIDATES[int(gain.argmax())] if gain.max() > 0.0 else USUAL
    return Choice(chosen, dict(zip(CANDIDATES, (earned.sum(axis=1) / n).tolist(), strict=True)))


def without_mood(rules: Rules) -> Rules:
    """The rules for states of observation and position only."""
    return rules._replace(strides=np.array([3, 3, 1]), n_moods=1, clarity=0.0)


def _numbered(observation: np.ndarray, n_observations: int) -> tuple[np.ndarray, np.ndarray]:
    """Distinct observations int64 (m,), or all that there may be if these are few, and the place of each bar's among
    them, int32 (n,)."""
    if n_observations <= observation.size:
        return np.arange(n_observations), observation
    shown = np.zeros(n_observations, bool)
    shown[observation] = True
    codes, place = np.flatnonzero(shown), np.empty(n_observations, np.int32)
    place[codes] = np.arange(codes.size)
    return codes, place[observation]


def follow_table(bars: Bars, q: np.ndarray, rules: Rules, rule: RewardRule, out: np.ndarray) -> None:
    """What the greedy actions of a table earn on each of a series of bars, begun flat, before the mood term, into out
    float64 (n,)."""
    n, agent, sums = min(BLOCK_BARS, bars.observation.size), np.array([0, 1, 0, 1]), np.zeros(2)
    greedy = np.argmax(q, axis=1).astype(np.int8), np.zeros(q.shape[0], np.int16)
    steps = np.empty(n, np.int64), np.empty(n, np.int8), np.empty(n, np.int16), np.empty(n, np.int8), np.empty(n)
    for start in range(0, bars.observation.size, BLOCK_BARS):
        part = bars.rows(slice(start, start + BLOCK_BARS))
        rewards = by_move(rule, part)
        if rewards.size:
            rollout_rows(Tape(rewards, part.observation, part.risk), rules, *greedy, agent, sums, *steps)
        else:
            earning = part.gap, part.change, part.cost, part.scarcity, rule.weights
            rollout_bars(part.observation, *earning, rules, *greedy, agent, sums, *steps)
        state, *_, earned = (column[: part.observation.size] for column in steps)
        if rules.clarity != 0.0:
            earned -= rules.clarity * (state // rules.strides[1] % rules.n_moods)
        out[start : start + part.observation.size] = earned
    out[:1] = 0.0  # the mood at the beginning was not earned
