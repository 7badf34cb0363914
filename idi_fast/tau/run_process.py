"""The interpreter as a process: watched by the file that grows, killed with all it started, never believed."""

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
"""What colours a terminal's text; the interpreter colours the word in ``(Error)`` even where it writes to a file."""

POLL = 0.1
"""Seconds between two looks at a run."""

GRACE = 2.0
"""Seconds that a process has after SIGTERM."""

SAID = 20
"""Lines of what the interpreter said that are kept."""

ERRORS = 5
"""Lines with ``(Error)`` that are kept."""

PR_SET_PDEATHSIG = 1
"""Linux: the signal that a process gets when its parent ends (prctl(2))."""


@dataclass(frozen=True)
class Outcome:
    """How a process ended.

    seconds: it took; code: its exit code, negative for a signal; timed_out: whether it was killed for its time; errors:
    the first lines in which it said ``(Error)``; said: the last lines it wrote to stdout or stderr; both without
    colours.
    """

    seconds: float
    code: int
    timed_out: bool
    errors: tuple[str, ...]
    said: tuple[str, ...]


def find_interpreter(given: str | None) -> Path | None:
    """The interpreter that is given, else that of the variable TAU; None where neither says one.

    A name without a folder is looked for on PATH. An empty variable says none, an empty `given` does not: it is more
    likely a variable of the user's that was not set. Raises InputError where it is no program.
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
    """Run a command in a folder, with nothing on its stdin, until it ends or its time is up.

    log: where its stdout and stderr go; watched: a file whose lines are counted, and given to `progress` as it grows;
    timeout: seconds. Whatever is raised meanwhile, as by Ctrl-C, ends the process and those it started; so does its own
    end. On Linux it ends with this process even where that is killed. Raises InputError where it cannot be started.
    """
    begun, counter, timed_out = time.monotonic(), _Lines(watched), False
    with open(log, "wb") as said:
        try:
            process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=_dies_with_parent(),
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
    errors, lines = _read_log(log)
    return Outcome(time.monotonic() - begun, process.returncode, timed_out, errors, lines)


def _dies_with_parent() -> Callable[[], None] | None:
    """What a child of this process calls before it becomes another program, so that it ends with its parent.

    None where the system knows no such thing; there a parent that is killed leaves the child running.
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


def _read_log(log: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The first lines of a log with an error, and its last lines, without colours."""
    errors: list[bytes] = []
    last: deque[bytes] = deque(maxlen=SAID)
    with open(log, "rb") as file:
        # A line is cut where it is longer than any that is worth showing.
        while line := file.readline(65_536):
            plain = COLOUR.sub(b"", line)
            if plain.strip():
                last.append(plain)
            if ERROR in plain and len(errors) < ERRORS:
                errors.append(plain)
    return tuple(map(_text, errors)), tuple(map(_text, last))


def _text(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace").rstrip()
