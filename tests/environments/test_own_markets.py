"""Markets of the user's: the same bits in any chunks, known by their source, in all that trains and evaluates."""

import hashlib
import json
import re
import runpy
from dataclasses import replace

import cli_helpers as cli
import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from own_functions import as_before, forget
from places import ROOT

import idi_fast as idi
from idi_fast.environments import own_markets
from idi_fast.environments.environment import make_environment
from idi_fast.environments.rng import make_generators
from idi_fast.training.checkpoint import Checkpoints, Every
from idi_fast.training.trainer import create_trainer

PROFITS = {"scarcity_alignment": 0.0, "ethics_bonus": 0.0, "communication_clarity": 0.0}
SOURCE = """\
import numpy as np


def reverting(rng, n):
    spread, noise = np.zeros(n), rng.normal(0, 0.01, n)
    for t in range(1, n):
        spread[t] = 0.9 * spread[t - 1] + noise[t]
    return {"close": 100 * np.exp(spread)}
"""


@pytest.fixture(autouse=True)
def registered():
    with as_before():
        yield


@pytest.fixture
def short_paths(monkeypatch):
    monkeypatch.setattr(own_markets, "PATH_BARS", 1000)


def reverting(rng, n):
    spread, noise = np.zeros(n), rng.normal(0, 0.01, n)
    for t in range(1, n):
        spread[t] = 0.9 * spread[t - 1] + noise[t]
    return {"close": 100 * np.exp(spread)}


def full(rng, n):
    """All columns, and a rule to be learnt from one of its own: it tells the sign of the next move."""
    move = rng.normal(0, 0.01, n)
    close = 50 * np.exp(np.cumsum(move))
    first = np.append(50.0, close[:-1]) * np.exp(rng.normal(0, 1e-4, n))
    columns = {"open": first, "high": np.maximum(first, close), "low": np.minimum(first, close), "close": close}
    time = np.datetime64("2024-01-01", "ns") + np.arange(n) * np.timedelta64(1, "h")
    return {**columns, "volume": rng.integers(0, 9, n), "time": time, "tip": np.sign(np.append(move[1:], 0))}


def config(kind: str, **others) -> idi.TrainingConfig:
    given = {"environment": {"kind": kind}, "episode_length": 20, "episodes": 40, "rewards": PROFITS, **others}
    return idi.TrainingConfig.from_dict(given)


def environment(kind: str, seed: int = 3):
    settings = config(kind)
    return make_environment(settings, make_generators(settings.engine, seed))


@given(st.lists(st.integers(1, 700), min_size=1, max_size=4))
@settings(max_examples=examples(5))
def test_rows_are_the_same_in_any_pieces_and_go_on_from_the_state(pieces):
    with as_before(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_markets, "PATH_BARS", 500)
        idi.register_market(reverting)
        whole = environment("reverting").fill(sum(pieces))
        parts, made = environment("reverting"), 0
        for n in pieces:
            resumed = environment("reverting")
            for name, values in parts.state.items():
                resumed.state[name][...] = values
            for part in (parts.fill(n), resumed.fill(n)):
                for ours, theirs in zip(part, whole, strict=True):
                    assert_array_equal(ours, theirs[made : made + n])
            made += n


def test_bars_are_those_that_the_function_draws(short_paths):
    idi.register_market(full)
    market, generators = environment("full"), make_generators(config("full").engine, 3)
    words = np.empty(4, np.uint64)
    paths = []
    for _ in range(2):
        generators.environment.words64(words)
        paths.append(full(np.random.Generator(np.random.SFC64(np.random.SeedSequence(words.tolist()))), 987))
    market.fill(42)
    _, facts = market.facts(21)
    assert_array_equal(facts.close, paths[0]["close"][42:63])
    # Filled at the next open: a position that is held into a bar was entered there.
    assert_array_equal(facts.entry, np.log(paths[0]["open"][42:63]))
    assert_array_equal(facts.time, paths[0]["time"][42:63].astype(np.int64))
    market.fill(987 - 63)
    _, facts = market.facts(21)
    assert_array_equal(facts.close, paths[1]["close"][:21])


def test_training_is_the_seeds_and_learns_what_there_is_to_learn():
    tip = {"name": "tip", "transform": "level", "column": "tip", "edges": [-0.5, 0.5]}
    settings = {"episodes": 400, "episode_length": 20, "features": [tip], "rewards": PROFITS}
    run = idi.train(settings, market=full, seed=5)
    assert run.trainer.config.environment.kind == "full"
    again, other = (idi.train(settings, market="full", seed=seed) for seed in (5, 6))
    assert_array_equal(run.policy.q, again.policy.q)
    assert not np.array_equal(run.policy.q, other.policy.q)
    assert run.trace.frame().equals(again.trace.frame())
    assert run.evaluation.has_learnt
    assert run.evaluation.in_sample is False
    for position in range(3):
        assert run.policy.best_action((2, 0, position)) != "sell"
        assert run.policy.best_action((0, 0, position)) != "buy"
    plan = {"learning": {"algorithm": "value_iteration", "bars": 5000}}
    fixed = idi.train({name: settings[name] for name in ("episode_length", "features", "rewards")} | plan, market=full)
    assert fixed.evaluation.has_learnt
    # A population's lane is the run of its seed.
    population = idi.train_population(settings, [5, 6], market=full, keep="all")
    assert_array_equal(population.policies[5].q, run.policy.q)
    assert population.compared.has_learnt


