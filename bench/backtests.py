"""The suite `backtest`: reading bars, rolling a policy out over them, and whole backtests from Parquet to KPIs."""

import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import polars as pl

from idi_fast.agents.policy import Policy
from idi_fast.backtesting.backtest import backtest, write_backtest
from idi_fast.backtesting.symbols import write_symbol_backtest
from idi_fast.bench import accounts, populations, price_files
from idi_fast.bench.backtest_twins import TwinRun, expect_kpis, floats, run_kpis, train_both
from idi_fast.bench.bars import COLUMNS, write_bars, write_walk
from idi_fast.bench.case import Case, Context, Differs, Timed, elapsed, expect_equal
from idi_fast.bench.memory import alone
from idi_fast.bench.oracle import kpis as sums
from idi_fast.bench.sizes import Sizes
from idi_fast.bench.training import MARKET_TOLERANCE, random_walk
from idi_fast.bench.yardsticks import SEED
from idi_fast.config.environment_settings import DataConfig
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.history import History
from idi_fast.data.loading import load_history, open_history
from idi_fast.data.sources import find_files
from idi_fast.data.symbols import open_symbols
from idi_fast.errors import InputError
from idi_fast.parallel.worker_pool import usable_cores
from idi_fast.training.trainer import create_trainer

ON_HISTORY = {"environment": {"kind": "history"}}
# It changes its position on one bar of thirty; what is timed pays nothing for that, so that the equity lasts for any
# number of bars.
TRADER = {"environment": {"kind": "history", "market": {"fee_bps": 0.3}}, "rewards": {"ethics_bonus": 0.0}}
FREE = {"trace": False, "fee_bps": 0.0}
WALK_COLUMNS = ("close", "volume")
"""Of the check. Its prices are not in cents, which would put features on edges of buckets, where rounding decides."""
BYTES_PER_BAR = 100
"""On the disk: the bars, those of the symbols, and temporarily the tables per bar of one backtest."""


def make(sizes: Sizes, context: Context) -> list[Case]:
    """The cases of the suite. Raises InputError if the disk is too small for the bars."""
    _check_space(context.folder, sizes.file_bars)
    training = cache(
        lambda: load_history(write_walk(context.folder / "training.parquet", sizes.history_bars, SEED + 1))
    )
    policy = cache(lambda: _trader(training(), sizes))
    return [
        _reading(sizes, context.folder),
        _replaying(sizes, context.folder),
        _in_memory(sizes, context.folder, policy),
        _whole(sizes, context.folder, policy),
        _symbols(sizes, context.folder, policy),
        *populations.make(sizes, context, TRADER, WALK_COLUMNS, training),
        *accounts.make(sizes, context),
        *price_files.make(sizes, context),
    ]


def _check_space(folder: Path, bars: int) -> None:
    needed, free = BYTES_PER_BAR * bars, shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{bars:,} bars take {needed / 1e9:.1f} GB of temporary files, and {folder.parent} has {free / 1e9:.1f} GB "
            "left; ask for fewer (--bars), or set TMPDIR to a larger disk"
        )


def _trader(history: History, sizes: Sizes) -> Policy:
    """A policy trained on other bars of the same kind."""
    config = TrainingConfig.from_dict({**TRADER, "episodes": sizes.lane_episodes})
    return create_trainer(config, SEED, history).run()[0]


def _reading(sizes: Sizes, folder: Path) -> Case:
    path = cache(lambda: write_bars(folder / "bars.parquet", random_walk(sizes.bars)))

    def read() -> float:
        file = path()
        return elapsed(lambda: load_history(file))

    def check() -> None:
        made, file = random_walk(sizes.check_bars), folder / "few_bars.parquet"
        write_bars(file, made)
        for name in COLUMNS:
            expect_equal(name, getattr(load_history(file), name), getattr(made, name))

    return Case("backtest", "read Parquet", "bar", "the arrays written", check, Timed(sizes.bars, read), compiles=False)


def _replaying(sizes: Sizes, folder: Path) -> Case:
    history = cache(lambda: random_walk(sizes.bars))
    config = TrainingConfig.from_dict({**ON_HISTORY, "episodes": sizes.check_episodes})
    policy = cache(lambda: create_trainer(config, SEED, random_walk(sizes.check_bars)).run()[0])

    def replay() -> float:
        given = policy(), history()
        return elapsed(lambda: backtest(*given))

    def check() -> None:
        history = random_walk(sizes.check_bars)
        policy, twin = train_both(ON_HISTORY, history, sizes.check_episodes)
        result, expected = backtest(policy, history), twin.run(history)
        # The last bar's decision has no following bar on which the oracle could take it.
        expect_equal("target", result.trace.position[:-1], [tick.position for tick in expected.ticks])
        expect_equal("communication", result.trace.comm_action[:-1], [tick.comm for tick in expected.ticks])
        expect_equal("position", result.account.position, expected.account.position)
        _expect_run(result.account.equity, result.kpis, expected)

    return Case(
        "backtest",
        "replay and account",
        "bar",
        "market_engine.follow, backtest.account",
        check,
        Timed(sizes.bars, replay),
    )


def _in_memory(sizes: Sizes, folder: Path, policy: Callable[[], Policy]) -> Case:
    """What a notebook does: load a history, and backtest a policy on it."""
    path = cache(lambda: write_walk(folder / "in_memory.parquet", sizes.bars))

    def run() -> float:
        given, file = policy(), path()
        return elapsed(lambda: backtest(given, load_history(file), fee_bps=0.0))

    def check() -> None:
        few = write_bars(folder / "few_in_memory.parquet", random_walk(sizes.check_bars), WALK_COLUMNS)
        policy, twin = train_both(TRADER, load_history(few), sizes.check_episodes)
        result = backtest(policy, load_history(few))
        _expect_run(result.account.equity, result.kpis, twin.run(load_history(few)))

    return Case(
        "backtest",
        f"load and backtest in memory, {sizes.bars:,} bars",
        "bar",
        "market_engine.follow, backtest.account, kpis",
        check,
        Timed(sizes.bars, run),
        compiles=False,
    )


