"""Tapes and exploration draws exactly as the reference trainer makes them, from CPython's Mersenne Twister.

A tape is a sequence of rows: a reset row (the first observation of an episode), then `episode_length` step rows.
`phase` int64 (1,) is the number of rows of the current episode already made, so that a tape can be cut anywhere.
"""

import math

import numpy as np

from idi_fast.kernels._jit import index, kernel
from idi_fast.kernels.crypto import (
    N_REGIMES,
    REGIME_CHOP,
    REGIME_PANIC,
    START_PRICE,
    crypto_drift,
    crypto_shock_probability,
    crypto_volatility,
)
from idi_fast.kernels.rng import MT_MARGIN, mt_accepted, mt_below, mt_extend, mt_gauss, mt_random, mt_shift


@kernel
def synthetic_tape(
    mt, accepted, phase, episode_length, buckets, weights, reward_by_position, observation, alert, drift
):
    """Rows of the synthetic environment.

    accepted int32 (4, words + 1): see `mt_accepted`, zeros at first, made here and kept while the words in `mt` last;
    features that accept the same words share the row of the first of them. buckets int64 (4,): price, volume, trend,
    scarcity; weights float64 (3,): pnl, scarcity alignment, ethics. reward_by_position float64 (n, 3): reward before
    the mood term with position −1, 0, 1; observation int32 (n,): mixed radix over the four buckets; alert uint8 (n,):
    trend bucket above 0; drift float64 (n,): the price drift.
    Mutates: mt, accepted, phase, reward_by_position, observation, alert, drift.
    """
    words, cursor = mt.words, mt.cursor
    n_price, n_volume, n_trend, n_scarcity = buckets[0], buckets[1], buckets[2], buckets[3]
    s_price, s_volume = mt_shift(n_price), mt_shift(n_volume)
    s_trend, s_scarcity = mt_shift(n_trend), mt_shift(n_scarcity)
    first = first_alike(buckets)
    price_from, volume_from = accepted[first[0]], accepted[first[1]]
    trend_from, scarcity_from = accepted[first[2]], accepted[first[3]]
    w_pnl, w_scarcity, ethics = weights[0], weights[1], weights[2]
    rewards = reward_by_position.reshape(-1)
    at_reset = phase[0]
    row = 0
    while row < observation.size:
        is_new = accepted[0, cursor[1]] != cursor[1]
        if cursor[1] - cursor[0] < MT_MARGIN:
            mt_extend(mt)
            is_new = True
        for k in range(4):
            if is_new and first[k] == k:
                mt_accepted(words, cursor[1], buckets[k], accepted[k])
        at, end = cursor[0], cursor[1]
        while row < observation.size and end - at >= MT_MARGIN:
            if at_reset == 0:
                price_drift = 0.0
                scarcity_term = 0.0
            else:
                u, at = mt_random(words, at)
                price_drift = -1.0 + 2.0 * u
                u, at = mt_random(words, at)
                scarcity_term = (-0.5 + u) * w_scarcity
            pnl = price_drift * w_pnl
            rewards[index(row * 3)] = (-pnl + scarcity_term) + -ethics
            rewards[index(row * 3 + 1)] = scarcity_term + ethics
            rewards[index(row * 3 + 2)] = (pnl + scarcity_term) + ethics
            drift[index(row)] = price_drift
            price_at = np.int64(price_from[index(at)])
            volume_at = np.int64(volume_from[index(price_at + 1)])
            trend_at = np.int64(trend_from[index(volume_at + 1)])
            scarcity_at = np.int64(scarcity_from[index(trend_at + 1)])
            at = scarcity_at + 1
            price = np.int64(words[index(price_at)]) >> s_price
            volume = np.int64(words[index(volume_at)]) >> s_volume
            trend = np.int64(words[index(trend_at)]) >> s_trend
            scarcity = np.int64(words[index(scarcity_at)]) >> s_scarcity
            observation[index(row)] = ((price * n_volume + volume) * n_trend + trend) * n_scarcity + scarcity
            alert[index(row)] = trend > 0
            at_reset = 0 if at_reset == episode_length else at_reset + 1
            row += 1
        cursor[0] = at
    phase[0] = at_reset


@kernel
def first_alike(buckets):
    """For each bucket count the first that accepts the same words: all powers of two do. int64 (4,)."""
    first = np.arange(buckets.size)
    for k in range(buckets.size):
        for other in range(k):
            if buckets[other] << mt_shift(buckets[other]) == buckets[k] << mt_shift(buckets[k]):
                first[k] = other
                break
    return first


