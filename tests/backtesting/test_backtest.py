"""The backtest: causality through the public API, and an account worked by hand."""

from itertools import pairwise

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from market_data import history, random_walk
from numpy.testing import assert_array_equal

from idi_fast import TrainingConfig, create_trainer
from idi_fast.agents.rollout import rollout_history
from idi_fast.backtesting import kpis
from idi_fast.backtesting.account import TradingAssumptions, keep_account
from idi_fast.backtesting.backtest import backtest, calibrate
from idi_fast.data.history import History
from idi_fast.environments.features import BarStream
from idi_fast.environments.history_bars import log_columns, log_fill
from idi_fast.environments.series import FeatureStream
from idi_fast.errors import ArtifactError, InputError

DAY = 86_400 * 10**9


@pytest.fixture(scope="module")
def policy():
    """A policy that trades in all three directions and reads close, open and volume."""
    settings = TrainingConfig.from_dict(
        {
            "episodes": 400,
            "episode_length": 50,
            "rewards": {"ethics_bonus": 0.0},
            "environment": {"kind": "history"},
            "features": {"scarcity": {"column": "open", "transform": "log_return", "window": 5}},
        }
    )
    return create_trainer(settings, history=random_walk(600)).run()[0]


def account(target, bars: History, fill: str = "next_open", fee_bps: float = 0.0):
    return keep_account(np.array(target, np.int8), bars, TradingAssumptions(fill, fee_bps))


def cut(bars: History, n: int) -> History:
    return bars.slice(0, n)


def alter(bars: History, n: int, factor: float) -> History:
    """The same first n bars, others after them."""
    changed = {name: getattr(bars, name).copy() for name in ("close", "open", "volume")}
    for values in changed.values():
        values[n:] = values[n:][::-1] * factor
    return history(changed["close"], changed["open"], changed["volume"], bars.time)


@settings(max_examples=examples(40))
@given(n=st.integers(2, 199), seed=st.integers(0, 5), factor=st.sampled_from([0.1, 0.9, 1.3, 40.0]))
def test_later_bars_change_nothing_before_them(policy, n, seed, factor):
    bars = random_walk(200, seed)
    whole = backtest(policy, bars, fee_bps=3.0)
    assert {-1, 1} <= set(whole.trace.position.tolist())
    for other in (cut(bars, n), alter(bars, n, factor)):
        part = backtest(policy, other, fee_bps=3.0)
        for name, values in whole.trace.streams.items():
            assert_array_equal(part.trace.streams[name][:n], values[:n], err_msg=name)
        for name in ("state", "action", "comm_action", "position"):
            assert_array_equal(getattr(part.trace, name)[:n], getattr(whole.trace, name)[:n], err_msg=name)
        assert_array_equal(part.trace.reward[: n - 1], whole.trace.reward[: n - 1])
        assert_array_equal(part.account.equity[:n], whole.account.equity[:n])


def test_the_actions_do_not_depend_on_what_the_account_assumes(policy):
    bars = random_walk(300, 1)
    base = backtest(policy, bars)
    for fill in ("next_open", "next_close", "same_close"):
        other = backtest(policy, bars, fill=fill, fee_bps=50.0)
        assert_array_equal(other.trace.action, base.trace.action)
        assert other.assumptions["fill"] == fill


@settings(max_examples=examples(20))
@given(cuts=st.lists(st.integers(1, 149), max_size=6))
def test_bars_come_out_the_same_in_any_chunks(policy, cuts):
    bars = random_walk(150, 3)
    columns, fill = log_columns(bars), log_fill(log_columns(bars), "next_open")
    fee_bps = policy.config.environment.market.fee_bps
    whole = BarStream(policy.encoder, fee_bps).push(columns, fill)
    features = FeatureStream(policy.encoder.features).push(columns)
    stream, feature_stream = BarStream(policy.encoder, fee_bps), FeatureStream(policy.encoder.features)
    edges = [0, *sorted(set(cuts)), 150]
    parts, feature_parts = [], []
    for start, stop in pairwise(edges):
        chunk = {name: values[start:stop] for name, values in columns.items()}
        parts.append(stream.push(chunk, fill[start:stop]))
        feature_parts.append(feature_stream.push(chunk))
    for name, values in zip(whole._fields, whole, strict=True):
        assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), values, err_msg=name)
    assert_array_equal(np.concatenate(feature_parts, axis=1), features)


def test_replaying_the_training_bars_earns_the_rewards_of_training(policy):
    # The rewards that the agent learnt from and the account's profit are one definition: without fees, scaling and
    # the other reward terms, the sum of a position's steps is the account's log return up to compounding.
    bars = random_walk(120, 9)
    trace = rollout_history(policy, bars)
    held = account(trace.position, bars)
    steps = np.diff(np.log(held.equity))
    position = trace.position
    gap = np.log(bars.open[1:] / bars.close[:-1])
    change = np.log(bars.close[1:] / bars.open[1:])
    before = np.concatenate([[0], position[:-2]])
    long_only = (position[:-1] >= 0) & (before >= 0)
    expected = before * gap + position[:-1] * change
    # A short's return is not linear in log price, hence long bars only; equality up to rounding of logarithms.
    np.testing.assert_allclose(steps[long_only], expected[long_only], atol=1e-12)


