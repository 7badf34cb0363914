"""`idi-fast sweep`: its output, its files, and what it refuses."""

import json
import math

import cli_helpers as cli
import numpy as np
import polars as pl
import pytest
from market_data import random_walk
from test_cli import assert_manifest_tells_all
from test_sweep import GRID, run, setup
from test_trainer import config
from test_walk_forward import SHORT

from idi_fast import TrainingConfig
from idi_fast.errors import ConfigError, DataError, InputError, OutputError
from idi_fast.selection.grid import parse_grid
from idi_fast.selection.sweep import sweep

# --- what is refused


TOO_MANY = {"learning_rate": [k / 1000 for k in range(1, 102)], "discount": [k / 100 for k in range(1, 101)]}


@pytest.mark.parametrize(
    ("grid", "error", "message"),
    [
        ({}, InputError, "the grid is empty"),
        ({"discount": []}, InputError, "the grid has no values for discount"),
        ({"discount": [0.9, 0.90]}, InputError, "the grid has discount=0.9 twice; name each value of a key once"),
        ({"discount": [0.5], "emote.linger_ticks": [1, 2, 1]}, InputError, "discount=0.5, emote.linger_ticks=1 twice"),
        ({"learning_rat": [0.1]}, ConfigError, "learning_rat is not a known key. Did you mean 'learning_rate'?"),
        ({"learning.algorithm": ["sarsa"]}, ConfigError, "learning.algorithm is 'sarsa'; expected one of"),
        ({"learning_rate": [0.1, 2]}, ConfigError, "learning_rate is 2; expected"),
        (TOO_MANY, InputError, "the grid has 10,100 points; expected no more than 10,000"),
        (
            {"environment.market.fee_bps": [5, 1]},
            InputError,
            "the grid's environment.market.fee_bps=1 changes environment",
        ),
        (
            {"environment": [{"market": {"fee_bps": 1}}]},
            InputError,
            "changes environment; runs that differ in it cannot",
        ),
        ({"environment.allow_short": [True, False]}, InputError, "allow_short=false changes environment"),
        ({"engine.rng": ["sfc64", "mt19937"]}, InputError, 'engine.rng="mt19937" changes engine'),
    ],
)
def test_grids_that_are_refused(grid, error, message):
    for made in (setup(), config("crypto")):
        with pytest.raises(error) as caught:
            sweep(made, grid, random_walk(400) if made.environment.kind == "history" else None)
        assert message in str(caught.value)


@pytest.mark.parametrize(
    ("grid", "name"),
    [
        ({"rewards.pnl": [1, 2]}, "rewards"),
        ({"rewards": [{"ethics_bonus": 0}]}, "rewards"),
        ({"episode_length": [30, 31]}, "episode_length"),
        ({"quantizer.mood_buckets": [4, 8]}, "quantizer.mood_buckets"),
        ({"environment.kind": ["crypto", "synthetic"]}, "environment"),
    ],
)
def test_what_changes_the_reward_of_a_simulated_market_is_refused(grid, name):
    with pytest.raises(InputError, match=f"changes {name}; runs that differ in it cannot be compared"):
        sweep(config("crypto"), grid)


def test_what_does_not_change_what_is_earned_may_be_in_a_grid():
    # Accounts do not know of rewards, and a mood that earns nothing is a part of the state like others.
    for grid in ({"rewards.pnl": [1, 2]}, {"episode_length": [20, 30]}, {"quantizer.mood_buckets": [1, 4]}):
        assert run(random_walk(400), grid).points.height == 2
    moodless = config("crypto", rewards={"communication_clarity": 0.0})
    assert sweep(moodless, {"quantizer.mood_buckets": [1, 4]}, evaluation_episodes=5).points.height == 2


