"""`idi-fast spec`: folders that the interpreter runs as they are, and their expected outputs."""

import json
import re
import shutil
from pathlib import Path

import cli_helpers as cli
import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from places import GOLDEN
from tau_folders import oracle_machine

from idi_fast import History, backtest, train
from idi_fast.agents.streams import CONTRACTS
from idi_fast.tau.contract import agent
from idi_fast.tau.export import export_streams, stream_columns
from idi_fast.tau.simulation import simulate_folder
from idi_fast.tau.spec import Spec, load_spec
from idi_fast.tau.spec_folder import write_spec

TICKS = 3000


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Trained runs of 3,000 ticks, and a backtest of recorded bars."""
    folder = tmp_path_factory.mktemp("runs")
    length = ("--episode-length", TICKS, "--episodes", 4)
    cli.succeed("train", "--out", folder / "synthetic", "--seed", 3, *length)
    cli.succeed("train", "--out", folder / "crypto", "--env", "crypto", *length)
    recorded, about = (np.load(GOLDEN / "backtest_plain.npz"), json.loads((GOLDEN / "backtest_plain.json").read_text()))
    pl.DataFrame({name: recorded[name] for name in about["columns"]}).write_parquet(folder / "bars.parquet")
    cli.bars(400).write_parquet(folder / "history.parquet")
    cli.succeed("train", "--out", folder / "agent", "--data", folder / "history.parquet", "--episodes", 200)
    bars = folder / "bars.parquet"
    cli.succeed("train", "--out", folder / "closes", "--data", bars, "--episode-length", 32, "--episodes", 200)
    cli.succeed("backtest", bars, "--policy", folder / "closes", "--out", folder / "backtest")
    return folder


def run_oracle(spec: Spec, folder: Path) -> dict[str, list[int]]:
    """The lines of every output by its file's name, by the oracle."""
    machine = oracle_machine(spec)
    lines = {s.name: list(map(int, (folder / s.path).read_text().split())) for s in spec.inputs}
    # Which inputs the oracle reads it tries out in all cases, but a mirrored one is always read.
    machine.reads = lambda time: machine.inputs
    steps, why, _ = machine.run(lines)
    assert why == "end of input"
    return {Path(s.path).name: machine.column(s.name, steps) for s in spec.outputs}


def columns(folder: Path) -> dict[str, np.ndarray]:
    """Every file of a folder of streams as an array, by its name without the ending."""
    return {path.stem: np.loadtxt(path, np.uint8, ndmin=1) for path in folder.iterdir()}


def before(bits: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, bits.dtype), bits[:-1]])


# --- whole folders


@pytest.mark.parametrize("kind", ["v38", "layered"])
@pytest.mark.parametrize("run", ["synthetic", "crypto", "agent", "backtest"])
def test_what_is_expected_is_what_the_oracle_does(kind, run, runs, tmp_path):
    out = tmp_path / "spec"
    cli.succeed("spec", runs / run, "--kind", kind, "--out", out)
    trace = pl.read_parquet(runs / run / "trace.parquet")
    if run in ("synthetic", "crypto"):
        assert trace.height == TICKS
    spec = load_spec(out / "agent.tau")
    assert set(spec.mirrors) == {stream.name for stream in spec.inputs}
    assert {path.name for path in (out / "inputs").iterdir()} == {f"{name}.in" for name in CONTRACTS[kind]}
    for name in CONTRACTS[kind]:
        assert (out / "inputs" / f"{name}.in").read_text() == "".join(f"{value}\n" for value in trace[name])
    expected = {path.name: path.read_text() for path in (out / "expected").iterdir()}
    found = run_oracle(spec, out)
    assert expected == {name: "".join(f"{value}\n" for value in lines) for name, lines in found.items()}
    assert {text.count("\n") for text in expected.values()} == {trace.height}
    simulation = simulate_folder(spec, out)
    assert (simulation.errors, set(simulation.first_read.values())) == ((), {0})
    assert {Path(name).name: text.decode() for name, text in simulation.files().items()} == expected


