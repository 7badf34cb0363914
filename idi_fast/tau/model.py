"""A specification's clauses as definitions, checked to be functions of known values, and compiled."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter

import numpy as np

from idi_fast.tau.conflicts import ConflictingClause, describe, minimal
from idi_fast.tau.formula import (
    At,
    Bit,
    Bits,
    Clause,
    Less,
    NotModelled,
    Term,
    Xor,
    largest,
    shifted,
    values_of,
    walk,
)
from idi_fast.tau.parts import Choices, Definition, Part, Unsatisfiable, Widths, least, put_in, split
from idi_fast.tau.program import Program
from idi_fast.tau.solving import Solver
from idi_fast.tau.spec import Spec

KERNEL_BITS = 32
"""Wider values are computed with Python's integers."""


@dataclass(frozen=True)
class Model:
    """Definitions of the outputs: at a time below `settled` by `first`, from there on by `clauses`.

    lookback: L, from which on the clauses for t hold; last_time: the largest fixed time, -1 if there is none; clauses:
    those about t, ordered so that each value is known before it is used, if possible; first: those about each
    time below `settled`; parts: the clauses as the interpreter groups them; choices: the forced values of free outputs;
    inputs, outputs: the streams that occur, in alphabetical order, in which the interpreter reads them; rows: each
    stream's row in arrays of streams; masks: all bits of each stream; letters: free variables of an sbf's values.
    """

    spec: Spec
    lookback: int
    last_time: int
    clauses: tuple[Clause, ...]
    first: tuple[tuple[Clause, ...], ...]
    parts: tuple[Part, ...]
    choices: Choices
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    rows: Mapping[str, int]
    masks: Mapping[str, int]
    letters: int

    def __post_init__(self) -> None:
        for time in (None, *range(self.settled)):
            self.runner(time)  # raises for what cannot be computed, or has no solution

    @classmethod
    def of(cls, spec: Spec, letters: int = 0) -> "Model":
        """The model of a specification, for values of sbf that are functions of this many free variables.

        Raises NotModelled if its clauses do not define the outputs one by one, Unsatisfiable if no outputs
        satisfy them, which names the conflicting clauses, and the times.
        """
        try:
            return _model(spec, letters)
        except Unsatisfiable:
            raise _explained(spec, letters).with_traceback(None) from None

    @classmethod
    def _of(cls, spec: Spec, letters: int) -> "Model":
        widths = {name: stream.width for name, stream in spec.streams.items()}
        masks = {name: largest(1 << letters if width is None else width) for name, width in widths.items()}
        given = [clause for clause in spec.clauses if not _is_empty(_oriented(clause), masks, widths)]
        said = [_oriented(clause) for clause in given]
        if not said:
            raise NotModelled("the clauses say nothing: every output may be anything")
        for clause in said:
            _check_times(clause)
        looked_at, effective = _simplified(said, masks, widths)
        parts = split(looked_at)
        used = {value.name for clause in looked_at for value in (clause.target, *values_of(clause.term))}
        inputs = tuple(sorted(name for name in used if spec.streams[name].is_input))
        outputs = tuple(sorted({value.name for value in spec.values if not spec.streams[value.name].is_input}))
        lookback = max(part.lookback for part in parts)
        definitions = [
            Definition(d.target, least(d.term, widths[d.target.name], masks[d.target.name]), d.clause)
            for part in parts
            for d in part.definitions()
        ]
        terms, pairs, circular = _once(definitions)
        try:
            choices = Choices(terms, widths, pairs)
        except Unsatisfiable as error:
            error.definitions, error.origin = definitions, dict(zip(looked_at, given, strict=True))
            raise
        last_time = max((definition.target.time for definition in definitions), default=-1)
        rows = {name: row for row, name in enumerate((*inputs, *outputs))}
        about_t = [clause for clause in effective if clause.target.index is None]
        first = []
        for time in range(max(lookback, last_time + 1)):
            there = [
                Clause(At(c.target.name, 0, time), shifted(c.term, time), c.text) for c in about_t if time >= lookback
            ]
            known = {clause.target for clause in there}
            there += [Clause(at, term) for at, term in terms.items() if at.index == time and at not in known]
            if not pairs:
                there += [Clause(d.target, d.term, d.clause.text) for d in circular if d.target.index == time]
            elif not _is_ordered(_ordered(there, time), time):  # a solution must satisfy every clause about the time
                there += [Clause(d.target, d.term, d.clause.text) for d in definitions if d.target.index == time]
            first.append(_ordered(there, time))
        return cls(
            spec,
            lookback,
            last_time,
            _ordered(about_t, None),
            tuple(first),
            parts,
            choices,
            inputs,
            outputs,
            rows,
            masks,
            letters,
        )

    @property
    def settled(self) -> int:
        """The time from which on the clauses for t determine everything."""
        return len(self.first)

    @property
    def truth(self) -> int:
        """The value 1 of an sbf: all bits of a truth table."""
        return largest(1 << self.letters)

    @property
    def dtype(self) -> type:
        """The type of arrays of values: uint32, or Python's integers if one is wider or bitvectors are compared."""
        wide = max(self.truth, *self.masks.values()) >> KERNEL_BITS
        compared = any(isinstance(term, Less) for clause in self.spec.clauses for term in walk(clause.term))
        return object if wide or compared else np.uint32

    def runner(self, time: int | None = None) -> "Program | Solver":
        """The program that computes the outputs at t, or at a time below `settled`. Raises NotModelled,
        Unsatisfiable."""
        clauses = self.clauses if time is None else self.first[time]
        if _is_ordered(clauses, time):
            return Program.of(clauses, self.rows, self.masks, time, self.dtype)
        widths = {name: stream.width for name, stream in self.spec.streams.items()}
        return Solver(clauses, self.rows, widths, 1 << self.letters, time)


