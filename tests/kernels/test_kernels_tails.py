"""The tails against sorted series."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from kernel_strategies import eighths
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


@given(series(), LIMITS)
def test_keep_lowest(values, limit):
    expected = oracle.keep_lowest(values.tolist(), limit)
    lowest = new_lowest(values.size + 3, limit)
    lowest.values[:3], lowest.state[kernels.KEPT] = -5.0, 3.0
    kernels.keep_lowest(values, lowest)
    assert kept(lowest) == [-5.0] * 3 + expected
    among = kernels.Lowest(np.array([0.0, limit]), np.array([*values, math.nan]), 1)
    kernels.keep_lowest(among.values[:-1], among)
    assert kept(among) == expected


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 4))
def test_is_full(low, high, least):
    tails = [kernels.Lowest(np.array([float(n), math.inf]), np.empty(20), least) for n in (low, high)]
    assert kernels.is_full(*tails) == oracle.is_full([0.0] * low, [0.0] * high, least)


@given(series(), LIMITS, LIMITS)
def test_values_between(values, floor, ceiling):
    out = np.empty(values.size + 1)
    below, count = kernels.values_between(values, floor, ceiling, out)
    assert (below, out[:count].tolist()) == oracle.values_between(values.tolist(), floor, ceiling)


@given(st.lists(st.floats(-1.0, 9.0), max_size=200), st.floats(-1.0, 9.0) | st.sampled_from([-math.inf, math.inf]))
def test_sum_below(values, limit):
    total, count = oracle.sum_below(values, limit)
    made = kernels.sum_below(np.array(values), limit)
    assert made[1] == count
    assert_rounded(made[:1], [total], [9], len(values))