class TestAccount:
    """Equity by hand: 1 at the start, whole position, fees on the traded notional."""

    def test_flat_stays_at_one(self):
        result = account([0, 0, 0], history([10, 20, 5]))
        assert result.equity.tolist() == [1, 1, 1]
        assert (result.fees, result.traded, len(result.trades)) == (0, 0, 0)

    @pytest.mark.parametrize(
        ("fill", "equity"),
        [
            # decided at the close 10 of bar 0; open 11, close 12 of bar 1; open 15, close 18 of bar 2
            ("next_open", [1, 12 / 11, 18 / 11]),
            ("next_close", [1, 1, 18 / 12]),
            ("same_close", [1, 12 / 10, 18 / 10]),
        ],
    )
    def test_a_decision_is_filled_by_the_rule(self, fill, equity):
        result = account([1, 1, 1], history([10, 12, 18], [9, 11, 15]), fill)
        np.testing.assert_allclose(result.equity, equity, rtol=1e-15)

    def test_a_short_gains_what_the_price_loses(self):
        result = account([-1, -1, 0, 0], history([10, 10, 8, 8]), "next_close")
        np.testing.assert_allclose(result.equity, [1, 1, 1.2, 1.2], rtol=1e-15)
        assert result.position.tolist() == [0, -1, -1, 0]
        trade = result.trades[0]
        np.testing.assert_allclose(trade, [1, 3, -1, 10, 8, 0.2, 0, 0], rtol=1e-15, atol=1e-15)

    def test_a_fee_is_paid_on_entry_and_on_exit(self):
        # 100 bps: with equity 1 a notional N and its fee N/100 are bought, N = 1/1.01; sold at the same price.
        result = account([1, 0, 0], history([10, 10, 10]), "next_close", 100.0)
        entered = 1 / 1.01
        np.testing.assert_allclose(result.equity, [1, entered, entered * 0.99], rtol=1e-15)
        assert result.fees == pytest.approx(entered * 0.02, rel=1e-15)
        assert result.traded == pytest.approx(2 * entered, rel=1e-15)
        assert result.trades[0, 5] == pytest.approx(entered * 0.99 - 1, rel=1e-14)

    def test_a_flip_trades_twice_the_notional(self):
        result = account([1, -1, -1], history([10, 10, 10]), "next_close")
        assert result.traded == 3.0
        assert result.trades[:, 2].tolist() == [1, -1]
        assert result.trades[:, 1].tolist() == [2, -1]

    def test_holding_costs_nothing(self):
        result = account([1, 1, 1, 1], history([10, 11, 12, 13]), "next_close", 100.0)
        assert result.fees == pytest.approx(0.01 / 1.01)

    def test_the_last_decision_is_not_filled(self):
        result = account([0, 0, 1], history([10, 20, 40]))
        assert result.equity.tolist() == [1, 1, 1]

    def test_a_short_that_is_wiped_out_is_liquidated(self):
        result = account([-1, -1, 1, 1, 1], history([10, 10, 25, 30, 60]), "next_close")
        assert result.equity.tolist() == [1, 1, 0, 0, 0]
        assert result.liquidated_at == 2
        assert result.trades[0, :3].tolist() == [1, 2, -1]
        assert result.trades[0, 5] == -1.0
        assert len(result.trades) == 1

    def test_a_wipe_out_between_close_and_fill_ends_trading_too(self):
        result = account([-1, 1, 1, 1], history([10, 10, 30, 30], [10, 10, 25, 30]))
        assert result.equity[2:].tolist() == [0, 0]
        assert result.liquidated_at == 2


