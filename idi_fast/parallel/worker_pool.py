"""Threads that train in parallel: an error in one ends all, and an interrupt waits for none."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Protocol, TypeVar

from idi_fast.config.arguments import check_integer
from idi_fast.errors import Cancelled

POLL_SECONDS = 0.1
Item = TypeVar("Item")


def usable_cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Cancellable(Protocol):
    """Work that another thread can cancel."""

    def cancel(self) -> None:
        """End it soon."""


class WorkerPool:
    """Threads that take one item of work after the other; `stopped` is set when they must take no more.

    jobs: how many, by default the usable cores, but no more than there are items. Raises InputError.
    """

    def __init__(self, jobs: int | None, items: int):
        jobs = check_integer("jobs", jobs, least=1, optional=True)
        self.jobs = max(1, min(usable_cores() if jobs is None else jobs, items))
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._running: set[Cancellable] = set()

    @contextmanager
    def training(self, trainer: Cancellable) -> Iterator[None]:
        """During the block the trainer is cancelled when the pool stops."""
        with self._lock:
            self._running.add(trainer)
            if self.stopped.is_set():
                trainer.cancel()
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(trainer)

    def each(
        self, work: Callable[[Item], None], items: Iterable[Item], watch: Callable[[], None] = lambda: None
    ) -> None:
        """Do `work` with every item, started in order; `watch` is called in this thread, ten times a second.

        An exception in either, including an interrupt, stops all; of several items the first one's is raised.
        """
        errors: dict[int, Exception] = {}
        waiting = enumerate(items)

        def take() -> None:
            while True:
                with self._lock:
                    taken = None if self.stopped.is_set() else next(waiting, None)
                if taken is None:
                    return
                number, item = taken
                try:
                    work(item)
                except Exception as error:  # noqa: BLE001 -- whatever ends one ends all, and is raised below
                    if not (isinstance(error, Cancelled) and self.stopped.is_set()):
                        errors[number] = error
                    self.stop()

        with ThreadPoolExecutor(self.jobs) as pool:
            try:
                working = {pool.submit(take) for _ in range(self.jobs)}
                while working:
                    # With a time limit, since waiting for a lock delays an interrupt.
                    ended, working = wait(working, POLL_SECONDS)
                    for future in ended:
                        future.result()
                    watch()
            except BaseException:
                self.stop()
                raise
        if errors:
            raise errors[min(errors)]

    def stop(self) -> None:
        """Start nothing more, and cancel what is training."""
        with self._lock:
            self.stopped.set()
            for trainer in self._running:
                trainer.cancel()
