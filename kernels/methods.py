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

from idi_fast.kernels._jit import index, kernel
from idi_fast.kernels.learn import best3, best_of, max3, max_of, next_affect, reset_affect
from idi_fast.kernels.rng import words64
from idi_fast.kernels.tape_words import below, high_uniform

Q_LEARNING, DOUBLE_Q_LEARNING, EXPECTED_SARSA, Q_LAMBDA = range(4)
BY_EPISODES, BY_VISITS = 1, 2
"""What a rate falls with; 0 is nothing."""
LEAST_TRACE = 1e-3
"""A trace that has fallen below this is dropped."""


class Method(NamedTuple):
    """How the tables are learnt; floats are float64, the others int64.

    algorithm: one of the four above; rate_by: nothing, BY_EPISODES or BY_VISITS, the learning rate · (1 + n /
    rate_delay)^−rate_power; exploration_by: nothing (· decay an episode), BY_EPISODES (linear, by exploration_step an
    episode) or BY_VISITS (exploration_visits c of a state: c / (c + n)); trace_decay: λγ.
    """

    algorithm: int
    rate_by: int
    rate_delay: float
    rate_power: float
    exploration_by: int
    exploration_step: float
    exploration_visits: float
    trace_decay: float


class Progress(NamedTuple):
    """What a method keeps besides the tables.

    other float64 (n_states, 3): double Q-learning's second table; updates int64 (n_states, 3), comm_updates int64
    (n_states, n_comm): of each value, where the rate falls with them; these have no size where they are not needed.
    episode int64 (1,): episodes that ended; trace_entry int64, trace_weight float64 (longest trace + 1,): values that
    led here, oldest first, of which there are n_traces int64 (1,).
    """

    other: np.ndarray
    updates: np.ndarray
    comm_updates: np.ndarray
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
def exploration_rate(method, progress, exploration, floor, visits):
    """The exploration rate in a state with so many visits, float64."""
    if method.exploration_by == BY_VISITS:
        rate = method.exploration_visits / (method.exploration_visits + visits)
    elif method.exploration_by == BY_EPISODES:
        rate = 1.0 - method.exploration_step * progress.episode[0]
    else:
        rate = exploration
    return max(floor, rate)


@kernel
def update_traces(q, method, progress, entry, error, rate):
    """Give every value that led here its share of an error, the last entry all of it.

    rate: the learning rate of all. Mutates: q float64 (flat), progress.
    """
    kept = 0
    for k in range(progress.n_traces[0]):
        weight = progress.trace_weight[k] * method.trace_decay
        if progress.trace_entry[k] != entry and weight >= LEAST_TRACE:
            progress.trace_entry[kept], progress.trace_weight[kept] = progress.trace_entry[k], weight
            kept += 1
    progress.trace_entry[kept], progress.trace_weight[kept] = entry, 1.0
    progress.n_traces[0] = kept + 1
    for k in range(kept + 1):
        q[progress.trace_entry[k]] += rate * progress.trace_weight[k] * error


