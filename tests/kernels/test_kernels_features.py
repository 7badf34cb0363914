"""The features against statistics of plain slices, cut anywhere, and blind to what comes later."""

import math

import numpy as np
import pytest
from examples import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, SEEDS, eighths, pieces
from numpy.testing import assert_allclose, assert_array_equal

from idi_fast.kernels import features as kernels
from oracle import features as oracle

TRANSFORMS = kernels.TRANSFORMS
SERIES = st.lists(eighths(), min_size=1, max_size=60) | st.lists(
    st.tuples(eighths(), st.integers(1, 15)), min_size=1, max_size=6
).map(lambda runs: [value for value, length in runs for _ in range(length)])
"""Eighths, drawn one by one or in runs of one value."""
WINDOWS = st.integers(1, 12)
OUTLIERS = st.lists(st.floats(-1.0, 1.0) | st.sampled_from([0.0, 1e4, -1e9, 1e15]), min_size=1, max_size=150)
"""Series whose sums of squares are lost to rounding when an outlier leaves the window."""


def feature(name: str, values, window: int, chunks=(10**9,)) -> np.ndarray:
    """A transform of a series that comes in chunks."""
    values = np.array(values, np.float64)
    ring, moments, seen = np.zeros(window), np.zeros(4), np.zeros(1, np.int64)
    out = np.full(values.size, np.nan)
    for piece in pieces(values.size, list(chunks)):
        getattr(kernels, name)(values[piece], ring, moments, seen, out[piece])
    return out


@given(SERIES, WINDOWS)
def test_push_moments(values, window):
    ring, moments = np.zeros(window), np.zeros(4)
    for n, (value, expected) in enumerate(zip(values, oracle.push_moments(values, window), strict=True)):
        count = kernels.push_moments(ring, moments, n, value)
        # At most 12 sliding updates, each rounding squares up to 16² at 53 bits, lie between two fresh sums.
        assert_allclose([*moments[:2], count], expected, rtol=0, atol=1e-11)


