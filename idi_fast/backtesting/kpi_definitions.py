"""The definition of each KPI, from the sums of an accumulator; docs/KPIS.md says the same in words.

A method computes the KPI of its name, and raises Undefined, with the reason, if there is none.
"""

import math
from typing import NamedTuple

import numpy as np

from idi_fast.data.bar_frequency import BarFrequency
from idi_fast.kernels import kpis as kernels
from idi_fast.kernels.kpis import COUNT

ROUNDING = 2.0**-48
"""Deviations of returns below this, 16 units in the last place of 1, are rounding: a return is a quotient less 1."""


class Undefined(Exception):
    """A KPI has no value; the text is the reason, in a few words."""


def evaluate(*groups: object) -> tuple[dict[str, float], dict[str, str]]:
    """All KPIs of some of the classes below, by name, NaN if undefined, and the reasons for these."""
    values: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for group in groups:
        for name in names(type(group)):
            try:
                values[name] = getattr(group, name)()
            except Undefined as reason:
                values[name], reasons[name] = math.nan, str(reason)
    return values, reasons


def names(group: type) -> list[str]:
    """The KPIs that a class defines, inherited ones last."""
    return [name for part in group.__mro__[:-1] for name in vars(part) if not name.startswith("_")]


def _sound(deviation: float, mean: float) -> float:
    """A deviation of returns, 0 if it is only rounding."""
    return deviation if deviation > max(ROUNDING, 1e-12 * abs(mean)) else 0.0


def _ratio(over: float, under: float, why: str) -> float:
    if under == 0.0:
        raise Undefined(why)
    return over / under


def _compounded(rate: float, periods: float) -> float:
    """A rate of growth compounded over this many periods."""
    if rate <= -1.0:
        if rate < -1.0:
            raise Undefined("a loss of more than 100% cannot be compounded")
        return -1.0
    try:
        return math.expm1(periods * math.log1p(rate))
    except OverflowError:
        raise Undefined("it is larger than a float can hold") from None


def _sample_deviation(moments: list[float]) -> float:
    """Sample deviation (ddof 1)."""
    if moments[COUNT] < 2:
        raise Undefined("fewer than 2 bars")
    return _sound(math.sqrt(moments[kernels.M2] / (moments[COUNT] - 1.0)), moments[kernels.MEAN])


class Moments:
    """KPIs of the distribution of per-bar returns: moments float64 (5,) of `kernels.kpis`; excess: the same of what
    they are above the risk-free return, None where that is 0."""

    def __init__(self, moments: np.ndarray, excess: np.ndarray | None = None):
        self._moments = moments.tolist()
        self._excess = self._moments if excess is None else excess.tolist()

    def mean_return(self) -> float:
        """Arithmetic mean."""
        if not self._moments[COUNT]:
            raise Undefined("no bars")
        return self._moments[kernels.MEAN]

    def _deviation(self) -> float:
        return _sample_deviation(self._moments)

    def sharpe_per_bar(self) -> float:
        """Mean over sample deviation of the returns less the risk-free ones (Sharpe 1994)."""
        self.mean_return()
        return _ratio(self._excess[kernels.MEAN], _sample_deviation(self._excess), "all returns are equal")

    def skewness(self) -> float:
        """g1 = m3 / m2^1.5, of the moments m over all bars (Joanes & Gill 1998)."""
        return self._standardised(kernels.M3, 1.5)

    def excess_kurtosis(self) -> float:
        """g2 = m4 / m2² − 3, of the moments m over all bars: 0 for a normal distribution (Joanes & Gill 1998)."""
        return self._standardised(kernels.M4, 2.0) - 3.0

    def _standardised(self, power: int, root: float) -> float:
        if not self._deviation():
            raise Undefined("all returns are equal")
        n = self._moments[COUNT]
        return self._moments[power] / n / (self._moments[kernels.M2] / n) ** root


