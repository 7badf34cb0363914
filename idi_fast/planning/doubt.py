"""How well the bars tell an action from holding."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from idi_fast.environments.features import Bars
from idi_fast.environments.rewards import RewardRule
from idi_fast.kernels import planning as kernels
from idi_fast.kernels.doubt import Blocks, deviations
from idi_fast.planning.rewards import BLOCK_BARS, by_move, overlapping
from idi_fast.planning.solution import Process, Solution, action_values


class Doubt(NamedTuple):
    """Of each node: errors float64 (nodes, n_moods, 3, 2), standard errors of the advantage of buy and of sell over
    hold, by mood and position; bars float64 (nodes,): how many bars of equal weight would make as good a mean."""

    errors: np.ndarray
    bars: np.ndarray


def block_length(bars: int) -> int:
    """Bars of a block, within which rewards may depend on one another: twice the cube root of all, the order of the
    best length (Künsch 1989; Politis & Romano 1994)."""
    return max(1, int(np.ceil(2.0 * np.cbrt(bars))))


def measure_doubt(
    series: Sequence[Bars], rule: RewardRule, process: Process, solution: Solution, n_observations: int
) -> Doubt:
    """The standard errors of a solution's advantages, its values taken as given.

    Advantages are paired: of both actions on the same bars. Deviations from each node's own mean are summed by blocks
    of consecutive bars, and the blocks' squares make the variance per bar, which allows for dependence within them.
    Like means, variances are shrunk towards those of coarser groups; a node whose bars lie in one block has its
    parent's.
    """
    model, nodes = process.model, process.nodes
    raw = process.of_own_bars()
    columns, size = 6 * model.n_moods, nodes.size
    means = raw_advantages(raw, solution).reshape(size, columns)
    ids = np.full(n_observations, -1, np.int32)
    ids[nodes.observations] = np.arange(nodes.observations.size)
    sums, squares = np.zeros((size, columns)), np.zeros((size, columns))
    blocks = Blocks(means, sums, np.zeros(size, np.int64), squares, np.zeros(size, np.int64))
    worth = model.clarity * (np.arange(3 * model.n_moods) % model.n_moods) + model.discount * solution.values
    length = block_length(int(process.bars[-1]))
    for bars in series:
        # Of whole blocks, so that none is cut.
        for _, part in overlapping(bars, max(1, BLOCK_BARS // length) * length):
            deviations(part, rule.weights, by_move(rule, part), ids, model, worth, length, blocks)
    variance, share = _long_run_variance(process, squares, blocks.number), _sum_of_squared_weights(process)
    errors = np.sqrt(variance * share[:, np.newaxis]).reshape(size, 3, model.n_moods, 2).transpose(0, 2, 1, 3)
    return Doubt(errors, 1.0 / share)


def raw_advantages(process: Process, solution: Solution) -> np.ndarray:
    """Means over each node's own bars of the advantages of buy and sell, float64 (nodes, 3, n_moods, 2)."""
    following, worth = np.empty_like(solution.following), np.empty_like(solution.values)
    kernels.continuations(process.model, solution.values, worth, following)
    q = action_values(process, Solution(solution.values, following), np.arange(process.nodes.size))
    return np.ascontiguousarray((q[..., 1:] - q[..., :1]).transpose(0, 2, 1, 3))


def _long_run_variance(process: Process, squares: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Variance per bar of the advantages, float64 (nodes, columns); infinite where a single block shows all bars."""
    parent, bars = process.nodes.parent, process.bars
    variance = np.full(squares.shape, np.inf)
    for node in range(parent.size - 1, -1, -1):
        above = variance[parent[node]]
        if blocks[node] < 2:
            variance[node] = above
            continue
        own = squares[node] / bars[node] * (blocks[node] / (blocks[node] - 1))
        inherited = process.model.inherited[node]
        variance[node] = own if inherited == 0.0 else (1.0 - inherited) * own + inherited * above
    return variance


def _sum_of_squared_weights(process: Process) -> np.ndarray:
    """Sum over bars of their squared weights in the mean of each node, float64 (nodes,)."""
    parent, bars = process.nodes.parent, process.bars
    own, inherited = process.model.own, process.model.inherited
    weight, squared = np.zeros(parent.size), np.zeros(parent.size)
    weight[-1], squared[-1] = own[-1], 1.0 / bars[-1]
    for node in range(parent.size - 2, -1, -1):
        above = parent[node]
        # A node's bars have all one weight in its parent's mean, and one in its own.
        weight[node] = own[node] + inherited[node] * weight[above]
        rest = squared[above] - bars[node] * weight[above] ** 2
        squared[node] = bars[node] * weight[node] ** 2 + inherited[node] ** 2 * rest
    return squared
