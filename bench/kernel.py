"""How the benchmark describes a kernel."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Prepared:
    """A kernel with its arguments.

    call: runs it; made: its results after the first call; expected: the oracle's results for the same arguments.
    """

    call: Callable[[], object]
    made: Callable[[], Iterable]
    expected: Callable[[], Iterable]


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel to time: `prepare` makes arguments of this many rows.

    name: as in `idi_fast.kernels`, optionally followed by a comma and its input; per_row: units per row; rtol, atol:
    tolerances for rounding, as in the kernel's test.
    """

    name: str
    prepare: Callable[[int], Prepared]
    unit: str = "row"
    per_row: int = 1
    rtol: float = 0.0
    atol: float = 0.0

    @property
    def oracle(self) -> str:
        """The oracle has the name of the kernel."""
        return self.name.split(",")[0]


def columns(rows: Iterable[tuple]) -> list[tuple]:
    """An oracle's rows as columns, as a kernel writes them."""
    return list(zip(*rows, strict=True))
