"""An agent with seven features of its own, from training to proof."""

import json

import cli_helpers as cli
import numpy as np
import polars as pl
import pytest

FEATURES = [
    {"name": "score", "transform": "zscore", "window": 8, "buckets": 2},
    {"name": "rsi", "transform": "rsi", "edges": [40, 60]},
    {"name": "range", "transform": "atr", "window": 5, "buckets": 2},
    {"name": "macd", "transform": "macd_histogram", "window": 12, "fast": 4, "signal": 3, "buckets": 2},
    {"name": "hour", "transform": "time_of_day", "buckets": 2, "edges": "uniform"},
    {"name": "traded", "transform": "volume_ratio", "buckets": 2},
    {"name": "gap", "transform": "spread", "column": "mood_index", "other": "close", "buckets": 2},
]
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


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """bars.parquet, a folder of three symbols, agent.json, and the folder of a training."""
    place = tmp_path_factory.mktemp("features")
    bars(600, 0).write_parquet(place / "bars.parquet")
    (place / "many").mkdir()
    for seed, symbol in enumerate("ABC", 1):
        bars(300, seed).write_parquet(place / "many" / f"{symbol}.parquet")
    data = {"path": str(place / "bars.parquet")}
    settings = {"episodes": 4, "episode_length": 24, "environment": {"kind": "history", "data": data}}
    (place / "agent.json").write_text(json.dumps({**settings, "features": FEATURES}))
    cli.succeed("train", "--config", place / "agent.json", *SMALL, "--out", place / "agent")
    return place


def test_training_walking_forward_and_testing_many_symbols(place, tmp_path):
    run = json.loads((place / "agent" / "run.json").read_text())
    assert [feature["name"] for feature in run["config"]["features"]] == [feature["name"] for feature in FEATURES]
    table = pl.read_parquet(place / "agent" / "policy.parquet")
    assert table.columns[:9] == [*(feature["name"] for feature in FEATURES), "mood", "position"]
    walk = ("--train-bars", 300, "--test-bars", 100, "--out", tmp_path / "walk")
    cli.succeed("walkforward", place / "bars.parquet", "--config", place / "agent.json", *walk)
    assert json.loads((tmp_path / "walk" / "run.json").read_text())["kind"] == "walkforward"
    one = (
        "backtest",
        place / "bars.parquet",
        "--policy",
        place / "agent",
        "--check-lookahead",
        "--out",
        tmp_path / "one",
    )
    assert "no look-ahead found" in cli.succeed(*one).stderr
    many = ("backtest", place / "many", "--symbol-files", "--policy", place / "agent", "--out", tmp_path / "many")
    cli.succeed(*many)
    assert sorted(pl.read_parquet(tmp_path / "many" / "symbols.parquet")["symbol"]) == ["A", "B", "C"]


def test_streams_come_from_features_that_are_named(place, tmp_path):
    agent = place / "agent"
    lacking = cli.refused(tmp_path, "export", agent, "--to", tmp_path / "no", "--kind", "v38")
    cli.assert_mentions(lacking, "reads price, volume, trend", "--stream price=feature:NAME")
    for wrong, parts in {
        "price=feature:rsj": ["no such feature, only gap, hour, macd", "'rsi'?"],
        "price=rsi": ["no such column in the trace"],
    }.items():
        command = ("export", agent, "--to", tmp_path / "no", "--kind", "v38", "--stream", wrong)
        streams = ("--stream", "volume=feature:traded", "--stream", "trend=feature:macd")
        cli.assert_mentions(cli.refused(tmp_path, *command, *streams), *parts)
    chosen = ("--stream", "price=feature:rsi", "--stream", "volume=feature:traded", "--stream", "trend=feature:macd")
    cli.succeed("export", agent, "--to", tmp_path / "inputs", "--kind", "v38", *chosen)
    trace = pl.read_parquet(agent / "trace.parquet")
    written = np.loadtxt(tmp_path / "inputs" / "price.in", dtype=int)
    np.testing.assert_array_equal(written, trace["rsi_bucket"].to_numpy() * 2 >= 3)
    # What the gates look at is not there: they are open, as without weights.
    assert set(trace["weight_trend"]) == set(trace["weight_momentum"]) == {1}
    cli.succeed("spec", agent, "--out", tmp_path / "spec", "--kind", "v38", *chosen)
    assert (tmp_path / "spec" / "inputs" / "trend.in").read_bytes() == (tmp_path / "inputs" / "trend.in").read_bytes()


@pytest.mark.parametrize("prover", ["replay", "zk"])
def test_proving_and_verifying(place, tmp_path, prover):
    hiding = ("--out", tmp_path / "published", "--private", tmp_path / "secrets") if prover == "zk" else ()
    cli.succeed("prove", place / "agent", "--prover", prover, *hiding)
    out = tmp_path / "published" if hiding else place / "agent"
    said = cli.succeed("verify", out, "--require", prover, "--data", place / "bars.parquet").stdout
    assert f"with a proof by {prover}" in said
