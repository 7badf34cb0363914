"""The commands: what they print and write, and how they behave as processes."""

import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer
from cli_helpers import (
    FEW_STATES,
    QUICK,
    STREAMS,
    assert_mentions,
    bars,
    copy_of,
    finish,
    one_object,
    refused,
    run,
    same_run,
    snapshot,
    start,
    succeed,
)
from places import GOLDEN, ROOT

import idi_fast
from idi_fast.cli import app

ARTIFACT = {
    "run.json",
    "policy.parquet",
    "episodes.parquet",
    "trace.parquet",
    "timings.json",
    "manifest.json",
    "streams",
    "streams/streams.json",
    *(f"streams/{name}.in" for name in STREAMS),
}
BACKTEST = ARTIFACT - {"policy.parquet", "episodes.parquet", "timings.json"}
BACKTEST |= {"kpis.json", "equity.parquet", "trades.parquet", "returns.csv", "candles.parquet"}
CONTRACTS = {
    "v38": [
        "price",
        "volume",
        "trend",
        "profit_guard",
        "failure_echo",
        "q_buy",
        "q_sell",
        "risk_budget_ok",
        "q_regime",
        "q_emote_positive",
        "q_emote_alert",
    ],
    "layered": ["price_up", "price_down", "weight_momentum", "weight_contra", "weight_trend"],
    "all": list(STREAMS),
}

GROUP = typer.main.get_command(app)
PARAMETERS = [
    pytest.param(parameter, id=f"{name} {parameter.opts[0]}")
    for name, command in {"idi-fast": GROUP, **GROUP.commands}.items()
    for parameter in command.params
]


def assert_manifest_tells_all(folder: Path) -> None:
    files = {name: data for name, data in snapshot(folder).items() if data is not None}
    listed = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        for name, data in files.items()
        if name not in ("manifest.json", "timings.json")
    }
    assert json.loads(files["manifest.json"])["files"] == listed


# --- help and documentation


def test_version():
    assert run("--version") == (0, f"idi-fast {idi_fast.__version__}\n", "")


@pytest.mark.parametrize("args", [["--help"], ["train", "-h"], ["backtest", "--help"], ["train", "--print-config"]])
def test_nothing_heavy_is_imported_for_help(args):
    code = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
    status, stdout, stderr = finish(start(*args, code=code + "from idi_fast.cli import main; main()", fresh=True))
    heavy = {"numba", "numpy", "polars", "pyarrow", "rich"}
    assert (status, bool(stdout), heavy & set(stderr.split())) == (0, True, set())
    assert {"typer", "idi_fast.cli"} <= set(stderr.split())


def test_help_names_commands_and_exit_codes():
    status, stdout, stderr = run("--help")
    assert (status, stderr) == (0, "")
    assert_mentions(stdout, *GROUP.commands, "0 ok", "1 the work ran and failed", "2 usage", "130 interrupted")


def test_the_command_table():
    assert {"train", "backtest", "export", "bench"} <= set(GROUP.commands)
    assert [name for name, command in GROUP.commands.items() if not command.help] == []


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_every_option_has_help(parameter):
    assert parameter.help


def test_every_command_and_option_stands_in_the_docs():
    docs = "".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    names = [f"idi-fast {command}" for command in GROUP.commands]
    names += [opt for case in PARAMETERS for opt in case.values[0].opts if opt.startswith("--")]
    assert sorted({name for name in names if not re.search(rf"(?<![\w-]){name}(?![\w-])", docs)}) == []


# --- train


def test_train_writes_its_artifact_and_nothing_else(tmp_path):
    outcome = succeed("train", "--out", tmp_path / "a", "--seed", 7, *QUICK)
    assert set(snapshot(tmp_path)) == {"a", *(f"a/{name}" for name in ARTIFACT)}
    assert re.search(r"^seed +7$", outcome.stdout, re.M)
    assert re.search(r"^episodes +4$", outcome.stdout, re.M)
    assert_manifest_tells_all(tmp_path / "a")
    texts = [(tmp_path / "a" / "streams" / f"{name}.in").read_bytes() for name in STREAMS]
    assert all(re.fullmatch(rb"([0-9]+\n){16}", text) for text in texts)
    trace = pl.read_parquet(tmp_path / "a" / "trace.parquet")
    assert texts == ["".join(f"{value}\n" for value in trace[name]).encode() for name in STREAMS]


