"""What the shell completes."""

from collections.abc import Callable


def choices(*names: str) -> Callable[[str], list[str]]:
    """The shell's completion of an option that takes one of these names."""
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]
