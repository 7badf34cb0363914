"""The compat tapes against the reference's environments and CPython's generator, draw by draw."""

import random

import numpy as np
from examples import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, MARKETS, SEEDS, market_and_stress, pieces
from numpy.testing import assert_array_equal

from idi_fast.environments.rng import MersenneTwister
from idi_fast.kernels import tape_mt19937 as kernels
from idi_fast.kernels.rng import mt_words64
from oracle import tape_mt19937 as oracle
from oracle.reference import MARKET_DEFAULTS, CryptoEnv, SyntheticEnv, complete

BUCKETS = st.lists(st.integers(1, 9), min_size=4, max_size=4)
WEIGHTS = st.lists(st.floats(-2, 2), min_size=3, max_size=3)


def twister(seed: int, generations: int = 2) -> MersenneTwister:
    """The generator of `random.Random(seed)` with so few words ahead that a tape uses them up many times."""
    return MersenneTwister(seed, ahead=624 * generations)


def assert_generators_equal(mine: MersenneTwister, rng: random.Random) -> None:
    """Both go on with the same words."""
    words = np.empty(4, np.uint64)
    mt_words64(mine.stream.mt, words)
    assert_array_equal(words, [rng.getrandbits(64) for _ in range(4)])


def synthetic(generator: MersenneTwister, n: int, episode_length: int, buckets, weights, chunks) -> list[np.ndarray]:
    """Base, code, alert and drift of a tape made in chunks."""
    out = np.full((n, 3), np.nan), np.zeros(n, np.int32), np.zeros(n, np.uint8), np.full(n, np.nan)
    phase, accepted = np.zeros(1, np.int64), np.zeros((4, generator.stream.mt.words.size + 1), np.int32)
    for piece in pieces(n, chunks):
        kernels.synthetic_tape(
            generator.stream.mt,
            accepted,
            phase,
            episode_length,
            np.array(buckets, np.int64),
            np.array(weights, np.float64),
            *(array[piece] for array in out),
        )
    assert phase[0] == n % (episode_length + 1)
    return list(out)


def crypto(generator: MersenneTwister, n: int, episode_length: int, market: dict, chunks) -> list[np.ndarray]:
    """Base, code, alert, regime, risk and close of a tape made in chunks."""
    out = (
        np.full((n, 9), np.nan),
        np.zeros(n, np.int32),
        np.zeros(n, np.uint8),
        np.zeros(n, np.uint8),
        np.zeros(n, np.uint8),
        np.full(n, np.nan),
    )
    phase, price_state = np.zeros(1, np.int64), np.zeros(2)
    for piece in pieces(n, chunks):
        kernels.crypto_tape(
            generator.stream.mt,
            phase,
            episode_length,
            *market_and_stress(market),
            price_state,
            *(array[piece] for array in out),
        )
    assert phase[0] == n % (episode_length + 1)
    return list(out)


@given(SEEDS, st.integers(1, 12), BUCKETS, WEIGHTS, CHUNKS)
@example(1, 5, [1, 1, 1, 1], [1.0, 0.5, 0.75], [40])
@settings(max_examples=examples(40))
def test_synthetic_tape(seed, episode_length, buckets, weights, chunks):
    mine, rng = twister(seed), random.Random(seed)
    made = synthetic(mine, 60, episode_length, buckets, weights, chunks)
    expected = oracle.synthetic_tape(rng, 60, episode_length, buckets, weights)
    for array, column in zip(made, zip(*expected, strict=True), strict=True):
        assert_array_equal(array, column)
    assert_generators_equal(mine, rng)


def test_synthetic_tape_beyond_the_words_made_ahead():
    mine, rng = twister(5), random.Random(5)
    made = synthetic(mine, 700, 64, [4, 4, 4, 8], [1.0, 0.5, 0.75], [700])
    expected = oracle.synthetic_tape(rng, 700, 64, [4, 4, 4, 8], [1.0, 0.5, 0.75])
    for array, column in zip(made, zip(*expected, strict=True), strict=True):
        assert_array_equal(array, column)
    assert_generators_equal(mine, rng)


def test_a_synthetic_tape_begins_anywhere_in_the_words():
    mine, rng = twister(1), random.Random(1)
    assert mine.stream.mt.cursor[1] == 0
    words = np.empty(1, np.uint64)
    mt_words64(mine.stream.mt, words)
    assert words[0] == rng.getrandbits(64)
    made = synthetic(mine, 50, 9, [3, 3, 3, 3], [1.0, 0.5, 0.75], [50])
    expected = oracle.synthetic_tape(rng, 50, 9, [3, 3, 3, 3], [1.0, 0.5, 0.75])
    assert_array_equal(made[1], [row.observation for row in expected])


