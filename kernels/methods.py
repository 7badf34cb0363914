"""Learning by other methods than plain Q-learning, and at rates that fall: row after row, both tables at once.

With S, A, R, S′ the state, action, reward and next state of a step, the first table's target is R + γ V(S′) with
- Q-learning (Watkins 1989): V(S′) = max Q(S′, ·);
- double Q-learning (van Hasselt 2010): of two tables a coin picks one to update; V is what the other one says of the
  action that is best in the first;
- expected SARSA (van Seijen et al. 2009; Sutton & Barto 2018, 6.6): the mean of Q(S′, ·) under the ε-greedy policy;
- Watkins's Q(λ) with replacing traces (Singh & Sutton 1996; Sutton & Barto 1998, 7.6): as Q-learning, and every value
  that led here takes its share λγ of the next error, until the agent explores.
The communication table is learnt by Q-learning always.
"""

import math
from typing import NamedTuple

import numpy as np

from idi_fast.kernels._jit import index, kernel, lowest_bit, prefetch, variant
from idi_fast.kernels.learn import (
    AHEAD,
    DONE,
    FETCHED_STATES,
    MANY_STATES,
    MOOD,
    PNL,
    POSITION,
    REWARD,
    best_of,
    best_of_three,
    max_of,
    next_mood,
    reset_mood,
)
from idi_fast.kernels.tape_words import below, high_uniform

Q_LEARNING, DOUBLE_Q_LEARNING, EXPECTED_SARSA, Q_LAMBDA = range(4)
BY_EPISODES, BY_VISITS = 1, 2
"""What a rate falls with; 0 is nothing."""
LEAST_TRACE = 1e-3
"""A trace that has fallen below this is dropped."""
TOGETHER = 64
"""Traces that are looked at at once, in vectors."""


class Method(NamedTuple):
    """How the tables are learnt; floats are float64, the others int64.

    algorithm: one of the four above; rate_by: nothing, BY_EPISODES or BY_VISITS, the learning rate · (1 + n /
    rate_delay)^−rate_power; rates float64 (n,), the first of these, of no size where it is nothing; exploration_by:
    nothing (· decay an episode), BY_EPISODES (linear, by exploration_step an episode) or BY_VISITS (of a state,
    exploration_visits c: c / (c + n)), of which explorations float64 (n,) are the first; trace_decay: λγ.
    """

    algorithm: int
    rate_by: int
    rate_delay: float
    rate_power: float
    rates: np.ndarray
    exploration_by: int
    exploration_step: float
    exploration_visits: float
    explorations: np.ndarray
    trace_decay: float


class Places(NamedTuple):
    """Where in the tables' rows mood and position lie: mood int64 (n_tilings, moods or 2), position int64 (3,), both
    added to the first row of the observation's group; see `tiles`. A plain table has one tiling. span int64: the rows
    from the first to the last of a group."""

    mood: np.ndarray
    position: np.ndarray
    span: int


class LearningState(NamedTuple):
    """What a method keeps besides the tables.

    other float64 (n_rows, 3): double Q-learning's second table; updates and, of that table, other_updates int64
    (n_rows, 3), comm_updates int64 (n_rows, n_comm): of each value, where the rate falls with them; these have no size
    where they are not needed.
    here int64 (n_tilings,): the rows of the state that the agent is in. episode int64 (1,): episodes that ended;
    trace_entry int64, trace_weight float64 (n,), n a multiple of TOGETHER: values that led here, of which there are
    n_traces int64 (1,); beyond these, weights are 0.
    """

    other: np.ndarray
    updates: np.ndarray
    other_updates: np.ndarray
    comm_updates: np.ndarray
    here: np.ndarray
    episode: np.ndarray
    trace_entry: np.ndarray
    trace_weight: np.ndarray
    n_traces: np.ndarray


@kernel(inline=True)
def falling_rate(rate, n, delay, power):
    """A learning rate after n updates or episodes; the values converge where power is above 0.5 and n counts updates
    (Robbins & Monro 1951; for Q-learning Even-Dar & Mansour 2003)."""
    return rate * math.pow(1.0 + n / delay, -power)


