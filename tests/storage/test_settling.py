"""What a killed process has left is completed or rolled back by the next command, and nothing else is touched."""

import json
import os
import shutil
import sys
from unittest import mock

import cli_helpers as cli
import pytest
from small_outputs import ours, put, told

from idi_fast.errors import WriteError
from idi_fast.storage import exchange, hidden, journal, records, settling
from idi_fast.storage.files import new_directory
from idi_fast.storage.staging import Staging, install
from idi_fast.training.checkpoint_folder import checkpoint_folder


def killed(folder, name="out", *, old="old", taken="exchanged"):
    """What a process leaves that is killed amid the renames of one output, and its record.

    taken: what it had come to: "journal", "exchanged" (without a journal), "aside".
    """
    if old:
        ours(folder / name, old)
    staging = Staging()
    made = staging.reserve(folder / name)
    ours(made, "new")
    home = made.parent.parent
    step = journal.Step(folder / name, home, hidden.identity(made), hidden.appearance(folder / name))
    staging._record.add("step", *step.to_json())
    if taken == "exchanged":
        journal.take_step(step)
    else:
        journal.write(home, [step])
    if taken == "aside":
        os.rename(step.place, step.aside)
    staging._unlock()
    staging._record.leave()
    return step


def settled(folder):
    said = []
    settling.settle(said.append)
    assert not list(folder.rglob(".*")), said
    again = []
    settling.settle(again.append)
    assert again == []
    return said


@pytest.mark.parametrize("is_moved", [True, False])
@pytest.mark.parametrize("taken", ["exchanged", "journal"])
def test_what_was_put_in_place_and_moved_away_before_the_next_command(tmp_path, state, taken, is_moved):
    step = killed(tmp_path, taken=taken)
    if taken == "journal":
        journal.take_step(step)
    os.rename(tmp_path / "out", tmp_path / "kept")
    if not is_moved:
        put(tmp_path / "out", "the user's")
    said = settled(tmp_path)
    assert told(tmp_path / "kept") == "new"
    assert told(tmp_path / ("out" if is_moved else "out-2")) == "old"
    found = "there again" if is_moved else tmp_path / "out-2"
    assert f"{tmp_path / 'out'} was moved away; the old content is {found}" in said[0]


def test_a_new_output_that_was_moved_away_before_the_next_command(tmp_path, state):
    step = killed(tmp_path, old="", taken="journal")
    journal.take_step(step)
    os.rename(tmp_path / "out", tmp_path / "kept")
    assert "there was no old content" in settled(tmp_path)[0]
    assert os.listdir(tmp_path) == ["kept"]


def test_a_place_that_was_taken_after_a_kill_between_two_renames(tmp_path, state):
    killed(tmp_path, taken="aside")
    put(tmp_path / "out", "the user's")
    said = settled(tmp_path)
    assert (tmp_path / "out").read_text() == "the user's"
    assert {told(tmp_path / name) for name in ("out-2", "out-3")} == {"old", "new"}
    cli.assert_mentions(said[0], tmp_path / "out-2", tmp_path / "out-3")


def test_an_output_that_was_changed_in_the_moment_of_its_exchange_and_a_kill(tmp_path, state):
    step = killed(tmp_path)
    put(step.made / "thesis.txt", "ten years")
    said = settled(tmp_path)
    assert told(tmp_path / "out") == "new"
    assert (tmp_path / "out-2/thesis.txt").read_text() == "ten years"
    cli.assert_mentions(said[0], "in which it was replaced", tmp_path / "out-2")


def test_what_the_user_has_removed_with_all_that_was_left_of_it(tmp_path, state):
    killed(tmp_path / "a")
    shutil.rmtree(tmp_path / "a")
    assert settled(tmp_path) == []
    assert list((state / "open").iterdir()) == []


def test_an_operation_that_took_itself_back_and_could_not_remove_its_hidden_folder(tmp_path, state, monkeypatch):
    def run():
        with new_directory(tmp_path / "out") as folder:
            put(folder / "x.txt", "mine")
            put(tmp_path / "out", "theirs")

    with monkeypatch.context() as patch:
        patch.setattr(hidden, "remove", mock.Mock(side_effect=cli.DENIED))
        with pytest.raises(WriteError, match=r"out-2$"):
            run()
    assert settled(tmp_path) == [f"took back what an interrupted `{records.command()}` had begun in {tmp_path}"]
    assert sorted(os.listdir(tmp_path)) == ["out", "out-2"]


