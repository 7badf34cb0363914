"""Training by value iteration, from the command line to a replay."""

import json

import cli_helpers as cli
import numpy as np
import polars as pl
import pytest
from market_data import random_walk
from numpy.testing import assert_array_equal
from report_runs import report_page

import idi_fast as idi
from idi_fast.environments.features import Encoder, empty_bars
from idi_fast.environments.rewards import RewardRule
from idi_fast.environments.state_space import StateSpace, make_rules
from idi_fast.errors import InputError
from idi_fast.planning import planner as planner_module
from idi_fast.planning.hierarchy import Hierarchy
from idi_fast.planning.shrinkage import choose_shrinkage
from idi_fast.training.checkpoint import Checkpoints

PLANS = {"environment": {"kind": "history"}, "learning": {"algorithm": "value_iteration"}}
RESAMPLED = {"environment": {"kind": "history"}, "learning": {"algorithm": "value_iteration", "bootstrap": 3}}
SIMULATED = {"environment": {"kind": "crypto"}, "learning": {"algorithm": "value_iteration", "bars": 600}}
PNL = RewardRule(
    idi.TrainingConfig.from_dict({**SIMULATED, "rewards": {"scarcity_alignment": 0.0, "ethics_bonus": 0.0}}),
    Encoder({}, (), np.zeros(3), typical_volatility=0.01),
)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    out, bars = tmp_path_factory.mktemp("planned") / "agent", tmp_path_factory.mktemp("bars") / "bars.parquet"
    random_walk(700, seed=3).to_frame().write_parquet(bars)
    profit = ("ethics_bonus", "scarcity_alignment", "communication_clarity")
    given = ("learning.bootstrap=3", "episode_length=16", *(f"rewards.{name}=0" for name in profit))
    more = [word for key in given for word in ("--set", key)]
    done = cli.succeed("train", "--data", bars, "--algorithm", "value_iteration", *more, "--out", out)
    assert "shrinkage" in done.stdout
    assert "sure moves" in done.stdout
    return out, bars


def test_a_config_of_episodes_is_planned_if_the_flag_asks_for_it(tmp_path):
    config, bars = tmp_path / "c.json", tmp_path / "bars.parquet"
    config.write_text(json.dumps({"episodes": 9, "learning": {"rate_schedule": "visits"}, "discount": 0.8}))
    random_walk(300, seed=3).to_frame().write_parquet(bars)
    command = ("train", "--config", config, "--data", bars, "--algorithm", "value_iteration", "--out", tmp_path / "a")
    done = cli.succeed(*command)
    assert f"note: episodes, learning.rate_schedule of {config}: left out" in done.stderr
    about = json.loads((tmp_path / "a/run.json").read_text())["config"]
    assert (about["discount"], about["learning"]["algorithm"]) == (0.8, "value_iteration")
    outcome = cli.run(*command, "--force", "--episodes", 3)
    assert outcome.status == 2
    assert "error: --episodes: episodes is given, but" in outcome.stderr


def test_an_artifact_of_a_plan(artifact):
    out, _ = artifact
    policy = idi.Policy.load(out)
    table = pl.read_parquet(out / "policy.parquet")
    assert table.columns[-5:] == ["visits", "se_buy", "se_sell", "n", "agreement"]
    assert pl.read_parquet(out / "episodes.parquet").height == 0
    assert policy.certainty is not None
    assert policy.frame().equals(table)
    about = json.loads((out / "run.json").read_text())["summary"]["plan"]
    assert about["bars"] == 700
    assert about["shrinkage"] in {row["shrinkage"] for row in about["left_out_reward"]}
    assert "sure moves" in repr(policy)


def test_a_replay_plans_again(artifact, tmp_path):
    out, bars = artifact
    cli.succeed("prove", out, "--prover", "replay")
    checked = cli.succeed("verify", out, "--data", bars)
    assert "trained again" in checked.stdout


def test_other_commands_take_it(artifact):
    out, bars = artifact
    assert "sure moves" in cli.succeed("evaluate", out, "--data", bars).stdout


def test_a_policy_that_was_learnt_has_no_certainty():
    run = idi.train({"episodes": 2, "environment": {"kind": "crypto"}})
    assert run.policy.certainty is None
    assert run.policy.sure_moves() is None
    assert "se_buy" not in run.policy.frame().columns


def test_the_seed_draws_simulated_bars_only():
    one, same, other = (idi.train(SIMULATED, seed=seed).policy.q for seed in (0, 0, 1))
    assert_array_equal(one, same)
    assert (one != other).any()
    bars = random_walk(300, seed=2)
    first, second = (idi.train(PLANS, bars, seed=seed) for seed in (0, 1))
    assert_array_equal(first.policy.q, second.policy.q)
    assert "bars" in repr(first)
    first, second = (idi.train(RESAMPLED, bars, seed=seed).policy.q for seed in (0, 1))
    assert (first != second).any()


