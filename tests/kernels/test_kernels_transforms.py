"""Every transform of the list against its twin, cut anywhere, blind to what comes later, and always finite."""

import importlib
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, eighths, pieces
from numpy.testing import assert_allclose, assert_array_equal

from idi_fast.config.transforms import TRANSFORMS, Parameter, Transform
from idi_fast.environments.series import transform_kernel

STREAMED = [transform for transform in TRANSFORMS.values() if transform.kernel is not None]
EACH = pytest.mark.parametrize("transform", STREAMED, ids=lambda transform: transform.name)
TIMES = st.integers(-8_520_336_000 * 10**9, 7_258_118_399 * 10**9)
"""The years that a history may be of, in ns."""
PRICES = ("open", "high", "low", "close")
NUMBERS = ("column", "other", *PRICES, "volume")

# Where a twin is not met to the bit: sums of rounded numbers, roots and logarithms. Of at most 40 eighths up to 16.
TOLERANCE = {
    "macd_histogram": 1e-11,  # averages are steps of three roundings; a share of 1/8 at least
    "bollinger_position": 1e-6,  # as zscore: a deviation that should be 0 is the root of rounding
    "rsi": 1e-11,  # averages are steps of three roundings, the least of them above 1e-6
    "atr": 1e-12,
    "parkinson": 1e-13,
    "garman_klass": 1e-13,
    "rolling_skew": 1e-9,  # cubes up to 32 ** 3 over squares of 1/64 at least
    "autocorrelation": 1e-9,
}


def table(n: int, **columns: st.SearchStrategy) -> st.SearchStrategy[dict[str, np.ndarray]]:
    """Columns of n values each."""
    of_all = {name: st.lists(values, min_size=n, max_size=n).map(np.array) for name, values in columns.items()}
    return st.fixed_dictionaries(of_all)