def pushed(values, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ring and moments once the values were pushed one by one, and at each value moments and number of values."""
    ring, moments, seen = np.zeros(window), np.zeros(4), []
    for n, value in enumerate(values):
        count = kernels.push_moments(ring, moments, n, value)
        seen.append((*moments[:2], count))
    return ring, moments, np.array(seen, np.float64).reshape(-1, 3)


@given(WINDOWS.flatmap(lambda window: st.lists(eighths(), min_size=2 * window, max_size=2 * window)))
@example([5.0, 1.0, 2.0, 3.0, 3.0, 3.0])
@example([1e9, 1.0, 2.0, 3.0, 2.0, 1.0, 0.5, 0.25])
def test_push_lap(values):
    window = len(values) // 2
    lap = np.array(values[window:], np.float64)
    ring, moments, _ = pushed(values[:window], window)
    before = ring.copy(), moments.copy()
    means, squares = np.full((2, window), np.nan)
    if kernels.push_lap(lap, 0, ring, moments, means, squares):
        made = np.stack([means, squares], axis=1)
        # At most 12 sliding updates, each rounding squares up to 16² at 53 bits.
        assert_allclose(made, oracle.push_lap(values[:window], values[window:]), rtol=0, atol=1e-11)
        expected_ring, expected_moments, at = pushed(values, window)
        assert_array_equal(made, at[window:, :2])
        assert_array_equal(ring, expected_ring)
        assert_array_equal(moments, expected_moments)
    else:
        assert min(squares) < kernels.COLLAPSE * max(before[1][3], *squares)
        assert_array_equal(ring, before[0])
        assert_array_equal(moments, before[1])


@given(SERIES, WINDOWS)
def test_moving_deviation(values, window):
    means, out = np.full((2, len(values)), np.nan)
    kernels.moving_deviation(np.array(values), np.zeros(window), np.zeros(4), 0, means, out)
    expected = np.array(oracle.moving_deviation(values, window))
    # A deviation that should be 0 is the root of what rounding left of the squares, 1e-11 at most.
    assert_allclose(means, expected[:, 0], rtol=0, atol=1e-12)
    assert_allclose(out, expected[:, 1], rtol=0, atol=math.sqrt(1e-11))


# The squares rise from 0.9 to 2 and fall to 1.4e-6, all in the second lap.
@example([0.0] * 7 + [1.0004, 0.9996] * 4 + [1.0], 8, [20])
@given(SERIES | OUTLIERS, WINDOWS, CHUNKS)
def test_laps_at_once_are_what_values_one_by_one_are(values, window, chunks):
    ring, moments, means, out = np.zeros(window), np.zeros(4), *np.full((2, len(values)), np.nan)
    for piece in pieces(len(values), chunks):
        kernels.moving_deviation(np.array(values[piece]), ring, moments, piece.start, means[piece], out[piece])
    expected_ring, expected_moments, at = pushed(values, window)
    deviations = [kernels.sample_deviation(mean, squares, int(count)) for mean, squares, count in at]
    assert_array_equal(means, at[:, 0])
    assert_array_equal(out, deviations)
    assert_array_equal(ring, expected_ring)
    assert_array_equal(moments, expected_moments)


@given(st.lists(eighths(), max_size=12))
def test_sample_deviation(values):
    mean, squares, count = oracle.push_moments(values, 12)[-1] if values else (0.0, 0.0, 0)
    made = kernels.sample_deviation(mean, squares, count)
    # The sum of squares comes rounded once, then a quotient and a root.
    assert_allclose(made, oracle.sample_deviation(values), rtol=1e-15)


@pytest.mark.parametrize(
    ("mean", "squares", "count", "expected"),
    [
        (1.0, 4.0, 1, 0.0),  # one value has no deviation
        (1.0, -1e-20, 5, 0.0),  # a sum of squares below 0 is rounding
        (1e6, 4e-14, 5, 0.0),  # 1e-7 is less than a 1e12th of the mean: rounding
        (1e6, 1.6e-11, 5, 2e-6),
        (-1e6, 4e-14, 5, 0.0),
        (0.0, 4e-14, 5, 1e-7),
    ],
)
def test_sample_deviation_of_rounding_is_none(mean, squares, count, expected):
    assert kernels.sample_deviation(mean, squares, count) == pytest.approx(expected, rel=1e-12, abs=0)


@given(SERIES, WINDOWS)
@example([1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0], 3)
def test_zscore(values, window):
    expected = np.array(oracle.zscore(values, window))
    # The sliding sums are good to 1e-11, see above, and the squares of a window that moves sum to 1/128 or more. One
    # of equal values after others keeps a deviation of rounding, of which its value may seem to be a small part away.
    assert_allclose(feature("zscore", values, window), expected, rtol=0, atol=1e-6)


@given(SERIES, WINDOWS)
def test_volatility(values, window):
    expected = oracle.volatility(values, window)
    # A deviation that should be 0 is the root of what rounding left of the squares, 1e-11 at most.
    assert_allclose(feature("volatility", values, window), expected, rtol=0, atol=math.sqrt(1e-11))


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=50), WINDOWS)
def test_log_return(values, window):
    assert_array_equal(feature("log_return", values, window), oracle.log_return(values, window))


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=50) | SERIES, WINDOWS)
def test_drawdown(values, window):
    assert_array_equal(feature("drawdown", values, window), oracle.drawdown(values, window))


@given(st.lists(eighths(), min_size=1, max_size=20), st.sampled_from([1, 3, 7]))
def test_ema_ratio_with_weights_that_binary_fractions_hold(values, window):
    # Equal: 20 values of 7 bits, weighed with multiples of 4**-20, fill 47 of the 53 bits.
    assert_array_equal(feature("ema_ratio", values, window), [float(v) for v in oracle.ema_ratio(values, window)])


@given(SERIES, WINDOWS)
def test_ema_ratio(values, window):
    expected = [float(value) for value in oracle.ema_ratio(values, window)]
    # Each step rounds numbers up to 16 three times and damps what came before by (window − 1) / (window + 1).
    assert_allclose(feature("ema_ratio", values, window), expected, rtol=0, atol=1e-13)


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=50), WINDOWS)
def test_level(values, window):
    assert_array_equal(feature("level", values, window), oracle.level(values, window))


@pytest.mark.parametrize("name", TRANSFORMS)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=80) | SERIES, WINDOWS, CHUNKS)
@settings(max_examples=examples(40))
def test_a_series_in_chunks_is_the_same_series(name, values, window, chunks):
    assert_array_equal(feature(name, values, window, chunks), feature(name, values, window))


@pytest.mark.parametrize("name", TRANSFORMS)
@given(SERIES, st.lists(st.floats(-1e3, 1e3), max_size=40), WINDOWS)
@settings(max_examples=examples(40))
def test_what_comes_later_changes_nothing_before_it(name, values, later, window):
    alone = feature(name, values, window)
    assert_array_equal(feature(name, [*values, *later], window)[: len(values)], alone)
    assert_array_equal(feature(name, [*values, *(-value for value in later)], window)[: len(values)], alone)


@pytest.mark.parametrize("name", ["zscore", "volatility", "log_return", "drawdown"])
@given(SEEDS, st.integers(2, 12))
@settings(max_examples=examples(15))
def test_what_has_left_the_window_is_forgotten(name, seed, window):
    values = np.random.default_rng(seed).normal(size=60)
    other = values.copy()
    other[:20] += 3.0
    after = 20 + window  # a change or return reaches one value further back than its window
    made, expected = feature(name, values, window)[after:], feature(name, other, window)[after:]
    # Sliding sums remember in their last bits, until they are made afresh.
    assert_allclose(made, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("outlier", [1e3, 1e9, 1e15])
def test_an_outlier_that_has_left_leaves_no_trace(outlier):
    values = [0.0, outlier, 1.0, 2.0, 3.0, 2.0, 1.0, 1.5, 2.5, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    for name, clean in (("zscore", 5), ("volatility", 6)):
        made, expected = feature(name, values, 4)[clean:], getattr(oracle, name)(values, 4)[clean:]
        # Values of size 1 after at most one lap of updates since the last fresh sum.
        assert_allclose(made, expected, rtol=0, atol=1e-9)
    assert feature("zscore", values, 4)[-1] == 0.0
    assert feature("volatility", values, 4)[-1] == 0.0


@pytest.mark.parametrize("name", ["zscore", "volatility"])
def test_the_error_of_sliding_sums_does_not_grow(name):
    values = np.random.default_rng(1).normal(10.0, 1.0, 20_000).cumsum()
    window = 16
    made = feature(name, values, window)
    tail = slice(values.size - 200, values.size)
    expected = np.array(getattr(oracle, name)(values[tail.start - window - 1 :].tolist(), window))[window + 1 :]
    # Values about 2e5 have 12 digits after the point, and a deviation of about 48 or 1.
    assert_allclose(made[tail], expected, rtol=0, atol=1e-8)


ROW = st.tuples(st.sampled_from(TRANSFORMS), st.integers(0, 1), WINDOWS, st.booleans())
"""A transform, the column it is of, its window, and whether it is computed elsewhere."""


@given(
    pairs=st.lists(st.tuples(eighths(), eighths()), min_size=1, max_size=60),
    rows=st.lists(ROW, min_size=1, max_size=9),
    chunks=CHUNKS,
)
def test_push_series(pairs, rows, chunks):
    columns = np.array(pairs, np.float64).T.copy()
    given = (columns[0], columns[1], *[columns[0]] * (kernels.COLUMNS - 2))
    windows = kernels.Windows(
        kinds=np.array([-1 if elsewhere else kernels.TRANSFORMS.index(name) for name, _, _, elsewhere in rows]),
        inputs=np.array([column for _, column, _, _ in rows]),
        rings=np.zeros(sum(window for _, _, window, _ in rows)),
        first_ring=np.cumsum([0, *(window for _, _, window, _ in rows)]),
        moments=np.zeros((len(rows), 4)),
        seen=np.zeros((len(rows), 1), np.int64),
    )
    matrix = np.full((len(rows) + 1, len(pairs)), np.nan)
    for piece in pieces(len(pairs), chunks):
        part = np.full((len(rows) + 1, len(pairs[piece])), np.nan)
        kernels.push_series(given, piece.start, windows, part)
        matrix[:, piece] = part
    expected = oracle.push_series([(name, columns[column].tolist(), window) for name, column, window, _ in rows])
    assert np.isnan(matrix[-1]).all()
    for k, (name, column, window, elsewhere) in enumerate(rows):
        if elsewhere:
            assert np.isnan(matrix[k]).all()
        else:
            assert_array_equal(matrix[k], feature(name, columns[column], window, chunks))
            # As in the tests of each.
            assert_allclose(matrix[k], np.array(expected[k], np.float64), rtol=0, atol=math.sqrt(1e-11))