def test_the_order_of_symbols_and_the_size_of_blocks_change_no_bit(monkeypatch):
    symbols = {name: random_walk(300, seed=seed) for seed, name in enumerate("ABC")}
    q = idi.train(PLANS, symbols).policy.q
    assert_array_equal(q, idi.train(PLANS, dict(reversed(symbols.items()))).policy.q)
    monkeypatch.setattr("idi_fast.planning.counts.BLOCK_BARS", 37)
    assert_array_equal(q, idi.train(PLANS, symbols).policy.q)


def test_what_has_no_effect_is_refused(tmp_path):
    bars = random_walk(300, seed=2)
    with pytest.raises(InputError, match="3 seeds were given, but value_iteration plans the same table"):
        idi.train_population(PLANS, range(3), history=bars)
    with pytest.raises(InputError, match="2 seeds were given"):
        idi.walk_forward(PLANS, bars, seeds=range(2))
    assert idi.train_population(RESAMPLED, range(2), history=bars).summary.height == 2
    policy = idi.train(PLANS, bars).policy
    with pytest.raises(InputError, match="an initial policy was given, but"):
        idi.train(PLANS, bars, initial=policy)
    trainer = idi.create_trainer(idi.TrainingConfig.from_dict(SIMULATED))
    with (
        Checkpoints(tmp_path, None, resume=False, note=print) as kept,
        pytest.raises(InputError, match="checkpoints are"),
    ):
        trainer.train(checkpoints=kept)
    text = cli.run("train", "--env", "crypto", "--algorithm", "value_iteration", "--resume", "--out", tmp_path / "x")
    assert "--checkpoint-every and --resume are for training by episodes" in text.stderr


def test_a_plan_can_be_cancelled():
    trainer = idi.create_trainer(idi.TrainingConfig.from_dict(SIMULATED))
    trainer.cancel()
    with pytest.raises(idi.Cancelled):
        trainer.train()


def test_where_the_price_tells_what_comes_the_table_earns_it():
    """A price that rises and falls by turns."""
    close = 100.0 * np.exp(0.02 * np.cumsum(np.where(np.arange(1200) % 8 < 4, 1.0, -1.0)))
    config = {
        "rewards": {"ethics_bonus": 0.0, "scarcity_alignment": 0.0, "communication_clarity": 0.0},
        "quantizer": {"price_buckets": 12, "volume_buckets": 1, "trend_buckets": 12, "scarcity_buckets": 1},
        "features": {"price": {"transform": "zscore", "window": 8}, "trend": {"transform": "log_return", "window": 2}},
        **PLANS,
    }
    history = idi.History.from_frame({"open": np.r_[close[0], close[:-1]], "close": close})
    run = idi.train(config, history)
    earned = idi.backtest(run.policy, history, fee_bps=5).kpis["total_return"]
    assert earned > 1e6  # of 3e9 that 1,200 bars of 2 % would make without a fee


def test_what_is_certain_needs_no_shrinkage():
    """Each of 64 observations, in no order, tells the next change; shrunk towards the others it does not pay."""
    rng, n = np.random.default_rng(0), 4000
    config = idi.TrainingConfig.from_dict(SIMULATED)
    space, bars = StateSpace((*"ab", "mood", "position"), (8, 8, 1, 3)), empty_bars(n)
    for column in bars:
        column[:] = 0
    bars.observation[:] = rng.integers(0, 64, n)
    bars.cost[:] = 0.1
    bars.change[1:] = 0.5 * rng.choice([-1.0, 1.0], 64)[bars.observation[:-1]] + rng.normal(0.0, 0.3, n - 1)
    rules = make_rules(config, StateSpace.of(config))
    chosen = choose_shrinkage([bars], Hierarchy.of(space), rules, PNL, 0.9)
    assert chosen.shrinkage < 400.0
    assert max(chosen.earned, key=lambda kappa: chosen.earned[kappa]) == chosen.shrinkage
    bars.change[1:] = rng.normal(0.0, 0.3, n - 1)
    assert choose_shrinkage([bars], Hierarchy.of(space), rules, PNL, 0.9).shrinkage >= 400.0


def test_how_much_of_an_in_sample_figure_is_chance_stands_beside_it(artifact, tmp_path):
    out, bars = artifact
    run = json.loads((out / "run.json").read_text())
    plan = run["summary"]["plan"]
    share = plan["optimism_share"]
    assert share > 0.0
    assert idi.Policy.load(out).certainty.optimism == share == run["evaluation"]["optimism"]
    words = f"by bars left out in turn at least {share:.0%} of what it earns on them is chance"
    told = cli.run("evaluate", out, "--data", bars)
    assert words in told.stderr
    assert words in told.stdout  # the verdict
    tested = cli.run("backtest", bars, "--policy", out, "--out", tmp_path / "own")
    assert words in tested.stderr
    assert json.loads((tmp_path / "own/kpis.json").read_text())["assumptions"]["optimism"] == share
    for folder in (out, tmp_path / "own"):
        assert words in report_page(folder).opening[0].text
    random_walk(300, seed=77).to_frame().write_parquet(tmp_path / "later.parquet")
    tested = cli.run("backtest", tmp_path / "later.parquet", "--policy", out, "--out", tmp_path / "later")
    assert "chance" not in tested.stderr
    assert "optimism" not in json.loads((tmp_path / "later/kpis.json").read_text())["assumptions"]
    fixed = idi.train({**PLANS, "learning": {**PLANS["learning"], "shrinkage": 20.0}}, random_walk(300, seed=2))
    assert fixed.policy.certainty.optimism is None
    assert "chance" not in fixed.evaluation.verdict()


