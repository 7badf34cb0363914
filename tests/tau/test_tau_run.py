"""`tau run`: an interpreter's outputs are compared with the simulation, and its exit code is not trusted."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest
from cli_helpers import FULL, failing_rename, finish, snapshot, start
from tau_folders import RECORDED, fake_tau, make_folder, oracle_outputs, recorded_folder, still_alive
from tau_specs import V38

from idi_fast.errors import InputError, OutputError, WriteError
from idi_fast.storage import hidden
from idi_fast.tau.formula import NotModelled
from idi_fast.tau.run import Run, run_folder
from idi_fast.tau.run_process import find_interpreter
from idi_fast.tau.spec import load_spec

NAME = "mixed_lookback_aligned"


@pytest.fixture(autouse=True)
def _no_interpreter(monkeypatch):
    monkeypatch.delenv("TAU", raising=False)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A sound folder with the outputs of an earlier run."""
    folder = recorded_folder(tmp_path / "agent", NAME)
    (folder / "outputs/twice.out").write_text("7\n")
    (folder / "outputs/notes.txt").write_text("mine")
    return folder


def right(folder: Path) -> dict[str, str]:
    return oracle_outputs(load_spec(folder / "agent.tau"), folder)


def run_fake(folder: Path, mode: str, **options) -> Run:
    """Run a folder by an interpreter of some kind; nothing but the outputs may change in it."""
    script = fake_tau(folder.parent / "bin", mode, right(folder))
    before = snapshot(folder)
    result = run_folder(folder, str(script), **options)
    after = snapshot(folder)
    written = {output.path for output in result.outputs} if not result.failures else set()
    assert {name: data for name, data in after.items() if name not in written} == {
        name: data for name, data in before.items() if name not in written
    }
    assert (result.by, result.interpreter) == ("interpreter", str(script))
    json.dumps(result.as_dict())
    return result


def test_a_right_interpreter(folder):
    seen = []
    result = run_fake(folder, "right", progress=lambda done, total: seen.append((done, total)))
    assert (result.ok, result.failures, result.steps, result.outcome.code) == (True, (), 24, 0)
    assert {output.path: (folder / output.path).read_text() for output in result.outputs} == right(folder)
    assert all(total == 24 for _, total in seen)


def test_progress_is_that_of_the_growing_file(folder):
    seen = []
    assert run_fake(folder, "slow", progress=lambda done, total: seen.append((done, total))).ok
    assert seen[-1] == (24, 24)


def pids_of(script: Path, process: subprocess.Popen) -> list[int]:
    """The processes of an interpreter that a command has started, once they run."""
    file, deadline = script.parent / "pids.json", time.monotonic() + 60
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    return json.loads(file.read_text())


FAILURES = {
    "error": ["the interpreter said: (Error) something is wrong"],
    "coloured": ["the interpreter said: (Error) something is wrong"],
    "exit 1": [
        "the interpreter ended with exit code 1",
        "outputs/twice.out, outputs/up_mirror.out, outputs/gate_mirror.out were not written",
    ],
    "short": ["outputs/gate_mirror.out has 7 lines; expected 24"],
    "long": ["outputs/gate_mirror.out has 25 lines; expected 24"],
    "nothing": ["outputs/twice.out, outputs/up_mirror.out, outputs/gate_mirror.out were not written"],
    "killed": ["the interpreter was killed by signal 9"],
    "garbage": ["outputs/gate_mirror.out has 10 lines; expected 24"],
}


@pytest.mark.parametrize("mode", FAILURES)
def test_failed_runs_leave_the_folder_as_it_was(mode, folder):
    result = run_fake(folder, mode)
    assert [failure for failure in result.failures if failure in FAILURES[mode]] == FAILURES[mode], result.failures
    assert sum("not written" in failure for failure in result.failures) <= 1
    assert not result.ok
    assert (folder / "outputs/twice.out").read_text() == "7\n"
    wrong = ("(Error) something is wrong",)
    said = {"error": wrong, "coloured": wrong, "exit 1": ("the specification is refused",)}
    assert result.outcome.said == said.get(mode, ())


