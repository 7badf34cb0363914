"""The simulated market of any number of regimes, with fat tails and variance that clusters."""

import math
from typing import NamedTuple

import numpy as np

from idi_fast.kernels._jit import index, kernel
from idi_fast.kernels.crypto import REGIME_PANIC
from idi_fast.kernels.elementary import (
    BITS_OF_ONE,
    exponential_less_one,
    float_of,
    log_of_one_more,
    natural_log,
    sine_and_cosine,
)
from idi_fast.kernels.tape_words import BITS_12, BITS_32, high_uniform, low_uniform


class Regimes(NamedTuple):
    """A market's regimes: chain float64 (k, k), the chance to go on from a row's regime to one of the columns' up to
    each; drift, volatility float64 (k,), log return per bar and its standard deviation; tail float64 (k,), degrees of
    freedom of Student's t, 0 for a normal distribution; arch, garch float64 (k,), α and β; counts_as int64 (k,), which
    of the four regimes of `kernels.crypto` each shows itself as; share float64, of log volume per size of return."""

    chain: np.ndarray
    drift: np.ndarray
    volatility: np.ndarray
    tail: np.ndarray
    arch: np.ndarray
    garch: np.ndarray
    counts_as: np.ndarray
    share: float


@kernel
def regime_bars(words, regimes, state, log_close, log_volume, regime, risk):
    """Bars of one endless path: a Markov chain of regimes, returns by Student's t or normal, GARCH(1,1).

    words uint64 (n, 4): the chain; two for the return; the volume's noise. A variate of Student's t is the polar
    method's (Bailey 1994), scaled to variance 1. The variance of a regime, the square of its volatility, is multiplied
    by a factor g common to all, whose mean is 1: gₜ₊₁ = 1 − α − β + α gₜ zₜ² + β gₜ (Bollerslev 1986), α and β being
    those of the regime of bar t. Log volume and risk events are as in `tape_words.crypto_bars`.
    state float64 (4,): log close, regime, log volume, g. log_close, log_volume float64 (n,); regime, risk uint8 (n,).
    Mutates: state, log_close, log_volume, regime, risk.
    """
    k = regimes.drift.size
    highest, lowest = np.empty(k), np.empty(k)
    for place in range(k):
        limit = 2.5 * regimes.volatility[place]
        highest[place] = log_of_one_more(limit) if regimes.counts_as[place] != REGIME_PANIC else -np.inf
        lowest[place] = log_of_one_more(-limit) if limit < 1.0 else -np.inf
    price, current, volume, factor = state[0], index(np.int64(state[1])), state[2], state[3]
    for row in range(log_close.size):
        uniform, following = high_uniform(words[row, 0]), 0
        while uniform >= regimes.chain[current, following]:
            following += 1
        current = index(following)
        size = -natural_log(2.0 - float_of((words[row, 1] >> BITS_12) | BITS_OF_ONE))
        tail = regimes.tail[current]
        square = (tail - 2.0) * exponential_less_one(2.0 * size / tail) if tail > 0.0 else 2.0 * size
        _, cosine = sine_and_cosine(np.int64(words[row, 2] >> BITS_32))
        z = cosine * math.sqrt(square)
        log_return = regimes.drift[current] + z * (regimes.volatility[current] * math.sqrt(factor))
        arch, garch = regimes.arch[current], regimes.garch[current]
        factor = (1.0 - arch - garch) + (arch * (factor * (z * z)) + garch * factor)
        price += log_return
        volume = 0.8 * volume + (abs(log_return) * regimes.share + (low_uniform(words[row, 3]) - 0.5))
        log_close[row], log_volume[row] = price, volume
        regime[row] = regimes.counts_as[current]
        risk[row] = (log_return > highest[current]) | (log_return < lowest[current])
    state[0], state[1], state[2], state[3] = price, current, volume, factor
