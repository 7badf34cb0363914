"""Cases of the suite `backtest` for the data that users bring: text files, and many symbols to train on."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import polars as pl

from idi_fast.bench.bars import COLUMNS
from idi_fast.bench.case import Case, Context, Timed, elapsed, expect_equal
from idi_fast.bench.sizes import Sizes
from idi_fast.bench.training import random_walk
from idi_fast.bench.yardsticks import SEED
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.history import History
from idi_fast.data.loading import load_history
from idi_fast.data.panel import Panel
from idi_fast.training.trainer import create_trainer

FEWEST_BARS = 100
"""Of a symbol: an episode and the features' windows."""
SYMBOLS = 50


def make(sizes: Sizes, context: Context) -> list[Case]:
    """The cases: reading CSV beside polars, and training on many symbols beside one history of as many bars."""
    return [_reading(sizes, context.folder), _many_symbols(sizes)]


def _write(path: Path, history: History) -> Path:
    frame = history.to_frame().select(COLUMNS)
    frame.write_csv(path, datetime_format="%Y-%m-%dT%H:%M:%SZ")
    return path


def _reading(sizes: Sizes, folder: Path) -> Case:
    path = cache(lambda: _write(folder / "bars.csv", random_walk(sizes.bars)))

    def read() -> float:
        file = path()
        return elapsed(lambda: load_history(file))

    def read_with_polars() -> float:
        file = path()
        return elapsed(lambda: pl.scan_csv(file, try_parse_dates=True).select(COLUMNS).collect())

    def check() -> None:
        made = random_walk(sizes.check_bars)
        found = load_history(_write(folder / "few_bars.csv", made))
        for name in COLUMNS:
            expect_equal(name, found.column(name), made.column(name))

    others = {"polars": Timed(sizes.bars, read_with_polars)}
    return Case(
        "backtest", "read CSV", "bar", "the arrays written", check, Timed(sizes.bars, read), others, compiles=False
    )


def _many_symbols(sizes: Sizes) -> Case:
    config = TrainingConfig.from_dict({"episodes": sizes.lane_episodes, "environment": {"kind": "history"}})
    each = max(FEWEST_BARS, sizes.bars // SYMBOLS)
    whole = cache(lambda: random_walk(each * SYMBOLS))
    parts = cache(lambda: _panel(whole(), each))

    def train(bars: History | Panel) -> float:
        return elapsed(lambda: create_trainer(config, SEED, bars).train())

    def check() -> None:
        small, history = replace(config, episodes=sizes.check_episodes), random_walk(FEWEST_BARS)
        one, other = (create_trainer(small, SEED, bars).run()[0] for bars in (history, _panel(history, FEWEST_BARS)))
        expect_equal("q", one.q, other.q)

    return Case(
        "backtest",
        f"train a panel of {SYMBOLS}",
        "bar",
        "the same training on one history",
        check,
        Timed(each * SYMBOLS, lambda: train(parts())),
        {"one_history": Timed(each * SYMBOLS, lambda: train(whole()))},
    )


def _panel(history: History, each: int) -> Panel:
    """The history cut into symbols of as many bars each."""
    starts = range(0, len(history), each)
    return Panel({f"S{number:03d}": history.slice(start, start + each) for number, start in enumerate(starts)})
