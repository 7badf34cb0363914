"""Parsing in another process: no file, however damaged, crashes the process that asks, and the cost is bounded.

Parquet readers were not made for damaged files: one flipped byte can abort the process that reads it. So all files that
somebody else may have written are parsed by a reader, a process that is started once, kept, and ends with this one. It
is a separate interpreter (`sys.executable`), not a fork, since this process has threads.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from idi_fast import __version__, errors
from idi_fast.child_process import IMPORTS, OWN_GROUP, PYTHON, import_path, interpreter
from idi_fast.errors import DataError, IdiFastError
from idi_fast.storage.reader.messages import VERSION, Slot, make_slots, read_array, read_message, write_message

if TYPE_CHECKING:  # at run time the reader starts first, while the rest is imported
    import numpy as np

READ_AHEAD = 2
"""Items that a reader makes before they are requested."""
START_SECONDS = 0.25
"""Seconds to wait for a busy reader before starting another one: about the time that one takes to start."""
BOOT = (
    # Garbage collection during imports takes a tenth of the time to start.
    "import gc, json, sys; gc.disable(); "
    f"a = json.loads(sys.argv[1]); {IMPORTS}"
    "from idi_fast.storage.reader.child import main; main(**a)"
)


class Limits(NamedTuple):
    """Limits of reading: bytes of memory beyond those in use before, and seconds; None: no limit."""

    memory: int | None = None
    seconds: float | None = None


ANY = Limits()


class Item(NamedTuple):
    """What an operation yields: a JSON value and one-dimensional arrays; is_last: whether it is the last."""

    value: Any
    arrays: list[np.ndarray]
    is_last: bool


class ReaderEnded(IdiFastError):
    """A file crashed the reader; `stream` turns it into the caller's kind of error."""


class Reader:
    """One process that reads, for one thread at a time.

    expects_bars: whether it should load what it needs for Parquet files of bars in advance.
    """

    def __init__(self, *, expects_bars: bool = False) -> None:
        python, slots = _interpreter(), make_slots()
        self._slots, self._free = [Slot(slot) for slot in slots], deque(range(len(slots)))
        self._descriptors, self._greeted, self.is_alive = slots, False, True
        is_main = threading.current_thread() is threading.main_thread()
        about = {
            "path": import_path(),
            "parent": os.getpid(),
            "dies_with_thread": is_main,
            "slots": slots,
            "expects_bars": expects_bars,
        }
        own_group = OWN_GROUP if sys.platform == "win32" else {**OWN_GROUP, "pass_fds": slots}
        # -P: nothing is imported from the working directory, perhaps a stranger's folder.
        command = [python, "-P", "-c", BOOT, json.dumps(about)]
        environment = {**os.environ, "RUST_BACKTRACE": "0"}
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                env=environment,
                **own_group,
            )
        except OSError as error:
            self._close_slots()
            raise IdiFastError(f"cannot start {command[0]} to read files: {error.strerror}; set {PYTHON}") from error
        requests, replies = self._process.stdin, self._process.stdout
        assert requests is not None  # as it is a pipe
        assert replies is not None
        self._pipes = requests, replies
        self._requests, self._replies = requests.fileno(), replies.fileno()
        self._offered: list[int | None] = []
        self._timer: threading.Timer | None = None
        self._late, self._file = False, None

    def has_not_ended(self) -> bool:
        """Whether the process still runs; somebody may have ended it between two files."""
        if self._process.poll() is not None:
            self.end()
        return self.is_alive

    def begin(self, operation: str, arguments: dict, limits: Limits) -> None:
        """Start an operation (see `child.OPERATIONS`), whose items `next` returns. Raises ReaderEnded."""
        self._file = None
        if limits.seconds is not None:
            self._timer = threading.Timer(limits.seconds, self._expire)
            self._timer.daemon = True
            self._timer.start()
        try:
            self._greet()
            request = {"operation": operation, "arguments": arguments, "memory": limits.memory}
            self._ask({"do": "start", "folder": _working_directory(), **request})
            for _ in range(1 + READ_AHEAD):
                self._ask_for_more()
        except OSError:
            raise ReaderEnded(self._epitaph()) from None

    def next(self) -> Item | None:
        """The next item, which was read ahead, None after the last. Raises what the operation raises, ReaderEnded."""
        try:
            head, arrays = self._answer()
            is_over = head.get("is_last", True)
            if is_over:
                self._finish()
            else:
                self._ask_for_more()
        except (EOFError, OSError):
            raise ReaderEnded(self._epitaph()) from None
        if "error" in head:
            raise _as_exception(head["error"])
        return Item(head["value"], arrays, is_over) if "value" in head else None

    def abandon(self) -> None:
        """The rest of the items is not needed."""
        try:
            self._ask({"do": "stop"})
            while "stopped" not in self._answer()[0]:
                continue
            self._finish()
        except (EOFError, OSError):
            self.end()

    def _finish(self) -> None:
        """After an operation: the slots that it was offered and has not used are free again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._free.extendleft(slot for slot in self._offered if slot is not None)
        self._offered.clear()
        for slot in self._free.copy():  # other threads may drop arrays meanwhile, which frees their slots
            self._slots[slot].trim()

    def _greet(self) -> None:
        if self._greeted:
            return
        try:
            hello = read_message(self._replies)["hello"]
        except (EOFError, OSError, ValueError, KeyError):
            self.end()
            raise IdiFastError(
                f"{_interpreter()} did not start to read files (exit code {self._process.returncode}); "
                f"set {PYTHON} to an interpreter that has idi-fast"
            ) from None
        if hello != [VERSION, __version__]:
            self.end()
            raise IdiFastError(f"{_interpreter()} has idi-fast {hello[1]}, this is {__version__}; set {PYTHON}")
        self._greeted = True

    def _ask(self, request: dict) -> None:
        write_message(self._requests, request)

    def _ask_for_more(self) -> None:
        try:
            slot = self._free.popleft()
        except IndexError:
            slot = None  # by the pipe
        self._offered.append(slot)
        self._ask({"do": "more", "slot": slot})

    def _answer(self) -> tuple[dict, list[np.ndarray]]:
        """The next answer, which may be an item, and its arrays."""
        while "at" in (head := read_message(self._replies)):
            self._file = head["at"]
        if "value" not in head:
            return head, []
        slot = head["slot"]
        self._offered.remove(slot)
        if head["is_inline"]:
            if slot is not None:
                self._free.appendleft(slot)
            return head, [read_array(self._replies, dtype, n) for dtype, n, _ in head["arrays"]]
        return head, self._slots[slot].read(head["arrays"], lambda: self._free.appendleft(slot))

    def _expire(self) -> None:
        if self._timer is threading.current_thread():  # else it was in time
            self._late = True
            self._process.kill()

    def _epitaph(self) -> str:
        """Why the process ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
        code = self._process.returncode
        self.end()
        where = f"{self._file}: " if self._file else ""
        if self._late:
            return f"{where}reading it took too long and was stopped: the file is damaged, or made to be slow"
        how = f"exit code {code}"
        if code is not None and code < 0:
            with suppress(ValueError):
                how = signal.Signals(-code).name
        why = "it is damaged, or needs more memory than there is; write it again"
        return f"{where}reading it ended the process that read it ({how}): {why}"

    def end(self) -> None:
        """End the process; what it has read stays."""
        self.is_alive = False
        if self._timer is not None:
            self._timer.cancel()
        self._process.kill()
        self._process.wait()
        for pipe in self._pipes:
            with suppress(OSError):
                pipe.close()
        self._close_slots()

    def _close_slots(self) -> None:
        # Mappings, and the arrays in them, outlive their descriptors.
        while self._descriptors:
            os.close(self._descriptors.pop())


