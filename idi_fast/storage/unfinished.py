"""What goes from the disk when a process is ended in the middle of its work, by a signal that it could not answer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_removals: dict[object, Callable[[], None]] = {}


@contextmanager
def removing(remove: Callable[[], None]) -> Iterator[None]:
    """While the block lasts, `remove` takes away what is in the making, should the process be ended in it.

    It is called from another thread, with the main thread stopped.
    """
    key = object()
    _removals[key] = remove
    try:
        yield
    finally:
        _removals.pop(key, None)


def remove_all() -> None:
    """Take away what is in the making, the latest first; what cannot be removed stays."""
    for remove in reversed(list(_removals.values())):
        with suppress(OSError):
            remove()
