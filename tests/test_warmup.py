"""Compiling ahead: what it covers, that it ends, and that it says what went wrong."""

import json
import os
import re
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import cli_helpers as cli
import numba
import pytest
from test_kernels_twins import MODULES, kernel_names

import idi_fast
from idi_fast import child_process, warmup
from idi_fast.cli import console
from idi_fast.config.settings import TrainingConfig
from idi_fast.errors import IdiFastError, InputError
from idi_fast.kernels import methods

# Without the JIT kernels are Python functions, whose calls can be seen; where they are compiled, a cache hides them.
WHAT_RUNS = """
import sys
import threading
from pathlib import Path
from idi_fast import kernels, warmup
from idi_fast.environments import environment, rng

environment.CALIBRATION_BARS = 500
rng.MersenneTwister.__init__.__defaults__ = (624 * 2,)
seen = set()

def note(frame, event, argument):
    if event == "call":
        seen.add(f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}")

warmup._every = lambda tables, **blocks: warmup._learner("synthetic", **blocks)
sys.setprofile(note)
threading.setprofile(note)  # of lanes
for job in warmup.JOBS.values():
    job()
sys.setprofile(None)
print("\\n".join(seen))
"""


def test_jobs_use_every_kernel_that_the_library_calls():
    command, env = [sys.executable, "-c", WHAT_RUNS], {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    folder = Path(idi_fast.__file__).parent
    others = [path for path in folder.rglob("*.py") if not {"kernels", "bench"} & set(path.relative_to(folder).parts)]
    words = set(re.findall(r"(?<!def )\b\w+(?=\()", "\n".join(path.read_text() for path in others)))
    kernels = {
        f"{name}.{kernel}" for name in MODULES for kernel in kernel_names(import_module(f"idi_fast.kernels.{name}"))
    }
    called = {kernel for kernel in kernels if kernel.partition(".")[2] in words}
    assert len(called) > 30
    assert called - set(done.stdout.split()) == set()


def test_a_job_that_is_unknown_is_refused():
    with pytest.raises(InputError, match="there is no job 'lunch'; expected some of history, "):
        warmup.warmup(["evidence", "lunch"])


def test_jobs_are_done_by_processes_and_counted():
    done = []
    warmup.warmup(["evidence", "account"], processes=2, progress=lambda *counts: done.append(counts))
    assert done[-1] == (2, 2)
    assert done == sorted(done)


def test_a_job_that_fails_is_named():
    worker = warmup._Worker()
    try:
        with pytest.raises(IdiFastError, match=r"the kernels of 'lunch' could not be compiled: KeyError: 'lunch'"):
            worker.do("lunch")
        worker.do("evidence")  # it goes on
        worker.cancel()
        worker.process.wait(timeout=60)
        with pytest.raises(IdiFastError, match="cancelled in compiling 'evidence'"):
            worker.do("evidence")
    finally:
        worker.close()


def test_a_worker_ends_when_it_is_told_to():
    worker = warmup._Worker(answers=False)
    worker.ask(["evidence", ""])
    assert worker.process.wait(timeout=120) == 0
    worker.close()


ORPHAN = """
import os
from idi_fast import warmup
print(warmup._Worker().process.pid, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(not Path("/proc").exists(), reason="/proc tells whether a process lives")
def test_a_worker_ends_with_its_parent_however_that_ends():
    done = subprocess.run([sys.executable, "-c", ORPHAN], capture_output=True, text=True, check=False, timeout=120)
    patience = time.monotonic() + 60
    while Path(f"/proc/{done.stdout.strip()}").exists() and time.monotonic() < patience:
        time.sleep(0.02)
    assert time.monotonic() < patience


def test_a_worker_imports_nothing_from_the_working_directory(tmp_path):
    for name in ("json.py", "queue.py", "numpy.py"):
        (tmp_path / name).write_text("import os\nopen('ran', 'w').close()\nos._exit(0)\n")
    code = "import sys; from idi_fast import warmup; sys.path.insert(0, ''); warmup.warmup(['evidence'])"
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "ran").exists()


def test_where_no_process_can_be_started_a_command_goes_on(monkeypatch):
    monkeypatch.setattr(warmup, "_ahead", [])
    monkeypatch.setenv(child_process.PYTHON, "/nowhere/python")
    warmup.compile_ahead(["evidence"])
    assert warmup._ahead == []
    with pytest.raises(IdiFastError, match="cannot start a process to compile kernels: No such file"):
        warmup.warmup(["evidence"])


def test_every_kernel_of_a_table_has_the_signature_of_one(monkeypatch):
    few = {key: methods.KERNELS[key] for key in ((methods.Q_LAMBDA, 1, 4), (methods.Q_LEARNING, 1, 4))}
    monkeypatch.setattr(methods, "KERNELS", few)
    warmup._every("method", learning={"algorithm": "q_lambda"})
    assert [len(kernel.signatures) for kernel in few.values()] == [1, 1]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [("IS_COMPILED", False, "NUMBA_DISABLE_JIT is set"), ("CACHE_FOLDER", None, "no folder")],
)
def test_where_nothing_can_be_kept_nothing_is_compiled(name, value, reason, monkeypatch):
    monkeypatch.setattr(warmup, name, value)
    with pytest.raises(InputError, match=reason):
        warmup.warmup()
    monkeypatch.setattr(warmup, "_ahead", [])
    warmup.compile_ahead(["evidence"])
    assert warmup._ahead == []


def test_the_command(monkeypatch):
    monkeypatch.setattr(warmup, "JOBS", {"evidence": warmup.JOBS["evidence"]})
    printed = cli.succeed("warmup", "--json").stdout
    assert {"schema_version", "folder", "bytes", "seconds"} == json.loads(printed).keys()
    assert json.loads(printed)["bytes"] > 0
    rows = dict(line.split(maxsplit=1) for line in cli.succeed("warmup").stdout.splitlines())
    assert rows.keys() == {"folder", "size", "seconds"}


def test_a_command_that_compiles_has_a_process_compile_what_it_needs_last(monkeypatch, capsys):
    begun = []
    monkeypatch.setattr(warmup, "compile_ahead", begun.append)
    console.tell_of_compilation(console.learning_jobs(TrainingConfig()))
    assert begun == []
    numba.njit(lambda: 0)()
    assert begun == [("synthetic learner",)]
    assert "compiling kernels" in capsys.readouterr().err
    numba.njit(lambda: 1)()
    assert len(begun) == 1


@pytest.mark.parametrize(
    ("settings", "jobs"),
    [
        ({"environment": {"kind": "crypto"}}, ("market learner",)),
        ({"learning": {"algorithm": "q_lambda"}}, ()),
        ({"tile_coder": {"table_size": 100}}, ()),
        ({"engine": {"compat": "idi_iann"}}, ()),
    ],
)
def test_no_kernel_is_compiled_ahead_that_the_command_does_not_use(settings, jobs):
    assert console.learning_jobs(TrainingConfig.from_dict(settings)) == jobs
    assert set(jobs) <= warmup.JOBS.keys()
