"""The default mode's tapes against integer arithmetic on the same words, and against the reference's market."""

import math

import numpy as np
import pytest
from examples import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, MARKETS, SEEDS, WORDS_64, market_and_stress, pieces, uint64_rows
from numpy.testing import assert_allclose, assert_array_equal

from idi_fast.kernels import tape_words as kernels
from oracle import tape_words as oracle
from oracle.reference import MARKET_DEFAULTS, REGIMES, CryptoEnv

LAST = 2**64 - 1


def drawn(seed: int, n: int, width: int) -> np.ndarray:
    """Rows of words as a run has them, C-contiguous."""
    return np.random.SFC64(seed).random_raw(n * width).reshape(n, width)


@given(WORDS_64, st.integers(1, 9) | st.integers(1, 2**32 - 1))
@example(LAST, 2**32 - 1)
@example(2**63, 2)
@example(2**63 - 1, 2)
@example(2**32 - 1, 2**32 - 1)
def test_below(word, n):
    drawn_ = kernels.below(np.uint64(word), n)
    assert drawn_ == oracle.below(word, n)
    assert 0 <= drawn_ < n


@given(WORDS_64)
@example(0)
@example(LAST)
@example(2**32 - 1)
@example(2**32)
def test_uniforms_of_the_halves(word):
    assert kernels.high_uniform(np.uint64(word)) == oracle.high_uniform(word)
    assert kernels.low_uniform(np.uint64(word)) == oracle.low_uniform(word)


def synthetic(words: np.ndarray, buckets, weights, chunks) -> list[np.ndarray]:
    """Base, code, alert and drift of a tape made in chunks."""
    n = len(words)
    out = np.full((n, 3), np.nan), np.zeros(n, np.int32), np.zeros(n, np.uint8), np.full(n, np.nan)
    for piece in pieces(n, chunks):
        kernels.synthetic_rows(
            words[piece],
            np.array(buckets, np.int64),
            np.array(weights, np.float64),
            *(array[piece] for array in out),
        )
    return list(out)


@given(
    SEEDS,
    st.lists(WORDS_64, max_size=20),
    st.lists(st.integers(1, 9), min_size=4, max_size=4),
    st.lists(st.floats(-2, 2), min_size=3, max_size=3),
    CHUNKS,
)
@example(1, [0, 0, LAST, LAST], [4, 4, 4, 8], [1.0, 0.5, 0.75], [1])
def test_synthetic_rows(seed, words, buckets, weights, chunks):
    rows = np.concatenate([drawn(seed, 20, 2), uint64_rows(words, 2)])
    made = synthetic(rows, buckets, weights, chunks)
    expected = oracle.synthetic_rows(rows, buckets, weights)
    for array, column in zip(made, zip(*expected, strict=True), strict=True):
        assert_array_equal(array, column)


@given(
    st.lists(WORDS_64, min_size=2, max_size=80),
    st.integers(1, 9),
    st.sampled_from([1.0, 0.5, 2.0**-32, 0.0]) | st.floats(0, 1),
    st.floats(0.5, 1),
    st.floats(0, 0.2),
    st.lists(st.integers(0, 40), min_size=1, max_size=9),
    CHUNKS,
)
@example([2**63 - 1, 2**63] * 8, 3, 0.5, 1.0, 0.0, [2, 0, 1], [5])
@example([LAST, 2**32 - 1] * 8, 3, 1.0, 1.0, 0.0, [2, 0, 1], [5])
@example([2**32 - 1, 2**32] * 8, 3, 2.0**-32, 1.0, 0.0, [2, 0, 1], [16])
def test_exploration_rows(words, episode_length, exploration, decay, floor, comm_column, chunks):
    rows = uint64_rows(words, 2)
    n = len(rows)
    expected, rate = oracle.exploration_rows(rows, episode_length, exploration, decay, floor, comm_column)
    phase, rates = np.zeros(1, np.int64), np.array([exploration])
    action, comm = np.full(n, 9, np.int8), np.full(n, 99, np.int16)
    for piece in pieces(n, chunks):
        kernels.exploration_rows(
            rows[piece],
            phase,
            episode_length,
            rates,
            decay,
            floor,
            np.array(comm_column, np.int64),
            action[piece],
            comm[piece],
        )
    assert_array_equal(np.stack([action, comm], axis=1), expected)
    assert rates[0] == rate
    assert phase[0] == n % (episode_length + 1)


def test_exploration_decays_from_episode_to_episode():
    words, n = drawn(3, 4 * 5000, 2), 5000
    phase, rates = np.zeros(1, np.int64), np.ones(1)
    action, comm = np.empty(4 * n, np.int8), np.empty(4 * n, np.int16)
    schedule = (phase, n - 1, rates, 0.5, 0.2, np.arange(4), action, comm)
    kernels.exploration_rows(words, *schedule)
    shares = (action.reshape(4, n) >= 0).mean(axis=1)
    # 5000 draws each: five standard deviations are less than 0.036.
    assert_allclose(shares, [1.0, 0.5, 0.25, 0.2], rtol=0, atol=0.036)
    assert rates[0] == 0.0625


def bars(words: np.ndarray, market: dict, state: np.ndarray, chunks) -> list[np.ndarray]:
    """Log close, log volume, regime and risk of bars made in chunks; `state` goes along."""
    n = len(words)
    out = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, np.uint8), np.zeros(n, np.uint8)
    for piece in pieces(n, chunks):
        kernels.crypto_bars(words[piece], *market_and_stress(market), state, *(array[piece] for array in out))
    return list(out)


