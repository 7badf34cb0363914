"""The decision process that counts describe, and its best table."""

import threading
from dataclasses import dataclass, replace

import numpy as np

from idi_fast.errors import Cancelled, NumericalError
from idi_fast.kernels import planning as kernels
from idi_fast.kernels.learn import Rules
from idi_fast.kernels.planning import Model
from idi_fast.planning.counts import Totals
from idi_fast.planning.hierarchy import Hierarchy, Nodes

ANY = 7
"""All actions, as bits; see `kernels.planning.back_up`."""
SWEEPS = 64
"""Sweeps of a call, between which planning can be cancelled."""
ROUNDING = 64 * np.finfo(np.float64).eps
"""Changes smaller than that share of the largest value are rounding."""
MOST_SWEEPS = 1_000_000

OLD, NEW = np.divmod(np.arange(9), 3)
"""The old and the new position of each move."""


@dataclass(frozen=True)
class Process:
    """An empirical decision process.

    nodes: its observations and their groups; bars int64 (nodes,): how many followed each; alerts float64 (nodes,):
    share of these with a risk event; summed float64 (m, 9): rewards by move; model: as kernels take it.
    """

    nodes: Nodes
    bars: np.ndarray
    alerts: np.ndarray
    summed: np.ndarray
    model: Model

    @property
    def columns(self) -> int:
        """Columns of `kernels.planning.continuations`."""
        return 9 * self.model.n_moods if self.model.rises.size else 3

    @property
    def shape(self) -> tuple[int, int]:
        """That of the values."""
        return self.nodes.observations.size, 3 * self.model.n_moods

    def of_own_bars(self) -> "Process":
        """The same without shrinkage: means are those of each node's own bars, 0 where it has none."""
        own = np.divide(1.0, self.bars, out=np.zeros(self.bars.size), where=self.bars > 0)
        reward = np.zeros_like(self.model.reward)
        reward[: self.summed.shape[0]] = self.summed
        none = np.zeros(own.size)
        kernels.blend(self.nodes.parent, own, none, reward)
        return replace(self, model=self.model._replace(own=own, inherited=none, reward=reward))


def make_process(
    totals: Totals,
    hierarchy: Hierarchy,
    rules: Rules,
    discount: float,
    shrinkage: np.ndarray,
    nodes: Nodes | None = None,
) -> Process:
    """The process of counts, shrunk towards coarser groups.

    The mean of an observation or group counts as much as its bars, that of its parent as much as `shrinkage` bars,
    float64 (levels,), one for each level below the highest (Efron & Morris 1975). nodes: those of a process of the same
    counts, if there is one.
    """
    counts, here = totals.counts, totals.here
    nodes = Nodes(hierarchy, np.union1d(here, totals.following)) if nodes is None else nodes
    observations = nodes.observations
    bars = nodes.totals(counts.bars[observations])
    own, inherited = blending(bars, nodes.level, shrinkage)
    summed = summed_rewards(counts.sums[observations], counts.bars[observations], totals.rule.weights)
    reward = np.zeros((nodes.size, 9))
    reward[: observations.size] = summed
    kernels.blend(nodes.parent, own, inherited, reward)
    alerts = np.zeros((nodes.size, 1))
    alerts[: observations.size, 0] = counts.alerts[observations]
    kernels.blend(nodes.parent, own, inherited, alerts)
    model = Model(
        first=np.searchsorted(here, np.append(observations, totals.n_observations)),
        following=np.searchsorted(observations, totals.following).astype(np.int32),
        bars=totals.bars,
        rises=totals.rises,
        falls=totals.falls,
        parent=nodes.parent,
        own=own,
        inherited=inherited,
        reward=reward,
        next_position=rules.next_position,
        n_moods=rules.n_moods if totals.by_mood else 1,
        clarity=rules.clarity if totals.by_mood else 0.0,
        discount=discount,
    )
    return Process(nodes, bars, alerts[:, 0], summed, model)


def blending(bars: np.ndarray, level: np.ndarray, shrinkage: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of each node's own sum and of its parent's mean, both float64 (nodes,). A node without bars has its
    parent's mean, whatever the shrinkage."""
    kappa = np.append(shrinkage, 0.0)[level]
    weight = bars + kappa
    has_bars = weight > 0.0
    own = np.divide(1.0, weight, out=np.zeros(bars.size), where=has_bars)
    return own, np.where(bars > 0, kappa * own, 1.0) * (level < shrinkage.size)


def summed_rewards(sums: np.ndarray, bars: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Summed rewards before the mood term by move, float64 (m, 9), from `Counts.sums`: if these are not they,
    `market_reward` is linear in what is summed."""
    if sums.shape[1] == OLD.size:
        return sums
    gap, change, cost, scarcity = (column[:, np.newaxis] for column in sums.T)
    pnl = (OLD - 1) * gap + (NEW - 1) * change - np.abs(NEW - OLD) * cost
    ethics = np.where(NEW >= 1, weights[2], -weights[2]) * bars[:, np.newaxis]
    return pnl * weights[0] + scarcity * weights[1] + ethics


@dataclass(frozen=True)
class Solution:
    """values float64 (m, 3 n_moods): of the states of each observation, by position and mood; following float64
    (nodes, columns): expected worth of what follows; see `kernels.planning`."""

    values: np.ndarray
    following: np.ndarray


def solve(
    process: Process,
    tolerance: float,
    *,
    bonus: np.ndarray | None = None,
    allowed: np.ndarray | None = None,
    start: np.ndarray | None = None,
    cancelled: threading.Event | None = None,
) -> Solution:
    """The values of the best actions among those allowed, to within `tolerance`.

    bonus float64 (m,): added to every reward; allowed uint8 (m, 3 n_moods): by default all actions; start: values to
    begin with, by default 0. Raises Cancelled; NumericalError if values overflow.
    """
    model = process.model
    values = np.zeros(process.shape) if start is None else start.copy()
    bonus = np.zeros(process.shape[0]) if bonus is None else bonus
    allowed = np.full(process.shape, ANY, np.uint8) if allowed is None else allowed
    worth, following = np.empty(process.shape), np.empty((process.nodes.size, process.columns))
    wanted = tolerance * (1.0 - model.discount) / model.discount
    for _ in range(0, MOST_SWEEPS, SWEEPS):
        if cancelled is not None and cancelled.is_set():
            raise Cancelled("cancelled while planning")
        least = max(wanted, ROUNDING * float(np.abs(values).max()))
        change = kernels.iterate_values(model, bonus, allowed, values, worth, following, SWEEPS, least)
        if not np.isfinite(change):
            raise NumericalError("the values overflowed; use smaller weights of rewards, or a smaller discount")
        if change <= max(wanted, ROUNDING * float(np.abs(values).max())):
            kernels.continuations(model, values, worth, following)
            return Solution(values, following)
    raise NumericalError(f"values did not converge to within {tolerance:g}; use a smaller discount")


def action_values(process: Process, solution: Solution, nodes: np.ndarray) -> np.ndarray:
    """Values of hold, buy and sell, float64 (n, n_moods, 3, 3): by node, mood, position and action."""
    model = process.model
    moves = OLD.reshape(3, 3) * 3 + model.next_position.reshape(3, 3)
    reward = model.reward[nodes][:, np.newaxis, moves]
    if process.columns == 3:
        return reward + solution.following[nodes][:, np.newaxis, moves % 3]
    following = solution.following[nodes].reshape(nodes.size, 9, model.n_moods)
    return reward + following[:, moves].transpose(0, 3, 1, 2)