def test_all_settings_of_a_history_hold(short_paths):
    """Costs of holding, by the bars' times."""
    idi.register_market(full)
    market = {"fee_bps": 0.0, "borrow_bps": 5000.0}
    dear = config("full", environment={"kind": "full", "market": market})
    plain = config("full", environment={"kind": "full", "market": {"fee_bps": 0.0}})
    tapes = [make_environment(each, make_generators(each.engine, 1)).fill(60) for each in (plain, dear)]
    difference = (tapes[0].reward_by_position - tapes[1].reward_by_position).reshape(-1, 3, 3)
    assert (difference[1:, 0] > 0).all()
    assert np.abs(difference[1:, 1:]).max() < 1e-12
    idi.register_market(reverting)
    with pytest.raises(idi.DataError, match="the history has no times to tell how long a bar is"):
        idi.train(replace(dear, environment=replace(dear.environment, kind="reverting")))


def test_the_environment_of_other_libraries_shows_the_same_episodes():
    gym = pytest.importorskip("idi_fast.gym")
    env = gym.MarketEnv({"episode_length": 20, "rewards": PROFITS}, market=reverting)
    env.reset(seed=3)
    tape = environment("reverting", 3).fill(21)
    before = 1
    for t, action in enumerate([1, 0, 2, 2, 1], 1):
        after = {0: before, 1: 2, 2: 0}[action]
        _, reward, *_ = env.step(action)
        assert reward == tape.reward_by_position[t, before * 3 + after]
        before = after
    found = idi.evaluate(lambda states: np.ones(len(states), np.int64), market=env, episodes=30)
    assert found.evaluation.mean == found.baselines["buy"].evaluation.mean


def test_the_examples_of_the_page(tmp_path, monkeypatch):
    """The files and the script of docs/PLUGINS.md, from top to bottom."""
    page = (ROOT / "docs" / "PLUGINS.md").read_text(encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for block in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S):
        name = re.match(r"# (\w+\.py)\n", block)
        path = tmp_path / (name[1] if name else "script.py")
        path.write_text(block)
        if name:
            assert idi.load_plugin(path)
        else:
            runpy.run_path(str(path))


# --- what is refused


def no_close(rng, n):
    return {"price": np.ones(n)}


def a_list(rng, n):
    return [1.0] * n


def short(rng, n):
    return {"close": np.ones(n - 1)}


def bad_volume(rng, n):
    return {"close": np.ones(n), "volume": np.r_[1.0, 1.0, -1.0, np.ones(n - 3)]}


def not_a_number(rng, n):
    return {"close": np.r_[np.ones(4), np.nan, np.ones(n - 5)]}


def to_zero(rng, n):
    return {"close": np.maximum(0.0, 3.0 - np.arange(n))}


def words_for_numbers(rng, n):
    return {"close": np.ones(n), "mood": ["good"] * n}


def backwards(rng, n):
    return {"close": np.ones(n), "time": np.arange(n)[::-1] * 10**9 + 10**18}


def raising(rng, n):
    return {"close": np.ones(n) / rng.none}


def of_its_own_seed(rng, n):
    return {"close": np.exp(np.random.default_rng().normal(size=n))}


@pytest.mark.parametrize(
    ("market", "message"),
    [
        (no_close, "returned the columns 'price'; expected a dict of columns with 'close'"),
        (a_list, "returned list; expected a dict of columns with 'close'"),
        (short, r"returned close of the shape \(255,\); expected \(256,\), a value for each bar"),
        (bad_volume, "returned -1 as volume of bar 2; expected a finite number, 0 or more"),
        (not_a_number, "returned nan as close of bar 4; expected a finite number above 0"),
        (to_zero, "returned 0 as close of bar 3; expected a finite number above 0"),
        (words_for_numbers, "returned mood of the type <U4; expected numbers"),
        (backwards, "returned .* as time of bar 1; expected one after "),
        (raising, "raised AttributeError: .*'none'"),
        (of_its_own_seed, "returns other bars when it is called with the same generator again"),
    ],
)
def test_what_a_market_may_not_return(market, message):
    with pytest.raises(idi.InputError, match=f"the market '{market.__name__}' {message}"):
        idi.train({"episodes": 2}, market=market)