@lru_cache(maxsize=8)
def _model(spec: Spec, letters: int) -> Model:
    """Cached, since a check needs the model of the same specification several times."""
    return Model._of(spec, letters)


@lru_cache(maxsize=8)
def _explained(spec: Spec, letters: int) -> Unsatisfiable:
    """The minimal set of conflicting clauses of an unsatisfiable specification.

    Without any one of them the others do not conflict, or what they mean is unclear (NotModelled).
    """
    fewest = minimal(spec.clauses, lambda some: _conflict(replace(spec, clauses=some), letters) is not None)
    core = replace(spec, clauses=fewest)
    conflict, widths = _conflict(core, letters), {name: stream.width for name, stream in core.streams.items()}
    assert conflict is not None  # as in all that `minimal` keeps
    definitions = minimal(conflict.definitions, lambda some: not _agree(some, widths))
    times: dict[Clause, set[int]] = {
        clause: set() if conflict.time is None else {conflict.time} for clause in core.clauses
    }
    for definition in definitions:
        times[conflict.origin[definition.clause]].add(definition.target.time)
    said = tuple(
        ConflictingClause(clause, tuple(sorted(times[clause])) if clause.target.index is None else ())
        for clause in sorted(core.clauses, key=lambda clause: clause.target.index is None)
    )
    error = Unsatisfiable(str(conflict) or describe(said, definitions))
    error.said, error.definitions = said, definitions
    return error


def _conflict(spec: Spec, letters: int) -> Unsatisfiable | None:
    try:
        Model._of(spec, letters)
    except Unsatisfiable as error:
        return error
    except NotModelled:
        pass
    return None


def _agree(definitions: Iterable[Definition], widths: Widths) -> bool:
    terms, pairs, _ = _once(definitions)
    try:
        Choices(terms, widths, pairs)
    except Unsatisfiable:
        return False
    except NotModelled:
        pass
    return True


def _oriented(clause: Clause) -> Clause:
    """A clause with an output on the left of =, if it has one there or alone on the right."""
    target, term = clause.target, clause.term
    if target.name.startswith("i") and isinstance(term, At) and term.name.startswith("o"):
        return Clause(term, target)
    return clause


def _is_empty(clause: Clause, masks: Mapping[str, int], widths: Widths) -> bool:
    """Whether a clause says nothing. Raises Unsatisfiable if it constrains inputs, or future inputs."""
    target, mask = clause.target, masks[clause.target.name]
    outputs = [value for value in (target, *values_of(clause.term)) if value.name.startswith("o")]
    difference = least(Xor((target, clause.term)), widths[target.name], mask)
    if difference in (Bit(0), Bits(0, widths[target.name])):
        return True
    if not outputs:
        raise Unsatisfiable(f"unsatisfiable: {clause} constrains only inputs")
    if all(value.index is None for value in values_of(difference)):
        back = min(value.lookback for value in outputs)
        early = [v for v in values_of(difference) if v.name.startswith("i") and v.lookback < back]
        if early:
            raise Unsatisfiable(f"unsatisfiable: by {clause} an output depends on {early[0]} before it is read")
    return False


