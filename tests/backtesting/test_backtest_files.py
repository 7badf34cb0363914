"""Backtests read and written in pieces: the same bytes as at once, and tables that agree with the account."""

import json
from datetime import UTC, datetime

import cli_helpers as cli
import numpy as np
import polars as pl
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from market_data import history, random_walk
from numpy.testing import assert_array_equal

import idi_fast.backtesting.engine
import idi_fast.data.loading
from idi_fast import TrainingConfig, create_trainer, load_history
from idi_fast.backtesting.account import TradingAssumptions
from idi_fast.backtesting.backtest import backtest, write_backtest
from idi_fast.data.history import History
from idi_fast.data.loading import open_history
from idi_fast.errors import DataError, InputError
from idi_fast.parallel.pipeline import ahead
from idi_fast.storage.tables import METADATA_KEY

BARS = 300


@pytest.fixture(scope="module")
def policy():
    """A policy that trades often, and in both directions."""
    settings = TrainingConfig.from_dict(
        {
            "episodes": 400,
            "episode_length": 50,
            "rewards": {"ethics_bonus": 0.0},
            "environment": {"kind": "history"},
        }
    )
    return create_trainer(settings, history=random_walk(600)).run()[0]


def write_bars(bars: History, path, row_group_size: int | None = None, **extra):
    columns = {name: getattr(bars, name) for name in ("time", "open", "close", "volume")}
    frame = pl.DataFrame({**columns, **extra}).with_columns(pl.col("time").cast(pl.Datetime("ns", "UTC")))
    frame.write_parquet(path, row_group_size=row_group_size)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_bars(random_walk(BARS, seed=3), tmp_path_factory.mktemp("data") / "bars.parquet", 64)


OPTIONS = {"fee_bps": 7.0, "slippage_bps": 3.0, "start": "1970-02-01", "end": "1970-10-01"}