@pytest.mark.parametrize(
    ("bars", "options", "message"),
    [
        (400, {"validation_bars": 1}, "validation_bars is 1; expected 2 or more"),
        (400, {"test_bars": 0}, "test_bars is 0; expected 2 or more"),
        (9, {}, "validation_bars is 1"),
        (
            400,
            {"test_bars": 227},
            r"the history has 400 bars: 80 for validation, 227 for the test and an embargo of 32 "
            r"before each leave 29 for training; expected more than episode_length \(30\)",
        ),
        (400, {"test_bars": 226}, "leave 30 for training"),
        (100, {}, "leave 0 for training"),
        (400, {"fill": "never"}, "fill is 'never'"),
        (400, {"fee_bps": -1.0}, "fee_bps is -1.0"),
        (400, {"fee_bps": math.nan}, "fee_bps is nan"),
        (400, {"jobs": 0}, "jobs is 0"),
        (400, {"seeds": ()}, "there are no seeds"),
        (400, {"seeds": (1, 1)}, "the seed 1 is listed twice"),
        (400, {"evaluation_episodes": 9}, "the history environment has no use for evaluation_episodes"),
    ],
)
def test_options_that_are_refused(bars, options, message):
    with pytest.raises(InputError, match=message):
        run(random_walk(bars), **options)


def test_as_few_bars_as_can_be():
    assert run(random_walk(400), test_bars=225).summary["assumptions"]["training"] == [0, 31]
    assert run(random_walk(400), validation_bars=2, test_bars=2).summary["assumptions"]["test"] == [398, 400]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"evaluation_episodes": 1}, "evaluation_episodes is 1; expected 2 or more"),
        ({"validation_bars": 9, "fee_bps": 0.0}, "the crypto environment has no use for validation_bars, fee_bps"),
        ({"test_bars": 9, "fill": "next-open"}, "the crypto environment has no use for test_bars, fill"),
        ({"history": random_walk(400)}, "the crypto environment has no use for history"),
        ({"seeds": (-1,)}, "the seed is -1; expected 0 or more"),
    ],
)
def test_options_that_simulated_markets_refuse(options, message):
    with pytest.raises(InputError, match=message):
        sweep(config("crypto"), GRID, **options)


def test_a_history_that_is_not_named_is_missed():
    with pytest.raises(DataError, match="there is no price history: give one"):
        sweep(setup(), GRID)


# --- the grid as text


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.05,0.1", [0.05, 0.1]),
        (" 1 , 2.5,true,null", [1, 2.5, True, None]),
        ("q_learning, q_lambda", ["q_learning", "q_lambda"]),
        ('"1",1', ["1", 1]),
        ("[1,2],[3]", [[1, 2], [3]]),
        ('{"k": 8, "decay": 0.5},{"k": 9},null', [{"k": 8, "decay": 0.5}, {"k": 9}, None]),
        ('a,["x","y"],"b,c",2,[', ["a", ["x", "y"], "b,c", 2, "["]),
        ("0.1,", [0.1, ""]),
        ("a=b", ["a=b"]),
    ],
)
def test_values_of_a_grid_as_text(text, values):
    grid = parse_grid([f" some.key = {text}", "other=1"])
    assert grid == {"some.key": values, "other": [1]}
    assert [type(value) for value in grid["some.key"]] == [type(value) for value in values]


@pytest.mark.parametrize("text", ["discount", "discount=", "=0.1", " = ", ""])
def test_a_grid_that_is_no_grid(text):
    with pytest.raises(InputError, match=r"expected key=value,value, as in learning_rate=0\.05,0\.1"):
        parse_grid(["a=1", text])


def test_a_key_that_is_given_twice():
    with pytest.raises(InputError, match="`grid='discount'` is given twice; list all its values at once"):
        parse_grid(["discount=0.5", "learning_rate=0.1", " discount =0.9"])


# --- the command

FILES = {
    "config.json",
    "manifest.json",
    "points.parquet",
    "policies",
    "policies/0.parquet",
    "policies/1.parquet",
    "run.json",
    "sweep.json",
    "trials.parquet",
}
QUICK = (
    "--grid",
    "learning_rate=0.05,0.4",
    "--grid",
    "learning.algorithm=q_learning,q_lambda",
    "--seeds",
    "0:2",
    "--episodes",
    12,
    "--episode-length",
    30,
)
SETS = tuple(part for name, feature in SHORT.items() for part in ("--set", f"features.{name}={json.dumps(feature)}"))


