"""What the commands refuse: exit code 2, one clear line on stderr, and no file changed."""

import json
import os
from pathlib import Path
from unittest import mock

import cli_helpers as cli
import polars as pl
import pytest

from idi_fast.errors import ArtifactError
from idi_fast.storage.reader import table_files
from idi_fast.storage.tables import METADATA_KEY

# --- price histories

BAD_DATA = {
    "missing": ("bar.csv", None, (), ["bar.csv: no such file", "Did you mean 'bars.csv'?"]),
    "empty": ("x.csv", b"", (), ["x.csv: the file is empty"]),
    "header only": ("x.csv", cli.CSV.splitlines()[0], (), ["x.csv", "0 usable rows"]),
    "truncated": ("x.parquet", cli.PARQUET[:-40], (), ["x.parquet: cannot be read as Parquet"]),
    "no Parquet": ("x.parquet", cli.CSV, (), ["x.parquet: cannot be read as Parquet"]),
    "no table": ("x.json", b"{}", (), ["x.json: not a known kind of file", ".csv"]),
    "column": ("x.csv", cli.CSV, ("--price-col", "clos"), ["x.csv: no column 'clos'", "Did you mean 'close'?"]),
    "no price": ("x.csv", cli.CSV.replace(b"close", b"c"), (), ["x.csv: no price column", "'c'"]),
    "nan policy": ("x.csv", cli.CSV, ("--nan", "fill"), ["nan", "'fill'", "'refuse'", "'drop'"]),
}
BAD_CELLS = [
    (7, "close", "abc", ["found 'abc'", "number"]),
    (8, "close", "", ["found no value"]),
    (9, "volume", "NaN", ["found 'NaN'"]),
    (3, "open", "0", ["found '0'", "above 0"]),
    (5, "time", "soon", ["found 'soon'", "2024-01-31"]),
    (4, "time", "2024-01-03", ["2024-01-03 repeats 2024-01-03", "x.csv, row 3"]),
    (6, "time", "2023-12-31", ["2023-12-31 is earlier than 2024-01-05", "x.csv, row 5"]),
]
for row, column, value, parts in BAD_CELLS:
    place = f"x.csv, row {row}, column '{column}'"
    BAD_DATA[f"{column} {value!r}"] = "x.csv", cli.with_cell(row, column, value), (), [place, *parts]


# Calibrating reads prices and times only.
BAD_HISTORIES = [(case, command) for case in BAD_DATA for command in ("train", "backtest")]
BAD_HISTORIES += [(case, "calibrate") for case in BAD_DATA if not case.startswith(("volume", "open"))]


@pytest.mark.parametrize(("case", "command"), BAD_HISTORIES)
def test_bad_history(case, command, world, old, tmp_path):
    name, data, options, parts = BAD_DATA[case]
    (tmp_path / "bars.csv").write_bytes(cli.CSV)
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    args = {
        "train": ("train", "--data", path, "--out", old, "--force", *cli.QUICK),
        "backtest": ("backtest", path, "--policy", world / "agent", "--out", old, "--force"),
        "calibrate": ("backtest", path, "--calibrate-only"),
    }[command]
    cli.assert_mentions(cli.refused(tmp_path, *args, *options), *parts)


def test_nan_drop_uses_the_other_rows(world, tmp_path):
    data, agent = tmp_path / "x.csv", world / "agent"
    data.write_bytes(cli.with_cell(9, "volume", "NaN"))
    cli.succeed("train", "--data", data, "--nan", "drop", "--out", tmp_path / "a", *cli.QUICK)
    cli.succeed("backtest", data, "--calibrate-only", "--nan", "drop")
    outcome = cli.run("backtest", data, "--nan", "drop", "--policy", agent, "--out", tmp_path / "b", "--json")
    about = json.loads(outcome.stdout)["assumptions"]
    assert (outcome.status, about["bars"], about["dropped_rows"]) == (0, 39, 1)


# --- options and configs

