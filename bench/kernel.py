"""What the benchmark knows of a kernel."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Prepared:
    """A kernel with arguments of its own.

    call: runs it; made: its results after the first call; expected: what the oracle makes of the same arguments.
    """

    call: Callable[[], object]
    made: Callable[[], Iterable]
    expected: Callable[[], Iterable]


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel to time: `prepare` makes arguments of so many rows.

    name: as in `idi_fast.kernels`, then perhaps a comma and what it is run on; per_row: units that a row counts for;
    rtol, atol: what rounding allows, as in the kernel's test.
    """

    name: str
    prepare: Callable[[int], Prepared]
    unit: str = "row"
    per_row: int = 1
    rtol: float = 0.0
    atol: float = 0.0

    @property
    def oracle(self) -> str:
        """The oracle is called as the kernel."""
        return self.name.split(",")[0]


def columns(rows: Iterable[tuple]) -> list[tuple]:
    """An oracle's rows as the columns that a kernel writes."""
    return list(zip(*rows, strict=True))
