"""Planning on the bars themselves: counts of what followed each observation, and the best table that they imply.

Nothing an agent does moves the market, so each bar tells what every move from every position and mood would have
earned. The counts are those of an empirical Markov decision process (Dietterich, Trimponias & Chen 2018), which is
solved by value iteration (Bellman 1957). A *move* is the number 3 · old + new of two positions 0, 1, 2.
"""

from typing import NamedTuple

import numpy as np

from idi_fast.kernels._jit import index, kernel, prefetch
from idi_fast.kernels.learn import AHEAD, MOOD_FALLS_BELOW, MOOD_RISES_ABOVE
from idi_fast.kernels.market import market_reward

WINDOW = 8
"""Iterates that the acceleration combines."""
RIDGE = 1e-13
"""Added to the diagonal of the cosines between residuals, which are nearly parallel."""
WORSE = 4.0
"""A residual so many times the smallest is not built on."""
EMPTY = -1
STEP_BITS = 18
"""Bits of `_steps` in the key of an edge."""


class Counts(NamedTuple):
    """What followed each observation, over all bars so far.

    bars, alerts int64 (n,): bars that followed it, and those of them with a risk event; sums float64 (n, 4): of these
    bars' `gap`, `change`, `cost` and `scarcity`, or where rewards are no sums of these (n, 9): of the rewards by move.
    """

    bars: np.ndarray
    alerts: np.ndarray
    sums: np.ndarray


class Edges(NamedTuple):
    """Which observation followed which, as an open hash table; slots that are not in use have the key −1.

    key int64 (slots,), a power of two: (observation · n + the next) · 2¹⁸ + `_steps` of the bar, or 0 where moods do
    not matter; bars int32 (slots,); used int64 (1,).
    """

    key: np.ndarray
    bars: np.ndarray
    used: np.ndarray


class Model(NamedTuple):
    """The empirical decision process, its m observations numbered from 0, behind them the groups of ever more.

    first int64 (m + 1,): the place of each observation's first edge; following int32, bars int32 (edges,), rises, falls
    int32 (edges, 9 or 0); parent int64 (nodes,): the group that each observation or group lies in, the last its own;
    own, inherited float64 (nodes,): weight of a node's sum, and of its parent's mean; reward float64 (nodes, 9): mean
    reward before the mood term, by move; next_position int64 (9,); n_moods int64; clarity, discount float64.
    """

    first: np.ndarray
    following: np.ndarray
    bars: np.ndarray
    rises: np.ndarray
    falls: np.ndarray
    parent: np.ndarray
    own: np.ndarray
    inherited: np.ndarray
    reward: np.ndarray
    next_position: np.ndarray
    n_moods: int
    clarity: float
    discount: float