BAD_OPTIONS = [
    (["--set", "quantizer.price_bucket=3"], ["quantizer.price_bucket is not a known key", "'price_buckets'"]),
    (["--set", "quantiser.price_buckets=3"], ["quantiser is not a known key", "'quantizer'"]),
    (["--set", "episodes"], ["'episodes' is not an assignment", "key=value"]),
    (["--set", "learning_rate=fast"], ["learning_rate is 'fast'", "expected a number"]),
    (["--set", "episodes=4.0"], ["episodes is 4.0", "expected an integer"]),
    (["--set", "environment.allow_short=1"], ["environment.allow_short is 1", "true or false"]),
    (["--set", "discount=1.01"], ["discount is 1.01", "<= 1"]),
    (["--set", "quantizer.mood_buckets=0"], ["quantizer.mood_buckets is 0", ">= 1"]),
    (["--set", "quantizer.scarcity_buckets=33"], ["quantizer.scarcity_buckets is 33", "at most 32", "bv[5]"]),
    (["--set", "quantizer.price_buckets=99999999"], ["quantizer gives", "states", "2**31"]),
    (["--set", "layers.contrarian_threshold=0.9"], ["layers.contrarian_threshold is 0.9", "momentum_threshold"]),
    (["--set", "tile_coder.table_size=2"], ["tile_coder.table_size is 2; expected at least 12"]),
    (["--set", "features.price.transform=zscore"], ["features.price", "synthetic", "remove it"]),
    (["--episodes", -1], ["episodes is -1", ">= 0"]),
    (["--episode-length", 0], ["episode_length is 0", ">= 1"]),
    (["--fee-bps", 10_000], ["environment.market.fee_bps is 10000", "< 10000"]),
    (["--vol-base", "nan"], ["environment.market.vol_base is nan"]),
    (["--shock-prob", 2], ["environment.market.shock_prob is 2", "<= 1"]),
    (["--stress", "panics"], ["environment.market.stress_scenario is 'panics'", "Did you mean 'panic'?"]),
    (["--env", "cripto"], ["environment.kind is 'cripto'", "Did you mean 'crypto'?"]),
    (["--env", "history"], ["environment.data.path", "--data"]),
    (["--env", "synthetic", "--data", "bars.csv"], ["--env", "--data", "history, synthetic"]),
    (["--use-crypto-env", "--data", "bars.csv"], ["--use-crypto-env", "--data", "crypto, history"]),
    (["--compat", "idi"], ["--compat is 'idi'", "Did you mean 'idi-iann'?"]),
    (["--compat", "idi-iann", "--rng", "sfc64"], ["engine.rng is 'sfc64'", "'mt19937'"]),
    (["--compat", "idi-iann", "--data", "bars.csv"], ["environment.kind is 'history'", "idi_iann"]),
    (["--rng", "mt"], ["engine.rng is 'mt'", "'mt19937'"]),
    (["--seed", -5], ["seed is -5", ">= 0"]),
    (["--data", "bars.csv", "--episode-length", 120], ["120 bars", "at least 121", "episode_length"]),
    (["--config", "missing.json"], ["missing.json: cannot be read: No such file"]),
    (["--config", "folder"], ["folder: cannot be read: Is a directory"]),
    (["--config", "malformed.json"], ["malformed.json: line 3, column 3: "]),
    (["--config", "latin.json"], ["latin.json: is not UTF-8 text"]),
    (["--config", "list.json"], ["list.json: ", "expected an object"]),
    (["--config", "twice.json"], ["twice.json: ", "'episodes'", "2 times"]),
    (["--config", "unknown.json"], ["unknown.json: emote.linger is not a known key", "'linger_ticks'"]),
    (["--config", "typed.json"], ["typed.json: episodes is '8'", "expected an integer"]),
]
CONFIGS = {
    "malformed.json": b'{\n  "episodes": 8,\n  seed: 1\n}',
    "latin.json": '{"é": 1}'.encode("latin-1"),
    "list.json": b"[]",
    "twice.json": b'{"episodes": 1, "episodes": 2}',
    "unknown.json": b'{"emote": {"linger": 1}}',
    "typed.json": b'{"episodes": "8"}',
}