def test_a_wrong_value_is_found(folder):
    result = run_fake(folder, "wrong")
    assert (result.ok, result.failures) == (False, ())
    (output,) = result.differences
    difference = output.from_simulation
    assert (output.path, difference.line, difference.step, difference.begin) == ("outputs/gate_mirror.out", 6, 5, 3)
    lines = right(folder)[output.path].split()
    assert difference.expected == tuple(lines[2:9])
    assert difference.found == (*lines[2:5], "0", *lines[6:9])
    assert (folder / output.path).read_text().split() == [*lines[:5], "0", *lines[6:]]


def test_a_hanging_interpreter_is_killed_with_what_it_started(folder):
    begun = time.monotonic()
    result = run_fake(folder, "hang", timeout=1.0)
    assert time.monotonic() - begun < 30
    assert result.failures[0] == (
        "the interpreter was stopped after 1 s, which is the timeout: it may need longer (`timeout=SECONDS`), or hang, "
        "as it does on some specifications"
    )
    assert "outputs/gate_mirror.out has 7 lines; expected 24" in result.failures
    pids = json.loads((folder.parent / "bin/pids.json").read_text())
    assert still_alive(pids) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_leaves_nothing_behind(number, folder):
    script = fake_tau(folder.parent / "bin", "hang", right(folder))
    before = snapshot(folder)
    process = start("tau", "run", folder, "--tau", script)
    pids = pids_of(script, process)
    process.send_signal(number)
    status, stdout, stderr = finish(process)
    assert (status, stdout) == (128 + number, "")
    assert "interrupted; the outputs are unchanged" in stderr
    assert snapshot(folder) == before
    assert still_alive(pids) == []


def test_a_second_interrupt_kills_what_does_not_end(folder):
    script = fake_tau(folder.parent / "bin", "stubborn", right(folder))
    before = snapshot(folder)
    process = start("tau", "run", folder, "--tau", script)
    pids = pids_of(script, process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)  # of the two seconds that the interpreter has
    process.send_signal(signal.SIGINT)
    status, _, stderr = finish(process)
    assert (status, "the outputs are unchanged" in stderr) == (130, True)
    assert still_alive(pids) == []
    assert snapshot(folder) == before


def test_what_a_sound_interpreter_leaves_running_is_ended(folder):
    assert run_fake(folder, "daemon").ok
    pids = json.loads((folder.parent / "bin/pids.json").read_text())
    assert still_alive(pids) == []


def test_letters_are_wrong_whoever_runs_them(tmp_path):
    folder = recorded_folder(tmp_path / "a", "sbf_word_true")
    outputs = {f"outputs/{name}": text for name, text in RECORDED["sbf_word_true"]["outputs"].items()}
    by_interpreter = run_folder(folder, str(fake_tau(tmp_path / "bin", "right", outputs)), check=False)
    assert by_interpreter.outcome.code == 0
    assert by_interpreter.failures == run_folder(folder, check=False).failures
    assert "treats the letters as free variables" in by_interpreter.failures[0]
    assert list((folder / "outputs").iterdir()) == []


def test_a_folder_in_an_outputs_place_keeps_what_it_holds(folder):
    (folder / "outputs/twice.out").unlink()
    (folder / "outputs/twice.out").mkdir()
    (folder / "outputs/twice.out/mine.txt").write_text("mine")
    before = snapshot(folder)
    with pytest.raises(OutputError, match=r"twice\.out is a folder where a file must go"):
        run_folder(folder, check=False)
    assert snapshot(folder) == before


