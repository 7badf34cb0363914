"""Moments of returns, and how far apart those of two histories are."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import idi_fast as idi
from idi_fast.data.moments import mean_moments, moments_of
from oracle import moments as oracle


def frame(close) -> pl.DataFrame:
    return pl.DataFrame({"close": np.asarray(close, np.float64)})


@given(st.lists(st.floats(0.5, 200.0), min_size=4, max_size=60), st.integers(1, 30))
def test_moments_are_those_of_the_definitions(close, lags):
    size = np.abs(np.diff(np.log(close)))
    assume(np.ptp(size) > 1e-3)
    found, told = idi.return_moments(frame(close), lags=lags), oracle.moments(close, lags)
    assert found.returns == len(close) - 1
    for name, value in told.items():
        # Sums in another order; a moment near 0 is the difference of large terms.
        assert_allclose(getattr(found, name), value, rtol=1e-7, atol=1e-7, err_msg=name)


def test_a_second_opinion_on_skewness_and_kurtosis():
    stats = pytest.importorskip("scipy.stats")
    close = np.exp(np.cumsum(np.random.default_rng(3).standard_t(4, 5_000) * 0.01))
    found, returns = idi.return_moments(frame(close)), np.diff(np.log(close))
    assert_allclose(found.skewness, stats.skew(returns), rtol=1e-9)
    assert_allclose(found.kurtosis, stats.kurtosis(returns), rtol=1e-9)


def test_moments_by_hand():
    found = idi.return_moments(frame(np.exp([0.0, 1.0, 0.0, 1.0, 0.0])))  # returns 1, −1, 1, −1
    assert_allclose(
        [found.mean, found.volatility, found.skewness, found.kurtosis], [0, math.sqrt(4 / 3), 0, -2], atol=1e-12
    )
    assert_allclose(found.autocorrelation[:4], [-0.75, 0.5, -0.25, np.nan], atol=1e-12)
    assert np.isnan(found.absolute_autocorrelation).all()  # all are 1


def test_a_price_that_never_moves_has_no_shape():
    found = idi.return_moments(frame([5.0] * 10))
    assert (found.mean, found.volatility) == (0.0, 0.0)
    assert math.isnan(found.skewness)
    assert math.isnan(found.kurtosis)
    assert np.isnan(found.autocorrelation).all()


def test_distances_are_zero_to_itself_and_as_documented_to_another():
    rng = np.random.default_rng(0)
    calm, wild = (np.exp(np.cumsum(rng.normal(0.0, scale, 3_000))) for scale in (0.01, 0.02))
    one, other = idi.return_moments(frame(calm)), idi.return_moments(frame(wild))
    assert set(one.distances(one).values()) == {0.0}
    apart = one.distances(other)
    assert apart["volatility"] == pytest.approx(math.log(one.volatility / other.volatility))
    assert apart["volatility"] == pytest.approx(-math.log(2.0), abs=0.05)
    assert apart["kurtosis"] == one.kurtosis - other.kurtosis
    squares = (one.autocorrelation - other.autocorrelation) ** 2
    assert apart["autocorrelation"] == pytest.approx(math.sqrt(squares.mean()))
    assert list(apart) == list(one.figures())


def test_the_mean_of_several_paths():
    rng = np.random.default_rng(1)
    found = [moments_of(np.cumsum(rng.normal(0.0, 0.01, 50))) for _ in range(3)]
    mean = mean_moments(found)
    assert mean.returns == 147
    assert mean.skewness == pytest.approx(sum(of.skewness for of in found) / 3)
    assert_allclose(mean.autocorrelation, np.mean([of.autocorrelation for of in found], axis=0))
    assert mean_moments(found[:1]) is found[0]


@pytest.mark.parametrize(
    ("history", "options", "message"),
    [
        (frame([1.0, 2.0]), {}, "the history has 2 bars; its returns have moments from 3 bars on"),
        (None, {}, "history is None; expected a History"),
        (frame([1.0, 2.0, 3.0]), {"lags": 0}, "lags is 0; expected 1 or more"),
    ],
)
def test_refusals(history, options, message):
    with pytest.raises(idi.InputError, match=message):
        idi.return_moments(history, **options)


def test_a_few_lines_in_a_terminal_and_a_table_in_a_notebook():
    found = idi.return_moments(frame([1.0, 2.0, 1.5, 1.7]))
    assert repr(found).splitlines()[0] == "Moments of 3 returns"
    assert "excess kurtosis" in found._repr_html_()
