"""Which clauses of an unsatisfiable specification conflict: a minimal set, and at which times."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from idi_fast.tau.formula import Clause
from idi_fast.tau.parts import Definition

Part = TypeVar("Part")


@dataclass(frozen=True)
class ConflictingClause:
    """A clause that conflicts with others, and the times at which it does; none for one that holds at a fixed time."""

    clause: Clause
    times: tuple[int, ...] = ()

    def __str__(self) -> str:
        if not self.times:
            return str(self.clause)
        return f"{self.clause} at time{'s' * (len(self.times) > 1)} {joined(map(str, self.times))}"


def minimal(parts: Sequence[Part], conflict: Callable[[list[Part]], bool]) -> list[Part]:
    """A minimal set of conflicting parts, found by leaving out one after the other.

    This is repeated until nothing changes: with fewer clauses others may hold at other times.
    """
    found, before = list(parts), None
    while found != before:
        before = list(found)
        for part in before:
            rest = [other for other in found if other is not part]
            if rest and conflict(rest):
                found = rest
    return found


def describe(said: Sequence[ConflictingClause], definitions: Sequence[Definition]) -> str:
    """A sentence about conflicting clauses; definitions: what they say about fixed times, if that is the conflict."""
    if len(said) == len(definitions) == 2 and definitions[0].target == definitions[1].target:
        target = definitions[0].target
        both = f"at time {target.index} both {definitions[0].clause} and {definitions[1].clause} hold"
        return f"unsatisfiable: {both}, and some inputs make them differ about {target}"
    return f"unsatisfiable: some inputs leave no solution of {joined(map(str, said))}"


def joined(parts: Iterable[str]) -> str:
    """Things in a row: ``a``, ``a and b``, ``a, b and c``."""
    *others, last = parts
    return f"{', '.join(others)} and {last}" if others else last
