"""KPIs by their definitions: numbers worked out by hand over named fixtures, and the reasons for undefined ones."""

import json
import math
import re

import numpy as np
import pytest
from places import ROOT

from idi_fast.backtesting import kpi_definitions as definitions
from idi_fast.backtesting import kpis
from idi_fast.backtesting.calibration import NAMES as CALIBRATION
from idi_fast.backtesting.kpi_accumulator import KpiAccumulator, Result
from idi_fast.data.bar_frequency import BarFrequency
from idi_fast.errors import InputError
from idi_fast.storage.json_files import null_nan

FREQUENCY = BarFrequency(100.0, None, 0.5, None)
"""A root of ten, half a year."""
NO_FREQUENCY = BarFrequency(math.nan, "no frequency", math.nan, "no years")
GROUPS = (
    definitions.Returns,
    definitions.Tails,
    definitions.Market,
    definitions.Trades,
    definitions.Activity,
    definitions.Decisions,
)


def run(equity, position=None, held=None, frequency: BarFrequency = FREQUENCY) -> Result:
    """The KPIs of an equity, by default without a position and beside itself."""
    accumulator = KpiAccumulator(len(equity))
    accumulator.push(
        np.array(equity, np.float64),
        np.zeros(len(equity), np.int8) if position is None else np.array(position, np.int8),
        np.array(equity if held is None else held, np.float64),
    )
    return accumulator.result(frequency)


def check(values: dict, expected: dict) -> None:
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, rel=1e-13, abs=1e-15, nan_ok=True), name


