"""Outputs appear whole or not at all, never replace what they were not asked to, and lie where they may."""

import json
import os
import subprocess
import sys

import cli_helpers as cli
import pytest

from idi_fast.errors import InputError, OutputError, WriteError
from idi_fast.files import digest, new_directory
from idi_fast.staging import Staging, install
from idi_fast.storage import exchange, hidden, journal


@pytest.fixture(params=["system", "steps"])
def each_way(request, monkeypatch):
    """With the system's call, and as where there is none."""
    if request.param == "steps":
        monkeypatch.setattr(exchange, "_native", lambda: None)
    return request.param


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def ours(folder, text):
    """An output of idi-fast: a commitment whose root is the text."""
    about = {"format": "idi-fast-commitment-1", "root": text, "size": 1, "actions": 3, "q_scale": 1}
    put(folder / "commitment.json", json.dumps(about))
    files = {"commitment.json": digest(folder / "commitment.json")}
    put(folder / "manifest.json", json.dumps({"schema_version": 2, "config_sha256": "0" * 64, "files": files}))
    return folder


def told(folder):
    return json.loads((folder / "commitment.json").read_bytes())["root"]


# --- renaming


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_new_name_is_never_one_that_something_has(each_way, tmp_path, is_folder):
    for name in ("one", "two"):
        put(tmp_path / name / "x", name) if is_folder else put(tmp_path / name, name)
    before = cli.snapshot(tmp_path)
    with pytest.raises(FileExistsError):
        exchange.rename_new(tmp_path / "one", tmp_path / "two")
    assert cli.snapshot(tmp_path) == before
    exchange.rename_new(tmp_path / "one", tmp_path / "three")
    assert sorted(os.listdir(tmp_path)) == ["three", "two"]


def test_an_exchange(tmp_path):
    put(tmp_path / "one/x", "1")
    put(tmp_path / "two", "2")
    exchange.exchange(tmp_path / "one", tmp_path / "two")
    assert cli.snapshot(tmp_path) == {"one": b"2", "two": None, "two/x": b"1"}
    with pytest.raises(FileNotFoundError):
        exchange.exchange(tmp_path / "one", tmp_path / "none")


def test_a_library_without_the_call_is_no_hindrance(tmp_path, monkeypatch):
    """The system call by its number, as with a C library that has no function for it."""
    if sys.platform != "linux":
        return
    real = exchange.ctypes.CDLL(None, use_errno=True)
    monkeypatch.setattr(exchange.ctypes, "CDLL", lambda *_, **__: type("Old", (), {"syscall": real.syscall}))
    call = exchange._linux()
    put(tmp_path / "one", "1")
    put(tmp_path / "two", "2")
    assert call(os.fsencode(tmp_path / "one"), os.fsencode(tmp_path / "two"), True) == 0
    assert (tmp_path / "one").read_text() == "2"


# --- races for a place


@pytest.mark.parametrize("force", [False, True])
def test_what_was_not_there_at_the_start_is_not_replaced(each_way, tmp_path, force):
    def run():
        with new_directory(tmp_path / "out", force=force) as folder:
            put(folder / "x.txt", "mine")
            ours(tmp_path / "out", "theirs")

    with pytest.raises(WriteError, match=r"out was made or changed by another process.*out-2$") as caught:
        run()
    assert not isinstance(caught.value, InputError)
    assert told(tmp_path / "out") == "theirs"
    assert (tmp_path / "out-2/x.txt").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["out", "out-2"]


def test_only_what_stood_there_is_replaced(each_way, tmp_path):
    def run():
        with new_directory(tmp_path / "out", force=True) as folder:
            put(folder / "returns.csv", "mine")
            os.rename(tmp_path / "out", tmp_path / "gone")
            ours(tmp_path / "out", "theirs")

    ours(tmp_path / "out", "old")
    with pytest.raises(WriteError, match="out-2"):
        run()
    assert told(tmp_path / "out") == "theirs"
    assert (tmp_path / "out-2/returns.csv").read_text() == "mine"
    with new_directory(tmp_path / "gone", force=True) as folder:
        put(folder / "returns.csv", "new")
    assert cli.snapshot(tmp_path / "gone") == {"returns.csv": b"new"}


