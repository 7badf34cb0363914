"""Rewards of the user's: by his function wherever rewards are worked out, and what is refused."""

import hashlib
import json

import cli_helpers as cli
import numpy as np
import pytest
from market_data import random_walk
from numpy.testing import assert_allclose, assert_array_equal
from own_functions import as_before, forget

import idi_fast as idi
from idi_fast.agents.rollout import HistoryRollout
from idi_fast.environments.history_bars import HistoryBars
from idi_fast.environments.rewards import RewardRule

BARS = random_walk(600, 4)
SOURCE = """\
import numpy as np


def growth(earned, bars):
    return np.log1p(np.maximum(earned, 1 / 1024 - 1))


def careful(earned, bars):
    calm = np.where(bars.risk == 1, 0.5, 1.0)[:, np.newaxis, np.newaxis]
    return np.where(earned < 0, 2 * earned, earned) * calm
"""


@pytest.fixture(autouse=True)
def registered():
    with as_before():
        yield


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(SOURCE)
    assert idi.load_plugin(path) == ["growth", "careful"]
    return path


def config(objective: str, **others) -> idi.TrainingConfig:
    given = {"environment": {"kind": "history"}, "episode_length": 20, "episodes": 60, "engine": {}}
    return idi.TrainingConfig.from_dict({**given, "rewards": {"objective": objective}, **others})


def test_the_same_formula_is_the_same_agent(plugin):
    """A function that is the objective `log` makes its rewards up to rounding, in training and in all that follows."""
    own, built_in = (idi.train(config(name), BARS, seed=2) for name in ("growth", "log"))
    assert_allclose(own.trainer.episode_rewards, built_in.trainer.episode_rewards, rtol=1e-9, atol=1e-9)
    assert_allclose(own.policy.q, built_in.policy.q, rtol=1e-9, atol=1e-9)
    assert_allclose(own.trace.frame()["reward"], built_in.trace.frame()["reward"], rtol=1e-9, atol=1e-9)
    assert own.evaluation.evaluation.mean == pytest.approx(built_in.evaluation.evaluation.mean, rel=1e-9)
    ours, theirs = (idi.backtest(run.policy, BARS) for run in (own, built_in))
    assert ours.kpis == theirs.kpis
    assert_allclose(ours.trace.frame()["reward"], theirs.trace.frame()["reward"], rtol=1e-9, atol=1e-9)


def test_a_plan_takes_it(plugin):
    plans = {"episodes": 128, "learning": {"algorithm": "value_iteration"}}
    own, built_in = (idi.train(config(name, **plans), BARS).policy for name in ("growth", "log"))
    assert_allclose(own.q, built_in.q, rtol=1e-7, atol=1e-9)
    assert own.q.any()


def test_the_optimum_is_that_of_the_formula(plugin):
    """Losses that count twice: no position is held for a bet that is even; one is for odds of three to one."""
    rng = np.random.default_rng(1)
    for share, expected in ((0.55, 0), (0.9, 1)):
        moves = np.where(rng.random(4000) < share, 0.01, -0.01)
        bars = idi.History.from_arrays(100 * np.exp(np.cumsum(moves)))
        settings = {
            "environment": {"market": {"fee_bps": 0.0}, "data": {"fill": "same_close"}, "allow_short": False},
            "episodes": 800,
            "features": [{"name": "none", "transform": "level", "buckets": 1}],
            "quantizer": {"mood_buckets": 1},
            "discount": 0.01,
            "rewards": {"objective": "careful", "scarcity_alignment": 0, "ethics_bonus": 0, "communication_clarity": 0},
            "learning": {"rate_schedule": "visits"},
        }
        run = idi.train(settings, bars)
        assert run.trace.frame()["target"].to_list()[-1] == expected


def test_rows_by_the_definition(plugin):
    """Of a bar's return by old and new position, in typical volatilities, beside the other terms."""
    settings = config("careful", environment={"kind": "history", "data": {"fill": "same_close"}})
    encoded = HistoryBars(settings, BARS)
    made = RewardRule(settings, encoded.encoder).tape(encoded.bars, np.empty((len(BARS), 9))).reward_by_position
    unit, close = encoded.encoder.typical_volatility, BARS.close
    for t in (1, 17, 300):
        for before in range(3):
            for after in range(3):
                r = (after - 1) * (close[t] / close[t - 1] - 1) - abs(after - before) * 0.0005
                worth = r * (2 if r < 0 else 1) * (0.5 if encoded.bars.risk[t] else 1)
                rest = encoded.bars.scarcity[t] * 0.5 + (0.75 if after else -0.75)
                assert made[t, before * 3 + after] == pytest.approx(worth / unit + rest, rel=1e-9)


