"""Tapes and exploration draws of the default mode, from a stream of 64-bit words of either generator.

Every row takes the same number of words whatever happens in it, so a tape can be cut into chunks anywhere, and
NumPy's own generator, reshaped to one row a line, is the oracle. 32 random bits decide each choice.
"""

import math

import numpy as np

from idi_fast.kernels._jit import index, kernel
from idi_fast.kernels.crypto import N_REGIMES, REGIME_PANIC, crypto_drift, crypto_shock_probability, crypto_volatility
from idi_fast.kernels.elementary import BITS_OF_ONE, float_of, log_of_one_more, natural_log, sine_and_cosine

LOW_32 = np.uint64(0xFFFFFFFF)
BITS_32 = np.uint64(32)
ONE = np.uint64(1 << 32)
BITS_12 = np.uint64(12)
TWO_32 = 4294967296.0


@kernel(inline=True)
def below(word, n):
    """An integer in [0, n), n < 2**32: the high half of the 128-bit product (Lemire 2019, without his rejection)."""
    n64 = np.uint64(n)
    low = ((word & LOW_32) * n64) >> BITS_32
    return np.int64(((word >> BITS_32) * n64 + low) >> BITS_32)


@kernel(inline=True)
def high_uniform(word):
    """The upper 32 bits as a float64 in [0, 1)."""
    return np.float64(np.int64(word >> BITS_32)) * (1.0 / TWO_32)


@kernel(inline=True)
def low_uniform(word):
    """The lower 32 bits as a float64 in [0, 1)."""
    return np.float64(np.int64(word & LOW_32)) * (1.0 / TWO_32)


@kernel
def synthetic_rows(words, buckets, weights, reward_by_position, observation, alert, drift):
    """Rows of the synthetic environment; a reset row is made like any other and only its observation is used.

    words uint64 (n, 2): drift and scarcity change, observation. The rest as in `tape_mt19937.synthetic_tape`.
    Mutates: reward_by_position, observation, alert, drift.
    """
    w_pnl, w_scarcity, ethics = weights[0], weights[1], weights[2]
    before_trend, n_trend = np.uint64(buckets[0] * buckets[1]), np.uint64(buckets[2])
    n_codes = before_trend * n_trend * np.uint64(buckets[3])
    for row in range(observation.size):
        moves = words[row, 0]
        drift[row] = -1.0 + 2.0 * high_uniform(moves)
        pnl = drift[row] * w_pnl
        scarcity_term = (-0.5 + low_uniform(moves)) * w_scarcity
        reward_by_position[row, 0] = (-pnl + scarcity_term) - ethics
        reward_by_position[row, 1] = scarcity_term + ethics
        reward_by_position[row, 2] = (pnl + scarcity_term) + ethics
        # A fraction, scaled, whose integer part is the observation; so each digit is one of what the last has left.
        observed = words[row, 1] >> BITS_32
        observation[row] = (observed * n_codes) >> BITS_32
        alert[row] = ((observed * before_trend) & LOW_32) * n_trend >= ONE


@kernel
def exploration_rows(words, phase, episode_length, exploration, decay, floor, comm_column, action, comm):
    """Which rows explore, and with which actions; arguments as in `tape_mt19937.exploration_draws`.

    words uint64 (n, 2): one for the action, one for the communication; the upper half decides whether to explore,
    the lower half with what. Mutates: phase, exploration, action, comm.
    """
    at_reset = phase[0]
    n_comm = np.uint64(comm_column.size)
    threshold = np.uint64(max(floor, exploration[0]) * TWO_32)
    for row in range(action.size):
        word = words[row, 0]
        explored = np.int64(((word & LOW_32) * np.uint64(3)) >> BITS_32)
        action[row] = explored if (word >> BITS_32) < threshold else np.int64(-1)
        word = words[row, 1]
        drawn = comm_column[np.int64(((word & LOW_32) * n_comm) >> BITS_32)]
        comm[row] = drawn if (word >> BITS_32) < threshold else np.int64(-1)
        if at_reset == episode_length:
            at_reset = 0
            exploration[0] *= decay
            threshold = np.uint64(max(floor, exploration[0]) * TWO_32)
        else:
            at_reset += 1
    phase[0] = at_reset