def test_an_empty_folder_that_is_filled_meanwhile_is_kept(each_way, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(WriteError, match="out-2"), new_directory(tmp_path / "out"):
        put(tmp_path / "out" / "thesis.txt", "ten years")
    assert (tmp_path / "out/thesis.txt").read_text() == "ten years"


def test_files_that_another_changed_meanwhile_are_kept(each_way, tmp_path):
    places = [put(tmp_path / "in" / name, "old") for name in ("a", "b", "c")]
    before = {place: hidden.appearance(place) for place in places}
    os.remove(places[1])
    put(places[1], "theirs")
    with pytest.raises(WriteError, match=r"/in/b was made or changed by another process.*/in-2$"):
        install(dict.fromkeys(places, b"mine"), before)
    assert {name: (tmp_path / "in" / name).read_text() for name in "abc"} == {"a": "old", "b": "theirs", "c": "old"}
    assert cli.snapshot(tmp_path / "in-2") == dict.fromkeys("abc", b"mine")
    assert not list(tmp_path.rglob(".*"))


def test_a_change_between_look_and_step_is_seen(tmp_path, monkeypatch):
    """By somebody who knows nothing of the locks: what was exchanged shows it."""
    places = [put(tmp_path / name, "old") for name in ("a", "b")]
    real = exchange.exchange

    def late(source, target):
        if target == places[1]:
            monkeypatch.setattr(exchange, "exchange", real)
            os.remove(target)
            put(target, "theirs, of another length")
        real(source, target)

    monkeypatch.setattr(exchange, "exchange", late)
    with pytest.raises(WriteError, match="b was made or changed"):
        install(dict.fromkeys(places, b"mine"))
    assert [place.read_text() for place in places] == ["old", "theirs, of another length"]


def test_two_processes_with_one_name(world, tmp_path):
    """Both train; one has the name, the other says where its result is."""
    for options in ((), ("--force",)):
        args = ("train", *cli.QUICK, "--out", tmp_path / "a", *options)
        processes = [cli.start(*args, "--seed", seed) for seed in (1, 2)]
        outcomes = [cli.finish(process) for process in processes]
        kept = sorted(path.name for path in tmp_path.iterdir())
        winners = sum(outcome.status == 0 for outcome in outcomes)
        assert {outcome.status for outcome in outcomes} <= {0, 1, 2}, outcomes
        if winners == 1 and any(outcome.status == 1 for outcome in outcomes):
            assert len(kept) > 1
        for name in kept:
            cli.succeed("verify", tmp_path / name)
        if not options:
            assert winners == 1


# --- what is left of others


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
        journal.settle_beside(tmp_path)
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
        journal.settle_beside(tmp_path / "got", said.append)
        assert target.read_text() == "mine"
        assert (tmp_path / "got/streams.json").read_text() == "old"


def test_a_journal_that_was_moved_along_is_completed(tmp_path):
    left_of_a_kill(put(tmp_path / "got/streams.json", "old").parent)
    os.rename(tmp_path / "got", tmp_path / "moved")
    said = []
    journal.settle_beside(tmp_path / "moved", said.append)
    assert cli.snapshot(tmp_path / "moved") == {"streams.json": b"new"}
    assert said == [
        f"completed what an interrupted `{journal._command()}` had begun: {tmp_path / 'moved/streams.json'}"
    ]


def test_what_a_user_changed_after_the_kill_is_kept(tmp_path):
    left_of_a_kill(put(tmp_path / "got/streams.json", "old").parent)
    os.remove(tmp_path / "got/streams.json")
    put(tmp_path / "got/other", "")
    put(tmp_path / "got/streams.json", "the user's")
    said = []
    journal.settle_beside(tmp_path / "got", said.append)
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
    else:  # of an earlier version: what had stepped aside comes back
        put(path / "old/x.in", "0")
        journal.settle_beside(tmp_path / "got", lambda text: None)
        assert cli.snapshot(tmp_path / "got") == {"x.in": b"0"}
        return
    before = cli.snapshot(tmp_path)
    journal.settle_beside(tmp_path / "got", lambda text: None)
    assert cli.snapshot(tmp_path) == before


def test_a_state_folder_that_cannot_be_written_to_is_done_without(tmp_path, monkeypatch):
    put(tmp_path / "file", "")
    monkeypatch.setattr(journal, "state_folders", lambda: [tmp_path / "file" / "open"])
    install({tmp_path / "out" / name: b"1" for name in "ab"})
    assert cli.snapshot(tmp_path / "out") == {"a": b"1", "b": b"1"}
    journal.settle(lambda text: pytest.fail(text))


# --- where outputs may be


@pytest.mark.parametrize("out", ["", ".", "agent/x", "agent/x/y", "agent/../agent/x"])
@pytest.mark.parametrize(
    "command",
    [
        ("train", "--out"), ("backtest", "later.parquet", "--policy", "agent", "--out"),
        ("export", "synthetic", "--to"),
        ("spec", "synthetic", "--kind", "layered", "--out"), ("commit", "synthetic", "--out"),
        ("open", "synthetic", "1", "--out"), ("report", "synthetic", "--out"),
        ("walkforward", "bars.csv", "--train-bars", "60", "--test-bars", "20", "--out"),
        ("workflow", "c.json", "--out"),
        ("prove", "synthetic", "--prover", "zk", "--private", "s", "--out"),
    ],
    ids=lambda command: command[0],
)  # fmt: skip
def test_where_no_output_may_be(world, monkeypatch, tmp_path, command, out):
    for name in ("agent", "synthetic"):
        cli.copy_of(world / name, tmp_path / name)
    put(tmp_path / "c.json", "{}")
    for name in ("later.parquet", "bars.csv"):
        (tmp_path / name).write_bytes((world / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    line = cli.refused(tmp_path, *command, out)
    cli.assert_mentions(line, "expected" if out in ("", ".") else "choose a place outside")


def test_an_artifact_is_no_inputs_folder(world, tmp_path):
    agent = cli.copy_of(world / "agent", tmp_path / "agent")
    cli.assert_mentions(cli.refused(tmp_path, "export", world / "agent", "--to", agent), "choose a place outside")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("verify", ""), "DIR"), (("manifest", ""), "DIR"), (("prove", "", "--prover", "digest"), "DIR"),
        (("tau", "check", ""), "DIR"), (("tau", "run", ""), "DIR"), (("train", "--config", ""), "--config"),
        (("train", "--data", "", "--out", "x"), "--data"), (("verify", "x", "--data", ""), "--data"),
        (("compare", "", "x"), "A"), (("layers", ""), "PLAN"),
    ],
)  # fmt: skip
def test_an_empty_path_is_a_usage_error(tmp_path, monkeypatch, command, name):
    monkeypatch.chdir(tmp_path)
    cli.assert_mentions(cli.refused(tmp_path, *command), f"error: {name} is empty; expected a path")


