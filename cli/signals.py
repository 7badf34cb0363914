"""Ctrl-C, SIGTERM and SIGHUP end a command within a second, whatever it is doing.

Python runs a signal's handler in the main thread between two of its instructions: not while that thread is in LLVM,
which can take half a minute. And an exception raised by a handler is lost where Python cannot propagate it: in a
finalizer, or in a function called from C, and the compiler has many of both. So a thread watches. While something
compiles the handler raises nothing; an exception that was lost is raised again; and a main thread that does not end in
time is ended with the process. The disk is then as after any kill: the next command cleans up.
"""

import _thread
import atexit
import os
import signal
import socket
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

GRACE = 0.4
"""Seconds that the main thread has to raise, and a worker thread to be out of the compiler."""
CLEANING = 5.0
"""Seconds that it has in all, once it has raised, to clear up and to wait for its threads and processes."""
SAVING = 60.0
"""The same where a run saves itself: a checkpoint of some GB is written in that time."""
POLL = 0.02
NUMBERS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
DONE = b"\0"


class Interrupted(KeyboardInterrupt):
    """A signal arrived: raised in the main thread."""


class Watch:
    """The signals of one command.

    left: says what is left of the work when it is interrupted; it is also called from another thread, so it must not
    import anything. number: the first signal that arrived.
    """

    def __init__(self) -> None:
        self.left: Callable[[], str] = lambda: "nothing was written"
        self.number: int | None = None
        self._cancel: Callable[[], None] | None = None
        self._cancelled = self._said = self._over = self._ends = self._stopped = False
        self._raised: Callable[[], Interrupted | None] = lambda: None
        self._echoes = 0
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)  # as set_wakeup_fd wants it
        self._thread = threading.Thread(target=self._watch, name="signals", daemon=True)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle signals during the block; if one arrived, the process ends with it."""
        # One that the parent has told us to ignore, as nohup does, stays ignored.
        old = {number: signal.getsignal(number) for number in NUMBERS}
        old = {number: handler for number, handler in old.items() if handler not in (signal.SIG_IGN, None)}
        wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        hooks = sys.unraisablehook, sys.excepthook
        sys.unraisablehook = lambda lost: None if isinstance(lost.exc_value, Interrupted) else hooks[0](lost)
        sys.excepthook = lambda kind, error, trace: _forget() if kind is Interrupted else hooks[1](kind, error, trace)
        self._thread.start()
        try:
            for number in old:
                signal.signal(number, self._handle)
            yield
        finally:
            self._leave()
            for number, handler in old.items():
                signal.signal(number, handler)
            sys.unraisablehook, sys.excepthook = hooks
            signal.set_wakeup_fd(wakeup)
            self._writer.send(DONE)
            self._thread.join()
            self._reader.close()
            self._writer.close()

    @contextmanager
    def cancelling(self, cancel: Callable[[], None]) -> Iterator[None]:
        """During the block the first signal calls `cancel` and raises nothing; the end of the block raises."""
        self._cancel = cancel
        try:
            yield
        finally:
            self._cancel = None
            if self._cancelled:
                self._cancelled = False
                self._raise()

    def say(self) -> None:
        """Tell the user what is left, once."""
        if not self._said:
            self._said = True
            with suppress(OSError):  # a terminal that has hung up
                sys.stderr.write(f"interrupted; {self.left()}\n")
                sys.stderr.flush()

    def _handle(self, number: int, frame: object) -> None:
        self.number = self.number or number
        if self._ends:
            return  # the main thread says what is left and ends; if it cannot, the other thread ends it
        if self._over:
            os._exit(128 + self.number)
        if self._stopped:
            threading.Event().wait()  # for the end of the process, which the other thread prepares
        if _compiler_is_ours():
            return  # LLVM does not survive an exception in what it calls; the thread comes back to this
        if self._cancel is not None and not self._cancelled:
            self._cancelled = True
            self._cancel()
            return
        self._raise()

    def _raise(self) -> None:
        error = Interrupted()
        self._raised = weakref.ref(error)
        try:
            raise error
        finally:
            del error  # the frame is in its traceback, and would keep it alive where it is lost

    def _has_reacted(self) -> bool:
        return self._cancelled or self._raised() is not None

    def _watch(self) -> None:
        latest, came = 0.0, 0
        while True:
            self._reader.settimeout(POLL if came else None)
            try:
                numbers = self._reader.recv(64)
            except TimeoutError:
                numbers = b""
            if DONE in numbers:
                return
            for number in numbers:
                if number in NUMBERS and self._echoes:
                    self._echoes -= 1  # this thread's own, of below
                elif number in NUMBERS:
                    self.number, latest, came = self.number or number, monotonic(), came + 1
            if came and self._is_overdue(monotonic() - latest, came > 1):
                self._kill()
            if came and not self._has_reacted():
                self._echoes += 1
                _thread.interrupt_main(self._signal())

    def _is_overdue(self, seconds: float, again: bool) -> bool:
        if seconds < GRACE:
            return False
        if again or not self._has_reacted():
            return True
        if _a_run_saves_itself():
            return seconds > SAVING
        return _compiler_is_busy() or seconds > CLEANING

    def _leave(self) -> None:
        self._ends = self.number is not None
        self._over = True
        if self.number is None:
            atexit.register(_default_signals)
            return
        self.say()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # closed, at the other end or at ours
                stream.flush()
        # Not by way of the interpreter's end, which waits for threads and takes LLVM from under them.
        os._exit(128 + self.number)

    def _kill(self) -> None:
        # The main thread must not go on meanwhile: if it has no more to do than to put its output in place, it would.
        self._stopped = True
        _thread.interrupt_main(self._signal())
        try:
            # In threads of their own, since a full pipe or a lost disk makes them wait; one after the other, since what
            # is left is told by the files that there are.
            latest = monotonic() + GRACE
            for part in (self._say_directly, _remove_unfinished):
                thread = threading.Thread(target=part, daemon=True)
                thread.start()
                thread.join(max(GRACE / 4, latest - monotonic()))
        finally:
            os._exit(128 + self._signal())

    def _signal(self) -> signal.Signals:
        assert self.number is not None  # one has come
        return signal.Signals(self.number)

    def _say_directly(self) -> None:
        if self._said:
            return
        # The main thread may hold on to sys.stderr. A progress bar has hidden the cursor.
        clear = "\r\x1b[K\x1b[?25h" if os.isatty(2) else ""
        with suppress(OSError):
            os.write(2, f"{clear}interrupted; {self.left()}\n".encode(errors="replace"))


def _forget() -> None:
    """Let go of an exception that a function in C called Python for, and would print; it is raised again."""
    for name in ("last_exc", "last_type", "last_value", "last_traceback"):
        if hasattr(sys, name):
            delattr(sys, name)


def _remove_unfinished() -> None:
    remove_all = getattr(sys.modules.get("idi_fast.storage.unfinished"), "remove_all", None)
    if remove_all is not None:
        remove_all()


def _default_signals() -> None:
    """A signal while the interpreter shuts down ends it without a traceback."""
    for number in NUMBERS:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, signal.SIG_DFL)


def _compiler_lock() -> Any:
    # Numba compiles and loads in one thread at a time, under this lock. It may not have been imported.
    return getattr(sys.modules.get("numba.core.compiler_lock"), "global_compiler_lock", None)


def _compiler_is_ours() -> bool:
    lock = _compiler_lock()
    return lock is not None and lock.is_locked()  # which asks about the calling thread


def _compiler_is_busy() -> bool:
    lock = getattr(_compiler_lock(), "_lock", None)
    if lock is None:
        return False
    if not lock.acquire(blocking=False):
        return True
    lock.release()
    return False


def _a_run_saves_itself() -> bool:
    return bool(getattr(sys.modules.get("idi_fast.training.checkpoint"), "SAVING_RUNS", None))


_watch: Watch | None = None


def current() -> Watch | None:
    """The watch of the running command; None if it was not started by `main`, or runs in a thread."""
    return _watch


def came() -> bool:
    """Whether a signal arrived."""
    return _watch is not None and _watch.number is not None


@contextmanager
def watched() -> Iterator[None]:
    """Watch over a command: see `Watch.installed`."""
    global _watch
    if threading.current_thread() is not threading.main_thread():
        yield  # Python handles signals in the main thread only
        return
    outer, _watch = _watch, Watch()
    try:
        with _watch.installed():
            yield
    finally:
        _watch = outer
