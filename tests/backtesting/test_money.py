"""Size, interest, borrowing, funding and the risk-free rate: accounts by definition, KPIs, and where they come from."""

import json
import warnings
from fractions import Fraction
from itertools import pairwise

import cli_helpers as cli
import empyrical
import numpy as np
import pytest
from backtesting import Backtest, Strategy
from backtesting import test as peer_data
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import idi_fast as idi
from idi_fast.backtesting import kpis
from idi_fast.backtesting.account import FILLS, AccountSimulator, TradingAssumptions, keep_account
from idi_fast.backtesting.kpi_accumulator import KpiAccumulator
from idi_fast.backtesting.lookahead import check_lookahead
from idi_fast.backtesting.risk_free import RiskFree
from idi_fast.data.bar_frequency import BarFrequency
from idi_fast.environments.environment import make_environment
from idi_fast.environments.history_bars import HistoryBars
from idi_fast.environments.rewards import RewardRule
from idi_fast.environments.rng import make_generators
from idi_fast.errors import ConfigError, DataError, InputError
from idi_fast.kernels.learn import Tape
from oracle import backtest as oracle

HOUR, YEAR = 3_600 * 10**9, 365 * 24 * 3_600 * 10**9
COSTS = {"cash_rate": 0.05, "borrow_bps": 300.0, "funding": "rate"}


