"""The default mode's tapes worked out from rows of words with Python's integers and fractions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate

from . import Column
from .elementary import log_of_one_more, natural_log, sine_and_cosine
from .reference import REGIMES, CryptoEnv
from .tape_mt19937 import SyntheticRow, synthetic_env


class Answers:
    """Stands in for `random.Random`: it gives the numbers it was given, in that order."""

    def __init__(self, *, uniforms: Sequence[Fraction], integers: Sequence[int]) -> None:
        self.uniforms, self.integers = iter(uniforms), iter(integers)

    def uniform(self, low: float, high: float) -> float:
        """The next fraction of the way from low to high, rounded once."""
        return float(Fraction(low) + (Fraction(high) - Fraction(low)) * next(self.uniforms))

    def randint(self, low: int, high: int) -> int:
        """The next integer."""
        value = next(self.integers)
        assert low <= value <= high
        return value


def halves(word: int) -> tuple[int, int]:
    """The upper and the lower 32 bits."""
    return divmod(int(word), 2**32)


def below(word: int, n: int) -> int:
    """The integer part of n times the word taken as a fraction."""
    return math.floor(Fraction(int(word), 2**64) * n)


def high_uniform(word: int) -> float:
    """The upper half as a fraction."""
    return float(Fraction(halves(word)[0], 2**32))


def low_uniform(word: int) -> float:
    """The lower half as a fraction."""
    return float(Fraction(halves(word)[1], 2**32))


def synthetic_rows(words: Column, buckets: Column, weights: Column) -> list[SyntheticRow]:
    """The reference's environment stepped with what the words say, once with each position."""
    rows = []
    for moves, observation in words:
        uniforms = [Fraction(half, 2**32) for half in halves(moves)]
        observed = halves(observation)[0]
        code = rest = math.floor(Fraction(observed, 2**32) * math.prod(map(int, buckets)))
        digits: list[int] = []
        for size in reversed(buckets):
            rest, digit = divmod(rest, int(size))
            digits.insert(0, digit)
        base = []
        for action in ("sell", "hold", "buy"):
            env = synthetic_env(buckets, weights)
            env.position = env.mood = 0
            env.rng = Answers(uniforms=uniforms, integers=digits)
            features, reward, _ = env.step(action)
            base.append(reward)
        drift = Answers(uniforms=uniforms, integers=()).uniform(-1, 1)
        rows.append(SyntheticRow(tuple(base), code, features[2] > 0, drift))
    return rows


def exploration_rows(
    words: Column,
    episode_length: int,
    exploration: float,
    decay: float,
    floor: float,
    comm_column: Column,
) -> tuple[list[tuple[int, int]], float]:
    """Explored action and communication column of each row (−1: greedy), and the exploration rate after them.

    Of the 2**32 values of an upper half the lowest explore, as many as the rate's share comes to, rounded down. Reset
    rows draw like any other; nothing reads what they draw.
    """
    rows = []
    for first in range(0, len(words), episode_length + 1):
        exploring = range(math.floor(Fraction(max(floor, exploration)) * 2**32))
        episode = words[first : first + episode_length + 1]
        for pair in episode:
            (decides, draws), (comm_decides, comm_draws) = map(halves, pair)
            action = draws * 3 // 2**32 if decides in exploring else -1
            comm = int(comm_column[comm_draws * len(comm_column) // 2**32]) if comm_decides in exploring else -1
            rows.append((action, comm))
        if len(episode) == episode_length + 1:
            exploration *= decay
    return rows, exploration


def normal_pairs(words: Column) -> list[tuple[float, float]]:
    """By Box and Muller, whose uniforms are 1 down to 2⁻⁵², of the second and third words."""
    pairs = []
    for _, radial, angular, _ in words:
        radius = math.sqrt(-2.0 * natural_log(1.0 - (int(radial) >> 12) / 2**52))
        sine, cosine = sine_and_cosine(halves(angular)[0])
        pairs.append((cosine * radius, sine * radius))
    return pairs


def next_regime(word: int, forced: int, current: int) -> int:
    """A step of the chain."""
    if forced >= 0:
        return forced
    return halves(word)[1] * 4 // 2**32 if high_uniform(word) < 0.05 else current


def crypto_bars(
    words: Column, market: dict, log_close: float, regime: int, log_volume: float
) -> list[tuple[float, float, int, bool]]:
    """Log close, log volume, regime and risk flag of each bar after one with the given close, regime and volume."""
    env = CryptoEnv(market, seed=0)  # for its parameters and its drift; it is never stepped
    forced = -1 if env.stress.regime is None else REGIMES.index(env.stress.regime)
    shock_prob = env.market["shock_prob"] if env.stress.shock_prob is None else env.stress.shock_prob
    steps = accumulate((row[0] for row in words), lambda last, word: next_regime(word, forced, last), initial=regime)
    regimes, typical = list(steps)[1:], env.market["vol_base"]
    returns, risks, drives = [], [], []
    for row, number, (diffusion, shock) in zip(words, regimes, normal_pairs(words), strict=True):
        env.regime = REGIMES[number]
        volatility = env.market["vol_panic" if env.regime == "panic" else "vol_base"] * env.stress.vol_multiplier
        noise = diffusion * volatility
        if high_uniform(row[3]) < shock_prob:
            noise += shock * (env.market["shock_scale"] * env.stress.vol_multiplier)
        returns.append(env.drift() + noise)
        limit = 2.5 * volatility
        rises = returns[-1] > log_of_one_more(limit)
        falls = limit < 1.0 and returns[-1] < log_of_one_more(-limit)
        risks.append(rises or falls or env.regime == "panic")
        share = 0.2 / typical if typical > 0 else 0.0
        drives.append(abs(returns[-1]) * share + (low_uniform(row[3]) - 0.5))
    closes = list(accumulate(returns, initial=log_close))[1:]
    volumes = list(accumulate(drives, lambda last, new: 0.8 * last + new, initial=log_volume))[1:]
    return list(zip(closes, volumes, regimes, risks, strict=True))


def window_bars(words: Column, episode_length: int, sizes: Sequence[int]) -> list[int]:
    """The bars of one window after the other, each begun where the word of its first row says: at any bar of the
    histories, which have `sizes` bars and lie one behind the other, that leaves room for an episode in its own."""
    starts, first = [], 0
    for size in sizes:
        starts += range(first, first + size - episode_length)
        first += size
    bars: list[int] = []
    while len(bars) < len(words):
        start = starts[below(words[len(bars)], len(starts))]
        bars += range(start, start + episode_length + 1)
    return bars[: len(words)]