@pytest.mark.parametrize("env", [["--env", "synthetic"], ["--use-crypto-env"], ["--data", "bars.csv", "--seed", 3]])
def test_two_equal_runs_leave_the_same_bytes(env, world, tmp_path, monkeypatch):
    monkeypatch.chdir(world)
    for name in ("a", "b"):
        succeed("train", "--out", tmp_path / name, *QUICK, *env)
    succeed("train", "--out", tmp_path / "c", *QUICK, *env, "--seed", 99)
    assert same_run(tmp_path / "a", tmp_path / "b")
    assert not same_run(tmp_path / "a", tmp_path / "c")


def test_a_drawn_seed_is_recorded_and_runs_again(tmp_path):
    drawn = one_object(succeed("train", "--out", tmp_path / "a", "--seed", -1, *QUICK, "--json").stdout)
    another = one_object(succeed("train", "--out", tmp_path / "b", "--seed", -1, *QUICK, "--json").stdout)
    assert drawn["seed"] == json.loads((tmp_path / "a" / "run.json").read_text())["seed"] >= 0
    assert drawn["seed"] != another["seed"]
    succeed("train", "--out", tmp_path / "c", "--seed", drawn["seed"], *QUICK)
    assert same_run(tmp_path / "a", tmp_path / "c")


def test_run_json_holds_all_it_takes_to_run_again(world, tmp_path):
    recorded = json.loads((world / "agent" / "run.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(recorded["config"]))
    succeed("train", "--config", tmp_path / "config.json", "--seed", recorded["seed"], "--out", tmp_path / "again")
    assert same_run(world / "agent", tmp_path / "again")


def test_defaults_then_file_then_set_then_flags(tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"episodes": 11, "episode_length": 11, "learning_rate": 0.5, "quantizer": {}}))
    chosen = ["--set", "episodes=12", "--set", "episode_length=12", "--set", "quantizer.price_buckets=5"]
    outcome = succeed(
        "train", "--config", file, *chosen, "--episodes", 13, "--env", "crypto", "--fee-bps", 2.5, "--print-config"
    )
    config = json.loads(outcome.stdout)
    named = {name: config[name] for name in ("discount", "learning_rate", "episode_length", "episodes")}
    assert named == {"discount": 0.92, "learning_rate": 0.5, "episode_length": 12, "episodes": 13}
    assert config["quantizer"]["price_buckets"] == 5
    assert config["environment"]["market"]["fee_bps"] == 2.5
    (tmp_path / "printed.json").write_text(outcome.stdout, encoding="utf-8")
    assert succeed("train", "--config", tmp_path / "printed.json", "--print-config") == outcome


def test_force_replaces_an_earlier_output(world, tmp_path):
    old = copy_of(world / "agent", tmp_path / "old")
    succeed("train", "--out", old, "--force", *QUICK, *FEW_STATES)
    assert same_run(old, world / "synthetic")
    assert os.listdir(tmp_path) == ["old"]


def test_an_empty_folder_is_filled(world, tmp_path):
    succeed("train", "--out", tmp_path, *QUICK, *FEW_STATES)
    assert same_run(tmp_path, world / "synthetic")


# --- the reference's results, bit for bit


def test_compat_streams_are_those_of_the_recording(tmp_path):
    recorded = np.load(GOLDEN / "default_seed42.npz")["trace"].T.tolist()
    succeed("train", "--compat", "idi-iann", "--seed", 42, "--out", tmp_path / "a")
    names = json.loads((GOLDEN / "default_seed42.json").read_text())["streams"]
    index = json.dumps({"streams": {name: f"{name}.in" for name in names}}, sort_keys=True, indent=2)
    expected = {f"{name}.in": "\n".join(map(str, bits)) for name, bits in zip(names, recorded, strict=True)}
    files = {name: text.encode() for name, text in {**expected, "streams.json": index}.items()}
    assert snapshot(tmp_path / "a" / "streams") == files
    succeed("export", tmp_path / "a", "--to", tmp_path / "spec")
    assert snapshot(tmp_path / "spec") == files


