"""An agent with seven features, two of them by functions of the user's, from training to proof."""

import hashlib
import json
from contextlib import contextmanager

import cli_helpers as cli
import jsonschema
import numpy as np
import polars as pl
import pytest

from idi_fast.config.transforms import TRANSFORMS
from idi_fast.evidence.verify import verify_folder
from idi_fast.schemas import load_schema

FEATURES = [
    {"name": "score", "transform": "rising_share", "window": 8, "buckets": 2},
    {"name": "rsi", "transform": "rsi", "edges": [40, 60]},
    {"name": "range", "transform": "atr", "window": 5, "buckets": 2},
    {"name": "macd", "transform": "macd_histogram", "window": 12, "fast": 4, "signal": 3, "buckets": 2},
    {"name": "hour", "transform": "time_of_day", "buckets": 2, "edges": "uniform"},
    {"name": "traded", "transform": "volume_ratio", "buckets": 2},
    {"name": "gap", "transform": "mood_gap", "column": "mood_index", "buckets": 2},
]
PLUGIN = """
import numpy as np


def rising_share(columns, window):
    count = np.zeros(columns["close"].size)
    for lag in range(1, window + 1):
        count[lag:] += columns["close"][lag:] > columns["close"][:-lag]
    return count / window


def mood_gap(columns, window):
    (mood,) = (values for name, values in columns.items() if name != "high")
    return mood / columns["high"] - 1


mood_gap.columns = ("column", "high")
mood_gap.lookback = 0
"""
SHA256 = hashlib.sha256(PLUGIN.encode()).hexdigest()
STREAMS = {"price": "rsi", "volume": "traded", "trend": "macd"}
SMALL = ("--set", "quantizer.mood_buckets=1")


def bars(n: int, seed: int) -> pl.DataFrame:
    """Hourly bars with a column of the user's own."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))
    first = np.append(100.0, close[:-1])
    time = pl.Series(np.arange(n) * 3_600_000_000_000).cast(pl.Datetime("ns", "UTC"))
    columns = {"time": time, "open": first, "high": np.maximum(first, close) * 1.002}
    columns |= {"low": np.minimum(first, close) * 0.998, "close": close, "volume": rng.lognormal(5, 1, n)}
    return pl.DataFrame({**columns, "mood_index": 100 + rng.normal(0, 5, n)})


@contextmanager
def nothing_loaded():
    """As in a process of its own, which knows no functions of the user's, neither before nor after."""
    before = dict(TRANSFORMS)
    yield
    TRANSFORMS.clear()
    TRANSFORMS.update(before)


@pytest.fixture(autouse=True)
def own_process(place):
    with nothing_loaded():
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """own.py, bars.parquet, a folder of three symbols, agent.json, and the folder of a training."""
    place = tmp_path_factory.mktemp("features")
    bars(600, 0).write_parquet(place / "bars.parquet")
    (place / "own.py").write_text(PLUGIN)
    (place / "many").mkdir()
    for seed, symbol in enumerate("ABC", 1):
        bars(300, seed).write_parquet(place / "many" / f"{symbol}.parquet")
    data = {"path": str(place / "bars.parquet")}
    settings = {"episodes": 4, "episode_length": 24, "environment": {"kind": "history", "data": data}}
    (place / "agent.json").write_text(json.dumps({**settings, "features": FEATURES}))
    with nothing_loaded():
        own = ("--plugin", place / "own.py")
        cli.succeed("train", "--config", place / "agent.json", *SMALL, *own, "--out", place / "agent")
    return place


def test_training_walking_forward_and_testing_many_symbols(place, tmp_path):
    own = ("--plugin", place / "own.py")
    run = json.loads((place / "agent" / "run.json").read_text())
    assert [feature["name"] for feature in run["config"]["features"]] == [feature["name"] for feature in FEATURES]
    table = pl.read_parquet(place / "agent" / "policy.parquet")
    assert table.columns[:9] == [*(feature["name"] for feature in FEATURES), "mood", "position"]
    walk = ("--train-bars", 300, "--test-bars", 100, "--out", tmp_path / "walk")
    cli.succeed("walkforward", place / "bars.parquet", "--config", place / "agent.json", *own, *walk)
    walked = json.loads((tmp_path / "walk" / "run.json").read_text())
    assert (walked["kind"], walked["plugins"]) == ("walkforward", {"mood_gap": SHA256, "rising_share": SHA256})
    assert jsonschema.Draft202012Validator(load_schema("run")).is_valid(walked)
    sweep = ("--grid", "discount=0.5,0.9", *SMALL, "--out", tmp_path / "sweep")
    cli.succeed("sweep", place / "bars.parquet", "--config", place / "agent.json", *own, *sweep)
    assert json.loads((tmp_path / "sweep" / "run.json").read_text())["plugins"] == walked["plugins"]
    # Bars are of no use to the folder of many runs, which says what to give.
    data = ("--data", place / "bars.parquet")
    told = cli.succeed("verify", tmp_path / "sweep", *data, *own).stdout
    cli.assert_mentions(told, "NOT CHECKED: ", "a sweep has no trace of one policy that --data could be compared with")
    one = (
        "backtest",
        place / "bars.parquet",
        "--policy",
        place / "agent",
        "--check-lookahead",
        *own,
        "--out",
        tmp_path / "one",
    )
    assert "no look-ahead found" in cli.succeed(*one).stderr
    # Nor to that of a backtest without the policy that was tested, which can be given.
    told = cli.succeed("verify", tmp_path / "one", *data, *own).stdout
    cli.assert_mentions(told, "--data is of use with the policy, which the folder does not hold: --policy ARTIFACT")
    told = cli.succeed("verify", tmp_path / "one", *data, *own, "--policy", place / "agent").stdout
    cli.assert_mentions(told, "ticks recomputed from")
    many = ("backtest", place / "many", "--symbol-files", "--policy", place / "agent", *own, "--out", tmp_path / "many")
    cli.succeed(*many)
    assert sorted(pl.read_parquet(tmp_path / "many" / "symbols.parquet")["symbol"]) == ["A", "B", "C"]


