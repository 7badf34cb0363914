"""Many policies in one pass: each as if it were alone, to the last bit."""

import math
from dataclasses import replace

import cli_helpers as cli
import numpy as np
import polars as pl
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from market_data import random_walk

import idi_fast as idi
from idi_fast import Policy
from idi_fast.backtesting import kpi_accumulator, lanes
from idi_fast.backtesting.populations import IDENTITY, backtest_population
from idi_fast.errors import ArtifactError, InputError

QUICK = {"episodes": 4, "episode_length": 16, "quantizer": {f"{n}_buckets": 2 for n in ("price", "volume", "trend")}}


@pytest.fixture(scope="module")
def policies() -> list[Policy]:
    """Agents of two configs and a tile coder's, whose tables say something in every state."""
    bars, made = random_walk(300, seed=5), []
    for config in (QUICK, {**QUICK, "tile_coder": {}}, {**QUICK, "environment": {"market": {"fee_bps": 3.0}}}):
        trained = idi.train(config, bars, seed=len(made)).policy
        rng = np.random.default_rng(len(made))
        for seed in range(5):
            tables = {name: rng.normal(size=getattr(trained, name).shape) for name in ("q", "comm_q")}
            made.append(replace(trained, seed=seed, **tables))
    return made


def assert_alone(table: pl.DataFrame, policies, history, **options) -> None:
    """Every row is what the policy's own backtest has, to the last bit."""
    for row, policy in zip(table.iter_rows(named=True), policies, strict=True):
        alone = idi.backtest(policy, history, **options)
        expected = {k: None if v is None or math.isnan(v) else v for k, v in alone.kpis.items()}
        assert {name: row[name] for name in expected} == expected
        assert list(expected) == [name for name in table.columns if name not in IDENTITY][:-1]
        held = alone.buy_and_hold["total_return"]
        about = alone.assumptions
        assert (row["in_sample"], row["fee_bps"], row["bars"]) == (about["in_sample"], about["fee_bps"], about["bars"])
        assert (row["seed"], row["buy_and_hold_total_return"]) == (str(policy.seed), held)


@given(
    st.integers(2, 400),
    st.integers(0, 100),
    st.sampled_from([0.001, 0.02, 0.4]),  # the last leaves nothing of most accounts
    st.sampled_from(["next_open", "next_close", "same_close"]),
    st.sampled_from([-1, 0, 1]),
    st.booleans(),
    st.integers(1, 200),
)
@settings(max_examples=examples(15))
def test_every_policy_has_the_figures_that_it_has_alone(
    policies, bars, seed, volatility, fill, position, starts, segment
):
    history, chosen = random_walk(bars, seed, volatility), policies[seed % 4 :: 1 + seed % 2]
    options = {"fill": fill, "initial_position": position, "slippage_bps": 2.0}
    if starts and bars > 10:
        options["start"] = "1970-01-08"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lanes, "SEGMENT_BARS", segment)
        made = idi.backtest(chosen, history, **options)
    assert_alone(made.table, chosen, history, **options)


def test_over_many_blocks_and_threads_as_well(policies):
    history = random_walk(3 * kpi_accumulator.BLOCK + 77, seed=3, volatility=0.002)
    for jobs in (1, 3):
        made = backtest_population(policies, history, jobs=jobs, fee_bps=0.1, long_only=True)
        assert_alone(made.table, policies, history, fee_bps=0.1, long_only=True)


def test_the_spread_is_that_of_the_table(policies):
    made = idi.backtest(policies[:5], random_walk(200))
    row = made.spread.row(by_predicate=pl.col("figure") == "total_return", named=True)
    values = made.table["total_return"].to_numpy()
    assert (row["policies"], row["minimum"], row["median"], row["maximum"]) == (
        5,
        values.min(),
        np.median(values),
        values.max(),
    )
    assert row["mean"] == values.mean()
    reach = 2.776445 * values.std(ddof=1) / math.sqrt(5)  # Student's t of 4 degrees, from a table
    assert row["high"] - row["mean"] == pytest.approx(reach, rel=2e-3) == row["mean"] - row["low"]
    one = idi.backtest(policies[:1], random_walk(200)).spread.row(0, named=True)
    assert (one["low"], one["high"]) == (None, None)


def test_what_cannot_be_tested_is_refused(policies):
    bars = random_walk(60)
    with pytest.raises(InputError, match="no policies"):
        idi.backtest([], bars)
    with pytest.raises(InputError, match="expected a Policy"):
        idi.backtest([policies[0], "a"], bars)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="keep='all'"):
        idi.backtest(idi.train_population(QUICK, range(2), history=bars), bars)
    simulated = idi.train({"episodes": 4}).policy
    with pytest.raises(ArtifactError, match="no features"):
        idi.backtest([policies[0], simulated], bars)


def test_a_population_in_memory_and_from_its_folder_are_the_same(world, tmp_path):
    bars = world / "bars.csv"
    train = ("train", "--seeds", "0:3", "--keep", "all", "--data", bars, *cli.QUICK, *cli.FEW_STATES)
    cli.succeed(*train, "--out", tmp_path / "p")
    outcome = cli.run(
        *("backtest", bars, "--policy", tmp_path / "p", "--all", "--out", tmp_path / "b", "--json"),
        *("--fail-if", "minimum.trades < 0", "--fail-if", "policies == 3", "--fail-if", "median.trades >= 0"),
    )
    assert outcome.status == 1
    cli.assert_mentions(outcome.stderr, "policies is 3", "median.trades is ", "trained on some of these bars")
    table = pl.read_parquet(tmp_path / "b" / "policies.parquet")
    files = [tmp_path / "p" / "seeds" / str(seed) / "policy.parquet" for seed in range(3)]
    loaded, history = [Policy.load(file) for file in files], idi.load_history(bars)
    made = idi.backtest(loaded, history)
    assert made.table.equals(table)
    assert_alone(table, loaded, history)
    made.save(tmp_path / "saved")
    kept = (tmp_path / "b" / "kpis.json").read_bytes()
    assert (tmp_path / "saved" / "kpis.json").read_bytes() == kept
    assert cli.one_object(outcome.stdout)["spread"]["trades"]["policies"] == 3


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--policy", "agent", "--all"), "is no population"),
        (("--policy", "agent", "--all", "--no-trace"), "--no-trace: not with --all"),
        (("--policy", "agent", "--all", "--symbol-files"), "--symbol-files: not with --all"),
        (("--policy", "nothing", "--all"), "no population in"),
    ],
)
def test_the_command_refuses_what_is_no_population(world, tmp_path, args, said):
    args = [world / arg if arg in ("agent", "nothing") else arg for arg in args]
    outcome = cli.run("backtest", world / "bars.csv", *args, "--out", tmp_path / "b")
    assert outcome.status == 2
    cli.assert_mentions(outcome.stderr, said)
    assert not (tmp_path / "b").exists()
