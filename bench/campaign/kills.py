"""SIGKILL at every call of every writing command: the next command finds the old or the new output, complete."""

import random
import signal
from pathlib import Path

from idi_fast.bench.campaign.commands import (
    COMMANDS,
    Undisturbed,
    calls_in_turn,
    set_up,
    undisturbed,
    without_checkpoints,
)
from idi_fast.bench.campaign.trial import (
    LOST,
    MIXED,
    OK,
    REFUSED,
    WRONG,
    Tree,
    Trial,
    describe,
    difference,
    expect,
    timeless,
    tree,
    verdict_on,
)
from idi_fast.bench.campaign.world import World
from idi_fast.storage.files import MANIFEST

NEXT = (
    ("train", "--print-config"),
    ("evaluate", "{out}"),
    ("compare", "{out}", "{out}"),
    ("verify", "{out}"),
    ("manifest", "{out}", "--check"),
    ("tau", "check", "{out}"),
)
"""Commands to run after a kill; whether they accept their arguments does not matter here."""


def attempt(world: World, rng: random.Random, trial: Trial) -> str:
    """Kill one command at one call, run another command, then the same one again."""
    chosen = calls_in_turn(world, trial.number, "kills")
    if chosen is None:
        return ""
    trial.kind, call = chosen
    command, whole = COMMANDS[trial.kind], undisturbed(world, trial.kind)
    folder = set_up(world, command)
    killed = world.worker.run(*command.argv, cwd=folder, fault=f"{call}:{int(signal.SIGKILL)}:0:0")
    at = killed.events[-1] if killed.events else "no call"
    trial.what = f"killed at call {call} of {len(whole.calls)}: {at}"
    if killed.status != -signal.SIGKILL:  # another order of threads made fewer calls
        return verdict_on(killed)
    following = [str(arg).format(out=command.out) for arg in rng.choice(NEXT)]
    settled = world.worker.run(*following, cwd=folder)
    trial.detail = f"then: {describe(settled)}"
    verdict_on(settled, silent_failure=True)
    check_whole(folder, whole, trial.detail)
    return check_again(world, folder, command.argv, whole)


def check_whole(folder: Path, whole: Undisturbed, about: str) -> bool:
    """Whether the new output is in a folder; raises Fault if neither it nor the old one is, with nothing else."""
    found = timeless(without_checkpoints(tree(folder)))
    old, new = difference(found, whole.old), difference(found, whole.new)
    if not new:
        return True
    if whole.steps:
        _check_steps(found, whole, about)
        return False
    gone = [name for name in set(whole.old) & set(whole.new) if name not in found]
    expect(not gone, LOST, f"gone: {', '.join(sorted(gone)[:4])}; {old}; {about}")
    expect(not old, MIXED, f"against the old: {old}; against the new: {new}; {about}")
    return False


def _check_steps(found: Tree, whole: Undisturbed, about: str) -> None:
    """Every file but the manifest, which lists the others, is the old or the new one."""
    foreign = [
        name
        for name, data in found.items()
        if not name.endswith(MANIFEST)
        and (name, data) not in whole.old.items()
        and (name, data) not in whole.new.items()
    ]
    expect(not foreign, MIXED, f"neither of the old nor of the new: {', '.join(foreign[:4])}; {about}")


def check_again(world: World, folder: Path, argv: tuple[object, ...], whole: Undisturbed) -> str:
    """Run a disturbed command again: it completes, or says that the output is already there."""
    had_new = not difference(timeless(without_checkpoints(tree(folder))), whole.new)
    again = world.worker.run(*argv, cwd=folder)
    verdict = verdict_on(again)
    expect(verdict == OK or (verdict == REFUSED and had_new), WRONG, f"it does not run again: {describe(again)}")
    left = difference(timeless(tree(folder)), whole.new)
    expect(not left, MIXED, f"run again, against the new: {left}; {describe(again)}")
    return verdict
