"""Many symbols: each as if it were alone, and a book that adds them up, for any layout of files."""

import json
import os
from dataclasses import replace
from pathlib import Path

import cli_helpers as cli
import numpy as np
import polars as pl
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from market_data import random_walk
from numpy.testing import assert_allclose, assert_array_equal

from idi_fast import Policy, load_history
from idi_fast.backtesting.backtest import backtest
from idi_fast.backtesting.symbols import Book, backtest_symbols
from idi_fast.data.history import History
from idi_fast.data.symbols import open_symbols
from idi_fast.errors import DataError, InputError

NAMES = ("AAA", "B/C d", "ΔE")
BARS = {"AAA": 140, "B/C d": 90, "ΔE": 200}


def walk(name: str) -> History:
    return random_walk(BARS[name], seed=len(name))


def rows(name: str) -> pl.DataFrame:
    bars = walk(name)
    columns = {column: getattr(bars, column) for column in ("time", "open", "close", "volume")}
    frame = pl.DataFrame({"symbol": [name] * len(bars), **columns})
    return frame.with_columns(pl.col("time").cast(pl.Datetime("ns", "UTC")))


@pytest.fixture(scope="module")
def policy(world) -> Policy:
    return Policy.load(world / "agent")


@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 12), st.integers(1, 8), st.integers(1, 8)),
            min_size=1,
            unique_by=lambda bar: bar[0],
        ),
        min_size=1,
        max_size=5,
    )
)
def test_a_book_holds_equal_parts_that_stand_still_before_and_after_their_bars(accounts):
    book = Book()
    accounts = [sorted(account) for account in accounts]
    for account in accounts:
        times, equity, held = (np.array(column, float) for column in zip(*account, strict=True))
        book.add(times.astype(np.int64), equity / 4, held / 4)
    wanted = sorted({time for account in accounts for time, _, _ in account})
    assert book.times.tolist() == wanted
    for at, time in enumerate(wanted):
        worth = [[row[1:] for row in account if row[0] <= time][-1:] or [(4, 4)] for account in accounts]
        expected = np.mean([values[0] for values in worth], axis=0) / 4
        assert_allclose([book.equity[at], book.held_equity[at]], expected, rtol=1e-15)


def test_each_symbol_is_backtested_as_if_it_were_alone(policy):
    histories = {name: walk(name) for name in NAMES}
    result = backtest_symbols(policy, histories, fee_bps=3.0, slippage_bps=1.0)
    assert result.symbols["symbol"].to_list() == list(NAMES)
    total = 0
    for row, name in zip(result.symbols.iter_rows(named=True), NAMES, strict=True):
        alone = backtest(policy, histories[name], fee_bps=3.0, slippage_bps=1.0)
        expected = alone.to_dict()["kpis"]
        assert {key: row[key] for key in expected} == expected
        assert row["buy_and_hold_total_return"] == alone.buy_and_hold["total_return"]
        total += row["trades"]
    summary = result.to_dict()
    assert summary["kpis"]["trades"] == total
    assert summary["assumptions"]["bars"] == sum(BARS.values())
    expected = np.mean([row + 1.0 for row in result.symbols["total_return"]]) - 1.0
    assert summary["kpis"]["total_return"] == pytest.approx(expected, rel=1e-12)
    weights = result.symbols["bars"].to_numpy()
    expected = np.average(result.symbols["exposure"].to_numpy(), weights=weights)
    assert summary["kpis"]["exposure"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("jobs", [2, 3])
def test_the_number_of_threads_changes_nothing(policy, jobs):
    histories = {f"S{k}": random_walk(60 + 7 * k, seed=k) for k in range(8)}
    one, more = (backtest_symbols(policy, histories, jobs=n) for n in (1, jobs))
    assert one.to_dict() == more.to_dict()
    assert one.symbols.equals(more.symbols)
    assert_array_equal(one.book.equity, more.book.equity)


def test_decisions_are_judged_within_a_symbol_only(policy):
    histories = {name: walk(name) for name in NAMES}
    pooled = backtest_symbols(policy, histories).to_dict()["kpis"]
    hits = chosen = moves = 0
    for bars in histories.values():
        side = np.array([0, 1, -1])[backtest(policy, bars).trace.action[:-1]]
        move = np.sign(np.diff(bars.close))
        hits += np.count_nonzero((side != 0) & (side == move))
        chosen, moves = chosen + np.count_nonzero(side), moves + np.count_nonzero(move)
    assert (pooled["action_precision"], pooled["action_recall"]) == (hits / chosen, hits / moves)


@pytest.fixture(scope="module")
def layouts(tmp_path_factory) -> dict[str, tuple[Path, list[str]]]:
    """The same bars in files of all kinds, and the options that read them."""
    folder = tmp_path_factory.mktemp("symbols")
    frames = {name: rows(name) for name in NAMES}
    whole = pl.concat(frames.values())
    whole.write_parquet(folder / "grouped.parquet")
    whole.sort("time", "symbol").write_parquet(folder / "mixed.parquet", row_group_size=50)
    whole.sort("time", "symbol", descending=[False, True]).write_csv(folder / "mixed.csv")
    (folder / "partitioned").mkdir()
    for key, frame in frames.items():
        part = folder / "partitioned" / f"symbol={key.replace('/', '%2F')}"
        part.mkdir()
        frame.drop("symbol").head(60).write_parquet(part / "1.parquet")
        frame.drop("symbol").slice(60).write_parquet(part / "2.parquet")
    by_column = ["--symbol-col", "symbol"]
    return {
        name: (folder / name, by_column) for name in ("grouped.parquet", "mixed.parquet", "mixed.csv", "partitioned")
    }


@pytest.mark.parametrize("name", ["mixed.parquet", "mixed.csv"])
def test_no_room_to_sort_rows_apart_is_no_fault_of_the_file(layouts, world, tmp_path, name):
    data, options = layouts[name]
    ((status, stdout, stderr),) = cli.run_batch(
        [(500, ("backtest", data, "--policy", world / "agent", "--out", tmp_path / "out", *options))]
    )
    assert (status, stdout, stderr.count("\n")) == (1, "", 1)
    cli.assert_mentions(stderr, "error: cannot write ", "File too large")
    assert os.listdir(tmp_path) == []


def test_nothing_goes_on_writing_once_sorting_apart_has_failed(readers, policy, tmp_path):
    # Threads of polars may, in the reader's process: it is ended, so that the folder can be removed.
    rows = pl.DataFrame({"symbol": [f"S{k}" for k in range(500)], "close": np.linspace(1.0, 2.0, 500)})
    rows.write_parquet(tmp_path / "mixed.parquet", row_group_size=50, compression="uncompressed")
    damaged = bytearray((tmp_path / "mixed.parquet").read_bytes())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 200] = bytes(200)
    (tmp_path / "mixed.parquet").write_bytes(damaged)
    (tmp_path / "scratch").mkdir()
    data = replace(policy.config.environment.data, path=str(tmp_path / "mixed.parquet"))
    with pytest.raises(DataError, match="cannot be read"):
        open_symbols(policy.config, data, tmp_path / "scratch", column="symbol")
    assert readers._all == []


