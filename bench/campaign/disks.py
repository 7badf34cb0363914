"""A full disk: the command says so in one line with exit code 1, and old content is still there."""

import errno
import os
import random
import subprocess
import sys
from pathlib import Path

from idi_fast.bench.campaign.commands import COMMANDS, Undisturbed, set_up, undisturbed
from idi_fast.bench.campaign.kills import check_again, check_whole
from idi_fast.bench.campaign.trial import FAILED, OK, WRONG, Trial, describe, expect, verdict_on
from idi_fast.bench.campaign.worker import Outcome
from idi_fast.bench.campaign.world import World

DISK = 32 << 20
"""Bytes of the small disk."""


TAKING_ROOM = ("open", "os.mkdir", "os.rename", "os.link", "os.symlink")
"""How calls begin that a full disk may refuse."""


def attempt(world: World, rng: random.Random, trial: Trial) -> str:
    """One writing command on a disk with little room, or with a call that fails as if there were none."""
    kind = rng.choice(
        ("small disk", "small disk", "no room at a call", "no room from a call on", "disk error at a call")
    )
    if kind == "small disk":
        return _small(world, rng, trial)
    name = rng.choice(sorted(COMMANDS))
    command, whole = COMMANDS[name], undisturbed(world, name)
    calls = range(1, len(whole.calls) + 1)
    if kind != "disk error at a call":
        calls = [call for call in calls if whole.calls[call - 1].startswith(TAKING_ROOM)]
    call = rng.choice(calls)
    trial.kind = kind
    folder = set_up(world, command)
    number = errno.EIO if kind == "disk error at a call" else errno.ENOSPC
    fault = f"{call}:0:{number}:{int(kind == 'no room from a call on')}"
    outcome = world.worker.run(*command.argv, cwd=folder, fault=fault)
    at = outcome.events[min(call, len(outcome.events)) - 1] if outcome.events else "no call"
    trial.what = f"{name}, {os.strerror(number)} at call {call} of {len(whole.calls)}: {at}"
    world.worker.run("train", "--print-config", cwd=folder)  # settles what could not be removed
    verdict = _verdict_when_full(outcome, folder, whole)
    if verdict == FAILED:
        check_again(world, folder, command.argv, whole)
    return verdict


def _small(world: World, rng: random.Random, trial: Trial) -> str:
    name = rng.choice(sorted(COMMANDS))
    command, whole = COMMANDS[name], undisturbed(world, name)
    written = sum(len(data or b"") for path, data in whole.new.items() if whole.old.get(path) != data)
    room = rng.randrange(2 * written + 20_000)  # a disk keeps pages, of which a small file takes one
    disk = _disk(world)
    if disk is None:
        trial.kind, trial.what = "files limited", f"{name}, no file above {room:,} bytes (no disk can be mounted here)"
        folder = set_up(world, command)
        return _verdict_when_full(world.worker.run(*command.argv, cwd=folder, file_size=room), folder, whole)
    trial.kind, trial.what = "small disk", f"{name}, with room for {room:,} bytes"
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    folder = set_up(world, command, within=disk)
    about = os.statvfs(disk)
    filler.write_bytes(bytes(max(about.f_bavail * about.f_frsize - room, 0)))
    outcome = world.worker.run(*command.argv, cwd=folder, apart=True)
    verdict = _verdict_when_full(outcome, folder, whole)
    filler.unlink()
    if verdict == FAILED:
        check_again(world, folder, command.argv, whole)
    return verdict


def _verdict_when_full(outcome: Outcome, folder: Path, whole: Undisturbed) -> str:
    verdict = verdict_on(outcome)
    is_new = check_whole(folder, whole, describe(outcome))
    expect(verdict in (OK, FAILED), WRONG, f"a full disk is no error in the input: {describe(outcome)}")
    expect(verdict != OK or is_new, WRONG, f"exit code 0, but the old is there: {describe(outcome)}")
    return verdict


def _disk(world: World) -> Path | None:
    """A small disk of its own, None where none can be mounted."""
    if "disk" not in world.memory:
        disk = world.folder / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)]
        can = sys.platform == "linux" and os.geteuid() == 0
        done = can and subprocess.run(mount, capture_output=True, check=False).returncode == 0
        if done:
            world.undo.append(lambda: subprocess.run(["umount", "--lazy", str(disk)], check=True))
        world.memory["disk"] = disk if done else None
    return world.memory["disk"]