class TestByHand:
    def test_the_first_bar_loses(self):
        result = run([0.5, 0.6, 0.9], [0, 1, -1], [1.0, 1.1, 0.99])
        # Returns −1/2, 1/5, 1/2; mean 1/15, from which they differ by −17/30, 4/30, 13/30.
        deviation = math.sqrt((17**2 + 4**2 + 13**2) / 30**2 / 2)
        m2 = (17**2 + 4**2 + 13**2) / 30**2 / 3
        m3 = (-(17**3) + 4**3 + 13**3) / 30**3 / 3
        m4 = (17**4 + 4**4 + 13**4) / 30**4 / 3
        check(
            result.kpis,
            {
                "total_return": -0.1,
                "mean_return": 1 / 15,
                "cagr": 0.9**2 - 1,
                "volatility_annualised": deviation * 10,
                "sharpe_per_bar": 1 / 15 / deviation,
                "sharpe_annualised": 10 / 15 / deviation,
                "sortino_per_bar": 1 / 15 / math.sqrt(0.25 / 3),  # over all three bars
                "sortino_annualised": 10 / 15 / math.sqrt(0.25 / 3),
                "max_drawdown": -0.5,  # from the initial equity
                "max_drawdown_bars": 3,  # from before bar 0 to bar 2
                "longest_drawdown_bars": 3,
                "calmar": (0.9**2 - 1) / 0.5,
                "omega": 0.7 / 0.5,
                "win_rate_per_bar": 2 / 3,
                "skewness": m3 / m2**1.5,
                "excess_kurtosis": m4 / m2**2 - 3,
                "value_at_risk": -0.5 + 0.1 * 0.7,  # a tenth of the way from the first of three to the second
                "conditional_value_at_risk": -0.5,
                "tail_ratio": (0.5 - 0.1 * 0.3) / (0.5 - 0.1 * 0.7),
                # Holding: 0, 1/10, −1/10; sums of squares 2/100, of products 2/100 − 5/100
                "beta": -1.5,
                "alpha_per_bar": 1 / 15,
                "alpha_annualised": (1 + 1 / 15) ** 100 - 1,
                "exposure": 2 / 3,
            },
        )
        check(result.buy_and_hold, {"total_return": -0.01, "max_drawdown": -0.1, "omega": 1.0, "cagr": 0.99**2 - 1})

    def test_no_bars(self):
        result = run([])
        check(result.kpis, {"total_return": 0.0, "max_drawdown": 0.0, "max_drawdown_bars": 0, "trades": 0})
        assert result.undefined["mean_return"] == "no bars"
        assert result.undefined["value_at_risk"] == "no bars"
        assert result.undefined["exposure"] == "no bars"
        assert result.undefined["sharpe_annualised"] == "no bars"
        assert result.undefined["buy_and_hold.omega"] == "no bars"

    def test_one_bar(self):
        result = run([0.9], [1])
        check(
            result.kpis,
            {
                "mean_return": -0.1,
                "value_at_risk": -0.1,
                "conditional_value_at_risk": -0.1,
                "tail_ratio": 1.0,
                "sortino_per_bar": -1.0,
                "omega": 0.0,
                "max_drawdown": -0.1,
                "max_drawdown_bars": 1,
                "exposure": 1.0,
            },
        )
        for name in ("volatility_annualised", "sharpe_per_bar", "skewness", "beta", "alpha_per_bar"):
            assert math.isnan(result.kpis[name])
            assert result.undefined[name] == "fewer than 2 bars"

    def test_flat(self):
        result = run([1.0] * 50)
        check(result.kpis, {"total_return": 0.0, "volatility_annualised": 0.0, "value_at_risk": 0.0, "exposure": 0.0})
        check(result.kpis, {"max_drawdown": 0.0, "max_drawdown_bars": 0, "longest_drawdown_bars": 0})
        reasons = {
            "sharpe_per_bar": "all returns are equal",
            "skewness": "all returns are equal",
            "sortino_per_bar": "no bar lost",
            "omega": "no bar lost",
            "calmar": "the equity never fell below a peak",
            "tail_ratio": "the 5th percentile of the returns is 0",
            "win_rate_per_bar": "no bar gained or lost",
            "beta": "all returns of buying and holding are equal",
        }
        assert {name: result.undefined[name] for name in reasons} == reasons

    @pytest.mark.parametrize("rate", [0.03, -0.03, 1e-6])
    @pytest.mark.parametrize("bars", [3, 1000, 9000])
    def test_returns_that_differ_only_by_rounding_have_no_sharpe_ratio(self, rate, bars):
        result = run((1 + rate) ** np.arange(1.0, bars + 1))
        assert result.undefined["sharpe_annualised"] == "all returns are equal"
        assert result.kpis["volatility_annualised"] == 0.0

    def test_all_gains(self):
        result = run([1.1, 1.21 * 1.1])
        check(result.kpis, {"total_return": 0.331, "max_drawdown": 0.0, "win_rate_per_bar": 1.0})
        check(result.kpis, {"tail_ratio": 0.2045 / 0.1055})
        for name in ("sortino_annualised", "omega"):
            assert result.undefined[name] == "no bar lost"
        assert result.undefined["calmar"] == "the equity never fell below a peak"

    def test_all_losses(self):
        result = run([0.8, 0.4])
        # Returns −0.2, −0.5; mean −0.35
        check(
            result.kpis,
            {
                "omega": 0.0,
                "win_rate_per_bar": 0.0,
                "sharpe_per_bar": -0.35 / math.sqrt(2 * 0.15**2),
                "sortino_per_bar": -0.35 / math.sqrt((0.04 + 0.25) / 2),
                "max_drawdown": -0.6,
                "max_drawdown_bars": 2,
                "calmar": (0.4**2 - 1) / 0.6,
                "conditional_value_at_risk": -0.5,
            },
        )

    def test_a_liquidated_account_has_no_more_returns(self):
        result = run([1.2, 0.0, 0.0, 0.0], [1, 0, 0, 0], [1.1, 1.21, 1.331, 1.331])
        check(
            result.kpis,
            {
                "total_return": -1.0,
                "mean_return": (0.2 - 1.0) / 2,
                "cagr": -1.0,
                "max_drawdown": -1.0,
                "max_drawdown_bars": 3,  # to the last bar
                "calmar": -1.0,
                "conditional_value_at_risk": -1.0,
                "exposure": 0.25,
            },
        )
        assert result.undefined["beta"] == "all returns of buying and holding are equal"  # over those two bars
        check(result.buy_and_hold, {"mean_return": 0.3 / 4, "total_return": 0.331})

    def test_the_deepest_drawdown_need_not_be_the_longest(self):
        result = run([2.0, 1.0, 2.0, 1.9, 1.9, 1.9, 2.0, 3.0, 2.9])
        check(result.kpis, {"max_drawdown": -0.5, "max_drawdown_bars": 2, "longest_drawdown_bars": 4})
        check(run([2.0, 1.5, 2.0, 0.5, 1.0]).kpis, {"max_drawdown": -0.75, "max_drawdown_bars": 2})

    def test_what_cannot_be_compounded(self):
        result = run([2.0, 4.0, 9.0], held=[0.5, 0.25, 0.25], frequency=BarFrequency(1e6, None, 1e-3, None))
        assert result.undefined["cagr"] == "it is larger than a float can hold"
        assert result.undefined["alpha_annualised"] == "it is larger than a float can hold"
        # Returns 0, −1 beside 9/10, 8/10: beta 10, alpha −1/2 − 17/2.
        worse = run([1.0, 0.0], held=[1.9, 3.42])
        check(worse.kpis, {"beta": 10.0, "alpha_per_bar": -9.0})
        assert worse.undefined["alpha_annualised"] == "a loss of more than 100% cannot be compounded"

    def test_without_a_pace_nothing_is_annualised(self):
        result = run([0.9, 1.1], held=[1.0, 1.2], frequency=NO_FREQUENCY)
        for name in ("volatility_annualised", "sharpe_annualised", "sortino_annualised", "alpha_annualised"):
            assert result.undefined[name] == "no frequency"
        assert result.undefined["cagr"] == result.undefined["calmar"] == "no years"
        assert result.undefined["buy_and_hold.sharpe_annualised"] == "no frequency"
        assert not math.isnan(result.kpis["sharpe_per_bar"])

    def test_trades(self):
        accumulator = KpiAccumulator(0)
        accumulator.push_trades(np.array([[0, 4, 1, 10, 15, 0.5, 0, 0], [4, 5, -1, 15, 18, -0.2, 0, 0]]))
        accumulator.push_trades(np.array([[7, 14, 1, 10, 10, 0.0, 0, 0], [15, 17, 1, 10, 9, -0.1, 0, 0]]))
        totals = definitions.Totals(open_trades=1, traded=7.5, fees=0.25, slippage=0.125, mean_reward=-3.0)
        result = accumulator.result(NO_FREQUENCY, totals)
        check(
            result.kpis,
            {
                "trades": 4,
                "open_trades": 1,
                "win_rate": 0.25,
                "profit_factor": 0.5 / 0.3,
                "expectancy": 0.05,
                "average_trade": (1.5 * 0.8 * 0.9) ** 0.25 - 1,
                "average_win": 0.5,
                "average_loss": -0.15,
                "best_trade": 0.5,
                "worst_trade": -0.2,
                "average_trade_bars": 3.5,
                "longest_trade_bars": 7,
                "turnover": 7.5,
                "fees": 0.25,
                "slippage": 0.125,
                "mean_reward": -3.0,
            },
        )

    def test_no_trades_and_trades_of_one_kind(self):
        none = run([1.0, 1.1])
        for name in definitions.names(definitions.Trades)[1:]:
            assert none.undefined[name] in ("no trade was closed", "no trade won", "no trade lost")
        assert none.undefined["mean_reward"] == "no bar was rewarded"
        accumulator = KpiAccumulator(0)
        accumulator.push_trades(np.array([[0, 4, 1, 10, 15, 0.5, 0, 0]]))
        won = accumulator.result(NO_FREQUENCY)
        assert won.undefined["profit_factor"] == won.undefined["average_loss"] == "no trade lost"
        accumulator = KpiAccumulator(0)
        accumulator.push_trades(np.array([[0, 4, 1, 10, 15, -1.0, 0, 0]]))
        ruined = accumulator.result(NO_FREQUENCY)
        check(ruined.kpis, {"average_trade": -1.0, "expectancy": -1.0, "profit_factor": 0.0})
        assert ruined.undefined["average_win"] == "no trade won"

    def test_decisions(self):
        accumulator = KpiAccumulator(0)
        # Buy before a rise, buy before a fall, sell before no move, hold before a rise; the last is not judged.
        columns = [1, 1, 2, 0, 2], [1, 1, -1, 0, 1], [0, 1, 1, 1, 1], [1, 0, 0, 1, 0]
        accumulator.push_decisions(*(np.array(column) for column in columns))
        check(
            accumulator.result(NO_FREQUENCY).kpis,
            {
                "action_precision": 1 / 3,
                "action_recall": 1 / 3,
                "action_f1": 1 / 3,
                # Three alerts, the second of them right; an event, besides that of the first bar, which none precedes.
                "alert_precision": 1 / 3,
                "alert_recall": 1.0,
                "alert_f1": 0.5,
            },
        )

    def test_no_decisions(self):
        accumulator = KpiAccumulator(0)
        accumulator.push_decisions(*(np.array([value]) for value in (1, 1, 1, 1)))
        result = accumulator.result(NO_FREQUENCY)
        for name in definitions.names(definitions.Decisions):
            assert math.isnan(result.kpis[name])
            assert name in result.undefined
        accumulator = KpiAccumulator(0)
        accumulator.push_decisions(*(np.array(column) for column in ([0, 0], [0, 1], [0, 0], [0, 1])))
        check(
            accumulator.result(NO_FREQUENCY).kpis,
            {"action_precision": math.nan, "action_recall": 0.0, "action_f1": 0.0},
        )

    def test_trades_of_several_runs(self):
        rows = [[0, 4, 1, 10, 15, 0.5, 0, 0], [4, 5, -1, 15, 18, -0.2, 0, 0], [7, 14, 1, 10, 10, 0.0, 0, 0]]
        together, apart = KpiAccumulator(0), KpiAccumulator(0)
        together.push_trades(np.array(rows))
        for part in (rows[:2], rows[2:], []):
            other = KpiAccumulator(0)
            other.push_trades(np.array(part).reshape(-1, 8))
            apart.add_counts(other)
        found, expected = (accumulator.result(NO_FREQUENCY).kpis for accumulator in (apart, together))
        names = definitions.names(definitions.Trades)
        check(found, {name: expected[name] for name in names})
        assert expected["trades"] == 3

    def test_decisions_of_several_runs(self):
        accumulator = KpiAccumulator(0)
        for action, move in (([1, 1], [0, 1]), ([2, 0, 1], [-1, 1, 1])):  # one right; one wrong, and one move more
            other = KpiAccumulator(0)
            other.push_decisions(np.array(action), np.array(move), np.ones(len(action)), np.ones(len(action)))
            accumulator.add_counts(other)
        result = accumulator.result(NO_FREQUENCY).kpis
        check(result, {"action_precision": 1 / 2, "action_recall": 1 / 3, "alert_precision": 1.0})