@given(st.lists(st.integers(1, 40) | st.sampled_from([2**20, 2**31, 3 * 2**20]), min_size=4, max_size=4))
@example([4, 4, 4, 8])
@example([3, 6, 5, 12])
def test_first_alike(buckets):
    assert_array_equal(kernels.first_alike(np.array(buckets, np.int64)), oracle.first_alike(buckets))


@given(SEEDS)
@settings(max_examples=examples(20))
def test_an_agent_in_the_reference_environment_earns_what_the_synthetic_tape_says(seed):
    config = complete({})
    env, choose = SyntheticEnv(config, seed), random.Random(-seed)
    buckets = [config["quantizer"][f"{name}_buckets"] for name in ("price", "volume", "trend", "scarcity")]
    base, code, alert, _ = synthetic(twister(seed), 40, 9, buckets, [1.0, 0.5, 0.75], [7])
    for t in range(40):
        if t % 10 == 0:
            features = env.reset()
        else:
            features, reward, _ = env.step(choose.choice(("hold", "buy", "sell")))
            assert base[t, env.position + 1] + 0.2 * env.mood == reward
        assert np.unravel_index(code[t], buckets) == features[:4]
        assert alert[t] == (features[2] > 0)


@given(SEEDS, st.integers(1, 12), MARKETS, CHUNKS)
@settings(max_examples=examples(40))
def test_crypto_tape(seed, episode_length, market, chunks):
    mine, rng = twister(seed), random.Random(seed)
    made = crypto(mine, 60, episode_length, market, chunks)
    expected = oracle.crypto_tape(rng, 60, episode_length, market)
    for array, column in zip(made, zip(*expected, strict=True), strict=True):
        assert_array_equal(array, column)
    assert_generators_equal(mine, rng)


def test_crypto_tape_beyond_the_words_made_ahead_and_through_all_regimes():
    mine, rng = twister(6), random.Random(6)
    made = crypto(mine, 700, 64, MARKET_DEFAULTS, [700])
    expected = oracle.crypto_tape(rng, 700, 64, MARKET_DEFAULTS)
    for array, column in zip(made, zip(*expected, strict=True), strict=True):
        assert_array_equal(array, column)
    assert set(made[3]) == {0, 1, 2, 3}
    assert_generators_equal(mine, rng)


@given(SEEDS, MARKETS)
@settings(max_examples=examples(20))
def test_an_agent_in_the_reference_environment_earns_what_the_crypto_tape_says(seed, market):
    env, choose = CryptoEnv(market, seed), random.Random(-seed)
    base, code, _, _, risk, close = crypto(twister(seed), 40, 9, market, [7])
    for t in range(40):
        if t % 10 == 0:
            features = env.reset()
        else:
            before = env.position + 1
            features, reward, aux = env.step(choose.choice(("hold", "buy", "sell")))
            assert base[t, before * 3 + env.position + 1] == reward
            assert risk[t] == aux["risk_event"]
        assert divmod(code[t], 2) == features[1:3]
        assert close[t] == env.price


@given(
    SEEDS,
    st.integers(1, 12),
    st.floats(0, 1),
    st.floats(0.5, 1),
    st.floats(0, 0.2),
    st.lists(st.integers(0, 40), min_size=1, max_size=9),
    CHUNKS,
)
@settings(max_examples=examples(60))
def test_exploration_draws(seed, episode_length, exploration, decay, floor, comm_column, chunks):
    mine, rng = twister(seed), random.Random(seed)
    expected, rate = oracle.exploration_draws(rng, 100, episode_length, exploration, decay, floor, comm_column)
    phase, rates = np.zeros(1, np.int64), np.array([exploration])
    action, comm = np.full(100, 9, np.int8), np.full(100, 99, np.int16)
    for piece in pieces(100, chunks):
        kernels.exploration_draws(
            mine.stream.mt,
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
    assert phase[0] == 100 % (episode_length + 1)
    assert_generators_equal(mine, rng)


def test_draws_do_not_depend_on_how_many_words_are_made_ahead():
    few, many = twister(9, 2), twister(9, 64)
    one, other = (crypto(generator, 500, 20, MARKET_DEFAULTS, [500]) for generator in (few, many))
    for array, same in zip(one, other, strict=True):
        assert_array_equal(array, same)