@kernel
def normal_pairs(words, first, second):
    """Two independent standard normal variates a row (Box & Muller 1958), of the second and third of its words.

    words uint64 (n, 4); first, second float64 (n,). Mutates: first, second.
    """
    for row in range(first.size):
        # 52 bits of a fraction as those of a float in [1, 2); and never a uniform of 0, whose logarithm does not exist.
        uniform = 2.0 - float_of((words[row, 1] >> BITS_12) | BITS_OF_ONE)
        radius = math.sqrt(-2.0 * natural_log(uniform))
        sine, cosine = sine_and_cosine(np.int64(words[row, 2] >> BITS_32))
        first[row], second[row] = cosine * radius, sine * radius


@kernel(inline=True)
def next_regime(word, forced, current):
    """The regime after `current` in a Markov chain that goes on to one of the four by a chance of 0.05 a bar.

    word uint64; forced: the regime that it always is, or −1.
    """
    drawn = np.int64((word & LOW_32) >> np.uint64(30)) if high_uniform(word) < 0.05 else current
    return forced if forced >= 0 else drawn


@kernel
def crypto_bars(words, market, stress, state, log_close, log_volume, regime, risk):
    """Bars of the simulated crypto market: one endless path of regimes, fat-tailed returns and volume.

    words uint64 (n, 4): regime; two for a pair of normals, the diffusion and the shock; whether there is a shock, and
    the volume's noise. market, stress as in `kernels.crypto`. Log volume is an AR(1) around 0 driven by the size of the
    return, as volume and volatility share their cause (Clark 1973). A bar is a risk event in a panic, or if its simple
    return exceeds 2.5 volatilities.
    state float64 (3,): log close, regime, log volume. log_close, log_volume float64 (n,); regime, risk uint8 (n,).
    Mutates: state, log_close, log_volume, regime, risk.
    """
    drift, volatility = np.empty(N_REGIMES), np.empty(N_REGIMES)
    highest, lowest = np.empty(N_REGIMES), np.empty(N_REGIMES)
    for k in range(N_REGIMES):
        drift[k], volatility[k] = crypto_drift(market, stress, k), crypto_volatility(market, stress, k)
        limit = 2.5 * volatility[k]
        highest[k] = log_of_one_more(limit)
        lowest[k] = log_of_one_more(-limit) if limit < 1.0 else -np.inf
    highest[REGIME_PANIC] = -np.inf
    shock_probability = crypto_shock_probability(market, stress)
    shock_deviation = market.shock_scale * stress.volatility_multiplier
    share = 0.2 / market.volatility if market.volatility > 0.0 else 0.0
    normal_pairs(words, log_close, log_volume)
    # All in one loop: beside the sums, which wait for the one before, everything else takes no time.
    forced, current = np.int64(stress.regime), np.int64(state[1])
    price, volume = state[0], state[2]
    for row in range(log_close.size):
        current = next_regime(words[row, 0], forced, current)
        k = index(current)
        shock = log_volume[row] * shock_deviation if high_uniform(words[row, 3]) < shock_probability else 0.0
        log_return = drift[k] + (log_close[row] * volatility[k] + shock)
        price += log_return
        volume = 0.8 * volume + (abs(log_return) * share + (low_uniform(words[row, 3]) - 0.5))
        log_close[row], log_volume[row] = price, volume
        regime[row], risk[row] = current, (log_return > highest[k]) | (log_return < lowest[k])
    if log_close.size:
        state[0], state[1], state[2] = price, current, volume


@kernel
def window_bars(words, cursor, episode_length, stops, shifts, bar):
    """The bar of each row when an episode is a window of a history, or of one of several that lie one behind the other,
    its start drawn uniformly.

    words uint64 (n,): one a row, used on reset rows; cursor int64 (2,): rows of the episode already made, current
    bar; stops int64 (k,): how many windows there are in the first histories, up to each; shifts int64 (k,): what to add
    to the number of a window for its first bar; bar int64 (n,). Mutates: cursor, bar.
    """
    at_reset, current = cursor[0], cursor[1]
    for row in range(bar.size):
        current += 1
        if at_reset == 0:
            window = below(words[row], stops[stops.size - 1])
            first, last = 0, stops.size - 1
            while first < last:
                middle = (first + last) // 2
                if window < stops[middle]:
                    last = middle
                else:
                    first = middle + 1
            current = window + shifts[first]
        bar[row] = current
        at_reset = 0 if at_reset == episode_length else at_reset + 1
    cursor[0], cursor[1] = at_reset, current