def test_expected_files_of_no_output(folder):
    (folder / "expected").mkdir()
    for path, text in right(folder).items():
        (folder / "expected" / Path(path).name).write_text(text)
    (folder / "expected/.gitkeep").write_text("")
    assert run_folder(folder).ok
    (folder / "expected/gone.out").write_text("1\n")
    result = run_folder(folder)
    assert (result.ok, result.differences, result.unmatched) == (False, (), ("expected/gone.out",))


def test_a_relative_folder_that_cannot_be_written_to(folder, monkeypatch):
    script = fake_tau(folder.parent / "bin", "right", right(folder))
    monkeypatch.chdir(folder.parent)
    denied = PermissionError(errno.EACCES, "Permission denied", f"{folder.name}/.idi-fast-x")
    with mock.patch.object(hidden, "make", side_effect=denied), pytest.raises(OutputError, match="cannot write"):
        run_folder(folder.name, str(script))


def test_without_an_interpreter_it_is_simulated(folder):
    result = run_folder(folder)
    assert (result.by, result.ok, result.interpreter, result.outcome) == ("simulation", True, None, None)
    assert {output.path: (folder / output.path).read_text() for output in result.outputs} == right(folder)
    assert (folder / "outputs/notes.txt").read_text() == "mine"


def test_an_agent_is_simulated_as_the_oracle_runs_it(tmp_path):
    files = {s.path: "".join(f"{t * k % 7 % 2}\n" for t in range(40)) for k, s in enumerate(V38.inputs, start=1)}
    folder = make_folder(tmp_path, str(V38), files)
    assert run_folder(folder).ok
    assert {s.path: (folder / s.path).read_text() for s in V38.outputs} == oracle_outputs(V38, folder)


@pytest.mark.parametrize("mode", ["simulated", "right", "wrong"])
def test_what_is_expected_is_compared_too(mode, folder):
    (folder / "expected").mkdir()
    for path, text in right(folder).items():
        (folder / "expected" / Path(path).name).write_bytes(text.replace("\n", "\r\n").encode())
    run = run_folder if mode == "simulated" else lambda place: run_fake(place, mode)
    result = run(folder)
    assert (result.compared, result.ok) == (True, mode != "wrong")
    if mode == "wrong":
        assert result.differences[0].from_expected == result.differences[0].from_simulation
    (folder / "expected/twice.out").write_text("0\n" * 23)
    (folder / "expected/up_mirror.out").unlink()
    differing = {output.path: output.from_expected for output in run(folder).outputs}
    assert differing["outputs/twice.out"].line == right(folder)["outputs/twice.out"].split().index("1") + 1
    assert differing["outputs/up_mirror.out"].expected == (None,) * 4


def test_a_folder_with_errors_is_not_run(tmp_path):
    folder = recorded_folder(tmp_path / "agent", "holding_unmirrored")
    script = fake_tau(tmp_path / "bin", "right", right(folder))
    before = snapshot(folder)
    result = run_folder(folder, str(script))
    assert (result.by, result.failures, result.ok) == ("nothing", ("the check finds 2 errors",), False)
    assert [f.code for f in result.check.errors] == ["unmirrored", "unmirrored"]
    assert snapshot(folder) == before
    unchecked = run_folder(folder, str(script), check=False)
    assert (unchecked.check, unchecked.ok, unchecked.steps) == (None, True, 46)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends a child with its parent")
def test_the_interpreter_ends_with_a_killed_parent(folder):
    script = fake_tau(folder.parent / "bin", "hang", right(folder))
    process = start("tau", "run", folder, "--tau", script)
    pids = pids_of(script, process)
    process.kill()
    process.communicate()
    assert still_alive(pids[:1]) == []
    os.kill(pids[1], signal.SIGKILL)  # what the interpreter itself started is its own affair