def test_markets_that_are_refused():
    def inner(rng, n):
        return {"close": np.ones(n) + level}

    level = 1.0
    with pytest.raises(idi.InputError, match="the market 'inner' depends on level of a function around it"):
        idi.register_market(inner)
    crypto = type(reverting)(reverting.__code__.replace(co_name="crypto"), globals(), "crypto")
    with pytest.raises(idi.InputError, match="'crypto' has the name of an environment of idi-fast; rename it"):
        idi.register_market(crypto)
    idi.register_market(reverting)
    with pytest.raises(idi.InputError, match="'reverting' has the name of a market that was registered before"):
        idi.register_reward(reverting)
    with pytest.raises(idi.InputError, match=r"market is 'revertin', which is none .* Did you mean 'reverting'\?"):
        idi.train(market="revertin")
    bars = idi.History.from_arrays(np.ones(100))
    with pytest.raises(idi.InputError, match="a history and a market were given; expected one of them"):
        idi.train(None, bars, market=reverting)
    with pytest.raises(idi.InputError, match=r"'reverting' was given, but environment\.kind is 'crypto'"):
        idi.train(config("crypto"), market=reverting)
    with pytest.raises(idi.ConfigError, match=r"kind is 'revertin'; expected one of 'synthetic', .*\. Did you mean"):
        config("revertin")
    with pytest.raises(idi.ConfigError, match="kind is 'reverting', but compat 'idi_iann' has no such environment"):
        config("reverting", engine={"compat": "idi_iann"})


# --- the command line, and whose code it is


def test_training_proving_and_verifying(tmp_path):
    plugin = tmp_path / "own.py"
    plugin.write_text(SOURCE)
    own, agent = ("--plugin", plugin), tmp_path / "agent"
    small = ("--episodes", "30", "--episode-length", "20", "--fee-bps", "1")
    cli.succeed("train", *own, "--env", "reverting", *small, "--out", agent)
    sha256 = hashlib.sha256(SOURCE.encode()).hexdigest()
    run = json.loads((agent / "run.json").read_text())
    assert (run["plugins"], run["config"]["environment"]["kind"]) == ({"reverting": sha256}, "reverting")
    evaluated = cli.succeed("evaluate", agent, "--episodes", "20", *own).stdout
    assert "random" in evaluated
    cli.succeed("report", agent, *own, "--out", tmp_path / "report")
    assert "Market reverting" in (tmp_path / "report").read_text()
    lanes = ("train", *own, "--env", "reverting", "--seeds", "0:2", "--combine", "mean", "--out", tmp_path / "no")
    cli.assert_mentions(cli.refused(tmp_path, *lanes), "on a simulated market each seed fits bucket edges")
    cli.succeed("prove", agent, "--prover", "replay", *own)
    assert "trained again" in cli.succeed("verify", agent, "--require", "replay", *own).stdout
    # A market's function belongs to the run: of another source it is another run.
    again = ("train", *own, "--env", "reverting", *small, "--out", agent, "--resume")
    assert "is complete already" in cli.succeed(*again).stderr
    plugin.write_text(SOURCE.replace("0.9", "0.8"))
    assert "already exists" in cli.refused(tmp_path, *again)
    plugin.write_text(SOURCE)
    idi.load_plugin(plugin)
    policy = idi.Policy.load(agent)
    for change, message in {
        "0.9": "SHA-256 " + sha256 + ", but that of",
        "": "it needs the function 'reverting'",
    }.items():
        forget("reverting")
        if change:
            plugin.write_text(SOURCE.replace(change, "0.8"))
            idi.load_plugin(plugin)
            with pytest.raises(idi.ArtifactError, match=message):
                idi.evaluate(policy, episodes=5)
        with pytest.raises(idi.ArtifactError, match=re.escape(message)):
            idi.Policy.load(agent)
    refused = cli.refused(tmp_path, "train", "--env", "reverting", "--out", tmp_path / "none")
    cli.assert_mentions(refused, "--env: environment.kind is 'reverting'", "'history'", "--plugin FILE.py")
    plugin.write_text(SOURCE)
    shock = ("train", *own, "--env", "reverting", "--vol-base", "1", "--out", tmp_path / "none")
    cli.assert_mentions(cli.refused(tmp_path, *shock), "the reverting environment has no use for vol_base")


def test_a_run_goes_on_from_its_checkpoint(tmp_path, short_paths):
    """Of a block of rows, in the midst of a path."""
    idi.register_market(reverting)
    settings = config("reverting", episodes=1700)
    whole, _ = create_trainer(settings, 3).run()
    stopped = create_trainer(settings, 3)
    with Checkpoints(tmp_path, Every(episodes=50)) as checkpoints, pytest.raises(idi.Cancelled):
        stopped.train(lambda progress: stopped.cancel(), checkpoints=checkpoints)
    assert 0 < len(stopped.rewards) < 1700
    resumed = create_trainer(settings, 3)
    with Checkpoints(tmp_path) as checkpoints:
        resumed.train(checkpoints=checkpoints)
        policy, _ = resumed.rollout()
    assert_array_equal(policy.q, whole.q)


def test_a_policy_must_say_of_what_source_its_market_is(tmp_path):
    policy = idi.train(config("synthetic"), market=reverting).policy
    assert policy.encoder is not None
    replace(policy, encoder=replace(policy.encoder, plugins={})).save(tmp_path / "policy.parquet")
    with pytest.raises(idi.ArtifactError, match="does not say of what source its market or reward is"):
        idi.Policy.load(tmp_path / "policy.parquet")
