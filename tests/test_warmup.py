"""Compiling ahead: what it covers, that it ends, and that it says what went wrong."""

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import cli_helpers as cli
import numba
import pytest
from test_kernels_twins import MODULES, kernel_names

import idi_fast
from idi_fast import warmup
from idi_fast.cli import console
from idi_fast.config.settings import TrainingConfig
from idi_fast.errors import IdiFastError, InputError

# Without the JIT kernels are Python functions, whose calls can be seen; where they are compiled, a cache hides them.
WHAT_RUNS = """
import sys
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


def test_jobs_are_done_by_processes_and_counted(monkeypatch):
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
        with pytest.raises(IdiFastError, match="cancelled in compiling 'evidence'"):
            worker.do("evidence")
    finally:
        worker.close()


def test_a_worker_ends_with_what_it_was_told_to_do():
    worker = warmup._Worker()
    worker.begin(["evidence"])
    assert worker._process.wait(timeout=120) == 0
    worker.close()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [("IS_COMPILED", False, "NUMBA_DISABLE_JIT is set"), ("CACHE_FOLDER", None, "no folder")],
)
def test_where_nothing_can_be_kept_nothing_is_compiled(name, value, reason, monkeypatch):
    monkeypatch.setattr(warmup, name, value)
    with pytest.raises(InputError, match=reason):
        warmup.warmup()
    monkeypatch.setattr(warmup, "_Worker", None)  # which would fail
    warmup.compile_ahead(["evidence"])


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
    assert begun == [("learner",)]
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
