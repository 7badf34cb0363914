"""Logarithm, sine and cosine: equal to their twins to the bit, and near what they are."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kernel_strategies import WORDS_64

from idi_fast.kernels import elementary as kernels
from oracle import elementary as oracle

NORMAL = st.floats(min_value=2.0**-1022, allow_infinity=False, allow_nan=False)


def units(value: float, expected: float) -> float:
    """The error in units in the last place."""
    return abs(value - expected) / math.ulp(expected)


@given(WORDS_64)
@example(0x3FF0000000000000)
def test_float_of(bits):
    np.testing.assert_equal(kernels.float_of(np.uint64(bits)), oracle.float_of(bits))


@given(st.one_of(NORMAL, st.floats(0.5, 2.0), st.integers(1, 2**52).map(lambda k: k / 2**52)))
@example(1.0)
@example(math.sqrt(2.0))
@example(math.nextafter(math.sqrt(2.0), 2.0))
@example(math.sqrt(0.5))
@example(2.0**-52)
def test_natural_log(x):
    assert kernels.natural_log(x) == oracle.natural_log(x)
    assert units(kernels.natural_log(x), math.log(x)) <= 2.0  # libm's has an error of its own


@given(st.one_of(st.floats(-0.999999, 1e300), st.floats(-1e-6, 1e-6)))
@example(0.0)
@example(-1e-20)
def test_log_of_one_more(x):
    assert kernels.log_of_one_more(x) == oracle.log_of_one_more(x)
    assert units(kernels.log_of_one_more(x), math.log1p(x)) <= 4.0


@given(st.one_of(st.floats(0.0, 700.0), st.floats(0.0, 1.0), st.floats(0.0, 1e-9)))
@example(0.0)
@example(math.log(2.0) / 2)
@example(1e-300)
def test_exponential_less_one(x):
    assert kernels.exponential_less_one(x) == oracle.exponential_less_one(x)
    assert kernels.exponential_less_one(x) == pytest.approx(math.expm1(x), rel=1e-14, abs=0.0)


@given(st.integers(0, 2**32 - 1))
@example(2**29 - 1)
@example(2**29)
@example(2**32 - 1)
@example(2**31)
def test_sine_and_cosine(turn):
    found = kernels.sine_and_cosine(turn)
    assert found == oracle.sine_and_cosine(turn)
    angle = turn * math.tau / 2**32
    # What is near 0 is as wrong as the angle is, which libm is given rounded.
    assert found == pytest.approx((math.sin(angle), math.cos(angle)), rel=0, abs=1e-15)


@pytest.mark.parametrize("eighth", range(8))
def test_at_eighths_of_a_turn(eighth):
    sine, cosine = kernels.sine_and_cosine(eighth * 2**29)
    whole = (0.0, math.sqrt(0.5), 1.0, math.sqrt(0.5), 0.0, -math.sqrt(0.5), -1.0, -math.sqrt(0.5))
    assert (sine, cosine) == pytest.approx((whole[eighth], whole[(eighth + 2) % 8]), rel=2.0**-52, abs=0.0)
