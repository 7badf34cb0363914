"""Requests that cannot be met are refused by name, before anything is written."""

import json
import os

import cli_helpers as cli
import numpy as np
import polars as pl
import pytest

import idi_fast as idi
from idi_fast import TrainingConfig
from idi_fast.agents.trace_files import read_trace
from idi_fast.data.bar_frequency import BarTimes
from idi_fast.data.loading import load_history
from idi_fast.errors import ArtifactError, ConfigError, DataError, IdiFastError, nearest
from idi_fast.evaluation.baselines import Compared, Comparison, plain_verdict, remedy
from idi_fast.evaluation.evaluator import Evaluation
from idi_fast.storage.tables import TableWriter

NO_PLACE = {
    "": "--out is empty; expected a path",
    ".": "the output is empty or the working directory; expected a place of its own, for example my_agent",
    "/": "the output is /, the working directory or a root; expected a place of its own, for example my_agent",
}


@pytest.mark.parametrize("out", NO_PLACE)
def test_an_output_needs_a_folder_of_its_own(out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = cli.run("train", *cli.QUICK, "--out", out)
    assert (outcome.status, outcome.stdout, outcome.stderr) == (2, "", f"error: {NO_PLACE[out]}\n")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "options", [["--out", "b"], ["--policy", "p"], ["--fail-if", "x"], ["--symbol-files"], ["--fill", "same-close"]]
)
def test_calibration_refuses_what_it_would_ignore(world, options):
    outcome = cli.run("backtest", world / "bars.csv", "--calibrate-only", *options)
    assert (outcome.status, outcome.stdout) == (2, "")
    cli.assert_mentions(outcome.stderr, f"{options[0]}: not with --calibrate-only")


def test_conditions_know_the_bars_and_must_name_a_figure(world, tmp_path):
    command = ("backtest", world / "later.parquet", "--policy", world / "agent", "--no-trace", "--out")
    outcome = cli.run(*command, tmp_path / "b", "--fail-if", "bars > 1 and dropped_rows == 0")
    assert outcome.status == 1
    cli.assert_mentions(outcome.stderr, "(bars is ", "dropped_rows is 0)")
    outcome = cli.run(*command, tmp_path / "c", "--fail-if", "1 < 2")
    assert outcome.status == 2
    cli.assert_mentions(outcome.stderr, "names no figure")


def test_a_name_is_suggested_where_it_is_alike_enough():
    assert nearest("abcd", ["abxy"]) == " Did you mean 'abxy'?"
    assert nearest("abcd", ["abxy"], 0.6) == ""


def test_a_folder_without_a_trace_tells_why(tmp_path):
    for kind, said in {
        "backtest": "`trace=False`",
        "symbol-backtest": "many symbols",
        "population-backtest": "many policies",
        "train": "give a folder",
    }.items():
        (tmp_path / "run.json").write_text(json.dumps({"kind": kind}))
        with pytest.raises(ArtifactError, match=said):
            read_trace(tmp_path)


def test_the_tile_sizes_are_blamed_for_their_own_length():
    with pytest.raises(ConfigError, match=r"tile_coder.tile_sizes has length 3; expected 5"):
        TrainingConfig.from_dict({"tile_coder": {"tile_sizes": [4, 4, 4]}})
    with pytest.raises(ConfigError, match=r"tile_coder.offsets has length 2; expected the length of tile_sizes \(5\)"):
        TrainingConfig.from_dict({"tile_coder": {"offsets": [0, 1]}})


def test_a_sweep_needs_something_to_learn(tmp_path):
    outcome = cli.run("sweep", "--grid", "learning_rate=0.05,0.1", "--out", tmp_path / "s")
    assert outcome.status == 2
    cli.assert_mentions(outcome.stderr, "give DATA or --env crypto")


def test_training_on_bars_says_of_which_its_evaluation_is(world, tmp_path):
    outcome = cli.succeed("train", "--data", world / "bars.csv", "--out", tmp_path / "a", *cli.QUICK)
    cli.assert_mentions(outcome.stderr, "note: the evaluation is over training bars")


@pytest.mark.parametrize(("difference", "said"), [(-3.0, "significantly worse"), (-1.0, "not significantly better")])
def test_a_policy_worse_than_the_best_baseline_is_called_so(difference, said):
    compared = Compared(Evaluation(5.0, 1.0, 1000), Evaluation(difference, 1.0, 1000))
    report = Comparison(Evaluation(5.0 + difference, 1.0, 1000), {"hold": compared}, False, 0, None)
    assert report.verdict().startswith(f"{said} than 'hold'")


def test_a_table_to_leave_alone_is_called_so_with_what_to_do(tmp_path):
    lines = cli.succeed("train", "--out", tmp_path / "noise").stdout.splitlines()
    assert lines[-2].startswith("verdict  ")
    assert lines[-2].endswith("do not use this table, doing nothing earns more")
    assert " this market is noise" in lines[-1]
    assert lines[-1].split("  ")[-1] in repr(idi.train(seed=0))
    population = cli.succeed("train", "--seeds", "0:2", "--out", tmp_path / "more").stdout
    assert population.splitlines()[-1].startswith("what to do")