@settings(max_examples=examples(8))
@given(st.integers(1, 200), st.booleans())
def test_however_bars_are_read_the_bytes_are_the_same(policy, data, tmp_path_factory, rows, is_small):
    at_once, in_pieces = tmp_path_factory.mktemp("at_once"), tmp_path_factory.mktemp("in_pieces")
    backtest(policy, load_history(data), **OPTIONS).save(at_once / "b")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(idi_fast.data.loading, "CHUNK_BARS", rows)
        if not is_small:
            patch.setattr(idi_fast.data.bar_files, "SMALL_BYTES", -1)
        assert len(list(open_history(data).chunks())) >= min(BARS // rows, BARS // 64)
        (in_pieces / "b").mkdir()
        write_backtest(in_pieces / "b", policy, open_history(data), **OPTIONS)
    expected, found = (
        {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (at_once, in_pieces)
    )
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []


@settings(max_examples=examples(8))
@given(st.integers(1, BARS), st.sampled_from([{}, OPTIONS]))
def test_a_history_in_memory_is_processed_in_segments_of_any_size(policy, segment, options):
    bars = random_walk(BARS, seed=3)
    whole = backtest(policy, bars, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(idi_fast.backtesting.engine, "SEGMENT_BARS", segment)
        parts = backtest(policy, bars, **options)
        assert parts.trace.frame().equals(whole.trace.frame(), null_equal=True)
    assert parts.to_dict() == whole.to_dict()
    assert parts.equity.equals(whole.equity, null_equal=True)
    assert parts.trades.equals(whole.trades, null_equal=True)
    assert_array_equal(parts.history.close, whole.history.close)


def test_a_start_leaves_the_features_their_past(policy):
    bars = random_walk(BARS, seed=3)
    whole, late = backtest(policy, bars), backtest(policy, bars, start="1970-04-11T00:00:00Z")
    first = 100
    assert len(late.history) == BARS - first
    assert late.history.time[0] == bars.time[first]
    for name in ("price", "volume", "trend", "scarcity"):
        expected = policy.space.digit(whole.trace.state, name)[first:]
        assert_array_equal(policy.space.digit(late.trace.state, name), expected)
    # The agent begins there, flat, and its account with an equity of 1.
    assert policy.space.digit(late.trace.state, "position")[0] == 1
    assert (late.account.equity[0], late.account.position[0]) == (1.0, 0)


def test_an_end_is_as_if_there_were_no_more_bars(policy):
    bars = random_walk(BARS, seed=3)
    cut, short = backtest(policy, bars, end="1970-04-11"), backtest(policy, bars.slice(0, 100))
    assert cut.to_dict() == short.to_dict()
    assert_array_equal(cut.account.equity, short.account.equity)


def test_a_start_or_an_end_needs_times(policy):
    bars = random_walk(BARS, seed=3)
    timeless = history(bars.close, bars.open, bars.volume)
    with pytest.raises(InputError, match="the history has no times"):
        backtest(policy, timeless, end="2000-01-01")


@pytest.mark.parametrize("position", [-1, 1])
def test_an_initial_position_is_known_to_the_agent_and_kept_in_the_account(policy, position):
    result = backtest(policy, random_walk(BARS, seed=3), initial_position=position, fee_bps=0.0)
    assert policy.space.digit(result.trace.state, "position")[0] == position + 1
    assert result.account.position[0] == position
    assert result.assumptions["initial_position"] == position


def test_a_long_only_account_stays_flat_where_the_agent_is_short(policy):
    bars = random_walk(BARS, seed=3)
    both, long_only = backtest(policy, bars), backtest(policy, bars, long_only=True)
    assert_array_equal(both.trace.position, long_only.trace.position)
    assert {-1, 1} <= set(both.account.position.tolist())
    assert_array_equal(long_only.account.position, np.maximum(both.account.position, 0))


def test_slippage_costs_what_it_says(policy):
    bars = random_walk(BARS, seed=3)
    free, slipped = (backtest(policy, bars, fee_bps=0.0, slippage_bps=bps) for bps in (0.0, 10.0))
    assert free.kpis["slippage"] == 0.0
    assert slipped.kpis["slippage"] > 0.0
    assert slipped.account.equity[-1] < free.account.equity[-1]
    assert_array_equal(free.trace.action, slipped.trace.action)


def test_alerts_are_judged_by_the_risk_column(policy, tmp_path):
    bars = random_walk(BARS, seed=3)
    risk = np.arange(BARS) % 7 == 0
    path = write_bars(bars, tmp_path / "bars.parquet", danger=risk)
    result = backtest(policy, load_history(path, risk="danger"))
    said = result.trace.comm_action[:-1] == policy.comm_actions.index("alert")
    right = np.count_nonzero(said & risk[1:])
    assert result.kpis["alert_precision"] == right / np.count_nonzero(said)
    assert result.kpis["alert_recall"] == right / np.count_nonzero(risk[1:])
    assert sum(row["risk_events"] for row in result.alerts["regime"]) == np.count_nonzero(risk[1:])


def test_trades_and_returns_agree_with_the_account(policy, data, tmp_path):
    result = backtest(policy, load_history(data), fee_bps=7.0)
    result.save(tmp_path / "b")
    trades = pl.read_parquet(tmp_path / "b" / "trades.parquet")
    equity = pl.read_parquet(tmp_path / "b" / "equity.parquet")
    assert trades.equals(result.trades_frame())
    closed, still_open = trades.filter(pl.col("exit_bar").is_not_null()), trades.filter(pl.col("exit_bar").is_null())
    assert (len(closed), len(still_open)) == (result.kpis["trades"], result.kpis["open_trades"])
    for kind, rows in (("entry", trades), ("exit", closed)):
        assert rows[f"{kind}_time"].to_list() == equity["time"].gather(rows[f"{kind}_bar"]).to_list()
    assert still_open.select("exit_time", "exit_price", "profit", "bars").null_count().sum_horizontal().item() == 4
    held = np.zeros(BARS)
    for entry, leave, direction in trades.select("entry_bar", "exit_bar", "direction").rows():
        held[entry:leave] = direction
    assert_array_equal(held, equity["position"])
    returns = pl.read_csv(tmp_path / "b" / "returns.csv", try_parse_dates=True)
    assert returns.columns == ["time", "return"]
    assert returns["time"][0] == datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    np.testing.assert_allclose((1.0 + returns["return"].to_numpy()).cumprod(), equity["equity"], rtol=1e-13)
    about = json.loads(pl.read_parquet_metadata(tmp_path / "b" / "trace.parquet")[METADATA_KEY])
    assert about["format"] == "idi-fast-trace-1"


def test_rows_that_are_wrong_late_in_a_file_are_named_and_nothing_is_left(policy, tmp_path, monkeypatch):
    monkeypatch.setattr(idi_fast.data.loading, "CHUNK_BARS", 50)
    bars = random_walk(BARS, seed=3)
    bars.close[210] = np.nan
    frame = pl.DataFrame({"close": bars.close, "volume": bars.volume})
    frame.write_parquet(tmp_path / "bars.parquet", row_group_size=64)
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match=r"bars\.parquet, row 211, column 'close': found nan"):
        write_backtest(tmp_path / "b", policy, open_history(tmp_path / "bars.parquet"))


def test_times_must_increase_across_chunks_and_files(policy, tmp_path, monkeypatch):
    monkeypatch.setattr(idi_fast.data.loading, "CHUNK_BARS", 10)
    one, two = random_walk(40), random_walk(40)
    (tmp_path / "bars").mkdir()
    write_bars(one, tmp_path / "bars" / "1.parquet")
    write_bars(two, tmp_path / "bars" / "2.parquet")
    with pytest.raises(DataError, match=r"2\.parquet, row 1, column 'time': .* is earlier than .*1\.parquet, row 40"):
        load_history(tmp_path / "bars")


def test_kpis_only(policy, data, tmp_path):
    (tmp_path / "b").mkdir()
    result = write_backtest(tmp_path / "b", policy, open_history(data), trace=False)
    assert {path.name for path in (tmp_path / "b").iterdir()} == {"kpis.json", "run.json", "manifest.json"}
    assert result == backtest(policy, load_history(data)).to_dict()


def test_bad_terms_are_refused():
    for options, message in (
        ({"fee_bps": -1.0}, "fee_bps is -1.0"),
        ({"slippage_bps": 10_000.0}, "slippage_bps is 10000.0"),
        ({"slippage_bps": float("nan")}, "slippage_bps is nan"),
        ({"initial_position": 3}, "initial_position is 3"),
        ({"initial_position": -1, "long_only": True}, "long-only"),
    ):
        with pytest.raises(InputError, match=message):
            TradingAssumptions(**{"fill": "next_open", "fee_bps": 0.0, **options})


class TestAhead:
    def test_items_come_in_their_order(self):
        with ahead(iter(range(1000))) as items:
            assert list(items) == list(range(1000))

    def test_what_is_raised_in_making_them_is_raised_where_they_are_wanted(self):
        def broken():
            yield 1
            raise ValueError("no more")

        with ahead(broken()) as items:
            assert next(items) == 1
            with pytest.raises(ValueError, match="no more"):
                next(items)

    def test_leaving_early_closes_the_source(self):
        closed = []

        def endless():
            try:
                while True:
                    yield 0
            finally:
                closed.append(True)

        with ahead(endless()) as items:
            next(items)
        assert closed == [True]


class TestCommand:
    def test_a_condition_that_holds_fails_the_run_but_leaves_it(self, world, tmp_path):
        status, stdout, stderr = cli.run(
            "backtest",
            world / "later.parquet",
            "--policy",
            world / "agent",
            "--out",
            tmp_path / "b",
            "--fail-if",
            "bars_that_are_not > 1 or trades >= 0",
            "--json",
        )
        assert (status, stdout) == (2, "")
        status, stdout, stderr = cli.run(
            "backtest",
            world / "later.parquet",
            "--policy",
            world / "agent",
            "--out",
            tmp_path / "b",
            "--fail-if",
            "trades < 0",
            "--fail-if",
            "max_drawdown <= 0 and exposure >= 0",
            "--json",
        )
        assert status == 1
        assert "failed: max_drawdown <= 0 and exposure >= 0 (max_drawdown is -" in stderr
        assert "trades < 0" not in stderr
        assert json.loads(stdout)["kpis"]["max_drawdown"] <= 0
        assert (tmp_path / "b" / "kpis.json").exists()

    def test_a_look_into_the_future_fails_the_run_and_leaves_nothing(self, world, tmp_path, monkeypatch):
        args = ("backtest", world / "later.parquet", "--policy", world / "agent", "--check-lookahead", "--out")
        assert "no look-ahead found" in cli.succeed(*args, tmp_path / "a").stderr
        inputs = idi_fast.environments.series.FeatureStream.inputs

        def peek(self, columns):
            return inputs(self, {name: np.append(values[1:], values[-1:]) for name, values in columns.items()})

        monkeypatch.setattr(idi_fast.environments.series.FeatureStream, "inputs", peek)
        status, stdout, stderr = cli.run(*args, tmp_path / "b")
        assert (status, stdout) == (1, "")
        assert "look-ahead at bar" in stderr
        assert not (tmp_path / "b").exists()
