"""Cases, their timing, and the resulting figures."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

import numpy as np

from idi_fast.bench.yardsticks import Yardsticks


class Differs(Exception):
    """A result differs from that of its oracle; the text says where."""


@dataclass(frozen=True, eq=False)
class Timed:
    """Something to time: `run` does it once and returns the seconds that count, for `units` of work.

    repeats: upper limit; warms: whether it is run once before it counts.
    """

    units: int
    run: Callable[[], float]
    repeats: int | None = None
    warms: bool = True


@dataclass(frozen=True, eq=False)
class Case:
    """A row of a table.

    unit: of the work, as "step"; oracle: what `check` compares with, raising Differs; yardsticks: the same work by
    other means, by name; compiles: whether its first run compiles kernels; details: known facts for the results; facts:
    further measurements, made after all timing.
    """

    suite: str
    name: str
    unit: str
    oracle: str
    check: Callable[[], object]
    subject: Timed
    yardsticks: dict[str, Timed] = field(default_factory=dict)
    compiles: bool = True
    details: dict[str, object] = field(default_factory=dict)
    facts: Callable[[], dict[str, object]] = dict


@dataclass(frozen=True)
class Context:
    """The inputs of the makers of cases besides sizes: a folder for files, and yardsticks from outside this package."""

    folder: Path
    yardsticks: Yardsticks


def elapsed(work: Callable[[], object]) -> float:
    """The seconds that a call takes."""
    started = perf_counter()
    work()
    return perf_counter() - started


def expect_equal(name: str, made: Iterable, expected: Iterable, rtol: float = 0.0, atol: float = 0.0) -> None:
    """Raise Differs unless two arrays are equal, or within a tolerance; NaN equals NaN."""
    made = np.asarray(made)
    if made.dtype.kind in "iu" and not isinstance(expected, np.ndarray):
        # Python's integers as they are: as an array, 64-bit words would become floats and lose their last bits.
        made, expected = made.astype(object), np.array([*expected], object)
    expected = np.asarray(expected)
    if made.shape != expected.shape:
        raise Differs(f"{name} has the shape {made.shape} instead of {expected.shape}")
    if rtol or atol:
        equal = np.isclose(made.astype(float), expected.astype(float), rtol=rtol, atol=atol, equal_nan=True)
    else:
        # NaN is the one value that does not equal itself.
        equal = (made == expected) | ((made != made) & (expected != expected))
    wrong = np.argwhere(~equal)
    if wrong.size:
        at = tuple(int(k) for k in wrong[0])
        raise Differs(f"{name}{list(at)} is {made[at]} instead of {expected[at]}, as are {len(wrong) - 1} others")


def measure(cases: Sequence[Case], repeats: int, say: Callable[[str], None]) -> dict[Timed, list[float]]:
    """Seconds of each run of everything to time, in turns.

    Machines are noisy for seconds at a time: what is compared is timed side by side, round after round.
    """
    every = list(dict.fromkeys(timed for case in cases for timed in (case.subject, *case.yardsticks.values())))
    for timed in every:
        if timed.warms:
            timed.run()
    seconds: dict[Timed, list[float]] = {timed: [] for timed in every}
    for turn in range(repeats):
        say(f"timing, round {turn + 1} of {repeats} …")
        for timed in every:
            if timed.repeats is None or turn < timed.repeats:
                seconds[timed].append(timed.run())
    return seconds


def figures(timed: Timed, seconds: Sequence[float]) -> dict:
    """Minimum, median and quartiles of the seconds of a run, and the rates per unit."""
    lower, _, upper = quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else [seconds[0]] * 3
    return {
        "units": timed.units,
        "repeats": len(seconds),
        "seconds": {
            "minimum": min(seconds),
            "lower_quartile": lower,
            "median": median(seconds),
            "upper_quartile": upper,
            "maximum": max(seconds),
        },
        "units_per_second": timed.units / median(seconds),
    }


def time_ratio(timed: Timed, other: Timed, seconds: dict[Timed, list[float]]) -> float:
    """Time per unit relative to another's: the median over the rounds in which both were timed."""
    rounds = zip(seconds[timed], seconds[other], strict=False)
    return median((mine / timed.units) / (theirs / other.units) for mine, theirs in rounds)