def test_the_package_runs_as_a_module():
    command = [sys.executable, "-m", "idi_fast", "verify", ""]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: DIR is empty; expected a path\n")
    for argument in ("--help", "--version"):
        done = subprocess.run([*command[:3], argument], capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stdout) == (0, cli.run(argument).stdout)


# --- full disks


@pytest.mark.parametrize("command", [("prove", "--prover", "digest"), ("manifest", "--idi-manifest")])
def test_a_disk_that_is_full(world, tmp_path, command):
    agent = cli.copy_of(world / "agent", tmp_path / "agent")
    before = cli.snapshot(tmp_path)
    outcomes = cli.run_batch([(size, (command[0], agent, *command[1:])) for size in (0, 20, 1000)])
    assert len(outcomes) == 3
    for outcome in outcomes:
        assert (outcome.status, outcome.stdout, outcome.stderr.count("\n")) == (1, "", 1)
        cli.assert_mentions(outcome.stderr, "error: cannot write", "File too large", "nothing there was changed")
    assert cli.snapshot(tmp_path) == before


def test_a_disk_that_takes_a_hidden_folder_and_no_lock_in_it(tmp_path, monkeypatch):
    real = os.open

    def full(path, *args, **kwargs):
        if os.path.basename(path) == hidden.LOCK:
            raise cli.FULL
        return real(path, *args, **kwargs)

    monkeypatch.setattr("os.open", full)
    with pytest.raises(WriteError, match="No space left"), new_directory(tmp_path / "out"):
        pass
    assert os.listdir(tmp_path) == []


def test_an_output_of_a_broken_name_is_the_user_s(tmp_path):
    with pytest.raises(OutputError, match="File name too long"), new_directory(tmp_path / ("n" * 300)):
        pass
    assert os.listdir(tmp_path) == []


def test_a_file_put_into_the_old_output_meanwhile_is_kept(each_way, tmp_path):
    def run():
        with new_directory(tmp_path / "out", force=True) as folder:
            put(folder / "x.txt", "mine")
            put(tmp_path / "out/thesis.txt", "ten years")

    ours(tmp_path / "out", "old")
    with pytest.raises(WriteError, match="out-2"):
        run()
    assert cli.snapshot(tmp_path / "out-2") == {"x.txt": b"mine"}
    assert (tmp_path / "out/thesis.txt").read_text() == "ten years"
    assert told(tmp_path / "out") == "old"