PROFIT = dict.fromkeys(("scarcity_alignment", "ethics_bonus", "communication_clarity"), 0.0)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"environment": {"kind": "crypto"}}, "these rewards are not profit alone"),
        ({"environment": {"kind": "crypto"}, "rewards": PROFIT}, "let the table be computed"),
        (
            {"environment": {"kind": "crypto"}, "rewards": PROFIT, "learning": {"algorithm": "value_iteration"}},
            "what it sees does not tell",
        ),
        ({"engine": {"compat": "idi_iann"}, "environment": {"kind": "crypto"}}, "more episodes"),
        ({}, "this market is noise"),
    ],
)
def test_what_to_do_depends_on_how_it_was_trained(config, said):
    worse = Compared(Evaluation(5.0, 1.0, 1000), Evaluation(-3.0, 1.0, 1000))
    told = Comparison(Evaluation(2.0, 1.0, 1000), {"buy": worse}, True, 0, None).to_dict()
    settings = idi.TrainingConfig.from_dict(config)
    assert remedy(told, settings).startswith(said)
    assert plain_verdict(told).endswith("always buying earns more, even on the bars of its training")
    equal = Compared(Evaluation(5.0, 1.0, 1000), Evaluation(-1.0, 1.0, 1000))
    assert remedy(Comparison(Evaluation(4.0, 1.0, 1000), {"buy": equal}, True, 0, None).to_dict(), settings) is None


@pytest.mark.parametrize("command", ["train", "workflow"])
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ([f"environment.market.drift_{regime}=70" for regime in ("bull", "bear", "chop")], "the simulated prices"),
        (["environment.market.vol_base=1e180"], "the simulated prices"),
        (["rewards.pnl=1e308", "learning_rate=1", "discount=1"], "the Q-values"),
    ],
)
def test_values_beyond_all_numbers_end_a_run_that_leaves_nothing(tmp_path, command, settings, said):
    # Nor checkpoints: continued, the run would end in the same way.
    config, options = tmp_path / "config.json", [f"--set={setting}" for setting in settings]
    config.write_text(json.dumps({"episodes": 40, "episode_length": 16, "environment": {"kind": "crypto"}}))
    given = ("--config", config, "--checkpoint-every", 1) if command == "train" else (config,)
    outcome = cli.run(command, *given, *options, "--out", tmp_path / "a")
    assert outcome.status == 1
    (line,) = outcome.stderr.splitlines()
    cli.assert_mentions(line, f"{said} overflowed")
    assert os.listdir(tmp_path) == ["config.json"]


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_table_that_an_error_cut_short_is_closed_in_silence(tmp_path):
    def fail() -> None:
        with TableWriter(tmp_path / "t.parquet") as table:
            table.write(pl.DataFrame({"x": np.arange(9)}))
            raise IdiFastError("enough")

    with pytest.raises(IdiFastError, match="enough"):
        fail()


KILLED = """
import os, signal
from idi_fast.training.trainer import Trainer
Trainer.compile = lambda self: os.kill(os.getpid(), signal.{name})
from idi_fast.cli import main; main()
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_polite_kill_is_told_of_like_an_interrupt(name, code, tmp_path):
    process = cli.start("train", *cli.QUICK, "--out", tmp_path / "a", code=KILLED.format(name=name))
    assert cli.finish(process) == (code, "", "interrupted; nothing was written\n")
    assert os.listdir(tmp_path) == []


def test_one_is_not_counted_as_many():
    bar_times = BarTimes()
    bar_times.push(np.arange(25) * 3_600_000_000_000)
    assert bar_times.frequency().why_no_growth == "the bars span 1 day; a growth per year takes 30"


def test_times_of_several_symbols_are_recognised(tmp_path):
    times = [10**9, 10**9 + 1] * 2
    frame = pl.DataFrame({"time": times, "close": [1.0, 2.0, 3.0, 4.0], "ticker": ["A", "A", "B", "B"]})
    frame.write_csv(tmp_path / "x.csv")
    with pytest.raises(DataError, match=r"times must increase.*; if these are several symbols: `symbol_col='ticker'`$"):
        load_history(tmp_path / "x.csv")
    frame.drop("ticker").write_csv(tmp_path / "x.csv")
    with pytest.raises(DataError, match=r"sort them: `sort=True`$"):
        load_history(tmp_path / "x.csv")
    (tmp_path / "x.csv").unlink()
    for name in ("A", "B"):
        frame.filter(ticker=name).drop("ticker").write_csv(tmp_path / f"{name}.csv")
    with pytest.raises(DataError, match=r"times must increase.*; if each file is a symbol: `symbol_files=True`$"):
        load_history(tmp_path)
