"""The suite `backtest` of the benchmark: its bars, its checks, and vectorbt."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from cli_helpers import assert_mentions, run

from idi_fast.bench import accounts, backtests, bars, case, peers
from idi_fast.bench.oracle import backtest as account_oracle
from idi_fast.bench.oracle import kpis as sums
from idi_fast.bench.report import report
from idi_fast.bench.sizes import Sizes
from idi_fast.bench.yardsticks import Yardsticks
from idi_fast.errors import InputError

# More than a moment's training, so that there are trades to be wrong about.
SIZES = replace(Sizes.smallest(), check_episodes=30, check_bars=150)


@pytest.fixture
def context(tmp_path) -> case.Context:
    return case.Context(tmp_path, Yardsticks())


def named(cases: list[case.Case], part: str) -> case.Case:
    (found,) = (case for case in cases if part in case.name)
    return found


# --- bars


def test_a_walk_is_in_cents_and_the_same_for_a_seed(monkeypatch, tmp_path):
    monkeypatch.setattr(bars, "CHUNK", 100)
    first, again, other = (
        pl.read_parquet(bars.write_walk(tmp_path / f"{name}.parquet", 250, seed))
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first.schema == {"close": pl.Float64, "volume": pl.Int64}
    assert len(first) == 250
    assert first.equals(again)
    assert not first.equals(other)
    close = first["close"].to_numpy()
    assert (close == np.round(close, 2)).all()
    # From chunk to chunk the walk goes on: no step is more than seven deviations and a cent.
    assert np.abs(np.diff(np.log(close))).max() < 7 * bars.STEP + 0.011 / close.min()
    assert len(set(close)) > 10
    assert first["volume"].min() > 0


def test_a_disk_without_room_is_refused(monkeypatch, context):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_500_000_000))
    with pytest.raises(InputError, match=r"100,000,000 bars take 10\.0 GB .* has 1\.5 GB left; .*--bars.*TMPDIR"):
        backtests.make(replace(SIZES, file_bars=100_000_000), context)


# --- checks


def spoiled(work: Callable, spoil: Callable) -> Callable:
    """The same function, whose result is spoiled."""
    return lambda *args, **options: spoil(work(*args, **options), options)


def other_kpi(result: dict, _: dict) -> dict:
    return {**result, "kpis": {**result["kpis"], "max_drawdown": result["kpis"]["max_drawdown"] * (1 + 1e-8)}}


def other_without_tables(result: dict, options: dict) -> dict:
    return other_kpi(result, options) if options.get("trace") is False else result


@pytest.mark.parametrize(
    ("part", "name", "spoil", "text"),
    [
        ("Parquet to KPIs", "write_backtest", other_kpi, r"max_drawdown\[0\] is -0\.0"),
        ("Parquet to KPIs", "write_backtest", other_without_tables, "KPIs without tables are not those with them"),
        ("symbols", "write_symbol_backtest", other_kpi, r"max_drawdown\[0\] is -0\.0"),
        ("replay", "backtest", lambda made, _: replace(made, kpis={**made.kpis, "trades": 1}), r"trades\[0\] is 1"),
    ],
)
def test_a_backtest_that_differs_is_refused(monkeypatch, context, part, name, spoil, text):
    monkeypatch.setattr(backtests, name, spoiled(getattr(backtests, name), spoil))
    with pytest.raises(case.Differs, match=text):
        named(backtests.make(SIZES, context), part).check()


@pytest.mark.parametrize("work", [accounts.account_and_drawdown, accounts.account_and_kpis])
def test_an_account_that_differs_is_refused(work):
    accounts._check(work, 200)

    def late(history, target):
        return work(history, np.roll(target, 1))

    def proud(history, target):
        account, made = work(history, target)
        return account, {**made, "max_drawdown": 0.0}

    for other, text in ((late, "position"), (proud, "max_drawdown")):
        with pytest.raises(case.Differs, match=text):
            accounts._check(other, 200)


def test_the_target_takes_all_positions():
    target = accounts.random_target(10_000)
    assert target.dtype == np.int8
    assert target[0] == 0
    pairs = set(zip(target[:-1].tolist(), target[1:].tolist(), strict=True))
    assert pairs == {(old, new) for old in (-1, 0, 1) for new in (-1, 0, 1)}
    assert np.count_nonzero(np.diff(target)) == pytest.approx(10_000 * 2 / 3 / accounts.BARS_HELD, rel=0.2)


# --- vectorbt


class FakePortfolio:
    """An account by the twin, from the signals that vectorbt takes."""

    fee = 1.0
    engines: tuple[str, ...] = ()

    def __init__(self, close, entries, shorts, fees, size=1.0):
        target = entries.astype(int) - shorts.astype(int)
        kept = account_oracle.account(target, close, close, account_oracle.SAME_CLOSE, fees * self.fee, size=size)
        self.equity = [float(value) for value in kept.equity]

    @classmethod
    def from_signals(
        cls,
        close,
        *,
        entries,
        exits,
        fees,
        init_cash,
        engine,
        short_entries=None,
        short_exits=None,
        upon_opposite_entry=None,
        lock_cash=None,
        size=None,
        size_type=None,
    ):
        assert init_cash == 1.0
        if short_entries is None:  # long positions of a share of the equity
            assert (size_type, (exits ^ entries).all()) == ("percent", True)
            return cls(close, entries, ~entries & entries, fees, size)
        assert (upon_opposite_entry, lock_cash) == ("reverse", True)
        assert (exits == short_exits).all()
        assert (exits ^ entries ^ short_entries).all()
        FakePortfolio.engines += (engine,)
        return cls(close, entries, short_entries, fees)

    def value(self) -> pl.Series:
        return pl.Series(self.equity)

    def max_drawdown(self) -> float:
        return min(fall.depth for fall in sums.drawdowns(self.equity))


@pytest.fixture
def fake_vectorbt(monkeypatch) -> SimpleNamespace:
    module = SimpleNamespace(__version__="1.2.3", Portfolio=FakePortfolio)
    monkeypatch.setitem(sys.modules, "vectorbt", module)
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    monkeypatch.setattr(FakePortfolio, "engines", ())
    return module


def added(bars: int = 300) -> Yardsticks:
    yardsticks = Yardsticks()
    peers.add_vectorbt(yardsticks, bars)
    return yardsticks


@pytest.mark.parametrize(("has_rust", "engines"), [(False, ["numba"]), (True, ["numba", "rust"])])
def test_vectorbt_is_used_with_each_of_its_engines(fake_vectorbt, monkeypatch, has_rust, engines):
    monkeypatch.setattr(peers, "find_spec", lambda name: fake_vectorbt if has_rust else None)
    made = added()
    assert (list(FakePortfolio.engines), made.refused, made.notes) == (engines, [], [])
    assert list(made.vectorbt) == ["vectorbt", "vectorbt_rust"][: len(engines)]
    assert made.versions == {"vectorbt": "1.2.3"}
    assert made.vectorbt["vectorbt"]() > 0


def test_vectorbt_that_differs_is_refused(fake_vectorbt, monkeypatch):
    monkeypatch.setattr(FakePortfolio, "fee", 1.001)
    made = added()
    assert made.vectorbt == {}
    assert_mentions(made.refused[0], "vectorbt with its engine 'numba' (equity[")


def test_vectorbt_that_is_missing_or_old_is_left_out(fake_vectorbt, monkeypatch):
    fake_vectorbt.__version__ = "0.28.1"
    made = added()
    assert (made.vectorbt, made.versions, made.notes) == (
        {},
        {},
        ["vectorbt 0.28.1 was left out: expected 1.2 or later, which can name its engine"],
    )
    monkeypatch.setitem(sys.modules, "vectorbt", None)
    made = added()
    assert (made.vectorbt, made.versions, len(made.notes)) == ({}, {}, 1)
    assert_mentions(made.notes[0], "vectorbt was left out: ", "pip install 'idi-fast[peers]'")


# --- the command line


def test_bars_and_what_else_is_measured(small_bench, fake_vectorbt):
    status, stdout, stderr = run("bench", "--suite", "backtest", "--bars", 1000, "--json")
    assert (status, stderr) == (0, "")
    results = json.loads(stdout)
    assert results["refused"] == results["notes"] == []
    assert results["sizes"]["file_bars"] == 1000
    assert results["versions"]["vectorbt"] == "1.2.3"
    rows = {row["name"].split(",")[0]: row for row in results["cases"]}
    whole, symbols = rows["Parquet to KPIs"], rows["7 symbols of 142 bars"]
    assert (whole["units"], symbols["units"]) == (1000, 994)
    assert set(whole["yardsticks"]) == {"polars_scan"}
    assert symbols["cpu_use"] > 0
    assert set(rows["account"]["yardsticks"]) == {"vectorbt"}
    text = report(results)
    assert_mentions(
        text,
        "time / polars' scan",
        "× vectorbt |",
        "Parquet to KPIs, 1,000 bars: ",
        "with its tables written that process took",
        f"{symbols['cpu_use']:.0%} of {results['machine']['cores']} cores busy",
        "vectorbt: Portfolio.from_signals",
    )
    if sys.platform == "linux":
        assert whole["peak_bytes"] > 0
        assert f"{whole['tables_peak_bytes'] / 1e9:.2f} GB" in text


def test_without_vectorbt_the_report_says_so(monkeypatch, small_bench):
    monkeypatch.setitem(sys.modules, "vectorbt", None)
    monkeypatch.setattr("idi_fast.bench.suites.MAKERS", {"backtest": lambda sizes, context: []})
    status, stdout, stderr = run("bench", "--suite", "backtest")
    assert (status, stderr) == (0, "")
    assert_mentions(stdout, "ectorbt was left out: ", "pip install 'idi-fast[peers]'")


def test_bars_need_the_suite_that_reads_them():
    status, stdout, stderr = run("bench", "--bars", 1000)
    assert (status, stdout) == (2, "")
    assert_mentions(stderr, "--bars is of the suites backtest and memory; add --suite backtest")
