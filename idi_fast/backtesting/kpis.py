"""KPIs of whole series in memory, and how much a Sharpe ratio means; NaN means undefined.

The definitions are those of `kpi_definitions`, to the last bit.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from idi_fast.backtesting.kpi_accumulator import KpiAccumulator, moments_of
from idi_fast.backtesting.kpi_definitions import Moments, Totals, evaluate
from idi_fast.data.bar_frequency import BarFrequency, BarTimes


def frequency_of(time_ns: np.ndarray | None, year_days: float | None = None) -> BarFrequency:
    """The frequency of bars, by their times int64 (n,) in ns UTC, None without times: see `BarTimes`."""
    bar_times = BarTimes(year_days)
    if time_ns is not None:
        bar_times.push(time_ns)
    return bar_times.frequency()


def periods_per_year(time_ns: np.ndarray | None) -> float:
    """Bars per year of 365 days, from the first to the last timestamp; NaN without times and for irregular bars."""
    return frequency_of(time_ns).periods_per_year


def bar_returns(equity: np.ndarray) -> np.ndarray:
    """Return of each bar on the equity before it; the equity before the first bar is 1. Ends at an equity of 0."""
    before = np.concatenate([[1.0], equity[:-1]])
    alive = before > 0.0
    return equity[alive] / before[alive] - 1.0


def excess_returns(equity: np.ndarray, risk_free: np.ndarray | None) -> np.ndarray:
    """`bar_returns` less the riskless returns float64 (n,), None for 0."""
    returns = bar_returns(equity)
    return returns if risk_free is None else returns - risk_free[: returns.size]


def sharpe_ratio(returns: np.ndarray) -> float:
    """Mean over sample deviation (ddof 1) of per-bar returns, no risk-free rate (Sharpe 1994); NaN if all are equal."""
    return evaluate(Moments(moments_of(returns)))[0]["sharpe_per_bar"]


SIGMAS_95 = 1.959963984540054


def sharpe_interval(returns: np.ndarray) -> tuple[float, float]:
    """The 95% interval of the Sharpe ratio of independent and identically distributed per-bar returns: its variance is
    (1 + S² / 2) / n (Lo 2002)."""
    sharpe = sharpe_ratio(returns)
    reach = SIGMAS_95 * math.sqrt((1.0 + sharpe * sharpe / 2.0) / returns.size)
    return sharpe - reach, sharpe + reach


def probabilistic_sharpe_ratio(returns: np.ndarray, benchmark: float = 0.0) -> float:
    """The probability that the true Sharpe ratio of per-bar returns exceeds a benchmark, given their skewness and
    kurtosis; NaN if there is no Sharpe ratio (Bailey & López de Prado 2012)."""
    of_returns, _ = evaluate(Moments(moments_of(returns)))
    sharpe, skewness, excess = (of_returns[name] for name in ("sharpe_per_bar", "skewness", "excess_kurtosis"))
    if math.isnan(sharpe):
        return math.nan
    # Above 0 if the ratio is of the sample's own moments; rounding must not make the root negative.
    variance = max(1e-12, 1.0 - skewness * sharpe + (excess + 2.0) / 4.0 * sharpe * sharpe)
    return NormalDist().cdf((sharpe - benchmark) * math.sqrt((returns.size - 1) / variance))


def expected_best_sharpe(sharpes: Sequence[float], trials: float | None = None) -> float:
    """The expected Sharpe ratio of the best of these trials if all are worthless and their ratios spread as these do
    (Bailey & López de Prado 2014, equation 1); 0 for a single one.

    trials: how many independent ones these amount to, by default all.
    """
    trials = len(sharpes) if trials is None else trials
    if len(sharpes) < 2 or trials <= 1.0:
        return 0.0
    quantile = NormalDist().inv_cdf
    reach = (1.0 - np.euler_gamma) * quantile(1.0 - 1.0 / trials)
    reach += np.euler_gamma * quantile(1.0 - 1.0 / (trials * math.e))
    # Below about 1.3 trials the formula is under 0, which the best of some is not.
    return float(np.std(sharpes, ddof=1)) * max(reach, 0.0)


def deflated_sharpe_ratio(returns: np.ndarray, sharpes: Sequence[float], trials: float | None = None) -> float:
    """The probability that the best of several trials has a true Sharpe ratio above 0, given the number of trials
    (Bailey & López de Prado 2014): above what the best of them would show by luck.

    returns: its per-bar returns; sharpes: the Sharpe ratios per bar of all trials; trials: how many independent ones
    these amount to, by default all.
    """
    return probabilistic_sharpe_ratio(returns, expected_best_sharpe(sharpes, trials))


def max_drawdown(equity: np.ndarray) -> float:
    """Largest fall from a peak as a share of the peak, 0 or negative; the initial equity of 1 is the first peak."""
    series = np.concatenate([[1.0], equity])
    return float((series / np.maximum.accumulate(series) - 1.0).min())


def equity_kpis(equity: np.ndarray, per_year: float, risk_free: np.ndarray | None = None) -> dict[str, float]:
    """KPIs of an equity float64 (n,) at each close alone, with `per_year` bars a year, or NaN; risk_free float64 (n,):
    riskless returns, None for 0. Raises InputError."""
    accumulator = KpiAccumulator(equity.size)
    accumulator.push(equity, np.zeros(equity.size, np.int8), equity, risk_free)
    why_not = "the bars have no known frequency" if math.isnan(per_year) else None
    kept = accumulator.result(BarFrequency(per_year, why_not, math.nan, "the bars have no times")).kpis
    return {
        name: kept[name]
        for name in ("total_return", "mean_return", "sharpe_per_bar", "sharpe_annualised", "max_drawdown")
    }


def trade_kpis(trades: np.ndarray) -> dict[str, float]:
    """KPIs of the trades of `kernels.backtest.account`; a trade still open counts apart and neither wins nor loses."""
    closed = trades[trades[:, 1] >= 0]
    accumulator = KpiAccumulator(0)
    accumulator.push_trades(closed)
    kept = accumulator.result(BarTimes().frequency(), Totals(open_trades=len(trades) - len(closed))).kpis
    return {name: kept[name] for name in ("trades", "open_trades", "win_rate")}


def action_kpis(action: np.ndarray, close: np.ndarray) -> dict[str, float]:
    """Whether buys and sells preceded a move of the next close their way: actions (n,) at closes float64 (n,).

    Precision: share of the bars with a buy or sell that was right. Recall: share of the bars before a move at which the
    right one of buy and sell was chosen.
    """
    accumulator, none = KpiAccumulator(0), np.zeros(action.size, np.uint8)
    accumulator.push_decisions(
        action.astype(np.int8), np.sign(np.diff(close, prepend=close[:1])).astype(np.int8), none, none
    )
    kept = accumulator.result(BarTimes().frequency()).kpis
    return {name: kept[name] for name in ("action_precision", "action_recall")}
