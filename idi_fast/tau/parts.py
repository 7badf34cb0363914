"""The parts of a specification, and what its fixed indices mean in each.

Before it runs, the interpreter simplifies the clauses and groups those that share outputs: the *parts*. In a
part with fixed indices, of which the largest is h, and whose largest lookback is Lp, the clauses for t hold at the
times Lp to h + Lp as well, whatever the other parts look back. So a value may be defined twice, and then both
definitions must agree for any inputs: free outputs are chosen so that they do, and if no choice does, the
specification is unsatisfiable.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from idi_fast.tau.diagrams import FALSE, TRUE, Diagrams, TooLarge, support
from idi_fast.tau.formula import (
    And,
    At,
    Bit,
    Bits,
    Clause,
    Less,
    Not,
    NotModelled,
    Or,
    SpecError,
    Term,
    fold,
    shifted,
    values_of,
    walk,
)

Widths = Mapping[str, int | None]
"""Bits of each stream, None for sbf."""


@dataclass(frozen=True)
class Definition:
    """An output's value at a fixed time: a term with fixed indices only, and the clause that it comes from."""

    target: At
    term: Term
    clause: Clause


class Unsatisfiable(SpecError):
    """Clauses that no outputs satisfy for all inputs: the interpreter ends with exit code 1.

    said: a minimal set of conflicting clauses, and when, as `conflicts.ConflictingClause`; definitions: what the
    clauses say about fixed times, if that is the conflict; origin: the clause that each of their clauses was made of;
    time: at which clauses about t conflict, None if it is any.
    """

    said: tuple = ()
    definitions: Sequence[Definition] = ()
    origin: Mapping[Clause, Clause] = {}
    time: int | None = None


@dataclass(frozen=True)
class Part:
    """Clauses that share outputs: the largest lookback of any, and the largest fixed index, -1 if there is none."""

    clauses: tuple[Clause, ...]
    lookback: int
    last_index: int

    @property
    def times(self) -> range:
        """The times at which the clauses for t hold because of fixed indices."""
        return range(self.lookback, self.last_index + self.lookback + 1)

    def definitions(self) -> Iterator[Definition]:
        """What the part says about fixed times."""
        for clause in self.clauses:
            if clause.target.index is not None:
                yield Definition(clause.target, clause.term, clause)
        for time in self.times:
            for clause in self.clauses:
                if clause.target.index is None:
                    target = At(clause.target.name, 0, time - clause.target.lookback)
                    yield Definition(target, shifted(clause.term, time), clause)


def least(term: Term, width: int | None, mask: int) -> Term:
    """A term without the values that it does not depend on; unchanged if that is too large to compute."""
    needed = support(term, width)
    if needed is None or needed.issuperset(values_of(term)):
        return term
    return as_term(fold(term, lambda value: None if value in needed else 0, mask), mask, width)


def as_term(term: Term | int, mask: int, width: int | None) -> Term:
    """The result of `fold` as a term."""
    if isinstance(term, Term):
        return term
    return Bits(term, width) if width else Bit(int(term == mask))


def put_in(clauses: Sequence[Clause], masks: Mapping[str, int], widths: Widths, *, inverted: bool) -> list[Clause]:
    """Clauses with outputs that are constants or inputs substituted into the others, each simplified by `fold`.

    inverted: whether outputs that are inverted inputs are substituted too.
    """
    found = list(clauses)
    while True:
        plain: dict[At, Term | int] = {}
        for clause in found:
            term = clause.term
            bare = term.term if inverted and isinstance(term, Not) else term
            if clause.target.name.startswith("i"):
                continue
            if isinstance(term, Bit | Bits) or (isinstance(bare, At) and bare.name.startswith("i")):
                plain.setdefault(clause.target, term)
        again = []
        for clause in found:
            name = clause.target.name
            term = fold(clause.term, plain.get, masks[name])
            # A substituted term may itself become a constant: folded once more.
            term = fold(as_term(term, masks[name], widths[name]), lambda _: None, masks[name])
            again.append(replace(clause, term=as_term(term, masks[name], widths[name])))
        if again == found:
            return found
        found = again


def split(clauses: Iterable[Clause]) -> tuple[Part, ...]:
    """The parts of clauses: those that share outputs, directly or through others, are in one."""
    parts: list[tuple[set[str], list[Clause]]] = []
    for clause in clauses:
        names = {value.name for value in _values(clause) if value.name.startswith("o")}
        together = [part for part in parts if part[0] & names]
        parts = [part for part in parts if not part[0] & names]
        parts.append((names.union(*(n for n, _ in together)), [*(c for _, found in together for c in found), clause]))
    return tuple(
        Part(
            tuple(found),
            max(value.lookback for clause in found for value in _values(clause)),
            max(-1 if value.index is None else value.index for clause in found for value in _values(clause)),
        )
        for _, found in parts
    )


def _values(clause: Clause) -> Iterator[At]:
    yield clause.target
    yield from values_of(clause.term)


