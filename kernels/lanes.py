"""Many policies of one state space rolled out over the same bars: what a bar is worth is worked out once for all.

A lane is a policy as one byte per state, which says all that a backtest asks for; bits from the lowest on: 2 for the
next position (0, 1, 2), 2 for the action, 1 where alert is said, 1 where training never was.
"""

import numpy as np

from idi_fast.kernels._jit import index, kernel
from idi_fast.kernels.learn import DONE, MOOD, POSITION, mood_step, reset_mood
from idi_fast.kernels.market import market_reward
from idi_fast.kernels.rollout import BEFORE

ACTION_BIT, ALERT_BIT, UNVISITED_BIT = 2, 4, 5
SIDE_BY_SIDE = 4
"""Each decision waits for the one before, those of other lanes do not: four in turns take the time of two."""
BLOCK = 1024
"""Bars whose rewards, 72 bytes each, are worked out at a time: they stay in the second-level cache."""


@kernel
def rollout_lanes(
    observation, gap, change, cost, scarcity, weights, rules, tables, agents, sums, rewards, steps, codes
):
    """Follow the greedy actions of every lane over the next bars, as `rollout.rollout_bars` does for one.

    tables uint8 (lanes, n_states), a multiple of 4 lanes; agents int64 (lanes, 4), sums float64 (lanes,): of the
    rewards; rewards float64 (9 · BLOCK,), steps int64 (BLOCK,): room. codes uint8 (lanes, n): the byte of each state
    that a lane came to. Mutates: agents, sums, rewards, steps, codes.
    """
    for first in range(0, observation.size, BLOCK):
        stop = min(observation.size, first + BLOCK)
        _worth(gap[first:stop], change[first:stop], cost[first:stop], scarcity[first:stop], weights, rewards, steps)
        for lane in range(0, tables.shape[0], SIDE_BY_SIDE):
            _follow_four(
                observation[first:stop], rewards, steps, rules, lane, tables, agents, sums, codes[:, first:stop]
            )


@kernel
def _worth(gap, change, cost, scarcity, weights, rewards, steps):
    """The reward of each pair of positions at each bar, a row of BLOCK per pair, and two bits per pair of 1 more than
    the step of the mood. Mutates: rewards, steps."""
    n = gap.size
    for t in range(n):
        steps[index(t)] = 0
    for pair in range(9):
        row = rewards[pair * BLOCK : pair * BLOCK + n]
        for t in range(n):
            k = index(t)
            row[k] = market_reward(pair // 3, pair % 3, gap[k], change[k], cost[k], scarcity[k], weights)
            steps[k] |= (1 + mood_step(row[k])) << (2 * pair)


@kernel
def _follow_four(observation, rewards, steps, rules, lane, tables, agents, sums, codes):
    one, two, three, four = tables[lane], tables[lane + 1], tables[lane + 2], tables[lane + 3]
    code1, code2, code3, code4 = codes[lane], codes[lane + 1], codes[lane + 2], codes[lane + 3]
    at1, at2, at3, at4 = agents[lane], agents[lane + 1], agents[lane + 2], agents[lane + 3]
    total1, total2, total3, total4 = sums[lane], sums[lane + 1], sums[lane + 2], sums[lane + 3]
    place1, place2, place3, place4 = at1[POSITION], at2[POSITION], at3[POSITION], at4[POSITION]
    pair1, pair2 = at1[BEFORE] * 3 + place1, at2[BEFORE] * 3 + place2
    pair3, pair4 = at3[BEFORE] * 3 + place3, at4[BEFORE] * 3 + place4
    mood1, mood2, mood3, mood4 = at1[MOOD], at2[MOOD], at3[MOOD], at4[MOOD]
    per_observation, per_mood, per_position = rules.strides[0], rules.strides[1], rules.strides[2]
    best, clarity, begins = rules.n_moods - 1, rules.clarity, at1[DONE] == 0
    for t in range(observation.size):
        k = index(t)
        base, bits = observation[k] * per_observation, steps[k]
        if begins:
            mood1 = mood2 = mood3 = mood4 = reset_mood(rules.n_moods)
            begins = False
        else:
            mood1, total1 = _earn(pair1, mood1, total1, bits, rewards, t, best, clarity)
            mood2, total2 = _earn(pair2, mood2, total2, bits, rewards, t, best, clarity)
            mood3, total3 = _earn(pair3, mood3, total3, bits, rewards, t, best, clarity)
            mood4, total4 = _earn(pair4, mood4, total4, bits, rewards, t, best, clarity)
        code1[k] = said1 = one[index(base + mood1 * per_mood + place1 * per_position)]
        code2[k] = said2 = two[index(base + mood2 * per_mood + place2 * per_position)]
        code3[k] = said3 = three[index(base + mood3 * per_mood + place3 * per_position)]
        code4[k] = said4 = four[index(base + mood4 * per_mood + place4 * per_position)]
        next1, next2, next3, next4 = np.int64(said1) & 3, np.int64(said2) & 3, np.int64(said3) & 3, np.int64(said4) & 3
        pair1, pair2, pair3, pair4 = place1 * 3 + next1, place2 * 3 + next2, place3 * 3 + next3, place4 * 3 + next4
        place1, place2, place3, place4 = next1, next2, next3, next4
    sums[lane], sums[lane + 1], sums[lane + 2], sums[lane + 3] = total1, total2, total3, total4
    _keep(at1, place1, mood1, pair1)
    _keep(at2, place2, mood2, pair2)
    _keep(at3, place3, mood3, pair3)
    _keep(at4, place4, mood4, pair4)


@kernel(inline=True)
def _earn(pair, mood, total, bits, rewards, t, best, clarity):
    """The mood that a bar leads to, and the total with its reward."""
    mood = max(0, min(best, mood + ((bits >> (pair << 1)) & 3) - 1))
    return mood, total + (rewards[index(pair * BLOCK + t)] + clarity * mood)


@kernel(inline=True)
def _keep(agent, position, mood, pair):
    agent[DONE], agent[POSITION], agent[MOOD], agent[BEFORE] = 1, position, mood, pair // 3


@kernel
def read_codes(codes, target, action, alert):
    """What the codes uint8 (n,) of a lane say: target position int8 (−1, 0, 1), action int8, alert uint8 (n,); returns
    how many of the states training never visited. Mutates: target, action, alert."""
    unvisited = 0
    for t in range(codes.size):
        code = codes[t]
        target[t] = np.int8(code & np.uint8(3)) - np.int8(1)
        action[t] = (code >> np.uint8(ACTION_BIT)) & np.uint8(3)
        alert[t] = (code >> np.uint8(ALERT_BIT)) & np.uint8(1)
        unvisited += np.int64(code >> np.uint8(UNVISITED_BIT))
    return unvisited