@pytest.mark.parametrize("run", ["synthetic", "crypto", "agent", "backtest"])
def test_v38_is_safe(run, runs, tmp_path):
    write_spec(runs / run, tmp_path / "spec", "v38")
    i, o = (columns(tmp_path / "spec" / name) for name in ("inputs", "expected"))
    buy, sell, executing = (o[name] == 1 for name in ("buy_signal", "sell_signal", "executing"))
    assert executing.any()
    assert not (buy & sell).any()
    assert i["volume"][buy].all()
    assert not before(o["nonce"])[buy].any()
    assert not executing[before(o["timer_b1"]) & before(o["timer_b0"]) == 1].any()
    assert not executing[i["failure_echo"] == 1].any()
    burned = o["has_burned"].astype(int)
    assert (np.diff(burned) >= 0).all()
    assert o["profit"][np.diff(burned, prepend=0) == 1].all()


def test_layered_buys_and_sells_in_turns(runs, tmp_path):
    write_spec(runs / "crypto", tmp_path / "spec", "layered")
    o = columns(tmp_path / "spec" / "expected")
    trades = o["buy_signal"].astype(int) - o["sell_signal"]
    assert not (o["buy_signal"] & o["sell_signal"]).any()
    assert trades[trades != 0].size > 100
    assert (np.diff(trades[trades != 0]) != 0).all()
    assert_array_equal(np.cumsum(trades), o["position"])


def test_a_folder_says_what_it_holds(runs, tmp_path):
    out = tmp_path / "spec"
    printed = cli.succeed("spec", runs / "synthetic", "--kind", "v38", "--out", out)
    about = json.loads((out / "spec.json").read_text())
    contract = agent("v38")
    assert {path.name for path in out.iterdir()} == {
        "agent.tau",
        "inputs",
        "outputs",
        "expected",
        "README.md",
        "spec.json",
        "manifest.json",
    }
    assert list((out / "outputs").iterdir()) == []
    assert (about["kind"], about["ticks"], about["start"], about["contract"]) == ("v38", TICKS, 0, contract.to_dict())
    assert (out / "agent.tau").read_text() == str(contract.specification())
    readme = (out / "README.md").read_bytes().decode("ascii")
    cli.assert_mentions(
        readme, "tau agent.tau -q </dev/null", "3,000 lines", "takes 30 s to 70 s", "exit code says nothing"
    )
    cli.assert_mentions(readme, *(stream.meaning for stream in (*contract.inputs, *contract.outputs)))
    cli.assert_mentions(readme, *(f"{each.name}[t] = {each.equation}" for each in contract.outputs))
    cli.assert_mentions(readme, *(f"- {each.meaning}" for each in contract.guarantees))
    for stream in about["outputs"]:
        values = columns(out / "expected")[stream["name"][2:]]
        assert stream["ticks_not_0"] == np.count_nonzero(values)
        if stream["mirrors"] is None:
            row = rf"^{stream['name']} +sbf +{stream['ticks_not_0']:,}$"
            assert re.search(row, printed.stdout, re.M)
        else:
            source = out / "inputs" / f"{stream['mirrors'][2:]}.in"
            assert source.read_bytes() == (out / "expected" / f"{stream['name'][2:]}.out").read_bytes()


def test_two_equal_folders_are_equal_in_every_byte(runs, tmp_path):
    for name in ("a", "b"):
        cli.succeed("spec", runs / "synthetic", "--kind", "layered", "--out", tmp_path / name)
    assert cli.snapshot(tmp_path / "a") == cli.snapshot(tmp_path / "b")


def test_json_is_what_spec_json_holds(runs, tmp_path):
    printed = cli.succeed("spec", runs / "synthetic", "--kind", "v38", "--out", tmp_path / "s", "--json").stdout
    about = json.loads((tmp_path / "s" / "spec.json").read_text())
    assert cli.one_object(printed) == {"folder": str(tmp_path / "s"), **about}


# --- options


def test_without_emotes(runs, tmp_path):
    cli.succeed("spec", runs / "synthetic", "--kind", "v38", "--out", tmp_path / "s", "--no-emotes")
    cli.succeed("spec", runs / "synthetic", "--kind", "v38", "--out", tmp_path / "whole")
    assert not [name for name in cli.snapshot(tmp_path / "s") if "emote" in name]
    assert "emote" not in (tmp_path / "s" / "agent.tau").read_text()
    less, whole = (columns(tmp_path / name / "expected") for name in ("s", "whole"))
    assert less.keys() == {name for name in whole if "emote" not in name}
    for name in less:
        assert_array_equal(less[name], whole[name])


