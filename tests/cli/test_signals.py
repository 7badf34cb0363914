"""Signals end a command soon, wherever it is, with their exit code, and it reports what is left."""

import ctypes
import os
import signal
import subprocess
import sys
import time

import cli_helpers as cli
import pytest

from idi_fast.cli.signals import watched
from idi_fast.training.checkpoint import checkpoint_paths

NUMBERS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
UNWRITTEN = "interrupted; nothing was written\n"
LIMIT = 20.0
"""Seconds that no end takes, on however slow a machine: what a signal has to end here takes 60."""

IN_C = """
import ctypes, signal
from numba.core.compiler_lock import global_compiler_lock

def stay():
    # Not even woken by the signal, which another thread gets: as code of C that goes on after it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    ctypes.CDLL(None).sleep(60)

def stay_in_the_compiler():
    with global_compiler_lock:
        stay()

def run_the_compiler():
    import time
    with global_compiler_lock:
        for _ in range(6000):
            time.sleep(0.01)
"""
LOST = """
import time

class Finalized:
    def __del__(self):
        for _ in range(6000):
            time.sleep(0.01)

def stay():
    Finalized()
    for _ in range(6000):
        time.sleep(0.01)

def translated():
    try:
        Finalized.__del__(None)
    except KeyboardInterrupt:
        raise ImportError("as C code says that an import failed") from None
"""
COMPILING = """
from idi_fast.training.trainer import Trainer

def compile(self):
    print("begun", flush=True)
    {call}()

Trainer.compile = compile
from idi_fast.cli import main; main()
"""


def begin(code: str, *args: object, **streams) -> subprocess.Popen:
    """Start a command and wait until it says that it has begun."""
    process = cli.start(*args, code=code, **streams)
    assert process.stdout.readline() == "begun\n", process.communicate()
    return process


def ended(process: subprocess.Popen, *numbers: int) -> tuple[int, str]:
    """Send signals and wait for the end: its exit code and stderr."""
    sent = time.monotonic()
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.1)
    outcome = cli.finish(process)
    assert time.monotonic() - sent < LIMIT
    assert outcome.stdout == ""
    return outcome.status, outcome.stderr


@pytest.mark.parametrize(
    ("code", "call", "number"),
    [
        (IN_C, "stay", "SIGINT"),
        (IN_C, "stay_in_the_compiler", "SIGINT"),
        (IN_C, "stay_in_the_compiler", "SIGTERM"),
        (IN_C, "stay_in_the_compiler", "SIGHUP"),
        (IN_C, "run_the_compiler", "SIGTERM"),
        (LOST, "stay", "SIGINT"),
        (LOST, "translated", "SIGTERM"),
    ],
)
def test_a_command_ends_wherever_it_is(code, call, number, tmp_path):
    number = getattr(signal, number)
    process = begin(code + COMPILING.format(call=call), "train", "--out", tmp_path / "a")
    assert ended(process, number) == (128 + number, UNWRITTEN)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("call", ["stay_in_the_compiler", "run_the_compiler"])
def test_a_compiling_worker_thread_is_not_waited_for(call, tmp_path):
    process = begin(IN_C + COMPILING.format(call=call), "train", "--out", tmp_path / "a", "--seeds", "0:2", "--jobs", 1)
    assert ended(process, signal.SIGTERM) == (143, UNWRITTEN)
    assert os.listdir(tmp_path) == []


def test_a_second_signal_changes_nothing(tmp_path):
    process = begin(IN_C + COMPILING.format(call="run_the_compiler"), "train", "--out", tmp_path / "a")
    assert ended(process, signal.SIGINT, signal.SIGTERM, signal.SIGINT) == (130, UNWRITTEN)
    assert os.listdir(tmp_path) == []


def test_a_checkpointed_run_that_is_killed_while_it_compiles_can_be_begun_again(tmp_path):
    args = ("train", "--out", tmp_path / "a", "--checkpoint-every", 1, *cli.QUICK)
    process = begin(IN_C + COMPILING.format(call="stay_in_the_compiler"), *args)
    process.kill()
    process.communicate()
    cli.succeed(*args)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["a"]


REPORTING = """
import os, signal
from idi_fast.cli import train
train._report = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
from idi_fast.cli import main; main()
"""


def test_what_is_written_is_not_said_to_be_unwritten(tmp_path):
    args = ("train", "--out", tmp_path / "a", *cli.QUICK)
    for force, said in ((), "written"), (("--force",), "replaced"):
        outcome = cli.finish(cli.start(*args, *force, code=REPORTING))
        assert outcome == (143, "", f"interrupted; the output was {said}\n")
    assert "manifest.json" in os.listdir(tmp_path / "a")


SAVING = """
import os, signal, sys, time
from idi_fast.training.checkpoint import Checkpoints
from idi_fast.cli import signals
save, episodes, seconds = Checkpoints.save, *map(int, sys.argv[1:3])
del sys.argv[1:3]

def slow(self, position, state):
    if position.episodes >= episodes and not signals.came():
        print("begun", flush=True)
        patience = time.monotonic() + 30
        while not signals.came() and time.monotonic() < patience:
            time.sleep(0.01)
        for _ in range(100 * seconds):
            time.sleep(0.01)
    save(self, position, state)

Checkpoints.save = slow
from idi_fast.cli import main; main()
"""
CONTINUES = "interrupted; --resume continues the run from its last checkpoint\n"


