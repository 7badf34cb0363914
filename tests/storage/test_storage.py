"""Outputs appear whole or not at all, replace nothing unasked, and are only where they may be."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import cli_helpers as cli
import pytest
from small_outputs import ours, put, told

from idi_fast.errors import InputError, OutputError, WriteError
from idi_fast.evidence.private import private_folder
from idi_fast.file_lock import lock
from idi_fast.storage import exchange, hidden
from idi_fast.storage.failures import explained
from idi_fast.storage.files import new_directory
from idi_fast.storage.json_files import UnfitFile, read_regular
from idi_fast.storage.staging import install


@pytest.fixture(params=["system", "steps"])
def each_way(request, monkeypatch):
    """With the system's call, and as where there is none."""
    if request.param == "steps":
        monkeypatch.setattr(exchange, "_native", lambda: None)
    return request.param


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


@pytest.mark.parametrize("how", ["changed", "removed", "added below", "a link"])
def test_an_output_that_is_no_longer_what_it_was_is_kept(each_way, tmp_path, how):
    def run():
        with new_directory(tmp_path / "out", force=True) as folder:
            put(folder / "x.txt", "mine")
            if how == "changed":  # in place, with the manifest as it was
                text = (tmp_path / "out/commitment.json").read_text()
                (tmp_path / "out/commitment.json").write_text(f"{text}\n")
            elif how == "removed":
                (tmp_path / "out/commitment.json").unlink()
            elif how == "added below":
                put(tmp_path / "out/notes/thesis.txt", "ten years")
            else:
                cli.link(tmp_path / "out/there", tmp_path)
            before.update(cli.snapshot(tmp_path / "out"))

    before = {}
    ours(tmp_path / "out", "old")
    with pytest.raises(WriteError, match=r"out was made or changed by another process.*out-2$"):
        run()
    assert cli.snapshot(tmp_path / "out") == before
    assert cli.snapshot(tmp_path / "out-2") == {"x.txt": b"mine"}
    assert sorted(os.listdir(tmp_path)) == ["out", "out-2"]


def test_a_change_in_a_folder_between_look_and_exchange_is_seen(tmp_path, monkeypatch):
    real = exchange.exchange

    def late(source, target):
        monkeypatch.setattr(exchange, "exchange", real)
        put(tmp_path / "out/thesis.txt", "ten years")
        real(source, target)

    def run():
        with new_directory(tmp_path / "out", force=True) as folder:
            put(folder / "x.txt", "mine")

    ours(tmp_path / "out", "old")
    monkeypatch.setattr(exchange, "exchange", late)
    with pytest.raises(WriteError, match=r"out-2$"):
        run()
    assert (told(tmp_path / "out"), (tmp_path / "out/thesis.txt").read_text()) == ("old", "ten years")
    assert cli.snapshot(tmp_path / "out-2") == {"x.txt": b"mine"}


def test_a_place_that_is_taken_between_two_renames(tmp_path, monkeypatch):
    """What is new and the old content are both kept, and both told."""
    real = os.rename

    def late(source, target):
        real(source, target)
        if os.fspath(source) == str(tmp_path / "out"):
            put(tmp_path / "out/thesis.txt", "theirs")

    def run():
        with new_directory(tmp_path / "out", force=True) as folder:
            put(folder / "x.txt", "mine")

    ours(tmp_path / "out", "old")
    monkeypatch.setattr(exchange, "_native", lambda: None)
    monkeypatch.setattr("os.rename", late)
    with pytest.raises(WriteError, match=r"what was made here is in .*out-3, and the old content in .*out-2$"):
        run()
    assert cli.snapshot(tmp_path / "out") == {"thesis.txt": b"theirs"}
    assert cli.snapshot(tmp_path / "out-3") == {"x.txt": b"mine"}
    assert told(tmp_path / "out-2") == "old"
    assert sorted(os.listdir(tmp_path)) == ["out", "out-2", "out-3"]


@pytest.mark.parametrize("failures", [1, 2])
def test_no_folder_in_which_a_part_was_made_stays_in_an_output(tmp_path, monkeypatch, failures):
    real, failed = os.rmdir, []

    def rmdir(path, **options):
        if Path(path).parent.name == "out" and len(failed) < failures:
            failed.append(path)
            raise OSError(errno.EIO, os.strerror(errno.EIO), os.fspath(path))
        real(path, **options)

    def run():
        with new_directory(tmp_path / "out", force=True) as folder:
            install({folder / "x.txt": b"mine"})

    ours(tmp_path / "out", "old")
    monkeypatch.setattr("os.rmdir", rmdir)
    if failures == 1:
        run()
        assert cli.snapshot(tmp_path) == {"out": None, "out/x.txt": b"mine"}
    else:
        with pytest.raises(WriteError, match="everything is unchanged"):
            run()
        assert told(tmp_path / "out") == "old"
    assert len(failed) == failures


