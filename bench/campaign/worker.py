"""A process that runs commands of idi-fast without start-up time, since everything is imported, and survives them.

`Worker` starts this file as a program. That process imports the package and never runs anything itself: it forks. A
*caller* is a fork that runs one command after another, some tens a second, and is replaced when it dies, hangs or has
run `CALLS`. A command that will be killed, or that gets limits of its own, is run *apart*, in its own fork.
"""

import contextlib
import importlib
import json
import os
import pkgutil
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Self

CALLS = 400
ADDRESS_SPACE = 8 << 30
"""Limit of bytes, so that a command runs out of memory instead of the machine."""
CPU_LIMIT, IDLE_LIMIT = 120.0, 30.0
"""Seconds after which a command on small inputs hangs: of processors, for it may compile a kernel, and of waiting."""
NOT_IMPORTED = ("idi_fast.__main__", "idi_fast.bench", "idi_fast.evidence.zk", "idi_fast.lab")
"""Modules that no command needs, or that need libraries which may not be there."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a command; status: negative for a signal, None if it hung; events: calls that an injector saw."""

    argv: tuple[str, ...]
    status: int | None
    stdout: str
    stderr: str
    seconds: float
    events: list[str] = field(default_factory=list)


class Worker:
    """The process, a context; `run` is safe in one thread."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="idi-fast-worker-")
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "2", "PYTHONUTF8": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "idi_fast.bench.campaign.worker", self._folder.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=environment,
        )
        asking, answers = self._process.stdin, self._process.stdout
        assert asking is not None  # as it is a pipe
        assert answers is not None
        self._asking, self._answers = asking, answers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._asking.close()  # at its end the process ends its caller, and itself
        self._process.wait()
        self._answers.close()
        self._folder.cleanup()

    def run(
        self, *argv: object, cwd: Path, apart: bool = False, fault: str | None = None, file_size: int | None = None
    ) -> Outcome:
        """Run `idi-fast *argv*`.

        apart: in a process of its own; fault: which `inject` injects into that, "" where it only counts; file_size:
        bytes beyond which a write into a file fails there.
        """
        folder = Path(self._folder.name)
        for name in ("stdout", "stderr", "events"):
            (folder / name).write_bytes(b"")
        request = {
            "argv": [str(arg) for arg in argv],
            "cwd": str(cwd),
            "fault": fault,
            "file_size": file_size,
            "apart": apart or fault is not None or file_size is not None,
        }
        self._asking.write(json.dumps(request) + "\n")
        self._asking.flush()
        answer = self._answers.readline()
        if not answer:
            raise RuntimeError(f"the worker itself ended, with {self._process.wait()}")
        status, seconds = json.loads(answer)
        stdout, stderr, events = (
            (folder / name).read_text("utf-8", "replace") for name in ("stdout", "stderr", "events")
        )
        return Outcome(tuple(request["argv"]), status, stdout, stderr, seconds, events.splitlines())


class _Forks:
    """The process's side: the caller, and forks apart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.caller: tuple[int, int, int] | None = None
        self.calls = 0

    def run(self, request: dict) -> tuple[int | None, float]:
        begun = time.monotonic()
        if request["apart"]:
            pid = os.fork()
            if pid == 0:
                self._be_one(request)
            status = self._end(pid, None)
        else:
            caller = self.caller
            if caller is None or self.calls == CALLS:
                self.stop()
                caller = self._fork_caller()
            self.calls += 1
            pid, asking, answering = caller
            os.write(asking, json.dumps(request).encode() + b"\n")
            status = self._end(pid, answering)
        return status, round(time.monotonic() - begun, 3)

    def stop(self) -> None:
        """End the caller."""
        if self.caller is not None:
            pid, asking, answering = self.caller
            os.close(asking)
            os.close(answering)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.caller = None

    def _end(self, pid: int, answering: int | None) -> int | None:
        """The exit code of a fork or of the caller's command; None if it had to be killed. A dead caller is dropped."""
        first = used = _cpu_seconds(pid)
        worked = time.monotonic()
        watch = os.pidfd_open(pid) if answering is None else answering
        try:
            while not select.select([watch], [], [], 0.5)[0]:
                now, before, used = time.monotonic(), used, _cpu_seconds(pid)
                worked = now if used > before else worked
                if used - first > CPU_LIMIT or now - worked > IDLE_LIMIT:
                    os.kill(pid, signal.SIGKILL)
                    self._reap(pid, answering)
                    return None
        finally:
            if answering is None:
                os.close(watch)
        answer = b"" if answering is None else os.read(answering, 64)
        return int(answer) if answer else self._reap(pid, answering)

    def _reap(self, pid: int, answering: int | None) -> int:
        if answering is not None and self.caller is not None:
            os.close(self.caller[1])
            os.close(answering)
            self.caller = None
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def _fork_caller(self) -> tuple[int, int, int]:
        asked, asking = os.pipe()
        answering, answered = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(asking)
            os.close(answering)
            self._be_caller(asked, answered)
        os.close(asked)
        os.close(answered)
        self.caller, self.calls = (pid, asking, answering), 0
        return self.caller

    def _be_caller(self, asked: int, answered: int) -> None:
        self._settle()
        with os.fdopen(asked, encoding="utf-8") as requests:
            for line in requests:
                request = json.loads(line)
                os.chdir(request["cwd"])
                os.write(answered, str(_call(request["argv"])).encode())
        os._exit(0)

    def _be_one(self, request: dict) -> None:
        self._settle()
        os.chdir(request["cwd"])
        if request["file_size"] is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write then fails as on a full disk
            resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_size"],) * 2)
        if request["fault"] is not None:
            from idi_fast.bench.campaign import inject

            inject.watch(request["fault"], str(self.folder / "events"))
        os._exit(_call(request["argv"]))

    def _settle(self) -> None:
        """In a fork: its own streams, Python's way with Ctrl-C, and the limit of memory."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, name in ((1, "stdout"), (2, "stderr")):
            handle = os.open(self.folder / name, os.O_WRONLY | os.O_APPEND)
            os.dup2(handle, number)
            os.close(handle)
        with open(os.devnull) as nothing:
            os.dup2(nothing.fileno(), 0)
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


def _call(argv: list[str]) -> int:
    """Run the command line in this process; return its exit code as a shell would see it."""
    from idi_fast.cli import main

    sys.argv = ["idi-fast", *argv]
    status = 0
    try:
        main()
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException as error:  # noqa: BLE001 -- shown as Python would show it, to be found
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    return status


def _cpu_seconds(pid: int) -> float:
    """Seconds of processors that a process has used; 0 where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _import_all() -> None:
    """Import what commands do, so that no fork has to: that takes ten times as long as a small command itself."""
    import pyarrow.parquet  # noqa: F401
    from numba.core.registry import cpu_target

    import idi_fast

    _import_package(idi_fast)
    # What numba imports when it loads the first kernel; it has no types here.
    contexts: tuple[Any, ...] = cpu_target.typing_context, cpu_target.target_context
    for context in contexts:
        context.refresh()


def _import_package(package: ModuleType) -> None:
    # Not by walk_packages, which also imports the packages that are left out.
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if found.name not in NOT_IMPORTED:
            module = importlib.import_module(found.name)
            if found.ispkg:
                _import_package(module)


def _serve(folder: Path) -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the campaign, which ends this process
    _import_all()
    # From Python 3.12 on: libraries have begun threads, which hold no locks while nothing is run.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    forks = _Forks(folder)
    for line in sys.stdin:
        answers.write(json.dumps(forks.run(json.loads(line))) + "\n")
        answers.flush()
    forks.stop()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
