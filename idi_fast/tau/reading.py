"""Which inputs the interpreter reads a line of in a step.

Before it reads, the interpreter substitutes the known values into the clauses for t and for the L steps after it
(before time L, into those for L on), simplifies, and reads a line of each input whose value at t still occurs. The
clauses for later steps are there because an input may be used at t-1 only.

How far that simplification goes is not fully on record: whether ``x | (i1[t] & x)`` still counts as containing i1, or
what is left of it if an output in it turns out to be constant. So two answers are computed here. An input surely
does not occur once constants, and terms that occur twice or inverted, have made it disappear (`fold`); it surely
does if some clause depends on it even with constant outputs substituted. If the two differ, NotModelled is raised. An
input that a clause mirrors, ``(oX[t] = iX[t])``, is beyond doubt: it is read in every step.
"""

from collections.abc import Callable, Iterator

import numpy as np

from idi_fast.tau.diagrams import support
from idi_fast.tau.formula import At, Clause, NotModelled, fold, shifted, values_of
from idi_fast.tau.model import Model
from idi_fast.tau.parts import as_term, put_in


class Unclear(NotModelled):
    """It is unclear whether a line of the input `stream` is read at `time`."""

    def __init__(self, stream: str, time: int):
        super().__init__(
            f"whether the interpreter reads a line of {stream} at time {time} is unclear: the clauses name it, "
            f"but it is uncertain that an output depends on it. Mirror it, (oX[t] = {stream}[t]), and it is read in "
            "every step"
        )
        self.stream, self.time = stream, time


class Reader:
    """Tells which inputs are read at a time, from the values before it."""

    def __init__(self, model: Model):
        self._model = model
        widths = {name: stream.width for name, stream in model.spec.streams.items()}
        self._widths = widths
        reach = {(v.name, v.lookback) for p in model.parts for clause in p.clauses for v in values_of(clause.term)}
        remembered = {(name, back) for name, lookback in reach for back in range(1, lookback + 1)}
        self._remembered = sorted((model.rows[name], back) for name, back in remembered)
        self._inputs = set(model.inputs)
        self._fixed = [[Clause(d.target, d.term) for d in part.definitions()] for part in model.parts]
        self._answers: dict[tuple[int, ...], tuple[str, ...]] = {}

    @property
    def every_step(self) -> bool:
        """Whether all inputs are read in every step from `settled` on: each equals some output."""
        whole = {clause.term.name for clause in self._model.clauses if isinstance(clause.term, At)}
        return set(self._model.inputs) <= whole

    def names(self, time: int, streams: np.ndarray) -> tuple[str, ...]:
        """The inputs that are read at a time, in reading order.

        streams uint32 or object (n_streams, n): values read and computed at earlier times, a column per time; an unread
        value is 0. Raises Unclear.
        """
        if time < self._model.settled:
            return self._work_out(time, streams)
        # From there on the answer depends only on the values within the lookback.
        state = tuple(int(streams[row, time - back]) for row, back in self._remembered)
        if state not in self._answers:
            self._answers[state] = self._work_out(time, streams)
        return self._answers[state]

    def _work_out(self, time: int, streams: np.ndarray) -> tuple[str, ...]:
        rows, masks = self._model.rows, self._model.masks

        def known(value: At) -> int | None:
            return int(streams[rows[value.name], value.index]) if value.time < time else None

        occurs: set[str] = set()
        surely: set[str] = set()
        for group in self._groups(time):
            clauses = [self._known(clause, known) for clause in group]
            occurs |= {v.name for c in clauses for v in values_of(c.term) if v.index == time and v.name in self._inputs}
            surely |= self._needed(put_in(clauses, masks, self._widths, inverted=True), time)
        if unclear := occurs - surely:
            raise Unclear(min(unclear), time)
        return tuple(sorted(occurs))

    def _known(self, clause: Clause, known: Callable[[At], int | None]) -> Clause:
        mask, width = self._model.masks[clause.target.name], self._widths[clause.target.name]
        return Clause(clause.target, as_term(fold(clause.term, known, mask), mask, width))

    def _groups(self, time: int) -> Iterator[list[Clause]]:
        """The clauses that the interpreter examines before it reads at a time, all with fixed indices.

        It takes each part, and each of the times up to the lookback from there on, separately.
        """
        model = self._model
        for index in range(max(time, model.lookback), time + model.lookback + 1):
            for part, fixed in zip(model.parts, self._fixed, strict=True):
                found = [clause for clause in fixed if clause.target.time >= time]
                for clause in part.clauses:
                    if clause.target.index is None:
                        found.append(Clause(At(clause.target.name, 0, index), shifted(clause.term, index)))
                yield list(dict.fromkeys(found))

    def _needed(self, clauses: list[Clause], time: int) -> set[str]:
        """The inputs whose value at a time some output depends on; none if that is too large to compute."""
        found: set[str] = set()
        for clause in clauses:
            needed = support(clause.term, self._widths[clause.target.name])
            found |= {value.name for value in needed or () if value.index == time}
        return found
