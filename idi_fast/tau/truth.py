"""Tables of truth: what outputs hang on."""

from collections.abc import Callable, Collection, Mapping

from idi_fast.tau.formula import And, At, Bit, Bits, Not, Or, Term, values_of

MOST_UNKNOWN = 16
"""Unknown values that tables are made over: 65,536 cases."""


def hang_on(
    terms: Mapping[At, Term], asked: Collection[At], known: Callable[[At], int | None], width: int | None
) -> set[At] | None:
    """Those of the asked values that some target hangs on: another value of theirs makes another of the target's.

    terms: what each target is, in an order in which targets stand before they are used, all of one width; known: the
    value of a stream where it is known, else None. Every operator works bit by bit, so each bit is looked at alone.
    None where there are too many unknown values to try.
    """
    found: set[At] = set()
    for bit in range(width or 1):
        tables = Tables(terms, known, bit)
        if not tables.fits:
            return None
        found |= {value for value in asked if any(tables.hangs(target, value) for target in terms)}
    return found


class Tables:
    """One bit of the values of terms, in all cases of what is unknown.

    A table is an integer with a bit for each case; the k-th unknown value is true in the cases whose number has the
    bit k (Knuth, TAOCP 4A, 7.1.1: truth tables as integers).
    """

    def __init__(self, terms: Mapping[At, Term], known: Callable[[At], int | None], bit: int):
        named = {value: None for term in terms.values() for value in values_of(term) if value not in terms}
        values = {value: known(value) for value in named}
        unknown = [value for value, constant in values.items() if constant is None]
        self.fits = len(unknown) <= MOST_UNKNOWN
        """Whether there are few enough unknown values; else there are no tables."""
        if not self.fits:
            return
        self._bit = bit
        self._every = (1 << (1 << len(unknown))) - 1
        self._place = {value: 1 << k for k, value in enumerate(unknown)}
        self._tables = {value: self._all(constant or 0) for value, constant in values.items()}
        for value, place in self._place.items():
            self._tables[value] = self._every // ((1 << place) + 1) << place
        for target, term in terms.items():
            constant = known(target)
            self._tables[target] = self._of(term) if constant is None else self._all(constant)

    def hangs(self, target: At, on: At) -> bool:
        """Whether there are cases that differ in an unknown value alone and in the target."""
        if on not in self._place:
            return False
        table = self._tables[target]
        return bool((table ^ table >> self._place[on]) & ~self._tables[on] & self._every)

    def _all(self, constant: int) -> int:
        return self._every * (constant >> self._bit & 1)

    def _of(self, term: Term) -> int:
        if isinstance(term, At):
            return self._tables[term]
        if isinstance(term, Bit | Bits):
            return self._all(term.value)
        if isinstance(term, Not):
            return self._every ^ self._of(term.term)
        table, *others = map(self._of, term.terms)
        for other in others:
            table = table & other if isinstance(term, And) else table | other if isinstance(term, Or) else table ^ other
        return table