def test_optimism_is_large_where_nothing_can_be_known_and_small_where_much_can():
    plans = {"algorithm": "value_iteration", "shrinkage": 5.0, "bootstrap": 10}
    profit = {"ethics_bonus": 0.0, "scarcity_alignment": 0.0, "communication_clarity": 0.0}
    sizes = {"price_buckets": 8, "volume_buckets": 1, "trend_buckets": 8, "scarcity_buckets": 1, "mood_buckets": 1}
    walks = {**PLANS, "rewards": profit, "quantizer": sizes, "learning": plans}
    for learning, least in ((plans, 0.7), ({"algorithm": "value_iteration"}, 0.1)):
        walks["learning"] = learning
        shares = [idi.train(walks, random_walk(2_000, seed=seed)).policy.certainty.optimism for seed in range(5, 11)]
        # The drift of a walk, which is chance as well, is that of its parts too: all that 400 bars of shrinkage leave.
        assert np.mean([share for share in shares if share is not None]) > least
        config = signal_config("simple", {}, learning, rewards=profit)
        assert idi.train(config, signal_bars(8_000)).policy.certainty.optimism < 0.1


def signal_bars(n: int) -> idi.History:
    """Independent returns, whose mean the coin of the bar before tells."""
    rng = np.random.default_rng(0)
    signal, change = rng.integers(0, 2, n).astype(float), rng.normal(0.0, 0.01, n)
    change[1:] += 0.004 * (2.0 * signal[:-1] - 1.0)
    close, days = 100.0 * np.exp(np.cumsum(change)), np.arange(n) * 86_400
    return idi.History.from_arrays(close, time=(1_600_000_000 + days) * 10**9, signal=signal)


def signal_config(objective: str, market: dict, learning: dict, **settings) -> idi.TrainingConfig:
    return idi.TrainingConfig.from_dict(
        {
            "episode_length": 16,
            "discount": 0.5,
            "quantizer": {"mood_buckets": 1},
            "features": [{"name": "signal", "transform": "level", "column": "signal", "buckets": 2, "edges": [0.5]}],
            "rewards": {"objective": objective, "risk_aversion": 5.0},
            "environment": {"kind": "history", "data": {"fill": "same_close"}, "market": {"fee_bps": 5.0, **market}},
            "learning": learning,
            **settings,
        }
    )


@pytest.mark.parametrize("market", [{}, {"borrow_bps": 5000.0, "cash_rate": 0.5}], ids=["free", "charged"])
@pytest.mark.parametrize("objective", ["volatility_units", "simple", "log", "mean_variance", "downside"])
def test_q_learning_with_falling_rates_comes_ever_nearer(objective, market):
    history, gaps = signal_bars(600), []
    q = idi.train(
        signal_config(objective, market, {"algorithm": "value_iteration", "shrinkage": 0.0}), history
    ).policy.q
    falling = {"rate_schedule": "visits", "rate_delay": 1.0, "rate_power": 0.7}
    exploring = {"exploration_schedule": "linear", "exploration_floor": 1.0}
    for episodes in (50, 1_000, 20_000):
        config = signal_config(objective, market, {**falling, **exploring}, episodes=episodes, learning_rate=1.0)
        gaps.append(np.abs(idi.train(config, history).policy.q - q).max())
    # Episodes show the first and the last bars less often than the rest, so that it does not come all the way.
    assert gaps[0] > 2.0 * gaps[1] > 4.0 * gaps[2]
    assert gaps[2] < 0.1 < 0.1 * np.abs(q).max()


def test_who_pays_for_shorts_has_fewer():
    history, resampled = random_walk(900, seed=3), {"learning": {**RESAMPLED["learning"], "shrinkage": 5.0}}
    free = {**PLANS, **resampled, "rewards": {"objective": "downside", "ethics_bonus": 0.0}}
    charged = {**free, "environment": {"kind": "history", "market": {"borrow_bps": 30_000.0, "cash_rate": 0.5}}}
    sells = []
    for config in (free, charged):
        run = idi.train(config, history)
        sells.append(np.count_nonzero(run.policy.q.reshape(-1, 3, 3)[:, 1].argmax(axis=1) == 2))
    assert sells[1] < 0.1 * sells[0]


def test_choosing_never_sees_other_bars(monkeypatch):
    """Shrinkage is chosen on the very series that are planned on."""
    seen = []

    def noted(series, *rest):
        seen.append([bars.observation.size for bars in series])
        return choose(series, *rest)

    choose = planner_module.choose_shrinkage
    monkeypatch.setattr(planner_module, "choose_shrinkage", noted)
    split = {**PLANS, "environment": {"kind": "history", "data": {"split": "60%"}}}
    bars = random_walk(700, seed=3)
    run = idi.train({**split, "episode_length": 16}, bars)
    assert seen == [[len(run.trainer.history)]]
    assert len(run.trainer.history) < 420
