"""The interpreter as a process: watched through its growing output file, and killed with everything it started."""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from idi_fast.errors import InputError

TAU = "TAU"
"""The variable that names the interpreter."""

ERROR = b"(Error)"
COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
"""Colour codes of terminals; the interpreter colours the word in ``(Error)`` even when it writes to a file."""

POLL = 0.1
"""Seconds between two polls of a run."""

GRACE = 2.0
"""Seconds that a process has after SIGTERM."""

SAID = 20
"""Lines of the interpreter's output to keep."""

ERRORS = 5
"""Lines with ``(Error)`` to keep."""

PR_SET_PDEATHSIG = 1
"""Linux: the signal that a process gets when its parent ends (prctl(2))."""


@dataclass(frozen=True)
class Outcome:
    """How a process ended.

    seconds: its duration; code: its exit code, negative for a signal; timed_out: whether it was killed for its time;
    errors: the first lines with ``(Error)``; said: the last lines it wrote to stdout or stderr; both without colours.
    """

    seconds: float
    code: int
    timed_out: bool
    errors: tuple[str, ...]
    said: tuple[str, ...]


def find_interpreter(given: str | None) -> Path | None:
    """The given interpreter, else that of the variable TAU; None if neither names one.

    A name without a folder is searched on PATH. An empty variable means none, an empty `given` does not: it is more
    likely an unset variable of the user's. Raises InputError if it is not a program.
    """
    if given is None and not os.environ.get(TAU):
        return None
    name, by = (os.environ[TAU], TAU) if given is None else (given, "`tau`")
    path = os.path.expanduser(name)
    found = shutil.which(path)
    if found is None:
        what = "is not a program that can be run" if os.path.lexists(path) else "does not exist"
        raise InputError(f"{by} is {name!r}, which {what}; expected the Tau interpreter")
    return Path(os.path.abspath(found))


def run_process(
    command: list[str], folder: Path, log: Path, *, watched: Path, timeout: float, progress: Callable[[int], None]
) -> Outcome:
    """Run a command in a folder, with empty stdin, until it ends or its time is up.

    log: file for its stdout and stderr; watched: a file whose lines are counted, and reported to `progress` as it
    grows; timeout: seconds. Any exception meanwhile, as by Ctrl-C, ends the process and those it started; so does its
    own end. On Linux it also ends if this process is killed. Raises InputError if it cannot be started.
    """
    begun, counter, timed_out = time.monotonic(), _Lines(watched), False
    with open(log, "wb") as said:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_dies_with_parent(),
            )
        except OSError as error:
            raise InputError(f"cannot run {command[0]}: {error.strerror or error}") from error
        try:
            while process.poll() is None:
                if time.monotonic() - begun > timeout:
                    timed_out = True
                    break
                progress(counter.count())
                # Returns at once when the process ends; a plain sleep would not.
                try:
                    process.wait(POLL)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            _end(process)
    errors, lines = _read_log(log)
    return Outcome(time.monotonic() - begun, process.returncode, timed_out, errors, lines)


def _dies_with_parent() -> Callable[[], None] | None:
    """What a child of this process calls before it becomes another program, so that it ends with its parent.

    None if the system does not support that; there a killed parent leaves the child running.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()  # looked up here: a child of a fork should do little

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended before it was asked
            os._exit(1)

    return ask


def _end(process: subprocess.Popen) -> None:
    """End what is left of a process and of its group, which it leads in a session of its own."""
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
        """Lines so far; 0 while there is no file."""
        if os.path.isfile(self._path):
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                while block := file.read(1 << 20):
                    self._lines += block.count(b"\n")
                    self._offset += len(block)
        return self._lines


def _read_log(log: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The first lines of a log with an error, and its last lines, without colours."""
    errors: list[bytes] = []
    last: deque[bytes] = deque(maxlen=SAID)
    with open(log, "rb") as file:
        # Lines too long to be worth showing are cut.
        while line := file.readline(65_536):
            plain = COLOUR.sub(b"", line)
            if plain.strip():
                last.append(plain)
            if ERROR in plain and len(errors) < ERRORS:
                errors.append(plain)
    return tuple(map(_text, errors)), tuple(map(_text, last))


def _text(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace").rstrip()
