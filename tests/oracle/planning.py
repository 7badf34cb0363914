"""Planning by its definition: weights of single bars, dense linear equations, and policies one by one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np


class Bar(NamedTuple):
    """What one bar shows, and what it earns: see the kernel's `bars`; rewards by move where they are no sums."""

    observation: int
    gap: float
    change: float
    cost: float
    scarcity: float
    risk: bool
    rewards: Sequence[float] = ()


class Setting(NamedTuple):
    """What an agent may do and is paid for: weights of PnL, scarcity and ethics, the new position by old * 3 + action,
    moods, weight of the mood, discount."""

    weights: tuple[float, float, float]
    next_position: tuple[int, ...]
    n_moods: int
    clarity: float
    discount: float


State = tuple[int, int, int]
"""Observation, mood and position."""


def reward(bar: Bar, old: int, new: int, weights: Sequence[float]) -> float:
    """The reward before the mood term."""
    if bar.rewards:
        return bar.rewards[old * 3 + new]
    earned = (old - 1) * bar.gap + (new - 1) * bar.change - abs(new - old) * bar.cost
    return weights[0] * earned + weights[1] * bar.scarcity + (weights[2] if new > 0 else -weights[2])


def mood_after(mood: int, earned: float, n_moods: int) -> int:
    """One up after a reward above 0.5, one down after one below −0.2."""
    return min(max(mood + (earned > 0.5) - (earned < -0.2), 0), n_moods - 1)


def count_transitions(
    bars: Sequence[Bar], weights: Sequence[float], times: Sequence[int], before: int
) -> tuple[dict[int, list[float]], Counter[tuple], Counter[tuple], Counter[tuple]]:
    """By observation bars, alerts and sums of what they earn; bars by pair of observations; and those of them that
    raise or lower the mood, by pair and move."""
    totals: dict[int, list[float]] = {}
    edges, rises, falls = Counter(), Counter(), Counter()
    for bar, many in zip(bars, times, strict=True):
        if before >= 0 and many:
            parts = (1, bar.risk, *(bar.rewards or (bar.gap, bar.change, bar.cost, bar.scarcity)))
            row = totals.setdefault(before, [0.0] * len(parts))
            totals[before] = [total + many * part for total, part in zip(row, parts, strict=True)]
            pair = before, bar.observation
            edges[pair] += many
            for move in range(9):
                earned = reward(bar, *divmod(move, 3), weights)
                rises[*pair, move] += many * (earned > 0.5)
                falls[*pair, move] += many * (earned < -0.2)
        before = bar.observation
    return totals, edges, rises, falls


def copy_edges(table: dict[int, list[int]], wider: dict[int, list[int]]) -> None:
    """Put all edges into another table."""
    wider.update(table)


def blend(
    parent: Sequence[int], own: Sequence[float], inherited: Sequence[float], sums: Sequence[float]
) -> list[float]:
    """The mean of each node from the sums of the observations, which have no others below them."""

    def total(node: int) -> float:
        below = [child for child, above in enumerate(parent) if above == node and child != node]
        return sums[node] + sum(map(total, below))

    def mean(node: int) -> float:
        return own[node] * total(node) + (inherited[node] * mean(parent[node]) if parent[node] != node else 0.0)

    return [mean(node) for node in range(len(parent))]


def continuations(
    edges: Sequence[tuple[int, int, int, Sequence[int], Sequence[int]]], values: np.ndarray, setting: Setting
) -> np.ndarray:
    """The summed worth of what follows each observation, by move and mood: edges of observation, the next one, bars,
    and those that raise and lower the mood, by move; values by observation, position and mood."""
    sums = np.zeros((values.shape[0], 9, setting.n_moods))
    for here, following, bars, rises, falls in edges:
        for move, mood in product(range(9), range(setting.n_moods)):
            for many, step in ((rises[move], 1), (falls[move], -1), (bars - rises[move] - falls[move], 0)):
                after = min(max(mood + step, 0), setting.n_moods - 1)
                worth = setting.clarity * after + setting.discount * values[following, move % 3, after]
                sums[here, move, mood] += many * worth
    return sums