def test_agents_with_prefixes_live_side_by_side(runs, tmp_path):
    for prefix in ("", "a_", "b_"):
        cli.succeed("spec", runs / "agent", "--kind", "v38", "--out", tmp_path / f"s{prefix}", "--name-prefix", prefix)
    plain, a, b = (cli.snapshot(tmp_path / f"s{prefix}") for prefix in ("", "a_", "b_"))
    for made, prefix in ((a, "a_"), (b, "b_")):
        spec = load_spec(tmp_path / f"s{prefix}" / "agent.tau")
        assert all(stream.name[2:].startswith(prefix) for stream in spec.streams.values())
        assert f"behind the prefix {prefix}" in made["README.md"].decode()
        for name, data in plain.items():
            folder, _, file = name.partition("/")
            if folder in ("inputs", "expected") and file:
                assert made[f"{folder}/{prefix}{file}"] == data
    shared = {name for name in a if a[name] is not None} & {name for name in b if b[name] is not None}
    assert shared == {"agent.tau", "README.md", "spec.json", "manifest.json"}


def test_some_of_the_ticks(runs, tmp_path):
    cli.succeed("spec", runs / "crypto", "--kind", "layered", "--out", tmp_path / "s", "--start", 100, "--ticks", 50)
    trace = pl.read_parquet(runs / "crypto" / "trace.parquet")
    for name, values in columns(tmp_path / "s" / "inputs").items():
        assert_array_equal(values, trace[name][100:150])
    assert {len(values) for values in columns(tmp_path / "s" / "expected").values()} == {50}
    about = json.loads((tmp_path / "s" / "spec.json").read_text())
    assert (about["start"], about["ticks"]) == (100, 50)
    assert "ticks 100 to 149" in (tmp_path / "s" / "README.md").read_text()


HOLD = {
    "name": "hold",
    "inputs": [{"name": "buy"}, {"name": "sell"}, {"name": "level", "type": "bv[16]"}],
    "outputs": [{"name": "holding", "equation": "(buy[t] | holding[t-1]) & sell[t]'"}],
}


def test_a_contract_and_columns_of_ones_own(runs, tmp_path):
    (tmp_path / "hold.json").write_text(json.dumps(HOLD))
    rng = np.random.default_rng(0)
    level, buy = rng.integers(0, 2**16, TICKS), rng.random(TICKS) < 0.1
    own = pl.DataFrame({"tick": np.arange(TICKS), "level": level, "enter": buy})
    own.write_csv(tmp_path / "own.csv")
    own.write_parquet(tmp_path / "own.parquet")
    for file in ("own.csv", "own.parquet"):
        options = ("--columns", tmp_path / file, "--stream", "buy=enter", "--stream", "sell=q_sell")
        out = tmp_path / f"spec {file}"
        cli.succeed(
            "spec", runs / "crypto", "--kind", tmp_path / "hold.json", "--out", out, *options, "--stream", "level=level"
        )
        assert (out / "inputs" / "level.in").read_text() == "".join(f"{value}\n" for value in level)
        assert_array_equal(np.loadtxt(out / "inputs" / "buy.in"), buy)
        sell = pl.read_parquet(runs / "crypto" / "trace.parquet")["q_sell"].to_list()
        assert_array_equal(np.loadtxt(out / "inputs" / "sell.in"), sell)
        held, expected = 0, []
        for enters, leaves in zip(buy.tolist(), sell, strict=True):
            held = int((enters or held) and not leaves)
            expected.append(held)
        assert_array_equal(np.loadtxt(out / "expected" / "holding.out"), expected)
        about = json.loads((out / "spec.json").read_text())
        assert [each["column"] for each in about["inputs"]] == [
            f"enter of {tmp_path / file}",
            "q_sell",
            f"level of {tmp_path / file}",
        ]


def test_export_takes_the_same_kinds_and_columns(runs, tmp_path):
    (tmp_path / "hold.json").write_text(json.dumps(HOLD))
    pl.DataFrame({"level": np.full(TICKS, 65535)}).write_parquet(tmp_path / "own.parquet")
    options = ["buy=price_up", "sell=price_down", "level=level"]
    arguments = [part for text in options for part in ("--stream", text)]
    cli.succeed(
        "export",
        runs / "crypto",
        "--to",
        tmp_path / "e",
        "--kind",
        tmp_path / "hold.json",
        *arguments,
        "--columns",
        tmp_path / "own.parquet",
    )
    streams, own = stream_columns(options), tmp_path / "own.parquet"
    write_spec(runs / "crypto", tmp_path / "s", tmp_path / "hold.json", streams=streams, columns=own)
    exported, specified = cli.snapshot(tmp_path / "e"), cli.snapshot(tmp_path / "s" / "inputs")
    assert json.loads(exported.pop("streams.json"))["streams"].keys() == {"buy", "sell", "level"}
    assert exported == specified
    report = export_streams(runs / "crypto", tmp_path / "e", "layered", streams={"price_up": "price_down"})
    assert report["left_behind"] == []  # those of a contract of one's own are not ours
    assert report["columns"]["price_up"] == "price_down"
    assert (tmp_path / "e" / "price_up.in").read_bytes() == (tmp_path / "e" / "price_down.in").read_bytes()


