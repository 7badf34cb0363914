"""The learning loop: tabular Q-learning (Watkins 1989) over the rows of a tape, and the greedy replay of its tables.

An agent is agent int64 (4,): rows of the episode done, position (0, 1, 2 for −1, 0, 1), affect (mood bucket, or the
sign of the PnL), state index; and sums float64 (2,): PnL and reward of the episode.
"""

from typing import NamedTuple

import numpy as np

from idi_fast.kernels._jit import kernel


class Tape(NamedTuple):
    """What the market shows, a row a tick.

    base float64 (n, 3 or 9): reward before the mood term; code int32 (n,): the observed buckets; alert uint8 (n,):
    whether an alert is right.
    """

    base: np.ndarray
    code: np.ndarray
    alert: np.ndarray


class Rules(NamedTuple):
    """How actions, observations and rewards are put together.

    next_position, column int64 (9,): position after, and column of `Tape.base`, by position * 3 + action; strides
    int64 (3,): weight of code, affect and position in the state index; n_moods int64: mood buckets, 0 where the
    affect is the sign of the PnL; clarity float64: reward per mood bucket; comm_bonus float64 (2, n_comm): added to
    the communication's reward, by `Tape.alert`.
    """

    next_position: np.ndarray
    column: np.ndarray
    strides: np.ndarray
    n_moods: int
    clarity: float
    comm_bonus: np.ndarray


class Tables(NamedTuple):
    """q float64 (n_states, 3), comm_q float64 (n_states, n_comm): expected discounted reward; visits int64 (n_states,):
    times the agent came to a state; comm_counts int64 (n_comm,): communication actions taken in training."""

    q: np.ndarray
    comm_q: np.ndarray
    visits: np.ndarray
    comm_counts: np.ndarray


class Memory(NamedTuple):
    """The last TD targets of each entry (state * 3 + action); an agent without episodic memory has k = 0.

    targets float64 (n_states * 3, k): a ring a row; written, kept int64 (n_states * 3,): how many were ever put into
    it, how many are still remembered; weights float64 (k,), newest first; alpha float64, the estimate's share.
    Where the memory has a capacity, order int64 (capacity,) is the ring of entries in the order they were written,
    total int64 (1,) their number, and displaced int64 (n_states * 3,) how many of them have left their entry's ring.
    """

    targets: np.ndarray
    written: np.ndarray
    kept: np.ndarray
    weights: np.ndarray
    alpha: float
    order: np.ndarray
    total: np.ndarray
    displaced: np.ndarray


@kernel(inline=True)
def best3(q, at):
    """The first best of the three values from q[at] on, and its value."""
    hold, buy, sell = q[at], q[at + 1], q[at + 2]
    action, value = (1, buy) if buy > hold else (0, hold)
    return (2, sell) if sell > value else (action, value)


@kernel(inline=True)
def best_of(table, at, n):
    """The first best of the n values from table[at] on, and its value."""
    if n == 4:
        # Two independent pairs instead of a chain of three comparisons: 4 ns a step less with the usual four actions.
        low, low_value = (1, table[at + 1]) if table[at + 1] > table[at] else (0, table[at])
        high, high_value = (3, table[at + 3]) if table[at + 3] > table[at + 2] else (2, table[at + 2])
        return (high, high_value) if high_value > low_value else (low, low_value)
    best, value = 0, table[at]
    for action in range(1, n):
        if table[at + action] > value:
            best, value = action, table[at + action]
    return best, value


@kernel(inline=True)
def next_affect(affect, pnl, base, n_moods):
    """The mood after a reward: one up above 0.5, one down below −0.2; or, without moods, whether the PnL is ≥ 0."""
    if n_moods == 0:
        return np.int64(pnl >= 0.0)
    # Sums and clamps, not branches: which way the mood moves cannot be predicted.
    return max(0, min(n_moods - 1, affect + (base > 0.5) - (base < -0.2)))


@kernel(inline=True)
def reset_affect(n_moods):
    """The affect at the start of an episode: the lowest mood, or the sign of a PnL of 0."""
    return np.int64(n_moods == 0)


@kernel
def remember(memory, entry, target):
    """Blend a TD target with the weighted mean of those remembered for its entry, then remember it. Mutates: memory."""
    k = memory.weights.size
    if memory.kept[entry] > 0:
        weighted, weight = 0.0, 0.0
        for age in range(memory.kept[entry]):
            slot = (memory.written[entry] - 1 - age) % k
            weighted += memory.weights[age] * memory.targets[entry, slot]
            weight += memory.weights[age]
        target = memory.alpha * (weighted / weight) + (1.0 - memory.alpha) * target
    memory.targets[entry, memory.written[entry] % k] = target
    memory.written[entry] += 1
    displaces = memory.kept[entry] == k
    if not displaces:
        memory.kept[entry] += 1
    if memory.order.size > 0:
        memory.displaced[entry] += displaces
        _forget_oldest(memory, entry)
    return target


