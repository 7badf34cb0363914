"""A second opinion on the transforms by TA-Lib, pandas and SciPy; docs/FEATURES.md says where they begin otherwise."""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from idi_fast.config.transforms import TRANSFORMS
from idi_fast.environments.series import transform_kernel

talib = pytest.importorskip("talib", reason="TA-Lib is of the extra dev; it has no wheel for this Python")

N, WINDOW = 1_000, 14


@pytest.fixture(scope="module")
def bars() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    close = 100.0 * np.exp(rng.normal(0.0, 0.01, N).cumsum())
    open = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(open, close) * np.exp(rng.exponential(0.004, N))
    low = np.minimum(open, close) * np.exp(-rng.exponential(0.004, N))
    columns = {"column": close, "close": close, "other": open, "open": open, "high": high, "low": low}
    return {**columns, "volume": rng.exponential(5.0, N), "time": np.arange(N) * 3_599 * 10**9}


def made(name: str, bars: dict, **parameters: float) -> np.ndarray:
    transform = TRANSFORMS[name]
    chosen = [parameters.pop(each.name, each.default) for each in transform.parameters]
    assert not parameters
    out = np.empty(N)
    state = np.zeros(transform.state_size(*chosen))
    transform_kernel(transform)(*(bars[each] for each in transform.inputs), *chosen, state, out)
    return out


def agree(ours: np.ndarray, theirs: np.ndarray, first: int, rtol: float = 1e-9, atol: float = 1e-9) -> None:
    assert_allclose(ours[first:], theirs[first:], rtol=rtol, atol=atol)


def test_rsi(bars):
    agree(made("rsi", bars, window=WINDOW), talib.RSI(bars["close"], WINDOW), WINDOW)


def test_atr_once_the_beginning_has_faded(bars):
    theirs = talib.NATR(bars["high"], bars["low"], bars["close"], WINDOW) / 100.0
    agree(made("atr", bars, window=WINDOW), theirs, 400)  # (13 / 14) ** 386 = 4e-13


def test_macd_once_the_beginning_has_faded(bars):
    histogram = talib.MACD(bars["close"], 12, 26, 9)[2]
    agree(made("macd_histogram", bars), histogram / bars["close"], 400)  # (25 / 27) ** 367 = 5e-13


def test_bollinger_position(bars):
    upper, _, lower = talib.BBANDS(bars["close"], 20, 2.0, 2.0)
    agree(made("bollinger_position", bars), (bars["close"] - lower) / (upper - lower), 19, atol=1e-7)


def test_stochastic(bars):
    theirs, _ = talib.STOCHF(bars["high"], bars["low"], bars["close"], WINDOW, 1)
    agree(made("stochastic", bars, window=WINDOW), theirs, WINDOW)


def test_obv_slope(bars):
    obv = talib.OBV(bars["close"], bars["volume"])
    theirs = np.full(N, np.nan)
    theirs[WINDOW:] = (obv[WINDOW:] - obv[:-WINDOW]) / talib.SUM(bars["volume"], WINDOW)[WINDOW:]
    agree(made("obv_slope", bars, window=WINDOW), theirs, WINDOW)


def test_bars_since_an_extreme(bars):
    down, up = talib.AROON(bars["high"], bars["low"], WINDOW)
    for name, column, theirs in (("bars_since_high", "high", up), ("bars_since_low", "low", down)):
        # Aroon's window has one bar more.
        ours = made(name, {**bars, "column": bars[column]}, window=WINDOW + 1)
        agree(100.0 * (WINDOW - ours) / WINDOW, theirs, WINDOW)


def test_returns_and_averages(bars):
    agree(made("simple_return", bars, window=5), talib.ROCP(bars["close"], 5), 5)
    agree(made("simple_return", bars, window=5, lag=3)[3:], talib.ROCP(bars["close"], 5)[:-3], 5)
    agree(made("sma_ratio", bars, window=WINDOW), bars["close"] / talib.SMA(bars["close"], WINDOW) - 1.0, WINDOW)
    agree(made("volume_ratio", bars, window=WINDOW), bars["volume"] / talib.SMA(bars["volume"], WINDOW), WINDOW)
    agree(made("run_up", bars, window=WINDOW), bars["close"] / talib.MIN(bars["close"], WINDOW) - 1.0, WINDOW)


def test_order_statistics(bars):
    window = pd.Series(bars["close"]).rolling(WINDOW)
    agree(made("rolling_rank", bars, window=WINDOW), (window.rank().to_numpy() - 1.0) / (WINDOW - 1), WINDOW)
    for quantile in (0.0, 0.1, 0.5, 0.9, 1.0):
        theirs = window.quantile(quantile).to_numpy()
        agree(made("rolling_quantile", bars, window=WINDOW, quantile=quantile), theirs, WINDOW)


def test_moments_of_changes(bars):
    changes = np.diff(bars["close"], prepend=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(changes, WINDOW)
    theirs = np.concatenate([np.full(WINDOW - 1, np.nan), stats.skew(windows, axis=1)])
    agree(made("rolling_skew", bars, window=WINDOW), theirs, WINDOW)
    series = pd.Series(changes)
    for lag in (1, 3):
        theirs = series.rolling(WINDOW).corr(series.shift(lag)).to_numpy()
        agree(made("autocorrelation", bars, window=WINDOW, lag=lag), theirs, WINDOW + lag)


def test_calendar(bars):
    moments = [datetime(1970, 1, 1) + timedelta(seconds=int(time) // 10**9) for time in bars["time"]]
    assert made("day_of_week", bars).tolist() == [moment.weekday() for moment in moments]
    hours = pd.DatetimeIndex(moments)
    agree(made("time_of_day", bars), (hours.hour + hours.minute / 60 + hours.second / 3600).to_numpy(), 0)