def within(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns, prices within their bar."""
    prices = np.array([columns[name] for name in PRICES if name in columns])
    if prices.size:
        columns |= {"high": prices.max(axis=0), "low": prices.min(axis=0)}
    return columns


def bars(inputs: tuple[str, ...], most: int = 40) -> st.SearchStrategy[dict[str, np.ndarray]]:
    """Columns of eighths, of which prices are above 0 and within their bar, and times."""
    price, number = st.integers(1, 128).map(lambda n: n / 8), eighths() | st.integers(-2, 2).map(float)
    kinds = {**dict.fromkeys(PRICES, price), "volume": st.integers(0, 9).map(float), "time": TIMES}
    chosen = {name: kinds.get(name, number) for name in inputs}
    return st.integers(1, most).flatmap(lambda n: table(n, **chosen)).map(within)


def wild_bars(inputs: tuple[str, ...]) -> st.SearchStrategy[dict[str, np.ndarray]]:
    """Columns of any finite numbers, among them the greatest, the least and equal ones."""
    number = st.sampled_from([0.0, -0.0, 1.0, 1e100, sys.float_info.max, -sys.float_info.max, 5e-324, 1e-310])
    number |= st.floats(allow_nan=False, allow_infinity=False)
    kinds = {"volume": number.map(abs), "time": TIMES}
    return st.integers(1, 30).flatmap(lambda n: table(n, **{name: kinds.get(name, number) for name in inputs}))


def chosen(draw: st.DrawFn, parameter: Parameter) -> float:
    """A small value of a parameter, of which a binary fraction is exact."""
    if isinstance(parameter.default, int):
        return draw(st.integers(parameter.minimum, min(int(parameter.maximum), int(parameter.minimum) + 10)))
    return draw(
        st.sampled_from(
            [value for value in (0.0, 0.25, 0.5, 1.0, 2.5) if value >= parameter.minimum and value <= parameter.maximum]
        )
    )


def parameters(transform: Transform) -> st.SearchStrategy[tuple[float, ...]]:
    """Small ones."""
    return st.composite(lambda draw: tuple(chosen(draw, each) for each in transform.parameters))()


def feature(transform: Transform, columns: dict, given: tuple, chunks=(10**9,)) -> np.ndarray:
    """A transform of bars that come in chunks, its state among others'."""
    kernel = transform_kernel(transform)
    n, size = columns[transform.inputs[0]].size, transform.state_size(*given)
    out, memory = np.full(n, np.nan), np.full(size + 2, 7.0)
    state = memory[1:-1]
    state[:] = 0.0
    for piece in pieces(n, list(chunks)):
        kernel(*(columns[name][piece] for name in transform.inputs), *given, state, out[piece])
    assert memory[0] == memory[-1] == 7.0, "it wrote beside its state"
    return out


def twin(transform: Transform):
    kernel = transform_kernel(transform)
    kernel = getattr(kernel, "py_func", kernel)
    module = importlib.import_module(f"oracle.{kernel.__module__.rpartition('.')[2]}")
    return getattr(module, kernel.__name__)


def part(columns: dict, stop: int) -> dict:
    return {name: values[:stop] for name, values in columns.items()}


@EACH
@given(data=st.data())
@settings(max_examples=examples(20))
def test_a_transform_is_its_twin(transform, data):
    columns, given = data.draw(bars(transform.inputs)), data.draw(parameters(transform))
    expected = twin(transform)(*(columns[name].tolist() for name in transform.inputs), *given)
    assert_allclose(feature(transform, columns, given), expected, rtol=0, atol=TOLERANCE.get(transform.name, 0.0))


@EACH
@given(data=st.data())
@settings(max_examples=examples(10))
def test_bars_in_chunks_are_the_same_bars(transform, data):
    columns, given = (
        data.draw(bars(transform.inputs, 80) | wild_bars(transform.inputs)),
        data.draw(parameters(transform)),
    )
    chunks = data.draw(CHUNKS)
    assert_array_equal(feature(transform, columns, given, chunks), feature(transform, columns, given))
    assert_array_equal(feature(transform, columns, given, (1,)), feature(transform, columns, given))


@EACH
@given(data=st.data())
@settings(max_examples=examples(10))
def test_what_comes_later_changes_nothing_before_it(transform, data):
    columns, given = (
        data.draw(bars(transform.inputs, 80) | wild_bars(transform.inputs)),
        data.draw(parameters(transform)),
    )
    stop = data.draw(st.integers(0, columns[transform.inputs[0]].size))
    alone = feature(transform, part(columns, stop), given)
    assert_array_equal(feature(transform, columns, given)[:stop], alone)
    altered = {name: np.concatenate([values[:stop], values[stop:][::-1] // 2 + 1]) for name, values in columns.items()}
    assert_array_equal(feature(transform, altered, given)[:stop], alone)


@EACH
@given(data=st.data())
@settings(max_examples=examples(20))
def test_a_transform_of_finite_numbers_is_finite_and_in_its_range(transform, data):
    columns, given = data.draw(wild_bars(transform.inputs) | bars(transform.inputs)), data.draw(parameters(transform))
    made = feature(transform, columns, given)
    assert np.isfinite(made).all()
    least, greatest = transform.value_range
    assert made.min() >= least
    assert made.max() <= greatest


FLAT = {
    "rsi": 50.0,
    "stochastic": 50.0,
    "bollinger_position": 0.5,
    "rolling_rank": 0.5,
    "volume_ratio": 1.0,
    "lag": 0.1,
    "rolling_quantile": 0.1,
    "time_of_day": 1.0,
    "day_of_week": 3.0,
}
"""What a transform is of bars that are all alike, if not 0."""


@EACH
def test_a_market_that_stands_still_is_told_to_the_bit(transform):
    columns = {**dict.fromkeys(NUMBERS, np.full(60, 0.1)), "time": np.full(60, 3_600 * 10**9)}
    for window in {max(7, transform.default_window), transform.parameters[0].minimum}:
        given = (window, *(parameter.default for parameter in transform.parameters[1:]))
        made = feature(transform, columns, given)
        assert_array_equal(made, np.full(60, FLAT.get(transform.name, 0.0)))


@EACH
def test_a_market_without_volume_or_range_is_told(transform):
    columns = {**dict.fromkeys(NUMBERS, np.zeros(60)), "time": np.full(60, 3_600 * 10**9)}
    given = tuple(parameter.default for parameter in transform.parameters)
    expected = 0.0 if transform.name in ("volume_ratio", "lag", "rolling_quantile") else FLAT.get(transform.name, 0.0)
    assert_array_equal(feature(transform, columns, given), np.full(60, expected))


@pytest.mark.parametrize("window", [7, 24])
@EACH
def test_no_transform_drifts_or_remembers_an_outlier(transform, window):
    """After thousands of bars and an outlier it is what it is of the last bars alone."""
    if not transform.uses_window or transform.name in ("rsi", "atr", "macd_histogram"):
        return  # the averages of these have no end
    given = (window, *(parameter.default for parameter in transform.parameters[1:]))
    columns = market(4_000)
    for name in NUMBERS:
        columns[name][-(2 * window + 60)] *= 1e9
    later = {name: values[-(window + 60) :] for name, values in columns.items()}
    made, expected = feature(transform, columns, given)[-50:], feature(transform, later, given)[-50:]
    # Sums begin elsewhere, and so round elsewhere. Bollinger's mean slides: see `kernels.features.push_moments`.
    assert_allclose(made, expected, rtol=1e-9, atol=1e-6 if transform.name == "bollinger_position" else 1e-9)


def market(n: int) -> dict[str, np.ndarray]:
    """A random walk in hours."""
    rng = np.random.default_rng(1)
    close = 100.0 * np.exp(rng.normal(0.0, 0.01, n).cumsum())
    open = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(open, close) * np.exp(rng.exponential(0.004, n))
    low = np.minimum(open, close) * np.exp(-rng.exponential(0.004, n))
    columns = {"column": close, "other": open, "open": open, "high": high, "low": low, "close": close}
    columns |= {"volume": rng.exponential(5.0, n).round(3), "time": np.arange(n) * 3_600 * 10**9}
    return {name: values.copy() for name, values in columns.items()}


def test_time_of_day_and_day_of_week_of_known_moments():
    columns = {
        "time": np.array(["1969-12-31T23:30", "2024-02-29T00:00", "2026-11-29T18:45"], "datetime64[ns]").astype(
            np.int64
        )
    }
    assert feature(TRANSFORMS["time_of_day"], columns, (1,)).tolist() == [23.5, 0.0, 18.75]
    assert feature(TRANSFORMS["day_of_week"], columns, (1,)).tolist() == [2.0, 3.0, 6.0]


def test_the_volatility_of_a_walk_is_found_by_its_range():
    """5,000 bars of 400 steps each, which is a deviation of 0.02 a bar."""
    walk = np.random.default_rng(3).normal(0.0, 0.001, (5_000, 400)).cumsum(axis=1)
    bars = np.concatenate([np.zeros((5_000, 1)), walk], axis=1)
    columns = {"open": bars[:, 0], "high": bars.max(axis=1), "low": bars.min(axis=1), "close": bars[:, -1]}
    columns = {name: np.exp(values) for name, values in columns.items()}
    for name in ("parkinson", "garman_klass"):
        made = feature(TRANSFORMS[name], columns, (5_000,))[-1]
        # Steps miss some of the range of what lies between them: 4 % less at 400 (Garman and Klass 1980, figure 2).
        assert made == pytest.approx(0.02, rel=0.06)


def test_every_transform_of_the_list_says_what_it_is():
    page = (Path(__file__).parents[2] / "docs/FEATURES.md").read_text(encoding="utf-8")
    for name, transform in TRANSFORMS.items():
        assert f"`{name}`" in page
        assert transform.name == name
        assert transform.parameters[0].name == "window"
        assert all(each.minimum <= each.default <= each.maximum for each in transform.parameters)
        assert transform.state_size(*(each.default for each in transform.parameters)) >= 0
        assert transform.value_range[0] < transform.value_range[1]
        assert transform.source
        assert transform.description.endswith(".")
        assert math.isinf(transform.value_range[1]) or transform.is_ordered or transform.value_range[1].is_integer()
