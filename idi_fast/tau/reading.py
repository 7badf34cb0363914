"""Which inputs the interpreter reads a line of in a step.

Before it reads, the interpreter puts the values it has into the clauses for t and for the L steps after it (before
time L, into those for L on), simplifies, and reads a line of each input whose value at t still occurs. The clauses for
later steps are there because an input may be used at t-1 alone.

How much that simplification finds is not on record: whether ``i1[t] | i1[t]'`` still counts as occurring, say. So two
answers are worked out here. An input surely does not occur once constants alone have made it disappear (`fold`); it
surely does where some output depends on it. Where the two differ, NotModelled is raised. An input that a clause
mirrors, ``(oX[t] = iX[t])``, is beyond doubt: it is read in every step.
"""

from collections.abc import Callable, Iterator

import numpy as np

from idi_fast.tau.diagrams import hang_on
from idi_fast.tau.formula import At, NotModelled, Term, fold, largest, shifted, values_of
from idi_fast.tau.model import Model


class Unclear(NotModelled):
    """Whether a line of the input `stream` is read at `time` cannot be told."""

    def __init__(self, stream: str, time: int):
        super().__init__(
            f"whether the interpreter reads a line of {stream} at time {time} cannot be told: the clauses name "
            f"it, but it is not plain that an output hangs on it. Mirror it, (oX[t] = {stream}[t]), and it is read in "
            "every step"
        )
        self.stream, self.time = stream, time


class Reader:
    """Says which inputs are read at a time, from the values before it."""

    def __init__(self, model: Model):
        self._model = model
        self._width = {name: stream.width for name, stream in model.spec.streams.items()}
        reach = [(model.rows[value.name], value.lookback) for value in model.spec.values]
        self._remembered = sorted({(row, back) for row, lookback in reach for back in range(1, lookback + 1)})
        self._answers: dict[tuple[int, ...], tuple[str, ...]] = {}

    @property
    def every_step(self) -> bool:
        """Whether all inputs are read in every step from the lookback on: each is, as a whole, some output's value."""
        whole = {term.name for term in self._model.clauses.values() if isinstance(term, At)}
        return set(self._model.inputs) <= whole

    def names(self, time: int, streams: np.ndarray) -> tuple[str, ...]:
        """The inputs that are read at a time, in the order in which they are.

        streams uint32 (n_streams, n): what was read and worked out at earlier times, a column a time; an unread value
        is 0. Raises Unclear.
        """
        if time < self._model.lookback:
            return self._work_out(time, streams)
        # From there on the answer hangs on no more than the values that a lookback reaches.
        state = tuple(int(streams[row, time - back]) for row, back in self._remembered)
        if state not in self._answers:
            self._answers[state] = self._work_out(time, streams)
        return self._answers[state]

    def _work_out(self, time: int, streams: np.ndarray) -> tuple[str, ...]:
        def known(value: At) -> int | None:
            return int(streams[self._model.rows[value.name], value.index]) if value.index < time else None

        occurs: set[str] = set()
        surely: set[str] = set()
        for target, term in self._instances(time):
            # Of bitvectors no run is on record that shows how they are simplified.
            left = term if self._width[target.name] else fold(term, known, largest(None))
            names = {v.name for v in values_of(left) if v.index == time} if isinstance(left, Term) else set()
            occurs |= names.intersection(self._model.inputs)
            if isinstance(left, At):
                surely |= names
        if occurs - surely:
            surely |= self._needed(time, known, occurs - surely)
        if unclear := sorted(occurs - surely):
            raise Unclear(unclear[0], time)
        return tuple(sorted(occurs))

    def _instances(self, time: int) -> Iterator[tuple[At, Term]]:
        """The clauses that the interpreter looks at before it reads at a time, all with fixed indices."""
        model = self._model
        for index in range(time, model.lookback):
            yield from ((At(name, 0, index), term) for name, term in model.first[index].items())
        for index in range(max(time, model.lookback), time + model.lookback + 1):
            yield from ((At(name, 0, index), shifted(term, index)) for name, term in model.clauses.items())

    def _needed(self, time: int, known: Callable[[At], int | None], names: set[str]) -> set[str]:
        """The inputs whose value at a time some output hangs on, of the types of some; none where that is too much."""
        found: set[str] = set()
        for width in {self._width[name] for name in names}:
            terms = {target: term for target, term in self._instances(time) if self._width[target.name] == width}
            found |= {value.name for value in hang_on(terms, known, width) or () if value.index == time}
        return found