@pytest.mark.parametrize(
    ("case", "seed"), [("backtest_plain", 1), ("backtest_ties_risk", 3), ("backtest_volume_fees", 2)]
)
def test_compat_backtest_is_the_recorded_one(case, seed, tmp_path):
    about, recorded = json.loads((GOLDEN / f"{case}.json").read_text()), np.load(GOLDEN / f"{case}.npz")
    config, data, policy = tmp_path / "config.json", tmp_path / "bars.parquet", tmp_path / "agent"
    config.write_text(json.dumps(about["config"]))
    pl.DataFrame({name: recorded[name] for name in about["columns"]}).write_parquet(data)
    succeed("train", "--config", config, "--compat", "idi-iann", "--seed", seed, "--out", policy)
    table = pl.read_parquet(policy / "policy.parquet")
    learnt = dict(zip(table[:, :5].rows(), table.select("q_hold", "q_buy", "q_sell").rows(), strict=True))
    # The recorded backtest left a row of zeros for each state it looked up in vain.
    states, q = (list(map(tuple, recorded[name].tolist())) for name in ("states", "q"))
    assert dict.fromkeys(states, (0.0, 0.0, 0.0)) | learnt == dict(zip(states, q, strict=True))
    options = ["--compat", "idi-iann", "--fee-bps", about["fee_bps"]]
    options += ["--volume-col", "volume"] if "volume" in about["columns"] else []
    options += ["--risk-col", "risk"] if "risk" in about["columns"] else []
    succeed("backtest", data, "--policy", policy, "--out", tmp_path / "result", *options)
    kpis = json.loads((tmp_path / "result" / "kpis.json").read_text())["kpis"]
    assert {name: repr(value) for name, value in kpis.items()} == about["kpis"]
    actions = pl.read_parquet(tmp_path / "result" / "trace.parquet")["action"].to_list()
    assert actions == [about["actions"][taken] for taken in recorded["taken"]]


# --- backtest and export


def test_backtest_of_new_bars(world, tmp_path):
    outcome = succeed("backtest", world / "later.parquet", "--policy", world / "agent", "--out", tmp_path / "b")
    assert set(snapshot(tmp_path)) == {"b", *(f"b/{name}" for name in BACKTEST)}
    assert_manifest_tells_all(tmp_path / "b")
    for pattern in (r"^bars +120$", r"^in sample +False$", r"^fee bps +5$", r"^total return +-?[0-9.,]+% "):
        assert re.search(pattern, outcome.stdout, re.M), outcome.stdout
    equity = pl.read_parquet(tmp_path / "b" / "equity.parquet")
    assert equity["close"].to_list() == pl.read_parquet(world / "later.parquet")["close"].to_list()


def test_backtest_of_bars_seen_in_training_says_so(world, tmp_path):
    status, stdout, stderr = run("backtest", world / "bars.csv", "--policy", world / "agent", "--out", tmp_path / "b")
    assert (status, bool(re.search(r"^in sample +True$", stdout, re.M))) == (0, True)
    assert_mentions(stderr, "note: the policy was trained on some of these bars")


@pytest.mark.parametrize(
    ("data", "used"),
    [
        ("later.parquet", {None: "next_open", "next-open": "next_open", "next-close": "next_close"}),
        ("later.parquet", {"same-close": "same_close"}),
        ("later_closes.parquet", {None: "next_close", "next-close": "next_close", "same-close": "same_close"}),
    ],
)
def test_the_fill_is_printed_and_counts(data, used, world, tmp_path):
    policy, returns = tmp_path / "agent", {}
    succeed("train", "--data", world / "closes.parquet", "--out", policy, "--episodes", 400, "--episode-length", 16)
    for asked, fill in used.items():
        out = tmp_path / f"as {asked}"
        option = () if asked is None else ("--fill", asked)
        outcome = succeed("backtest", world / data, "--policy", policy, "--out", out, *option)
        assert re.search(rf"^fill +{fill}$", outcome.stdout, re.M)
        result = json.loads((out / "kpis.json").read_text())
        assert (result["assumptions"]["fill"], result["kpis"]["trades"] > 0) == (fill, True)
        assert returns.setdefault(fill, result["kpis"]["total_return"]) == result["kpis"]["total_return"]
    assert len(set(returns.values())) == len(returns)


