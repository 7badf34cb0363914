"""Outputs of one time that clauses tie together without defining them one after the other.

The interpreter solves the equations of a step at once. Of sbf it takes the greatest solution, where there is one: an
output is 1 if it can be, but 0 if the equations do not depend on it. Of bitvectors another program chooses, so only what
has a single solution is worked out here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from idi_fast.tau.diagrams import FALSE, TRUE, Diagrams, TooLarge
from idi_fast.tau.formula import At, Clause, NotModelled, values_of
from idi_fast.tau.parts import Unsatisfiable, Widths


@dataclass(frozen=True)
class Solver:
    """Equations about t, or about a fixed `time`; rows, widths: of the streams; sbf_bits: of a value of an sbf.

    Raises Unsatisfiable where, whatever came before, some inputs leave no solution, NotModelled where only some of what
    may come before does.
    """

    clauses: tuple[Clause, ...]
    rows: dict[str, int]
    widths: Widths
    sbf_bits: int
    time: int | None = None

    def __post_init__(self) -> None:
        for width in dict.fromkeys(self.widths[clause.target.name] for clause in self.clauses):
            for bit in range(width or 1):
                self._check(width, bit)

    def _check(self, width: int | None, bit: int) -> None:
        try:
            diagrams = Diagrams(sorted(self._values(width), key=self._rank))
            rule = self._rule(diagrams, width, bit, diagrams.variable)
            for outputs, join in ((True, diagrams.either), (False, diagrams.both)):
                for value in self._values(width):
                    if self._age(value) == 0 and value.name.startswith("o") == outputs:
                        rule = join(*(diagrams.fixed(rule, value, truth) for truth in (False, True)))
        except TooLarge:
            raise NotModelled("whether clauses that define outputs by one another agree is too much to work out") from None
        if rule == FALSE:
            clauses = " and ".join(str(clause) for clause in self.clauses if self.widths[clause.target.name] == width)
            raise Unsatisfiable(f"unsatisfiable: some inputs leave no solution of {clauses}")
        if rule != TRUE:
            raise NotModelled("after some outputs there may be no solution: what the interpreter then avoids is not worked out")

    def _age(self, value: At) -> int:
        return value.lookback if value.index is None else self.time - value.index

    def _rank(self, value: At) -> tuple[int, bool, str]:
        return -self._age(value), value.name.startswith("o"), value.name

    def _values(self, width: int | None) -> set[At]:
        return {
            value
            for clause in self.clauses
            for value in (clause.target, *values_of(clause.term))
            if self.widths[value.name] == width
        }

    def _rule(self, diagrams: Diagrams, width: int | None, bit: int, value: Callable[[At], int]) -> int:
        rule = TRUE
        for clause in self.clauses:
            if self.widths[clause.target.name] == width:
                differ = diagrams.differ(value(clause.target), diagrams.term(clause.term, bit, value))
                rule = diagrams.both(rule, diagrams.negated(differ))
        return rule

    def run(self, streams: np.ndarray, start: int, stop: int) -> None:
        """Work out the outputs in columns `start` to `stop` of the streams, as `Program.run`."""
        for time in range(start, stop):
            for width in dict.fromkeys(self.widths[clause.target.name] for clause in self.clauses):
                for bit in range(width or self.sbf_bits):
                    self._solve(streams, time, width, bit)

    def _solve(self, streams: np.ndarray, time: int, width: int | None, bit: int) -> None:
        diagrams = Diagrams()

        def value(at: At) -> int:
            age = self._age(at)
            if age == 0 and at.name.startswith("o"):
                return diagrams.variable(at)
            return int(streams[self.rows[at.name], time - age]) >> bit & 1

        # A constant of an sbf is the same in all bits of a truth table.
        rule = self._rule(diagrams, width, bit if width else 0, value)
        found = {at: self._greatest(diagrams, rule, at, width) for at in sorted(diagrams.support([rule]), key=str)}
        for at, truth in found.items():
            rule = diagrams.fixed(rule, at, truth)
            streams[self.rows[at.name], time] = int(streams[self.rows[at.name], time]) | truth << bit
        if rule != TRUE:
            self._undecided(found)

    def _greatest(self, diagrams: Diagrams, rule: int, at: At, width: int | None) -> int:
        possible = [diagrams.fixed(rule, at, truth) != FALSE for truth in (False, True)]
        if width is not None and all(possible):
            self._undecided([at])
        return int(possible[1])

    @staticmethod
    def _undecided(values: Sequence[At]) -> None:
        names = ", ".join(sorted(str(value) for value in values))
        raise NotModelled(
            f"the clauses leave more than one solution for {names}: which one the interpreter chooses is not worked out"
        )