def test_what_cannot_be_counted_is_refused():
    equity, flat = np.ones(3), np.zeros(3, np.int8)
    for wrong in (math.nan, math.inf, -0.1):
        broken = np.array([1.0, wrong, 1.0])
        for pair in ((broken, equity), (equity, broken)):
            accumulator = KpiAccumulator(6)
            accumulator.push(equity, flat, equity)
            with pytest.raises(InputError, match=f"{wrong}.* at bar 4; expected finite numbers above 0, or 0 from"):
                accumulator.push(pair[0], flat, pair[1])
    with pytest.raises(InputError, match=r"is 1\.0 .* at bar 1"):
        KpiAccumulator(2).push(np.array([0.0, 1.0]), flat[:2], equity[:2])
    with pytest.raises(InputError, match=r"the shapes are .*\(3,\).*\(2,\)"):
        KpiAccumulator(6).push(equity, flat[:2], equity)
    with pytest.raises(InputError, match="3 bars were pushed to an accumulator of at most 2"):
        KpiAccumulator(2).push(equity, flat, equity)
    with pytest.raises(InputError, match="most_bars is -1"):
        KpiAccumulator(-1)
    with pytest.raises(InputError, match=r"trades have the shape \(3,\)"):
        KpiAccumulator(0).push_trades(np.ones(3))
    with pytest.raises(InputError, match=r"a trade is .*5\.0, -1\.0.* exit not before its entry"):
        KpiAccumulator(0).push_trades(np.array([[5, -1, 1, 10, math.nan, math.nan, 0, 0]]))
    accumulator = KpiAccumulator(3)
    accumulator.result(FREQUENCY)
    with pytest.raises(InputError, match="the result of this accumulator has been taken"):
        accumulator.push(equity, flat, equity)