def test_a_fill_at_opens_that_are_not_there_is_refused(world, tmp_path):
    succeed("train", "--data", world / "closes.parquet", "--out", tmp_path / "agent", *QUICK)
    args = ("backtest", world / "later_closes.parquet", "--policy", tmp_path / "agent", "--out", tmp_path / "x")
    assert_mentions(refused(tmp_path, *args, "--fill", "next-open"), "fill is next_open", "no open", "next_close")


def test_an_output_that_holds_an_input_is_refused(world, tmp_path):
    policy = copy_of(world / "agent", tmp_path / "agent")
    args = ("backtest", world / "later.parquet", "--policy", policy, "--out", policy, "--force")
    assert_mentions(refused(tmp_path, *args), "would replace", "agent", "which is read")


def test_options_that_would_have_no_effect_are_refused(tmp_path):
    assert_mentions(
        refused(tmp_path, "train", "--out", tmp_path / "x", "--stress", "panic"), "synthetic", "stress_scenario"
    )
    args = ("train", "--out", tmp_path / "x", "--env", "crypto", "--price-col", "Close")
    assert_mentions(refused(tmp_path, *args), "crypto environment has no use for price")


def test_streams_of_another_length_left_in_a_folder_are_named(world, tmp_path):
    succeed("export", world / "agent", "--to", tmp_path, "--kind", "layered")
    outcome = succeed("export", world / "agent", "--to", tmp_path, "--kind", "v38")
    assert_mentions(outcome.stderr, "note: left from an earlier export", "price_up", "weight_trend")


def test_calibration_needs_no_policy_and_writes_nothing(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = succeed("backtest", world / "bars.csv", "--calibrate-only")
    close = bars()["close"].to_numpy()
    returns = np.diff(np.log(close))
    expected = f"drift  {returns.mean():.6g}\nvol    {returns.std(ddof=1):.6g}\n"
    assert (outcome.stdout, os.listdir(tmp_path)) == (expected, [])


@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize("source", ["agent", "backtest"])
def test_export_into_a_folder_in_use(contract, source, world, tmp_path):
    copy_of(world / "agent", tmp_path / "agent")
    later = world / "later.parquet"
    succeed("backtest", later, "--policy", tmp_path / "agent", "--out", tmp_path / "backtest")
    spec = tmp_path / "spec"
    spec.mkdir()
    (spec / "notes.txt").write_text("mine")
    (spec / "q_buy.in").write_text("an older one")
    before = snapshot(spec)
    for _ in range(2):  # the second export replaces the first
        outcome = succeed("export", tmp_path / source, "--to", spec, "--kind", contract)
        trace = pl.read_parquet(tmp_path / source / "trace.parquet")
        names = CONTRACTS[contract]
        streams = {f"{name}.in": "".join(f"{value}\n" for value in trace[name]).encode() for name in names}
        index = {"streams": {name: f"{name}.in" for name in names}}
        after = snapshot(spec)
        assert json.loads(after.pop("streams.json")) == index
        assert after == {**before, **streams}
        rows = [f"{name} {'bv[5]' if name == 'q_regime' else 'sbf'}" for name in names]
        assert [" ".join(line.split()) for line in outcome.stdout.splitlines()[3:]] == rows


def test_json_is_one_object_and_all_of_stdout(world, tmp_path):
    later = world / "later.parquet"
    for args in (
        ("train", "--out", tmp_path / "t", *QUICK),
        ("train", "--out", tmp_path / "u", "--episodes", 0, "--episode-length", 1),
        ("backtest", later, "--policy", world / "agent", "--out", tmp_path / "b"),
        ("backtest", later, "--policy", world / "synthetic", "--out", tmp_path / "c", "--compat", "idi-iann"),
        ("backtest", later, "--calibrate-only"),
        ("export", tmp_path / "b", "--to", tmp_path / "e"),
    ):
        assert len(one_object(succeed(*args, "--json").stdout)) > 1