class TestKpis:
    def test_drawdown_counts_from_the_initial_equity(self):
        assert kpis.max_drawdown(np.array([0.5, 0.6])) == -0.5
        assert kpis.max_drawdown(np.array([1.1, 1.2])) == 0.0
        assert kpis.max_drawdown(np.array([2.0, 1.0, 3.0, 1.5])) == -0.5

    def test_returns_begin_with_the_first_bar_and_end_with_the_last_penny(self):
        assert kpis.bar_returns(np.array([0.5, 1.0, 0.0, 0.0])).tolist() == [-0.5, 1.0, -1.0]

    def test_sharpe_ratio_by_hand(self):
        # mean 0.1, sample deviation sqrt(((0.1)² + (0.1)²) / 1) = sqrt(0.02)
        assert kpis.sharpe_ratio(np.array([0.0, 0.2])) == pytest.approx(0.1 / 0.02**0.5)
        assert np.isnan(kpis.sharpe_ratio(np.array([0.01, 0.01, 0.01])))
        assert np.isnan(kpis.sharpe_ratio(np.array([0.01])))
        assert np.isnan(kpis.sharpe_ratio(np.array([0.0, 0.0])))

    def test_periods_per_year_from_the_timestamps(self):
        assert kpis.periods_per_year(np.arange(366) * DAY) == 365.0
        assert np.isnan(kpis.periods_per_year(None))

    def test_action_precision_and_recall_by_hand(self):
        close = np.array([10.0, 11.0, 10.0, 10.0, 12.0])  # moves +, −, 0, +
        scores = kpis.action_kpis(np.array([1, 1, 2, 0, 2]), close)  # right, wrong, wrong (no move), hold, too late
        assert scores == {"action_precision": 1 / 3, "action_recall": 1 / 3}
        nothing = kpis.action_kpis(np.array([0, 0]), np.array([5.0, 5.0]))
        assert np.isnan(nothing["action_precision"])
        assert np.isnan(nothing["action_recall"])

    def test_an_open_trade_neither_wins_nor_loses(self):
        result = account([1, 0, 1, 1], history([10, 10, 12, 12]), "next_close")
        scores = kpis.trade_kpis(result.trades)
        assert scores == {"trades": 1, "open_trades": 1, "win_rate": 1.0}
        assert np.isnan(kpis.trade_kpis(np.empty((0, 7)))["win_rate"])


def test_a_result_says_what_it_assumed_and_null_where_nothing_is_defined(policy):
    bars = history([10.0] * 40, [10.0] * 40, [5.0] * 40)
    result = backtest(policy, bars, fill="next_close", fee_bps=0.0).to_dict()
    assert result["assumptions"] == {
        "fill": "next_close",
        "fee_bps": 0.0,
        "slippage_bps": 0.0,
        "long_only": False,
        "initial_position": 0,
        "size": 1.0,
        "cash_rate": 0.0,
        "borrow_bps": 0.0,
        "funding": None,
        "risk_free": 0.0,
        "bars": 40,
        "first_time": None,
        "last_time": None,
        "in_sample": None,  # the policy knows times, this history has none
        "periods_per_year": None,
        "dropped_rows": 0,
    }
    assert result["kpis"]["total_return"] == 0.0
    assert result["kpis"]["sharpe_per_bar"] is None
    assert result["kpis"]["sharpe_annualised"] is None
    assert result["buy_and_hold"]["total_return"] == 0.0


def test_buy_and_hold_is_the_price_after_one_fee():
    bars = history([10.0, 11.0, 13.0], [9.0, 10.5, 12.0])
    policy = create_trainer(
        TrainingConfig.from_dict({"episodes": 1, "episode_length": 10, "environment": {"kind": "history"}}),
        history=random_walk(50),
    ).run()[0]
    with pytest.raises(ArtifactError, match="reads the column 'volume', which this history does not have"):
        backtest(policy, bars)
    bars = history([10.0, 11.0, 13.0], [9.0, 10.5, 12.0], [1.0, 2.0, 3.0])
    held = backtest(policy, bars, fee_bps=10.0).buy_and_hold
    assert held["total_return"] == pytest.approx(13 / 10.5 / 1.001 - 1, rel=1e-13)


def test_bars_of_the_training_range_are_called_in_sample():
    settings = TrainingConfig.from_dict({"episodes": 2, "environment": {"kind": "history"}})
    bars = random_walk(300)
    policy, _ = create_trainer(settings, history=bars.slice(0, 200)).run()
    assert backtest(policy, bars).assumptions["in_sample"]
    assert not backtest(policy, bars.slice(200, 300)).assumptions["in_sample"]


def test_options_that_make_no_sense_are_refused(policy):
    bars = random_walk(50)
    with pytest.raises(InputError, match="fill is 'never'"):
        backtest(policy, bars, fill="never")
    for fee_bps in (-1.0, 10_000.0, float("nan")):
        with pytest.raises(InputError, match="fee_bps"):
            backtest(policy, bars, fee_bps=fee_bps)
    synthetic, _ = create_trainer(TrainingConfig(episodes=1)).run()
    with pytest.raises(ArtifactError, match="trained on the synthetic environment"):
        backtest(synthetic, bars)


def test_without_opens_the_fill_is_the_next_close():
    settings = TrainingConfig.from_dict({"episodes": 1, "episode_length": 5, "environment": {"kind": "history"}})
    bars = history(np.linspace(10, 20, 30))
    policy, _ = create_trainer(settings, history=bars).run()
    assert backtest(policy, bars).assumptions["fill"] == "next_close"


def test_calibration_is_mean_and_sample_deviation_of_log_returns():
    figures = calibrate(history([10.0, 20.0, 10.0]))
    assert figures["drift"] == pytest.approx(0.0, abs=1e-15)
    assert figures["vol"] == pytest.approx(2**0.5 * np.log(2.0))