def test_a_trace_of_the_references_crypto_market_with_columns_of_ones_own(world, tmp_path):
    trace = pl.read_parquet(world / "compat_crypto" / "trace.parquet")
    missing = ("price", "volume", "trend", "profit_guard", "failure_echo")
    pl.DataFrame(dict.fromkeys(missing, [False] * trace.height)).write_csv(tmp_path / "own.csv")
    options = [part for name in missing for part in ("--stream", f"{name}={name}")]
    args = ("spec", world / "compat_crypto", "--kind", "v38", "--out", tmp_path / "s")
    cli.succeed(*args, "--columns", tmp_path / "own.csv", *options)
    texts = [path.read_text() for path in (tmp_path / "s" / "inputs").iterdir()]
    assert {text.count("\n") for text in texts} == {trace.height}  # each line is ended, under compat too


def test_part_of_a_trace_by_its_times(tmp_path):
    time = np.arange(300) * 86_400 * 10**9
    close = 100.0 + np.sin(np.arange(300) / 5.0)
    bars = History.from_arrays(close, time=time.view("datetime64[ns]"))
    policy = train({"episodes": 4, "episode_length": 16}, bars, seed=0).policy
    backtest(policy, bars).save(tmp_path / "test")
    days = ("--start", "1970-02-01", "--end", "1970-03-01T00:00:00Z")
    cli.succeed("spec", tmp_path / "test", "--kind", "v38", *days, "--out", tmp_path / "dated")
    cli.succeed(
        "spec", tmp_path / "test", "--kind", "v38", "--start", 31, "--ticks", 28, "--out", tmp_path / "numbered"
    )
    dated, numbered = (cli.snapshot(tmp_path / name) for name in ("dated", "numbered"))
    assert dated == numbered
    assert json.loads(dated["spec.json"])["start"] == 31
    write_spec(tmp_path / "test", tmp_path / "rest", "v38", start="1970-10-20")
    assert json.loads((tmp_path / "rest" / "spec.json").read_text())["ticks"] == 8
    backtest(policy, History.from_arrays(close)).save(tmp_path / "untimed")
    outcome = cli.run("spec", tmp_path / "untimed", "--kind", "v38", "--start", "1970-02-01", "--out", tmp_path / "x")
    assert outcome.status == 2
    cli.assert_mentions(outcome.stderr, "a time was given, but the trace has none")
    for options, parts in (
        (["--start", "1999-01-01"], ["no tick lies from 1999-01-01", "the trace has ticks from 1970-01-01"]),
        (["--end", "1970-02-01", "--ticks", 3], ["end and ticks exclude each other"]),
        (["--start", "soon"], ["start is 'soon'; expected a date"]),
        (["--start", 200, "--end", "1970-02-01"], ["no tick lies before 1970-02-01"]),
    ):
        outcome = cli.run("spec", tmp_path / "test", "--kind", "v38", *options, "--out", tmp_path / "x")
        assert outcome.status == 2
        cli.assert_mentions(outcome.stderr, *parts)