class Returns(Moments):
    """KPIs of one equity: from a `kernels.kpis.Curve` with ended blocks, over this many bars of a frequency.

    excess: moments and signed sums of the returns less the risk-free ones, as in a curve, None where these are 0.
    """

    def __init__(
        self,
        curve: kernels.Curve,
        bars: int,
        frequency: BarFrequency,
        excess: tuple[np.ndarray, np.ndarray] | None = None,
    ):
        super().__init__(curve.moments, None if excess is None else excess[0])
        self._signed = curve.signed.tolist()
        self._downside = float((curve.signed if excess is None else excess[1])[kernels.DOWNSIDE])
        self._path = curve.path.tolist()
        self._bars = bars
        self._frequency = frequency

    def total_return(self) -> float:
        """Last equity − 1."""
        return self._path[kernels.LAST] - 1.0

    def cagr(self) -> float:
        """Compound annual growth rate: (last equity)^(1 / years) − 1, years of 365 days by the timestamps."""
        if self._frequency.why_no_growth:
            raise Undefined(self._frequency.why_no_growth)
        return _compounded(self.total_return(), 1.0 / self._frequency.years)

    def volatility_annualised(self) -> float:
        """Sample deviation times the root of the bars per year."""
        return self._deviation() * self._root_of_year()

    def sharpe_annualised(self) -> float:
        """Sharpe per bar times the root of the bars per year (Sharpe 1994; Lo 2002 on when that holds)."""
        return self.sharpe_per_bar() * self._root_of_year()

    def sortino_per_bar(self) -> float:
        """Mean over the root of the mean, over all bars, of squared losses, both of the returns less the risk-free
        ones, which are the target (Sortino & van der Meer 1991)."""
        self.mean_return()
        downside = math.sqrt(self._downside / self._moments[COUNT])
        return _ratio(self._excess[kernels.MEAN], _sound(downside, 0.0), "no bar lost")

    def sortino_annualised(self) -> float:
        """Sortino per bar times the root of the bars per year."""
        return self.sortino_per_bar() * self._root_of_year()

    def max_drawdown(self) -> float:
        """Lowest of equity / peak so far − 1, the initial equity counted as a peak."""
        return min(self._path[kernels.WORST], self._open_drawdown())

    def max_drawdown_bars(self) -> int:
        """Bars of the deepest drawdown, from the last at the peak to the first not below it, or to the end."""
        if self._open_drawdown() < self._path[kernels.WORST]:
            return self._open_bars()
        return int(self._path[kernels.WORST_BARS])

    def longest_drawdown_bars(self) -> int:
        """The same for the longest drawdown."""
        return max(int(self._path[kernels.LONGEST]), self._open_bars())

    def calmar(self) -> float:
        """CAGR over the size of the maximum drawdown (Young 1991, over the last three years)."""
        return _ratio(self.cagr(), -self.max_drawdown(), "the equity never fell below a peak")

    def omega(self) -> float:
        """Sum of gains over sum of losses: threshold 0 (Keating & Shadwick 2002)."""
        self.mean_return()
        return _ratio(self._signed[kernels.GAINS], self._signed[kernels.LOSSES], "no bar lost")

    def win_rate_per_bar(self) -> float:
        """Share of the bars with a gain among those with a gain or a loss."""
        up, down = self._signed[kernels.UP], self._signed[kernels.DOWN]
        return _ratio(up, up + down, "no bar gained or lost")

    def _root_of_year(self) -> float:
        if self._frequency.why_not:
            raise Undefined(self._frequency.why_not)
        return math.sqrt(self._frequency.periods_per_year)

    def _open_drawdown(self) -> float:
        return self._path[kernels.LOW] / self._path[kernels.PEAK] - 1.0

    def _open_bars(self) -> int:
        is_open = self._path[kernels.LOW] < self._path[kernels.PEAK]
        return self._bars - 1 - int(self._path[kernels.PEAK_BAR]) if is_open else 0


class Tail(NamedTuple):
    """The lower tail of a series: its 5th percentile, and the mean of the values up to it."""

    percentile: float
    mean: float


