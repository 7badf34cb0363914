"""Sweeps: chosen on validation data only, reported on test data only, both equal to results computed by hand."""

import itertools
import json
import math
import statistics
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import polars as pl
import pytest
from config_trees import with_overrides
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from market_data import random_walk, signal_in_the_embargo
from numpy.testing import assert_array_equal
from test_deflated_sharpe import psr_by_definition
from test_trainer import config
from test_walk_forward import EMBARGO, SHORT, signal_setup

from idi_fast import TrainingConfig, create_trainer
from idi_fast.backtesting.backtest import backtest
from idi_fast.data.history import History
from idi_fast.data.timestamps import iso_time
from idi_fast.evaluation.baselines import evaluate
from idi_fast.evaluation.evaluator import Evaluator
from idi_fast.selection.criteria import EpisodeCriterion, HistoryCriterion
from idi_fast.selection.overfitting import Overfitting, probability_of_overfitting
from idi_fast.selection.sweep import sweep
from idi_fast.selection.sweep_result import luck, overfitted
from oracle import backtest as oracle

SEEDS = (3, 1)
GRID = {"learning_rate": [0.05, 0.4], "discount": [0.5, 0.9]}
TRAINED, VALIDATED, TESTED = (0, 176), (208, 288), (320, 400)  # of 400 bars, an embargo of 32 before the last two
PROFIT = {"scarcity_alignment": 0.0, "ethics_bonus": 0.0, "communication_clarity": 0.0}
BLIND = ("random", "hold", "buy", "sell")


def setup(**fields) -> TrainingConfig:
    """A config whose agents trade this way and that."""
    return config("history", **{"episodes": 100, "features": SHORT, "rewards": PROFIT, **fields})


def run(history: History, grid=GRID, **options):
    return sweep(setup(), grid, history, **{"seeds": SEEDS, **options})


def spliced(cut: int) -> History:
    """A random walk of 400 bars, from bar `cut` on another one."""
    one, other = random_walk(400), random_walk(400, seed=9)
    names = ("close", "open", "volume")
    return replace(
        one, **{name: np.concatenate([getattr(one, name)[:cut], getattr(other, name)[cut:]]) for name in names}
    )


def assert_same_policies(one, other) -> None:
    assert list(one.policies) == list(other.policies)
    for seed, policy in one.policies.items():
        assert_array_equal(policy.q, other.policies[seed].q)
        assert_array_equal(policy.comm_q, other.policies[seed].comm_q)
        assert policy.trained_on == other.policies[seed].trained_on


# --- on history


def equity_by_hand(policy, history: History, bars: tuple[int, int]) -> list[Fraction]:
    """The account's equity at each close, from flat, at the next open and 5 basis points a side."""
    first = iso_time(history.time[bars[0]])
    trace = backtest(policy, history.slice(bars[0] - EMBARGO, bars[1]), start=first).trace
    tested = history.slice(*bars)
    return oracle.account(trace.position, tested.open, tested.close, oracle.NEXT_OPEN, 5e-4).equity


def returns_by_hand(equity) -> list[float]:
    return [float(after / before) - 1.0 for before, after in pairwise([1, *equity])]


def sharpe_by_hand(equity) -> float:
    returns = returns_by_hand(equity)
    return statistics.fmean(returns) / statistics.stdev(returns) if any(returns) else 0.0


def book_by_hand(accounts) -> list:
    return [statistics.mean(of_bar) for of_bar in zip(*accounts, strict=True)]


def close_to(expected: float):
    return pytest.approx(expected, rel=1e-9, abs=1e-12)  # worked out in fractions, or summed in another order