@kernel
def learn_by_method(tape, learner, method, progress, words, totals):
    """Explore and train both tables over all rows of a tape; return how many episodes ended.

    learner: see `blocks.Learner`, without episodic memory; words uint64 (n, 2): room for the row's words, one for the
    action, one for the communication: the upper half decides whether to explore, the lower half with what, its last bit
    which of double Q-learning's tables is updated. totals as in `learn.learn_actions`.
    Mutates: learner, progress, words, totals.
    """
    words64(learner.stream, words.reshape(-1))
    rules, tables = learner.rules, learner.tables
    base, q, comm_q = tape.base.reshape(-1), tables.q.reshape(-1), tables.comm_q.reshape(-1)
    other, bonus = progress.other.reshape(-1), rules.comm_bonus.reshape(-1)
    updates, comm_updates = progress.updates.reshape(-1), progress.comm_updates.reshape(-1)
    visits, n_comm = tables.visits, tables.comm_counts.size
    width, n_moods, discount = tape.base.shape[1], rules.n_moods, learner.discount
    from_old = 3 if width == 9 else 0
    is_double = method.algorithm == DOUBLE_Q_LEARNING
    done, position, affect, state = learner.agent[0], learner.agent[1], learner.agent[2], learner.agent[3]
    pnl, total = learner.sums[0], learner.sums[1]
    both = np.empty(3)
    ended = 0
    for row in range(tape.code.size):
        code = tape.code[row] * rules.strides[0]
        if done == 0:
            position, affect, pnl, total = 1, reset_affect(n_moods), 0.0, 0.0
            state = code + affect * rules.strides[1] + position * rules.strides[2]
            visits[state] += 1
            progress.n_traces[0] = 0
            done = 1
            continue
        epsilon = exploration_rate(method, progress, learner.exploration[0], learner.floor, visits[state])
        for k in range(3):
            both[k] = q[state * 3 + k] + other[state * 3 + k] if is_double else q[state * 3 + k]
        a = best3(both, 0)
        if high_uniform(words[row, 0]) < epsilon:
            a = below(words[row, 0] << np.uint64(32), 3)
            if both[a] < max3(both, 0):
                progress.n_traces[0] = 0
        if high_uniform(words[row, 1]) < epsilon:
            c = learner.comm_column[below(words[row, 1] << np.uint64(32), learner.comm_column.size)]
        else:
            c = best_of(comm_q, state * n_comm, n_comm)

        before = position
        position = rules.next_position[before * 3 + a]
        before_mood = base[row * width + before * from_old + position]
        pnl += before_mood
        affect = next_affect(affect, pnl, before_mood, n_moods)
        following = code + affect * rules.strides[1] + position * rules.strides[2]
        gained = before_mood + rules.clarity * affect if n_moods > 0 else before_mood

        entry, comm_entry = state * 3 + a, state * n_comm + c
        rate = comm_rate = learner.learning_rate
        if method.rate_by == BY_EPISODES:
            rate = falling_rate(rate, progress.episode[0], method.rate_delay, method.rate_power)
            comm_rate = rate
        elif method.rate_by == BY_VISITS:
            rate = falling_rate(rate, updates[entry], method.rate_delay, method.rate_power)
            comm_rate = falling_rate(comm_rate, comm_updates[comm_entry], method.rate_delay, method.rate_power)
            updates[entry] += 1
            comm_updates[comm_entry] += 1

        if is_double:
            if words[row, 0] & np.uint64(1):
                value = other[following * 3 + best3(q, following * 3)]
                q[entry] += rate * (gained + discount * value - q[entry])
            else:
                value = q[following * 3 + best3(other, following * 3)]
                other[entry] += rate * (gained + discount * value - other[entry])
        else:
            value = max3(q, following * 3)
            if method.algorithm == EXPECTED_SARSA:
                chance = exploration_rate(method, progress, learner.exploration[0], learner.floor, visits[following])
                mean = (q[following * 3] + q[following * 3 + 1] + q[following * 3 + 2]) / 3.0
                value = (1.0 - chance) * value + chance * mean
            error = gained + discount * value - q[entry]
            if method.algorithm == Q_LAMBDA:
                update_traces(q, method, progress, entry, error, rate)
            else:
                q[entry] += rate * error
        said = gained + bonus[tape.alert[row] * n_comm + c]
        target = said + discount * max_of(comm_q, following * n_comm, n_comm)
        comm_q[comm_entry] += comm_rate * (target - comm_q[comm_entry])

        tables.comm_counts[index(c)] += 1
        visits[following] += 1
        state = following
        total += gained
        done += 1
        if done > learner.episode_length:
            totals[ended] = total
            ended += 1
            done = 0
            progress.episode[0] += 1
            learner.exploration[0] *= learner.decay
    learner.agent[0], learner.agent[1], learner.agent[2], learner.agent[3] = done, position, affect, state
    learner.sums[0], learner.sums[1] = pnl, total
    return ended
