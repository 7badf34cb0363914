"""Runs trials of every part for its share of the time, and counts the verdicts."""

import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

from idi_fast.bench.campaign import artifacts, configs, disks, evidence, kills, prices, signals, specifications, writers
from idi_fast.bench.campaign.trial import Exhausted, Fault, Trial
from idi_fast.bench.campaign.worker import Worker
from idi_fast.bench.campaign.world import World

Attempt = Callable[[World, random.Random, Trial], str]
PARTS: Mapping[str, tuple[float, Attempt]] = {
    "configs": (1.0, configs.attempt),
    "prices": (1.0, prices.attempt),
    "artifacts": (1.0, artifacts.attempt),
    "evidence": (1.0, evidence.attempt),
    "specifications": (1.0, specifications.attempt),
    "kills": (4.0, kills.attempt),
    "disks": (1.0, disks.attempt),
    "signals": (2.0, signals.attempt),
    "writers": (1.0, writers.attempt),
}
"""By name a part's share of the time, and the function that makes one trial and returns its verdict."""


@dataclass
class Findings:
    """The results of a campaign; counts: trials by part, kind and verdict; seconds: by part."""

    seed: int
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    faults: list[Trial] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, trial: Trial) -> None:
        """Count a trial."""
        self.counts[trial.part, trial.kind, trial.verdict] += 1
        if trial.is_fault:
            self.faults.append(trial)

    def reproduction(self, trial: Trial) -> str:
        """The command that repeats a trial."""
        return f"python -m idi_fast.bench.campaign --seed {self.seed} --only {trial.part} --trial {trial.number}"

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        counts: dict[str, dict[str, dict[str, int]]] = {}
        for (part, kind, verdict), n in sorted(self.counts.items()):
            counts.setdefault(part, {}).setdefault(kind, {})[verdict] = n
        faults = [{**asdict(trial), "reproduction": self.reproduction(trial)} for trial in self.faults]
        return {
            "schema_version": 1,
            "seed": self.seed,
            "trials": self.counts.total(),
            "counts": counts,
            "faults": faults,
            "seconds": self.seconds,
        }


def run_campaign(
    parts: Sequence[str],
    seed: int,
    *,
    seconds: float | None = None,
    numbers: Mapping[str, Sequence[int]] | None = None,
    folder: Path | None = None,
    report: Callable[[Trial], None] = lambda trial: None,
) -> Findings:
    """Run trials of these parts, each for its share of `seconds`.

    numbers: of the trials of each part, which are then run however long they take; folder: an empty working folder
    [default: a temporary one]; report: called with each trial.
    """
    from idi_fast.kernels._jit import CACHE_FOLDER

    assert CACHE_FOLDER is not None  # or every command would compile its kernels anew
    findings = Findings(seed)
    with tempfile.TemporaryDirectory(prefix="idi-fast-campaign-") as own:
        place = (folder or Path(own)).resolve()
        # Said to all commands: what they do in the cache is then not counted as theirs, and what a killed one leaves to
        # be settled is settled by no command of the user's.
        environment = {"IDI_FAST_CACHE_DIR": str(CACHE_FOLDER.parent), "IDI_FAST_STATE_DIR": str(place / "state")}
        with mock.patch.dict(os.environ, environment), Worker() as worker, World(place, worker, seed) as world:
            _run_parts(world, findings, parts, seconds, numbers, report)
    return findings


def _run_parts(
    world: World,
    findings: Findings,
    parts: Sequence[str],
    seconds: float | None,
    numbers: Mapping[str, Sequence[int]] | None,
    report: Callable[[Trial], None],
) -> None:
    end = None if seconds is None else time.monotonic() + seconds
    for k, name in enumerate(parts):
        begun = time.monotonic()
        share = PARTS[name][0] / sum(PARTS[other][0] for other in parts[k:])
        chosen = None if numbers is None else numbers[name]
        for trial in _trials(world, name, chosen, None if end is None else begun + share * (end - begun)):
            findings.add(trial)
            report(trial)
        findings.seconds[name] = round(time.monotonic() - begun, 1)


def _trials(world: World, part: str, numbers: Sequence[int] | None, end: float | None) -> Iterator[Trial]:
    for number in count() if numbers is None else numbers:
        if end is not None and time.monotonic() > end:
            return
        trial = Trial(part, number)
        try:
            trial.verdict = PARTS[part][1](world, random.Random(f"{world.seed} {part} {number}"), trial)
        except Exhausted:
            return
        except Fault as fault:
            trial.verdict, trial.detail = fault.verdict, fault.detail
        if trial.verdict:
            yield trial
