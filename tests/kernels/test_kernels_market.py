"""From bars to rows of a tape: kernels against definitions."""

import math

import numpy as np
import pytest
from examples import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, SEEDS, eighths, pieces, states
from numpy.testing import assert_allclose, assert_array_equal

from idi_fast.environments.features import Bars
from idi_fast.kernels import market as kernels
from oracle import market as oracle

BARS = st.lists(
    st.tuples(st.floats(-9, 9), st.floats(-0.2, 0.2), st.floats(0, 0.1), st.booleans()), min_size=1, max_size=30
)


def series(bars) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log close, log fill near the close before, and volatility; some closes stand still."""
    close = []
    for log_close, _, _, moves in bars:
        close.append(close[-1] + log_close / 50 if close and moves else (close[-1] if close else log_close))
    offset, volatility = np.array([bar[1:3] for bar in bars]).T
    return np.array(close), np.array([close[0], *close[:-1]]) + offset, volatility.copy()


NEAR = kernels.NEAR
CHANGES = st.floats(-0.5, 0.5) | st.floats(-NEAR, NEAR) | st.sampled_from([0.0, NEAR, -NEAR, 1e-9])


@given(st.lists(st.tuples(st.floats(-9, 9), CHANGES), min_size=1))
@example([(0.0, NEAR), (0.0, np.nextafter(NEAR, 1.0)), (0.0, -NEAR), (0.0, np.nextafter(-NEAR, -1.0))])
def test_simple_returns(pairs):
    log_from, changes = np.array(pairs).T.copy()
    log_to, out = log_from + changes, np.full(len(pairs), np.nan)
    kernels.simple_returns(log_from, log_to, out)
    # Half an ulp for the difference of the logarithms, one for eˣ − 1, against one rounding in the oracle; and the
    # oracle, at 50 digits, does not know returns below 1e-40 so well.
    expected = [float(value) for value in oracle.simple_returns(log_from, log_to)]
    assert_allclose(out, expected, rtol=1e-15, atol=1e-30)


def test_a_return_near_0_is_the_float_nearest_or_next_to_it():
    changes = np.linspace(-NEAR, NEAR, 5001)
    out = np.empty(changes.size)
    kernels.simple_returns(np.zeros(changes.size), changes, out)
    exact = np.array([float(value) for value in oracle.simple_returns(np.zeros(changes.size), changes)])
    assert np.all(np.abs(out - exact) <= np.spacing(np.abs(exact)))


@given(BARS, st.booleans(), st.floats(1e-4, 0.1), st.floats(0, 0.01), CHUNKS)
def test_bar_returns(bars, fills, floor, fee_rate, chunks):
    log_close, log_fill, volatility = series(bars)
    log_fill = log_fill if fills else np.empty(0)
    n = log_close.size
    gap, change, cost = np.full((3, n), np.nan)
    move, risk = np.full(n, 9, np.int8), np.full(n, 9, np.uint8)
    carry = np.full(2, np.nan)
    for piece in pieces(n, chunks):
        kernels.bar_returns(
            log_close[piece],
            log_fill[piece],
            volatility[piece],
            floor,
            fee_rate,
            carry,
            gap[piece],
            change[piece],
            cost[piece],
            move[piece],
            risk[piece],
        )
    expected = oracle.BarReturn(
        *map(np.array, zip(*oracle.bar_returns(log_close, log_fill, volatility, floor, fee_rate), strict=True))
    )
    # Half an ulp each for the difference of the logarithms and the quotient, one for expm1, against one rounding in
    # the oracle; and the oracle, at 50 digits, does not know returns below 1e-40 so well.
    assert_allclose(gap, expected.gap, rtol=1e-15, atol=1e-30)
    assert_allclose(change, expected.change, rtol=1e-15, atol=1e-30)
    assert_array_equal(cost, expected.cost)
    assert_array_equal(move, expected.move)
    assert_array_equal(risk, expected.risk)
    assert_array_equal(carry, [log_close[-1], volatility[-1]])


def test_bar_returns_of_three_bars_worked_by_hand():
    close, fill = np.log([100.0, 110.0, 99.0]), np.log([100.0, 105.0, 110.0])
    out = np.empty((3, 3))
    move, risk = np.empty(3, np.int8), np.empty(3, np.uint8)
    kernels.bar_returns(close, fill, np.array([0.05, 0.02, 0.01]), 0.03, 0.0015, np.full(2, np.nan), *out, move, risk)
    # The volatility of the bar before, 0.05, then the floor, 0.03; a few roundings of numbers about 1.
    assert_allclose(out[0], [0, 0.05 / 0.05, 0], rtol=1e-13)
    assert_allclose(out[1], [0, (110 / 105 - 1) / 0.05, -0.1 / 0.03], rtol=1e-13)
    assert_array_equal(out[2], [0, 0.0015 / 0.05, 0.0015 / 0.03])
    assert_array_equal(move, [0, 1, -1])
    assert_array_equal(risk, [0, 0, 1])


@given(
    st.lists(st.tuples(eighths(), eighths(), eighths(1), eighths(1)), min_size=1, max_size=20),
    st.lists(eighths(2), min_size=3, max_size=3),
    CHUNKS,
)
def test_market_rows(bars, weights, chunks):
    columns = [np.ascontiguousarray(column) for column in np.array(bars, np.float64).T]
    base = np.full((len(bars), 9), np.nan)
    for piece in pieces(len(bars), chunks):
        kernels.market_rows(*(column[piece] for column in columns), np.array(weights), base[piece])
    expected = oracle.market_rows(*columns, weights)
    # Equal, since with eighths nothing is rounded on either side.
    assert_array_equal(base, [[float(reward) for reward in row] for row in expected])
    for row, *bar in zip(base, *columns, strict=True):
        rewards = [kernels.market_reward(old, new, *bar, np.array(weights)) for old in range(3) for new in range(3)]
        assert_array_equal(rewards, row)


@given(
    st.lists(st.tuples(*[eighths()] * 5), min_size=1, max_size=20),
    st.sampled_from([0.0, 0.125]),
    st.integers(0, 1),
    CHUNKS,
)
def test_charge_held(bars, fee_rate, is_new, chunks):
    long, short, gap, change, unit = (np.ascontiguousarray(column) for column in np.array(bars, np.float64).T)
    expected = oracle.charge_held(long, short, fee_rate, is_new, gap, change, unit)
    hold = np.full((len(bars), 2), np.nan)
    for piece in pieces(len(bars), chunks):
        arrays = (column[piece] for column in (gap, change, unit, hold))
        kernels.charge_held(long[piece], short[piece], fee_rate, is_new, *arrays)
    # Equal, since with eighths nothing is rounded on either side.
    assert_array_equal(np.column_stack([gap, change, unit, hold]), [list(map(float, row)) for row in expected])


@given(
    st.lists(st.tuples(eighths(), eighths()), min_size=1, max_size=9),
    st.lists(st.integers(0, 8), max_size=20),
    eighths(2),
    st.data(),
)
def test_charge_rows(hold, chosen, weight, data):
    chosen = [k % len(hold) for k in chosen]
    row = st.lists(eighths(), min_size=9, max_size=9)
    rewards = np.array(data.draw(st.lists(row, min_size=len(chosen), max_size=len(chosen))), np.float64).reshape(-1, 9)
    expected = oracle.charge_rows(hold, chosen, weight, rewards)
    kernels.charge_rows(np.array(hold, np.float64), np.array(chosen, np.int64), float(weight), rewards)
    assert_array_equal(rewards, np.array([[float(reward) for reward in of] for of in expected]).reshape(-1, 9))


@given(
    st.lists(
        st.tuples(eighths(), eighths(), eighths(1), eighths(1), st.integers(0, 99), st.integers(0, 1)),
        min_size=1,
        max_size=9,
    ),
    st.lists(st.integers(0, 8), max_size=20),
    st.lists(eighths(2), min_size=3, max_size=3),
)
def test_chosen_rows(bars, chosen, weights):
    chosen = [k % len(bars) for k in chosen]
    gap, change, cost, scarcity, observation, risk = map(np.array, zip(*bars, strict=True))
    n, zeros = len(chosen), np.zeros(len(bars))
    known = Bars(
        observation=observation.astype(np.int32),
        regime=zeros.astype(np.uint8),
        gap=gap.astype(float),
        change=change.astype(float),
        cost=cost.astype(float),
        scarcity=scarcity.astype(float),
        move=zeros.astype(np.int8),
        risk=risk.astype(np.uint8),
    )
    made = np.full((n, 9), np.nan), np.full(n, -1, np.int32), np.full(n, 9, np.uint8)
    kernels.chosen_rows(known, np.array(chosen, np.int64), np.array(weights), *made)
    expected = oracle.chosen_rows(bars, chosen, weights)
    # Equal, since with eighths nothing is rounded on either side.
    assert made[0].tolist() == [[float(reward) for reward in rewards] for rewards, _, _ in expected]
    assert made[1].tolist() == [observation for _, observation, _ in expected]
    assert made[2].tolist() == [risk for _, _, risk in expected]


@given(
    st.lists(st.tuples(eighths(1), eighths(1)), min_size=1, max_size=30),
    eighths(1),
    st.tuples(eighths(1), eighths(1)).map(sorted),
)
def test_regimes(bars, panic, trend_edges):
    volatility, trend = np.array(bars, np.float64).T.copy()
    edges = np.array([panic, *trend_edges])
    regime = np.full(len(bars), 9, np.uint8)
    kernels.regimes(volatility, trend, edges, regime)
    assert_array_equal(regime, oracle.regimes(volatility, trend, edges))


def test_regimes_at_their_edges():
    volatility, trend = np.array([0.5, 0.51, 0.0, 0.0, 0.0]), np.array([1.0, 1.0, 1.0, -1.0, 0.99])
    regime = np.full(5, 9, np.uint8)
    kernels.regimes(volatility, trend, np.array([0.5, -1.0, 1.0]), regime)
    assert_array_equal(regime, [0, 3, 0, 1, 2])


@given(
    st.lists(eighths(2) | st.floats(allow_nan=False), min_size=1, max_size=30),
    st.lists(eighths(2) | st.floats(allow_nan=False, allow_infinity=False), max_size=8).map(sorted),
)
@example([0.0, -0.0], [0.0, 0.0, 1.0])
def test_quantize(values, edges):
    bucket = np.full(len(values), -1, np.int32)
    kernels.quantize(np.array(values), np.array(edges), bucket)
    assert_array_equal(bucket, oracle.quantize(values, edges))


@given(SEEDS, st.integers(kernels.MANY_EDGES - 2, kernels.MANY_EDGES + 200))
@settings(max_examples=examples(20))
def test_quantize_by_many_edges(seed, n_edges):
    rng = np.random.default_rng(seed)
    edges = np.sort(rng.integers(-500, 500, n_edges) / 8.0)  # some of them equal
    values = np.concatenate([edges, rng.normal(0.0, 40.0, 200), [-np.inf, np.inf]])
    bucket = np.full(values.size, -1, np.int32)
    kernels.quantize(values, edges, bucket)
    assert_array_equal(bucket, oracle.quantize(values.tolist(), edges.tolist()))


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.integers(0, 3), CHUNKS)
def test_bucket_changes(bucket, spare, chunks):
    size = max(bucket) + 1 + spare
    buckets, last, out = np.array(bucket, np.int32), np.array([-1]), np.full(len(bucket), np.nan)
    for piece in pieces(len(bucket), chunks):
        kernels.bucket_changes(buckets[piece], size, last, out[piece])
    assert_array_equal(out, oracle.bucket_changes(bucket, size))
    assert last[0] == bucket[-1]


@given(states(5))
def test_mixed_radix(case):
    sizes, rows = case
    digits = np.array(rows, np.int32).T.copy()
    code = np.full(len(rows), -1, np.int32)
    kernels.mixed_radix(digits, np.array(sizes, np.int64), code)
    assert_array_equal(code, oracle.mixed_radix(digits, sizes))


def test_mixed_radix_reads_decimal_digits():
    code = np.empty(3, np.int32)
    kernels.mixed_radix(np.array([[0, 4, 9], [0, 0, 9], [7, 2, 9]], np.int32), np.array([10, 10, 10]), code)
    assert_array_equal(code, [int("007"), int("402"), int("999")])


@pytest.mark.parametrize("volatility", [0.0, 1e-9])
def test_a_still_price_earns_nothing_at_a_finite_cost(volatility):
    out = np.full((3, 2), np.nan)
    move, risk = np.full(2, 9, np.int8), np.full(2, 9, np.uint8)
    still = np.full(2, math.log(5.0))
    kernels.bar_returns(still, np.empty(0), np.full(2, volatility), 0.01, 0.001, np.full(2, np.nan), *out, move, risk)
    assert_array_equal(out, [[0, 0], [0, 0], [0, 0.001 / 0.01]])
    assert not move.any()
    assert not risk.any()


@given(
    st.lists(st.tuples(eighths(), eighths(), st.sampled_from([0.0, 0.25, 2.0, 16.0])), max_size=20),
    st.sampled_from([0.25, 0.3, 4.0]),
    CHUNKS,
)
def test_in_units(bars, unit, chunks):
    gap, change, cost = (np.ascontiguousarray(column) for column in np.array(bars, np.float64).reshape(-1, 3).T)
    expected = oracle.in_units(unit, gap, change, cost)
    for piece in pieces(len(bars), chunks):
        kernels.in_units(unit, gap[piece], change[piece], cost[piece])
    for made, column in zip((gap, change, cost), expected, strict=True):
        assert_array_equal(made, column)
