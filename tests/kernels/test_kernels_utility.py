"""What returns are worth to an agent that minds risk, against its definition."""

import math

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from idi_fast.kernels import utility as kernels
from oracle import utility as oracle

KINDS = {"log": kernels.LOG, "mean_variance": kernels.MEAN_VARIANCE, "downside": kernels.DOWNSIDE}


@given(st.sampled_from(sorted(KINDS)), st.integers(0, 2**32 - 1), st.integers(0, 12), st.floats(0.0, 50.0))
@settings(max_examples=examples(60))
def test_utility_rows(kind, seed, n, aversion):
    drawn = np.random.default_rng(seed)
    returns, scarcity, weights = drawn.normal(size=(n, 9)) * 3.0, drawn.normal(size=n), drawn.normal(size=3)
    unit = float(drawn.uniform(1e-4, 0.5))
    rewards = returns.copy()
    kernels.utility_rows(KINDS[kind], aversion, unit, scarcity, weights, rewards)
    expected = oracle.utility_rows(kind, aversion, unit, scarcity.tolist(), weights.tolist(), returns.tolist())
    assert_array_equal(rewards, np.array(expected).reshape(n, 9))


def of_return(kind: str, r: float, aversion: float = 3.0) -> float:
    rewards = np.full((1, 9), r)
    kernels.utility_rows(KINDS[kind], aversion, 1.0, np.zeros(1), np.array([1.0, 0.0, 0.0]), rewards)
    return float(rewards[0, 0])


@pytest.mark.parametrize(
    ("kind", "r", "expected"),
    [
        ("log", 0.5, math.log(1.5)),
        ("log", -0.5, math.log(0.5)),
        ("log", 0.0, 0.0),
        ("log", -1.0, math.log(1 / 1024)),
        ("log", -7.0, math.log(1 / 1024)),
        ("mean_variance", 0.5, 0.5 - 1.5 * 0.25),
        ("mean_variance", -0.5, -0.5 - 1.5 * 0.25),
        ("downside", 0.5, 0.5),
        ("downside", -0.5, -0.5 - 1.5 * 0.25),
    ],
)
def test_by_hand(kind, r, expected):
    assert of_return(kind, r) == pytest.approx(expected, rel=1e-15)


def test_without_aversion_the_return_itself_is_what_counts():
    for kind in ("mean_variance", "downside"):
        assert of_return(kind, 0.37, 0.0) == 0.37