def test_streams_come_from_features_that_are_named(place, tmp_path):
    agent, own = place / "agent", ("--plugin", place / "own.py")
    lacking = cli.refused(tmp_path, "export", agent, *own, "--to", tmp_path / "no", "--kind", "v38")
    cli.assert_mentions(lacking, "reads price, volume, trend", "--stream price=feature:NAME")
    for wrong, parts in {
        "price=feature:rsj": ["no such feature, only gap, hour, macd", "'rsi'?"],
        "price=rsi": ["no such column in the trace"],
    }.items():
        command = ("export", agent, *own, "--to", tmp_path / "no", "--kind", "v38", "--stream", wrong)
        streams = ("--stream", "volume=feature:traded", "--stream", "trend=feature:macd")
        cli.assert_mentions(cli.refused(tmp_path, *command, *streams), *parts)
    chosen = ("--stream", "price=feature:rsi", "--stream", "volume=feature:traded", "--stream", "trend=feature:macd")
    cli.succeed("export", agent, *own, "--to", tmp_path / "inputs", "--kind", "v38", *chosen)
    trace = pl.read_parquet(agent / "trace.parquet")
    written = np.loadtxt(tmp_path / "inputs" / "price.in", dtype=int)
    np.testing.assert_array_equal(written, trace["rsi_bucket"].to_numpy() * 2 >= 3)
    # What the gates look at is not there: they are open, as without weights.
    assert set(trace["weight_trend"]) == set(trace["weight_momentum"]) == {1}
    cli.succeed("spec", agent, "--out", tmp_path / "spec", "--kind", "v38", *own, *chosen)
    assert (tmp_path / "spec" / "inputs" / "trend.in").read_bytes() == (tmp_path / "inputs" / "trend.in").read_bytes()


@pytest.mark.parametrize("prover", ["replay", "zk"])
def test_proving_and_verifying(place, tmp_path, prover):
    own = ("--plugin", place / "own.py")
    hiding = ("--out", tmp_path / "published", "--private", tmp_path / "secrets") if prover == "zk" else ()
    cli.succeed("prove", place / "agent", "--prover", prover, *own, *hiding)
    out = tmp_path / "published" if hiding else place / "agent"
    verify = ("verify", out, "--require", prover, "--data", place / "bars.parquet")
    said = cli.succeed(*verify, *own).stdout
    assert f"with a proof by {prover}" in said
    with nothing_loaded():
        for name in ("rising_share", "mood_gap"):
            TRANSFORMS.pop(name)
        outcome = cli.run(*verify)
        assert outcome.status == 1
        cli.assert_mentions(outcome.stderr, f"--require {prover}: not checked", "--plugin FILE.py", SHA256)
        found = verify_folder(out)
        assert (found.verdict, found.ok, found.prover) == ("partly checked", True, prover)
        assert {claim.name: claim.result for claim in found.claims} == {
            "manifest": "holds",
            "config": "not checked",
            prover: "not checked",
            "others": "not checked",
            **({"actions": "not checked"} if prover == "zk" else {}),
        }


def test_a_workflow_takes_streams_from_features(place, tmp_path):
    own = ("--plugin", place / "own.py")
    command = ("workflow", place / "agent.json", *SMALL, *own, "--out", tmp_path / "run")
    outcome = cli.run(*command)
    assert outcome.status == 2
    cli.assert_mentions(outcome.stderr, "reads price, volume, trend", "--stream price=feature:NAME")
    streams = [("--stream", f"{name}=feature:{feature}") for name, feature in STREAMS.items()]
    done = cli.succeed(*command, *sum(streams, ())).stdout
    cli.assert_mentions(done, "sound, with a proof by replay")
    steps = cli.one_object(cli.succeed(*command, *sum(streams, ()), "--json").stdout)["steps"]
    assert steps["spec"] == "there"
    other = [*sum(streams[1:], ()), "--stream", "price=feature:score"]
    assert cli.one_object(cli.succeed(*command, *other, "--json").stdout)["steps"]["spec"] == "done"
    # A stream that is not the feature's is found.
    about = tmp_path / "run" / "spec" / "spec.json"
    about.write_text(about.read_text().replace("feature:score", "feature:rsi"))
    assert cli.run("verify", tmp_path / "run", *own).status == 1


def test_a_plugin_that_looks_ahead_is_refused(place, tmp_path):
    (tmp_path / "bad.py").write_text(
        "import numpy as np\n\n\ndef lead(columns, window):\n    return np.append(columns['close'][1:], 0.0)\n"
    )
    config = json.loads((place / "agent.json").read_text())
    features = [{"name": "bad", "transform": "lead", "window": 5}]
    (tmp_path / "bad.json").write_text(json.dumps({**config, "features": features}))
    command = ("train", "--config", tmp_path / "bad.json", "--out", tmp_path / "out")
    said = cli.refused(tmp_path, *command, "--plugin", tmp_path / "bad.py")
    cli.assert_mentions(said, "'lead' looks ahead: its value of bar 5 (1970-01-01T05:00:00Z) is", "left out")
    cli.assert_mentions(cli.refused(tmp_path, *command, "--plugin", tmp_path / "none.py"), "cannot read the plugin")
    del TRANSFORMS["lead"]  # as another process begins
    lacking = cli.refused(tmp_path, *command)
    cli.assert_mentions(lacking, "'lead', which is none", "--plugin FILE.py")
