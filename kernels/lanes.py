"""Many policies of one state space over the same bars.

A lane is a policy as one byte per state, which says all that a backtest asks for; bits from the lowest on: 2 for the
next position (0, 1, 2), 2 for the action, 1 where alert is said, 1 where training never was.
"""

from typing import NamedTuple

import numpy as np

from idi_fast.kernels._jit import index, kernel
from idi_fast.kernels.backtest import Financing, account
from idi_fast.kernels.kpis import push_decisions, push_trades
from idi_fast.kernels.kpis_beside import push_bars_beside
from idi_fast.kernels.learn import MOOD_FALLS_BELOW, MOOD_RISES_ABOVE
from idi_fast.kernels.tails import is_full

ACTION_BIT, ALERT_BIT, UNVISITED_BIT = 2, 4, 5
SIDE_BY_SIDE = 8
"""Lanes come in multiples of this: what they say at a bar is put together to words of 64 bits."""


class Lanes(NamedTuple):
    """Policies side by side, and where each of them is.

    tables uint8 (observations, lanes, states of an observation): beside each other is what is asked for at the same
    bar; before, mood, total float64 (lanes,): position (−1, 0, 1) before the last bar, mood, sum of the rewards; said
    uint8 (lanes,): the byte of the last bar's state; places int32 (lanes,): room.
    """

    tables: np.ndarray
    before: np.ndarray
    mood: np.ndarray
    total: np.ndarray
    said: np.ndarray
    places: np.ndarray


@kernel
def rollout_lanes(observation, gap, change, cost, scarcity, weights, rules, lanes, is_first, codes):
    """Follow the greedy actions of every lane over the next bars, as `rollout.rollout_bars` does for one.

    lanes: `Lanes`, a multiple of `SIDE_BY_SIDE`; is_first: whether no bar came before. codes uint8 (lanes, n): the byte
    of each state that a lane came to. Mutates: lanes, codes.
    """
    tables, words = lanes.tables.reshape(-1), lanes.said.view(np.uint64)
    per_observation, per_lane = lanes.tables.shape[1] * lanes.tables.shape[2], lanes.tables.shape[2]
    if is_first and observation.size > 0:
        for lane in range(lanes.places.size):
            position = np.int32(lanes.said[lane] & np.uint8(3))
            lanes.places[lane] = lane * per_lane + position * rules.strides[2]
    for t in range(observation.size):
        k = index(t)
        if t > 0 or not is_first:
            _earn(gap[k], change[k], cost[k], scarcity[k] * weights[1], weights, rules, per_lane, lanes)
        base = np.int64(observation[k]) * per_observation
        for group in range(words.size):
            # A word at once: of bytes stored one by one the next bar's vectors would have to wait.
            first, word = group * SIDE_BY_SIDE, np.uint64(0)
            for j in range(SIDE_BY_SIDE):
                code = tables[index(base + lanes.places[index(first + j)])]
                codes[index(first + j), k] = code
                word |= np.uint64(code) << np.uint64(8 * j)
            words[index(group)] = word


@kernel(inline=True)
def _earn(gap, change, cost, aligned, weights, rules, per_lane, lanes):
    """What a bar brings each lane, its mood, and the place of its state among those of the next observation."""
    # Nothing but arithmetic on numbers of one size: lanes are the elements of vectors. The reward is that of
    # `market.market_reward`, and for all lanes of a bar takes less than choosing among nine that were worked out.
    before, moods, totals, said, places = lanes.before, lanes.mood, lanes.total, lanes.said, lanes.places
    best, clarity, per_mood, per_position = rules.n_moods - 1.0, rules.clarity, rules.strides[1], rules.strides[2]
    for lane in range(places.size):
        k = index(lane)
        old, new = before[k], np.float64(np.int32(said[k] & np.uint8(3)) - np.int32(1))
        before[k] = new
        pnl = old * gap + new * change - abs(new - old) * cost
        reward = pnl * weights[0] + aligned + (weights[2] if new >= 0.0 else -weights[2])
        mood = moods[k] + ((1.0 if reward > MOOD_RISES_ABOVE else 0.0) - (1.0 if reward < MOOD_FALLS_BELOW else 0.0))
        mood = max(min(mood, best), 0.0)
        moods[k] = mood
        totals[k] += reward + clarity * mood
        places[k] = lane * per_lane + np.int32(mood) * per_mood + (np.int32(new) + 1) * per_position


