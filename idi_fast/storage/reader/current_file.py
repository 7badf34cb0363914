"""Which file is parsed next: told before it is, since a parser may end the process."""

from collections.abc import Callable
from pathlib import Path

on_reading: list[Callable[[Path], None]] = []
"""Who is told."""


def at(file: Path | str) -> None:
    """Tell of a file that it is parsed next."""
    for tell in on_reading:
        tell(Path(file))
