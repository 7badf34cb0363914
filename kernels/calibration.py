"""What comes of the values of a table on bars that followed."""

import numpy as np

from idi_fast.kernels._jit import index, kernel
from idi_fast.kernels.learn import mood_step


@kernel
def realised_advantages(tape, rules, after, value, discount, mood, out):
    """What it earned to go long rather than short after each row, and to follow the table from there on.

    Both begin flat and in the same mood, and so pay the same; where shorts are not allowed, selling stays flat. They
    are followed to the last row, where the table's own values stand for what lies behind it.

    tape, rules: as in `kernels.learn`, n rows; after int8, value float64 (n_states,): the position after the best
    action of each state, and its value; mood int32 (n,): the agent's on each row. out float64 (n − 1,): discounted
    sums, of n − 1 rows and the one behind each. Mutates: out.
    """
    # From the end back, what is still earned from each position and mood: each bar's is needed once.
    rewards, observation, states = tape.reward_by_position, tape.observation, 3 * rules.n_moods
    per_observation, per_mood, per_position = rules.strides[0], rules.strides[1], rules.strides[2]
    earned, before = np.empty(states), np.empty(states)
    for k in range(states):
        place = observation[out.size] * per_observation + k // 3 * per_mood + k % 3 * per_position
        earned[k] = value[index(place)]
    for row in range(out.size - 1, -1, -1):
        t = index(row + 1)
        long = _worth(rewards, t, mood[index(row)], 1, rules.next_position[4], rules, discount, earned)
        short = _worth(rewards, t, mood[index(row)], 1, rules.next_position[5], rules, discount, earned)
        out[index(row)] = long - short
        for k in range(states):
            place = observation[index(row)] * per_observation + k // 3 * per_mood + k % 3 * per_position
            before[k] = _worth(rewards, t, k // 3, k % 3, np.int64(after[index(place)]), rules, discount, earned)
        earned, before = before, earned


@kernel(inline=True)
def _worth(rewards, t, mood, old, new, rules, discount, earned):
    """A row's reward for a move, and what is then still earned."""
    reward = rewards[t, index(old * 3 + new)]
    new_mood = max(0, min(rules.n_moods - 1, mood + mood_step(reward)))
    return reward + rules.clarity * new_mood + discount * earned[index(new_mood * 3 + new)]