class Tails:
    """KPIs of the tails of per-bar returns: low and high are `Tail`s of these and of their negatives, None without
    bars."""

    def __init__(self, low: Tail | None, high: Tail | None):
        self._low, self._high = low, high

    def value_at_risk(self) -> float:
        """The 5th percentile, interpolated between the two returns next to it (Hyndman & Fan 1996, definition 7)."""
        return self._sides()[0].percentile

    def conditional_value_at_risk(self) -> float:
        """The mean of the lowest ⌊(n − 1) / 20⌋ + 1 returns (historical; Rockafellar & Uryasev 2000)."""
        return self._sides()[0].mean

    def tail_ratio(self) -> float:
        """Size of the 95th percentile over that of the 5th."""
        low, high = self._sides()
        return _ratio(abs(high.percentile), abs(low.percentile), "the 5th percentile of the returns is 0")

    def _sides(self) -> tuple[Tail, Tail]:
        if self._low is None or self._high is None:
            raise Undefined("no bars")
        return self._low, self._high


class Market:
    """KPIs of per-bar returns compared with those of buy and hold: pairs float64 (5,) of `kernels.kpis`; risk_free: the
    mean of the risk-free returns of the same bars."""

    def __init__(self, pairs: np.ndarray, frequency: BarFrequency, risk_free: float = 0.0):
        self._pairs, self._frequency, self._risk_free = pairs.tolist(), frequency, risk_free

    def beta(self) -> float:
        """Covariance with the returns of buy and hold over their variance (Sharpe 1964)."""
        n, mean, squares = (self._pairs[slot] for slot in (COUNT, kernels.MEAN_Y, kernels.SQUARES))
        if n < 2:
            raise Undefined("fewer than 2 bars")
        if not _sound(math.sqrt(squares / n), mean):
            raise Undefined("all returns of buying and holding are equal")
        return self._pairs[kernels.PRODUCTS] / squares

    def alpha_per_bar(self) -> float:
        """Mean return less beta times that of buy and hold, both less the risk-free one (Jensen 1968)."""
        own, market = (self._pairs[mean] - self._risk_free for mean in (kernels.MEAN_X, kernels.MEAN_Y))
        return own - self.beta() * market

    def alpha_annualised(self) -> float:
        """Alpha per bar compounded over the bars of a year, where they span long enough for a growth per year."""
        alpha = self.alpha_per_bar()
        # Compounded from some days to a year it is a number without meaning, as a growth rate is.
        for reason in (self._frequency.why_not, self._frequency.why_no_growth):
            if reason:
                raise Undefined(reason)
        return _compounded(alpha, self._frequency.periods_per_year)


class Trades:
    """KPIs of closed trades, whose profit is after costs and a share of the equity at entry: sums float64 (13,) of
    `kernels.kpis`."""

    def __init__(self, sums: np.ndarray):
        self._sums = sums.tolist()
        self._won = self._sums[kernels.WON] + self._sums[kernels.WON_REST]
        self._lost = self._sums[kernels.LOST] + self._sums[kernels.LOST_REST]

    def trades(self) -> int:
        """The number of closed trades."""
        return int(self._sums[kernels.TRADES])

    def win_rate(self) -> float:
        """Share of the trades with a profit above 0."""
        return self._mean(self._sums[kernels.WINNERS])

    def profit_factor(self) -> float:
        """Sum of the profits over that of the losses."""
        self._mean(0.0)
        return _ratio(self._won, self._lost, "no trade lost")

    def expectancy(self) -> float:
        """Arithmetic mean of profits and losses."""
        return self._mean(self._won - self._lost)

    def average_trade(self) -> float:
        """Geometric mean: the same profit on every trade would lead to the same equity."""
        self._mean(0.0)
        growth = self._sums[kernels.GROWTH]
        if growth == 0.0:
            return -1.0
        return math.expm1(self._mean(math.log(growth) + self._sums[kernels.EXPONENT] * math.log(2.0)))

    def average_win(self) -> float:
        """Mean profit of the winning trades."""
        return _ratio(self._won, self._sums[kernels.WINNERS], "no trade won")

    def average_loss(self) -> float:
        """Mean loss of the losing trades, a negative number."""
        return -_ratio(self._lost, self._sums[kernels.LOSERS], "no trade lost")

    def best_trade(self) -> float:
        """The largest profit."""
        self._mean(0.0)
        return self._sums[kernels.BEST]

    def worst_trade(self) -> float:
        """The largest loss, or the smallest profit."""
        self._mean(0.0)
        return self._sums[kernels.WORST_TRADE]

    def average_trade_bars(self) -> float:
        """Mean number of bars from entry to exit."""
        return self._mean(self._sums[kernels.HELD])

    def longest_trade_bars(self) -> int:
        """Largest number of bars from entry to exit."""
        self._mean(0.0)
        return int(self._sums[kernels.LONGEST_HELD])

    def _mean(self, total: float) -> float:
        return _ratio(total, self._sums[kernels.TRADES], "no trade was closed")


