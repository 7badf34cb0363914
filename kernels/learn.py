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
    """The last TD targets of each state and action: targets float64 (n_states * 3, k), a ring a row; written int64
    (n_states * 3,), how many ever; weights float64 (k,), newest first; alpha float64, the estimate's share. An
    agent without episodic memory has k = 0."""

    targets: np.ndarray
    written: np.ndarray
    weights: np.ndarray
    alpha: float


@kernel(inline=True)
def greedy(table, state):
    """The first best action of a row."""
    best = 0
    value = table[state, 0]
    for action in range(1, table.shape[1]):
        if table[state, action] > value:
            best, value = action, table[state, action]
    return best


@kernel(inline=True)
def greedy3(q, state):
    """The first best of hold, buy and sell."""
    hold, buy, sell = q[state, 0], q[state, 1], q[state, 2]
    best = 1 if buy > hold else 0
    return 2 if sell > (buy if buy > hold else hold) else best


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
    count = min(memory.written[entry], k)
    if count > 0:
        weighted, weight = 0.0, 0.0
        for age in range(count):
            slot = (memory.written[entry] - 1 - age) % k
            weighted += memory.weights[age] * memory.targets[entry, slot]
            weight += memory.weights[age]
        target = memory.alpha * (weighted / weight) + (1.0 - memory.alpha) * target
    memory.targets[entry, memory.written[entry] % k] = target
    memory.written[entry] += 1
    return target


@kernel
def learn_rows(
    tape, rules, tables, memory, agent, sums, action, comm, episode_length, learning_rate, discount, rewards
):
    """Train over all rows of a tape; return how many episodes ended, their rewards in rewards[:that].

    action int8 (n,), comm int16 (n,): explored actions, −1 where the greedy one is taken. rewards float64 (≥ the
    number of episodes that can end). Mutates: tables, memory, agent, sums, rewards.
    """
    base, code, alert = tape.base, tape.code, tape.alert
    next_position, column, comm_bonus = rules.next_position, rules.column, rules.comm_bonus
    q, comm_q, visits, comm_counts = tables.q, tables.comm_q, tables.visits, tables.comm_counts
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
        greedy_action, greedy_comm = greedy3(q, state), greedy(comm_q, state)
        a = action[row] if action[row] >= 0 else greedy_action
        c = comm[row] if comm[row] >= 0 else greedy_comm
        chosen = position * 3 + a
        before_mood = base[row, column[chosen]]
        position = next_position[chosen]
        pnl += before_mood
        affect = next_affect(affect, pnl, before_mood, n_moods)
        reward = before_mood + clarity * affect if n_moods > 0 else before_mood
        comm_reward = reward + comm_bonus[alert[row], c]
        following = code[row] * per_code + affect * per_affect + position * per_position
        target = reward + discount * q[following, greedy3(q, following)]
        if memory.weights.size > 0:
            target = remember(memory, state * 3 + a, target)
        comm_target = comm_reward + discount * comm_q[following, greedy(comm_q, following)]
        q[state, a] += learning_rate * (target - q[state, a])
        comm_q[state, c] += learning_rate * (comm_target - comm_q[state, c])
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
def replay_rows(tape, rules, q, comm_q, state_out, action_out, comm_out, affect_out, position_out, reward):
    """Follow the greedy actions over all rows of one episode: row 0 is its reset row.

    state_out int64 (n,): the state at each row. Row t of the others, n − 1 long, is the step from row t to row t + 1:
    action int8 and comm int16 chosen, then affect int64, position int8 (−1, 0, 1) and reward float64 that follow.
    Mutates: the outputs.
    """
    per_code, per_affect, per_position = rules.strides[0], rules.strides[1], rules.strides[2]
    n_moods = rules.n_moods
    position, affect, pnl = 1, reset_affect(n_moods), 0.0
    state_out[0] = tape.code[0] * per_code + affect * per_affect + position * per_position
    for row in range(1, tape.code.size):
        state = state_out[row - 1]
        a = greedy3(q, state)
        c = greedy(comm_q, state)
        chosen = position * 3 + a
        before_mood = tape.base[row, rules.column[chosen]]
        position = rules.next_position[chosen]
        pnl += before_mood
        affect = next_affect(affect, pnl, before_mood, n_moods)
        action_out[row - 1], comm_out[row - 1] = a, c
        state_out[row] = tape.code[row] * per_code + affect * per_affect + position * per_position
        affect_out[row - 1], position_out[row - 1] = affect, position - 1
        reward[row - 1] = before_mood + rules.clarity * affect if n_moods > 0 else before_mood
