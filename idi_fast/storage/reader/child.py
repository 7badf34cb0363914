"""The reader: a process that parses files for another one, and ends with it."""

import gc
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np

from idi_fast import __version__
from idi_fast.errors import IdiFastError
from idi_fast.storage.reader.messages import VERSION, Slot, read_message, write_message

Item = tuple[Any, list[np.ndarray]]

OPERATIONS = {
    "columns": "idi_fast.data.reading:find_columns",
    "count": "idi_fast.data.reading:count_all",
    "bars": "idi_fast.data.reading:read_bars",
    "split": "idi_fast.data.bar_files:split_by_column",
    "table": "idi_fast.storage.reader.table_files:describe",
    "frames": "idi_fast.storage.reader.table_files:read_frames",
    "csv": "idi_fast.storage.reader.table_files:read_csv",
}
"""The operations of a reader, by module: each a generator of JSON values and one-dimensional arrays."""


class Child:
    """Serves one request after the other. replies: descriptor to write to; slots: descriptors of memory files."""

    def __init__(self, replies: int, slots: list[int]):
        self._replies = replies
        self._slots = [Slot(slot) for slot in slots]
        self.requests: queue.SimpleQueue = queue.SimpleQueue()
        self._file: str | None = None

    def listen(self, descriptor: int) -> None:
        """Take requests until the client is gone; then the process ends, whatever it is doing."""
        try:
            while True:
                self.requests.put(read_message(descriptor))
        except (EOFError, OSError):
            os._exit(0)

    def serve(self) -> None:
        """Answer requests for ever."""
        while True:
            request = self.requests.get()
            if request["do"] == "stop":
                self._say({"stopped": True})
            elif request["do"] == "start":
                self._stream(request)

    def at(self, file: object) -> None:
        """Say which file is read next: if it crashes the process, it is the one to name."""
        self._file = str(file)
        self._say({"at": str(file)})

    def _stream(self, request: dict) -> None:
        items = None
        try:
            if request["folder"] is not None:
                os.chdir(request["folder"])
            limit_memory(request["memory"])
            module, _, name = OPERATIONS[request["operation"]].partition(":")
            items = getattr(import_module(module), name)(**request["arguments"])
            self._send_all(items)
        except BaseException as error:  # noqa: BLE001 -- it is raised again where the items are wanted
            self._say({"error": describe(error, self._file)})
        finally:
            if items is not None:
                items.close()
            limit_memory(None)

    def _send_all(self, items: Iterator[Item]) -> None:
        """Send items as they are requested. One is held back until it is known whether it is the last, so that the
        reader is free for others while that one is processed."""
        item = next(items, None)
        while item is not None:
            following, error = None, None
            try:
                following = next(items, None)
            except Exception as raised:  # noqa: BLE001 -- raised in its turn
                error = raised
            request = self.requests.get()
            if request["do"] == "stop":
                self._say({"stopped": True})
                return
            is_last = following is None and error is None
            value, arrays = item
            self._send(value, arrays, request["slot"], is_last=is_last)
            if error is not None:
                raise error
            if is_last:
                return
            item = following
        self._say({"end": True})

    def _send(self, value: Any, arrays: list[np.ndarray], slot: int | None, *, is_last: bool) -> None:
        arrays = [np.ascontiguousarray(array) for array in arrays]
        places, is_inline = [0] * len(arrays), slot is None
        if slot is not None:
            try:
                places = self._slots[slot].write(arrays)
            except OSError:  # files must not be so long here (ulimit -f)
                is_inline = True
        head = {"value": value, "slot": slot, "is_inline": is_inline, "is_last": is_last}
        head["arrays"] = [(array.dtype.str, len(array), at) for array, at in zip(arrays, places, strict=True)]
        write_message(self._replies, head, arrays if is_inline else ())

    def _say(self, head: dict) -> None:
        write_message(self._replies, head)


def describe(error: BaseException, file: str | None) -> dict[str, Any]:
    """An exception as JSON, to be raised again elsewhere; file: the one that was being read."""
    about: dict[str, Any] = {"kind": type(error).__name__, "text": str(error)}
    if isinstance(error, IdiFastError):
        return about
    if isinstance(error, OSError):
        return {"kind": "OSError", "text": str(error), "os": [error.errno, error.strerror, error.filename]}
    if isinstance(error, MemoryError):
        return {"kind": "DataError", "text": f"{file}: it needs more memory than there is"}
    if type(error).__module__.partition(".")[0] in ("polars", "pyarrow", "pyo3_runtime"):
        reason = (str(error).splitlines() or [about["kind"]])[0]
        return {"kind": "DataError", "text": f"{file}: its values cannot be read: {reason}"}
    return {"kind": None, "text": f"{about['kind']}: {error}"}


def limit_memory(more: int | None) -> None:
    """Allow so many bytes of memory beyond those in use, None: any number. Enforced on Linux only."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    soft = hard
    if more is not None:
        with open("/proc/self/statm") as file:
            soft = int(file.read().split()[0]) * resource.getpagesize() + more
        soft = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _detach(parent: int, *, dies_with_thread: bool) -> int:
    """Detach from the terminal, signals and core files; return a descriptor of what was standard output."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):  # they are for the client, which then ends this process
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    replies, nothing = os.dup(1), os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)  # output of a library must not get among the replies
    if sys.platform == "win32":
        import msvcrt

        for descriptor in (0, replies):
            msvcrt.setmode(descriptor, os.O_BINARY)
        return replies
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if dies_with_thread and sys.platform.startswith("linux"):
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(0)
    return replies


def main(parent: int, dies_with_thread: bool, slots: list[int], expects_bars: bool) -> None:
    """Serve on standard input and output until the parent process is gone.

    dies_with_thread: whether the thread that started this process lives as long as its process; expects_bars: whether
    Parquet files of bars are likely to be requested, which need pyarrow.
    """
    child = Child(_detach(parent, dies_with_thread=dies_with_thread), slots)
    child._say({"hello": [VERSION, __version__]})
    threading.Thread(target=child.listen, args=(0,), daemon=True).start()
    from idi_fast.storage.reader import current_file

    current_file.on_reading.append(child.at)
    # While there is nothing else to do.
    import_module(OPERATIONS["bars" if expects_bars else "table"].partition(":")[0])
    if expects_bars and child.requests.empty():
        import pyarrow.parquet  # noqa: F401
    gc.freeze()
    gc.enable()
    child.serve()
