"""What outputs hang on: reduced ordered binary decision diagrams (Bryant 1986) of their terms.

Such a diagram is canonical, so a function hangs on just those variables that stand in its diagram.
"""

from collections.abc import Callable, Mapping

from idi_fast.tau.formula import And, At, Bit, Bits, Not, Or, Term, values_of

MOST_NODES = 50_000
"""Nodes after which it is given up: the diagrams of some functions grow exponentially."""

MOST_UNKNOWN = 250
"""Unknown values at most: what combines diagrams calls itself once for each."""

FALSE, TRUE = 0, 1


class _TooLarge(Exception):
    """There are too many nodes."""


def hang_on(terms: Mapping[At, Term], known: Callable[[At], int | None], width: int | None) -> frozenset[At] | None:
    """The unknown values that some target hangs on: another value of theirs can make another of the target's.

    terms: what each target is, in an order in which targets stand before they are used, all of one width; known: the
    value of a stream where it is known, else None. All operators work bit by bit, so each bit is looked at alone.
    None where that is too large to work out.
    """
    found: set[At] = set()
    try:
        for bit in range(width or 1):
            found |= _Diagrams(terms, known, bit).support()
    except _TooLarge:
        return None
    return frozenset(found)


class _Diagrams:
    """One bit of each target. A node is (variable, node where it is false, node where it is true), or a truth value."""

    def __init__(self, terms: Mapping[At, Term], known: Callable[[At], int | None], bit: int):
        self._bit = bit
        self._nodes: list[tuple[int, int, int]] = [(MOST_UNKNOWN, 0, 0), (MOST_UNKNOWN, 1, 1)]
        self._numbers: dict[tuple[int, int, int], int] = {}
        self._chosen: dict[tuple[int, int, int], int] = {}
        self._values: dict[At, int] = {}
        self._unknown: list[At] = []
        for value in dict.fromkeys(value for term in terms.values() for value in values_of(term)):
            if value not in terms:
                constant = known(value)
                self._values[value] = self._variable(value) if constant is None else self._constant(constant)
        self._targets = []
        for target, term in terms.items():
            self._values[target] = self._of(term)
            self._targets.append(self._values[target])

    def support(self) -> set[At]:
        """The unknown values that stand in the diagrams of the targets."""
        seen: set[int] = set()
        left = list(self._targets)
        while left:
            node = left.pop()
            if node > TRUE and node not in seen:
                seen.add(node)
                left += self._nodes[node][1:]
        return {self._unknown[self._nodes[node][0]] for node in seen}

    def _constant(self, value: int) -> int:
        return value >> self._bit & 1

    def _variable(self, value: At) -> int:
        if len(self._unknown) == MOST_UNKNOWN:
            raise _TooLarge
        self._unknown.append(value)
        return self._node(len(self._unknown) - 1, FALSE, TRUE)

    def _node(self, variable: int, low: int, high: int) -> int:
        if low == high:
            return low
        key = (variable, low, high)
        if key not in self._numbers:
            if len(self._nodes) > MOST_NODES:
                raise _TooLarge
            self._numbers[key] = len(self._nodes)
            self._nodes.append(key)
        return self._numbers[key]

    def _choose(self, node: int, high: int, low: int) -> int:
        """The diagram of `high` where `node` is true and of `low` where it is false."""
        if node <= TRUE:
            return high if node else low
        if high == low:
            return high
        key = (node, high, low)
        if key not in self._chosen:
            variable = min(self._nodes[part][0] for part in key)
            halves = [
                self._choose(*(self._nodes[part][side] if self._nodes[part][0] == variable else part for part in key))
                for side in (1, 2)
            ]
            self._chosen[key] = self._node(variable, *halves)
        return self._chosen[key]

    def _of(self, term: Term) -> int:
        if isinstance(term, At):
            return self._values[term]
        if isinstance(term, Bit | Bits):
            return self._constant(term.value)
        if isinstance(term, Not):
            return self._choose(self._of(term.term), FALSE, TRUE)
        node, *others = map(self._of, term.terms)
        for other in others:
            if isinstance(term, And):
                node = self._choose(node, other, FALSE)
            else:
                node = self._choose(node, TRUE if isinstance(term, Or) else self._choose(other, FALSE, TRUE), other)
        return node
