"""The generators against CPython's and NumPy's own."""

import random

import numpy as np
import pytest
from examples import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, SEEDS, WORDS_32, WORDS_64, pieces
from numpy.testing import assert_array_equal

from idi_fast.environments.rng import MersenneTwister, Sfc64
from idi_fast.kernels import rng as kernels
from oracle import engine
from oracle import rng as oracle

LAST = 2**32 - 1
ROOM = 64  # words after those a test chose, all 0, so that a draw by rejection ends


def key_of(seed: int) -> np.ndarray:
    """The state of `random.Random(seed)`."""
    return np.array(random.Random(seed).getstate()[1][:-1], np.uint32)


def with_room(words: list[int]) -> np.ndarray:
    return np.array([*words, *[0] * ROOM], np.uint32)


def test_an_oracle_generator_gives_the_words_it_was_made_of():
    words = [0, 1, 2**31, LAST, *range(123_456_789, 2**32, 987_654_321)]
    rng = oracle.generator(words)
    assert [rng.getrandbits(32) for _ in words] == words


@given(SEEDS)
@settings(max_examples=examples(20))
def test_mt_generation_and_mt_temper(seed):
    key = key_of(seed)
    for _ in range(3):
        expected = oracle.mt_generation(key)
        kernels.mt_generation(key)
        assert_array_equal(key, expected)
    out = np.zeros(700, np.uint32)
    kernels.mt_temper(key, out)
    assert_array_equal(out[:624], oracle.mt_temper(key))
    assert not out[624:].any()


@given(st.lists(WORDS_32, max_size=20))
@example([0, 1, 2**31, LAST])
def test_mt_temper_of_any_words(key):
    out = np.zeros(len(key), np.uint32)
    kernels.mt_temper(np.array(key, np.uint32), out)
    assert_array_equal(out, oracle.mt_temper(key))


@given(SEEDS, st.integers(1124, 2500), st.integers(0, 500), st.integers(0, 623))
@example(1, 1248, 0, 0)  # room for two generations, but not for the place that is kept free
@example(1, 1249, 0, 0)
@settings(max_examples=examples(30))
def test_mt_extend(seed, size, start, left):
    key, words = key_of(seed), np.arange(size, dtype=np.uint32)
    cursor = np.array([start, start + left], np.int64)
    expected_key, expected_words = oracle.mt_extend(key, words[start : start + left], words.size - 1)
    kernels.mt_extend(kernels.Mt(key, words, cursor, np.zeros(2)))
    assert_array_equal(cursor, [0, len(expected_words)])
    assert_array_equal(words[: cursor[1]], expected_words)
    assert_array_equal(key, expected_key)


@given(WORDS_32, WORDS_32, st.integers(0, 2))
@example(0, 0, 0)
@example(LAST, LAST, 0)
@example(31, 63, 0)
@example(32, 64, 1)
def test_mt_random(high, low, index):
    words = np.array([*[5] * index, high, low], np.uint32)
    assert kernels.mt_random(words, index) == oracle.mt_random(words, index)


@given(st.integers(1, 2**31))
@example(1)
@example(2)
@example(3)
@example(4)
@example(2**31 - 1)
@example(2**31)
def test_mt_shift(n):
    assert kernels.mt_shift(n) == oracle.mt_shift(n)


@given(st.lists(WORDS_32, max_size=8), st.integers(1, 20) | st.integers(1, 2**31), st.integers(0, 3))
@example([LAST, LAST, 2**31], 1, 0)
@example([LAST, 2**31], 2**31, 1)
def test_mt_below(chosen, n, index):
    words = with_room(chosen)
    drawn = kernels.mt_below(words, index, words.size, n, kernels.mt_shift(n))
    assert drawn == oracle.mt_below(words, index, n)


@given(st.lists(WORDS_32, max_size=12), st.integers(1, 20) | st.integers(1, 2**31), st.data())
@example([LAST, 0, LAST], 3, None)
def test_mt_accepted(chosen, n, data):
    end = len(chosen) if data is None else data.draw(st.integers(0, len(chosen)))
    out = np.full(len(chosen) + 2, -1, np.int32)
    kernels.mt_accepted(np.array(chosen, np.uint32), end, n, out)
    assert_array_equal(out[: end + 1], oracle.mt_accepted(chosen, end, n))
    assert (out[end + 1 :] == -1).all()


def test_mt_below_stops_where_the_words_end():
    words = np.full(8, LAST, np.uint32)  # 3 three times, and never below 3
    assert kernels.mt_below(words, 2, 5, 3, 30)[1] == 5


@given(
    st.lists(WORDS_32, max_size=8),
    st.none() | st.floats(-4, 4),
    st.floats(-10, 10),
    st.floats(0, 10),
)
@example([0, 0, LAST, LAST], None, 0.0, 1.0)
@example([LAST, LAST, 0, 0], None, 0.0, 1.0)
def test_mt_gauss(chosen, kept, mean, deviation):
    words = with_room(chosen)
    value, at, spare, has_spare = kernels.mt_gauss(words, 0, kept or 0.0, kept is not None, mean, deviation)
    assert (value, at, spare if has_spare else None) == oracle.mt_gauss(words, 0, kept, mean, deviation)


@given(SEEDS, CHUNKS, st.sampled_from([2, 3]))
@settings(max_examples=examples(25))
def test_mt_words64(seed, chunks, generations):
    mt = MersenneTwister(seed, ahead=624 * generations).stream.mt  # few, so that they are used up more than once
    words = np.empty(1000, np.uint64)
    for piece in pieces(words.size, chunks):
        kernels.mt_words64(mt, words[piece])
    assert_array_equal(words, oracle.mt_words64(random.Random(seed), words.size))


@pytest.mark.parametrize("index", [0, 1, 623, 624])
def test_mt_words64_after_an_odd_number_of_words(index):
    rng = random.Random(7)
    mt = MersenneTwister(7, ahead=624 * 2).stream.mt
    kernels.mt_extend(mt)
    mt.cursor[0] = index
    for _ in range(index):
        rng.getrandbits(32)
    words = np.empty(2000, np.uint64)
    kernels.mt_words64(mt, words)
    assert_array_equal(words, oracle.mt_words64(rng, words.size))


@given(st.lists(WORDS_64, min_size=4, max_size=64), st.integers(0, 80))
@example([2**64 - 1] * 4, 5)
@example([0] * 4, 30)
def test_sfc64_words64_from_any_state(words, n):
    states = np.resize(np.array(words, np.uint64), (4, kernels.SFC_LANES))
    generators = [oracle.sfc64(column) for column in states.T]
    sfc = kernels.Sfc(states.copy(), np.zeros(kernels.SFC_LANES, np.uint64), np.zeros(1, np.int64))
    out = np.empty(n, np.uint64)
    kernels.sfc64_words64(sfc, out)
    assert_array_equal(out, oracle.sfc64_words64(generators, n))
    after = [generator.state["state"]["state"] for generator in generators]
    assert_array_equal(sfc.state, np.stack(after, axis=1))
    assert (n + sfc.left[0]) % kernels.SFC_LANES == 0


@given(SEEDS, CHUNKS, st.booleans())
@settings(max_examples=examples(25))
def test_words64_in_chunks(seed, chunks, is_mt):
    generator = MersenneTwister(seed) if is_mt else Sfc64(np.random.SeedSequence(seed))
    words = np.empty(200, np.uint64)
    for piece in pieces(words.size, chunks):
        generator.words64(words[piece])
    twins = random.Random(seed) if is_mt else engine.generators(np.random.SeedSequence(seed))
    assert_array_equal(words, oracle.words64(twins, words.size))