def _interpreter() -> str:
    return interpreter("files are read")


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


def _as_exception(about: dict) -> Exception:
    if about["kind"] == "OSError":
        return OSError(*about["os"])
    kind = getattr(errors, about["kind"] or "", None)
    return RuntimeError(f"in reading: {about['text']}") if kind is None else kind(about["text"])


class _Pool:
    """The readers of this process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._idle: list[Reader] = []
        self._all: list[Reader] = []

    def take(self) -> Reader:
        """An idle reader, or a new one."""
        with self._changed:
            limit = monotonic() + START_SECONDS
            while not self._idle and self._all and self._changed.wait(limit - monotonic()):
                continue
            while self._idle:
                reader = self._idle.pop()
                if reader.has_not_ended():
                    return reader
                self._all.remove(reader)
            reader = Reader()
            self._all.append(reader)
            return reader

    def give_back(self, reader: Reader) -> None:
        with self._changed:
            (self._idle.append if reader.is_alive else self._all.remove)(reader)
            self._changed.notify()

    def prepare(self, *, expects_bars: bool) -> None:
        with self._changed:
            if not self._all:
                self._all.append(Reader(expects_bars=expects_bars))
                self._idle += self._all

    def end(self) -> None:
        with self._changed:
            for reader in self._all:
                reader.end()
            self._idle, self._all = [], []


_pool = _Pool()


def _forget() -> None:
    """After a fork the readers are the parent's."""
    global _pool
    _pool = _Pool()


atexit.register(lambda: _pool.end())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def prepare(*, expects_bars: bool = False) -> None:
    """Start a reader, so that it is ready when one is needed; expects_bars: as for `Reader`."""
    _pool.prepare(expects_bars=expects_bars)


def stream(
    operation: str,
    arguments: dict,
    *,
    error: type[IdiFastError] = DataError,
    limits: Limits = ANY,
    writes: bool = False,
) -> Generator[tuple[Any, list[np.ndarray]], None, None]:
    """JSON values and arrays that a reader's operation yields; a generator, to be closed if it is not exhausted.

    arguments: JSON values; error: what to raise if the file crashes its reader, or exceeds `limits`; writes: whether
    the operation writes files, which threads of a reader may go on doing after an error: it is then ended. Raises what
    the operation raises.
    """
    pool = _pool
    reader = pool.take()
    is_over = False
    try:
        reader.begin(operation, arguments, limits)
        while not is_over:
            item = reader.next()
            is_over = item is None or item.is_last
            if is_over:
                pool.give_back(reader)
            if item is not None:
                value, arrays, _ = item
                item = None
                yield value, arrays
                del arrays  # their memory is the reader's again once the caller has dropped them too
    except GeneratorExit:
        if not is_over:
            reader.abandon()
            pool.give_back(reader)
        raise
    except ReaderEnded as ended:
        pool.give_back(reader)
        raise error(str(ended)) from None
    except Exception:
        if not is_over:
            if writes:
                reader.end()
            pool.give_back(reader)
        raise
    except BaseException:
        if not is_over:
            reader.end()  # interrupted, perhaps amid a message
            pool.give_back(reader)
        raise


def ask(
    operation: str,
    arguments: dict,
    *,
    error: type[IdiFastError] = DataError,
    limits: Limits = ANY,
    writes: bool = False,
) -> Any:
    """The only value that an operation yields; arguments and errors as for `stream`."""
    ((value, _),) = stream(operation, arguments, error=error, limits=limits, writes=writes)
    return value