@given(
    SEEDS,
    st.lists(WORDS_64, max_size=24),
    MARKETS,
    st.tuples(st.floats(-9, 9), st.integers(0, 3), st.floats(-3, 3)),
    CHUNKS,
)
@example(1, [0] * 8 + [LAST] * 8, MARKET_DEFAULTS, (0.0, 2, 0.0), [1])
@example(6, [], {**MARKET_DEFAULTS, "vol_base": 0.2}, (0.0, 2, 0.0), [60])  # far moves: logarithm or share matters
@settings(max_examples=examples(60))
def test_crypto_bars(seed, words, market, start, chunks):
    rows = np.concatenate([drawn(seed, 60, 4), uint64_rows(words, 4)])
    state = np.array(start, np.float64)
    made = bars(rows, market, state, chunks)
    expected = oracle.crypto_bars(rows, market, *start)
    for array, column in zip(made, zip(*expected, strict=True), strict=True):
        assert_array_equal(array, column)
    assert_array_equal(state, [expected[-1][0], expected[-1][2], expected[-1][1]])


class Drawn(oracle.Answers):
    """Stands in for the generator of the reference's market for one step."""

    def __init__(self, changes, radial, angular, last):
        low, high = divmod(int(changes), 2**32)[::-1]
        self.uniforms = iter([high / 2**32, (int(last) >> 32) / 2**32])
        radius = math.sqrt(-2 * math.log(1 - (int(radial) >> 12) / 2**52))
        angle = math.tau * (int(angular) >> 32) / 2**32
        self.normals = iter([radius * math.cos(angle), radius * math.sin(angle)])
        self.regime = REGIMES[low >> 30]

    def random(self) -> float:
        return next(self.uniforms)

    def choice(self, regimes) -> str:
        assert self.regime in regimes
        return self.regime

    def gauss(self, mean: float, deviation: float) -> float:
        return mean + next(self.normals) * deviation


@given(SEEDS, MARKETS)
@settings(max_examples=examples(25))
def test_crypto_bars_are_the_reference_market_with_other_numbers(seed, market):
    words = drawn(seed, 60, 4)
    close, _, regime, risk = bars(words, market, np.array([0.0, 2.0, 0.0]), [60])
    env = CryptoEnv(market, seed=0)
    env.reset()
    for t, row in enumerate(words):
        env.rng = Drawn(*row)
        if env.stress.regime is not None:
            env.rng.uniforms = iter([(int(row[3]) >> 32) / 2**32])  # a forced regime draws nothing
        _, _, aux = env.step("hold")
        assert REGIMES[regime[t]] == env.regime
        assert risk[t] == aux["risk_event"]
        # The reference multiplies prices, here logarithms are added: each step rounds otherwise.
        assert_allclose(close[t], math.log(env.price / 1000.0), rtol=0, atol=1e-12)


def test_crypto_bars_visit_all_regimes_and_have_normal_noise():
    words = drawn(11, 20_000, 4)
    market = {**MARKET_DEFAULTS, "shock_prob": 0.0, "vol_panic": 0.01, "drift_bull": 0.0, "drift_bear": 0.0}
    close, _, regime, _ = bars(words, market, np.array([0.0, 2.0, 0.0]), [20_000])
    z = np.diff(close) / 0.01
    # 20,000 draws: the bounds are five standard errors of a normal sample's mean, deviation and tail shares.
    assert abs(z.mean()) < 5 / math.sqrt(z.size)
    assert abs(z.std() - 1) < 5 / math.sqrt(2 * z.size)
    assert abs((z > 1.6448536).mean() - 0.05) < 5 * math.sqrt(0.05 * 0.95 / z.size)
    # A regime lasts 20 bars or more, so that 20,000 bars are worth about 800 independent draws of four.
    assert_allclose(np.bincount(regime, minlength=4) / regime.size, 0.25, rtol=0, atol=0.08)


def windows(sizes: list[int], episode_length: int) -> tuple[np.ndarray, np.ndarray]:
    """`stops` and `shifts` of the windows of histories of these sizes, one behind the other."""
    counts = [size - episode_length for size in sizes]
    before = [sum(sizes[:place]) - sum(counts[:place]) for place in range(len(sizes))]
    return np.cumsum(counts), np.array(before, np.int64)


SIZES = st.lists(st.integers(1, 1000), min_size=1, max_size=5)


@given(st.lists(WORDS_64, min_size=1, max_size=40), st.integers(1, 9), SIZES, CHUNKS)
def test_window_bars(words, episode_length, starts, chunks):
    sizes = [count + episode_length for count in starts]
    bar, cursor = np.full(len(words), -1, np.int64), np.zeros(2, np.int64)
    drawn_words = np.array(words, np.uint64)
    for piece in pieces(len(words), chunks):
        kernels.window_bars(drawn_words[piece], cursor, episode_length, *windows(sizes, episode_length), bar[piece])
    assert_array_equal(bar, oracle.window_bars(words, episode_length, sizes))
    assert bar.max() < sum(sizes)
    whole = bar[: len(bar) // (episode_length + 1) * (episode_length + 1)].reshape(-1, episode_length + 1)
    ends = np.cumsum(sizes)
    assert_array_equal(np.searchsorted(ends, whole[:, 0], "right"), np.searchsorted(ends, whole[:, -1], "right"))
    assert_array_equal(cursor, [len(words) % (episode_length + 1), bar[-1]])


@pytest.mark.parametrize("n_starts", [1, 3])
def test_window_starts_are_uniform(n_starts):
    bar, n = np.empty(6000, np.int64), 3000
    kernels.window_bars(drawn(2, 6000, 1).reshape(-1), np.zeros(2, np.int64), 1, *windows([n_starts + 1], 1), bar)
    counts = np.bincount(bar[::2], minlength=n_starts)
    # Five standard deviations of a count.
    assert_allclose(counts, n / n_starts, rtol=0, atol=5 * math.sqrt(n * (n_starts - 1)) / n_starts)
