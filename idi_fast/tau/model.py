"""What a specification's clauses define, checked to be functions of what is known, and compiled."""

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import numpy as np

from idi_fast.kernels import tau as kernels
from idi_fast.tau.diagrams import hang_on
from idi_fast.tau.formula import (
    DEEPEST,
    And,
    At,
    Bit,
    Bits,
    Not,
    NotModelled,
    Or,
    Term,
    Xor,
    largest,
    shifted,
    values_of,
)
from idi_fast.tau.spec import Spec

JOINS = {And: kernels.AND, Or: kernels.OR, Xor: kernels.XOR}


@dataclass(frozen=True)
class Model:
    """Definitions of the outputs: an output at t ≥ `lookback` by its clause, at an earlier fixed index by one for that.

    clauses: the term of each output at t, in an order in which each is known before it is used; first: the terms at
    fixed indices, by index; inputs, outputs: the streams that occur, in the order of letters, in which the interpreter
    reads them; rows: each stream's row in arrays of streams; program, first_programs: the terms as `run_clauses` takes
    them.
    """

    spec: Spec
    lookback: int
    last_index: int
    clauses: Mapping[str, Term]
    first: tuple[Mapping[str, Term], ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    rows: Mapping[str, int]
    program: np.ndarray
    first_programs: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, spec: Spec) -> "Model":
        """The model of a specification. Raises NotModelled where its clauses do not define every output they name."""
        clauses, first = _definitions(spec)
        used = {value.name for value in spec.values}
        inputs, outputs = (tuple(sorted(used & {s.name for s in streams})) for streams in (spec.inputs, spec.outputs))
        for name in outputs:
            if name not in clauses:
                raise NotModelled(f"no clause defines {name}[t]; expected ({name}[t] = …)")
        clauses = _in_order(clauses, "t")
        first = tuple(_in_order(terms, str(index)) for index, terms in enumerate(first))
        _check_lookback(spec, clauses)
        rows = {name: row for row, name in enumerate((*inputs, *outputs))}
        masks = {name: largest(stream.width) for name, stream in spec.streams.items()}
        programs = [_compile(terms, rows, masks, index) for index, terms in enumerate(first)]
        program = _compile(clauses, rows, masks, None)
        return cls(
            spec, spec.lookback, spec.last_index, clauses, first, inputs, outputs, rows, program, tuple(programs)
        )

    def run(self, streams: np.ndarray, start: int, stop: int) -> None:
        """Work out the outputs in columns `start` to `stop` of the streams, all at times no less than the lookback.

        streams uint32 (n_streams, n): rows by `rows`, a column a time; at least `lookback` columns before `start`.
        """
        kernels.run_clauses(self.program, streams, np.empty(DEEPEST, np.uint32), start, stop)

    def run_first(self, streams: np.ndarray, time: int) -> None:
        """Work out the outputs at a time before the lookback, the column of that number; those undefined are 0."""
        kernels.run_clauses(self.first_programs[time], streams, np.empty(DEEPEST, np.uint32), time, time + 1)


def _definitions(spec: Spec) -> tuple[dict[str, Term], tuple[dict[str, Term], ...]]:
    clauses: dict[str, Term] = {}
    first: tuple[dict[str, Term], ...] = tuple({} for _ in range(spec.lookback))
    later: list[tuple[At, Term]] = []
    for clause in spec.clauses:
        target, term, index = clause.target, clause.term, clause.target.index
        if spec.streams[target.name].is_input or target.lookback:
            raise NotModelled(f"found {target} on the left of =; expected a value of an output at t or a fixed index")
        _check_times(target, term)
        if index is not None and index >= spec.lookback:
            later.append((target, term))
            continue
        terms = clauses if index is None else first[index]
        if target.name in terms:
            raise NotModelled(f"two clauses define {target}; expected one")
        terms[target.name] = term
    for target, term in later:
        if target.name not in clauses or shifted(clauses[target.name], target.index) != term:
            raise NotModelled(f"{target} is defined for t too, from {spec.lookback} on; expected one clause")
    return clauses, first


def _check_times(target: At, term: Term) -> None:
    for value in values_of(term):
        if (value.index is None) != (target.index is None):
            raise NotModelled(f"{target} is defined by {value}; a fixed index goes with fixed indices alone")
        if target.index is not None and value.index > target.index:
            raise NotModelled(f"{target} is defined by {value}, which comes after it")


def _check_lookback(spec: Spec, clauses: Mapping[str, Term]) -> None:
    """Raise unless some output hangs on a value as far back as the lookback, which else may be simplified away."""
    if spec.lookback == 0:
        return
    for name, term in clauses.items():
        if all(value.lookback < spec.lookback for value in values_of(term)):
            continue
        effective = hang_on({At(name): term}, lambda _: None, spec.streams[name].width)
        if effective is None or any(value.lookback == spec.lookback for value in effective):
            return
    raise NotModelled(f"no output hangs on a value {spec.lookback} steps back; expected no values without effect")


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
) -> np.ndarray:
    """The program of terms about t or, with an index, about that time; int64 (n, 4), as `run_clauses` takes it."""
    lines: list[tuple[int, int, int, int]] = []

    def emit(term: Term, register: int, mask: int) -> None:  # a register a level: fewer than DEEPEST
        if isinstance(term, At):
            back = term.lookback if index is None else index - term.index
            lines.append((kernels.LOAD, register, rows[term.name], back))
        elif isinstance(term, Bit | Bits):
            lines.append((kernels.CONSTANT, register, term.value, 0))
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
    return np.array(lines, np.int64).reshape(-1, 4)
