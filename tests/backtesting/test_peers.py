"""Account and KPIs beside those of other people's libraries, on three real histories.

The histories are those that `backtesting` brings: GOOG daily, EURUSD hourly, BTCUSD monthly. Where definitions differ,
a test says how the one follows from the other, and docs/KPIS.md why.
"""

import math
import warnings
from dataclasses import dataclass

import empyrical
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from backtesting import Backtest, Strategy
from backtesting import test as peer_data
from numpy.testing import assert_allclose, assert_array_equal

from idi_fast.backtesting.account import Account, TradingAssumptions, keep_account
from idi_fast.backtesting.kpi_accumulator import KpiAccumulator, Result
from idi_fast.backtesting.kpi_definitions import Totals
from idi_fast.backtesting.kpis import bar_returns
from idi_fast.data.bar_frequency import BarFrequency, BarTimes
from idi_fast.data.history import History

CLOSE = 1e-9  # relative; the libraries sum in other orders, and backtesting trades whole units of a large capital
CAPITAL = 1e15
HISTORIES = {"GOOG": (5, 20), "EURUSD": (5, 20), "BTCUSD": (2, 5)}  # with the moving averages to trade by


@dataclass
class Run:
    """One history traded by moving averages, by this package and by `backtesting`."""

    bars: pd.DataFrame
    fee_rate: float
    frequency: BarFrequency
    account: Account
    held: Account
    result: Result
    peer: pd.Series

    @property
    def trades(self) -> pd.DataFrame:
        return self.peer._trades.sort_values("ExitBar")


def target_of(bars: pd.DataFrame, fast: int, slow: int) -> np.ndarray:
    """Long where the fast average of closes is above the slow one, short where it is below, flat between and at both
    ends: `backtesting` decides nothing on the first bar."""
    ratio = (bars.Close.rolling(fast).mean() / bars.Close.rolling(slow).mean()).to_numpy()
    target = np.where(ratio > 1.002, 1, np.where(ratio < 0.998, -1, 0)).astype(np.int8)
    target[:slow] = target[-2:] = 0
    return target


def history_of(bars: pd.DataFrame) -> History:
    close, open_ = (bars[name].to_numpy(np.float64, copy=True) for name in ("Close", "Open"))
    time = bars.index.to_numpy().astype("datetime64[ns]").astype(np.int64)
    return History(
        close=close,
        open=open_,
        volume=None,
        time=time,
        risk=None,
        extra={},
        after_gap=np.zeros(close.size, bool),
        dropped=0,
        columns={"close": "Close", "open": "Open", "time": "time"},
    )


def peer_of(bars: pd.DataFrame, target: np.ndarray, fee_rate: float) -> pd.Series:
    """What `backtesting` makes of the same orders: close what is held, then all that is left into the new position."""

    class Follow(Strategy):
        def init(self):
            pass

        def next(self):
            wanted, held = int(target[len(self.data) - 1]), int(np.sign(self.position.size))
            if wanted == held:
                return
            if held:
                self.position.close()
            if wanted:
                (self.buy if wanted > 0 else self.sell)()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of bars without times, and pandas of it
        return Backtest(bars, Follow, cash=CAPITAL, commission=fee_rate).run()


def make_run(name: str, fee_bps: float, fill: str = "next_open", target: np.ndarray | None = None) -> Run:
    bars = getattr(peer_data, name).astype({"Open": float})
    if fill == "next_close":
        bars = bars.assign(Open=bars.Close, High=bars.Close, Low=bars.Close)
    history, assumed = history_of(bars), TradingAssumptions(fill=fill, fee_bps=fee_bps)
    target = target_of(bars, *HISTORIES[name]) if target is None else target
    account, held = keep_account(target, history, assumed), keep_account(np.ones_like(target), history, assumed)
    bar_times, accumulator = BarTimes(), KpiAccumulator(target.size)
    bar_times.push(history.time)
    accumulator.push(account.equity, account.position, held.equity)
    accumulator.push_trades(account.trades[account.trades[:, 1] >= 0])
    result = accumulator.result(bar_times.frequency(), Totals(fees=account.fees))
    return Run(bars, fee_bps / 1e4, bar_times.frequency(), account, held, result, peer_of(bars, target, fee_bps / 1e4))


@pytest.fixture(scope="module", params=[(name, fee) for name in HISTORIES for fee in (0.0, 10.0)], ids=str)
def both(request) -> Run:
    return make_run(*request.param)


