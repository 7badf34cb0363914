"""Outputs of one time that clauses constrain without defining them one after the other.

The interpreter solves the equations of a step at once. For sbf it takes the greatest solution, if there is one: an
output is 1 if it can be, but 0 if the equations do not depend on it. For bitvectors another program chooses, so only
unique solutions are computed here.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from idi_fast.tau.diagrams import FALSE, TRUE, Diagrams, TooLarge
from idi_fast.tau.formula import At, Clause, NotModelled, values_of
from idi_fast.tau.parts import Unsatisfiable, Widths


@dataclass(frozen=True)
class Solver:
    """Equations about t, or about a fixed `time`; rows, widths: of the streams; sbf_bits: of a value of an sbf.

    Raises Unsatisfiable if, for any past, some inputs leave no solution, NotModelled if that depends on the past.
    """

    clauses: tuple[Clause, ...]
    rows: Mapping[str, int]
    widths: Widths
    sbf_bits: int
    time: int | None = None

    def __post_init__(self) -> None:
        for width in dict.fromkeys(self.widths[clause.target.name] for clause in self.clauses):
            for bit in range(width or 1):
                self._check(width, bit)

    def _check(self, width: int | None, bit: int) -> None:
        try:
            variables = sorted(self._variables(width, bit), key=self._rank)
            diagrams = Diagrams(variables)
            rule = self._rule(diagrams, width, bit, lambda at, bit: diagrams.variable((at, bit)))
            for outputs, join in ((True, diagrams.either), (False, diagrams.both)):
                for variable in variables:
                    if self._age(variable[0]) == 0 and self._is_output(variable[0]) == outputs:
                        rule = join(*(diagrams.fixed(rule, variable, truth) for truth in (False, True)))
        except TooLarge:
            raise NotModelled(
                "whether clauses that define outputs by one another agree is too large to compute"
            ) from None
        if rule == FALSE:
            error = Unsatisfiable()
            error.time = self.time
            raise error
        if rule != TRUE:
            raise NotModelled(
                "after some outputs there may be no solution: what the interpreter then avoids is not predicted"
            )

    def _of(self, width: int | None) -> Iterator[Clause]:
        return (clause for clause in self.clauses if self.widths[clause.target.name] == width)

    def _age(self, value: At) -> int:
        if value.index is None:
            return value.lookback
        assert self.time is not None  # as clauses of fixed indices are solved for one
        return self.time - value.index

    def _rank(self, variable: tuple[At, int]) -> tuple[int, bool, str, int]:
        value, bit = variable
        return -self._age(value), value.name.startswith("o"), value.name, bit

    def _variables(self, width: int | None, bit: int) -> set[tuple[At, int]]:
        """The bits of values that one bit of some values depends on; for comparisons all bits."""
        found: set[tuple[At, int]] = set()
        for clause in self._of(width):
            for value in (clause.target, *values_of(clause.term)):
                own = self.widths[value.name]
                found |= {(value, k) for k in ((bit,) if own == width else range(own or 1))}
        return found

    def _rule(self, diagrams: Diagrams, width: int | None, bit: int, value: Callable[[At, int], int]) -> int:
        rule = TRUE
        for clause in self._of(width):
            differ = diagrams.differ(value(clause.target, bit), diagrams.term(clause.term, bit, value))
            rule = diagrams.both(rule, diagrams.negated(differ))
        return rule

    def explicit(self) -> Iterator[Clause]:
        """A defining clause for each output that a formula other than an equation constrains.

        Raises NotModelled if a formula leaves a choice, or decides by comparing bitvectors.
        """
        formulas = [clause for clause in self.clauses if clause.text]
        names = [value for c in formulas for value in (c.target, *values_of(c.term)) if self._is_output(value)]
        if not names:
            return
        variables = sorted(self._variables(None, 0), key=self._rank)
        diagrams = Diagrams(variables)
        rule = self._rule(diagrams, None, 0, lambda at, bit: diagrams.variable((at, bit)))
        for target in dict.fromkeys(names):
            node = rule
            for variable in variables:
                if self._is_output(variable[0]) and variable[0] != target:
                    node = diagrams.either(*(diagrams.fixed(node, variable, truth) for truth in (False, True)))
            zero, one = (diagrams.fixed(node, (target, 0), truth) for truth in (False, True))
            compared = [at for at, _ in diagrams.support([one]) if self.widths[at.name] is not None]
            if diagrams.both(zero, one) != FALSE or compared:
                raise NotModelled(f"the formulas about {target} do not reduce to an equation of sbf")
            yield Clause(target, diagrams.written(one, lambda variable: variable[0]))

    def _is_output(self, value: At) -> bool:
        return self._age(value) == 0 and value.name.startswith("o")

    def run(self, streams: np.ndarray, start: int, stop: int) -> None:
        """Compute the outputs in columns `start` to `stop` of the streams, as `Program.run`."""
        for time in range(start, stop):
            for width in dict.fromkeys(self.widths[clause.target.name] for clause in self.clauses):
                for bit in range(width or self.sbf_bits):
                    self._solve(streams, time, width, bit)

    def _solve(self, streams: np.ndarray, time: int, width: int | None, bit: int) -> None:
        diagrams: Diagrams[At] = Diagrams()
        # A constant of an sbf is the same in all bits of a truth table.
        place = bit if width else 0

        def value(at: At, k: int) -> int:
            age = self._age(at)
            if self._is_output(at):
                return diagrams.variable(at)
            own = bit if self.widths[at.name] == width else k
            return int(streams[self.rows[at.name], time - age]) >> own & 1

        rule = self._rule(diagrams, width, place, value)
        among = any(clause.text for clause in self._of(width))
        left = rule
        for at in diagrams.support([rule]):
            possible = [diagrams.fixed(rule, at, truth) != FALSE for truth in (False, True)]
            if all(possible) and (width is not None or among):
                self._undecided([at])
            left = diagrams.fixed(left, at, possible[1])
            streams[self.rows[at.name], time] = int(streams[self.rows[at.name], time]) | possible[1] << bit
        if left != TRUE:
            self._undecided(diagrams.support([rule]))

    @staticmethod
    def _undecided(values: Iterable[At]) -> None:
        names = ", ".join(sorted(str(value) for value in values))
        raise NotModelled(
            f"the clauses leave more than one solution for {names}: which one the interpreter chooses is not predicted"
        )
