"""The suite `startup`: whole processes, as a user waits for them."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import polars as pl

from idi_fast.agents.policy import Policy
from idi_fast.backtesting.backtest import backtest
from idi_fast.bench.bars import write_bars
from idi_fast.bench.case import Case, Context, Differs, Timed, elapsed, expect_equal
from idi_fast.bench.sizes import Sizes
from idi_fast.bench.training import compare, default_twin, random_walk
from idi_fast.bench.yardsticks import SEED
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.loading import load_history
from idi_fast.training.trainer import create_trainer

MAIN = "from idi_fast.cli import main; main()"
BARS = 10_000
COMMANDS = ("train", "backtest", "export", "bench")


def process(*args: object, cache: str | None = None) -> str:
    """The output of the command line in a separate process; cache: its kernel cache, None for the usual place."""
    environment = os.environ if cache is None else {**os.environ, "IDI_FAST_CACHE_DIR": cache}
    command = [sys.executable, "-c", MAIN, *map(str, args)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def make(sizes: Sizes, context: Context) -> list[Case]:
    """The cases of the suite."""
    agent = context.folder / "agent"

    def train(cache: str | None = None) -> None:
        process("train", "--out", agent, "--seed", SEED, "--force", cache=cache)

    def check_training(cache: str | None = None) -> None:
        train(cache)
        rewards = pl.read_parquet(agent / "episodes.parquet")["reward"]
        compare(Policy.load(agent), rewards.to_numpy(), default_twin(TrainingConfig())(), {})

    def with_empty_cache(work: Callable[[str], object]) -> float:
        with tempfile.TemporaryDirectory(dir=context.folder) as cache:
            return elapsed(lambda: work(cache))

    bars = cache(lambda: write_bars(context.folder / "bars.parquet", random_walk(BARS)))

    def train_on_bars(cache_folder: str | None = None) -> Path:
        made = context.folder / "history_agent"
        process("train", "--data", bars(), "--out", made, "--seed", SEED, "--force", cache=cache_folder)
        return made

    def check_training_on_bars(cache_folder: str) -> None:
        policy = Policy.load(train_on_bars(cache_folder))
        expected, _ = create_trainer(policy.config, SEED).run()
        expect_equal("q", policy.q, expected.q)

    trained = cache(train_on_bars)

    def test(cache: str | None = None) -> None:
        given = "--policy", trained(), "--out", context.folder / "backtest", "--force"
        process("backtest", bars(), *given, cache=cache)

    def check_test(cache: str | None = None) -> None:
        test(cache)
        found = json.loads((context.folder / "backtest" / "kpis.json").read_text(encoding="utf-8"))["kpis"]
        expected = backtest(Policy.load(trained()), load_history(bars())).to_dict()["kpis"]
        expect_equal("the KPIs", [*found.values()], [*expected.values()])

    interpreter = Timed(1, lambda: elapsed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)))
    # An empty cache takes ten seconds or more to fill: fewer repeats, and no warm-up.
    cold = Timed(1, lambda: with_empty_cache(train), repeats=sizes.cold_starts, warms=False)
    rows: tuple[tuple[str, str, Callable[[], object], Timed], ...] = (
        ("idi-fast --help", "the command table", check_help, Timed(1, lambda: elapsed(lambda: process("--help")))),
        ("idi-fast train", "engine.train", check_training, Timed(1, lambda: elapsed(train))),
        ("idi-fast backtest, 10,000 bars", "the same in memory", check_test, Timed(1, lambda: elapsed(test))),
        ("idi-fast train, empty kernel cache", "engine.train", lambda: with_empty_cache(check_training), cold),
        (
            "idi-fast train --data, empty kernel cache",
            "the same in memory",
            lambda: with_empty_cache(check_training_on_bars),
            replace(cold, run=lambda: with_empty_cache(train_on_bars)),
        ),
        (
            "idi-fast backtest, empty kernel cache",
            "the same in memory",
            lambda: with_empty_cache(check_test),
            replace(cold, run=lambda: with_empty_cache(test)),
        ),
    )
    yardsticks = {"interpreter": interpreter}
    return [
        Case("startup", name, "process", oracle, check, timed, yardsticks, compiles=False)
        for name, oracle, check, timed in rows
    ]


def check_help() -> None:
    """Raise Differs unless the help names every command."""
    text = process("--help")
    missing = [name for name in COMMANDS if f"\n  {name} " not in text]
    if missing:
        raise Differs(f"the help does not name {', '.join(missing)}")