def test_a_sweep_is_trainings_and_backtests_by_hand():
    history = random_walk(400)
    result, scores, trained = run(history), [], []
    for row, (rate, discount) in zip(result.points.rows(named=True), itertools.product(*GRID.values()), strict=True):
        made = setup(learning_rate=rate, discount=discount)
        policies = [create_trainer(made, seed, history.slice(*TRAINED)).run()[0] for seed in SEEDS]
        accounts = [equity_by_hand(policy, history, VALIDATED) for policy in policies]
        sharpes = [sharpe_by_hand(account) for account in accounts]
        scores.append(sharpe_by_hand(book_by_hand(accounts)))
        trained.append((made, policies, accounts))
        assert (row["point"], row["learning_rate"], row["discount"]) == (len(trained) - 1, rate, discount)
        assert row["score"] == close_to(scores[-1])
        assert (row["min_seed"], row["max_seed"]) == (close_to(min(sharpes)), close_to(max(sharpes)))
        trials = result.trials.filter(pl.col("point") == row["point"])
        assert trials["seed"].to_list() == ["3", "1"]
        assert trials["score"].to_list() == [close_to(sharpe) for sharpe in sharpes]
        assert trials.select(*GRID).unique().rows() == [(rate, discount)]
    assert len(set(scores)) == 4
    assert result.chosen == int(np.argmax(scores))
    made, policies, accounts = trained[result.chosen]
    assert result.config == made
    assert list(result.policies) == list(SEEDS)
    for seed, policy in zip(SEEDS, policies, strict=True):
        assert_array_equal(result.policies[seed].q, policy.q)
        assert_array_equal(result.policies[seed].comm_q, policy.comm_q)
    chosen, told = book_by_hand(accounts), result.summary["validation"]
    assert told["score"] == told["sharpe"] == close_to(scores[result.chosen])
    earned = np.array([returns_by_hand(book_by_hand(accounts)) for _, _, accounts in trained])
    apart = (earned - earned.mean(axis=1, keepdims=True)) / earned.std(axis=1, keepdims=True)
    values = np.linalg.eigvalsh(np.cov(apart.T, bias=True))
    n = 1 + values.sum() ** 2 / (values**2).sum()
    assert told["effective_trials"] == close_to(n)
    assert 1.0 < n < 4.0
    luck = statistics.stdev(scores) * (
        (1 - np.euler_gamma) * NormalDist().inv_cdf(1 - 1 / n)
        + np.euler_gamma * NormalDist().inv_cdf(1 - 1 / (n * math.e))
    )
    found = probability_of_overfitting(earned)  # tested by its definition
    for name, value in zip(("probability_of_overfitting", *found._fields[1:]), found, strict=True):
        assert told[name] == close_to(value)
    assert told["expected_best_sharpe"] == close_to(luck)
    assert told["deflated_sharpe_ratio"] == close_to(psr_by_definition(returns_by_hand(chosen), luck))
    tested = [equity_by_hand(policy, history, TESTED) for policy in policies]
    report = result.summary["test"]
    for seed, account in zip(SEEDS, tested, strict=True):
        assert report["by_seed"][str(seed)]["total_return"] == close_to(float(account[-1]) - 1)
    book = book_by_hand(tested)
    returns = [report["by_seed"][str(seed)]["total_return"] for seed in SEEDS]
    assert report["book"]["total_return"] == close_to(statistics.fmean(returns))
    assert report["book"]["sharpe_per_bar"] == close_to(sharpe_by_hand(book))
    assert report["book"]["probabilistic_sharpe_ratio"] == close_to(psr_by_definition(returns_by_hand(book), 0.0))
    held = (1 - 5e-4 / (1 + 5e-4)) * history.close[399] / history.open[321]  # bought at the second bar's open
    assert report["buy_and_hold"]["total_return"] == close_to(held - 1)


def test_what_is_assumed_is_told():
    assumed = run(random_walk(400), fill="next-close", fee_bps=2.0).summary["assumptions"]
    assert assumed == {
        "grid": GRID,
        "points": 4,
        "seeds": [3, 1],
        "trials": 8,
        "bars": 400,
        "training": list(TRAINED),
        "validation": list(VALIDATED),
        "test": list(TESTED),
        "embargo": EMBARGO,
        "fill": "next_close",
        "fee_bps": 2.0,
        "size": 1.0,
        "cash_rate": 0.0,
        "borrow_bps": 0.0,
        "funding": None,
        "risk_free": 0.0,
    }


