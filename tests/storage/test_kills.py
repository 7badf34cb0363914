"""Commands killed at a call that changes files: the next command leaves the old or the new output, and says so."""

import errno
import shutil
import signal
import sys
from contextlib import contextmanager
from functools import partial

import cli_helpers as cli
import pytest

from idi_fast.bench.campaign.inject import Injected, run_killed
from idi_fast.bench.campaign.worker import Worker

# Makes the process one whose system can neither exchange nor rename without replacing.
STEPS_ALONE = "import idi_fast.storage.exchange as exchange\nexchange._native = lambda: None\n"


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    """A state folder of all tests here."""
    folder = tmp_path_factory.mktemp("states")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IDI_FAST_STATE_DIR", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def state(states, monkeypatch):
    monkeypatch.setenv("IDI_FAST_STATE_DIR", str(states))
    return states


@contextmanager
def running():
    """`run_killed`, or on Linux the same in forks of one process, which spares every command its imports."""
    if sys.platform != "linux":
        yield run_killed
        return
    with Worker() as worker:
        yield partial(in_fork, worker)


@pytest.fixture(scope="module")
def run(states):
    with running() as run:
        yield run


def in_fork(worker, argv, cwd, *, at=None, error=0, lasting=False):
    fault = "" if at is None else f"{at}:{int(signal.SIGKILL)}:{error}:{int(lasting)}"
    ended = worker.run(*argv, cwd=cwd, fault=fault)
    return Injected(ended.status == -signal.SIGKILL, ended.status, ended.events, ended.stdout, ended.stderr)


@pytest.fixture
def place(world, tmp_path):
    """A folder with an agent, another's streams, and a specification, whose copy each command works in."""
    folder = tmp_path / "base"
    folder.mkdir()
    cli.copy_of(world / "agent", folder / "agent")
    cli.succeed("export", world / "compat_crypto", "--to", folder / "inputs", "--kind", "layered")
    cli.succeed("spec", world / "synthetic", "--out", folder / "spec", "--kind", "layered")
    return folder


COMMANDS = {
    "export": ("export", "agent", "--to", "inputs", "--kind", "layered"),
    "export to a new folder": ("export", "agent", "--to", "fresh/inputs", "--kind", "layered"),
    "manifest": ("manifest", "agent", "--idi-manifest"),
    "spec": ("spec", "agent", "--out", "spec", "--kind", "layered", "--force"),
}


def files(folder):
    """A snapshot, but for the bytes of files that tell the time and of those that hold their digests."""
    timed = ("artifact_manifest.json", "manifest.json")
    return {name: name if name.endswith(timed) else data for name, data in cli.snapshot(folder).items()}


def killed(folder, command, run):
    """Kill a command early, amid the calls that put something in its place, and after them; then run another.

    Gives the call, whether the old or the new is there, whether the next command changed anything, and its outcome.
    """
    work = folder.with_name("work")

    def fresh():
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(folder, work)

    fresh()
    whole = run(command, cwd=work)
    assert whole.returncode == 0, whole.stderr
    before, after = files(folder), files(work)
    calls = [number for number, event in enumerate(whole.events, 1) if event.startswith("idi_fast.storage.")]
    for number in (len(whole.events) // 3, calls[len(calls) // 2], calls[-1] + 1):
        fresh()
        ended = run(command, cwd=work, at=number)
        assert ended.killed, ended
        after_kill = files(work)
        outcome = cli.run("verify", work / "agent")
        left = files(work)
        yield ended.events[-1], left in (before, after), after_kill != left, outcome


@pytest.mark.parametrize("command", COMMANDS)
def test_a_kill_leaves_the_old_or_the_new(command, place, state, run):
    notes = []
    for event, whole, settled, outcome in killed(place, COMMANDS[command], run):
        assert whole, event
        assert outcome.status == 0
        assert list((state / "open").iterdir()) == []
        if settled and outcome.stderr:
            notes.append(outcome.stderr)
    assert notes
    for note in notes:
        assert note.startswith(("note: completed what an interrupted `", "note: took back what an interrupted `")), note


def test_a_kill_where_the_system_cannot_exchange(place, tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(STEPS_ALONE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    with running() as run:
        for command in ("spec", "export"):
            events = list(killed(place, COMMANDS[command], run))
            assert [event for event, whole, *_ in events if not whole] == []


def test_what_no_record_tells_is_left_to_a_command_that_writes_there(place, tmp_path):
    """As with another state folder, or in somebody else's folder: a command that only reads moves nothing."""
    env, command = {"IDI_FAST_STATE_DIR": str(tmp_path / "elsewhere")}, COMMANDS["manifest"]
    cli.copy_of(place, tmp_path / "whole")
    events = run_killed(command, env, tmp_path / "whole").events
    last = max(number for number, event in enumerate(events, 1) if event.startswith("idi_fast.storage."))
    assert run_killed(command, env, place, at=last).killed
    before = cli.snapshot(place)
    assert list((place / "agent").glob(".idi-fast-*"))
    cli.run("verify", place / "agent")
    assert cli.snapshot(place) == before
    cli.succeed("manifest", place / "agent")
    assert not list((place / "agent").glob(".idi-fast-*"))
    assert files(place) == files(tmp_path / "whole")


@pytest.mark.parametrize("command", ["export", "manifest", "spec"])
def test_a_full_disk_at_any_call_loses_nothing(command, place, run):
    work = place.with_name("work")
    shutil.copytree(place, work)
    count, before = len(run(COMMANDS[command], cwd=work).events), cli.snapshot(place)
    for number in range(4, count, count // 3):
        ended = run(COMMANDS[command], cwd=place, at=number, error=errno.ENOSPC, lasting=True)
        if ended.returncode == 0:  # it was over: what could not be removed is
            break
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1), ended
        cli.assert_mentions(ended.stderr, "error: cannot write", "No space left on device")
        cli.run("--version")
        assert cli.snapshot(place) == before
    assert number > 4
