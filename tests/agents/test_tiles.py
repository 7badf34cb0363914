"""Policies with a tile coder: they are saved, replayed, evaluated, backtested and exported like any other."""

import json
from dataclasses import replace

import cli_helpers as cli
import numpy as np
import polars as pl
import pytest
from market_data import random_walk
from numpy.testing import assert_allclose, assert_array_equal
from test_population import walked
from test_trainer import assert_same, config, outcome, train

from idi_fast import Policy, create_trainer
from idi_fast.backtesting.backtest import backtest
from idi_fast.config.settings import TrainingConfig
from idi_fast.environments.environment import make_environment
from idi_fast.environments.rng import make_generators
from idi_fast.errors import ArtifactError, ConfigError, InputError
from idi_fast.evaluation.baselines import evaluate
from idi_fast.evaluation.evaluator import Evaluator
from idi_fast.kernels.learn import Tape

TILES = {"num_tilings": 3, "tile_sizes": [2, 2, 2, 4, 2], "tiling": "displaced", "table_size": 5000}
CODERS = {"displaced": TILES, "reference": {"num_tilings": 2}, "hashed": {**TILES, "table_size": 60}}


def tiled(kind: str = "synthetic", coder: str = "displaced", **fields) -> TrainingConfig:
    return config(kind, tile_coder=CODERS[coder], **fields)


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("kind", ["synthetic", "crypto", "history"])
def test_the_value_of_a_state_is_the_sum_over_its_tiles(kind, coder):
    trainer, policy, _ = train(tiled(kind, coder), 3)
    states = np.arange(0, policy.space.n_states, 7)
    rows = policy.layout.state_rows(states)
    assert rows.shape == (states.size, policy.layout.n_tilings)
    assert policy.q.shape[0] == policy.layout.n_rows <= CODERS[coder].get("table_size", 65_536)
    assert_allclose(policy.values(states), sum(policy.q[rows[:, k]] for k in range(rows.shape[1])))
    digits = policy.space.digits(states[:1])[0]
    assert policy.q_value(digits, "buy") == policy.values(states[:1])[0, 1]
    assert (trainer.stats().get("tile_collisions", 0.0) > 0.0) == (coder == "hashed")


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("kind", ["synthetic", "crypto", "history"])
def test_a_policy_survives_its_file(kind, coder, tmp_path):
    _, policy, _ = train(tiled(kind, coder, learning={"initial_value": 0.5}), 3)
    policy.save(tmp_path / "policy.parquet")
    again = Policy.load(tmp_path / "policy.parquet")
    assert again.config == policy.config
    for name in ("q", "comm_q", "visits"):
        assert_array_equal(getattr(again, name), getattr(policy, name))
    frame = policy.frame()
    assert frame["row"].to_list() == np.flatnonzero(policy.visits).tolist()
    broken = pl.read_parquet(tmp_path / "policy.parquet").with_columns(row=pl.col("row") + policy.layout.n_rows)
    broken.write_parquet(tmp_path / "b.parquet", metadata=pl.read_parquet_metadata(tmp_path / "policy.parquet"))
    with pytest.raises(ArtifactError, match=f"a row lies outside the table of {policy.layout.n_rows}"):
        Policy.load(tmp_path / "b.parquet")


@pytest.mark.parametrize("coder", CODERS)
def test_a_rollout_takes_the_best_action_of_each_state(coder):
    _, policy, trace = train(tiled("crypto", coder, episodes=200), 3)
    for state, action in zip(trace.state.tolist(), trace.action.tolist(), strict=True):
        assert action == int(np.argmax(policy.values(np.array([state]))[0]))
    assert coder == "reference" or len(set(trace.action.tolist())) > 1