@kernel
def _forget_oldest(memory, entry):
    """Note what was written last; beyond the capacity forget what was written first. Mutates: memory."""
    place = memory.total[0] % memory.order.size
    if memory.total[0] >= memory.order.size:
        oldest = memory.order[place]
        if memory.displaced[oldest] > 0:
            memory.displaced[oldest] -= 1
        else:
            memory.kept[oldest] -= 1
    memory.order[place] = entry
    memory.total[0] += 1


@kernel
def learn_rows(
    tape, rules, tables, memory, agent, sums, action, comm, episode_length, learning_rate, discount, rewards
):
    """Train over all rows of a tape; return how many episodes ended, their rewards in rewards[:that].

    action int8 (n,), comm int16 (n,): explored actions, −1 where the greedy one is taken. rewards float64 (≥ the
    number of episodes that can end). Mutates: tables, memory, agent, sums, rewards.
    """
    # Flat views: with a constant inner stride the address of a row is one multiplication (7 ns a step less).
    base, code, alert = tape.base.reshape(-1), tape.code, tape.alert
    next_position, column, comm_bonus = rules.next_position, rules.column, rules.comm_bonus.reshape(-1)
    q, comm_q, visits, comm_counts = tables.q.reshape(-1), tables.comm_q.reshape(-1), tables.visits, tables.comm_counts
    n_columns, n_comm = tape.base.shape[1], comm_counts.size
    per_code, per_affect, per_position = rules.strides[0], rules.strides[1], rules.strides[2]
    n_moods, clarity = rules.n_moods, rules.clarity
    done, position, affect, state = agent[0], agent[1], agent[2], agent[3]
    pnl, total = sums[0], sums[1]
    ended = 0
    for row in range(code.size):
        if done == 0:
            position, affect, pnl, total = 1, reset_affect(n_moods), 0.0, 0.0
            state = code[row] * per_code + affect * per_affect + position * per_position
            visits[state] += 1
            done = 1
            continue
        # The greedy actions are always worked out and then selected: whether a row explores cannot be predicted.
        greedy_action, _ = best3(q, state * 3)
        greedy_comm, _ = best_of(comm_q, state * n_comm, n_comm)
        a = action[row] if action[row] >= 0 else greedy_action
        c = comm[row] if comm[row] >= 0 else greedy_comm
        chosen = position * 3 + a
        before_mood = base[row * n_columns + column[chosen]]
        position = next_position[chosen]
        pnl += before_mood
        affect = next_affect(affect, pnl, before_mood, n_moods)
        reward = before_mood + clarity * affect if n_moods > 0 else before_mood
        comm_reward = reward + comm_bonus[alert[row] * n_comm + c]
        following = code[row] * per_code + affect * per_affect + position * per_position
        _, best_q = best3(q, following * 3)
        _, best_comm_q = best_of(comm_q, following * n_comm, n_comm)
        target = reward + discount * best_q
        if memory.weights.size > 0:
            target = remember(memory, state * 3 + a, target)
        comm_target = comm_reward + discount * best_comm_q
        q[state * 3 + a] += learning_rate * (target - q[state * 3 + a])
        comm_q[state * n_comm + c] += learning_rate * (comm_target - comm_q[state * n_comm + c])
        comm_counts[c] += 1
        visits[following] += 1
        state = following
        total += reward
        if done == episode_length:
            rewards[ended] = total
            ended += 1
            done = 0
        else:
            done += 1
    agent[0], agent[1], agent[2], agent[3] = done, position, affect, state
    sums[0], sums[1] = pnl, total
    return ended


@kernel
def replay_rows(tape, rules, q, comm_q, state_out, action_out, comm_out, position_out, reward):
    """Follow the greedy actions over all rows of one episode: row 0 is its reset row.

    state_out int64 (n,): the state at each row. Row t of the others, n − 1 long, is the step from row t to row t + 1:
    action int8 and comm int16 chosen, then position int8 (−1, 0, 1) and reward float64 that follow.
    Mutates: the outputs.
    """
    per_code, per_affect, per_position = rules.strides[0], rules.strides[1], rules.strides[2]
    n_moods = rules.n_moods
    position, affect, pnl = 1, reset_affect(n_moods), 0.0
    state_out[0] = tape.code[0] * per_code + affect * per_affect + position * per_position
    for row in range(1, tape.code.size):
        state = state_out[row - 1]
        a, _ = best3(q.reshape(-1), state * 3)
        c, _ = best_of(comm_q.reshape(-1), state * comm_q.shape[1], comm_q.shape[1])
        chosen = position * 3 + a
        before_mood = tape.base[row, rules.column[chosen]]
        position = rules.next_position[chosen]
        pnl += before_mood
        affect = next_affect(affect, pnl, before_mood, n_moods)
        action_out[row - 1], comm_out[row - 1] = a, c
        state_out[row] = tape.code[row] * per_code + affect * per_affect + position * per_position
        position_out[row - 1] = position - 1
        reward[row - 1] = before_mood + rules.clarity * affect if n_moods > 0 else before_mood