class TestEmpyrical:
    """`empyrical-reloaded` on the returns of the account, and on those of holding."""

    @staticmethod
    def of(returns: np.ndarray, run: Run) -> dict[str, float]:
        per_year = {"annualization": run.frequency.periods_per_year}
        # It takes n bars for n bars' time, where from the first timestamp to the last there are n − 1: so many years.
        by_time = {"annualization": returns.size / run.frequency.years}
        return {
            "total_return": empyrical.cum_returns_final(returns),
            "cagr": empyrical.cagr(returns, **by_time),
            "volatility_annualised": empyrical.annual_volatility(returns, **per_year),
            "sharpe_annualised": empyrical.sharpe_ratio(returns, **per_year),
            "sortino_annualised": empyrical.sortino_ratio(returns, **per_year),
            "max_drawdown": empyrical.max_drawdown(returns),
            "calmar": empyrical.calmar_ratio(returns, **by_time),
            "omega": empyrical.omega_ratio(returns),
            "skewness": scipy.stats.skew(returns),
            "excess_kurtosis": scipy.stats.kurtosis(returns),
        }

    def test_returns(self, both):
        for equity, kpis in ((both.account.equity, both.result.kpis), (both.held.equity, both.result.buy_and_hold)):
            expected = self.of(bar_returns(equity), both)
            assert {name: kpis[name] for name in expected} == pytest.approx(expected, rel=CLOSE)

    def test_tails(self, both):
        returns, kpis = bar_returns(both.account.equity), both.result.kpis
        expected = {
            "value_at_risk": empyrical.value_at_risk(returns),
            "conditional_value_at_risk": empyrical.conditional_value_at_risk(returns),
            "tail_ratio": empyrical.tail_ratio(returns),
        }
        assert {name: kpis[name] for name in expected} == pytest.approx(expected, rel=CLOSE)

    def test_beside_holding(self, both):
        returns, held = bar_returns(both.account.equity), bar_returns(both.held.equity)
        per_year = both.frequency.periods_per_year
        assert both.result.kpis["beta"] == pytest.approx(empyrical.beta(returns, held), rel=CLOSE)
        alpha = empyrical.alpha(returns, held, annualization=per_year)
        assert both.result.kpis["alpha_annualised"] == pytest.approx(alpha, rel=CLOSE)

    def test_pandas_corrects_skewness_and_kurtosis_for_the_size_of_the_sample(self, both):
        returns, kpis = pd.Series(bar_returns(both.account.equity)), both.result.kpis
        n, g1, g2 = len(returns), kpis["skewness"], kpis["excess_kurtosis"]
        assert returns.skew() == pytest.approx(g1 * math.sqrt(n * (n - 1)) / (n - 2), rel=CLOSE)
        assert returns.kurt() == pytest.approx((n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * g2 + 6), rel=CLOSE)

    def test_what_it_makes_of_undefined_ratios(self):
        """It has infinity where there is no loss, and a Sharpe ratio of rounding."""
        growing = 1.01 ** np.arange(1, 501)
        returns, accumulator = bar_returns(growing), KpiAccumulator(500)
        accumulator.push(growing, np.ones(500, np.int8), growing)
        result = accumulator.result(BarFrequency(252.0, None, 2.0, None))
        assert 1e12 < empyrical.sharpe_ratio(returns) < math.inf
        assert result.undefined["sharpe_annualised"] == "all returns are equal"
        assert empyrical.sortino_ratio(returns) == math.inf
        assert result.undefined["sortino_annualised"] == "no bar lost"


