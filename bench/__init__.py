"""How fast the trainer is: each case is checked equal to its plain-Python twin first, then timed."""

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np

from idi_fast.artifact import versions
from idi_fast.bench.oracle import engine, reference
from idi_fast.config import TrainingConfig
from idi_fast.errors import IdiFastError
from idi_fast.trainer import Trainer, create_trainer

REFERENCE_STEPS_PER_SECOND = 62_000
"""The reference trainer idi_iann on the default config, measured on one core of an AMD EPYC at 2.6 GHz."""

CHECK_EPISODES, TIMED_EPISODES, TWIN_EPISODES = 60, 40_000, 200
SEED = 42

Tables = tuple[dict, dict, list[float]]


@dataclass(frozen=True)
class Case:
    """A training run to time; `twin` gives its tables and episode rewards in plain Python."""

    name: str
    fields: dict
    twin: Callable[[TrainingConfig], Tables]

    def config(self, episodes: int) -> TrainingConfig:
        """The case's config with so many episodes."""
        return TrainingConfig.from_dict({**self.fields, "episodes": episodes})


def _reference_twin(config: TrainingConfig) -> Tables:
    fields = config.to_dict()
    run = reference.train(
        {name: value for name, value in fields.items() if name not in ("engine", "environment", "features")},
        env=fields["environment"]["kind"],
        market=fields["environment"]["market"],
        seed=SEED,
    )
    return run.q, run.comm_q, run.episode_rewards


def _default_twin(config: TrainingConfig) -> Tables:
    return engine.train(config.to_dict(), SEED)


COMPAT = {"compat": "idi_iann"}
CASES = (
    Case("default, synthetic", {}, _default_twin),
    Case("compat, synthetic", {"engine": COMPAT}, _reference_twin),
    Case("compat, crypto", {"engine": COMPAT, "environment": {"kind": "crypto"}}, _reference_twin),
)


def run_suite(repeats: int) -> dict:
    """Check and time all cases; the result is plain data, ready for JSON."""
    return {
        "schema_version": 1,
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform()},
        "versions": versions(),
        "compile_seconds": compile_seconds(),
        "reference_steps_per_second": REFERENCE_STEPS_PER_SECOND,
        "cases": [time_case(case, repeats) for case in CASES],
    }


def time_case(case: Case, repeats: int) -> dict:
    """Seconds of `repeats` training runs on one core; IdiFastError if a short run differs from the twin's."""
    check(case)
    config = case.config(TIMED_EPISODES)
    steps = TIMED_EPISODES * config.episode_length
    times = [_seconds(create_trainer(config, SEED)) for _ in range(repeats + 1)][1:]  # the first warms the caches
    twin = case.config(TWIN_EPISODES)
    twin_rate = TWIN_EPISODES * twin.episode_length / median(_elapsed(lambda: case.twin(twin)) for _ in range(3))
    rate = steps / median(times)
    return {
        "name": case.name,
        "equal": True,
        "steps": steps,
        "seconds": {"minimum": min(times), "median": median(times), "maximum": max(times)},
        "steps_per_second": rate,
        "twin_steps_per_second": twin_rate,
        "times_twin": rate / twin_rate,
        "times_reference": rate / REFERENCE_STEPS_PER_SECOND,
    }


def check(case: Case) -> None:
    """Raise IdiFastError unless a short run equals its twin's in every number."""
    config = case.config(CHECK_EPISODES)
    trainer = create_trainer(config, SEED)
    policy, _ = trainer.run()
    q, comm_q, rewards = case.twin(config)
    states = [policy.space.index(np.array([key]))[0] for key in q]
    equal = (
        trainer.episode_rewards.tolist() == rewards
        and policy.q[states].tolist() == list(q.values())
        and policy.comm_q[states].tolist() == [comm_q[key] for key in q]
    )
    if not equal:
        raise IdiFastError(f"case {case.name!r} differs from its plain-Python twin and is not timed")


def _seconds(trainer: Trainer) -> float:
    trainer.compile()
    return _elapsed(trainer.train)


def _elapsed(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started


def compile_seconds() -> float:
    """Seconds to compile the training kernels of all cases into an empty cache, in a fresh process."""
    code = (
        "from time import perf_counter\n"
        "from idi_fast.bench import CASES, create_trainer\n"
        "started = perf_counter()\n"
        "for case in CASES: create_trainer(case.config(1)).compile()\n"
        "print(perf_counter() - started)\n"
    )
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "IDI_FAST_CACHE_DIR": cache}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def report(results: dict) -> str:
    """The results as a Markdown table."""
    lines = [
        "| case | ns/step | million steps/s | min–max | × reference | × plain Python |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for case in results["cases"]:
        seconds, steps = case["seconds"], case["steps"]
        fastest, slowest = steps / seconds["minimum"] / 1e6, steps / seconds["maximum"] / 1e6
        lines.append(
            f"| {case['name']} | {1e9 / case['steps_per_second']:.1f} | {case['steps_per_second'] / 1e6:.1f} "
            f"| {slowest:.1f}–{fastest:.1f} | {case['times_reference']:.0f} | {case['times_twin']:.0f} |"
        )
    lines += [
        "",
        f"One core of {results['machine']['processor']}; medians, each case first checked equal to its plain-Python "
        f"twin. Reference: idi_iann at {results['reference_steps_per_second']:,} steps/s. "
        f"Compiling all kernels above, once: {results['compile_seconds']:.0f} s.",
    ]
    return "\n".join(lines)