@pytest.fixture
def bars(tmp_path):
    """A price history of 400 bars in a file."""
    history = random_walk(400)
    columns = {name: getattr(history, name) for name in ("close", "open", "volume")}
    frame = pl.DataFrame({"time": np.arange(400) * 86_400, **columns}).with_columns(pl.from_epoch("time"))
    frame.write_parquet(tmp_path / "bars.parquet")
    return tmp_path / "bars.parquet"


def test_the_command(bars, tmp_path):
    shown = cli.succeed("sweep", bars, *QUICK, *SETS, "--out", tmp_path / "one", "--jobs", 1).stdout
    cli.assert_mentions(
        shown,
        "grid        learning_rate, learning.algorithm\n",
        "trials      8\n",
        "validation  bars 208 to 287\n",
        "min of seeds",
        "deflated sharpe ratio",
        "chosen config",
        "buy and hold",
        "the luck of the best of 4",
    )
    assert set(cli.snapshot(tmp_path / "one")) == FILES
    assert_manifest_tells_all(tmp_path / "one")
    outcome = cli.succeed("sweep", bars, *QUICK, *SETS, "--out", tmp_path / "two", "--jobs", 2, "--json")
    few = cli.succeed("sweep", bars, *QUICK, *SETS, "--out", tmp_path / "few", "--test-bars", 9, "--json")
    assert "note: the test has 9 bars, fewer than the 32 that the longest feature looks back over" in few.stderr
    told, kept = cli.one_object(outcome.stdout), cli.one_object((tmp_path / "one" / "sweep.json").read_text())
    assert told == {"out": str(tmp_path / "two"), **kept}
    assert cli.snapshot(tmp_path / "one") == cli.snapshot(tmp_path / "two")
    chosen = kept["chosen"]
    scores = pl.read_parquet(tmp_path / "one" / "points.parquet")["score"]
    assert (chosen["point"], kept["validation"]["score"]) == (scores.arg_max(), scores.max())
    assert pl.read_parquet(tmp_path / "one" / "trials.parquet").height == 8
    found = TrainingConfig.from_json(tmp_path / "one" / "config.json")
    assert (found.learning_rate, found.learning.algorithm) == tuple(chosen["values"].values())
    run = json.loads((tmp_path / "one" / "run.json").read_text())
    assert (run["kind"], run["fingerprint"], run["data"]["bars"]) == ("sweep", found.fingerprint(), 400)


def test_what_a_sweep_leaves_is_trained_and_backtested(bars, tmp_path):
    cli.succeed("sweep", bars, *QUICK, *SETS, "--out", tmp_path / "s")
    cli.succeed("train", "--config", tmp_path / "s" / "config.json", "--seed", 1, "--out", tmp_path / "agent")
    told = json.loads((tmp_path / "agent" / "run.json").read_text())
    kept = json.loads((tmp_path / "s" / "sweep.json").read_text())
    assert told["fingerprint"] == kept["chosen"]["fingerprint"]
    args = ("backtest", bars, "--policy", tmp_path / "s" / "policies" / "1.parquet", "--out", tmp_path / "b", "--json")
    assert cli.one_object(cli.succeed(*args).stdout)["assumptions"]["in_sample"] is True


def test_a_sweep_is_saved_from_python_as_by_the_command(tmp_path):
    result = run(random_walk(400), {"discount": [0.5]}, seeds=(0, 1))
    for _ in range(2):
        result.save(tmp_path / "s", force=True)
        assert set(cli.snapshot(tmp_path / "s")) == FILES
        assert_manifest_tells_all(tmp_path / "s")
    with pytest.raises(OutputError, match="already exists"):
        result.save(tmp_path / "s")


def test_the_command_on_a_simulated_market(tmp_path):
    args = ("sweep", "--env", "crypto", *QUICK, "--evaluation-episodes", 20, "--out", tmp_path / "s")
    shown = cli.succeed(*args).stdout
    cli.assert_mentions(shown, "validation seed", "above the best baseline", "seed 1", "; better than every baseline")
    assert set(cli.snapshot(tmp_path / "s")) == FILES
    assert json.loads((tmp_path / "s" / "run.json").read_text())["data"] is None
    cli.succeed("train", "--config", tmp_path / "s" / "config.json", "--out", tmp_path / "agent")


