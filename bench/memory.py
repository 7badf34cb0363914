"""The suite `memory`: the most that processes take which hold what grows with the bars or ticks."""

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import perf_counter

import polars as pl

from idi_fast.agents.policy import Policy
from idi_fast.bench.bars import write_walk
from idi_fast.bench.case import Case, Context, Timed, expect_equal
from idi_fast.bench.sizes import Sizes
from idi_fast.training.trainer import create_trainer

ALONE = """
import atexit
from idi_fast.bench.machine import peak_memory
from idi_fast.cli import main
atexit.register(lambda: print(peak_memory()))
main()
"""
SEEDS = "0:2"
FEW = 400
"""Bars that a sweep can divide at least."""


def alone(*args: object) -> tuple[float, int | None]:
    """Seconds of an idi-fast command in a process of its own, and its peak memory in bytes, if known."""
    started = perf_counter()
    command = [sys.executable, "-c", ALONE, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = perf_counter() - started
    last = done.stdout.splitlines()[-1]
    return seconds, None if last == "None" else int(last)


def make(sizes: Sizes, context: Context) -> list[Case]:
    """The cases of the suite."""
    folder = context.folder
    bars = cache(lambda: write_walk(folder / "memory.parquet", sizes.memory_bars))
    few = cache(lambda: write_walk(folder / "memory_few.parquet", max(FEW, sizes.check_bars)))

    def train(data: Path) -> tuple[float, int | None]:
        return alone("train", "--data", data, *_quick(sizes), "--out", folder / "trained", "--force")

    def check_training() -> None:
        train(few())
        policy = Policy.load(folder / "trained")
        expect_equal("q", policy.q, create_trainer(policy.config, policy.seed).run()[0].q)

    def sweep(data: Path) -> tuple[float, int | None]:
        grid = ("--grid", "learning_rate=0.1,0.2", "--seeds", SEEDS)
        return alone("sweep", data, *grid, *_quick(sizes), "--out", folder / "swept", "--force")

    def check_sweep() -> None:
        sweep(few())
        expect_equal("the trials", [pl.read_parquet(folder / "swept" / "trials.parquet").height], [4])

    @cache
    def trace() -> Path:
        """A trace of many ticks: the bars of a backtest."""
        train(few())
        made = write_walk(folder / "ticks.parquet", sizes.memory_ticks)
        alone("backtest", made, "--policy", folder / "trained", "--out", folder / "traced", "--force")
        return folder / "traced"

    def spec() -> tuple[float, int | None]:
        return alone("spec", trace(), "--kind", "v38", "--out", folder / "spec", "--force")

    def check_spec() -> None:
        spec()
        expect_equal("the ticks", [_lines(folder / "spec")], [sizes.memory_ticks])

    def predict() -> tuple[float, int | None]:
        if not (folder / "spec").exists():
            spec()
        return alone("tau", "check", folder / "spec")

    rows: tuple[tuple[str, str, str, int, Callable[[], tuple[float, int | None]], Callable[[], object]], ...] = (
        ("train on bars", "bar", "the same in memory", sizes.memory_bars, lambda: train(bars()), check_training),
        ("sweep of 4 trainings", "bar", "its trials", sizes.memory_bars, lambda: sweep(bars()), check_sweep),
        ("spec of a trace", "tick", "its lines", sizes.memory_ticks, spec, check_spec),
        ("tau check of its folder", "tick", "its exit code", sizes.memory_ticks, predict, predict),
    )
    return [_case(*row) for row in rows]


def _case(
    name: str, unit: str, oracle: str, units: int, run: Callable[[], tuple[float, int | None]], check: Callable
) -> Case:
    peaks: list[int] = []

    def timed() -> float:
        seconds, peak = run()
        peaks.extend([] if peak is None else [peak])
        return seconds

    def facts() -> dict[str, object]:
        return {"peak_bytes": max(peaks)} if peaks else {}

    once = Timed(units, timed, repeats=1, warms=False)
    return Case("memory", f"{name}, {units:,} {unit}s", unit, oracle, check, once, compiles=False, facts=facts)


def _quick(sizes: Sizes) -> tuple[str, ...]:
    return ("--set", f"episodes={sizes.memory_episodes}")


def _lines(folder: Path) -> int:
    """Of an input of a specification."""
    first = min(folder.rglob("*.in"))
    return len(first.read_text(encoding="utf-8").split())