class TestBacktesting:
    """`backtesting` on the same orders."""

    def test_equity(self, both):
        assert_allclose(both.peer._equity_curve.Equity / CAPITAL, both.account.equity, rtol=CLOSE)
        assert both.peer["Return [%]"] / 100 == pytest.approx(both.result.kpis["total_return"], rel=CLOSE)
        assert both.peer["Max. Drawdown [%]"] / 100 == pytest.approx(both.result.kpis["max_drawdown"], rel=CLOSE)
        assert both.peer.get("Commissions [$]", 0.0) / CAPITAL == pytest.approx(both.result.kpis["fees"], rel=CLOSE)

    def test_trades(self, both):
        made, peer = both.account.trades, both.trades
        assert len(made) == len(peer) == both.peer["# Trades"] == both.result.kpis["trades"] > 20
        assert_array_equal(made[:, 0], peer.EntryBar)
        assert_array_equal(made[:, 1], peer.ExitBar)
        assert_array_equal(made[:, 2], np.sign(peer.Size))
        assert_array_equal(made[:, 3], peer.EntryPrice)
        assert_array_equal(made[:, 4], peer.ExitPrice)
        # A profit there is a share of the notional bought, here of the equity, which pays the fee as well.
        assert_allclose(made[:, 5] * (1.0 + both.fee_rate), peer.ReturnPct, rtol=CLOSE, atol=1e-12)
        assert_allclose(made[:, 6], peer.Commission / CAPITAL, rtol=CLOSE)

    def test_kpis_of_trades(self, both):
        kpis, peer = both.result.kpis, both.peer
        assert kpis["win_rate"] == pytest.approx(peer["Win Rate [%]"] / 100, rel=CLOSE)
        assert kpis["profit_factor"] == pytest.approx(peer["Profit Factor"], rel=CLOSE)
        for name, of_peer in (("best_trade", "Best"), ("worst_trade", "Worst")):
            assert kpis[name] * (1.0 + both.fee_rate) == pytest.approx(peer[f"{of_peer} Trade [%]"] / 100, rel=CLOSE)
        assert kpis["expectancy"] * (1.0 + both.fee_rate) == pytest.approx(peer["Expectancy [%]"] / 100, rel=CLOSE)
        if not both.fee_rate:  # geometric means of different shares are not in proportion
            assert kpis["average_trade"] == pytest.approx(peer["Avg. Trade [%]"] / 100, rel=CLOSE)

    def test_exposure_there_counts_the_bars_of_exits(self, both):
        spanned = np.zeros(len(both.bars), bool)
        for entry, exit_ in both.account.trades[:, :2].astype(int):
            spanned[entry : exit_ + 1] = True
        assert both.peer["Exposure Time [%]"] / 100 == pytest.approx(spanned.mean(), rel=CLOSE)
        assert both.result.kpis["exposure"] == (both.account.position != 0).mean() < spanned.mean()

    def test_a_year_there_has_a_quarter_of_a_day_more(self, both):
        growth = 1.0 + both.result.kpis["cagr"]
        span = both.peer["Duration"] / pd.Timedelta(days=365)
        assert span == pytest.approx(both.frequency.years, rel=CLOSE)
        assert both.peer["CAGR [%]"] / 100 == pytest.approx(growth ** (365.25 / 365) - 1, rel=CLOSE)

    def test_beta_there_is_of_logarithms_beside_closes(self, both):
        logarithms = np.diff(np.log(both.account.equity))
        with_market = np.cov(logarithms, np.diff(np.log(both.bars.Close)))
        assert both.peer["Beta"] == pytest.approx(with_market[0, 1] / with_market[1, 1], rel=CLOSE)

    def test_holding_there_is_from_the_first_close_and_free(self, both):
        close, bought = both.bars.Close, both.bars.Open.iloc[1]
        assert both.peer["Buy & Hold Return [%]"] / 100 == pytest.approx(close.iloc[-1] / close.iloc[0] - 1, rel=CLOSE)
        held = close.iloc[-1] / bought / (1.0 + both.fee_rate) - 1
        assert both.result.buy_and_hold["total_return"] == pytest.approx(held, rel=CLOSE)


@pytest.mark.parametrize("name", HISTORIES)
def test_durations_in_bars(name):
    """On bars without times `backtesting` counts durations in bars."""
    run = make_run(name, 10.0)
    peer = peer_of(run.bars.reset_index(drop=True), target_of(run.bars, *HISTORIES[name]), run.fee_rate)
    kpis = run.result.kpis
    assert kpis["longest_drawdown_bars"] == peer["Max. Drawdown Duration"]
    assert kpis["longest_trade_bars"] == peer["Max. Trade Duration"]
    assert kpis["average_trade_bars"] == pytest.approx(peer["Avg. Trade Duration"], rel=CLOSE)


@pytest.mark.parametrize("name", HISTORIES)
def test_fills_at_the_next_close(name):
    run = make_run(name, 10.0, "next_close")
    assert_allclose(run.peer._equity_curve.Equity / CAPITAL, run.account.equity, rtol=CLOSE)
    assert_array_equal(run.account.trades[:, 4], run.trades.ExitPrice)


def short_of_goog(fill: str) -> Run:
    """GOOG more than doubles, which ruins a short."""
    short = np.full(len(peer_data.GOOG), -1, np.int8)
    short[0] = 0
    return make_run("GOOG", 10.0, fill, short)


def test_liquidation():
    run = short_of_goog("next_close")
    assert 0 < run.account.liquidated_at == run.trades.ExitBar.item() < len(run.bars) - 1
    # What is left near ruin is a difference of larger amounts, and as much less precise.
    assert_allclose(run.peer._equity_curve.Equity / CAPITAL, run.account.equity, rtol=CLOSE, atol=1e-12)
    assert run.result.kpis["max_drawdown"] == run.peer["Max. Drawdown [%]"] / 100 == -1.0


def test_an_account_is_liquidated_at_an_open_too():
    """`backtesting` looks at the closes only."""
    run = short_of_goog("next_open")
    bar, entry = run.account.liquidated_at, run.account.trades[0, 3]
    worth_at_open = 1.0 / (1.0 + run.fee_rate) * (2.0 - run.bars.Open.iloc[bar] / entry)
    assert worth_at_open < 0 < run.peer._equity_curve.Equity.iloc[bar] / CAPITAL
    assert_allclose(run.peer._equity_curve.Equity[:bar] / CAPITAL, run.account.equity[:bar], rtol=CLOSE)
    assert run.account.equity[bar] == 0.0