# Runs save themselves between blocks of 16,384 rows: 300 episodes of 65 rows are more than one.
LONG = ("--episodes", 300, "--checkpoint-every", 3)


@pytest.mark.parametrize("episodes", [3, 300], ids=["on its way", "at its end"])
@pytest.mark.parametrize("several", [(), ("--seeds", "0:2", "--jobs", 1)], ids=["run", "population"])
def test_a_checkpoint_that_is_being_saved_is_waited_for(several, episodes, tmp_path):
    args = ("train", "--out", tmp_path / "a", *LONG, *several)
    process = begin(SAVING, episodes, 2, *args)
    assert ended(process, signal.SIGINT) == (130, CONTINUES)
    assert os.listdir(tmp_path) == ["a.checkpoint"]
    (latest, *_) = checkpoint_paths(next(tmp_path.glob("a.checkpoint/**/checkpoint_*")).parent)
    assert (int(latest.name.removeprefix("checkpoint_")) < 300 * 65) == (episodes < 300)
    cli.succeed(*args, "--resume")
    assert os.listdir(tmp_path) == ["a"]
    cli.succeed(*args[:2], tmp_path / "whole", *args[3:])
    assert cli.snapshot(tmp_path / "a").keys() == cli.snapshot(tmp_path / "whole").keys()
    for name in ("policy.parquet", "episodes.parquet", "summary.parquet"):
        for path in (tmp_path / "a").glob(f"**/{name}"):
            assert path.read_bytes() == (tmp_path / "whole" / path.relative_to(tmp_path / "a")).read_bytes()


def test_a_second_signal_does_not_wait_for_the_checkpoint(tmp_path):
    args = ("train", "--out", tmp_path / "a", "--episodes", 6, "--checkpoint-every", 3)
    status, said = ended(begin(SAVING, 6, 60, *args), signal.SIGTERM, signal.SIGTERM)
    assert (status, said) == (143, UNWRITTEN)


def test_saving_does_not_take_for_ever(tmp_path):
    args = ("train", "--out", tmp_path / "a", "--episodes", 6, "--checkpoint-every", 3)
    process = begin(SAVING.replace("save, ep", "signals.SAVING = 1.0\nsave, ep"), 6, 60, *args)
    assert ended(process, signal.SIGTERM) == (143, UNWRITTEN)


def test_a_signal_that_the_parent_wants_ignored_is_ignored(tmp_path):
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + REPORTING.replace("SIGTERM", "SIGHUP")
    assert cli.finish(cli.start("train", "--out", tmp_path / "a", *cli.QUICK, code=code)) == (0, "", "")


LIBRARY = """
import signal
before = {number: signal.getsignal(number) for number in signal.valid_signals()}
import idi_fast.cli, idi_fast.cli.commands
from idi_fast import TrainingConfig, create_trainer
create_trainer(TrainingConfig.from_dict({"episodes": 1})).run()
assert before == {number: signal.getsignal(number) for number in signal.valid_signals()}
assert signal.set_wakeup_fd(-1) == -1
"""


def test_the_library_leaves_signals_alone():
    done = subprocess.run([sys.executable, "-c", LIBRARY], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_command_in_another_program_leaves_its_handlers_as_they_were(tmp_path):
    before = [signal.getsignal(number) for number in NUMBERS], sys.unraisablehook, sys.excepthook
    cli.succeed("train", "--print-config")
    assert ([signal.getsignal(number) for number in NUMBERS], sys.unraisablehook, sys.excepthook) == before
    assert signal.set_wakeup_fd(-1) == -1


def test_an_exception_that_is_lost_in_c_is_not_printed(capfd):
    """What C calls Python for, such as an import, is often printed where it fails, and the work goes on."""
    run = ctypes.pythonapi.PyRun_SimpleString
    with watched():
        run(b"from idi_fast.cli.signals import Interrupted; raise Interrupted()")
        assert not hasattr(sys, "last_value")
        assert capfd.readouterr().err == ""
        run(b"raise ValueError('shown')")
    assert capfd.readouterr().err.splitlines()[-1] == "ValueError: shown"


ECHOED = """
import os, signal, time
from idi_fast.cli import signals
left, leave = signals.Watch.say, signals.Watch._leave

def late(self):
    # As when the thread that watches wakes the main thread once more, between its end and its words.
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.1)
    left(self)

signals.Watch.say = late
from idi_fast.cli import main
import idi_fast.training.trainer as trainer

def interrupted(*_, **__):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

trainer.Trainer.train = interrupted
main()
"""


def test_what_is_left_is_said_whatever_comes_between(tmp_path):
    done = cli.finish(cli.start("train", "--out", tmp_path / "a", *cli.QUICK, code=ECHOED))
    assert done == (143, "", UNWRITTEN)