def test_it_is_worked_out_alike_bar_by_bar(plugin):
    """In a rollout of chunks, and in the environment of other libraries."""
    policy = idi.train(config("careful"), BARS, seed=1).policy
    whole, parts = HistoryRollout(policy, BARS.columns), HistoryRollout(policy, BARS.columns)
    expected = whole.decide(whole.see(BARS)).reward
    found = [parts.decide(parts.see(BARS.slice(start, start + 7))).reward for start in range(0, len(BARS), 7)]
    assert_array_equal(np.concatenate(found), expected)
    gym = pytest.importorskip("idi_fast.gym")
    env = gym.MarketEnv(config("careful"), BARS)
    plain = gym.MarketEnv(config("simple"), BARS)
    for each in (env, plain):
        each.reset(seed=1)
    assert [env.step(1)[1] for _ in range(5)] != [plain.step(1)[1] for _ in range(5)]


# --- what is refused


def standardised(earned, bars):
    return earned / earned.std()


def from_before(earned, bars):
    return np.concatenate([earned[:1], earned[:-1]])


def infinite(earned, bars):
    return np.log(earned)


def of_one(earned, bars):
    return earned[0]


def raising(earned, bars):
    return earned * bars.volatility


def writing(earned, bars):
    earned *= 2
    return earned


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (standardised, r"of a bar depends on other bars: that of row \d+ is another one among other rows"),
        (from_before, r"of a bar depends on other bars: that of row \d+ is another one among other rows"),
        (infinite, "returned nan for the return -0.0.*; expected finite numbers"),
        (of_one, r"returned the shape \(3, 3\); expected that of earned, \(\d+, 3, 3\)"),
        (raising, "raised AttributeError: .*volatility"),
        (writing, "raised ValueError: .*read-only"),
    ],
)
def test_what_a_reward_may_not_return(reward, message):
    idi.register_reward(reward)
    with pytest.raises(idi.InputError, match=f"the reward '{reward.__name__}' {message}"):
        idi.train(config(reward.__name__), BARS)


def test_where_it_has_no_meaning(plugin):
    for others in (
        {"environment": {"kind": "synthetic"}},
        {"environment": {"kind": "crypto"}, "engine": {"compat": "idi_iann"}},
    ):
        with pytest.raises(idi.ConfigError, match=r"rewards\.objective is 'careful', but .* has rewards of its own"):
            config("careful", **others)
    with pytest.raises(idi.ConfigError, match=r"objective is 'carefull'; expected one of .*Did you mean 'careful'"):
        config("carefull")


def test_training_proving_and_verifying(plugin, tmp_path):
    cli.bars(300).write_parquet(tmp_path / "bars.parquet")
    own, agent = ("--plugin", plugin), tmp_path / "agent"
    small = ("--episodes", "20", "--episode-length", "20", "--set", "rewards.objective=careful")
    cli.succeed("train", *own, "--data", tmp_path / "bars.parquet", *small, "--out", agent)
    sha256 = hashlib.sha256(SOURCE.encode()).hexdigest()
    assert json.loads((agent / "run.json").read_text())["plugins"] == {"careful": sha256}
    cli.succeed("backtest", tmp_path / "bars.parquet", "--policy", agent, *own, "--out", tmp_path / "test")
    cli.succeed("prove", agent, "--prover", "replay", *own)
    said = cli.succeed("verify", agent, "--require", "replay", "--data", tmp_path / "bars.parquet", *own).stdout
    assert "trained again" in said
    policy = idi.Policy.load(agent)
    forget("careful")
    for act in (lambda: idi.Policy.load(agent), lambda: idi.backtest(policy, BARS)):
        with pytest.raises(idi.ArtifactError, match=f"it needs the function 'careful' of a plugin .* {sha256}"):
            act()