def test_the_embargo_is_the_longest_window_of_any_config():
    for key, embargo in (("features.scarcity.window", 90), ("features.price.window", 90), ("discount", EMBARGO)):
        grid = {key: [0.5, 0.9] if key == "discount" else [8, 90], "quantizer.price_buckets": [1, 2]}
        assumed = run(random_walk(600), grid, validation_bars=50, test_bars=70).summary["assumptions"]
        assert assumed["embargo"] == embargo
        assert assumed["test"] == [530, 600]
        assert assumed["validation"] == [480 - embargo, 530 - embargo]
        assert assumed["training"] == [0, 480 - 2 * embargo]


@settings(max_examples=examples(6))
@given(st.integers(VALIDATED[1], 399))
def test_bars_after_the_validation_have_no_part_in_the_choice(cut):
    one, two = run(random_walk(400)), run(spliced(cut))
    assert one.summary["chosen"] == two.summary["chosen"]
    assert one.summary["validation"] == two.summary["validation"]
    assert one.points.equals(two.points)
    assert one.trials.equals(two.trials)
    assert_same_policies(one, two)


@settings(max_examples=examples(6))
@given(st.integers(TRAINED[1], 399))
def test_bars_after_the_training_have_no_part_in_it(cut):
    grid = {"learning_rate": [0.4]}
    assert_same_policies(run(random_walk(400), grid), run(spliced(cut), grid))


def test_a_test_on_other_bars_is_another():
    assert run(random_walk(400)).summary["test"] != run(spliced(TESTED[0])).summary["test"]


@pytest.mark.parametrize("kind", ["history", "crypto"])
def test_the_number_of_threads_changes_nothing(kind):
    options = {"history": random_walk(400)} if kind == "history" else {"evaluation_episodes": 20}
    made = setup() if kind == "history" else config("crypto")
    one, more = (sweep(made, GRID, seeds=SEEDS, jobs=jobs, **options) for jobs in (1, 3))
    assert one.summary == more.summary
    assert one.points.equals(more.points)
    assert one.trials.equals(more.trials)
    assert_same_policies(one, more)


def test_who_never_trades_earns_nothing_and_is_not_called_lucky():
    result = run(random_walk(400), {"episodes": [0], **GRID})
    assert result.points["score"].to_list() == [0.0] * 4
    assert result.chosen == 0  # the first of equals
    assert result.summary["validation"]["deflated_sharpe_ratio"] is None
    assert result.summary["validation"]["effective_trials"] == 1.0
    assert result.summary["test"]["book"]["sharpe_interval"] == [None, None]
    assert result.summary["verdict"] == (
        "the chosen config never traded on validation data; "
        "on test data better than buy and hold (0% against −3.19%); nothing was earned or lost"
    )


def test_capital_is_not_moved_between_the_seeds_accounts():
    # Both lose half and double it again in turns: rebalanced at each bar, there would be a profit of a quarter each.
    accounts = [np.array([0.5, 1.0, 0.5, 1.0]), np.array([1.0, 0.5, 1.0, 0.5])]
    assert HistoryCriterion.pool(accounts).tolist() == [-0.25, 0.0, 0.0, 0.0]
    assert HistoryCriterion.pool(accounts[:1]).tolist() == [-0.5, 1.0, -0.5, 1.0]


def test_a_liquidated_account_earns_nothing_more():
    ruined, other = np.array([1.25, 0.0, 0.0, 0.0]), np.array([0.75, 0.5, 1.0, 1.5])
    assert HistoryCriterion.pool([ruined]).tolist() == [0.25, -1.0, 0.0, 0.0]
    assert HistoryCriterion.pool([ruined, other]).tolist() == [0.0, -0.75, 1.0, 0.5]
    assert HistoryCriterion.pool([ruined, ruined]).tolist() == [0.25, -1.0, 0.0, 0.0]


