"""The interpreter as a process: watched by the file that grows, killed with all it started, never believed."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from idi_fast.errors import InputError

TAU = "TAU"
"""The variable that names the interpreter."""

ERROR = b"(Error)"
POLL = 0.1
"""Seconds between two looks at a run."""

GRACE = 2.0
"""Seconds that a process has after SIGTERM."""

SAID = 20
"""Lines of what the interpreter said that are kept."""


@dataclass(frozen=True)
class Outcome:
    """How a process ended.

    seconds: it took; code: its exit code, negative for a signal; timed_out: whether it was killed for its time; failed:
    whether it said ``(Error)``; said: the last lines it wrote to stdout or stderr.
    """

    seconds: float
    code: int
    timed_out: bool
    failed: bool
    said: tuple[str, ...]


def find_interpreter(given: str | None) -> Path | None:
    """The interpreter that is given, else that of the variable TAU; None where neither says one.

    A name without a folder is looked for on PATH. An empty variable says none, an empty `given` does not: it is more
    likely a variable of the user's that was not set. Raises InputError where it is no program.
    """
    if given is None and not os.environ.get(TAU):
        return None
    name, by = (os.environ[TAU], TAU) if given is None else (given, "--tau")
    path = os.path.expanduser(name)
    found = shutil.which(path)
    if found is None:
        what = "is not a program that can be run" if os.path.lexists(path) else "does not exist"
        raise InputError(f"{by} is {name!r}, which {what}; expected the Tau interpreter")
    return Path(os.path.abspath(found))


def run_process(
    command: list[str], folder: Path, log: Path, *, watched: Path, timeout: float, progress: Callable[[int], None]
) -> Outcome:
    """Run a command in a folder, with nothing on its stdin, until it ends or its time is up.

    log: where its stdout and stderr go; watched: a file whose lines are counted, and given to `progress` as it grows;
    timeout: seconds. Whatever ends the wait, Ctrl-C too, ends the process and those it started; so does its own end.
    Raises InputError where it cannot be started.
    """
    begun, counter, timed_out = time.monotonic(), _Lines(watched), False
    with open(log, "wb") as said:
        try:
            process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise InputError(f"cannot run {command[0]}: {error.strerror or error}") from error
        try:
            while process.poll() is None:
                if time.monotonic() - begun > timeout:
                    timed_out = True
                    break
                progress(counter.count())
                # Returns at once where the process ends; a plain sleep would not.
                try:
                    process.wait(POLL)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            _end(process)
    failed, lines = _read_log(log)
    return Outcome(time.monotonic() - begun, process.returncode, timed_out, failed, lines)


def _end(process: subprocess.Popen) -> None:
    """End what is left of a process and of its group, which a session of its own made it the leader of."""
    try:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
    finally:  # a second Ctrl-C ends the wait, not the killing
        with suppress(ProcessLookupError):  # nothing is left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class _Lines:
    """Counts the lines of a growing file."""

    def __init__(self, path: Path):
        self._path, self._offset, self._lines = path, 0, 0

    def count(self) -> int:
        """Lines until now; 0 while there is no file."""
        if os.path.isfile(self._path):
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                while block := file.read(1 << 20):
                    self._lines += block.count(b"\n")
                    self._offset += len(block)
        return self._lines


def _read_log(log: Path) -> tuple[bool, tuple[str, ...]]:
    """Whether a log holds an error, and its last lines."""
    failed, tail = False, b""
    with open(log, "rb") as file:
        while block := file.read(1 << 20):
            tail += block
            failed = failed or ERROR in tail
            tail = tail[-65_536:]
    lines = tail.decode("utf-8", "backslashreplace").splitlines()
    return failed, tuple(line for line in lines if line.strip())[-SAID:]