@kernel(inline=True)
def _home(keys, key):
    """Where the search for a key begins: Fibonacci hashing (Knuth 1973, 6.4)."""
    return ((index(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20)) & np.uint64(keys.size - 1)


@kernel(inline=True)
def _slot(keys, key):
    """The slot of a key, or the empty one where it belongs, by linear probing."""
    mask, at = np.uint64(keys.size - 1), _home(keys, key)
    while keys[at] != EMPTY and keys[at] != key:
        at = (at + np.uint64(1)) & mask
    return at


@kernel(inline=True)
def reward(rewards, t, before, after, gap, change, cost, scarcity, weights):
    """The reward before the mood term of bar t: of rewards float64 (n, 9), by move, or if that is of no size the sum
    that `market_reward` makes."""
    if rewards.size:
        return rewards[index(t), index(3 * before + after)]
    return market_reward(before, after, gap, change, cost, scarcity, weights)


@kernel
def count_transitions(bars, weights, rewards, times, before, by_mood, counts, edges):
    """Add what followed each observation in the next bars.

    bars: `idi_fast.environments.features.Bars` of n bars; weights, rewards: see `reward`; times int32 (n,): how often
    each counts, or of no size: once; by_mood: whether the steps of the mood are part of an edge. before int64 (1,): the
    observation before the first, −1 at a beginning. edges has room for n more. Mutates: before, counts, edges.
    """
    observation, gaps, changes, costs, scarcities = bars.observation, bars.gap, bars.change, bars.cost, bars.scarcity
    risk, followed, alerts, sums = bars.risk, counts.bars, counts.alerts, counts.sums.reshape(-1)
    keys, edge_bars, n_observations, last, used = edges.key, edges.bars, counts.bars.size, before[0], edges.used[0]
    # First all keys, in vectors, so that the slots of those to come can be asked for: half the time of a bar.
    key_of = np.zeros(observation.size, np.int64)
    if by_mood:
        for row in range(observation.size):
            t = index(row)
            key_of[t] = _steps(rewards, t, gaps[t], changes[t], costs[t], scarcities[t], weights)
    for row in range(1, observation.size):
        t = index(row)
        key_of[t] |= (np.int64(observation[index(row - 1)]) * n_observations + observation[t]) << STEP_BITS
    if observation.size and last >= 0:
        key_of[0] |= (last * n_observations + observation[0]) << STEP_BITS
    for row in range(observation.size):
        t = index(row)
        prefetch(keys, _home(keys, key_of[index(min(row + AHEAD, observation.size - 1))]))
        here, last = last, np.int64(observation[t])
        often = np.int64(times[t]) if times.size else 1
        if here < 0 or often == 0:
            continue
        at, many = index(here), np.float64(often)
        followed[at] += often
        alerts[at] += often * np.int64(risk[t])
        if rewards.size:
            for move in range(9):
                sums[at * index(9) + index(move)] += many * rewards[t, index(move)]
        else:
            first = at * index(4)
            sums[first] += many * gaps[t]
            sums[first + index(1)] += many * changes[t]
            sums[first + index(2)] += many * costs[t]
            sums[first + index(3)] += many * scarcities[t]
        slot = _slot(keys, key_of[t])
        if keys[slot] == EMPTY:
            keys[slot] = key_of[t]
            used += 1
        edge_bars[slot] += often
    before[0], edges.used[0] = last, used


@kernel(inline=True)
def _steps(rewards, t, gap, change, cost, scarcity, weights):
    """Which moves raise the mood, as bits 0 to 8, and which lower it, as bits 9 to 17."""
    steps = np.int64(0)
    for move in range(9):
        earned = reward(rewards, t, move // 3, move % 3, gap, change, cost, scarcity, weights)
        steps |= np.int64(earned > MOOD_RISES_ABOVE) << move
        steps |= np.int64(earned < MOOD_FALLS_BELOW) << (9 + move)
    return steps


@kernel
def copy_edges(edges, wider):
    """Put all edges into an empty table with more slots. Mutates: wider."""
    for slot in range(edges.key.size):
        if edges.key[slot] != EMPTY:
            at = _slot(wider.key, edges.key[slot])
            wider.key[at], wider.bars[at] = edges.key[slot], edges.bars[slot]
    wider.used[0] = edges.used[0]


@kernel
def blend(parent, own, inherited, table):
    """Sums float64 (nodes, k) of observations to means of all nodes: shrinkage towards ever coarser groups.

    The sum of a group is that of its members; the mean of a node is own · sum + inherited · mean of its parent. On
    entry only rows of observations are not 0. Mutates: table.
    """
    columns, flat = table.shape[1], table.reshape(-1)
    for node in range(parent.size - 1):
        place, up = node * columns, parent[node] * columns
        for k in range(columns):
            flat[index(up + k)] += flat[index(place + k)]
    for node in range(parent.size - 1, -1, -1):
        place, up, mine, theirs = node * columns, parent[node] * columns, own[node], inherited[node]
        for k in range(columns):
            flat[index(place + k)] = mine * flat[index(place + k)] + theirs * flat[index(up + k)]


@kernel
def continuations(model, values, worth, out):
    """The expected worth of what follows each node: mood term of the reward, and discounted value of the next state.

    values, worth (scratch) float64 (m, 3 n_moods), by position and mood; out float64 (nodes, 9 n_moods), by move and
    mood, or where moods do not matter (nodes, 3), by the new position. Mutates: worth, out.
    """
    n_moods, columns = model.n_moods, out.shape[1]
    worths, mean = worth.reshape(-1), out.reshape(-1)
    flat = values.reshape(-1)
    for k in range(flat.size):
        worths[index(k)] = model.clarity * (k % n_moods) + model.discount * flat[index(k)]
    for k in range(mean.size):
        mean[index(k)] = 0.0
    for observation in range(model.first.size - 1):
        place = observation * columns
        for edge in range(model.first[observation], model.first[observation + 1]):
            at, many = np.int64(model.following[index(edge)]) * 3 * n_moods, np.float64(model.bars[index(edge)])
            if columns == 3:
                for after in range(3):
                    mean[index(place + after)] += many * worths[index(at + after)]
            else:
                _by_mood(model, edge, many, worths, at, mean, place)
    blend(model.parent, model.own, model.inherited, out)


@kernel(inline=True)
def _by_mood(model, edge, many, worths, at, mean, place):
    """The share of one edge in the sums of its observation."""
    n_moods = model.n_moods
    for move in range(9):
        rises, falls = (
            np.float64(model.rises[index(edge), index(move)]),
            np.float64(model.falls[index(edge), index(move)]),
        )
        stays, here = many - rises - falls, at + (move % 3) * n_moods
        for mood in range(n_moods):
            up, down = here + min(mood + 1, n_moods - 1), here + max(mood - 1, 0)
            mean[index(place + move * n_moods + mood)] += (
                stays * worths[index(here + mood)] + rises * worths[index(up)] + falls * worths[index(down)]
            )


@kernel(inline=True)
def _column(n_moods, columns, move, mood):
    """The column of `continuations` for a move and the mood before it."""
    return move % 3 if columns == 3 else move * n_moods + mood


@kernel
def back_up(model, bonus, allowed, values, worth, following, out):
    """One sweep of value iteration: the value of each state from those of the states that follow.

    bonus float64 (m,): added to the reward in each observation; allowed uint8 (m, 3 n_moods): bits 1, 2, 4 for hold,
    buy, sell; the rest as in `continuations`, whose `out` is `following`. out float64 (m, 3 n_moods).
    Mutates: worth, following, out.
    """
    continuations(model, values, worth, following)
    n_moods, columns = model.n_moods, following.shape[1]
    for observation in range(values.shape[0]):
        for position in range(3):
            for mood in range(n_moods):
                best, actions = -np.inf, allowed[observation, position * n_moods + mood]
                for action in range(3):
                    if not (actions >> action) & 1:
                        continue
                    move = position * 3 + model.next_position[position * 3 + action]
                    column = _column(n_moods, columns, move, mood)
                    best = max(best, model.reward[observation, move] + following[observation, column])
                out[observation, position * n_moods + mood] = bonus[observation] + best


@kernel
def iterate_values(model, bonus, allowed, values, worth, following, sweeps, least):
    """Up to so many sweeps of `back_up` from given values, accelerated; return the largest change of the last.

    The next iterate is the combination of the last ones that would have had the smallest change, were the sweeps linear
    (Anderson 1965; for value iteration Geist & Scherrer 2018). It ends with the iterate of the smallest change found,
    backed up once more, so that no call takes values further from the solution; sooner if a change is at most `least`.
    Arguments else as in `back_up`. Mutates: values, worth, following.
    """
    size = values.size
    flat = values.reshape(-1)
    current, made = values.copy(), np.empty_like(values)
    iterate, image = current.reshape(-1), made.reshape(-1)
    images, residuals = np.empty((WINDOW, size)), np.empty((WINDOW, size))
    products, shares = np.zeros((WINDOW, WINDOW)), np.zeros(WINDOW)
    held, slot, smallest = 0, 0, np.inf
    for _ in range(sweeps):
        back_up(model, bonus, allowed, current, worth, following, made)
        largest = 0.0
        for k in range(size):
            residuals[slot, k] = image[k] - iterate[k]
            images[slot, k] = image[k]
            largest = max(largest, abs(residuals[slot, k]))
        if largest < smallest:
            smallest = largest
            for k in range(size):
                flat[k] = image[k]
        if smallest <= least or not largest < np.inf:
            break
        if largest > WORSE * smallest:
            # Off the piece of the piecewise linear map that the window describes: begin again.
            held, slot = 0, 0
            for k in range(size):
                iterate[k] = flat[k]
            continue
        held = min(held + 1, WINDOW)
        for other in range(held):
            product = 0.0
            for k in range(size):
                product += residuals[slot, k] * residuals[other, k]
            products[slot, other], products[other, slot] = product, product
        combine(products, held, shares)
        for k in range(size):
            iterate[k] = 0.0
        for other in range(held):
            for k in range(size):
                iterate[k] += shares[other] * images[other, k]
        slot = (slot + 1) % WINDOW
    return smallest


@kernel
def combine(products, held, shares):
    """Shares float64 (held,), of sum 1, of the combination of residuals with the smallest square sum.

    products float64 (≥ held, ≥ held): inner products of the residuals. Mutates: shares.
    """
    lengths, cosines = np.empty(held), np.empty((held, held + 1))
    for i in range(held):
        lengths[i] = max(np.sqrt(products[i, i]), 1e-300)
    for i in range(held):
        for j in range(held):
            cosines[i, j] = products[i, j] / lengths[i] / lengths[j]
        cosines[i, i] = 1.0 + RIDGE
        cosines[i, held] = lengths[0] / lengths[i]
    # Gaussian elimination; the matrix is positive definite, so that no pivoting is needed.
    for i in range(held):
        for j in range(i + 1, held):
            factor = cosines[j, i] / cosines[i, i]
            for k in range(i, held + 1):
                cosines[j, k] -= factor * cosines[i, k]
    total = 0.0
    for i in range(held - 1, -1, -1):
        value = cosines[i, held]
        for j in range(i + 1, held):
            value -= cosines[i, j] * shares[j] * lengths[j]
        shares[i] = value / cosines[i, i] / lengths[i]
    for i in range(held):
        total += shares[i]
    for i in range(held):
        shares[i] = shares[i] / total


@kernel
def earn(observation, bars, weights, rewards, targets, position, earned):
    """What several policies of observation and position earn on the same bars, before the mood term.

    observation int32 (n,): of the bars, numbered as in targets uint8 (policies, 3 observations), the new position of
    each state; weights, rewards: see `reward`. position int64, earned float64 (policies,): what the policies hold and
    have earned at the first bar. Mutates: position, earned.
    """
    # One step of each policy after the other: none waits for another, while each waits for its own last one.
    for row in range(1, observation.size):
        t, here = index(row), np.int64(observation[index(row - 1)]) * 3
        gap, change, cost, scarcity = bars.gap[t], bars.change[t], bars.cost[t], bars.scarcity[t]
        for policy in range(earned.size):
            old = position[policy]
            new = np.int64(targets[policy, here + old])
            earned[policy] += reward(rewards, t, old, new, gap, change, cost, scarcity, weights)
            position[policy] = new