@pytest.mark.parametrize("name", ["mixed.parquet", "mixed.csv", "partitioned"])
def test_how_the_rows_are_filed_changes_nothing(layouts, world, tmp_path, name):
    outputs = {}
    for layout in ("grouped.parquet", name):
        data, options = layouts[layout]
        out = tmp_path / layout
        cli.succeed("backtest", data, "--policy", world / "agent", "--out", out, *options)
        outputs[layout] = {path.name: path.read_bytes() for path in out.iterdir()}
    first, other = outputs.values()
    assert first.keys() == other.keys()
    # These name the files that were read.
    differing = {key for key in first if first[key] != other[key]}
    assert differing <= {"run.json", "manifest.json"}


def test_what_a_run_over_symbols_leaves(layouts, world, tmp_path):
    data, options = layouts["mixed.parquet"]
    outcome = cli.succeed("backtest", data, "--policy", world / "agent", "--out", tmp_path / "b", *options, "--json")
    result = json.loads(outcome.stdout)
    assert result["assumptions"]["symbols"] == 3
    names = {
        "kpis.json",
        "symbols.parquet",
        "equity.parquet",
        "trades.parquet",
        "returns.csv",
        "run.json",
        "manifest.json",
    }
    assert {path.name for path in (tmp_path / "b").iterdir()} == names
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    trades = pl.read_parquet(tmp_path / "b" / "trades.parquet")
    assert trades["symbol"].to_list() == sorted(trades["symbol"])
    assert trades.n_unique("symbol") > 1
    assert trades["exit_bar"].is_not_null().sum() == result["kpis"]["trades"]
    equity = pl.read_parquet(tmp_path / "b" / "equity.parquet")
    assert equity["equity"][-1] - 1.0 == result["kpis"]["total_return"]
    run = json.loads((tmp_path / "b" / "run.json").read_text())
    assert list(run["data"]["files"]) == [str(data)]
    assert list(run["data"]["symbols"]) == list(NAMES)
    text = cli.succeed(
        "backtest", data, "--policy", world / "agent", "--out", tmp_path / "n", *options, "--no-trace", "--jobs", 1
    ).stdout
    assert "symbols               3" in text
    assert {path.name for path in (tmp_path / "n").iterdir()} == {
        "kpis.json",
        "symbols.parquet",
        "run.json",
        "manifest.json",
    }
    assert (tmp_path / "n" / "kpis.json").read_bytes() == (tmp_path / "b" / "kpis.json").read_bytes()


