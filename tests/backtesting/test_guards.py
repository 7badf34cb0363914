"""What v38 reads of a run besides decisions: buckets, profits and gaps, recomputed from the run's table."""

import cli_helpers as cli
import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_array_equal

from idi_fast.config.settings import TrainingConfig
from idi_fast.data.loading import load_history
from idi_fast.training.trainer import create_trainer

FEE_BPS = 20.0
COST = 2 * FEE_BPS / 1e4


def profits(target: list[int], value: np.ndarray, entry: np.ndarray, cost: float, held: int = 0) -> list[int]:
    """Whether the position held into each tick, that decided on a tick before, has earned more than its costs.

    value: log price at each tick; entry: that at which a position first held into the tick was entered.
    """
    found, entered = [], entry[0]
    for tick, (now, log_price) in enumerate(zip([held, *target[:-1]], value, strict=True)):
        if tick and now != held:
            held, entered = now, entry[tick]
        found.append(int(now != 0 and now * (log_price - entered) > cost))
    return found


def settings(kind: str, **fields) -> TrainingConfig:
    market = {"kind": kind, "market": {"fee_bps": FEE_BPS}}
    base = {"episodes": 300, "episode_length": 400, "environment": market, "rewards": {"ethics_bonus": 0.0}}
    return TrainingConfig.from_dict({**base, **fields})


def test_profit_on_the_synthetic_environment():
    # With these weights a reward is what the position earns by the drift.
    rewards = {"pnl": 1.0, "scarcity_alignment": 0.0, "ethics_bonus": 0.0, "communication_clarity": 0.0}
    _, trace = create_trainer(settings("synthetic", rewards=rewards, exploration_decay=0.99)).run()
    earned, expected = 0.0, [0]
    for tick in range(1, len(trace)):
        changed = tick == 1 or trace.position[tick - 1] != trace.position[tick - 2]
        earned = trace.reward[tick - 1] + (0.0 if changed else earned)
        expected.append(int(earned > 1e-12))
    assert_array_equal(trace.streams["profit_guard"], expected)
    assert 0.1 < np.mean(expected) < 0.9


def test_profit_on_the_simulated_market():
    _, trace = create_trainer(settings("crypto"), 1).run()
    value = np.log(trace.close)
    expected = profits(trace.position.tolist(), value, np.append(value[:1], value[:-1]), COST)
    assert_array_equal(trace.streams["profit_guard"], expected)
    assert expected != profits(trace.position.tolist(), value, np.append(value[:1], value[:-1]), 0.0)
    assert 0.1 < np.mean(expected) < 0.9


@pytest.mark.parametrize("fill", ["next_open", "next_close", "same_close"])
def test_profit_on_a_history(fill, tmp_path):
    rng = np.random.default_rng(2)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, 1000)))
    bars = pl.DataFrame({"open": close * np.exp(rng.normal(0.0, 0.005, 1000)), "close": close})
    bars.write_parquet(tmp_path / "bars.parquet")
    environment = {"kind": "history", "market": {"fee_bps": FEE_BPS}, "data": {"fill": fill}}
    trainer = create_trainer(
        settings("history", environment=environment), history=load_history(tmp_path / "bars.parquet")
    )
    policy, trace = trainer.run()
    policy.save(tmp_path / "policy.parquet")
    entries = {
        "next_open": np.log(bars["open"].to_numpy()),
        "next_close": np.log(close),
        "same_close": np.log(np.append(close[:1], close[:-1])),
    }
    window = slice(1000 - 401, 999)
    expected = profits(trace.position.tolist(), np.log(close)[window], entries[fill][window], COST)
    assert_array_equal(trace.streams["profit_guard"], expected)
    assert 0.02 < np.mean(expected) < 0.98
    # The same in a backtest, whatever its account is charged: the guard is of the agent's own position.
    for held, fee in ((0, 0), (1, 500)):
        out = tmp_path / f"backtest {held}"
        args = ("backtest", tmp_path / "bars.parquet", "--policy", tmp_path / "policy.parquet", "--out", out)
        cli.succeed(*args, "--initial-position", held, "--fee-bps", fee)
        table = pl.read_parquet(out / "trace.parquet")
        expected = profits(table["target"].to_list(), np.log(close), entries[fill], COST, held)
        assert_array_equal(table["profit_guard"], expected)


@pytest.mark.parametrize(
    ("buckets", "high"), [(1, []), (2, [1]), (3, [2]), (4, [2, 3]), (5, [3, 4])], ids=lambda value: str(value)
)
@pytest.mark.parametrize("kind", ["synthetic", "crypto"])
def test_the_upper_half_of_the_buckets(kind, buckets, high):
    quantizer = {f"{name}_buckets": buckets for name in ("price", "volume", "trend")}
    trace = create_trainer(settings(kind, quantizer=quantizer, episodes=5)).run()[1]
    table = trace.frame()
    for name in ("price", "volume", "trend"):
        assert_array_equal(table[name], table[f"{name}_bucket"].is_in(high).cast(pl.UInt8))
        assert set(table[f"{name}_bucket"]) == set(range(buckets))
    assert table["failure_echo"].sum() == 0  # what is simulated has no gaps


@pytest.mark.parametrize("hole", ["", "nan"])
def test_a_failure_echoes_on_the_bar_after_a_gap(hole, tmp_path):
    table = cli.bars(120).with_columns(pl.col("time").dt.strftime("%Y-%m-%d")).cast(pl.String)
    holes = [60, 61, 90, 119]
    close = pl.when(pl.int_range(0, 120).is_in(holes)).then(pl.lit(hole)).otherwise(pl.col("close")).alias("close")
    table.with_columns(close).write_csv(tmp_path / "bars.csv", quote_style="never")
    data = (tmp_path / "bars.csv", "--nan", "drop")
    cli.succeed("train", "--data", *data, "--out", tmp_path / "agent", "--episodes", 5, "--episode-length", 80)
    cli.succeed("backtest", *data, "--policy", tmp_path / "agent", "--out", tmp_path / "backtest")
    for run in ("agent", "backtest"):
        trace = pl.read_parquet(tmp_path / run / "trace.parquet")
        days = trace.filter(pl.col("failure_echo") == 1)["time"].dt.strftime("%Y-%m-%d").to_list()
        assert days == [cli.bars(120)["time"][day].strftime("%Y-%m-%d") for day in (62, 91)]
        cli.succeed("spec", tmp_path / run, "--kind", "v38", "--out", tmp_path / f"{run} spec")
        executing, echo = (
            np.loadtxt(tmp_path / f"{run} spec" / "expected" / f"{name}.out")
            for name in ("executing", "mirror_failure_echo")
        )
        assert_array_equal(echo, trace["failure_echo"])
        assert not executing[echo == 1].any()
