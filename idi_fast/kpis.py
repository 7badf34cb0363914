"""Key performance indicators of a backtest, each by its definition; NaN means undefined."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

YEAR_NS = 365 * 86_400 * 10**9


def periods_per_year(time_ns: np.ndarray | None) -> float:
    """Bars per year of 365 days, from the first to the last timestamp; NaN without times."""
    if time_ns is None or time_ns.size < 2:
        return math.nan
    return (time_ns.size - 1) * YEAR_NS / float(time_ns[-1] - time_ns[0])


def bar_returns(equity: np.ndarray) -> np.ndarray:
    """Return of each bar on the equity before it; the equity before the first bar is 1. Ends at an equity of 0."""
    before = np.concatenate([[1.0], equity[:-1]])
    alive = before > 0.0
    return equity[alive] / before[alive] - 1.0


def sharpe_ratio(returns: np.ndarray) -> float:
    """Mean over sample deviation (ddof 1) of per-bar returns, no risk-free rate (Sharpe 1994); NaN if all are equal."""
    if returns.size < 2:
        return math.nan
    deviation = float(returns.std(ddof=1))
    return float(returns.mean()) / deviation if deviation > 1e-12 * abs(float(returns.mean())) else math.nan


SIGMAS_95 = 1.959963984540054


def sharpe_interval(returns: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the Sharpe ratio of per-bar returns that are independent and alike: its variance is
    (1 + S² / 2) / n (Lo 2002)."""
    sharpe = sharpe_ratio(returns)
    reach = SIGMAS_95 * math.sqrt((1.0 + sharpe * sharpe / 2.0) / returns.size)
    return sharpe - reach, sharpe + reach


def probabilistic_sharpe_ratio(returns: np.ndarray, benchmark: float = 0.0) -> float:
    """The probability that the true Sharpe ratio of per-bar returns exceeds a benchmark, their skewness and kurtosis
    taken into account; NaN where there is no Sharpe ratio (Bailey & López de Prado 2012)."""
    sharpe = sharpe_ratio(returns)
    if math.isnan(sharpe):
        return math.nan
    scores = (returns - returns.mean()) / returns.std()
    skewness, kurtosis = float(np.mean(scores**3)), float(np.mean(scores**4))
    # Above 0 wherever the ratio is one of the sample's own moments; a rounding must not make a root of less.
    variance = max(1e-12, 1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe)
    return NormalDist().cdf((sharpe - benchmark) * math.sqrt((returns.size - 1) / variance))


def expected_best_sharpe(sharpes: Sequence[float]) -> float:
    """The Sharpe ratio that the best of so many trials shows if none is worth anything and theirs spread as these do
    (Bailey & López de Prado 2014, equation 1); 0 for a single one."""
    trials = len(sharpes)
    if trials < 2:
        return 0.0
    quantile = NormalDist().inv_cdf
    reach = (1.0 - np.euler_gamma) * quantile(1.0 - 1.0 / trials)
    reach += np.euler_gamma * quantile(1.0 - 1.0 / (trials * math.e))
    return float(np.std(sharpes, ddof=1)) * reach


def deflated_sharpe_ratio(returns: np.ndarray, sharpes: Sequence[float]) -> float:
    """The probability that the best of several trials has a true Sharpe ratio above 0, in view of how many were tried
    (Bailey & López de Prado 2014): above what the best of them would show by luck.

    returns: its per-bar returns; sharpes: the Sharpe ratios per bar of all trials, taken as independent of each other,
    which makes the figure smaller than it is where they are not.
    """
    return probabilistic_sharpe_ratio(returns, expected_best_sharpe(sharpes))


def max_drawdown(equity: np.ndarray) -> float:
    """Largest fall from a peak as a share of the peak, 0 or negative; the initial equity of 1 is the first peak."""
    series = np.concatenate([[1.0], equity])
    return float((series / np.maximum.accumulate(series) - 1.0).min())


def equity_kpis(equity: np.ndarray, per_year: float) -> dict[str, float]:
    """KPIs of an equity curve alone."""
    returns = bar_returns(equity)
    sharpe = sharpe_ratio(returns)
    return {
        "total_return": float(equity[-1]) - 1.0,
        "mean_return": float(returns.mean()),
        "sharpe_per_bar": sharpe,
        "sharpe_annualised": sharpe * math.sqrt(per_year),
        "max_drawdown": max_drawdown(equity),
    }


def null_nan(value: object) -> object:
    """The same with None, JSON's null, for every float in it that is not a finite number."""
    if isinstance(value, dict):
        return {name: null_nan(part) for name, part in value.items()}
    if isinstance(value, list):
        return [null_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def trade_kpis(trades: np.ndarray) -> dict[str, float]:
    """KPIs of the trades of `kernels.backtest.account`; a trade still open counts apart and neither wins nor loses."""
    closed = trades[trades[:, 1] >= 0]
    return {
        "trades": int(closed.shape[0]),
        "open_trades": int(trades.shape[0] - closed.shape[0]),
        "win_rate": float((closed[:, 5] > 0).mean()) if closed.size else math.nan,
    }


def action_kpis(action: np.ndarray, close: np.ndarray) -> dict[str, float]:
    """Whether buys and sells preceded a move of the next close their way.

    Precision: of the bars with a buy or sell, the share that was right. Recall: of the bars before a move, the share
    at which the right one of buy and sell was chosen.
    """
    move = np.sign(np.diff(close))
    side = np.array([0, 1, -1])[action[:-1]]
    right = int(np.count_nonzero((side != 0) & (side == move)))
    sides, moves = int(np.count_nonzero(side)), int(np.count_nonzero(move))
    return {
        "action_precision": right / sides if sides else math.nan,
        "action_recall": right / moves if moves else math.nan,
    }