def bars(n: int, seed: int = 0) -> idi.History:
    """Hourly bars with gaps between some, funding rates, and risk-free rates a year."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(rng.normal(0.0, 0.01, n).cumsum())
    time = rng.choice([HOUR, HOUR, 60 * HOUR], n).cumsum()
    return idi.History.from_arrays(
        close,
        open=close * np.exp(rng.normal(0.0, 0.003, n)),
        time=time.view("datetime64[ns]"),
        rate=rng.normal(0.0, 1e-4, n),
        bill=0.04 + rng.normal(0.0, 0.001, n),
    )


def targets(n: int, seed: int = 0) -> np.ndarray:
    return np.repeat(np.random.default_rng(seed).integers(-1, 2, n), 7)[:n].astype(np.int8)


@settings(max_examples=examples(20))
@given(
    st.sampled_from(list(FILLS)),
    st.sampled_from([0.0, 10.0]),
    st.sampled_from([1.0, 0.4]),
    st.sampled_from([0.0, 0.05, -0.01]),
    st.sampled_from([0.0, 300.0]),
    st.sampled_from([None, "rate"]),
    st.integers(0, 9),
    st.lists(st.integers(1, 119), max_size=3),
)
def test_an_account_of_cash_and_shares(fill, fee_bps, size, cash_rate, borrow_bps, funding, seed, cuts):
    history, target = bars(120, seed), targets(120, seed)
    terms = {"size": size, "cash_rate": cash_rate, "borrow_bps": borrow_bps, "funding": funding}
    assumed = TradingAssumptions(fill, fee_bps, 2.0, **terms)
    made = keep_account(target, history, assumed)
    years = [Fraction(0), *(Fraction(int(after - before), YEAR) for before, after in pairwise(history.time))]
    rates = [Fraction(cash_rate) * share for share in years], [Fraction(borrow_bps) / 10_000 * share for share in years]
    paid = history.extra["rate"] if funding else np.zeros(120)
    how = list(FILLS).index(fill), fee_bps / 1e4, 2.0 / 1e4
    plain = oracle.account(target, history.open, history.close, *how, size=size, financing=[*rates, paid])
    assert_allclose(made.equity, [float(value) for value in plain.equity], rtol=1e-12)
    for name in ("interest", "borrow", "funding", "fees"):
        assert getattr(made, name) == pytest.approx(float(getattr(plain, name)), rel=1e-12, abs=1e-15)
    keeper = AccountSimulator(assumed)
    pieces = [slice(*pair) for pair in pairwise([0, *sorted(set(cuts)), 120])]
    parts = [keeper.push(target[piece], history.slice(piece.start, piece.stop)) for piece in pieces]
    for k, values in enumerate((made.equity, made.position)):
        assert_array_equal(np.concatenate([part[k] for part in parts]), values)


@pytest.mark.parametrize("fee_bps", [0.0, 10.0])
def test_size_is_that_of_backtesting(fee_bps):
    """`backtesting` spends a share of the equity, fee included, and leaves the rest idle."""
    data = peer_data.GOOG.iloc[:600].astype({"Open": float})
    target = targets(600)
    target[:2] = target[-2:] = 0
    target[1:][target[1:] * target[:-1] < 0] = 0  # there a flip is sized by what is free before the sale

    class Follow(Strategy):
        def init(self):
            pass

        def next(self):
            wanted, held = int(target[len(self.data) - 1]), int(np.sign(self.position.size))
            if wanted != held:
                if held:
                    self.position.close()
                if wanted:
                    (self.buy if wanted > 0 else self.sell)(size=0.5)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas' own, of what the library uses
        peer = Backtest(data, Follow, cash=1e15, commission=fee_bps / 1e4).run()
    history = idi.History.from_arrays(data.Close.to_numpy(float), open=data.Open.to_numpy(float))
    made = keep_account(target, history, TradingAssumptions("next_open", fee_bps, size=0.5))
    assert len(made.trades) > 20
    assert_allclose(peer._equity_curve.Equity / 1e15, made.equity, rtol=1e-9)


class TestRiskFree:
    def test_a_rate_is_earned_by_the_time_between_bars(self):
        history = bars(50)
        years = np.diff(history.time, prepend=history.time[0]) / YEAR
        assert_array_equal(RiskFree(0.04).push(history), 0.04 * years)
        assert RiskFree(0.0).push(history) is None
        known = np.concatenate([[0.0], history.extra["bill"][:-1]])
        whole = RiskFree("bill").push(history)
        assert_array_equal(whole, years * known)
        by_column = RiskFree("bill")
        parts = [by_column.push(history.slice(*pair)) for pair in pairwise([0, 1, 20, 50])]
        assert_array_equal(np.concatenate(parts), whole)

    def test_kpis_are_those_of_empyrical(self):
        rng, n, riskless = np.random.default_rng(3), 9_000, 1e-4
        equity, held = (np.cumprod(1.0 + rng.normal(3e-4, 0.01, n)) for _ in range(2))
        returns, market = kpis.bar_returns(equity), kpis.bar_returns(held)

        def figures(cuts: list[int]) -> dict:
            accumulator = KpiAccumulator(n)
            for first, stop in pairwise([0, *cuts, n]):
                part, size = slice(first, stop), stop - first
                accumulator.push(equity[part], np.ones(size, np.int8), held[part], np.full(size, riskless))
            return accumulator.result(BarFrequency(252.0, None, n / 252, None)).kpis

        made = figures([])
        assert figures([1, 4_096, 5_000]) == made
        close = {"rel": 1e-9}
        assert made["sharpe_annualised"] == pytest.approx(empyrical.sharpe_ratio(returns, riskless), **close)
        assert made["sortino_annualised"] == pytest.approx(empyrical.sortino_ratio(returns, riskless), **close)
        alpha, beta = empyrical.alpha_beta(returns, market, riskless)
        assert made["beta"] == pytest.approx(beta, **close)
        assert made["alpha_annualised"] == pytest.approx(alpha, **close)
        changing = rng.normal(1e-4, 1e-4, n)
        accumulator = KpiAccumulator(n)
        accumulator.push(equity, np.ones(n, np.int8), held, changing)
        sharpe = accumulator.result(BarFrequency(252.0, None, n / 252, None)).kpis["sharpe_per_bar"]
        assert sharpe == pytest.approx(np.mean(returns - changing) / np.std(returns - changing, ddof=1), **close)

    def test_cash_at_the_risk_free_rate_has_no_sharpe_ratio(self):
        history = bars(400)
        cash = keep_account(np.zeros(400, np.int8), history, TradingAssumptions("next_open", 0.0, cash_rate=0.04))
        accumulator = KpiAccumulator(400)
        accumulator.push(cash.equity, cash.position, cash.equity, RiskFree(0.04).push(history))
        result = accumulator.result(BarFrequency(252.0, None, 1.0, None))
        assert result.undefined["sharpe_per_bar"] == "all returns are equal"
        assert cash.equity[-1] > 1.0


def config(fill: str = "next_open", **market: float) -> idi.TrainingConfig:
    data = {"fill": fill, "funding": "rate" if market else None}
    environment = {"kind": "history", "market": {"fee_bps": 2.0, **market}, "data": data}
    rewards = {"ethics_bonus": 0.0, "scarcity_alignment": 0.0, "pnl": 1.0}
    return idi.TrainingConfig.from_dict(
        {"episodes": 8, "episode_length": 16, "environment": environment, "rewards": rewards}
    )


@pytest.mark.parametrize("fill", list(FILLS))
def test_rewards_pay_what_the_account_pays(fill):
    history = bars(200, 4)
    free, charged = config(fill), config(fill, borrow_bps=300.0, cash_rate=0.05)
    plain = HistoryBars(free, history).bars
    encoded = HistoryBars(charged, history)
    made, rule = encoded.bars, RewardRule(charged, encoded.encoder)
    rows = [rule.tape(each, np.empty((200, 9))).reward_by_position for each in (plain, made)]
    years = np.diff(history.time, prepend=history.time[0]) / YEAR
    rate = history.extra["rate"]
    pays = np.stack([0.05 * years - rate + 0.03 * years, np.zeros(200), 0.05 * years + rate], axis=1)
    per_volatility = plain.cost / 2e-4
    paid = pays * per_volatility[:, np.newaxis]
    # The position held at the last close: the new one if it was filled there, else the old one.
    by_pair = np.tile(paid, 3) if fill == "same_close" else np.repeat(paid, 3, axis=1)
    assert_allclose(rows[0] - rows[1], by_pair, atol=1e-12)
    assert np.abs(by_pair).max() > 1e-3
    chosen = np.array([7, 3, 199, 0])
    tape = Tape(np.empty((4, 9)), np.empty(4, np.int32), np.empty(4, np.uint8))
    rule.chosen(made, chosen, tape)
    assert_array_equal(tape.reward_by_position, rows[1][chosen])
    # A rollout sees the same rewards, whichever kernel follows it.
    environment = make_environment(charged, make_generators(charged.engine, 0), HistoryBars(charged, history))
    assert_array_equal(environment.facts(17)[0].reward_by_position, rows[1][-17:])


def test_a_backtest_takes_the_costs_of_the_training_and_finds_no_look_ahead():
    history = bars(300, 5)
    policy = idi.train(config(borrow_bps=300.0, cash_rate=0.05), history, seed=1).policy
    own = idi.backtest(policy, history)
    assert {name: own.assumptions[name] for name in COSTS} == COSTS
    assert own.kpis["interest_earned"] > 0.0
    assert idi.backtest(policy, history.to_frame()).kpis == own.kpis
    dearer = idi.backtest(policy, history, borrow_bps=3_000.0, cash_rate=0.0, funding="bill", risk_free="bill")
    assert dearer.kpis["interest_earned"] == 0.0
    assert dearer.assumptions["funding"] == dearer.assumptions["risk_free"] == "bill"
    for n in (50, 111):
        part = idi.backtest(policy, history.slice(0, n))
        assert_array_equal(part.account.equity, own.account.equity[:n])
        assert_array_equal(part.trace.action, own.trace.action[:n])
    assert check_lookahead(policy, history) is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 0.0}, "size is 0.0; expected a share above 0, up to 1"),
        ({"size": 1.5}, "size is 1.5"),
        ({"cash_rate": 4}, "cash_rate is 4; expected a rate a year between -1 and 1, as 0.04 for 4%"),
        ({"risk_free": 5.0}, "risk_free is 5.0; expected a rate"),
        ({"borrow_bps": -1.0}, "borrow_bps is -1.0; expected a number from 0"),
        ({"funding": "fund"}, "funding is the column 'fund', but the history has only"),
        ({"risk_free": "bills"}, "risk_free is the column 'bills', but the history has only"),
        ({"funding": 3}, "funding is 3; expected the name of a column"),
    ],
)
def test_what_an_account_refuses(options, words):
    history = bars(60)
    policy = idi.train({"episodes": 1, "episode_length": 16}, history, seed=0).policy
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        idi.backtest(policy, history, **options)


def test_rates_a_year_need_times_and_fundings_their_column():
    close = bars(60).close
    timeless = idi.History.from_arrays(close, open=close, rate=np.zeros(60))
    policy = idi.train({"episodes": 1, "episode_length": 16}, timeless, seed=0).policy
    for name in ("cash_rate", "borrow_bps", "risk_free"):
        with pytest.raises(InputError, match=f"{name} is 0.5, a rate a year, but the history has no times"):
            idi.backtest(policy, timeless, **{name: 0.5})
    idi.backtest(policy, timeless, funding="rate", size=0.5)  # a rate a bar
    with pytest.raises(DataError, match=r"market\.borrow_bps is 5\.0 a year, but the history has no times"):
        idi.train(config(borrow_bps=5.0), timeless)
    with pytest.raises(DataError, match="the rewards of this config pay the funding of column 'rate'"):
        idi.train(config(borrow_bps=5.0), idi.History.from_arrays(close, open=close))
    with pytest.raises(ConfigError, match=r"environment\.market\.cash_rate is 0\.1 a year, but bars of the crypto"):
        idi.TrainingConfig.from_dict({"environment": {"kind": "crypto", "market": {"cash_rate": 0.1}}})
    percents = bars(60)
    percents.extra["bill"][7] = 4.5
    policy = idi.train({"episodes": 1, "episode_length": 16}, percents, seed=0).policy
    with pytest.raises(InputError, match=r"the column .bill. of risk-free rates holds 4\.5"):
        idi.backtest(policy, percents, risk_free="bill")


def test_walk_forward_and_sweep_by_the_risk_free_rate():
    history, quick = bars(400, 6), {"episodes": 1, "episode_length": 16}
    terms = {**COSTS, "size": 0.5, "fee_bps": 0.0}
    bars_of = {"train_bars": 150, "test_bars": 60}
    walks = [idi.walk_forward(quick, history, risk_free=rate, **bars_of, **terms) for rate in (0.0, "bill")]
    assert {name: walks[1].assumptions[name] for name in COSTS} == COSTS
    assert_array_equal(walks[0].equity["equity"], walks[1].equity["equity"])
    frame = walks[1].equity
    riskless = RiskFree("bill").push(history.slice(int(frame["tick"][0]), int(frame["tick"][-1]) + 1))
    returns = kpis.bar_returns(frame["equity"].to_numpy()) - riskless
    assert walks[1].summary["by_seed"]["0"]["sharpe_per_bar"] == pytest.approx(kpis.sharpe_ratio(returns), rel=1e-9)
    swept = [idi.sweep(quick, {"discount": [0.5]}, history, risk_free=rate, **terms) for rate in (0.0, 0.04)]
    assert swept[1].summary["assumptions"]["risk_free"] == 0.04
    assert swept[0].summary["validation"]["score"] > swept[1].summary["validation"]["score"]


def test_commands(tmp_path):
    history = bars(300, 7)
    file, symbols = tmp_path / "bars.parquet", tmp_path / "symbols"
    history.to_frame().rename({"rate": "funding_rate"}).write_parquet(file)
    symbols.mkdir()
    for name in "ab":
        (symbols / f"{name}.parquet").write_bytes(file.read_bytes())
    costs = ("--borrow-bps", 300, "--cash-rate", 0.05, "--funding-col", "funding_rate")
    quick = ("--episodes", 2, "--episode-length", 16)
    cli.succeed("train", "--data", file, *quick, *costs, "--out", tmp_path / "agent")
    money = ("--size", 0.5, "--risk-free", "bill")
    agent = ("--policy", tmp_path / "agent")
    found = json.loads(cli.succeed("backtest", file, *agent, *money, "--json", "--out", tmp_path / "one").stdout)
    said = {"size": 0.5, "cash_rate": 0.05, "borrow_bps": 300.0, "funding": "funding_rate", "risk_free": "bill"}
    assert said.items() <= found["assumptions"].items()
    whole = idi.backtest(idi.Policy.load(tmp_path / "agent"), history_of(file), size=0.5, risk_free="bill")
    assert found["kpis"] == whole.to_dict()["kpis"]
    cli.succeed("report", tmp_path / "one")
    book = ("backtest", symbols, *agent, "--symbol-files", "--size", 0.5, "--risk-free", 0.04)
    cli.succeed(*book, "--out", tmp_path / "book")
    of_book = json.loads((tmp_path / "book" / "kpis.json").read_text())
    assert of_book["kpis"]["interest_earned"] == pytest.approx(found["kpis"]["interest_earned"], rel=1e-12)
    tests = ("--funding-col", "funding_rate", "--cash-rate", 0.05, *money, *quick)
    cli.succeed("walkforward", file, *tests, "--train-bars", 120, "--test-bars", 50, "--out", tmp_path / "walk")
    cli.succeed("sweep", file, *tests, "--grid", "discount=0.5,0.9", "--out", tmp_path / "sweep")
    for folder, file_name in (("walk", "walkforward.json"), ("sweep", "sweep.json"), ("sweep", "run.json")):
        assumed = json.loads((tmp_path / folder / file_name).read_text())["assumptions"]
        assert {**said, "borrow_bps": 0.0}.items() <= assumed.items()
    refused = cli.run("backtest", file, *agent, "--funding-col", "none_such", "--out", tmp_path / "no")
    assert refused.status == 2
    assert "none_such" in refused.stderr


def history_of(file) -> idi.History:
    return idi.load_history(file, extra=["funding_rate", "bill"])