def test_an_undefined_value_is_null_in_json_and_has_a_reason():
    result = run([1.0])
    written = json.loads(json.dumps(null_nan(result._asdict()), allow_nan=False))
    nulls = {name for name, value in written["kpis"].items() if value is None}
    nulls |= {f"buy_and_hold.{name}" for name, value in written["buy_and_hold"].items() if value is None}
    assert nulls == set(written["undefined"])
    assert all(written["undefined"].values())


def test_the_docs_define_each_kpi():
    text = ROOT.joinpath("docs", "KPIS.md").read_text(encoding="utf-8")
    table = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    defined = [name for cell in table for name in re.findall(r"`(\w+)`", cell)]
    kpis = [*(name for group in GROUPS for name in definitions.names(group)), *CALIBRATION]
    assert sorted(defined) == sorted(kpis)


def test_kpis_of_arrays_are_those_of_an_accumulator():
    equity = np.cumprod(1.0 + np.random.default_rng(1).normal(1e-3, 1e-2, 10_000))
    whole = run(equity).kpis
    assert kpis.equity_kpis(equity, 100.0) == {
        name: whole[name]
        for name in ("total_return", "mean_return", "sharpe_per_bar", "sharpe_annualised", "max_drawdown")
    }
    assert kpis.sharpe_ratio(kpis.bar_returns(equity)) == whole["sharpe_per_bar"]
    assert kpis.max_drawdown(equity) == whole["max_drawdown"]
    assert math.isnan(kpis.equity_kpis(equity, math.nan)["sharpe_annualised"])


def test_rounding_of_returns_in_any_unit_is_no_deviation():
    assert math.isnan(kpis.sharpe_ratio(np.array([500.0, 500.0 + 1e-11, 500.0])))
    assert kpis.sharpe_ratio(np.array([500.0, 500.1, 500.0])) > 1e3


def test_periods_per_year_of_an_array():
    assert kpis.periods_per_year(np.arange(366) * 86_400 * 10**9) == 365.0
    assert math.isnan(kpis.periods_per_year(None))
    assert math.isnan(kpis.periods_per_year(np.array([3])))