def test_a_signal_in_the_embargo_is_not_acted_on():
    history = signal_in_the_embargo(400, embargo=EMBARGO, stretches=[60, 60])
    result = sweep(
        signal_setup(), {"learning_rate": [0.1, 0.2]}, history, seeds=(0, 1), validation_bars=60, test_bars=60
    )
    assert result.trials["score"].to_list() == [0.0] * 4
    assert result.summary["validation"]["deflated_sharpe_ratio"] is None
    test, first = result.summary["test"], iso_time(history.time[-60])
    assert test["book"]["total_return"] == 0.0
    assert test["buy_and_hold"]["total_return"] > 0.5
    for seed, policy in result.policies.items():
        told = test["by_seed"][str(seed)]
        assert [told[name] for name in ("total_return", "trades", "open_trades", "turnover")] == [0.0, 0, 0, 0.0]
        assert backtest(policy, history, start=first).kpis["total_return"] == 0.0
    history.extra["signal"][-60] = 1.0  # the first bar of the test
    bought = sweep(signal_setup(), {"learning_rate": [0.1]}, history, validation_bars=60, test_bars=60)
    assert bought.summary["test"]["by_seed"]["0"]["open_trades"] == 1


@pytest.mark.parametrize(
    ("earned", "interval", "verdict"),
    [
        (0.5, (0.1, 0.2), "better than buy and hold (+50.0% against +20.1%); a profit beyond chance"),
        (0.12, (-0.1, 0.2), "worse than buy and hold (+12.0% against +20.1%); a profit not beyond chance"),
        (-0.253, (-0.2, -0.1), "worse than buy and hold (−25.3% against +20.1%); a loss beyond chance"),
        (-0.253, (-0.2, 0.1), "worse than buy and hold (−25.3% against +20.1%); a loss not beyond chance"),
        (0.0, (math.nan,) * 2, "worse than buy and hold (0% against +20.1%); nothing was earned or lost"),
        (0.201, (-0.2, 0.1), "the same as buy and hold (+20.1%); a profit not beyond chance"),
    ],
)
def test_what_a_test_came_to_in_words(earned, interval, verdict):
    told = {"book": {"total_return": earned, "sharpe_interval": interval}, "buy_and_hold": {"total_return": 0.201}}
    assert HistoryCriterion.verdict(told) == f"on test data {verdict}"


def test_what_a_test_on_simulated_markets_came_to_in_words():
    def report(mean: float, hold: float, learnt: bool) -> dict:
        return {"mean": mean, "baselines": {"hold": {"mean": hold}, "buy": {"mean": 80.0}}, "has_learnt": learnt}

    reports = {"0": report(79.4, 85.8, False), "1": report(79.0, 85.6, True)}
    assert EpisodeCriterion.verdict({"by_seed": reports}) == (
        "on test data worse than 'hold' (79.2 against 85.7, medians of 2 seeds); "
        "better than every baseline beyond chance for 1 of 2 seeds"
    )
    assert EpisodeCriterion.verdict({"by_seed": {"1": report(90.0, 85.6, True)}}) == (
        "on test data better than 'hold' (90.0 against 85.6); better than every baseline beyond chance"
    )


def test_few_bars_to_judge_by_are_pointed_out():
    said = "fewer than the 32 that the longest feature looks back over: it says little"
    for options, notes in (
        ({"validation_bars": 32, "test_bars": 32}, []),
        ({"validation_bars": 31}, [f"the validation has 31 bars, {said}"]),
        ({"test_bars": 2}, [f"the test has 2 bars, {said}"]),
    ):
        assert run(random_walk(400), {"discount": [0.5]}, **options).summary["notes"] == notes


def test_what_is_luck_in_words():
    more = "on validation data more than the luck of the best of 9 (deflated Sharpe ratio 0.950)"
    assert luck(0.95, 9, 0.1) == more
    assert luck(0.99, 9, 0.0) == (
        "on validation data all 9 configs earn alike, so that there is nothing to choose; "
        "their Sharpe ratio is above 0 beyond chance (probability 0.990)"
    )
    assert luck(0.94, 1, 0.0) == (
        "on validation data the only config's Sharpe ratio is not above 0 beyond chance (probability 0.940)"
    )
    half = "what is best on one half of it {} the other (probability of overfitting {})"
    assert overfitted(Overfitting(0.5, 0.0, 0.5, 12_870)) == half.format("says nothing of", "0.50")
    assert overfitted(Overfitting(0.04, 0.0, 0.9, 12_870)) == half.format("carries over to", "0.04")


