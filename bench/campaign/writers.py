"""Two commands that write to one place at once: one of them wins, completely, and the other reports what was kept
where."""

import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from idi_fast.bench.campaign.signals import MAIN, PATIENCE
from idi_fast.bench.campaign.trial import (
    FAILED,
    LOST,
    MIXED,
    OK,
    WRONG,
    Trial,
    describe,
    difference,
    expect,
    timeless,
    tree,
    verdict_on,
)
from idi_fast.bench.campaign.worker import Outcome
from idi_fast.bench.campaign.world import QUICK, World, remove

KINDS = {
    "train": (("train", *QUICK, "--seed"), ("1", "2")),
    "population": (("train", *QUICK, "--seeds"), ("1,2", "3,4")),
    "backtest": (("backtest", "later.csv", "--policy", "agent", "--fee-bps"), ("1", "2")),
    "spec": (("spec", "agent", "--kind", "v38", "--ticks"), ("5", "6")),
    "commit": (("commit", "agent", "--form"), ("idi", "idi-fast")),
    "workflow": (
        ("workflow", "synthetic.json", "--set", "episodes=3", "--set", "episode_length=12", "--seed"),
        ("1", "2"),
    ),
}
"""Commands without their last word, and that word of each of the two."""
NEEDS = ("agent", "later.csv", "synthetic.json")
LATER = 1.5
"""Seconds by which one of the two begins later, at most."""


def attempt(world: World, rng: random.Random, trial: Trial) -> str:
    """Two processes with the same --out: over nothing, or with --force over an older output."""
    kind, forced = rng.choice(sorted(KINDS)), rng.random() < 0.4
    trial.kind = f"{kind}{' --force' * forced}"
    begin, lasts = KINDS[kind]
    commands = [(*begin, last, "--out", "out", *(["--force"] if forced else [])) for last in lasts]
    alone = [_alone(world, command) for command in commands]
    folder = world.sandbox(*NEEDS)
    if forced:
        verdict_on(world.worker.run("train", *QUICK, "--seed", 9, "--out", "out", cwd=folder))
    before, pause = tree(folder), rng.choice((0.0, 0.0, rng.uniform(0.0, LATER)))
    trial.what = f"the second begins {pause:.2f} s later"
    outcomes = _together(commands, folder, pause)
    verdicts = [verdict_on(outcome) for outcome in outcomes]
    world.worker.run("train", "--print-config", cwd=folder)
    about = "; ".join(map(describe, outcomes))
    expect(OK in verdicts, WRONG, f"neither has written anything: {about}")
    found = timeless(tree(folder))
    winners = [k for k, output in enumerate(alone) if not difference(_at(found, "out"), output)]
    expect((folder / "out").is_dir(), LOST, f"there is no output: {about}")
    expect(bool(winners), MIXED, f"the output is that of neither: {difference(_at(found, 'out'), alone[0])}; {about}")
    expect(verdicts[winners[0]] == OK, WRONG, f"exit code 1, and yet its output is there: {about}")
    expect(forced or verdicts.count(OK) == 1, LOST, f"both succeed, but one output is gone: {about}")
    kept = {
        name
        for outcome, verdict in zip(outcomes, verdicts, strict=True)
        if verdict == FAILED
        for name in _named(outcome, folder)
    }
    others = {name.partition("/")[0] for name in found} - {name.partition("/")[0] for name in before} - {"out", *kept}
    expect(not others, MIXED, f"left behind: {', '.join(sorted(others))}; {about}")
    loser = 1 - winners[0]
    if verdicts[loser] == FAILED:
        whole = any(not difference(_at(found, name), alone[loser]) for name in kept)
        expect(whole, LOST, f"the loser's result is not where it says: {about}")
    return verdicts[loser]


def _alone(world: World, command: tuple[object, ...]) -> dict[str, bytes | None]:
    """The output of a command without a rival."""
    known = world.memory.setdefault("alone", {})
    plain = tuple(word for word in command if word != "--force")
    if plain not in known:
        folder = world.sandbox(*NEEDS)
        verdict_on(world.worker.run(*plain, cwd=folder))
        known[plain] = timeless(tree(folder / "out"))
        remove(folder)
    return known[plain]


def _together(commands: Sequence[tuple[object, ...]], folder: Path, pause: float) -> list[Outcome]:
    processes = []
    for k, command in enumerate(commands):
        if k:
            time.sleep(pause)
        words = tuple(map(str, command))
        processes.append(
            (
                words,
                subprocess.Popen(
                    [sys.executable, "-c", MAIN, *words],
                    cwd=folder,
                    env=dict(os.environ),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    encoding="utf-8",
                    errors="replace",
                ),
            )
        )
    outcomes = []
    for words, process in processes:
        try:
            stdout, stderr = process.communicate(timeout=PATIENCE)
            outcomes.append(Outcome(words, process.returncode, stdout, stderr, 0.0))
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            outcomes.append(Outcome(words, None, stdout, stderr, PATIENCE))
    return outcomes


def _named(outcome: Outcome, folder: Path) -> set[str]:
    """Names in a folder that a message mentions, except the output's."""
    words = re.split(r"[\s,;:]+", outcome.stderr)
    return {Path(word).name for word in words if word and (folder / Path(word).name).is_dir()} - {"out"}


def _at(found: dict[str, bytes | None], name: str) -> dict[str, bytes | None]:
    return {path.removeprefix(f"{name}/"): data for path, data in found.items() if path.startswith(f"{name}/")}
