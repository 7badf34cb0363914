"""How certain planned values are: deviations of advantages by blocks of bars, and resamples of the bars."""

from typing import NamedTuple

import numpy as np

from idi_fast.kernels._jit import index, kernel
from idi_fast.kernels.learn import mood_step
from idi_fast.kernels.planning import reward


class Blocks(NamedTuple):
    """Advantages over holding, summed by node and block of consecutive bars.

    means float64 (nodes, columns): what deviations are from; sums float64 (nodes, columns), bars int64 (nodes,): of the
    block that is open; squares float64 (nodes, columns): summed squares of the deviations of blocks that have ended,
    number int64 (nodes,): how many have bars of a node. Columns are position, mood, and buy or sell.
    """

    means: np.ndarray
    sums: np.ndarray
    bars: np.ndarray
    squares: np.ndarray
    number: np.ndarray


@kernel
def deviations(bars, weights, rewards, ids, model, worth, length, blocks):
    """Add the squared deviations, by blocks of `length` bars, of what buying and selling earn more than holding.

    Both are earned on the same bar, and their difference varies far less than either. bars, weights, rewards: as for
    `count_transitions`, behind a first bar that only shows what was observed before; ids int32 (n_observations,): the
    number of each observation in the model; worth float64 (m, 3 n_moods): as `continuations` leaves it; blocks:
    `Blocks`, none of them open. Mutates: blocks.
    """
    observation, gaps, changes, costs, scarcities = bars.observation, bars.gap, bars.change, bars.cost, bars.scarcity
    n_moods, moves, parent, worths = model.n_moods, model.next_position, model.parent, worth.reshape(-1)
    states, columns, sums, members = 3 * n_moods, 6 * n_moods, blocks.sums.reshape(-1), blocks.bars
    touched, n_touched, last = np.empty(members.size, np.int64), 0, observation.size - 1
    for row in range(1, observation.size):
        t = index(row)
        node, following = np.int64(ids[observation[index(row - 1)]]), np.int64(ids[observation[t]]) * states
        gap, change, cost, scarcity = gaps[t], changes[t], costs[t], scarcities[t]
        if members[node] == 0:
            touched[n_touched] = node
            n_touched += 1
        members[node] += 1
        place = node * columns
        for position in range(3):
            hold = reward(rewards, t, position, position, gap, change, cost, scarcity, weights)
            holds, held_step = following + position * n_moods, mood_step(hold)
            for action in range(1, 3):
                after = moves[index(position * 3 + action)]
                if after == position:
                    continue  # holds as well, and so earns nothing more
                gain = reward(rewards, t, position, after, gap, change, cost, scarcity, weights)
                if n_moods == 1:
                    more = worths[index(following + after)] - worths[index(holds)]
                    sums[index(place + position * 2 + action - 1)] += gain - hold + more
                    continue
                moved_step = mood_step(gain)
                for mood in range(n_moods):
                    held = holds + max(0, min(n_moods - 1, mood + held_step))
                    moved = following + after * n_moods + max(0, min(n_moods - 1, mood + moved_step))
                    more = worths[index(moved)] - worths[index(held)]
                    sums[index(place + (position * n_moods + mood) * 2 + action - 1)] += gain - hold + more
        if row % length == 0 or row == last:
            close_block(touched, n_touched, parent, blocks)
            n_touched = 0


@kernel
def close_block(touched, n_touched, parent, blocks):
    """End the block that is open: its first `n_touched` observations touched int64 (nodes,), which has room for more,
    have bars. Mutates: touched, blocks."""
    columns, place = blocks.sums.shape[1], 0
    # Groups are numbered behind their members and are touched by these, so each is complete before its own turn if
    # the list is walked level by level, as it grows.
    while place < n_touched:
        node = touched[place]
        up = parent[node]
        if up != node:
            if blocks.bars[up] == 0:
                touched[n_touched] = up
                n_touched += 1
            blocks.bars[up] += blocks.bars[node]
            for k in range(columns):
                blocks.sums[up, k] += blocks.sums[node, k]
        for k in range(columns):
            deviation = blocks.sums[node, k] - blocks.bars[node] * blocks.means[node, k]
            blocks.squares[node, k] += deviation * deviation
            blocks.sums[node, k] = 0.0
        blocks.bars[node] = 0
        blocks.number[node] += 1
        place += 1


@kernel
def resample(words, ends_below, n, chosen):
    """A stationary bootstrap (Politis & Romano 1994): blocks of n bars, taken in a circle, of geometric lengths.

    words uint64 (2, k): a block ends before the bar where one of the first row is below `ends_below`; the second gives
    the start of the next. chosen int64 (k,). Mutates: chosen.
    """
    bar = np.int64(0)
    for k in range(chosen.size):
        begins = k == 0 or words[0, k] < ends_below
        bar = np.int64(words[1, k] % np.uint64(n)) if begins else (bar + 1) % n
        chosen[k] = bar
