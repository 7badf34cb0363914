"""SIGINT, SIGTERM and SIGHUP at any moment: the command ends within a second, and leaves the old or the new output."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from idi_fast.bench.campaign.commands import COMMANDS, set_up, undisturbed
from idi_fast.bench.campaign.kills import check_again, check_whole
from idi_fast.bench.campaign.trial import CRASHES, HANG, TRACEBACK, WRONG, Trial, describe, expect, verdict_on
from idi_fast.bench.campaign.worker import Outcome
from idi_fast.bench.campaign.world import World

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
SECONDS = 1.0
"""Within which a command ends; on a busy machine as many times that as processes wait for each processor."""
PATIENCE = 60.0
MAIN = "from idi_fast.cli import main; main()"
STARTING = 8.0
"""Seconds within which a long command is interrupted: while it is imported, loads or compiles kernels, or works."""


def attempt(world: World, rng: random.Random, trial: Trial) -> str:
    """One signal to one command: at a call that changes something, or at any moment."""
    number = rng.choice(sorted(CODES))
    kind = rng.choice(("at a call", "at any moment", "at any moment", "while compiling"))
    trial.kind = f"{kind}, {number.name}"
    if kind == "at a call":
        return _at_a_call(world, rng, trial, number)
    name = rng.choice(sorted(name for name, command in COMMANDS.items() if kind != "while compiling" or command.long))
    command, whole = COMMANDS[name], undisturbed(world, name)
    is_long = kind == "while compiling" or (command.long is not None and rng.random() < 0.5)
    argv = (*command.argv, *((command.long or ()) if is_long else ()))
    folder = set_up(world, command)
    cache = {"IDI_FAST_CACHE_DIR": str(world.folder / f"cache-{trial.number}")} if kind == "while compiling" else {}
    after = rng.uniform(0.0, STARTING if is_long else 2.0)
    trial.what = f"{name}{' for hours' * is_long}, {number.name} after {after:.2f} s"
    outcome, seconds = _interrupted(argv, folder, number, after, cache)
    _check_end(outcome, number, seconds)
    world.worker.run("train", "--print-config", cwd=folder)
    check_whole(folder, whole, describe(outcome))
    # What a run of hours has saved is not resumed by one of another length, but discarded.
    again = tuple("--force" if is_long and word == "--resume" else word for word in command.argv)
    return check_again(world, folder, again, whole)


def _at_a_call(world: World, rng: random.Random, trial: Trial, number: signal.Signals) -> str:
    name = rng.choice(sorted(COMMANDS))
    command, whole = COMMANDS[name], undisturbed(world, name)
    call = rng.randrange(1, len(whole.calls) + 1)
    folder = set_up(world, command)
    begun = time.monotonic()
    outcome = world.worker.run(*command.argv, cwd=folder, fault=f"{call}:{int(number)}:0:0")
    at = outcome.events[min(call, len(outcome.events)) - 1] if outcome.events else "no call"
    trial.what = f"{name}, {number.name} at call {call} of {len(whole.calls)}: {at}"
    _check_end(outcome, number, time.monotonic() - begun - outcome.seconds)
    world.worker.run("train", "--print-config", cwd=folder)
    check_whole(folder, whole, describe(outcome))
    return check_again(world, folder, command.argv, whole)


def _interrupted(
    argv: tuple[object, ...], folder: Path, number: signal.Signals, after: float, environment: Mapping[str, str]
) -> tuple[Outcome, float]:
    """The outcome of a process that got a signal, and the seconds until it ended."""
    words = tuple(map(str, argv))
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *words],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    begun = time.monotonic()
    try:
        stdout, stderr = process.communicate(timeout=after)
        sent = time.monotonic()  # it had come to its end
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        sent = time.monotonic()
        try:
            stdout, stderr = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            return Outcome(words, None, stdout, stderr, PATIENCE), PATIENCE
    ended = time.monotonic()
    return Outcome(words, process.returncode, stdout, stderr, ended - begun), ended - sent


def _check_end(outcome: Outcome, number: signal.Signals, seconds: float) -> None:
    expect(outcome.status is not None, HANG, f"{number.name} was lost: {describe(outcome)}")
    allowed = SECONDS * max(1.0, 1.0 + os.getloadavg()[0] / (os.cpu_count() or 1))
    expect(seconds <= allowed, HANG, f"{seconds:.1f} s after {number.name}: {describe(outcome)}")
    if number == signal.SIGINT and _is_of_pythons_start(outcome.stderr):
        return
    crash = next((text for text in CRASHES if text in outcome.stderr), None)
    expect(crash is None, TRACEBACK, describe(outcome))
    if outcome.status == 0:
        verdict_on(outcome)  # it was done before
        return
    # Before the command line has begun the system ends the process, and a shell shows that as the same code.
    wanted = (CODES[number], -number)
    expect(outcome.status in wanted, WRONG, f"expected exit code {CODES[number]}: {describe(outcome)}")


def _is_of_pythons_start(stderr: str) -> bool:
    """Whether Ctrl-C came while Python itself was starting, before idi-fast could handle it."""
    others = [line for line in stderr.splitlines() if "site-packages" in line and "__editable__" not in line]
    begun = re.search(r'cli.__init__\.py", line \d+, in main', stderr)  # Python's own `site` has a `main`, too
    return stderr.rstrip().endswith("KeyboardInterrupt") and begun is None and not others