@pytest.mark.parametrize("kind", ["synthetic", "crypto"])
def test_an_evaluation_is_a_walk_by_lookups(kind, monkeypatch):
    monkeypatch.setattr("idi_fast.evaluation.evaluator.EVALUATION_ROWS", 70)  # two episodes a block
    setup = tiled(kind, episodes=100)
    _, policy, _ = train(setup, 6)
    evaluator = Evaluator(setup, 1, episodes=12)
    generators = make_generators(setup.engine, 6)
    generators = replace(generators, environment=make_generators(setup.engine, 1).evaluation)
    environment = make_environment(setup, generators)
    tapes = [Tape(*map(np.copy, environment.fill(31))) for _ in range(12)]
    states = np.arange(policy.space.n_states)
    tables = {"q": policy.values(states), "comm_q": policy.layout.values(policy.comm_q, states)}
    dense = replace(policy, config=config(kind, episodes=100), **tables)
    assert_allclose(evaluator.rewards(policy), [walked(dense, tape) for tape in tapes], rtol=1e-12)
    report = evaluate(policy, episodes=12)
    assert report.baselines["hold"].evaluation == evaluate(dense, episodes=12).baselines["hold"].evaluation


def test_a_backtest_replays_tiles_and_says_which_bars_were_new(tmp_path):
    bars = random_walk(700)
    trainer = create_trainer(tiled("history", episodes=60), 1, bars.slice(0, 400))
    policy, _ = trainer.run()
    result = backtest(policy, bars.slice(400, 700))
    values = policy.values(result.trace.state)
    assert_array_equal(result.trace.action, np.argmax(values, axis=1))
    seen = [
        all(policy.visits[row] > 0 for row in rows) for rows in policy.layout.state_rows(result.trace.state).tolist()
    ]
    assert result.kpis["unvisited_states"] == pytest.approx(1.0 - np.mean(seen))


@pytest.mark.parametrize("engine", [{}, {"rng": "mt19937"}])
def test_blocks_change_nothing(engine, monkeypatch):
    whole = outcome(*train(tiled("crypto", "hashed", engine=engine), 5))
    monkeypatch.setattr("idi_fast.training.trainer.BLOCK_ROWS", 37)
    assert_same(outcome(*train(tiled("crypto", "hashed", engine=engine), 5)), whole)


def test_an_initial_policy_has_the_same_tiles():
    _, first, _ = train(tiled(), 1)
    kept, _ = create_trainer(tiled(episodes=0), 2, initial=first).run()
    assert_array_equal(kept.q, first.q)
    with pytest.raises(InputError, match="the initial policy has another tile coder"):
        create_trainer(tiled(coder="hashed"), initial=first)


def test_an_initial_policy_of_another_mode_has_no_tiles():
    compat = {"engine": {"compat": "idi_iann"}}
    _, plain, _ = train(config(tile_coder={}, **compat), 1)
    _, tiles, _ = train(config(tile_coder={}), 1)
    with pytest.raises(
        InputError, match=r"table has a row per state, as under engine\.compat; expected .* a row per tile"
    ):
        create_trainer(config(tile_coder={}), initial=plain)
    with pytest.raises(InputError, match=r"table has a row per tile; expected one with a row per state"):
        create_trainer(config(tile_coder={}, **compat), initial=tiles)


@pytest.mark.parametrize("coder", [*CODERS, None])
def test_a_policy_with_an_initial_one_survives_its_file(coder, tmp_path):
    fields = {} if coder is None else {"tile_coder": CODERS[coder]}
    _, first, _ = train(config("crypto", **fields, learning={"initial_value": 0.5}), 3)
    policy, _ = create_trainer(config("crypto", **fields, episodes=1), 4, initial=first).run()
    assert np.count_nonzero(policy.visits) < policy.frame().height
    policy.save(tmp_path / "policy.parquet")
    again = Policy.load(tmp_path)
    for name in ("q", "comm_q", "visits"):
        assert_array_equal(getattr(again, name), getattr(policy, name))
    assert again.identity() == policy.identity()


@pytest.mark.parametrize("name", ["row", "visits"])
@pytest.mark.parametrize("damage", [pl.col("x").cast(pl.Float64), pl.lit(None, pl.Int64), pl.lit("1")])
def test_a_damaged_column_is_refused(name, damage, tmp_path):
    _, policy, _ = train(tiled(), 3)
    policy.save(tmp_path / "policy.parquet")
    about = pl.read_parquet_metadata(tmp_path / "policy.parquet")
    broken = pl.read_parquet(tmp_path / "policy.parquet").with_columns(x=pl.col(name))
    broken.with_columns(damage.alias(name)).drop("x").write_parquet(tmp_path / "b.parquet", metadata=about)
    with pytest.raises(ArtifactError, match=f"b.parquet is damaged: {name} is .* expected whole numbers"):
        Policy.load(tmp_path / "b.parquet")


