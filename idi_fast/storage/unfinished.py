"""What to remove from the disk when a process is ended in the middle of its work, by a signal it could not handle."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_removals: dict[object, Callable[[], None]] = {}


@contextmanager
def removing(remove: Callable[[], None]) -> Iterator[None]:
    """During the block, `remove` removes unfinished files if the process is ended.

    It is called from another thread, with the main thread stopped.
    """
    key = object()
    _removals[key] = remove
    try:
        yield
    finally:
        _removals.pop(key, None)


def remove_all() -> None:
    """Remove unfinished files, the latest first; what cannot be removed stays."""
    for remove in reversed(list(_removals.values())):
        with suppress(OSError):
            remove()
