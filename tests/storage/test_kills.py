"""Commands killed at a call that changes files: the next command leaves the old or the new output, and says so."""

import errno
import shutil

import cli_helpers as cli
import pytest

from idi_fast.bench.campaign.inject import run_killed

# Makes the process one whose system can neither exchange nor rename without replacing.
STEPS_ALONE = "import idi_fast.storage.exchange as exchange\nexchange._native = lambda: None\n"


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


def killed(folder, command, env):
    """Kill a command early, amid the calls that put something in its place, and after them; then run another.

    Gives the call, whether the old or the new is there, whether the next command changed anything, and its outcome.
    """
    work = folder.with_name("work")

    def fresh():
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(folder, work)

    fresh()
    whole = run_killed(command, env, work)
    assert whole.returncode == 0, whole.stderr
    before, after = files(folder), files(work)
    calls = [number for number, event in enumerate(whole.events, 1) if event.startswith("idi_fast.storage.")]
    for number in (len(whole.events) // 3, calls[len(calls) // 2], calls[-1] + 1):
        fresh()
        ended = run_killed(command, env, work, at=number)
        assert ended.killed, ended
        after_kill = files(work)
        outcome = cli.run("verify", work / "agent")
        left = files(work)
        yield ended.events[-1], left in (before, after), after_kill != left, outcome


@pytest.mark.parametrize("command", COMMANDS)
def test_a_kill_leaves_the_old_or_the_new(command, place, state):
    notes = []
    for event, whole, settled, outcome in killed(place, COMMANDS[command], {}):
        assert whole, event
        assert outcome.status == 0
        assert list((state / "open").iterdir()) == []
        if settled and outcome.stderr:
            notes.append(outcome.stderr)
    assert notes
    for note in notes:
        assert note.startswith(("note: completed what an interrupted `", "note: took back what an interrupted `")), note


def test_a_kill_where_the_system_cannot_exchange(place, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(STEPS_ALONE)
    env = {"PYTHONPATH": str(tmp_path / "site")}
    for command in ("spec", "export"):
        events = list(killed(place, COMMANDS[command], env))
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
def test_a_full_disk_at_any_call_loses_nothing(command, place):
    work = place.with_name("work")
    shutil.copytree(place, work)
    count, before = len(run_killed(COMMANDS[command], cwd=work).events), cli.snapshot(place)
    for number in range(4, count, count // 3):
        ended = run_killed(COMMANDS[command], cwd=place, at=number, error=errno.ENOSPC, lasting=True)
        if ended.returncode == 0:  # it was over: what could not be removed is
            break
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1), ended
        cli.assert_mentions(ended.stderr, "error: cannot write", "No space left on device")
        cli.run("--version")
        assert cli.snapshot(place) == before
    assert number > 4
