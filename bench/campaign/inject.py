"""Faults at file-system calls: a command is killed, interrupted or refused at the k-th call that changes something.

The command runs in a process of its own, whose audit hook counts the calls that open a file for writing, rename, remove
or make something, and the package's own events of calls that Python does not audit. What happens at a call happens
before it. This file is also the program of that process; it imports nothing of the package before the hook is set.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

CHANGES = frozenset(
    {"os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.link", "os.symlink", "os.truncate", "os.chmod"}
)
OWN = "idi_fast.storage."
"""How the names of the package's own audit events begin."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
NOT_COUNTED = ("/dev/", "/proc/", "/sys/")
CACHES = ("__pycache__", "/kernels-", "/idi-fast-kernels-")


class Injected(NamedTuple):
    """The result of a command.

    killed: whether it ended by SIGKILL; returncode: negative for a signal, None after a timeout; events: the calls in
    order, each a name and its arguments as text; the last is the one at which the fault was injected, if it was.
    """

    killed: bool
    returncode: int | None
    events: list[str]
    stdout: str
    stderr: str


def run_killed(
    argv: Sequence[object],
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    *,
    at: int | None = None,
    number: int = signal.SIGKILL,
    error: int | None = None,
    lasting: bool = False,
    timeout: float = 120,
) -> Injected:
    """Run `idi-fast *argv*` and inject a fault at its `at`-th call, from 1; without `at` only count the calls.

    env: added to the environment; number: the signal that the process gets; error: an errno that the call fails with
    instead, and with `lasting` every later one that opens, makes or renames, as on a disk that stays full. Calls on
    compiled code, on kernel caches and on devices do not count.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "events"
        log.touch()
        fault = "" if at is None else f"{at}:{int(number)}:{error or 0}:{int(lasting)}"
        command = [sys.executable, __file__, fault, str(log), *map(str, argv)]
        process = subprocess.Popen(
            command,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            stdout, stderr = process.communicate(timeout=timeout)
            returncode = process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            returncode = None
        events = log.read_text("utf-8", "replace").splitlines()
    return Injected(returncode == -signal.SIGKILL, returncode, events, stdout, stderr)


def watch(fault: str, log: str) -> None:
    """Set the hook that counts, and injects the fault."""
    at, number, error, lasting = (int(part) for part in fault.split(":")) if fault else (0, 0, 0, 0)
    out = os.open(log, os.O_WRONLY | os.O_APPEND)
    lock, count = threading.RLock(), 0

    def hook(name: str, arguments: tuple) -> None:
        nonlocal count
        if not _changes(name, arguments):
            return
        with lock:
            count += 1
            text = f"{name} {' '.join(map(str, arguments))}".replace("\n", " ")
            os.write(out, f"{text[:2000]}\n".encode("utf-8", "replace"))
            if not at or count < at or (count > at and not lasting):
                return
        if not error:
            os.kill(os.getpid(), number)
        elif count == at or name in ("open", "os.mkdir", "os.rename"):
            raise OSError(error, os.strerror(error), str(arguments[0]))

    sys.addaudithook(hook)


def _changes(name: str, arguments: tuple) -> bool:
    if name == "open":
        path, _, flags = arguments
        if isinstance(path, int) or not isinstance(flags, int) or not flags & WRITING:
            return False
    elif name not in CHANGES and not name.startswith(OWN):
        return False
    path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else ""
    return not (path.startswith(NOT_COUNTED) or any(part in path for part in CACHES))


if __name__ == "__main__":
    _, _fault, _log, *_arguments = sys.argv
    sys.path.pop(0)  # the folder of this file, whose names are not top-level ones
    sys.argv = ["idi-fast", *_arguments]
    from idi_fast.cli import main

    watch(_fault, _log)
    main()