# --- refusals: nothing is there that was not there before


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--kind", "v83"], ["no kind 'v83'", "v38, layered or a FILE.json", "'v38'?"]),
        (["--kind", "all"], ["no kind 'all'"]),
        (["--kind", "layered", "--no-emotes"], ["'layered' reads no emotes"]),
        (["--kind", "v38", "--name-prefix", "a-"], ["prefix 'a-'"]),
        (["--kind", "v38", "--start", -1], ["start is -1; expected 0 to 15"]),
        (["--kind", "v38", "--start", 16], ["start is 16; expected 0 to 15"]),
        (["--kind", "v38", "--start", 3, "--ticks", 14], ["ticks is 14; expected 1 to 13"]),
        (["--kind", "v38", "--ticks", 0], ["ticks is 0; expected 1 to 16"]),
        (["--kind", "v38", "--start", "2199-01-01"], ["no tick lies from 2199-01-01", "the trace has ticks from"]),
        (["--kind", "v38", "--end", "soon"], ["end is 'soon'; expected a date"]),
        (["--kind", "v38", "--start", "9" * 30], ["expected a date or date-time"]),
        (["--kind", "broken.json"], ["'wrong' guarantees: it never buys; but bought[t] is 1 at tick"]),
        (["--kind", "hold.json"], ["hold.json", "reads buy, sell, level", "does not have", "--stream buy=COLUMN"]),
        (["--kind", "nothing.json"], ["nothing.json: cannot be read"]),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else None,
)
def test_a_spec_that_cannot_be(options, parts, world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hold.json").write_text(json.dumps(HOLD))
    never = {"never": "bought[t]", "meaning": "it never buys"}
    wrong = {"name": "wrong", "inputs": [{"name": "q_buy"}], "outputs": [{"name": "bought", "equation": "q_buy[t]'"}]}
    (tmp_path / "broken.json").write_text(json.dumps({**wrong, "guarantees": [never]}))
    cli.assert_mentions(cli.refused(tmp_path, "spec", world / "agent", "--out", "made/here", *options), *parts)


def test_the_tick_at_which_a_guarantee_is_broken_is_that_of_the_trace(runs, tmp_path):
    never = {"never": "up[t]", "meaning": "it never rises"}
    wrong = {"name": "w", "inputs": [{"name": "price_up"}], "outputs": [{"name": "up", "equation": "price_up[t]"}]}
    (tmp_path / "w.json").write_text(json.dumps({**wrong, "guarantees": [never]}))
    first = pl.read_parquet(runs / "crypto" / "trace.parquet")["price_up"].to_numpy()[70:].argmax() + 70
    args = ("spec", runs / "crypto", "--kind", tmp_path / "w.json", "--out", tmp_path / "s", "--start", 70)
    cli.assert_mentions(cli.refused(tmp_path, *args), f"is 1 at tick {first}")


# --- outputs


def test_a_folder_in_use_is_replaced_by_force_alone(runs, tmp_path):
    args = ("spec", runs / "agent", "--kind", "v38", "--out", tmp_path / "s")
    cli.succeed(*args)
    made = cli.snapshot(tmp_path / "s")
    for path in (tmp_path / "s" / "expected").iterdir():  # as the interpreter leaves them
        shutil.copy(path, tmp_path / "s" / "outputs")
    cli.assert_mentions(cli.refused(tmp_path, *args), "already exists", "--force")
    cli.succeed(*args, "--force")
    assert cli.snapshot(tmp_path / "s") == made
    (tmp_path / "s" / "outputs" / "notes.txt").write_text("mine")
    cli.assert_mentions(cli.refused(tmp_path, *args, "--force"), "outputs/notes.txt, which idi-fast did not write")


def test_an_output_that_holds_what_is_read_is_refused(world, tmp_path):
    artifact = cli.copy_of(world / "agent", tmp_path / "agent")
    args = ("spec", artifact, "--kind", "v38", "--out", artifact, "--force")
    cli.assert_mentions(cli.refused(tmp_path, *args), "would replace", "which is read")


@pytest.mark.parametrize("name", ["agent.tau", "price.in", "holding.out", "README.md", "spec.json", "manifest.json"])
@pytest.mark.parametrize("error", [cli.FULL, KeyboardInterrupt()], ids=repr)
def test_a_write_that_fails_leaves_what_was_there(name, error, world, tmp_path):
    args = ("spec", world / "agent", "--kind", "v38", "--out", tmp_path / "s")
    cli.succeed(*args)
    before = cli.snapshot(tmp_path)
    with cli.failing_write(name, error):
        status, stdout, _ = cli.run(*args, "--force")
    assert (status, stdout) == (1 if isinstance(error, OSError) else 130, "")
    assert cli.snapshot(tmp_path) == before


def test_a_run_without_a_trace_is_no_source(world, tmp_path):
    args = ("spec", world / "bars.csv", "--kind", "v38", "--out", tmp_path / "s")
    cli.assert_mentions(cli.refused(tmp_path, *args), "bars.csv", "trace")
    args = ("spec", world / "nothing", "--kind", "v38", "--out", tmp_path / "s")
    cli.assert_mentions(cli.refused(tmp_path, *args), "no trace at")