@kernel(inline=True)
def rate_after(rate, n, method):
    """The same, of a method, looked up where it is among the first."""
    if n < method.rates.size:
        return method.rates[index(n)]
    return falling_rate(rate, n, method.rate_delay, method.rate_power)


@kernel(inline=True)
def exploration_rate(method, progress, exploration, floor, visits):
    """The exploration rate in a state with so many visits, float64."""
    if method.exploration_by == BY_VISITS:
        # Looked up: the choice of the action would have to wait for the quotient.
        if visits < method.explorations.size:
            rate = method.explorations[index(visits)]
        else:
            rate = method.exploration_visits / (method.exploration_visits + visits)
    elif method.exploration_by == BY_EPISODES:
        rate = 1.0 - method.exploration_step * progress.episode[0]
    else:
        rate = exploration
    return max(floor, rate)


@kernel(inline=True)
def _enter(rows, places, mood, position, state, n_tilings):
    """Write the rows of a state, from its observation's int32 (n_tilings,), to state int64 (n_tilings,); the first."""
    for k in range(n_tilings):
        state[index(k)] = rows[index(k)] + places.mood[index(k), index(mood)] + places.position[index(position)]
    # Not read from the array again, where it would have to be waited for.
    return np.int64(rows[0] + places.mood[0, index(mood)] + places.position[index(position)])


@kernel(inline=True)
def _values3(table, first, state, n_tilings):
    """The sums of a table's rows of three values over the tilings of a state, whose first row is `first`."""
    hold, buy, sell = table[index(first * 3)], table[index(first * 3 + 1)], table[index(first * 3 + 2)]
    for k in range(1, n_tilings):
        at = state[index(k)] * 3
        hold, buy, sell = hold + table[index(at)], buy + table[index(at + 1)], sell + table[index(at + 2)]
    return hold, buy, sell


@kernel(inline=True)
def _chosen(action, hold, buy, sell):
    """The value of an action."""
    return sell if action == 2 else (buy if action == 1 else hold)


@kernel(inline=True)
def _add_values(table, state, n, values, n_tilings):
    """Write the sum of a table's rows of n values, over the tilings, to values float64 (n,)."""
    for action in range(n):
        values[index(action)] = table[index(state[0] * n + action)]
    for k in range(1, n_tilings):
        for action in range(n):
            values[index(action)] += table[index(state[index(k)] * n + action)]


@kernel(inline=True)
def _learn_value(table, first, state, n, action, error, rate, counts, method, learns, n_tilings):
    """Correct an action's value by its share of an error in every tiling, which together make up the whole.

    counts int64 (flat): updates of each value, on which the rate depends where there are any; learns: whether to,
    chosen without a branch, since a coin cannot be predicted. Mutates: table, counts.
    """
    for k in range(n_tilings):
        entry = index((first if k == 0 else state[index(k)]) * n + action)
        share = rate
        if counts.size > 0:
            share = rate_after(rate, counts[entry], method)
            counts[entry] += learns
        value = table[entry]
        table[entry] = value + share / n_tilings * error if learns else value


@kernel(inline=True)
def _fetch(q, comm_q, visits, first, fetched, n_comm):
    """Ask for the lines of a whole group of rows: what mood and position will be when it is needed is not known."""
    prefetch(visits, first)
    for place in range(first * 3, (first + fetched) * 3 + 7, 8):
        prefetch(q, place)
    for place in range(first * n_comm, (first + fetched) * n_comm + 7, 8):
        prefetch(comm_q, place)


@kernel(inline=True)
def _fetch_ahead(q, comm_q, visits, rows, row, fetched, n_comm, n_tilings):
    """The same of the state that a later row, or the last one, will lead to."""
    coming = index(min(row, rows.shape[0] - 1))
    for k in range(n_tilings):
        _fetch(q, comm_q, visits, np.int64(rows[coming, index(k)]), fetched, n_comm)


