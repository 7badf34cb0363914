"""Work of several stages: while one item is worked on, the next ones are made in another thread."""

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
DEPTH = 1
"""Items that wait to be taken; with more of them memory grows, but not speed."""


@contextmanager
def ahead(items: Iterable[Item]) -> Iterator[Iterator[Item]]:
    """The items, in their order, made in a thread of their own, at most DEPTH of them ready and one in the making.

    What is raised in making them is raised where they are wanted. At the end of the block the thread is gone.
    """
    made: queue.Queue = queue.Queue(DEPTH)
    stopped = threading.Event()

    def put(kind: str, value: object) -> bool:
        # With a time limit, since nobody may be left to take it.
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