@pytest.mark.parametrize(("options", "parts"), BAD_OPTIONS, ids=[" ".join(map(str, case[0])) for case in BAD_OPTIONS])
def test_bad_training_option(options, parts, old, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli.bars().write_csv("bars.csv")
    Path("folder").mkdir()
    for name, data in CONFIGS.items():
        Path(name).write_bytes(data)
    cli.assert_mentions(cli.refused(tmp_path, "train", "--out", old, "--force", *options), *parts)


LATER = ["backtest", "later.parquet", "--out", "x"]


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["train"], ["--out is missing", "--out my_agent"]),
        (["backtest", "later.parquet", "--policy", "agent"], ["--out is missing"]),
        ([*LATER], ["--policy is missing", "idi-fast train --env history --data"]),
        ([*LATER, "--policy", "agent", "--fill", "now"], ["'now'", "next", "same"]),
        ([*LATER, "--policy", "agent", "--fee-bps", "nan"], ["fee_bps is nan", "from 0"]),
        ([*LATER, "--policy", "agent", "--fee-bps", "-1"], ["fee_bps is -1", "from 0"]),
        ([*LATER, "--policy", "agent", "--risk-col", "volume"], ["later.parquet, row 1, column 'volume'", "0 or 1"]),
        ([*LATER, "--policy", "agent", "--slippage-bps", "-1"], ["slippage_bps is -1.0", "from 0 to below 10000"]),
        ([*LATER, "--policy", "agent", "--initial-position", "2"], ["initial_position is 2", "-1, 0 or 1"]),
        ([*LATER, "--policy", "agent", "--long-only", "--initial-position", "-1"], ["long-only", "0 or 1"]),
        ([*LATER, "--policy", "agent", "--start", "2011"], ["start is '2011'", "2024-01-31"]),
        (
            [*LATER, "--policy", "agent", "--end", "1970-01-01"],
            ["no bar lies before 1970-01-01", "bars from 2024-04-30"],
        ),
        ([*LATER, "--policy", "agent", "--year-days", "0"], ["year_days is 0", "from 1 to 366"]),
        ([*LATER, "--policy", "synthetic", "--compat", "idi-iann", "--no-trace"], ["--no-trace: not under --compat"]),
        ([*LATER, "--policy", "agent", "--compat", "idi"], ["--compat is 'idi'", "Did you mean 'idi-iann'?"]),
        ([*LATER, "--policy", "agent", "--compat", "idi-iann"], ["five-feature states", "position"]),
        ([*LATER, "--policy", "synthetic", "--compat", "idi-iann", "--fee-bps", "nan"], ["fee_bps is nan"]),
        ([*LATER, "--policy", "synthetic", "--compat", "idi-iann", "--fee-bps", "-1"], ["fee_bps is -1"]),
        ([*LATER, "--policy", "synthetic", "--compat", "idi-iann", "--risk-col", "volume"], ["row 1, column 'volume'"]),
        (["export", "agent", "--to", "x", "--kind", "v83"], ["'v83'", "v38, layered, all", "Did you mean 'v38'?"]),
        (["export", "compat_crypto", "--to", "x", "--kind", "v38"], ["'v38'", "price, volume, trend", "not have"]),
        (["export", "nothing", "--to", "x"], ["no trace at nothing"]),
        (["export", "agent/policy.parquet", "--to", "x"], ["agent/policy.parquet", "not a trace"]),
        (["export", "agent/episodes.parquet", "--to", "x"], ["agent/episodes.parquet", "not a trace"]),
        (["export", "bars.csv", "--to", "x"], ["bars.csv", "trace"]),
        (["export", "agent", "--to", "bars.csv"], ["bars.csv", "Not a directory"]),
        (["export", "agent", "--to", "bars.csv/x"], ["bars.csv/x", "Not a directory"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_options_of_the_other_commands(args, parts, world, tmp_path, monkeypatch):
    monkeypatch.chdir(cli.copy_of(world, tmp_path / "world"))
    cli.assert_mentions(cli.refused(tmp_path, *args), *parts)


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["trian"], "No such command 'trian'"),
        (["train", "--episode", "5"], "No such option: --episode"),
        (["train", "--episodes", "many"], "Invalid value for '--episodes'"),
        (["train", "extra"], "unexpected extra argument"),
        (["train", "--out"], "'--out'"),
        (["backtest"], "Missing argument"),
        (["export", "agent"], "Missing option '--to'"),
        (["bench", "--repeats", "4"], "'--repeats'"),
    ],
)
def test_usage_errors(args, reason):
    status, stdout, stderr = cli.run(*args)
    assert (status, stdout, "Traceback" in stderr) == (2, "", False)
    cli.assert_mentions(stderr.splitlines()[-1], "Error: ", reason)


# --- policies and traces


@pytest.mark.parametrize(
    ("policy", "data", "parts"),
    [
        ("agent", "closes.parquet", ["'volume'", "does not have", "close"]),
        ("synthetic", "later.parquet", ["synthetic environment", "idi-fast train --env history"]),
        ("compat_crypto", "later.parquet", ["crypto environment", "idi-fast train --env history"]),
        ("nothing", "later.parquet", ["no policy at", "nothing", "idi-fast train --out DIR"]),
        ("bars.csv", "later.parquet", ["cannot read the policy", "bars.csv"]),
        ("later.parquet", "later.parquet", ["later.parquet", "not a policy written by idi-fast"]),
        ("agent/trace.parquet", "later.parquet", ["agent/trace.parquet", "trace"]),
        ("agent/streams", "later.parquet", ["no policy at"]),
        ("n" * 300, "later.parquet", ["policy", "nnn"]),
    ],
)
def test_a_policy_that_does_not_fit_or_is_none(policy, data, parts, world, old, tmp_path):
    args = ("backtest", world / data, "--policy", world / policy, "--out", old, "--force")
    cli.assert_mentions(cli.refused(tmp_path, *args), *parts)


