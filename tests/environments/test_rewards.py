"""Objectives: what moves are worth on bars, from training to backtests and replays, and what their optimum is."""

import json
import math

import numpy as np
import polars as pl
import pytest
from cli_helpers import bars, run, succeed
from numpy.testing import assert_allclose, assert_array_equal

import idi_fast as idi
from idi_fast.environments.history_bars import HistoryBars
from idi_fast.environments.rewards import RewardRule

OBJECTIVES = ["volatility_units", "simple", "log", "mean_variance", "downside"]


def config(objective: str, **rewards) -> idi.TrainingConfig:
    return idi.TrainingConfig.from_dict(
        {
            "episodes": 300,
            "episode_length": 16,
            "environment": {"kind": "history", "data": {"fill": "same_close"}, "market": {"fee_bps": 10.0}},
            "rewards": {"objective": objective, "scarcity_alignment": 0.0, "ethics_bonus": 0.0, **rewards},
        }
    )


def tape(settings: idi.TrainingConfig, frame: pl.DataFrame):
    encoded = HistoryBars(settings, idi.History.from_frame(frame))
    rows = np.empty((len(frame), 9))
    return encoded, RewardRule(settings, encoded.encoder).tape(encoded.bars, rows).reward_by_position


@pytest.mark.parametrize("objective", OBJECTIVES[1:])
def test_rewards_by_the_definition(objective):
    """From the closes alone: what each move earns as simple return, its worth, in typical volatilities."""
    settings, frame = config(objective, risk_aversion=4.0, turnover_penalty=0.125), bars(90)
    encoded, rewards = tape(settings, frame)
    unit = encoded.encoder.typical_volatility
    close = frame["close"].to_list()
    worth = {
        "simple": lambda r: r,
        "log": math.log1p,
        "mean_variance": lambda r: r - 2.0 * r * r,
        "downside": lambda r: r - 2.0 * min(r, 0.0) ** 2,
    }[objective]
    expected = np.zeros((len(close), 9))
    for t in range(1, len(close)):
        change = close[t] / close[t - 1] - 1.0
        for old in (-1, 0, 1):
            for new in (-1, 0, 1):
                # Filled at the last close, so that the new position earns all of the bar.
                earned = new * change - abs(new - old) * (0.001 + 0.125 * unit)
                expected[t, (old + 1) * 3 + new + 1] = worth(earned) / unit
    # log prices and back, and products in another order
    assert_allclose(rewards, expected, rtol=1e-9, atol=1e-9)


def test_the_default_objective_is_as_before():
    frame = bars(90)
    _, rewards = tape(config("volatility_units"), frame)
    _, penalised = tape(config("volatility_units", turnover_penalty=0.25), frame)
    traded = np.array([abs(new - old) for old in range(3) for new in range(3)])
    assert_array_equal(penalised[0], rewards[0])
    assert_allclose(penalised[1:], rewards[1:] - 0.25 * traded, rtol=0.0, atol=1e-12)


def test_what_each_objective_is_for():
    """Of two markets with the same mean return, one of which jumps: only who minds risk keeps out of that."""
    calm = np.full(400, 0.004)
    wild = np.where(np.arange(400) % 2, 0.3, -0.292)
    for returns, averse_stays_out in ((calm, False), (wild, True)):
        close = 100.0 * np.cumprod(1.0 + returns)
        for objective in OBJECTIVES[1:]:
            _, rewards = tape(config(objective, risk_aversion=3.0), pl.DataFrame({"close": close}))
            long = rewards[1:, 8].mean()  # held from long to long
            assert (long < 0.0) == (averse_stays_out and objective != "simple"), (objective, long)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_training_backtest_and_replay_use_it(objective, tmp_path):
    frame = bars(200)
    path, out = tmp_path / "bars.parquet", tmp_path / "agent"
    frame.write_parquet(path)
    chosen = [f"--set=rewards.{key}" for key in (f"objective={objective}", "risk_aversion=2", "turnover_penalty=0.1")]
    succeed("train", "--data", path, "--episodes", 100, "--episode-length", 16, *chosen, "--out", out)
    succeed("prove", out, "--prover", "replay")
    assert run("verify", out, "--require", "replay", "--data", path).status == 0
    test = idi.backtest(idi.Policy.load(out), bars(90, first=200))
    # The trace's rewards are those of the tape by the moves that it tells.
    policy = test.policy
    encoded = HistoryBars(policy.config, idi.History.from_frame(bars(90, first=200)), policy.encoder)
    rule = RewardRule(policy.config, policy.encoder)
    rows = rule.tape(encoded.bars, np.empty((90, 9))).reward_by_position
    held = np.concatenate([[0], test.trace.position]) + 1
    base = rows[np.arange(1, 90), held[:-2] * 3 + held[1:-1]]
    mood, moods = [], 0
    for earned in base:
        moods = min(policy.config.quantizer.mood_buckets - 1, max(0, moods + (earned > 0.5) - (earned < -0.2)))
        mood.append(moods)
    clarity = policy.config.rewards.communication_clarity
    assert_array_equal(test.trace.reward[:-1], base + clarity * np.array(mood))


def test_many_policies_with_an_objective_are_backtested_as_each_alone():
    history = idi.History.from_frame(bars(200))
    population = idi.train_population(config("log"), range(3), history=history, keep="all")
    together = idi.backtest(population, history)
    for seed, policy in population.policies.items():
        alone = idi.backtest(policy, history)
        row = together.table.filter(pl.col("seed") == str(seed)).row(0, named=True)
        assert row["total_return"] == alone.kpis["total_return"]
        assert row["mean_reward"] == alone.kpis["mean_reward"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rewards": {"objective": "log"}}, "the synthetic environment has rewards of its own"),
        (
            {"rewards": {"turnover_penalty": 1}, "environment": {"kind": "crypto"}, "engine": {"compat": "idi_iann"}},
            "compat 'idi_iann' has rewards of its own",
        ),
        ({"rewards": {"objective": "sharpe"}}, "rewards.objective is 'sharpe'"),
    ],
)
def test_refusals(values, words):
    with pytest.raises(idi.ConfigError, match=words):
        idi.TrainingConfig.from_dict(values)


def test_it_is_said_in_the_config(tmp_path):
    found = json.loads(succeed("train", "--env", "crypto", "--set", "rewards.objective=log", "--print-config").stdout)
    assert found["rewards"]["objective"] == "log"