class Decisions:
    """Whether actions and alerts were followed by what they predict: counts int64 (8,) of `kernels.kpis`.

    Precision, recall and their harmonic mean F1 (van Rijsbergen 1979).
    """

    def __init__(self, counts: np.ndarray):
        self._counts = counts.tolist()

    def action_precision(self) -> float:
        """Share of the buys and sells whose next close moved their way."""
        return _ratio(self._counts[kernels.HITS], self._counts[kernels.ACTIONS], "no buy or sell was followed by a bar")

    def action_recall(self) -> float:
        """Share of the bars that moved before which the right one of buy and sell was chosen."""
        return _ratio(self._counts[kernels.HITS], self._counts[kernels.MOVES], "the close never moved")

    def action_f1(self) -> float:
        """F1 of both."""
        of_both = self._counts[kernels.ACTIONS] + self._counts[kernels.MOVES]
        return _ratio(2 * self._counts[kernels.HITS], of_both, "no buy, no sell and no move")

    def alert_precision(self) -> float:
        """Share of the alerts that a risk event followed on the next bar."""
        return _ratio(self._counts[kernels.WARNINGS], self._counts[kernels.ALERTS], "no alert was followed by a bar")

    def alert_recall(self) -> float:
        """Share of the risk events that an alert preceded."""
        return _ratio(self._counts[kernels.WARNINGS], self._counts[kernels.RISKS], "there was no risk event")

    def alert_f1(self) -> float:
        """F1 of both."""
        of_both = self._counts[kernels.ALERTS] + self._counts[kernels.RISKS]
        return _ratio(2 * self._counts[kernels.WARNINGS], of_both, "no alert and no risk event")


class Totals(NamedTuple):
    """Counts of the run itself: open_trades; traded, fees, slippage, interest on idle cash, borrowing fees and funding
    paid, in units of the initial equity; mean_reward, NaN if there is none."""

    open_trades: int = 0
    traded: float = 0.0
    fees: float = 0.0
    slippage: float = 0.0
    interest: float = 0.0
    borrow: float = 0.0
    funding: float = 0.0
    mean_reward: float = math.nan


class Activity:
    """KPIs of activity: bars int64 (2,) of `kernels.kpis`, and the totals of the run."""

    def __init__(self, bars: np.ndarray, totals: Totals):
        self._bars, self._totals = bars.tolist(), totals

    def open_trades(self) -> int:
        """Trades without an exit."""
        return self._totals.open_trades

    def exposure(self) -> float:
        """Share of the bars that close with a position."""
        return _ratio(self._bars[kernels.EXPOSED], self._bars[kernels.BARS], "no bars")

    def turnover(self) -> float:
        """Notional traded, in units of the initial equity."""
        return self._totals.traded

    def fees(self) -> float:
        """Fees paid, in units of the initial equity."""
        return self._totals.fees

    def slippage(self) -> float:
        """Cost of slippage, in units of the initial equity."""
        return self._totals.slippage

    def interest_earned(self) -> float:
        """Interest on idle cash, in units of the initial equity."""
        return self._totals.interest

    def borrow_paid(self) -> float:
        """What shorts paid to borrow, in units of the initial equity."""
        return self._totals.borrow

    def funding_paid(self) -> float:
        """Funding that was paid less what was received, in units of the initial equity."""
        return self._totals.funding

    def mean_reward(self) -> float:
        """Mean of the agent's own reward per bar: not a measure of profit."""
        if math.isnan(self._totals.mean_reward):
            raise Undefined("no bar was rewarded")
        return self._totals.mean_reward