def test_what_stood_there_before(bars, old, tmp_path):
    args = ("sweep", bars, *QUICK, *SETS, "--out")
    cli.assert_mentions(cli.refused(tmp_path, *args, old), "old already exists", "--force")
    thesis = cli.put(tmp_path / "x")
    cli.assert_mentions(cli.refused(tmp_path, *args, thesis, "--force"), "something other than an output of idi-fast")
    (old / "notes.txt").write_text("mine")
    cli.assert_mentions(cli.refused(tmp_path, *args, old, "--force"), "notes.txt, which idi-fast did not write")
    (old / "notes.txt").unlink()
    cli.succeed(*args, old, "--force")
    assert set(cli.snapshot(old)) == FILES
    inside = (bars.rename(old / bars.name), *QUICK, "--out", old, "--force")
    cli.assert_mentions(cli.refused(tmp_path, "sweep", *inside), "would replace", "which is read")


def test_an_interrupt_leaves_what_stood_there(bars, old, tmp_path):
    before = cli.snapshot(tmp_path)
    with cli.failing_write("points.parquet", KeyboardInterrupt()):
        status, stdout, stderr = cli.run("sweep", bars, *QUICK, *SETS, "--out", old, "--force")
    assert (status, stdout, stderr) == (130, "", "interrupted; nothing was written\n")
    assert cli.snapshot(tmp_path) == before


GIVEN = ("bars.parquet", "--out", "x")


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        ([*GIVEN], ["--grid is missing", "--grid learning_rate=0.05,0.1"]),
        (["bars.parquet", "--grid", "discount=0.9"], ["--out is missing"]),
        (["none.parquet", "--out", "x", "--grid", "discount=0.9"], ["none.parquet"]),
        (["--env", "history", "--out", "x", "--grid", "discount=0.9"], ["there is no price history"]),
        ([*GIVEN, "--grid", "discount"], ["--grid discount: expected key=value,value"]),
        ([*GIVEN, "--grid", "discount=0.9", "--grid", "discount=0.8"], ["--grid discount is given twice"]),
        ([*GIVEN, "--grid", "discount=0.9,0.9"], ["the grid has discount=0.9 twice"]),
        ([*GIVEN, "--grid", "discont=0.9"], ["discont is not a known key", "Did you mean 'discount'?"]),
        ([*GIVEN, "--grid", "environment.market.fee_bps=1,2"], ["environment.market.fee_bps=1 changes environment"]),
        ([*GIVEN, "--grid", "discount=0.9", "--validation-bars", 1], ["validation_bars is 1"]),
        ([*GIVEN, "--grid", "discount=0.9", "--test-bars", 399], ["the history has 400 bars", "episode_length (64)"]),
        ([*GIVEN, "--grid", "discount=0.9", "--fill", "now"], ["fill is 'now'"]),
        ([*GIVEN, "--grid", "discount=0.9", "--fee-bps", "nan"], ["fee_bps is nan"]),
        ([*GIVEN, "--grid", "discount=0.9", "--jobs", 0], ["jobs is 0"]),
        ([*GIVEN, "--grid", "discount=0.9", "--seeds", "a"], ["--seeds a"]),
        ([*GIVEN, "--grid", "discount=0.9", "--evaluation-episodes", 9], ["no use for evaluation_episodes"]),
        ([*GIVEN, "--grid", "discount=0.9", "--env", "crypto"], ["a price history was given", "--env is 'crypto'"]),
        (["--env", "crypto", "--out", "x", "--grid", "rewards.pnl=1,2"], ["rewards.pnl=2 changes rewards"]),
        (["--env", "crypto", "--out", "x", "--grid", "discount=0.9", "--nan", "drop"], ["crypto", "no use for nan"]),
        (["--env", "crypto", "--out", "x", "--grid", "discount=0.9", "--test-bars", 9], ["no use for test_bars"]),
        (["--env", "crypto", "--out", "x", "--grid", "discount=0.9", "--evaluation-episodes", 1], ["is 1; expected 2"]),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else None,
)
def test_bad_options(args, parts, bars, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli.assert_mentions(cli.refused(tmp_path, "sweep", *args), *parts)
