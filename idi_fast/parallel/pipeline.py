"""Pipelined work: while one item is processed, another thread makes the next ones."""

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
DEPTH = 1
"""Items that wait to be consumed; more would cost memory without adding speed."""


@contextmanager
def ahead(items: Iterable[Item]) -> Iterator[Iterator[Item]]:
    """The items, in order, made in a separate thread, at most DEPTH of them ready and one in the making.

    An exception in making them is raised where they are consumed. At the end of the block the thread has ended.
    """
    made: queue.Queue = queue.Queue(DEPTH)
    stopped = threading.Event()

    def put(kind: str, value: object) -> bool:
        # With a time limit, since the consumer may be gone.
        while not stopped.is_set():
            try:
                made.put((kind, value), timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def make() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                if not put("item", item):
                    break
            else:
                put("end", None)
        except BaseException as error:  # noqa: BLE001 -- it is raised again where the items are wanted
            put("error", error)
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    def take() -> Iterator[Item]:
        while True:
            kind, value = made.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    try:
        yield take()
    finally:
        stopped.set()
        thread.join()