def test_configs_that_do_the_same_are_no_trials():
    """The market rises, all of them hold it, and nothing was found."""
    rng = np.random.default_rng(4)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.004, 0.01, 400)))
    plans = {"learning": {"algorithm": "value_iteration"}}
    result = sweep(
        {**plans, "environment": {"kind": "history"}, "rewards": PROFIT},
        {"learning.tolerance": [1e-10, 1e-9, 1e-8]},
        History.from_arrays(close),
        seeds=[0],
    )
    validation = result.summary["validation"]
    assert validation["effective_trials"] == 1.0
    assert validation["expected_best_sharpe"] == 0.0
    assert validation["deflated_sharpe_ratio"] > 0.95
    assert validation["probability_of_overfitting"] is None
    assert "all 3 configs earn alike, so that there is nothing to choose" in result.summary["verdict"]
    assert "luck" not in result.summary["verdict"]


def test_configs_may_read_different_columns(tmp_path):
    bars = random_walk(400)
    frame = pl.DataFrame({"close": bars.close, "signal": np.sin(np.arange(400)), "noise": bars.volume})
    frame.write_parquet(tmp_path / "bars.parquet")
    made = setup(environment={"kind": "history", "data": {"path": str(tmp_path / "bars.parquet")}})
    features = [{"column": name, "transform": "zscore", "window": 8} for name in ("signal", "noise")]
    together = sweep(made, {"features.price": features}).points
    assert together["features.price"].to_list() == [json.dumps(feature) for feature in features]
    alone = [sweep(made, {"features.price": [feature]}).points["score"][0] for feature in features]
    assert together["score"].to_list() == alone
    assert len(set(alone)) == 2


def test_progress_counts_the_runs():
    seen = []
    run(random_walk(400), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 8) for done in range(1, 9)]


# --- on simulated markets


@pytest.mark.parametrize(
    "grid",
    [{"learning_rate": [0.05, 0.4], "exploration_decay": [0.9]}, {"environment.observe_regime": [False, True]}],
    ids=["learning_rate", "observe_regime"],
)
def test_simulated_markets_by_hand(grid):
    made = config("crypto", episodes=200, rewards=PROFIT)  # of which the regime rule earns most
    result = sweep(made, grid, seeds=(5, 2), evaluation_episodes=40)
    assumed = result.summary["assumptions"]
    assert {name: assumed[name] for name in ("evaluation_episodes", "validation_seed", "test_seed")} == {
        "evaluation_episodes": 40,
        "validation_seed": 6,
        "test_seed": 7,
    }
    scores, earned = [], []
    for row, values in zip(result.points.rows(named=True), itertools.product(*grid.values()), strict=True):
        point = with_overrides(made, [f"{k}={json.dumps(v)}" for k, v in zip(grid, values, strict=True)])
        policies = [create_trainer(point, seed).run()[0] for seed in (5, 2)]
        above = []
        for policy in policies:
            blind = {name: evaluate(policy, episodes=40, seed=6).baselines[name] for name in BLIND}
            above.append(max(blind.values(), key=lambda other: other.evaluation.mean).difference.mean)
        assert (row["min_seed"], row["max_seed"]) == (close_to(min(above)), close_to(max(above)))
        assert row["score"] == close_to(statistics.fmean(above))
        scores.append(row["score"])
        evaluator = Evaluator(point, 6, episodes=40)
        earned.append(np.mean([evaluator.rewards(policy) for policy in policies]))
        if row["point"] == result.chosen:
            reports = {str(policy.seed): evaluate(policy, episodes=40, seed=7).to_dict() for policy in policies}
            assert result.summary["test"] == {"by_seed": reports}
    # Whatever its agent sees, a config is measured against the same: who earns more scores more.
    assert scores[1] - scores[0] == close_to(earned[1] - earned[0])
    assert result.chosen == int(np.argmax(earned))


def test_who_does_what_a_baseline_does_is_not_called_lucky():
    result = sweep(config("crypto", episodes=0), {"discount": [0.5, 0.9]}, evaluation_episodes=20)
    assert result.summary["validation"]["deflated_sharpe_ratio"] is None
    assert result.summary["verdict"].startswith(
        "on validation data the chosen config does what the best baseline does; "
    )