def test_a_specification_that_is_not_modelled_runs_all_the_same(folder):
    """Its outputs are held against expected/ alone."""
    expected = right(folder)
    text = (folder / "agent.tau").read_text()
    (folder / "agent.tau").write_text(text.rstrip() + " && (all x x = x)\n")
    with pytest.raises(NotModelled, match="found 'all'"):
        run_folder(folder)
    script = fake_tau(folder.parent / "bin", "right", expected)
    result = run_folder(folder, str(script))
    assert (result.ok, result.simulated, result.steps, result.compared) == (True, False, 24, False)
    assert [f.code for f in result.check.findings if f.severity != "note"] == ["not-modelled"]
    assert {output.path: (folder / output.path).read_text() for output in result.outputs} == expected
    (folder / "expected").mkdir()
    for path, lines in expected.items():
        (folder / "expected" / Path(path).name).write_text(lines)
    assert run_folder(folder, str(script)).ok
    result = run_folder(folder, str(fake_tau(folder.parent / "wrong", "wrong", expected)))
    assert [output.path for output in result.differences] == ["outputs/gate_mirror.out"]
    assert run_folder(folder, str(fake_tau(folder.parent / "short", "short", expected))).failures == (
        "outputs/gate_mirror.out has 7 lines; expected 24",
    )


def test_unchecked_runs_that_cannot_be_sound(tmp_path):
    folder = recorded_folder(tmp_path / "a", "missing_file")
    result = run_folder(folder, check=False)
    assert result.failures == ("inputs/nope.in is missing, the file of i1",)
    assert list((folder / "outputs").iterdir()) == []
    (folder / "outputs").rmdir()
    with pytest.raises(InputError, match="the interpreter does not make it"):
        run_folder(folder, check=False)
    folder = make_folder(tmp_path / "b", 'o1:sbf := out file("outputs/a").\n(o1[t] = o1[t])', {})
    with pytest.raises(NotModelled, match="the clauses say nothing"):
        run_folder(folder)
    outside = 'i1:sbf := in file("a").\no1:sbf := out file("../a.out").\n(o1[t] = i1[t])'
    with pytest.raises(InputError, match=r"o1 is '\.\./a\.out'; a run reads and writes within the folder"):
        run_folder(make_folder(tmp_path / "c", outside, {"a": "1\n"}))


def test_outputs_appear_all_or_none(folder):
    before = snapshot(folder)
    with failing_rename(FULL, first=2, last=2), pytest.raises(WriteError, match="No space left"):
        run_folder(folder)
    assert snapshot(folder) == before


def test_which_interpreter(tmp_path, monkeypatch):
    assert find_interpreter(None) is None
    script = fake_tau(tmp_path / "bin", "right", {})
    monkeypatch.setenv("PATH", str(script.parent))
    assert find_interpreter(None) is None  # other programs are called tau too
    assert find_interpreter("tau") == script
    monkeypatch.setenv("TAU", str(script))
    assert find_interpreter(None) == script
    monkeypatch.chdir(tmp_path)
    assert find_interpreter("bin/tau") == script
    with pytest.raises(InputError, match=r"`tau` is 'nowhere', which does not exist"):
        find_interpreter("nowhere")
    with pytest.raises(InputError, match=r"`tau` is '', which does not exist"):
        find_interpreter("")  # the variable is not asked instead
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"`tau` is '~/bin/answers\.json', which is not a program"):
        find_interpreter("~/bin/answers.json")
    script.chmod(0o644)
    with pytest.raises(InputError, match=r"TAU is .* which is not a program that can be run"):
        find_interpreter(None)


def test_a_program_that_cannot_be_started(folder):
    script = folder.parent / "tau"
    script.write_bytes(b"\x7fELF nonsense")
    script.chmod(0o755)
    before = snapshot(folder)
    with pytest.raises(InputError, match="cannot run"):
        run_folder(folder, str(script))
    assert snapshot(folder) == before
    for timeout in (0, -1, float("nan")):
        with pytest.raises(InputError, match="expected seconds above 0"):
            run_folder(folder, timeout=timeout)