def groups(observation: int, sizes: Sequence[int], ordered: Sequence[bool]) -> Iterator[tuple[int, ...]]:
    """The group of an observation, by its digits, at every level."""
    digits = []
    for size in reversed(sizes):
        observation, digit = divmod(observation, size)
        digits.insert(0, digit)
    yield tuple(digits)
    buckets = list(sizes)
    while any(size > 1 for size, order in zip(buckets, ordered, strict=True) if order):
        digits = [digit // 2 if order else digit for digit, order in zip(digits, ordered, strict=True)]
        buckets = [math.ceil(size / 2) if order else size for size, order in zip(buckets, ordered, strict=True)]
        yield tuple(digits)
    if any(size > 1 for size in buckets):
        yield (0,) * len(buckets)


def bar_weights(
    shown: Sequence[int], observation: int, sizes: Sequence[int], ordered: Sequence[bool], kappa: float
) -> np.ndarray:
    """The weight of each bar, which follows an observation `shown`, in the mean of one observation."""
    levels = list(groups(observation, sizes, ordered))
    weight = np.zeros(len(shown))
    for level in reversed(range(len(levels))):
        inside = np.array([list(groups(each, sizes, ordered))[level] == levels[level] for each in shown], float)
        strength = kappa if level < len(levels) - 1 else 0.0
        if inside.sum() > 0.0:
            weight = (inside + strength * weight) / (inside.sum() + strength)
    return weight


class Process:
    """The empirical decision process of transitions (observation, the bar after it), as equations of its states."""

    def __init__(
        self,
        transitions: Sequence[tuple[int, Bar]],
        sizes: Sequence[int],
        ordered: Sequence[bool],
        kappa: float,
        setting: Setting,
    ):
        self.setting = setting
        self.transitions = transitions
        observations = range(math.prod(sizes))
        shown = [here for here, _ in transitions]
        self.weights = {each: bar_weights(shown, each, sizes, ordered, kappa) for each in observations}
        self.states: list[State] = list(product(observations, range(setting.n_moods), range(3)))
        self._number = {state: k for k, state in enumerate(self.states)}

    def equation(self, state: State, action: int) -> tuple[float, np.ndarray]:
        """Expected reward, and probability of each next state."""
        observation, mood, position = state
        new = self.setting.next_position[position * 3 + action]
        mean, following = 0.0, np.zeros(len(self.states))
        for weight, (_, bar) in zip(self.weights[observation], self.transitions, strict=True):
            earned = reward(bar, position, new, self.setting.weights)
            after = mood_after(mood, earned, self.setting.n_moods)
            mean += weight * (earned + self.setting.clarity * after)
            following[self._number[bar.observation, after, new]] += weight
        return mean, following

    def values(self, actions: Sequence[int], bonus: Sequence[float] | None = None) -> np.ndarray:
        """The value of each state under a stationary policy, by a dense linear solve."""
        equations = [self.equation(state, action) for state, action in zip(self.states, actions, strict=True)]
        earned = np.array([mean for mean, _ in equations])
        if bonus is not None:
            earned += [bonus[observation] for observation, _, _ in self.states]
        return np.linalg.solve(
            np.eye(len(self.states)) - self.setting.discount * np.array([p for _, p in equations]), earned
        )

    def action_values(self, values: np.ndarray) -> np.ndarray:
        """Of each state and action, given the values of states."""
        discount = self.setting.discount
        pairs = ([self.equation(state, action) for action in range(3)] for state in self.states)
        return np.array([[mean + discount * following @ values for mean, following in row] for row in pairs])

    def best_table(self) -> np.ndarray:
        """Values of the actions under the best policy, float64 (states, 3), by policy iteration (Howard 1960)."""
        actions = [0] * len(self.states)
        while True:
            q = self.action_values(self.values(actions))
            # Only a clear improvement changes an action, so that it ends.
            better = [
                int(row.argmax()) if row.max() > row[old] + 1e-11 else old for row, old in zip(q, actions, strict=True)
            ]
            if better == actions:
                return q
            actions = better


def back_up(process: Process, values: np.ndarray) -> np.ndarray:
    """The values of states after one sweep of value iteration."""
    return process.action_values(values).max(axis=1)


def iterate_values(process: Process) -> np.ndarray:
    """What sweeps converge to: the values of states under the best policy."""
    return process.best_table().max(axis=1)


def combine(residuals: np.ndarray) -> np.ndarray:
    """Shares of sum 1 that make the combination of residuals, float64 (held, n), shortest: by least squares."""
    first, rest = residuals[0], residuals[1:]
    shares = np.linalg.lstsq((rest - first).T, -first, rcond=None)[0] if len(rest) else np.zeros(0)
    return np.array([1.0 - shares.sum(), *shares])


def earn(bars: Sequence[Bar], weights: Sequence[float], new_position: dict[tuple[int, int], int]) -> float:
    """What a policy earns before the mood term, begun flat; the new position by observation and old one."""
    total, old = 0.0, 1
    for before, bar in pairwise(bars):
        new = new_position[before.observation, old]
        total, old = total + reward(bar, old, new, weights), new
    return total
