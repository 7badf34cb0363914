"""The probabilistic and the deflated Sharpe ratio, by their definitions and by simulation."""

import math
import statistics
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idi_fast.backtesting.kpis import deflated_sharpe_ratio, expected_best_sharpe, probabilistic_sharpe_ratio


def psr_by_definition(returns: list[float], benchmark: float) -> float:
    n, mean, sharpe = len(returns), statistics.fmean(returns), statistics.fmean(returns) / statistics.stdev(returns)
    second, third, fourth = (sum((r - mean) ** k for r in returns) / n for k in (2, 3, 4))
    skewness, kurtosis = third / second**1.5, fourth / second**2
    error = math.sqrt((1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2) / (n - 1))
    return NormalDist().cdf((sharpe - benchmark) / error)


@given(st.integers(0, 10**6), st.integers(3, 300), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_the_probabilistic_sharpe_ratio_by_its_definition(seed, n, mean, benchmark):
    returns = np.random.default_rng(seed).exponential(1.0, n) - 1.0 + mean
    expected = psr_by_definition(returns.tolist(), benchmark)
    assert probabilistic_sharpe_ratio(returns, benchmark) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_the_probabilistic_sharpe_ratio_is_right_as_often_as_it_says():
    # Returns with a skewness of 2 and a kurtosis of 9, for which a normal approximation would not do.
    rng = np.random.default_rng(5)
    rated = [probabilistic_sharpe_ratio(rng.exponential(1.0, 500) - 0.8, 0.2) for _ in range(2000)]
    for level in (0.1, 0.5, 0.9):
        assert np.mean(np.array(rated) < level) == pytest.approx(level, abs=0.03)


@pytest.mark.parametrize("trials", [2, 10, 100, 1000])
def test_the_best_of_so_many_lucky_ones_is_this_good_on_average(trials):
    best = np.random.default_rng(1).normal(0.0, 1.0, (4000, trials)).max(axis=1).mean()
    sharpes = 0.3 * np.resize([1.0, -1.0], trials) / math.sqrt(trials / (trials - 1))  # a sample deviation of 0.3
    # An approximation: 7 % too low for two, 2 % too high for ten.
    assert expected_best_sharpe(sharpes) == pytest.approx(0.3 * best, rel=0.08 if trials == 2 else 0.03)


def test_a_single_trial_or_equal_ones_need_no_deflation():
    returns = np.random.default_rng(2).normal(0.1, 1.0, 100)
    assert expected_best_sharpe([0.7]) == expected_best_sharpe([0.25, 0.25, 0.25]) == 0.0
    assert deflated_sharpe_ratio(returns, [0.7]) == probabilistic_sharpe_ratio(returns)
    assert deflated_sharpe_ratio(returns, [0.3, -0.3]) < probabilistic_sharpe_ratio(returns)


@pytest.mark.parametrize("returns", [[], [0.1], [0.0] * 5, [0.2] * 5])
def test_without_a_sharpe_ratio_there_is_no_deflated_one(returns):
    returns = np.array(returns, np.float64)
    assert math.isnan(probabilistic_sharpe_ratio(returns))
    assert math.isnan(deflated_sharpe_ratio(returns, [0.1, 0.2]))


@pytest.mark.parametrize(("trials", "expected"), [(100, 0.9004), (46, 0.9505)])
def test_the_example_of_bailey_and_lopez_de_prado(trials, expected):
    # An annual Sharpe ratio of 2.5 over 1250 of 250 days a year, skewness −3, kurtosis 10, and a variance of 1/2 among
    # the trials' annual ratios. Of two values alone have returns so small a kurtosis for their skewness.
    values = np.repeat([1.0, -11.0], [1145, 105])
    returns = (values - values.mean()) / values.std(ddof=1) + 2.5 / math.sqrt(250)
    sharpes = np.arange(trials) - (trials - 1) / 2
    sharpes *= math.sqrt(0.5 / 250) / sharpes.std(ddof=1)
    if trials == 100:
        assert expected_best_sharpe(sharpes) == pytest.approx(0.1132, abs=5e-5)
    # 1145 of 1250 is 0.9160, not 0.91603: a skewness of −2.9994.
    assert deflated_sharpe_ratio(returns, sharpes) == pytest.approx(expected, abs=5e-5)