class Market(NamedTuple):
    """Bars that lanes trade on, n of them.

    open_, close float64 (n,); move int8, risk uint8 (n,): as in `kpis.push_decisions`; held float64 (m,), held_sums
    float64 (blocks, 2): of the holding at all bars, as in `kpis_beside.push_bars_beside`; financing: of the account.
    """

    open_: np.ndarray
    close: np.ndarray
    move: np.ndarray
    risk: np.ndarray
    held: np.ndarray
    held_sums: np.ndarray
    financing: Financing


class AccountRules(NamedTuple):
    """How an account trades, as in `backtest.account`; is_long_only: whether a target below 0 means flat."""

    fill: int
    fee_rate: float
    slippage_rate: float
    size: float
    is_long_only: bool


class Room(NamedTuple):
    """What is worked out for a block of n bars: target, action int8, alert uint8, equity float64, position int8 (n,);
    trades float64 (n + 3, 8)."""

    target: np.ndarray
    action: np.ndarray
    alert: np.ndarray
    equity: np.ndarray
    position: np.ndarray
    trades: np.ndarray


@kernel
def settle_lane(codes, start, market, terms, state, sums, unvisited, room):
    """The account of a lane over the next bars from number `start` of these on, and the sums of its KPIs, up to the end
    of a block that leaves the tails no room for another.

    codes uint8 (n,); state: a `backtest.AccountState`; sums: `kpis_beside.Sums`; unvisited int64 (1,): how many of the
    states training never visited; room: a `Room` of no more bars than a block of the sums. Returns how many of the bars
    are done, or −1 − t where an equity or a trade is none, t being a bar near it.
    Mutates: state, sums, unvisited, room.
    """
    size = room.equity.size
    for first in range(start, codes.size, size):
        if is_full(sums.low, sums.high):
            return first
        # A block at a time: what is worked out stays in the first-level cache.
        stop = min(codes.size, first + size)
        target, action, alert = room.target[: stop - first], room.action[: stop - first], room.alert[: stop - first]
        unvisited[0] += read_codes(codes[first:stop], terms.is_long_only, target, action, alert)
        equity, position, at = room.equity[: stop - first], room.position[: stop - first], market.financing
        financing = Financing(at.interest[first:stop], at.borrow[first:stop], at.funding[first:stop])
        closed = account(
            target,
            market.open_[first:stop],
            market.close[first:stop],
            terms.fill,
            terms.fee_rate,
            terms.slippage_rate,
            terms.size,
            financing,
            state,
            equity,
            position,
            room.trades,
        )
        own = sums.run, sums.pairs, sums.low, sums.high, sums.bars
        done = push_bars_beside(equity, position, market.held, market.held_sums, *own)
        if done < 0:
            return done - first
        if push_trades(room.trades[:closed], sums.trades) < closed:
            return -1 - first
        push_decisions(action, market.move[first:stop], alert, market.risk[first:stop], sums.decisions)
    return codes.size


@kernel
def read_codes(codes, is_long_only, target, action, alert):
    """What the codes uint8 (n,) of a lane say: target position int8 (−1, 0, 1; 0 for −1 where is_long_only), action
    int8, alert uint8 (n,); returns how many of the states training never visited. Mutates: target, action, alert."""
    unvisited, lowest = 0, np.int8(0) if is_long_only else np.int8(-1)
    for t in range(codes.size):
        code = codes[t]
        target[t] = max(np.int8(code & np.uint8(3)) - np.int8(1), lowest)
        action[t] = (code >> np.uint8(ACTION_BIT)) & np.uint8(3)
        alert[t] = (code >> np.uint8(ALERT_BIT)) & np.uint8(1)
        unvisited += np.int64(code >> np.uint8(UNVISITED_BIT))
    return unvisited