DAMAGE = {
    "no JSON": {"raw": "{"},
    "no object": {"raw": "[]"},
    "nested": {"raw": "[" * 100_000},
    "format": {"about": lambda about: {"format": "idi-fast-policy-99"}},
    "config": {"about": lambda about: {"config": {**about["config"], "episodes": -1}}},
    "seed": {"about": lambda about: {"seed": "x"}},
    "encoder": {"about": lambda about: {"encoder": "x"}},
    "no edges": {"about": lambda about: about["encoder"]["edges"].clear()},
    "one edge more": {"about": lambda about: about["encoder"]["edges"]["price"].append(99.0)},
    "trained_on": {"about": lambda about: {"trained_on": {}}},
    "no q_buy": {"columns": lambda frame: frame.drop("q_buy")},
    "text in q_buy": {"columns": lambda frame: frame.with_columns(q_buy=pl.lit("much"))},
    "NaN in q_buy": {"columns": lambda frame: frame.with_columns(q_buy=float("nan"))},
    "state": {"columns": lambda frame: frame.with_columns(pl.col(frame.columns[0]) + 99)},
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_policy(damage, world, old, tmp_path):
    policy = tmp_path / "policy.parquet"
    cli.rewritten(world / "agent" / "policy.parquet", policy, **DAMAGE[damage])
    message = cli.refused(tmp_path, "backtest", world / "later.parquet", "--policy", policy, "--out", old, "--force")
    cli.assert_mentions(message, policy)


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        ({"raw": "{"}, "cannot read the trace"),
        ({"raw": "{}"}, "trace.parquet"),
        ({"columns": lambda frame: frame.clear()}, "no ticks"),
        ({"columns": lambda frame: frame.drop("q_buy")}, "q_buy"),
        ({"columns": lambda frame: frame.with_columns(q_regime=pl.lit(32))}, "'q_regime' has the value 32 at tick 0"),
        ({"columns": lambda frame: frame.with_columns(q_buy=pl.lit(-1))}, "'q_buy' has the value -1 at tick 0"),
        ({"columns": lambda frame: frame.with_columns(q_buy=pl.lit(None, pl.UInt8))}, "q_buy"),
        ({"columns": lambda frame: frame.with_columns(q_buy=pl.lit("1"))}, "q_buy"),
    ],
)
def test_a_damaged_trace(damage, part, world, tmp_path):
    trace, spec = tmp_path / "trace.parquet", tmp_path / "spec"
    cli.succeed("export", world / "agent", "--to", spec)
    cli.rewritten(world / "agent" / "trace.parquet", trace, **damage)
    cli.assert_mentions(cli.refused(tmp_path, "export", trace, "--to", spec), part)


@pytest.mark.parametrize("size", [0, 1, 7, 1000, -1, -8])
@pytest.mark.parametrize("name", ["policy", "trace"])
def test_a_cut_file(name, size, world, old, tmp_path):
    file = tmp_path / f"{name}.parquet"
    file.write_bytes((world / "agent" / file.name).read_bytes()[:size])
    args = ("export", file, "--to", tmp_path / "spec")
    if name == "policy":
        args = ("backtest", world / "later.parquet", "--policy", file, "--out", old, "--force")
    cli.assert_mentions(cli.refused(tmp_path, *args), file)


def test_one_wrong_byte_is_noticed_wherever_it_stands(world, tmp_path):
    # manifest.json says what the files must be; a Parquet reader alone reads on, panics or aborts.
    backtest = ("backtest", world / "later.parquet", "--out", tmp_path / "out", "--policy")
    calls = [(*backtest, path) for path in cli.flipped(world / "agent", "policy.parquet", tmp_path, 25)]
    export = ("export", "--to", tmp_path / "spec")
    calls += [(*export, path) for path in cli.flipped(world / "agent", "trace.parquet", tmp_path, 25)]
    outcomes = cli.run_batch([(None, args) for args in calls])
    seen = [(outcome.status, outcome.stdout, outcome.stderr.startswith("error: ")) for outcome in outcomes]
    assert seen == [(2, "", True)] * len(calls)
    assert not {"out", "spec"} & set(os.listdir(tmp_path))


@pytest.mark.parametrize("name", ["scan_parquet", "read_parquet_metadata"])
def test_a_panic_over_a_table_is_a_refusal(name, world):
    # What the reader process runs, here: a panic that reached it would end it.
    path, panic = world / "agent" / "policy.parquet", pl.exceptions.PanicException("called `Option::unwrap()`")
    with mock.patch.object(pl, name, side_effect=panic), pytest.raises(ArtifactError, match=r"cannot read the policy"):
        list(table_files.describe(str(path), "the policy", METADATA_KEY))


def test_a_name_cannot_make_further_lines_or_colours(tmp_path):
    line = cli.refused(tmp_path, "train", "--data", "no\nsuch\x1b[31m.csv", "--out", tmp_path / "o")
    assert line.startswith(r"error: no\nsuch\x1b[31m.csv: ")
    plan = tmp_path / "plan.json"
    plan.write_text('[{"name": "a", "config": "odd\\nname.json", "out": "o"}]')
    assert r"odd\nname.json" in cli.refused(tmp_path, "layers", plan)
