"""The tails against sorted series."""

import math

import numpy as np
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_strategies import eighths
from numpy.testing import assert_array_equal
from test_kernels_kpis import assert_rounded, new_lowest

from idi_fast.kernels import tails as kernels
from oracle import tails as oracle


@st.composite
def series(draw) -> np.ndarray:
    """Values of many kinds, and of lengths on both sides of 64, as many as are compared together."""
    n, rng = draw(st.integers(1, 300)), np.random.default_rng(draw(st.integers(0, 2**32)))
    noise = rng.normal(size=n)
    kinds = {
        "noise": noise,
        "few": noise.round() + 0.0,
        "flat": np.where(rng.random(n) < 0.05, noise, 0.0),
        "up": np.sort(noise),
        "down": np.sort(noise)[::-1].copy(),
        "there and back": np.concatenate([np.sort(noise)[::2], np.sort(noise)[1::2][::-1]]),
    }
    return kinds[draw(st.sampled_from(sorted(kinds)))]


LIMITS = st.floats(-2, 2) | st.just(math.inf) | eighths(1)


def kept(lowest: kernels.Lowest) -> list[float]:
    return lowest.values[: int(lowest.state[kernels.KEPT])].tolist()


@given(series(), LIMITS, LIMITS)
def test_keep_tails(values, below, above):
    low, high = new_lowest(values.size + 1, below), new_lowest(values.size + 1, above)
    for tail in (low, high):
        tail.values[0], tail.state[kernels.KEPT] = -5.0, 1.0
    kernels.keep_tails(values, low, high)
    assert (kept(low)[1:], kept(high)[1:]) == oracle.keep_tails(values.tolist(), below, above)


@given(series(), st.integers(0, 299))
@settings(max_examples=examples(200))
def test_ranks(values, rank):
    rank, before = min(rank, values.size - 1), values.copy()
    assert kernels.at_rank(values, rank) == oracle.at_rank(values.tolist(), rank)
    assert kernels.two_ranks(values, rank) == oracle.two_ranks(values.tolist(), rank)
    assert_array_equal(values, before)


@given(series(), LIMITS, LIMITS)
def test_values_between(values, floor, ceiling):
    out = np.empty(values.size + 1)
    below, count = kernels.values_between(values, floor, ceiling, out)
    assert (below, out[:count].tolist()) == oracle.values_between(values.tolist(), floor, ceiling)


@given(series(), st.integers(1, 100))
@settings(max_examples=examples(200))
def test_cut(values, least):
    least = min(least, (values.size - 1) // 2)
    if least < 1:
        return
    lowest = kernels.Lowest(np.array([values.size, math.inf]), values.copy(), least)
    kernels.cut(lowest)
    assert least <= lowest.state[kernels.KEPT] <= max(1.5 * least, least + 1)
    assert sorted(kept(lowest))[:least] == oracle.cut(values.tolist(), least)
    # Whatever comes later is kept if it belongs to the lowest.
    assert lowest.state[kernels.LIMIT] >= sorted(kept(lowest))[least - 1]


@given(series(), series(), st.integers(1, 100))
def test_cut_tails(one, other, least):
    low, high = (kernels.Lowest(np.array([v.size, math.inf]), v.copy(), least) for v in (one, other))
    kernels.cut_tails(low, high)
    for made, expected in zip((low, high), oracle.cut_tails(one.tolist(), other.tolist(), least), strict=True):
        assert sorted(kept(made))[: len(expected)] == expected
        assert len(kept(made)) <= 2 * least


@given(st.lists(st.floats(-1.0, 9.0), max_size=200), st.floats(-1.0, 9.0) | st.sampled_from([-math.inf, math.inf]))
def test_sum_below(values, limit):
    total, count = oracle.sum_below(values, limit)
    made = kernels.sum_below(np.array(values), limit)
    assert made[1] == count
    assert_rounded(made[:1], [total], [9], len(values))
