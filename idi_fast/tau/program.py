"""Clauses compiled for streams of values: a kernel's program or, for wide values, Python's."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from idi_fast.kernels import tau as kernels
from idi_fast.tau.formula import DEEPEST, And, At, Bit, Bits, Chain, Clause, Less, Not, Or, Term, Xor, largest

JOINS = {And: kernels.AND, Or: kernels.OR, Xor: kernels.XOR}

LESS = kernels.STORE + 1
"""An operation of Python's programs alone: register, other, all bits of an sbf: these where the first is less."""


@dataclass(frozen=True)
class Program:
    """Compiled terms; lines: as `run_clauses` takes them."""

    lines: list[tuple[int, int, int, int]]
    dtype: type

    @classmethod
    def of(
        cls,
        clauses: Iterable[Clause],
        rows: Mapping[str, int],
        masks: Mapping[str, int],
        index: int | None,
        dtype: type,
    ) -> "Program":
        """The program of clauses about t or, with an index, about that time."""
        return cls(_compile(clauses, rows, masks, index), dtype)

    def run(self, streams: np.ndarray, start: int, stop: int) -> None:
        """Compute the outputs in columns `start` to `stop` of the streams.

        streams uint32 or object (n_streams, n): rows by `Model.rows`, a column per time; at least as many columns
        before `start` as the terms look back.
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
                elif operation == LESS:
                    registers[target] = second * (registers[target] < registers[first])
                else:
                    streams[target, time] = registers[first]


def _compile(
    clauses: Iterable[Clause], rows: Mapping[str, int], masks: Mapping[str, int], index: int | None
) -> list[tuple[int, int, int, int]]:
    """The program of clauses about t or, with an index, about that time, as `run_clauses` takes it."""
    lines: list[tuple[int, int, int, int]] = []

    def emit(term: Term, register: int, mask: int) -> None:  # a register a level: fewer than DEEPEST
        if isinstance(term, At):
            back = term.lookback if index is None else index - term.time
            lines.append((kernels.LOAD, register, rows[term.name], back))
        elif isinstance(term, Bit | Bits):
            lines.append((kernels.CONSTANT, register, term.value * mask if isinstance(term, Bit) else term.value, 0))
        elif isinstance(term, Less):
            emit(term.left, register, largest(term.width))
            emit(term.right, register + 1, largest(term.width))
            lines.append((LESS, register, register + 1, mask))
        elif isinstance(term, Not):
            emit(term.term, register, mask)
            lines.append((kernels.FLIP, register, mask, 0))
        else:
            assert isinstance(term, Chain)
            emit(term.terms[0], register, mask)
            for part in term.terms[1:]:
                emit(part, register + 1, mask)
                lines.append((JOINS[type(term)], register, register + 1, 0))

    for clause in clauses:
        emit(clause.term, 0, masks[clause.target.name])
        lines.append((kernels.STORE, rows[clause.target.name], 0, 0))
    return lines