def test_neighbours_learn_from_one_another():
    # Only buckets far apart are trained in; what lies between has learnt by its neighbours what it can.
    fields = {"quantizer": {f"{name}_buckets": 16 for name in ("price", "volume", "trend", "scarcity")}}
    _, policy, _ = train(tiled(**fields, episodes=100), 1)
    _, plain, _ = train(config(**fields, episodes=100), 1)
    states = np.random.default_rng(1).integers(0, policy.space.n_states, 500)
    assert policy.visited(states).mean() > 0.9
    assert plain.visited(states).mean() < 0.2


def test_a_table_that_is_too_small_is_refused():
    with pytest.raises(ConfigError, match=r"tile_coder.table_size is 8; expected at least 9: 3 tilings of 3 tiles"):
        create_trainer(config(tile_coder={**TILES, "table_size": 8}))
    for number in (10**9, 2**62):
        with pytest.raises(ConfigError, match=rf"tile_coder.num_tilings is {number}; expected at most .* \(65536\)"):
            create_trainer(config(tile_coder={"num_tilings": number}))


@pytest.mark.parametrize("tile_sizes", [[1, 2**62, 1, 1, 1], [1, 2**62, 2, 1, 1]])
def test_more_tiles_than_can_be_numbered_are_refused(tile_sizes):
    environment = {"kind": "crypto", "observe_regime": True}
    with pytest.raises(ConfigError, match=r"tile_coder.tile_sizes make \d+ tiles .*; expected below 2\*\*63"):
        create_trainer(config(environment=environment, tile_coder={"tile_sizes": tile_sizes}))
    fewer = [1, 2**60, 1, 1, 1]
    create_trainer(config(environment=environment, tile_coder={"tile_sizes": fewer})).run()


@pytest.mark.parametrize("coder", [[], ["--set", f"tile_coder={json.dumps(TILES)}"]])
def test_bars_in_unvisited_states_are_said_to_be(coder, tmp_path):
    bars = random_walk(400)
    pl.DataFrame({"close": bars.close, "volume": bars.volume}).write_parquet(tmp_path / "bars.parquet")
    options = ("--episodes", 1, "--episode-length", 16, "--set", "learning.initial_value=5.0", *coder)
    cli.succeed("train", "--data", tmp_path / "bars.parquet", "--out", tmp_path / "agent", *options)
    args = ("backtest", tmp_path / "bars.parquet", "--policy", tmp_path / "agent", "--out", tmp_path / "tested")
    note = next(line for line in cli.succeed(*args).stderr.splitlines() if "never visited" in line)
    cli.assert_mentions(note, "% of the bars are in states", "tile")
    assert "hold" not in note  # with other initial values, or some tiles known, it may do anything


def test_the_commands(tmp_path):
    bars = random_walk(400)
    pl.DataFrame({"close": bars.close, "volume": bars.volume}).write_parquet(tmp_path / "bars.parquet")
    coder = json.dumps({**TILES, "table_size": 60})
    options = ("--episodes", 20, "--episode-length", 16, "--set", f"tile_coder={coder}")
    shown = cli.succeed("train", "--data", tmp_path / "bars.parquet", "--out", tmp_path / "agent", *options).stdout
    cli.assert_mentions(shown, "table rows", "of 54 for 6,144 states", "% of look-ups")
    cli.succeed("backtest", tmp_path / "bars.parquet", "--policy", tmp_path / "agent", "--out", tmp_path / "tested")
    cli.succeed("export", tmp_path / "tested", "--to", tmp_path / "inputs", "--kind", "v38")
    cli.succeed("evaluate", tmp_path / "agent")
    cli.succeed("train", "--seeds", "0:3", "--out", tmp_path / "several", *options)
    run = json.loads((tmp_path / "agent" / "run.json").read_text())["summary"]
    assert (run["visited_states"], run["table_rows"]) == (None, 54)
