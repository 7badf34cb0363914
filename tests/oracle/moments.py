"""Moments of returns in plain Python, from their definitions."""

import itertools
import math


def moments(close: list[float], lags: int) -> dict:
    """Mean, volatility (ddof 1), g1, g2 and both autocorrelations of the log returns of closes."""
    returns = [math.log(b / a) for a, b in itertools.pairwise(close)]
    n = len(returns)
    mean = math.fsum(returns) / n
    central = [math.fsum((value - mean) ** k for value in returns) / n for k in range(5)]
    return {
        "mean": mean,
        "volatility": math.sqrt(central[2] * n / (n - 1)),
        "skewness": central[3] / central[2] ** 1.5,
        "kurtosis": central[4] / central[2] ** 2 - 3.0,
        "autocorrelation": autocorrelation(returns, lags),
        "absolute_autocorrelation": autocorrelation([abs(value) for value in returns], lags),
    }


def autocorrelation(values: list[float], lags: int) -> list[float]:
    """The covariance with what came so many places before, over the variance, both about the mean of all."""
    n = len(values)
    mean = math.fsum(values) / n
    total = math.fsum((value - mean) ** 2 for value in values)
    found = []
    for lag in range(1, lags + 1):
        pairs = [(values[t] - mean) * (values[t - lag] - mean) for t in range(lag, n)]
        found.append(math.fsum(pairs) / total if pairs else math.nan)
    return found