def test_an_operation_that_was_killed_while_its_hidden_folder_went(tmp_path, state):
    """Half of the old output is no change of it that somebody made."""
    step = killed(tmp_path)
    with open(next((state / "open").iterdir()), "a") as file:
        file.write('["done"]\n')
    (step.made / "commitment.json").unlink()
    assert settled(tmp_path) == [f"completed what an interrupted `{records.command()}` had begun: {tmp_path / 'out'}"]
    assert os.listdir(tmp_path) == ["out"]


def test_a_journal_in_a_folder_of_checkpoints_speaks_of_the_output_beside_it(tmp_path, state):
    """Where no record tells of it."""
    ours(tmp_path / "a/out", "old")
    (tmp_path / "a/out.checkpoint").mkdir()
    staging = Staging(tmp_path / "a/out.checkpoint")
    made = staging.reserve(tmp_path / "a/out")
    ours(made, "new")
    home, place = made.parent.parent, tmp_path / "a/out"
    journal.write(home, [journal.Step(place, home, hidden.identity(made), hidden.appearance(place))])
    staging._unlock()
    staging._record.close()
    os.rename(tmp_path / "a", tmp_path / "b")
    said = []
    settling.settle_beside(tmp_path / "b/out.checkpoint", tmp_path / "b/out", said.append)
    assert told(tmp_path / "b/out") == "new"
    assert said == [f"completed what an interrupted `{records.command()}` had begun: {tmp_path / 'b/out'}"]
    assert cli.snapshot(tmp_path / "b/out.checkpoint") == {}


@pytest.mark.parametrize("what", ["a journal", "of an earlier version"])
def test_a_command_that_reads_moves_nothing_in_a_folder_of_somebody_else(world, tmp_path, what):
    agent = cli.copy_of(world / "agent", tmp_path / "agent")
    if what == "a journal":
        left_of_a_kill(agent, "run.json")
    else:
        put(agent / ".idi-fast-0123456789ab/old/.bashrc", "theirs")
    before = cli.snapshot(tmp_path)
    for command in (("verify",), ("manifest", "--check"), ("evaluate",), ("report", "--out", tmp_path / "x.html")):
        cli.run(command[0], agent, *command[1:])
        (tmp_path / "x.html").unlink(missing_ok=True)
        assert cli.snapshot(tmp_path) == before
    if what == "a journal":
        (agent / "policy.parquet").write_bytes(b"damaged")
        assert "idi-fast manifest" in cli.run("verify", agent).stdout
        cli.run("manifest", agent)
        assert (agent / "run.json").read_text() == "new"


def test_another_output_s_leftovers_are_left_alone(tmp_path, state):
    left_of_a_kill(put(tmp_path / "streams.json", "old").parent)
    before = cli.snapshot(tmp_path)
    with new_directory(tmp_path / "out") as folder:
        put(folder / "x.txt", "mine")
    assert cli.snapshot(tmp_path).items() > before.items()


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc what is open")
def test_nothing_is_removed_that_is_open_where_that_cannot_be(tmp_path, state, monkeypatch):
    def remove(path):
        opened = [
            os.readlink(f"/proc/self/fd/{name}")
            for name in os.listdir("/proc/self/fd")
            if name.isdigit() and os.path.lexists(f"/proc/self/fd/{name}")
        ]
        assert [name for name in opened if name.startswith(str(path))] == []
        real(path)

    real = hidden.remove
    monkeypatch.setattr(hidden, "OPEN_STAYS", True)
    monkeypatch.setattr(hidden, "remove", remove)
    killed(tmp_path)
    settled(tmp_path)
    assert told(tmp_path / "out") == "new"
    with new_directory(tmp_path / "out", force=True) as folder:
        ours(folder, "newer")
    assert os.listdir(tmp_path) == ["out"]


def left_of_a_kill(folder, name="streams.json"):
    """What a process leaves that is killed after the commit of a file, and of which no record tells."""
    staging = Staging()
    made = staging.reserve(folder / name)
    made.write_text("new")
    path = made.parent.parent
    journal.write(path, [journal.Step(folder / name, path, hidden.identity(made), hidden.appearance(folder / name))])
    for handle in staging._locks:
        os.close(handle)
    staging._record.close()
    return path


def test_the_work_of_a_live_process_is_left_alone(tmp_path, state):
    with Staging() as staging:
        staging.reserve(tmp_path / "x").write_text("new")
        before = cli.snapshot(tmp_path)
        assert cli.run("--version").stderr == ""
        settling.settle_beside(tmp_path)
        assert cli.snapshot(tmp_path) == before
        staging.swap([tmp_path / "x"])
    assert cli.snapshot(tmp_path) == {"x": b"new"}