@dataclass(frozen=True)
class _Rule:
    """What must hold at a time, whatever comes after it, for one bit of the streams of one type."""

    width: int | None
    bit: int
    diagrams: Diagrams[At]
    node: int

    def forced(self, time: int, bit: int, known: Callable[[At], int]) -> dict[str, int]:
        """The outputs with a forced value, and that bit of it."""
        found: dict[str, int] = {}
        node = self.node
        while node != TRUE:
            leaf, low, high = self.diagrams.parts(node)
            if leaf.name.startswith("i") or leaf.time < time:
                node = high if known(leaf) >> bit & 1 else low
                continue
            if FALSE not in (low, high):
                raise NotModelled(
                    f"no clause defines {leaf}, and more than one value of it goes with the others: which one the "
                    f"interpreter chooses is not worked out. Define it: ({leaf} = ...)"
                )
            found[leaf.name] = int(low == FALSE)
            node = high if low == FALSE else low
        return found

    def allowed(self, target: At, order: Callable[[At], int]) -> Callable[[Term], Term] | None:
        """As `Choices.wanted`, for this rule alone; None if it leaves the output free."""
        diagrams, node = self.diagrams, self.node
        for leaf in sorted(diagrams.support([node]), key=_in_time):
            if leaf.name.startswith("o") and leaf.index == target.index and order(leaf) > order(target):
                node = diagrams.either(*(diagrams.fixed(node, leaf, truth) for truth in (False, True)))
        if target not in diagrams.support([node]):
            return None
        zero, one = (diagrams.written(diagrams.fixed(node, target, truth), lambda at: at) for truth in (False, True))
        if self.width is None:
            return lambda term: Or((And((term, one)), Not(zero)))
        own = Bits(1 << self.bit, self.width)
        zero, one = (Or((part, Not(own))) for part in (zero, one))
        return lambda term: Or((And((term, one)), Not(zero)))


class Choices:
    """The forced values of free outputs, so that values that are defined twice agree, for some of the parts.

    terms: one definition of each value that is defined at a fixed time; widths: of each stream; pairs: definitions of
    the same value that are not the same term. Raises Unsatisfiable, and NotModelled if it is too large to compute.
    """

    def __init__(self, terms: Mapping[At, Term], widths: Widths, pairs: Sequence[tuple[Definition, Definition]]):
        self._terms = terms
        self._rules: dict[int, list[_Rule]] = {}
        for width in dict.fromkeys(widths[one.target.name] for one, _ in pairs):
            alike = [pair for pair in pairs if widths[pair[0].target.name] == width]
            for bit in range(width or 1):
                self._eliminate(width, bit, alike)

    def _free_leaves(self, pair: tuple[Definition, Definition]) -> set[At]:
        """The inputs and free outputs that two definitions reduce to."""
        found: set[At] = set()
        seen: set[At] = set()
        left = [value for definition in pair for value in values_of(definition.term)]
        while left:
            value = left.pop()
            if value in seen:
                continue
            seen.add(value)
            if value in self._terms:
                left += values_of(self._terms[value])
            else:
                found.add(value)
        return found

    def _eliminate(self, width: int | None, bit: int, pairs: list[tuple[Definition, Definition]]) -> None:
        rules: dict[int, _Rule] = {}
        try:
            if self._winnable(width, bit, pairs, rules):
                for time, rule in rules.items():
                    self._rules.setdefault(time, []).append(rule)
                return
        except TooLarge:
            target = pairs[0][0].target
            raise NotModelled(f"{target} is defined twice; whether both agree is too large to compute") from None
        raise Unsatisfiable()

    def _winnable(
        self, width: int | None, bit: int, pairs: list[tuple[Definition, Definition]], rules: dict[int, _Rule]
    ) -> bool:
        """Whether outputs can be chosen, time by time, so that the definitions agree; adds the rule of each time."""
        leaves = sorted(set().union(*map(self._free_leaves, pairs)), key=_in_time)
        if any(isinstance(part, Less) for pair in pairs for each in pair for part in walk(each.term)):
            raise NotModelled(f"{pairs[0][0].target} is defined twice, once by a comparison")
        diagrams = Diagrams(leaves)
        found: dict[At, int] = {}

        def value(at: At, bit: int) -> int:
            if at not in found:
                term = self._terms.get(at)
                found[at] = diagrams.variable(at) if term is None else diagrams.term(term, bit, value)
            return found[at]

        rule = TRUE
        for one, other in pairs:
            differ = diagrams.differ(*(diagrams.term(each.term, bit, value) for each in (one, other)))
            rule = diagrams.both(rule, diagrams.negated(differ))
        for leaf in reversed(leaves):
            if leaf.name.startswith("o"):
                rules.setdefault(leaf.time, _Rule(width, bit, diagrams, rule))
            halves = (diagrams.fixed(rule, leaf, truth) for truth in (False, True))
            rule = (diagrams.both if leaf.name.startswith("i") else diagrams.either)(*halves)
        return rule == TRUE

    def wanted(self, target: At, order: Callable[[At], int]) -> Iterator[Callable[[Term], Term]]:
        """Turns a term for a free output into one that the clauses allow, equal to it wherever they allow that.

        order: of the outputs of that time; the term may use those before it, and leaves a choice to those after it.
        """
        for rule in () if target.index is None else self._rules.get(target.index, ()):
            found = rule.allowed(target, order)
            if found is not None:
                yield found

    def at(self, time: int, known: Callable[[At], int], bits: int) -> dict[str, int]:
        """The free outputs with a forced value at a time, and that value; others may be anything.

        known: the value of an input at that time or of any stream before it; bits: of a value of an sbf. Raises
        NotModelled if there is a choice.
        """
        chosen: dict[str, int] = {}
        for rule in self._rules.get(time, ()):
            for bit in (rule.bit,) if rule.width else range(bits):
                for name, truth in rule.forced(time, bit, known).items():
                    chosen[name] = chosen.get(name, 0) | truth << bit
        return chosen


def _in_time(value: At) -> tuple[int, bool, str]:
    return value.time, value.name.startswith("o"), value.name
