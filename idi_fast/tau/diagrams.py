"""Reduced ordered binary decision diagrams (Bryant 1986) of the bits of terms.

Such a diagram is canonical: equal functions have the same node, and a function depends on exactly the variables in
its diagram.
"""

from collections.abc import Callable, Hashable, Iterable
from functools import partial
from typing import Generic, TypeVar

from idi_fast.tau.formula import And, At, Bit, Bits, Chain, Less, Not, Or, Term

MOST_NODES = 50_000
"""Limit of nodes: the diagrams of some functions grow exponentially."""

MOST_UNKNOWN = 250
"""Limit of variables: combining diagrams recurses once for each."""

FALSE, TRUE = 0, 1

Variable = TypeVar("Variable", bound=Hashable)


class TooLarge(Exception):
    """A diagram needs more than MOST_NODES nodes or MOST_UNKNOWN variables."""


class Diagrams(Generic[Variable]):
    """Diagrams that share their nodes. A node is (level, node if false, node if true), or a truth value.

    variables: from the top of the diagrams down; more are added at the bottom on demand. Raises TooLarge.
    """

    def __init__(self, variables: Iterable[Variable] = ()):
        self._nodes: list[tuple[int, int, int]] = [(MOST_UNKNOWN, 0, 0), (MOST_UNKNOWN, 1, 1)]
        self._numbers: dict[tuple[int, int, int], int] = {}
        self._chosen: dict[tuple[int, int, int], int] = {}
        self._levels: dict[Variable, int] = {}
        self._names: list[Variable] = []
        for name in variables:
            self.variable(name)

    def variable(self, name: Variable) -> int:
        """The diagram of a variable."""
        if name not in self._levels:
            if len(self._names) == MOST_UNKNOWN:
                raise TooLarge
            self._levels[name] = len(self._names)
            self._names.append(name)
        return self._node(self._levels[name], FALSE, TRUE)

    def parts(self, node: int) -> tuple[Variable, int, int]:
        """The variable at the top of a diagram that is not a truth value, and its branches if false and true."""
        level, low, high = self._nodes[node]
        return self._names[level], low, high

    def support(self, nodes: Iterable[int]) -> set[Variable]:
        """The variables in diagrams."""
        seen: set[int] = set()
        left = list(nodes)
        while left:
            node = left.pop()
            if node > TRUE and node not in seen:
                seen.add(node)
                left += self._nodes[node][1:]
        return {self._names[self._nodes[node][0]] for node in seen}

    def _node(self, level: int, low: int, high: int) -> int:
        if low == high:
            return low
        key = (level, low, high)
        if key not in self._numbers:
            if len(self._nodes) > MOST_NODES:
                raise TooLarge
            self._numbers[key] = len(self._nodes)
            self._nodes.append(key)
        return self._numbers[key]

    def choose(self, node: int, high: int, low: int) -> int:
        """The diagram of `high` where `node` is true and of `low` where it is false."""
        if node <= TRUE:
            return high if node else low
        if high == low:
            return high
        key = (node, high, low)
        if key not in self._chosen:
            level = min(self._nodes[part][0] for part in key)
            halves = [
                self.choose(*(self._nodes[part][side] if self._nodes[part][0] == level else part for part in key))
                for side in (1, 2)
            ]
            self._chosen[key] = self._node(level, *halves)
        return self._chosen[key]

    def negated(self, node: int) -> int:
        """The diagram that is true where another is false."""
        return self.choose(node, FALSE, TRUE)

    def both(self, one: int, other: int) -> int:
        """The diagram that is true where both are."""
        return self.choose(one, other, FALSE)

    def either(self, one: int, other: int) -> int:
        """The diagram that is true where one or both are."""
        return self.choose(one, TRUE, other)

    def differ(self, one: int, other: int) -> int:
        """The diagram that is true where exactly one of both is."""
        return self.choose(one, self.negated(other), other)

    def fixed(self, node: int, name: Variable, value: bool) -> int:
        """A diagram with the value of a variable fixed."""
        level, found = self._levels[name], {FALSE: FALSE, TRUE: TRUE}

        def walk(node: int) -> int:
            if node not in found:
                top, low, high = self._nodes[node]
                if top > level:
                    found[node] = node
                elif top == level:
                    found[node] = high if value else low
                else:
                    found[node] = self._node(top, walk(low), walk(high))
            return found[node]

        return walk(node)

    def term(self, term: Term, bit: int, value: Callable[[At, int], int]) -> int:
        """The diagram of one bit of a term; value: that of a bit of a stream's value."""
        if isinstance(term, At):
            return value(term, bit)
        if isinstance(term, Bit):
            return term.value
        if isinstance(term, Bits):
            return term.value >> bit & 1
        if isinstance(term, Not):
            return self.negated(self.term(term.term, bit, value))
        if isinstance(term, Less):
            return self._less(term, value)
        assert isinstance(term, Chain)
        join = self.both if isinstance(term, And) else self.either if isinstance(term, Or) else self.differ
        node, *others = (self.term(part, bit, value) for part in term.terms)
        for other in others:
            node = join(node, other)
        return node

    def written(self, node: int, value: Callable[[Variable], At]) -> Term:
        """A diagram as a term of the values of its variables, 0 and 1."""
        if node <= TRUE:
            return Bit(node)
        name, low, high = self.parts(node)
        low, high = self.written(low, value), self.written(high, value)
        return Or((And((value(name), high)), And((Not(value(name)), low))))

    def _less(self, term: Less, value: Callable[[At, int], int]) -> int:
        node = FALSE
        for bit in range(term.width):  # the last bit that differs decides
            left, right = (self.term(part, bit, value) for part in (term.left, term.right))
            node = self.choose(self.differ(left, right), right, node)
        return node


def _variable(diagrams: Diagrams[tuple[At, int]], at: At, bit: int) -> int:
    return diagrams.variable((at, bit))


def support(term: Term, width: int | None) -> frozenset[At] | None:
    """The values on which a term depends: changing them can change the term.

    None if that is too large to compute.
    """
    found: set[At] = set()
    try:
        for bit in range(width or 1):
            diagrams: Diagrams[tuple[At, int]] = Diagrams()
            node = diagrams.term(term, bit, partial(_variable, diagrams))
            found |= {at for at, _ in diagrams.support([node])}
    except TooLarge:
        return None
    return frozenset(found)
