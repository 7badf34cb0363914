"""Runs suites: makes their cases, checks them, times those that are equal, and collects the results in one dict."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter

from idi_fast.bench import (
    SCHEMA_VERSION,
    SUITES,
    backtests,
    exports,
    kernel_cases,
    market_yardsticks,
    memory,
    peers,
    scaling,
    startup,
    training,
)
from idi_fast.bench.case import Case, Context, Differs, Timed, figures, measure, time_ratio
from idi_fast.bench.machine import describe_machine, source_commit
from idi_fast.bench.sizes import Sizes
from idi_fast.bench.yardsticks import DOCUMENTED_STEPS_PER_SECOND, Yardsticks
from idi_fast.data.in_sample import versions
from idi_fast.errors import InputError, nearest

MAKERS: dict[str, Callable[[Sizes, Context], list[Case]]] = {
    "kernels": kernel_cases.make,
    "train": training.make,
    "backtest": backtests.make,
    "export": exports.make,
    "startup": startup.make,
    "memory": memory.make,
    "scaling": scaling.make,
}
COMPILE = "import sys; from idi_fast.bench.suites import print_compile_seconds; print_compile_seconds(sys.argv[1:])"


def chosen_suites(names: Sequence[str]) -> list[str]:
    """The chosen suites in their own order; InputError for an unknown one."""
    for name in names:
        if name not in (*SUITES, "all"):
            known = ", ".join((*SUITES, "all"))
            raise InputError(f"--suite is {name!r}; expected one of {known}.{nearest(name, (*SUITES, 'all'))}")
    return [suite for suite in SUITES if suite in names or "all" in names]


def run(
    suites: Sequence[str],
    repeats: int,
    *,
    reference: Path | None = None,
    bars: int | None = None,
    policies: int | None = None,
    ticks: int | None = None,
    sizes: Sizes | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict:
    """Check and time all cases of the suites; the result is plain data, ready for JSON.

    reference: folder of the package idi_iann; bars: of the file that the suite backtest reads, and of the trainings of
    the suite memory; policies: that the suite backtest runs in one pass; ticks: of the specification of the suite
    memory; all instead of the sizes'. say: called with progress messages. Cases that differ from their oracle are not
    timed but named in `refused`. Raises InputError for an invalid reference, and if the disk has no room for the bars.
    """
    sizes = Sizes() if sizes is None else sizes
    if bars is not None:
        if not {"backtest", "memory"} & {*suites}:
            raise InputError("--bars is of the suites backtest and memory; add --suite backtest")
        sizes = replace(sizes, file_bars=bars, memory_bars=bars)
    if policies is not None:
        if "backtest" not in suites:
            raise InputError("--policies is of the suite backtest; add --suite backtest")
        sizes = replace(sizes, policies=policies)
    if ticks is not None:
        if "memory" not in suites:
            raise InputError("--ticks is of the suite memory; add --suite memory")
        sizes = replace(sizes, memory_ticks=ticks)
    with tempfile.TemporaryDirectory() as folder:
        context = Context(Path(folder), Yardsticks())
        if reference is not None:
            if "train" not in suites:
                raise InputError("--reference is timed by the suite train; add --suite train")
            say("checking the reference …")
            context.yardsticks.add_reference(reference, sizes.check_episodes)
        if "train" in suites:
            say("building the C yardsticks …")
            context.yardsticks.add_c(Path(folder), sizes.check_episodes)
            market_yardsticks.add(context.yardsticks, Path(folder), sizes)
        if "backtest" in suites:
            say("checking vectorbt, which compiles itself first …")
            peers.add_vectorbt(context.yardsticks, sizes.account_bars)
        cases = [case for suite in suites for case in MAKERS[suite](sizes, context)]
        reasons = {}
        for case in cases:
            say(f"checking {case.suite}: {case.name} …")
            try:
                case.check()
            except Differs as difference:
                reasons[case] = str(difference)
        say("compiling into an empty cache …")
        compiled = compile_seconds(suites) if any(case.compiles for case in cases) else {}
        timed = [case for case in cases if case not in reasons]
        seconds = measure(timed, repeats, say)
        say("measuring memory …")
        facts = {case: case.facts() for case in timed}
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "bench",
        "machine": describe_machine(),
        "versions": {**versions(), **context.yardsticks.versions},
        "source": source_commit(),
        "suites": list(suites),
        "repeats": repeats,
        "sizes": asdict(sizes),
        "compiler": context.yardsticks.compiler,
        "reference": {
            "measured": bool(context.yardsticks.reference),
            "documented_steps_per_second": DOCUMENTED_STEPS_PER_SECOND,
        },
        "notes": context.yardsticks.notes,
        "refused": [f"{case.suite}: {case.name}" for case in reasons] + context.yardsticks.refused,
        "cases": [_describe(case, compiled.get(_key(case)), reasons.get(case), seconds, facts) for case in cases],
    }


def _key(case: Case) -> str:
    return f"{case.suite}: {case.name}"


def _describe(
    case: Case, compiled: float | None, reason: str | None, seconds: dict[Timed, list[float]], facts: dict[Case, dict]
) -> dict:
    about = {
        "suite": case.suite,
        "name": case.name,
        "unit": case.unit,
        "oracle": case.oracle,
        **case.details,
        "equal": reason is None,
    }
    if reason is not None:
        return {**about, "reason": reason}
    yardsticks = {
        name: {**figures(timed, seconds[timed]), "time_ratio": time_ratio(case.subject, timed, seconds)}
        for name, timed in case.yardsticks.items()
    }
    return {
        **about,
        **figures(case.subject, seconds[case.subject]),
        "compile_seconds": compiled,
        "yardsticks": yardsticks,
        **facts[case],
    }


def compile_seconds(suites: Sequence[str]) -> dict[str, float]:
    """Seconds to compile the kernels of each case, in a fresh process with an empty cache.

    A kernel shared by several cases is counted with the first of them.
    """
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-c", COMPILE, *suites]
        environment = {**os.environ, "IDI_FAST_CACHE_DIR": cache}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def print_compile_seconds(suites: Sequence[str]) -> None:
    """What `compile_seconds` runs: each case twice at the smallest sizes, the first time with its compilation."""
    sizes, times = Sizes.smallest(), {}
    with tempfile.TemporaryDirectory() as folder:
        context = Context(Path(folder), Yardsticks())
        for case in (case for suite in suites for case in MAKERS[suite](sizes, context)):
            if case.compiles:
                started = perf_counter()
                case.subject.run()
                between = perf_counter()
                case.subject.run()
                times[_key(case)] = max(0.0, (between - started) - (perf_counter() - between))
    json.dump(times, sys.stdout)
