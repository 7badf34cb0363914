"""What a specification's clauses define, checked to be functions of what is known, and compiled."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import numpy as np

from idi_fast.kernels import tau as kernels
from idi_fast.tau.diagrams import FALSE, TRUE, Diagrams, TooLarge
from idi_fast.tau.formula import (
    DEEPEST,
    And,
    At,
    Bit,
    Bits,
    Clause,
    Not,
    NotModelled,
    Or,
    Term,
    Xor,
    largest,
    shifted,
    values_of,
)
from idi_fast.tau.parts import Choices, Definition, Part, least, put_in, split
from idi_fast.tau.spec import Spec

JOINS = {And: kernels.AND, Or: kernels.OR, Xor: kernels.XOR}

KERNEL_BITS = 32
"""Wider values are worked out by Python's integers."""


@dataclass(frozen=True)
class Model:
    """Definitions of the outputs: at a time below `settled` by `first`, from there on by `clauses`.

    lookback: L, from which on the clauses for t hold; last_time: the largest fixed time, -1 if there is none; clauses:
    the term of each output at t, in an order in which each is known before it is used; first: the terms at each time
    below `settled`; parts: the clauses as the interpreter looks at them; choices: what free outputs must be; inputs,
    outputs: the streams that occur, in the order of letters, in which the interpreter reads them; rows: each stream's
    row in arrays of streams; masks: all bits of each stream; letters: free variables of an sbf's values.
    """

    spec: Spec
    lookback: int
    last_time: int
    clauses: Mapping[str, Term]
    first: tuple[Mapping[str, Term], ...]
    parts: tuple[Part, ...]
    choices: Choices
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    rows: Mapping[str, int]
    masks: Mapping[str, int]
    letters: int

    @classmethod
    def of(cls, spec: Spec, letters: int = 0) -> "Model":
        """The model of a specification, for values of sbf that are functions of so many free variables.

        Raises NotModelled where its clauses do not define the outputs one by one, Unsatisfiable where no outputs
        satisfy them.
        """
        widths = {name: stream.width for name, stream in spec.streams.items()}
        masks = {name: largest(1 << letters if width is None else width) for name, width in widths.items()}
        said = [_checked(_oriented(clause), widths) for clause in spec.clauses]
        looked_at, effective = _simplified(said, masks, widths)
        parts, clauses = split(looked_at), _for_t(effective)
        used = {value.name for clause in looked_at for value in (clause.target, *values_of(clause.term))}
        inputs = tuple(sorted(name for name in used if spec.streams[name].is_input))
        outputs = tuple(sorted({value.name for value in spec.values if not spec.streams[value.name].is_input}))
        lookback = max(part.lookback for part in parts)
        definitions = [
            Definition(d.target, least(d.term, widths[d.target.name], masks[d.target.name]), d.clause)
            for part in parts
            for d in part.definitions()
        ]
        terms, pairs = _once(definitions)
        choices = Choices(terms, widths, pairs)
        last_time = max((definition.target.index for definition in definitions), default=-1)
        first = []
        for time in range(max(lookback, last_time + 1)):
            there = {at.name: term for at, term in terms.items() if at.index == time}
            if time >= lookback:
                there |= {name: shifted(term, time) for name, term in clauses.items()}
            first.append(_in_order(there, str(time)))
        return cls(
            spec, lookback, last_time, _in_order(clauses, "t"), tuple(first), parts, choices, inputs, outputs,
            {name: row for row, name in enumerate((*inputs, *outputs))}, masks, letters,
        )  # fmt: skip

    @property
    def settled(self) -> int:
        """The time from which on the clauses for t say all there is."""
        return len(self.first)

    @property
    def truth(self) -> int:
        """What 1 is in an sbf: all bits of a truth table."""
        return largest(1 << self.letters)

    @property
    def dtype(self) -> type:
        """The type of arrays of values: uint32, or Python's integers where one is wider."""
        return np.uint32 if max(self.truth, *self.masks.values()) >> KERNEL_BITS == 0 else object

    def runner(self, time: int | None = None) -> "Program":
        """What works out the outputs at t, or at a time below `settled`."""
        terms = self.clauses if time is None else self.first[time]
        return Program(_compile(terms, self.rows, self.masks, time), self.dtype)


@dataclass(frozen=True)
class Program:
    """Compiled terms; lines: as `run_clauses` takes them."""

    lines: list[tuple[int, int, int, int]]
    dtype: type

    def run(self, streams: np.ndarray, start: int, stop: int) -> None:
        """Work out the outputs in columns `start` to `stop` of the streams.

        streams uint32 or object (n_streams, n): rows by `Model.rows`, a column a time; at least as many columns before
        `start` as the terms look back.
        """
        if self.dtype is not object:
            lines = np.array(self.lines, np.int64).reshape(-1, 4)
            kernels.run_clauses(lines, streams, np.empty(DEEPEST, np.uint32), start, stop)
            return
        registers = [0] * DEEPEST
        for time in range(start, stop):
            for operation, target, first, second in self.lines:
                if operation == kernels.LOAD:
                    registers[target] = int(streams[first, time - second])
                elif operation == kernels.CONSTANT:
                    registers[target] = first
                elif operation == kernels.FLIP:
                    registers[target] ^= first
                elif operation == kernels.AND:
                    registers[target] &= registers[first]
                elif operation == kernels.OR:
                    registers[target] |= registers[first]
                elif operation == kernels.XOR:
                    registers[target] ^= registers[first]
                else:
                    streams[target, time] = registers[first]