def _expect_run(equity: Iterable[float], kpis: dict, expected: TwinRun) -> None:
    # The oracle's fractions are exact.
    expect_equal("equity", equity, floats(expected.account.equity), **MARKET_TOLERANCE)
    expect_kpis(kpis, run_kpis(expected))


def _whole(sizes: Sizes, folder: Path, policy: Callable[[], Policy]) -> Case:
    path = cache(lambda: write_walk(folder / "walk.parquet", sizes.file_bars))

    def run() -> float:
        given, file = policy(), path()
        with tempfile.TemporaryDirectory(dir=folder) as out:
            return elapsed(lambda: write_backtest(Path(out), given, open_history(file), **FREE))

    def scan() -> float:
        file = path()
        return elapsed(lambda: pl.scan_parquet(file).select(pl.col("close", "volume").sum()).collect())

    def check() -> None:
        few = write_bars(folder / "few.parquet", random_walk(sizes.check_bars), WALK_COLUMNS)
        history = load_history(few)
        policy, twin = train_both(TRADER, history, sizes.check_episodes)
        with tempfile.TemporaryDirectory(dir=folder) as with_tables, tempfile.TemporaryDirectory(dir=folder) as without:
            result = write_backtest(Path(with_tables), policy, open_history(few))
            equity = pl.read_parquet(Path(with_tables) / "equity.parquet")["equity"]
            if write_backtest(Path(without), policy, open_history(few), trace=False) != result:
                raise Differs("the KPIs without tables are not those with them")
        _expect_run(equity, result["kpis"], twin.run(history))

    def facts() -> dict[str, object]:
        policy().save(folder / "policy.parquet")
        _, peak = _alone(folder, path(), "--no-trace")
        seconds, peak_with_tables = _alone(folder, path())
        made = {"peak_bytes": peak, "tables_peak_bytes": peak_with_tables, "tables_seconds": seconds}
        return {name: value for name, value in made.items() if value is not None}

    return Case(
        "backtest",
        f"Parquet to KPIs, {sizes.file_bars:,} bars",
        "bar",
        "market_engine.follow, backtest.account, kpis",
        check,
        Timed(sizes.file_bars, run),
        {"polars_scan": Timed(sizes.file_bars, scan)},
        compiles=False,
        facts=facts,
    )


def _alone(folder: Path, data: Path, *options: str) -> tuple[float, int | None]:
    """Seconds of `idi-fast backtest` in a separate process, and its peak memory in bytes, if known."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        given = ["--policy", folder / "policy.parquet", "--out", Path(out) / "run", "--fee-bps", 0]
        return alone("backtest", data, *given, *options)


def _symbols(sizes: Sizes, folder: Path, policy: Callable[[], Policy]) -> Case:
    count = max(2, sizes.file_bars // sizes.symbol_bars)
    each = sizes.file_bars // count
    uses: list[float] = []

    @cache
    def files() -> Path:
        made = folder / "symbols"
        made.mkdir()
        for number in range(count):
            write_walk(made / f"symbol_{number}.parquet", each, SEED + 2 + number)
        return made

    def run() -> float:
        given, source = policy(), files()
        started, busy = perf_counter(), process_time()
        with tempfile.TemporaryDirectory(dir=folder) as out:
            _write_symbols(Path(out), given, source, **FREE)
        seconds = perf_counter() - started
        uses.append((process_time() - busy) / seconds / usable_cores())
        return seconds

    def check() -> None:
        few, n = folder / "few_symbols", sizes.check_bars
        few.mkdir()
        parts = [random_walk(3 * n).slice(first, first + n) for first in range(0, 3 * n, n)]
        files = [few / "a.parquet", few / "b.parquet", few / "c.parquet"]
        for file, part in zip(files, parts, strict=True):
            write_bars(file, part, WALK_COLUMNS)
        histories = [load_history(file) for file in files]
        policy, twin = train_both(TRADER, histories[0], sizes.check_episodes)
        with tempfile.TemporaryDirectory(dir=folder) as out:
            book = _write_symbols(Path(out), policy, few, trace=False)["kpis"]
            table = pl.read_parquet(Path(out) / "symbols.parquet")
        runs = [twin.run(history) for history in histories]
        for row, run in zip(table.iter_rows(named=True), runs, strict=True):
            expect_kpis(row, run_kpis(run))
        equity = [float(sum(values) / len(runs)) for values in zip(*(run.account.equity for run in runs), strict=True)]
        deepest = min((fall.depth for fall in sums.drawdowns(equity)), default=0.0)
        expect_kpis(book, {"total_return": equity[-1] - 1.0, "max_drawdown": deepest})

    return Case(
        "backtest",
        f"{count} symbols of {each:,} bars",
        "bar",
        "market_engine.follow, backtest.account, kpis",
        check,
        Timed(count * each, run),
        compiles=False,
        facts=lambda: {"cpu_use": median(uses)},
    )


def _write_symbols(out: Path, policy: Policy, files: Path, **options: Any) -> dict:
    """The work of `idi-fast backtest --symbol-files`."""
    data: DataConfig = replace(policy.config.environment.data, path=str(files))
    histories = open_symbols(policy.config, data, out)
    return write_symbol_backtest(out, policy, histories, find_files(files), **options)