def test_each_file_a_symbol_and_those_without_bars_are_left_out(world, tmp_path):
    (tmp_path / "files").mkdir()
    for name in NAMES:
        rows(name).write_parquet(tmp_path / "files" / f"{name.replace('/', '_')}.parquet")
    args = ["--policy", world / "agent", "--out", tmp_path / "b", "--symbol-files", "--start", "1970-04-15"]
    outcome = cli.succeed("backtest", tmp_path / "files", *args, "--json", "--no-trace")
    about = json.loads(outcome.stdout)["assumptions"]
    assert (about["symbols"], about["symbols_without_bars"]) == (2, 1)
    assert pl.read_parquet(tmp_path / "b" / "symbols.parquet")["symbol"].to_list() == ["AAA", "ΔE"]


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--symbol-col", "simbol"], ["mixed.parquet: no column 'simbol'", "Did you mean 'symbol'?"]),
        (["--symbol-col", "symbol", "--symbol-files"], ["--symbol-files and --symbol-col exclude each other"]),
        (["--symbol-col", "symbol", "--check-lookahead"], ["does not go with many symbols; check one of them"]),
        (["--symbol-col", "symbol", "--start", "2100-01-01"], ["no bar of any symbol"]),
        (["--symbol-col", "symbol", "--jobs", "0"], ["jobs is 0"]),
        (["--symbol-col", "symbol", "--fail-if", "defined(liquidated_at)"], ["liquidated_at", "liquidated_symbols"]),
        (["--jobs", "2"], ["--jobs"]),
    ],
)
def test_what_is_refused(layouts, world, tmp_path, options, parts):
    data, _ = layouts["mixed.parquet"]
    status, stdout, stderr = cli.run("backtest", data, "--policy", world / "agent", "--out", tmp_path / "b", *options)
    assert (status, stdout) == (2, "")
    cli.assert_mentions(stderr, *parts)
    assert list(tmp_path.iterdir()) == []


def test_a_bad_row_is_named_by_its_symbol(policy, tmp_path):
    frame = pl.concat([rows("AAA"), rows("ΔE")]).sort("time", "symbol").with_row_index()
    close = (
        pl.when((pl.col("symbol") == "ΔE") & (pl.col("time") == rows("ΔE")["time"][7])).then(-1.0).otherwise("close")
    )
    frame.with_columns(close=close).write_parquet(tmp_path / "x.parquet")
    data = replace(policy.config.environment.data, path=str(tmp_path / "x.parquet"))
    (tmp_path / "scratch").mkdir()
    histories = open_symbols(policy.config, data, tmp_path / "scratch", column="symbol")
    with pytest.raises(DataError, match=r"x\.parquet, symbol 'ΔE', row 8, column 'close': found -1\.0"):
        backtest_symbols(policy, histories)
    frame.with_columns(symbol=pl.when(pl.col("index") == 4).then(None).otherwise("symbol")).write_parquet(
        tmp_path / "x.parquet"
    )
    with pytest.raises(DataError, match="row 5 names no symbol"):
        open_symbols(policy.config, data, tmp_path / "scratch", column="symbol")
    with pytest.raises(InputError, match="there are no symbols"):
        backtest_symbols(policy, {})


class TestThroughTheCommandLine:
    """What is known of each bar does not change with later bars, or with how they are read."""

    @staticmethod
    def run(data: Path, world: Path, out: Path) -> pl.DataFrame:
        cli.succeed("backtest", data, "--policy", world / "agent", "--out", out, "--force")
        trace, equity = (pl.read_parquet(out / f"{name}.parquet") for name in ("trace", "equity"))
        return pl.concat([trace.drop("reward"), equity.drop("tick", "time", "close")], how="horizontal")

    @settings(max_examples=examples(5))
    @given(n=st.integers(40, 199), factor=st.sampled_from([0.2, 1.3, 9.0]), group=st.integers(1, 60))
    def test_prefixes_altered_futures_and_row_groups(self, world, tmp_path_factory, n, factor, group):
        folder, frame = tmp_path_factory.mktemp("cl"), rows("ΔE").drop("symbol")
        prices = pl.col("open", "close", "volume")
        altered = frame.with_columns(
            pl.when(pl.int_range(pl.len()) < n).then(prices).otherwise(prices.reverse() * factor)
        )
        frame.write_parquet(folder / "whole.parquet")
        frame.write_parquet(folder / "groups.parquet", row_group_size=group)
        frame.head(n).write_parquet(folder / "prefix.parquet")
        altered.write_parquet(folder / "altered.parquet")
        made = {
            name: self.run(folder / f"{name}.parquet", world, folder / "b")
            for name in ("whole", "groups", "prefix", "altered")
        }
        assert made["groups"].equals(made["whole"])
        assert made["prefix"].equals(made["whole"].head(n))
        assert made["altered"].head(n).equals(made["whole"].head(n))


def test_a_history_in_files_is_the_one_in_memory(policy, layouts):
    data = replace(policy.config.environment.data, path=str(layouts["partitioned"][0]))
    histories = open_symbols(policy.config, data, Path("unused"), column="symbol")
    assert list(histories) == sorted(NAMES)
    for name, files in histories.items():
        part = layouts["partitioned"][0] / f"symbol={name.replace('/', '%2F')}"
        assert_array_equal(files.load().close, load_history(part).close)