def _check_times(clause: Clause) -> None:
    target = clause.target
    if target.lookback:
        raise NotModelled(f"found {target} on the left of =; expected a value of an output at t or a fixed index")
    for value in values_of(clause.term):
        if (value.index is None) != (target.index is None):
            raise NotModelled(f"{target} is defined by {value}; a fixed index goes with fixed indices alone")
        if target.index is not None and value.time > target.index:
            raise NotModelled(f"{target} is defined by {value}, which comes after it")


def _simplified(clauses: list[Clause], masks: Mapping[str, int], widths: Widths) -> tuple[list[Clause], list[Clause]]:
    """Clauses as the interpreter sees them, without anything that has no effect.

    This much of its simplification is on record: that of an sbf is complete, and outputs that are constants or inputs
    are substituted into other clauses. If more of it would lead to other parts, NotModelled is raised.
    """

    def leasts(clauses: Iterable[Clause]) -> list[Clause]:
        return [
            replace(clause, term=least(clause.term, widths[clause.target.name], masks[clause.target.name]))
            for clause in clauses
        ]

    plain = put_in(clauses, masks, widths, inverted=False)
    complete = [
        less if widths[less.target.name] is None else clause for clause, less in zip(plain, leasts(plain), strict=True)
    ]
    most = put_in(leasts(plain), masks, widths, inverted=True)
    while (more := put_in(leasts(most), masks, widths, inverted=True)) != most:
        most = more
    if _shape(complete) != _shape(most):
        raise NotModelled(
            "whether some clauses share outputs, and so what fixed indices mean, depends on how far they are simplified"
        )
    return complete, leasts(plain)


def _shape(clauses: Iterable[Clause]) -> tuple[int, set[tuple[frozenset[At], int, int]]]:
    """The largest lookback, and the parts with fixed indices."""
    parts = split(clauses)
    fixed = {(frozenset(c.target for c in p.clauses), p.lookback, p.last_index) for p in parts if p.last_index >= 0}
    return max(part.lookback for part in parts), fixed


def _once(
    definitions: Iterable[Definition],
) -> tuple[dict[At, Term], list[tuple[Definition, Definition]], list[Definition]]:
    """One term per value that is defined without a circle, pairs of definitions that must agree, and the circular ones.

    A circular definition is paired with the value itself if that, or any other, is defined twice.
    """
    found: dict[At, Definition] = {}
    pairs, circular = [], []
    for definition in definitions:
        one = found.get(definition.target)
        if one is None and _reaches(definition.term, definition.target, found):
            circular.append(definition)
        elif one is None:
            found[definition.target] = definition
        elif one.term != definition.term:
            pairs.append((one, definition))
    if pairs or any(definition.target in found for definition in circular):
        pairs += [(replace(definition, term=definition.target), definition) for definition in circular]
    return {target: definition.term for target, definition in found.items()}, pairs, circular


def _reaches(term: Term, target: At, found: Mapping[At, Definition]) -> bool:
    """Whether a value is among those that a term reduces to."""
    seen: set[At] = set()
    left = [term]
    while left:
        new = set(values_of(left.pop())) - seen
        if target in new:
            return True
        seen |= new
        left += [found[value].term for value in new if value in found]
    return False


def _ordered(clauses: Iterable[Clause], time: int | None) -> tuple[Clause, ...]:
    """Clauses about one time, each once, ordered so that each value is known before it is used if possible."""
    found = {clause.target.name: clause for clause in clauses}
    distinct = tuple(dict.fromkeys(clauses))
    graph = {
        name: [v.name for v in values_of(clause.term) if _is_now(v, time) and v.name in found]
        for name, clause in found.items()
    }
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError:
        return distinct
    return tuple(sorted(distinct, key=lambda clause: order.index(clause.target.name)))


def _is_ordered(clauses: Iterable[Clause], time: int | None) -> bool:
    """Whether each clause defines an output by values that are known before."""
    known: set[str] = set()
    for clause in clauses:
        needed = {v.name for v in values_of(clause.term) if _is_now(v, time) and v.name.startswith("o")}
        if clause.target.name in known or clause.target.name.startswith("i") or not needed <= known:
            return False
        known.add(clause.target.name)
    return True


def _is_now(value: At, time: int | None) -> bool:
    return value.lookback == 0 and value.index == time
