"""Training from Python: `idi_fast.train`."""

import doctest

import cli_helpers as cli
import pytest
from market_data import random_walk
from numpy.testing import assert_array_equal

import idi_fast as idi
from idi_fast.errors import InputError
from idi_fast.training import run as module


def test_a_run_is_what_the_command_writes(tmp_path):
    cli.succeed("train", "--episodes", "40", "--seed", "5", "--out", tmp_path / "command")
    run = idi.train(idi.TrainingConfig(episodes=40), seed=5)
    run.save(tmp_path / "api")
    assert cli.same_run(tmp_path / "command", tmp_path / "api")
    assert run.episodes["episode"].to_list() == list(range(40))
    assert run.evaluation.to_dict()["seed"] == "5"
    assert repr(run).startswith("TrainingRun of the synthetic environment, seed 5\n  episodes     40\n  mean reward ")


def test_a_history_is_trained_on(tmp_path):
    bars = random_walk(300, seed=2)
    run = idi.train(idi.TrainingConfig(episodes=4), bars)
    assert run.trainer.config.environment.kind == "history"
    assert run.evaluation.in_sample is True
    again = idi.train(idi.TrainingConfig(episodes=4), bars, initial=run.policy)
    assert not (again.policy.q == run.policy.q).all()
    result = idi.backtest(run.policy, bars, slippage_bps=1.0)
    assert_array_equal(result.history.close, bars.close)
    simulated = idi.TrainingConfig.from_dict({"environment": {"kind": "crypto"}})
    with pytest.raises(InputError, match=r"a history was given, but environment\.kind is 'crypto'"):
        idi.train(simulated, bars)


def test_a_history_makes_a_default_config_one_of_the_history():
    bars, short = random_walk(400, seed=2), idi.TrainingConfig(episodes=2, episode_length=16)
    walk = idi.walk_forward(short, bars, train_bars=150, test_bars=60)
    assert walk.config.environment.kind == "history"
    found = idi.sweep(short, {"discount": [0.5, 0.9]}, bars)
    assert (found.config.environment.kind, found.points.height) == ("history", 2)


def test_its_examples_hold():
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(module).attempted == 4