def test_a_journal_is_followed_within_its_folder_alone(tmp_path):
    """A downloaded folder may hold a journal: what it says of places elsewhere is not done."""
    target = put(tmp_path / "home/.bashrc", "mine")
    left = left_of_a_kill(put(tmp_path / "got/streams.json", "old").parent)
    about = json.loads((left / "journal.json").read_text())
    for place in (str(target), str(tmp_path / "got/../home/.bashrc"), "..", ".", ""):
        about["steps"][0][0] = place
        (left / "journal.json").write_text(json.dumps(about))
        said = []
        settling.settle_beside(tmp_path / "got", say=said.append)
        assert target.read_text() == "mine"
        assert (tmp_path / "got/streams.json").read_text() == "old"


def test_a_journal_that_was_moved_along_is_completed(tmp_path):
    left_of_a_kill(put(tmp_path / "got/streams.json", "old").parent)
    os.rename(tmp_path / "got", tmp_path / "moved")
    said = []
    settling.settle_beside(tmp_path / "moved", say=said.append)
    assert cli.snapshot(tmp_path / "moved") == {"streams.json": b"new"}
    assert said == [f"completed what an interrupted `{records.command()}` had begun: {tmp_path / 'moved/streams.json'}"]


def test_what_a_user_changed_after_the_kill_is_kept(tmp_path):
    left_of_a_kill(put(tmp_path / "got/streams.json", "old").parent)
    os.remove(tmp_path / "got/streams.json")
    put(tmp_path / "got/other", "")
    put(tmp_path / "got/streams.json", "the user's")
    said = []
    settling.settle_beside(tmp_path / "got", say=said.append)
    assert (tmp_path / "got/streams.json").read_text() == "the user's"
    assert (tmp_path / "got/streams-2.json").read_text() == "new"
    assert "streams-2.json" in said[0]


@pytest.mark.parametrize("make", ["link", "journal", "part", "old"])
def test_hidden_folders_of_others_are_left_alone(tmp_path, make):
    put(tmp_path / "away/thesis.txt", "ten years")
    path = tmp_path / "got" / ".idi-fast-0123456789ab"
    path.parent.mkdir()
    if make == "link":
        path.symlink_to(tmp_path / "away")
    elif make == "journal":
        path.mkdir()
        (path / "journal.json").symlink_to(tmp_path / "away/thesis.txt")
    elif make == "part":
        put(path / "thesis.txt", "ten years")
    else:  # of an earlier version: what had stepped aside comes back, but not for another output
        put(path / "old/x.in", "0")
    before = cli.snapshot(tmp_path)
    settling.settle_beside(tmp_path / "got", tmp_path / "got/y.in", lambda text: None)
    assert cli.snapshot(tmp_path) == before
    settling.settle_beside(tmp_path / "got", say=lambda text: None)
    if make == "old":
        assert cli.snapshot(tmp_path / "got") == {"x.in": b"0"}
        return
    assert cli.snapshot(tmp_path) == before


def test_a_state_folder_that_cannot_be_written_to_is_done_without(tmp_path, monkeypatch):
    put(tmp_path / "file", "")
    monkeypatch.setattr(records, "state_folders", lambda: [tmp_path / "file" / "open"])
    install({tmp_path / "out" / name: b"1" for name in "ab"})
    assert cli.snapshot(tmp_path / "out") == {"a": b"1", "b": b"1"}
    settling.settle(lambda text: pytest.fail(text))


def test_what_cannot_be_taken_back_stays_for_the_next_command(tmp_path, monkeypatch):
    """In a folder of checkpoints, without a checkpoint yet: it does not go with that folder."""

    def broken(source, target, **options):
        raise OSError(5, "Input/output error", os.fspath(target))

    def run():
        with (
            checkpoint_folder(tmp_path / "out", wanted=True, resume=False, force=True) as kept,
            new_directory(tmp_path / "out", force=True, within=kept) as folder,
        ):
            ours(folder, "new")

    ours(tmp_path / "out", "old")
    with monkeypatch.context() as patch:
        patch.setattr(exchange, "_native", lambda: None)
        patch.setattr(exchange, "rename_new", broken)
        with pytest.raises(WriteError, match="which the next command of idi-fast completes"):
            run()
    settling.settle(lambda text: None)
    assert told(tmp_path / "out") == "new"