@kernel
def crypto_tape(
    mt, phase, episode_length, market, stress, price_state, reward_by_position, observation, alert, regime, risk, close
):
    """Rows of the reference's crypto market, its prices in units of the currency.

    market, stress: see `kernels.crypto`. price_state float64 (2,): price and regime.
    reward_by_position float64 (n, 9): PnL by old and new position (row-major, each −1, 0, 1); observation int32 (n,):
    regime * 2 + big move; alert and risk uint8 (n,); regime uint8 (n,); close float64 (n,).
    Mutates: mt, phase, price_state, reward_by_position, observation, alert, regime, risk, close.
    """
    words, cursor, spare = mt.words, mt.cursor, mt.spare
    at_reset = phase[0]
    price, current = price_state[0], np.int64(price_state[1])
    fee_rate = (market.fee_bps * stress.fee_multiplier) / 1e4
    shock_probability = crypto_shock_probability(market, stress)
    shock_deviation = market.shock_scale * stress.volatility_multiplier
    forced = np.int64(stress.regime)
    drift, volatility = np.empty(N_REGIMES), np.empty(N_REGIMES)
    for k in range(N_REGIMES):
        drift[k], volatility[k] = crypto_drift(market, stress, k), crypto_volatility(market, stress, k)
    kept, has_kept = spare[0], spare[1] != 0.0
    rewards = reward_by_position.reshape(-1)
    row = 0
    while row < observation.size:
        if cursor[1] - cursor[0] < MT_MARGIN:
            mt_extend(mt)
        at, end = cursor[0], cursor[1]
        while row < observation.size and end - at >= MT_MARGIN:
            change = 0.0
            fee = 0.0
            last_return = 0.0
            is_risk = False
            if at_reset == 0:
                price = START_PRICE
                current = np.int64(REGIME_CHOP)
            else:
                if forced >= 0:
                    current = forced
                else:
                    u, at = mt_random(words, at)
                    if u < 0.05:
                        current, at = mt_below(words, at, end, 4, 29)
                deviation = volatility[index(current)]
                noise, at, kept, has_kept = mt_gauss(words, at, kept, has_kept, 0.0, deviation)
                u, at = mt_random(words, at)
                if u < shock_probability:
                    shock, at, kept, has_kept = mt_gauss(words, at, kept, has_kept, 0.0, shock_deviation)
                    noise += shock
                old = price
                price *= math.exp(drift[index(current)] + noise)
                change = price - old
                fee = price * fee_rate
                last_return = change / old
                is_risk = abs(last_return) > deviation * 2.5 or current == REGIME_PANIC
            big_move = abs(last_return) > 0.01
            for before in range(3):
                for after in range(3):
                    paid = fee if before != after else 0.0
                    rewards[index(row * 9 + before * 3 + after)] = change * (after - 1) - paid
            observation[index(row)] = current * 2 + big_move
            alert[index(row)] = is_risk or big_move
            regime[index(row)] = current
            risk[index(row)] = is_risk
            close[index(row)] = price
            at_reset = 0 if at_reset == episode_length else at_reset + 1
            row += 1
        cursor[0] = at
    phase[0] = at_reset
    spare[0], spare[1] = kept, 1.0 if has_kept else 0.0
    price_state[0], price_state[1] = price, current


@kernel
def exploration_draws(mt, phase, episode_length, exploration, decay, floor, comm_column, action, comm):
    """Which rows explore, and with which actions: the agent's draws, which no table has a part in.

    exploration float64 (1,): the rate, multiplied by `decay` after each episode; comm_column int64 (n_draws,): the
    table column of each drawable communication action; action int8 (n,) and comm int16 (n,): the explored action, or
    −1 for the greedy one. Mutates: mt, phase, exploration, action, comm.
    """
    words, cursor = mt.words, mt.cursor
    at_reset = phase[0]
    n_comm = comm_column.size
    shift = mt_shift(n_comm)
    epsilon = max(floor, exploration[0])
    row = 0
    while row < action.size:
        if cursor[1] - cursor[0] < MT_MARGIN:
            mt_extend(mt)
        at, end = cursor[0], cursor[1]
        while row < action.size and end - at >= MT_MARGIN:
            explored, comm_explored = np.int64(-1), np.int64(-1)
            if at_reset > 0:
                u, at = mt_random(words, at)
                if u < epsilon:
                    explored, at = mt_below(words, at, end, 3, 30)
                u, at = mt_random(words, at)
                if u < epsilon:
                    drawn, at = mt_below(words, at, end, n_comm, shift)
                    comm_explored = comm_column[index(drawn)]
            action[index(row)] = explored
            comm[index(row)] = comm_explored
            if at_reset == episode_length:
                at_reset = 0
                exploration[0] *= decay
                epsilon = max(floor, exploration[0])
            else:
                at_reset += 1
            row += 1
        cursor[0] = at
    phase[0] = at_reset
