"""The greedy replay of an agent's tables over the rows of a tape, or over the bars of a history.

An agent goes on from agent int64 (4,), as in `kernels.learn` but that the last one is the position before: whether the
first row was seen, position (0, 1, 2 for −1, 0, 1), mood; and sums float64 (2,): PnL, that is of the rewards before
their mood term, and of the rewards.
"""

import numpy as np

from idi_fast.kernels._jit import index, kernel
from idi_fast.kernels.learn import DONE, MOOD, PNL, POSITION, REWARD, mood_step, next_mood, reset_mood
from idi_fast.kernels.market import market_reward

BEFORE = 3


@kernel
def rollout_rows(tape, rules, greedy, comm_greedy, agent, sums, state_out, action_out, comm_out, position_out, reward):
    """Follow the greedy actions over the next rows of one long episode, whose very first is its reset row.

    tape, rules: as in `kernels.learn`; greedy int8, comm_greedy int16 (n_states,): what to do and to say in each state.
    Outputs of n rows: state int64 at each row, action int8, comm int16 chosen there and the position int8 (−1, 0, 1)
    that follows; reward float64: what the row brings for the action before it, 0 at the reset row.
    Mutates: agent, sums, the outputs.
    """
    rewards, width = tape.reward_by_position.reshape(-1), tape.reward_by_position.shape[1]
    from_old = 3 if width == 9 else 0
    per_observation, per_mood, per_position = rules.strides[0], rules.strides[1], rules.strides[2]
    n_moods, moves = rules.n_moods, rules.next_position
    started, position, mood, before = agent[DONE], agent[POSITION], agent[MOOD], agent[BEFORE]
    pnl, total = sums[PNL], sums[REWARD]
    for row in range(tape.observation.size):
        if started == 0:
            started, mood, reward[index(row)] = 1, reset_mood(n_moods), 0.0
        else:
            before_mood = rewards[index(row * width + before * from_old + position)]
            pnl += before_mood
            mood = next_mood(mood, pnl, before_mood, n_moods)
            earned = before_mood + rules.clarity * mood if n_moods > 0 else before_mood
            reward[index(row)] = earned
            total += earned
        state = tape.observation[index(row)] * per_observation + mood * per_mood + position * per_position
        a = np.int64(greedy[index(state)])
        before, position = position, np.int64(moves[index(position * 3 + a)])
        state_out[index(row)], action_out[index(row)], comm_out[index(row)] = state, a, comm_greedy[index(state)]
        position_out[index(row)] = position - 1
    agent[DONE], agent[POSITION], agent[MOOD], agent[BEFORE] = started, position, mood, before
    sums[PNL], sums[REWARD] = pnl, total


@kernel
def step_episodes(tape, rules, rows, action, position, mood, pnl, reward, state):
    """One tick of n episodes side by side: act, and come to the next row of each.

    tape, rules: as in `kernels.learn`; rows int64 (n,): the row of the tape that each comes to; action int64 (n,):
    −1 where that is its reset row. An episode is at position int64 (0, 1, 2), mood int64, pnl float64, each (n,).
    reward float64 (n,): what the row brings, 0 at a reset row; state int64 (n,).
    Mutates: position, mood, pnl, reward, state.
    """
    rewards, width = tape.reward_by_position.reshape(-1), tape.reward_by_position.shape[1]
    from_old, n_moods = 3 if width == 9 else 0, rules.n_moods
    for k in range(rows.size):
        if action[k] < 0:
            position[k], mood[k], pnl[k], reward[k] = 1, reset_mood(n_moods), 0.0, 0.0
        else:
            before = position[k]
            position[k] = rules.next_position[before * 3 + action[k]]
            before_mood = rewards[rows[k] * width + before * from_old + position[k]]
            pnl[k] += before_mood
            mood[k] = next_mood(mood[k], pnl[k], before_mood, n_moods)
            reward[k] = before_mood + rules.clarity * mood[k] if n_moods > 0 else before_mood
        observation = tape.observation[rows[k]]
        state[k] = observation * rules.strides[0] + mood[k] * rules.strides[1] + position[k] * rules.strides[2]


@kernel
def rollout_bars(
    observation,
    gap,
    change,
    cost,
    scarcity,
    weights,
    rules,
    greedy,
    comm_greedy,
    agent,
    sums,
    state_out,
    action_out,
    comm_out,
    position_out,
    reward,
):
    """The same over bars, as of `kernels.market.bar_returns` and `market_rows`, with moods. observation int32, gap,
    change, cost, scarcity float64 (n,); weights float64 (3,). Mutates: agent, sums, the outputs.
    """
    # Each decision waits for the one before, so that what else a bar takes is worked out for all three positions that
    # the last one may have led to, and only the choice among them waits: half the time.
    per_observation, per_mood, per_position = rules.strides[0], rules.strides[1], rules.strides[2]
    best_mood, moves = rules.n_moods - 1, 0
    for chosen in range(9):  # two bits each, as they are read
        moves |= rules.next_position[chosen] << (8 * (chosen // 3) + 2 * (chosen % 3))
    started, position, mood, before = agent[DONE], agent[POSITION], agent[MOOD], agent[BEFORE]
    pnl, total = sums[PNL], sums[REWARD]
    for row in range(observation.size):
        t = index(row)
        if started == 0:
            started, mood, reward[t] = 1, reset_mood(rules.n_moods), 0.0
        else:
            short, short_step = _earned(before, 0, gap[t], change[t], cost[t], scarcity[t], weights)
            flat, flat_step = _earned(before, 1, gap[t], change[t], cost[t], scarcity[t], weights)
            long, long_step = _earned(before, 2, gap[t], change[t], cost[t], scarcity[t], weights)
            step = ((short_step | (flat_step << 2) | (long_step << 4)) >> (position << 1)) & 3
            mood = max(0, min(best_mood, mood + step - 1))
            before_mood = short if position == 0 else (flat if position == 1 else long)
            pnl += before_mood
            earned = before_mood + rules.clarity * mood
            reward[t] = earned
            total += earned
        state = observation[t] * per_observation + mood * per_mood + position * per_position
        a = np.int64(greedy[index(state)])
        before, position = position, (moves >> ((position << 3) + (a << 1))) & 3
        state_out[t], action_out[t], comm_out[t] = state, a, comm_greedy[index(state)]
        position_out[t] = position - 1
    agent[DONE], agent[POSITION], agent[MOOD], agent[BEFORE] = started, position, mood, before
    sums[PNL], sums[REWARD] = pnl, total


@kernel(inline=True)
def _earned(before, after, gap, change, cost, scarcity, weights):
    """The reward before the mood term, and 1 more than the step of the mood that it makes."""
    reward = market_reward(before, after, gap, change, cost, scarcity, weights)
    return reward, 1 + mood_step(reward)
