"""Functions of the user's in tests: what is registered is so until the end of a test."""

from collections.abc import Iterator
from contextlib import contextmanager

from idi_fast.config.own_functions import MARKETS, REWARDS
from idi_fast.config.transforms import TRANSFORMS

REGISTRIES: tuple[dict, ...] = (TRANSFORMS, MARKETS, REWARDS)


@contextmanager
def as_before() -> Iterator[None]:
    """What is registered in the block is forgotten at its end."""
    before = [dict(registry) for registry in REGISTRIES]
    try:
        yield
    finally:
        for registry, entries in zip(REGISTRIES, before, strict=True):
            registry.clear()
            registry.update(entries)


def forget(*names: str) -> None:
    """As in a process that never had these."""
    for registry in REGISTRIES:
        for name in names:
            registry.pop(name, None)