def _oriented(clause: Clause) -> Clause:
    """A clause with an output on the left of = if it has one there or alone on the right."""
    target, term = clause.target, clause.term
    if target.name.startswith("i") and isinstance(term, At) and term.name.startswith("o"):
        return Clause(term, target)
    return clause


def _simplified(
    clauses: list[Clause], masks: Mapping[str, int], widths: Mapping[str, int | None]
) -> tuple[list[Clause], list[Clause]]:
    """Clauses as the interpreter looks at them, and without all that has no effect.

    Of its simplification this much is on record: that of an sbf is complete, and outputs that are constants or inputs
    are put into other clauses. Where more of it would make other parts, NotModelled is raised.
    """

    def leasts(clauses: Iterable[Clause]) -> list[Clause]:
        return [
            Clause(clause.target, least(clause.term, widths[clause.target.name], masks[clause.target.name]))
            for clause in clauses
        ]

    plain = put_in(clauses, masks, widths, inverted=False)
    complete = [
        less if widths[less.target.name] is None else clause
        for clause, less in zip(plain, leasts(plain), strict=True)
    ]
    most = put_in(leasts(plain), masks, widths, inverted=True)
    while (more := put_in(leasts(most), masks, widths, inverted=True)) != most:
        most = more
    if _shape(complete) != _shape(most):
        raise NotModelled(
            "whether some clauses belong together depends on how far they are simplified, and their fixed indices on that"
        )
    return complete, leasts(plain)


def _checked(clause: Clause, widths: Mapping[str, int | None]) -> Clause:
    target = clause.target
    if target.name.startswith("i") or target.lookback:
        raise NotModelled(f"found {target} on the left of =; expected a value of an output at t or a fixed index")
    for value in values_of(clause.term):
        if (value.index is None) != (target.index is None):
            raise NotModelled(f"{target} is defined by {value}; a fixed index goes with fixed indices alone")
        if target.index is not None and value.index > target.index:
            raise NotModelled(f"{target} is defined by {value}, which comes after it")
    return clause


def _shape(clauses: Iterable[Clause]) -> tuple[int, set[tuple[frozenset[At], int, int]]]:
    """The largest lookback, and the parts with fixed indices."""
    parts = split(clauses)
    fixed = {(frozenset(c.target for c in p.clauses), p.lookback, p.last_index) for p in parts if p.last_index >= 0}
    return max(part.lookback for part in parts), fixed


def _for_t(clauses: Iterable[Clause]) -> dict[str, Term]:
    """The term of each output at t."""
    found: dict[str, Term] = {}
    for clause in clauses:
        if clause.target.index is None:
            if found.setdefault(clause.target.name, clause.term) != clause.term:
                raise NotModelled(f"two clauses define {clause.target}; expected one")
    return found


def _once(
    definitions: Iterable[Definition],
) -> tuple[dict[At, Term], list[tuple[Definition, Definition]]]:
    """One term of each value that is defined, and the pairs of definitions of the same value by different terms."""
    found: dict[At, Definition] = {}
    pairs = []
    for definition in definitions:
        one = found.setdefault(definition.target, definition)
        if one.term != definition.term:
            pairs.append((one, definition))
    return {target: definition.term for target, definition in found.items()}, pairs


def _in_order(terms: Mapping[str, Term], time: str) -> dict[str, Term]:
    """Terms for one time, so that what one of them needs of another at that time comes before it."""
    graph = {
        name: [value.name for value in values_of(term) if _now(value, time) and value.name.startswith("o")]
        for name, term in terms.items()
    }
    for name, needed in graph.items():
        if free := set(needed) - set(terms):
            raise NotModelled(f"{name}[{time}] is defined by {min(free)}[{time}], which no clause defines")
    try:
        return {name: terms[name] for name in TopologicalSorter(graph).static_order()}
    except CycleError as error:
        around = ", ".join(f"{name}[{time}]" for name in error.args[1])
        raise NotModelled(f"outputs that are defined by one another: {around}; expected no circle") from None


def _now(value: At, time: str) -> bool:
    return value.lookback == 0 if value.index is None else str(value.index) == time


def _compile(
    terms: Mapping[str, Term], rows: Mapping[str, int], masks: Mapping[str, int], index: int | None
) -> list[tuple[int, int, int, int]]:
    """The program of terms about t or, with an index, about that time, as `run_clauses` takes it."""
    lines: list[tuple[int, int, int, int]] = []

    def emit(term: Term, register: int, mask: int) -> None:  # a register a level: fewer than DEEPEST
        if isinstance(term, At):
            back = term.lookback if index is None else index - term.index
            lines.append((kernels.LOAD, register, rows[term.name], back))
        elif isinstance(term, Bit | Bits):
            lines.append((kernels.CONSTANT, register, term.value * mask if isinstance(term, Bit) else term.value, 0))
        elif isinstance(term, Not):
            emit(term.term, register, mask)
            lines.append((kernels.FLIP, register, mask, 0))
        else:
            emit(term.terms[0], register, mask)
            for part in term.terms[1:]:
                emit(part, register + 1, mask)
                lines.append((JOINS[type(term)], register, register + 1, 0))

    for name, term in terms.items():
        emit(term, 0, masks[name])
        lines.append((kernels.STORE, rows[name], 0, 0))
    return lines