@kernel(inline=True)
def _clear_traces(progress):
    for k in range(progress.n_traces[0]):
        progress.trace_weight[index(k)] = 0.0
    progress.n_traces[0] = 0


@kernel(inline=True)
def _fade_traces(progress, trace_decay):
    """Let every trace fade by a step, and drop those too faint; their order means nothing. Mutates: progress."""
    entries, weights, n = progress.trace_entry, progress.trace_weight, progress.n_traces[0]
    # From the last ones on: what takes a dropped one's place has faded already.
    for first in range((n - 1) // TOGETHER * TOGETHER, -1, -TOGETHER):
        faint = np.uint64(0)
        for k in range(TOGETHER):
            weight = weights[index(first + k)] * trace_decay
            weights[index(first + k)] = weight
            faint |= np.uint64(weight < LEAST_TRACE) << np.uint64(k)
        if n - first < TOGETHER:
            faint &= (np.uint64(1) << np.uint64(n - first)) - np.uint64(1)
        while faint:
            k = lowest_bit(faint)
            faint &= faint - np.uint64(1)
            place = first + np.int64(k)
            while place < n and weights[index(place)] < LEAST_TRACE:
                n -= 1
                entries[index(place)], weights[index(place)] = entries[index(n)], weights[index(n)]
                weights[index(n)] = 0.0
    progress.n_traces[0] = n


@kernel(inline=True)
def _trace_of(entries, n, entry):
    """The place of a value among the first n, or n."""
    for first in range(0, n, TOGETHER):
        found = np.uint64(0)
        for k in range(TOGETHER):
            found |= np.uint64(entries[index(first + k)] == entry) << np.uint64(k)
        if found:
            return min(first + np.int64(lowest_bit(found)), n)
    return n


@kernel(inline=True)
def update_traces(q, method, progress, state, action, error, rate, counts):
    """Let every trace fade by a step, give the state's value in every tiling the whole weight, and every value that led
    here its share of the error.

    state int64 (n_tilings,); rate: the learning rate of all but where there are counts int64 (flat) of updates, by
    which each has its own. Mutates: q float64 (flat), progress.
    """
    entries, weights = progress.trace_entry, progress.trace_weight
    _fade_traces(progress, method.trace_decay)
    n = progress.n_traces[0]
    for tiling in range(state.size):
        entry = state[index(tiling)] * 3 + action
        place = _trace_of(entries, n, entry)
        n += place == n
        entries[index(place)], weights[index(place)] = entry, 1.0
    progress.n_traces[0] = n
    share = rate / state.size
    for k in range(n):
        entry = index(entries[index(k)])
        if counts.size > 0:
            share = rate_after(rate, counts[entry], method) / state.size
        q[entry] += share * weights[index(k)] * error


@kernel(inline=True)
def _best_said(comm_q, first, state, said, n_comm, n_tilings):
    """The best communication of a state; of several tilings the values are written to said float64 (n_comm,)."""
    if n_tilings == 1:
        return np.int64(best_of(comm_q, first * n_comm, n_comm))
    _add_values(comm_q, state, n_comm, said, n_tilings)
    return np.int64(best_of(said, 0, n_comm))


@kernel(inline=True)
def _most_said(comm_q, first, state, said, n_comm, n_tilings):
    """The value of the best communication of a state; of several tilings all are written to said."""
    if n_tilings == 1:
        return max_of(comm_q, first * n_comm, n_comm)
    _add_values(comm_q, state, n_comm, said, n_tilings)
    return max_of(said, 0, n_comm)


@kernel(inline=True)
def _exploration(method, progress, explorer, visits, first, of_episode):
    """The exploration rate in a state, which is the episode's unless it falls with visits."""
    if method.exploration_by == BY_VISITS:
        return exploration_rate(method, progress, explorer.exploration[0], explorer.floor, visits[index(first)])
    return of_episode


@kernel(inline=True)
def _count(updates, state, action):
    """Count an update of the value of an action, where such are counted. Mutates: updates."""
    if updates.size > 0:
        for k in range(state.size):
            updates[state[k] * 3 + action] += 1


def learn_by_method(tape, rows, places, explorer, learner, method, progress, words, totals):
    """Explore and train both tables over all rows of a tape; return how many episodes ended.

    rows int32 (n, n_tilings): see `tiles.tile_rows`; explorer: a `blocks.Explorer`; learner: a `learn.Learner` without
    episodic memory; words uint64 (n, 2): random, one for the action, one for the communication: the
    upper half decides whether to explore, the lower half with what, its last bit which of double Q-learning's tables is
    updated; totals as in `learn.learn_actions`. Mutates: explorer, learner, progress, totals.
    """
    # These two share a kernel, since they differ by a line.
    algorithm = Q_LEARNING if method.algorithm == EXPECTED_SARSA else method.algorithm
    is_usual = (rows.shape[1], learner.tables.comm_counts.size) == _USUAL
    learn = KERNELS[algorithm, *(_USUAL if is_usual else (ANY, ANY))]
    return learn(tape, rows, places, explorer, learner, method, progress, words, totals)


def _kernel(algorithm, usual_tilings, usual_comm):
    def learn(tape, rows, places, explorer, learner, method, progress, words, totals):
        n_tilings, n_comm = usual_tilings, usual_comm
        if usual_tilings == ANY:
            n_tilings, n_comm = rows.shape[1], learner.tables.comm_counts.size
        return _learn(
            tape, rows, places, explorer, learner, method, progress, words, totals, algorithm, n_tilings, n_comm
        )

    return variant(learn, algorithm, usual_tilings, usual_comm)


@kernel(splice=True)
def _learn(tape, rows, places, explorer, learner, method, progress, words, totals, algorithm, n_tilings, n_comm):
    rules, tables = learner.rules, learner.tables
    rewards, q, comm_q = tape.reward_by_position.reshape(-1), tables.q.reshape(-1), tables.comm_q.reshape(-1)
    other, bonus = progress.other.reshape(-1), rules.comm_bonus.reshape(-1)
    updates, comm_updates = progress.updates.reshape(-1), progress.comm_updates.reshape(-1)
    other_updates = progress.other_updates.reshape(-1)
    visits = tables.visits
    width, n_moods, discount = tape.reward_by_position.shape[1], rules.n_moods, learner.discount
    from_old = 3 if width == 9 else 0
    fetched = min(FETCHED_STATES, places.span)
    agent, sums = learner.agent, learner.sums
    done, position, mood = agent[DONE], agent[POSITION], agent[MOOD]
    pnl, total = sums[PNL], sums[REWARD]
    # What the next step waits for is in registers: the first row of the state, mostly the only one, and values.
    state, following, said = progress.here.copy(), np.empty(n_tilings, np.int64), np.empty(n_comm)
    here = state[0]
    ended, rate = 0, learner.learning_rate
    epsilon = exploration_rate(method, progress, explorer.exploration[0], explorer.floor, 0)
    if method.rate_by == BY_EPISODES:
        rate = rate_after(learner.learning_rate, progress.episode[0], method)
    for row in range(tape.observation.size):
        if visits.size > MANY_STATES:
            _fetch_ahead(q, comm_q, visits, rows, row + AHEAD, fetched, n_comm, n_tilings)
        if done == 0:
            position, mood, pnl, total = 1, reset_mood(n_moods), 0.0, 0.0
            here = _enter(rows[row], places, mood, position, state, n_tilings)
            for k in range(n_tilings):
                visits[index(state[k])] += 1
            _clear_traces(progress)
            done = 1
            continue
        word, said_word = words[index(row), 0], words[index(row), 1]
        epsilon = _exploration(method, progress, explorer, visits, here, epsilon)
        own = others = _values3(q, here, state, n_tilings)
        hold, buy, sell = own
        if algorithm == DOUBLE_Q_LEARNING:
            others = _values3(other, here, state, n_tilings)
            hold, buy, sell = hold + others[0], buy + others[1], sell + others[2]
        best = best_of_three(hold, buy, sell)
        a = below(word << np.uint64(32), 3) if high_uniform(word) < epsilon else best
        if algorithm == Q_LAMBDA and _chosen(a, hold, buy, sell) < _chosen(best, hold, buy, sell):
            _clear_traces(progress)
        drawn = explorer.comm_column[below(said_word << np.uint64(32), explorer.comm_column.size)]
        best_said = _best_said(comm_q, here, state, said, n_comm, n_tilings)
        c = drawn if high_uniform(said_word) < epsilon else best_said
        comm_value = comm_q[index(here * n_comm + c)] if n_tilings == 1 else said[index(c)]

        before = position
        position = rules.next_position[index(before * 3 + a)]
        before_mood = rewards[index(row * width + before * from_old + position)]
        pnl += before_mood
        mood = next_mood(mood, pnl, before_mood, n_moods)
        there = _enter(rows[row], places, mood, position, following, n_tilings)
        gained = before_mood + rules.clarity * mood if n_moods > 0 else before_mood

        if algorithm == DOUBLE_Q_LEARNING:
            is_first = word & np.uint64(1) != 0
            value, judged = _values3(q, there, following, n_tilings), _values3(other, there, following, n_tilings)
            error = gained + discount * _chosen(best_of_three(*value), *judged) - _chosen(a, *own)
            _learn_value(q, here, state, 3, a, error, rate, updates, method, is_first, n_tilings)
            error = gained + discount * _chosen(best_of_three(*judged), *value) - _chosen(a, *others)
            _learn_value(other, here, state, 3, a, error, rate, other_updates, method, not is_first, n_tilings)
        else:
            hold, buy, sell = _values3(q, there, following, n_tilings)
            value = max(max(hold, buy), sell)
            if method.algorithm == EXPECTED_SARSA:
                chance = _exploration(method, progress, explorer, visits, there, epsilon)
                value = (1.0 - chance) * value + chance * ((hold + buy + sell) / 3.0)
            error = gained + discount * value - _chosen(a, *own)
            if algorithm == Q_LAMBDA:
                update_traces(q, method, progress, state, a, error, rate, updates)
                _count(updates, state, a)
            else:
                _learn_value(q, here, state, 3, a, error, rate, updates, method, True, n_tilings)
        most = _most_said(comm_q, there, following, said, n_comm, n_tilings)
        error = gained + bonus[index(tape.alert[index(row)] * n_comm + c)] + discount * most - comm_value
        _learn_value(comm_q, here, state, n_comm, c, error, rate, comm_updates, method, True, n_tilings)

        tables.comm_counts[index(c)] += 1
        here = there
        for k in range(n_tilings):
            state[k] = following[k]
            visits[index(here if k == 0 else state[k])] += 1
        total += gained
        done += 1
        if done > learner.episode_length:
            totals[ended] = total
            ended += 1
            done = 0
            progress.episode[0] += 1
            if method.rate_by == BY_EPISODES:
                rate = rate_after(learner.learning_rate, progress.episode[0], method)
            explorer.exploration[0] *= explorer.decay
            epsilon = exploration_rate(method, progress, explorer.exploration[0], explorer.floor, 0)
    for k in range(n_tilings):
        progress.here[k] = state[k]
    agent[DONE], agent[POSITION], agent[MOOD] = done, position, mood
    sums[PNL], sums[REWARD] = pnl, total
    return ended


ANY = 0
_USUAL = (1, 4)
KERNELS = {
    (algorithm, *usual): _kernel(algorithm, *usual)
    for algorithm in (Q_LEARNING, DOUBLE_Q_LEARNING, Q_LAMBDA)
    for usual in (_USUAL, (ANY, ANY))
}
"""Kernels by algorithm and the numbers of tilings and communication actions: the usual ones are constants, whose loops
then unroll. Each is a kernel of its own, since a first run needs only one of them and each takes seconds to compile."""
