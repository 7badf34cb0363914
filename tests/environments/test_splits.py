"""Training before a split, tests after it, and an embargo between."""

from dataclasses import replace

import cli_helpers as cli
import numpy as np
import pytest
from history_files import assert_mentions
from market_data import random_walk

import idi_fast as idi
from idi_fast.config.settings import TrainingConfig
from idi_fast.environments.splits import load_test_bars, load_training_bars, split_history
from idi_fast.errors import InputError

HOUR = 3600 * 10**9
WALK = random_walk(2000, seed=3)
BARS = replace(WALK, time=np.arange(2000) * HOUR, columns={"time": "time", **WALK.columns})
SMALL = {"episodes": 4, "episode_length": 16}


def config(split: str | None, **data) -> TrainingConfig:
    return TrainingConfig.from_dict(
        {
            **SMALL,
            "environment": {"kind": "history", "data": {"split": split, **data}},
            "quantizer": {"volume_buckets": 1},
        }
    )


@pytest.mark.parametrize(
    ("split", "place"), [("70%", 1400), ("0.95%", 19 + 400), ("1970-02-01", 744), ("1970-02-01T00:30Z", 745)]
)
def test_the_parts_and_the_embargo_between(split, place):
    if split == "0.95%":
        with pytest.raises(InputError, match=r"the split at 0.95% leaves 0 bars for training, after an embargo of 64"):
            split_history(config(split), BARS)
        return
    found = split_history(config(split), BARS)
    assert (len(found.training), len(found.test)) == (place - 64, 2000 - place)
    assert found.training.time[-1] + 65 * HOUR == found.test.time[0]
    again = split_history(found.config, BARS)  # a share is a time from then on
    assert (len(again.training), len(again.test), again.config) == (place - 64, 2000 - place, found.config)
    assert "%" not in found.config.environment.data.split


def test_each_part_must_hold_an_episode():
    with pytest.raises(InputError, match=r"the split at 0.95% leaves 0 bars for training, after an embargo of 64"):
        split_history(config("0.95%"), BARS)


def test_no_split_is_all_bars():
    assert split_history(config(None), BARS) == (config(None), BARS, None)


def test_a_split_needs_times():
    with pytest.raises(InputError, match="a split was given, but the history has no times"):
        split_history(config("70%"), replace(BARS, time=None))


def test_training_sees_no_bar_behind_the_split():
    later = BARS.close.copy()
    later[1400 - 64 :] *= 3.0
    run, other = (idi.train(config("70%"), bars, seed=1) for bars in (BARS, replace(BARS, close=later)))
    assert run.policy.identity()["tables_sha256"] == other.policy.identity()["tables_sha256"]
    assert run.policy.trained_on[0]["bars"] == 1336
    assert not run.evaluation.in_sample
    assert run.evaluation.evaluation.mean != other.evaluation.evaluation.mean
    population = idi.train_population(config("70%"), [1, 2], history=BARS)
    assert not population.in_sample
    assert population.best.policy.config.environment.data.split == "1970-02-28T08:00:00Z"


def test_a_backtest_begins_at_the_split():
    run = idi.train(config("70%"), BARS, seed=1)
    found = idi.backtest(run.policy, BARS).to_dict()["assumptions"]
    assert (found["bars"], found["first_time"], found["in_sample"]) == (600, "1970-02-28T08:00:00Z", False)
    assert idi.backtest(run.policy, BARS, start="1970-01-01").to_dict()["assumptions"]["in_sample"]
    assert len(idi.evaluate(run.policy, BARS).baselines) == 4


@pytest.mark.parametrize("call", [idi.walk_forward, lambda config, bars: idi.sweep(config, {"discount": [0.5]}, bars)])
def test_what_splits_by_itself_takes_none(call):
    with pytest.raises(InputError, match=r"environment.data.split is for train; a \S+ splits the bars by itself"):
        call(config("70%"), BARS)


def test_by_command(tmp_path):
    path = tmp_path / "bars.parquet"
    BARS.to_frame().write_parquet(path)
    outcome = cli.succeed("train", "--data", path, "--split", "70%", "--out", tmp_path / "a", *cli.QUICK)
    assert "over training bars" not in outcome.stderr
    assert "in sample" not in cli.succeed("evaluate", tmp_path / "a").stdout
    shown = cli.succeed("backtest", path, "--policy", tmp_path / "a", "--out", tmp_path / "b").stdout
    assert_mentions(shown, "bars              600", "in sample         False")
    shown = cli.succeed("verify", tmp_path / "a", "--data", path).stdout
    assert "fails" not in shown
    cli.succeed("prove", tmp_path / "a", "--prover", "replay")
    cli.succeed("verify", tmp_path / "a", "--data", path, "--require", "replay")
    policy = idi.Policy.load(tmp_path / "a")
    assert len(load_training_bars(policy.config)) == 1336
    assert len(load_test_bars(policy.config)) == 600
    shown = cli.succeed(
        "train", "--data", path, "--split", "70%", "--seeds", "0:2", "--out", tmp_path / "p", *cli.QUICK
    )
    assert_mentions(shown.stdout, "windows of the bars behind the split", "of seeds, in sample")


def test_a_range_of_the_data(tmp_path):
    path = tmp_path / "bars.parquet"
    BARS.to_frame().write_parquet(path)
    some = ["--data", path, "--start", "1970-01-10", "--end", "1970-02-10"]
    cli.succeed("train", *some, "--out", tmp_path / "a", *cli.QUICK)
    policy = idi.Policy.load(tmp_path / "a")
    assert policy.trained_on[0]["bars"] == 31 * 24
    # The range is one of the training's bars: other data are read whole.
    shown = cli.succeed("backtest", path, "--policy", tmp_path / "a", "--out", tmp_path / "b").stdout
    assert_mentions(shown, "bars              2,000", "in sample         True")
    outcome = cli.run("train", "--data", path, "--start", "2030-01-01", "--out", tmp_path / "c", *cli.QUICK)
    assert outcome.status == 2
    assert_mentions(
        outcome.stderr, "no bar lies from 2030-01-01T00:00:00Z; the history has bars from 1970-01-01T00:00:00Z"
    )
    outcome = cli.run("train", "--data", path, "--start", "1970-02-01", "--end", "1970-01-01", "--out", tmp_path / "c")
    assert_mentions(outcome.stderr, "expected a start before the end")
