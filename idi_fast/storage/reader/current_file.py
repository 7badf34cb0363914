"""Which file is parsed next: reported before parsing, since that may crash the process."""

from collections.abc import Callable
from pathlib import Path

on_reading: list[Callable[[Path], None]] = []
"""Who is told."""


def at(file: Path | str) -> None:
    """Report a file that is parsed next."""
    for tell in on_reading:
        tell(Path(file))
