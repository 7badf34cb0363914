"""What transforms are made of, each part against its twin."""

import math
import sys

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, eighths, pieces
from numpy.testing import assert_allclose, assert_array_equal

from idi_fast.kernels import averages, laps, oscillators, range_volatility, rolling
from oracle import averages as averages_oracle
from oracle import laps as oracle
from oracle import oscillators as oscillators_oracle
from oracle import range_volatility as range_oracle
from oracle import rolling as rolling_oracle

ANY = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, sys.float_info.max, 5e-324])
SERIES = st.lists(eighths(), min_size=1, max_size=50)
WINDOWS = st.integers(1, 12)
FEW = settings(max_examples=examples(40))


@FEW
@given(ANY, ANY)
def test_bounded_and_ratio(numerator, denominator):
    assert laps.bounded(numerator) == oracle.bounded(numerator)
    assert laps.ratio(numerator, denominator) == oracle.ratio(numerator, denominator)


@FEW
@given(SERIES, WINDOWS, CHUNKS, st.sampled_from([1.0, -1.0]))
def test_moving_sum_and_highest(values, window, chunks, sign):
    sums, highest = np.array(values), np.array(values)
    of_sums, of_highest = np.zeros(window + 3), np.zeros(window + 4)
    for piece in pieces(len(values), chunks):
        # In place, as transforms call them.
        laps.moving_sum(sums[piece], window, of_sums, sums[piece])
        laps.moving_highest(highest[piece], sign, window, of_highest, highest[piece])
    assert_array_equal(sums, oracle.moving_sum(values, window))
    assert_array_equal(highest, oracle.moving_highest(values, sign, window))


def test_a_sum_forgets_what_has_left():
    values = np.array([1e100, 0.1, -1e100, 0.1, 0.2, 0.3])
    out = np.empty(6)
    laps.moving_sum(values, 3, np.zeros(6), out)
    assert out[5] == pytest.approx(0.6, rel=1e-15)


@FEW
@given(eighths(), st.integers(1, 9), ANY)
def test_beyond_rounding(distance, count, total):
    expected = averages_oracle.beyond_rounding(distance, float(count), total)
    assert averages.beyond_rounding(distance, float(count), total) == expected


@FEW
@given(SERIES, st.sampled_from([1.0, -1.0]), WINDOWS)
def test_bars_since_highest(values, sign, window):
    out = np.empty(len(values))
    oscillators.bars_since_highest(np.array(values), sign, window, np.zeros(2 * window + 6), out)
    assert_array_equal(out, oscillators_oracle.bars_since_highest(values, sign, window))


@FEW
@given(st.floats(-1.0, 1e300), st.floats(-1.0, 1e300))
def test_log_ratio(price, other):
    made = range_volatility.log_ratio(price, other)
    # Two logarithms up to 691 each, rounded; the quotient too where it is small.
    assert_allclose(made, range_oracle.log_ratio(price, other), rtol=1e-14, atol=1e-12)


@FEW
@given(SERIES, st.integers(0, 5), eighths())
def test_twice_below(values, first, value):
    first = min(first, len(values))
    made = rolling.twice_below(np.array(values), first, len(values), value)
    assert made == rolling_oracle.twice_below(values, first, len(values), value)


@FEW
@given(SERIES, st.data())
def test_replace_in_order(values, data):
    old, value = data.draw(st.sampled_from(values)), data.draw(eighths())
    ordered = [-math.inf, *sorted(values), math.inf]
    out = np.array([-math.inf, *([0.0] * len(values)), math.inf])
    rolling.replace_in_order(np.array(ordered), old, value, out)
    assert_array_equal(out, rolling_oracle.replace_in_order(ordered, old, value))


def test_least_deviation():
    for value in (0.0, 1.0, -100.0):
        assert rolling.least_deviation(value) == rolling_oracle.least_deviation(value)


@FEW
@given(st.lists(st.tuples(eighths(), eighths()), min_size=1, max_size=30))
def test_moments_of_a_lap(pairs):
    means, squares, cubes = np.array([*(x for x, _ in pairs), 0.0]), *np.zeros((2, len(pairs) + 1))
    rolling.lap_moments(means, squares, cubes)
    made = np.stack([means, squares, cubes], axis=1)
    assert_array_equal(made[-1], 0.0)
    # Sums of 30 cubes of up to 16 after 30 steps of some roundings.
    assert_allclose(made[:-1], rolling_oracle.lap_moments([x for x, _ in pairs]), rtol=0, atol=1e-9)
    x, y = np.array([*pairs, (0.0, 0.0)]).T.copy()
    xx, yy, xy = np.zeros((3, len(pairs) + 1))
    rolling.lap_pairs(x, y, xx, yy, xy)
    made = np.stack([x, y, xx, yy, xy], axis=1)
    assert_allclose(made[:-1], rolling_oracle.lap_pairs(pairs), rtol=0, atol=1e-10)
    first = rolling.with_value(0.0, 0.0, 0.0, 0.0, pairs[0][0])
    assert first == rolling_oracle.with_value([], pairs[0][0])
    assert rolling.with_pair(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, *pairs[0]) == rolling_oracle.with_pair([], pairs[0])