@pytest.mark.skipif(os.name == "nt", reason="folders have no locks")
def test_a_result_is_kept_where_another_holds_the_folder(tmp_path, monkeypatch):
    def run():
        with new_directory(tmp_path / "out") as folder:
            put(folder / "x.txt", "mine")
            handles.append(os.open(tmp_path, os.O_RDONLY))
            assert lock(handles[0])

    handles = []
    monkeypatch.setattr("idi_fast.storage.staging.PATIENCE", 0.0)
    with pytest.raises(WriteError, match=r"another process holds .*; what was made here is in .*out-2$"):
        run()
    os.close(handles[0])
    assert cli.snapshot(tmp_path) == {"out-2": None, "out-2/x.txt": b"mine"}


def test_a_folder_on_the_way_that_another_makes_meanwhile_is_his(tmp_path, monkeypatch):
    real = os.mkdir

    def faster(path, *args, **kwargs):
        if os.path.basename(path) == "theirs":
            real(path)
        real(path, *args, **kwargs)

    def run():
        with new_directory(tmp_path / "theirs/mine/out"):
            raise KeyboardInterrupt

    monkeypatch.setattr("os.mkdir", faster)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert cli.snapshot(tmp_path) == {"theirs": None}


# --- where outputs may be


@pytest.mark.parametrize("out", ["", ".", "agent/x", "agent/x/y", "agent/../agent/x"])
@pytest.mark.parametrize(
    "command",
    [
        ("train", "--out"),
        ("backtest", "later.parquet", "--policy", "agent", "--out"),
        ("export", "synthetic", "--to"),
        ("spec", "synthetic", "--kind", "layered", "--out"),
        ("commit", "synthetic", "--out"),
        ("open", "synthetic", "1", "--out"),
        ("report", "synthetic", "--out"),
        ("walkforward", "bars.csv", "--train-bars", "60", "--test-bars", "20", "--out"),
        ("workflow", "c.json", "--out"),
        ("prove", "synthetic", "--prover", "zk", "--private", "s", "--out"),
    ],
    ids=lambda command: command[0],
)
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
        (("verify", ""), "DIR"),
        (("manifest", ""), "DIR"),
        (("prove", "", "--prover", "digest"), "DIR"),
        (("tau", "check", ""), "DIR"),
        (("tau", "run", ""), "DIR"),
        (("train", "--config", ""), "--config"),
        (("train", "--data", "", "--out", "x"), "--data"),
        (("verify", "x", "--data", ""), "--data"),
        (("compare", "", "x"), "A"),
        (("layers", ""), "PLAN"),
    ],
)
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


def test_an_input_that_is_missing_beside_the_output_is_no_failure_to_write(tmp_path):
    for name in ("bars.csv", "out.csv", "o"):
        with pytest.raises(FileNotFoundError), new_directory(tmp_path / "out"):
            (tmp_path / name).read_bytes()
    assert os.listdir(tmp_path) == []
    for name in ("out", "out/x", "out.checkpoint/rewards.f8", ".idi-fast-0123456789ab/new/out/x"):
        with pytest.raises(OutputError, match=r"cannot write .*/out: Is a directory"), explained(tmp_path / "out"):
            raise IsADirectoryError(21, "Is a directory", str(tmp_path / name))


def test_an_input_that_is_too_long_is_no_full_disk(tmp_path):
    put(tmp_path / "config.json", "{}")
    path = tmp_path / "config.json"
    with pytest.raises(UnfitFile, match=r"config.json has 2 bytes; expected at most 1") as caught, explained(path):
        read_regular(path, 1)
    assert isinstance(caught.value, InputError)


def test_no_room_for_a_folder_of_secrets(tmp_path, monkeypatch):
    def full(path, *args, **kwargs):
        raise OSError(28, "No space left on device", os.fspath(path))

    monkeypatch.setattr("os.makedirs", full)
    with pytest.raises(WriteError, match=r"cannot write .*secrets: No space left"):
        private_folder(tmp_path / "secrets", ())


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
