"""The commands as processes: terminals, pipes, interrupts."""

import errno
import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_helpers import (
    NOTICE,
    QUICK,
    assert_mentions,
    copy_of,
    finish,
    one_object,
    run,
    snapshot,
    start,
)

import idi_fast


def test_the_package_is_whole_from_the_top_of_a_checkout():
    """There Python finds the folder idi_fast first, in which kernels, cli and bench are not."""
    top = Path(__file__).parents[2]
    code = "import idi_fast; from idi_fast import bench, cli, kernels; print(idi_fast.__file__)"
    found = subprocess.run([sys.executable, "-c", code], cwd=top, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(top / "idi_fast" / "__init__.py")


def test_a_command_that_compiles_says_why_it_takes_time(world, tmp_path):
    env = {"IDI_FAST_CACHE_DIR": str(tmp_path / "cache"), "NUMBA_DISABLE_JIT": "0"}
    # A seed that is refused ends the command before anything is compiled.
    process = start("train", "--out", tmp_path / "a", "--seed", -5, env=env)
    assert process.communicate(timeout=60)[1].count("\n") == process.returncode - 1 == 1
    for name, told in (("a", True), ("b", False)):
        process = start("commit", world / "agent", "--out", tmp_path / name, env=env)
        _, stderr = process.communicate(timeout=120)
        assert (process.returncode, stderr.startswith(NOTICE)) == (0, told)


def test_without_the_jit_nothing_is_compiled_and_nothing_warns(tmp_path):
    """Generators wrap round, of which NumPy's numbers would warn."""
    env = {"IDI_FAST_CACHE_DIR": str(tmp_path / "cache"), "NUMBA_DISABLE_JIT": "1"}
    args = ("--episodes", 1, "--episode-length", 10, "--seed", 7)
    plain, compiled = (start("train", *args, "--out", tmp_path / name, env=env if name == "a" else {}) for name in "ab")
    status, _, stderr = finish(plain)
    assert (status, stderr) == (0, "")
    assert finish(compiled)[0] == 0
    assert (tmp_path / "a" / "policy.parquet").read_bytes() == (tmp_path / "b" / "policy.parquet").read_bytes()


def test_ctrl_c_leaves_nothing_behind(world, tmp_path):
    old = copy_of(world / "agent", tmp_path / "old")
    before = snapshot(tmp_path)
    process = start("train", "--out", old, "--force", "--episodes", 10**9)
    patience = time.monotonic() + 60
    while len(os.listdir(tmp_path)) < 2 and time.monotonic() < patience:  # until the run has begun to write
        time.sleep(0.02)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    assert finish(process) == (130, "", "interrupted; nothing was written\n")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("args", [["--help"], ["train", "--print-config"], ["train", "--out", "a", *QUICK]])
def test_a_broken_pipe_is_quiet(args, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    process = start(*args, stdout=writing, cwd=tmp_path)
    os.close(writing)
    assert finish(process) == (1, "", "")
    assert ("a" in os.listdir(tmp_path)) == ("--out" in args)


def test_a_full_stdout_is_said_to_be_full():
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    status, stdout, stderr = run("train", "--print-config", stdout=Full())
    assert (status, stdout, stderr.count("\n")) == (1, "", 1)
    assert_mentions(stderr, "error: ", "No space left on device")
    assert "internal error" not in stderr


def test_progress_goes_to_the_terminal_and_results_to_stdout(tmp_path):
    ours, theirs = pty.openpty()
    process = start(
        "train", "--out", tmp_path / "a", "--episodes", 3000, "--json", stderr=theirs, env={"TERM": "xterm"}
    )
    os.close(theirs)
    stdout, _ = process.communicate(timeout=120)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert (process.returncode, one_object(stdout)["episodes"]) == (0, 3000)
    assert_mentions(shown, "training", "M steps/s")


def test_a_terminal_without_emoji_gets_json_all_the_same():
    env = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}
    process = start("train", "--print-config", env=env, encoding="latin-1")
    status, stdout, stderr = finish(process)
    assert (status, stderr) == (0, "")
    assert json.loads(stdout)["emote"]["palette"]["0"] == "🙂 steady"


def test_debug_shows_the_traceback_of_the_same_failure():
    status, stdout, stderr = finish(start("--debug", "train", "--config", "no such file.json"))
    assert (status, stdout, "Traceback" in stderr, "no such file.json" in stderr) == (2, "", True, True)


def test_the_installed_command_is_the_same():
    script = shutil.which("idi-fast", path=str(Path(sys.executable).parent))
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"idi-fast {idi_fast.__version__}\n", "")
