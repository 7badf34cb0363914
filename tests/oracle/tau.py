"""The clauses of a Tau specification followed value by value, as the interpreter is described to do it.

A term is a tuple: ("back", name, k), ("fixed", name, time), ("constant", value), or an operator with its terms: "not",
"and", "or", "xor". Values stand in dictionaries by name and time, unknown ones are tried in all cases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product

Value = tuple[str, int]
Look = Callable[[str, int], "int | None"]


class Unclear(Exception):
    """Whether an input is read cannot be told."""


def leaves(term: tuple) -> Iterator[tuple]:
    """The values of streams in a term."""
    if term[0] in ("back", "fixed"):
        yield term
    for part in term[1:]:
        if isinstance(part, tuple):
            yield from leaves(part)


def value_at(leaf: tuple, time: int) -> Value:
    """Which value of which stream a leaf is for t = time."""
    return (leaf[1], time - leaf[2] if leaf[0] == "back" else leaf[2])


def evaluate(term: tuple, time: int, mask: int, look: Look) -> int | None:
    """A term for t = time, None where what is unknown may make it one thing or another for all that one can see."""
    kind = term[0]
    if kind == "constant":
        return term[1]
    if kind in ("back", "fixed"):
        return look(*value_at(term, time))
    parts = [evaluate(part, time, mask, look) for part in term[1:]]
    if kind == "not":
        return None if parts[0] is None else mask - parts[0]
    known = [part for part in parts if part is not None]
    bits = 0
    for bit in range(mask.bit_length()):
        column = [part >> bit & 1 for part in known]
        bits += {"and": all(column), "or": any(column), "xor": sum(column) % 2}[kind] << bit
    decided = (kind == "and" and bits == 0) or (kind == "or" and bits == mask)
    return bits if decided or len(known) == len(parts) else None


def run_clauses(
    clauses: Mapping[str, tuple], masks: Mapping[str, int], values: dict[Value, int], start: int, stop: int
) -> None:
    """Add every output at the times from start to stop to the values, each worked out when it is asked for."""

    def look(name: str, time: int) -> int:
        if (name, time) not in values:
            worked_out = evaluate(clauses[name], time, masks[name], look)
            assert worked_out is not None  # as everything is that it is made of
            values[name, time] = worked_out
        return values[name, time]

    for time in range(start, stop):
        for name in clauses:
            look(name, time)


def depends(term: tuple, mask: int) -> set[tuple]:
    """The leaves of a term of which another value can make another value of it, bit by bit."""
    few = sorted(set(leaves(term)), key=str)
    cases = 1 << len(few)
    # A truth table is a number: its bit k is the value in the case whose binary digits are those of k.
    tables = {leaf: sum(1 << case for case in range(cases) if case >> k & 1) for k, leaf in enumerate(few)}
    found = set()
    for bit in range(mask.bit_length()):
        table = table_of(term, bit, tables, (1 << cases) - 1)
        for k, leaf in enumerate(few):
            if (table ^ table >> (1 << k)) & ~tables[leaf] & (1 << cases) - 1:
                found.add(leaf)
    return found


def table_of(term: tuple, bit: int, tables: Mapping[tuple, int], full: int) -> int:
    """The truth table of one bit of a term."""
    if term[0] == "constant":
        return full * (term[1] >> bit & 1)
    if term[0] in ("back", "fixed"):
        return tables[term]
    table, *others = (table_of(part, bit, tables, full) for part in term[1:])
    if term[0] == "not":
        return table ^ full
    for other in others:
        table = {"and": table & other, "or": table | other, "xor": table ^ other}[term[0]]
    return table


def one_bit(term: tuple, bit: int, leaf: Callable[[tuple], int]) -> int:
    """One bit of a term."""
    if term[0] == "constant":
        return term[1] >> bit & 1
    if term[0] in ("back", "fixed"):
        return leaf(term)
    parts = [one_bit(part, bit, leaf) for part in term[1:]]
    return {"not": 1 - parts[0], "and": min(parts), "or": max(parts), "xor": sum(parts) % 2}[term[0]]


def constant_of(term: tuple, mask: int) -> tuple | None:
    """A constant or the input, inverted perhaps, that a term is whatever the values are; None if it is neither."""
    needed = depends(term, mask)
    if len(needed) > 1 or any(leaf[1].startswith("o") for leaf in needed):
        return None

    def value(given: int) -> int:
        return sum(one_bit(term, bit, lambda _: given) << bit for bit in range(mask.bit_length()))

    if not needed:
        return ("constant", value(0))
    (leaf,) = needed
    return {(0, mask): leaf, (mask, 0): ("not", leaf)}.get((value(0), value(1)))


def put_in(term: tuple, known: Mapping[tuple, tuple]) -> tuple:
    """A term with some leaves replaced."""
    if term[0] in ("back", "fixed"):
        return known.get(term, term)
    return tuple(put_in(part, known) if isinstance(part, tuple) else part for part in term)


class Unsatisfiable(Exception):
    """No outputs satisfy the clauses whatever the inputs are."""


class TooMany(Exception):
    """There are too many cases to try."""


class Machine:
    """A run of clauses over inputs.

    widths: bits of each stream, None for sbf; clauses: the term of each output; first: terms by output and fixed index.
    A part of clauses that share outputs, once outputs that are constants or inputs are put into the others, has its own
    lookback and its own largest fixed index; its clauses hold from the one on until both are past. Raises
    Unsatisfiable, TooMany.
    """

    def __init__(self, widths: Mapping[str, int | None], clauses: dict[str, tuple], first: dict[Value, tuple]):
        self.widths = widths
        self.masks = {name: 1 if width is None else 2**width - 1 for name, width in widths.items()}
        terms = {("back", name, 0): term for name, term in clauses.items()}
        terms |= {("fixed", name, time): term for (name, time), term in first.items()}
        self.clauses, self.first = clauses, first
        for _ in terms:  # what is put in may make further ones constant
            known = {target: constant_of(term, self.masks[target[1]]) for target, term in terms.items()}
            known = {target: value for target, value in known.items() if value is not None}
            terms = {target: put_in(term, known) for target, term in terms.items()}
        needed = {target: depends(term, self.masks[target[1]]) for target, term in terms.items()}
        self.inputs = sorted({leaf[1] for found in needed.values() for leaf in found if leaf[1].startswith("i")})
        self.fixed = dict(first)
        self.twice: list[tuple[Value, tuple, tuple[tuple, int]]] = []
        lookbacks, times = [], [-1]
        for targets in self._parts(needed):
            mentioned = [leaf for target in targets for leaf in (target, *needed[target])]
            lookback = max((leaf[2] for leaf in mentioned if leaf[0] == "back"), default=0)
            last = max((leaf[2] for leaf in mentioned if leaf[0] == "fixed"), default=-1)
            lookbacks.append(lookback)
            for time in range(lookback, last + lookback + 1):
                times.append(time)
                for name in [target[1] for target in targets if target[0] == "back"]:
                    again = (terms["back", name, 0], time)  # what is put in holds before its own clause does
                    if (name, time) in first and first[name, time] != self._at(*again):
                        self.twice.append(((name, time), first[name, time], again))
                    self.fixed.setdefault((name, time), self._at(*again))
            times += [target[2] for target in targets if target[0] == "fixed"]
        self.lookback, self.last_fixed = max(lookbacks), max(times)
        farthest = max((leaf[2] for term in clauses.values() for leaf in leaves(term)), default=0)
        # No value before time 0 has an effect, wherever a clause names one.
        self.values: dict[Value, int] = {(name, -k): 0 for name in widths for k in range(1, farthest + 1)}
        for width in {self.widths[name] for (name, _), _, _ in self.twice}:
            for bit in range(width or 1):
                if not self._winnable(width, bit, {}):
                    raise Unsatisfiable

    @staticmethod
    def _parts(needed: Mapping[tuple, set[tuple]]) -> list[list[tuple]]:
        names = {t: {leaf[1] for leaf in (t, *found) if leaf[1].startswith("o")} for t, found in needed.items()}
        parts: list[list[tuple]] = []
        for target in needed:
            joined = [part for part in parts if any(names[target] & names[other] for other in part)]
            parts = [part for part in parts if part not in joined] + [[target, *(t for part in joined for t in part)]]
        return parts

    def _at(self, term: tuple, time: int) -> tuple:
        """A term about t as it reads at a time."""
        if term[0] == "back":
            return ("fixed", term[1], time - term[2])
        return tuple(self._at(part, time) if isinstance(part, tuple) else part for part in term)

    def _open(self, width: int | None) -> list[Value]:
        """Inputs and undefined outputs that values defined twice come down to, in the order in which they are told."""
        found, seen = set(), set()
        left = [
            leaf
            for (name, _), one, other in self.twice
            if self.widths[name] == width
            for leaf in (*leaves(one), *leaves(self._at(*other)))
        ]
        while left:
            _, name, time = left.pop()
            if (name, time) in seen:
                continue
            seen.add((name, time))
            if (name, time) in self.fixed:
                left += leaves(self.fixed[name, time])
            else:
                found.add((name, time))
        return sorted(found, key=lambda value: (value[1], value[0].startswith("o"), value[0]))

    def _winnable(self, width: int | None, bit: int, given: dict[Value, int]) -> bool:
        """Whether the undefined outputs can be chosen, one after the other, so that all definitions agree."""
        order = self._open(width)
        if len(order) > 8:
            raise TooMany

        def look(known: dict[Value, int], leaf: tuple) -> int:
            value = leaf[1:]
            return known[value] if value in known else one_bit(self.fixed[value], bit, lambda at: look(known, at))

        def agree(known: dict[Value, int]) -> bool:
            return all(
                one_bit(one, bit, lambda at: look(known, at))
                == one_bit(self._at(*other), bit, lambda at: look(known, at))
                for (name, _), one, other in self.twice
                if self.widths[name] == width
            )

        def win(known: dict[Value, int], place: int) -> bool:
            if place == len(order):
                return agree(known)
            value = order[place]
            if value in known:
                return win(known, place + 1)
            outcomes = (win({**known, value: truth}, place + 1) for truth in (0, 1))
            return any(outcomes) if value[0].startswith("o") else all(outcomes)

        return win(given, 0)

    def choose(self, time: int) -> None:
        """Give values to the undefined outputs of a time: 0, but for what values defined twice ask for.

        Raises Unclear.
        """
        for width in {self.widths[name] for (name, _), _, _ in self.twice}:
            order = self._open(width)
            free = [value for value in order if value[1] == time and value[0].startswith("o")]
            for bit in range(width or 1):
                told = {v: self.values[v] >> bit & 1 for v in order if v[1] <= time and v not in free}
                cases = [dict(zip(free, case, strict=True)) for case in product((0, 1), repeat=len(free))]
                right = [case for case in cases if self._winnable(width, bit, {**told, **case})]
                for value in free:
                    chosen = 0
                    if any({**case, value: 1 - case[value]} not in right for case in right):  # it matters
                        chosen = right[0][value]
                        if any(case[value] != chosen for case in right):
                            raise Unclear
                    self.values[value] = self.values.get(value, 0) | chosen << bit

    def definition(self, name: str, time: int) -> tuple | None:
        """The term that defines an output at a time, None for an input and for a free value."""
        if (name, time) in self.fixed:
            return self.fixed[name, time]
        return self.clauses.get(name) if time >= self.lookback else None

    def seen(self, time: int) -> list[tuple[str, int, tuple]]:
        """What is looked at before a time is read: defined outputs with the time and the term, each time they are."""
        later = range(max(time, self.lookback), time + self.lookback + 1)
        values = [
            *(value for value in self.fixed if value[1] >= time),
            *((name, t) for name in self.clauses for t in later),
        ]
        found = [(name, at, self.definition(name, at)) for name, at in values]
        return found + [(name, at, self._at(*again)) for (name, at), _, again in self.twice if at >= time]

    def mentioned(self, time: int) -> tuple[set[str], set[str]]:
        """The inputs whose value at a time is left once the known values are put in; and those left as a whole term."""

        def look(name: str, at: int) -> int | None:
            return self.values.get((name, at), 0) if at < time else None

        def left(term: tuple, at: int, mask: int) -> set[str]:
            if evaluate(term, at, mask, look) is not None:
                return set()
            if term[0] in ("back", "fixed"):
                return {term[1]} if value_at(term, at)[1] == time and term[1] in self.inputs else set()
            return set().union(*(left(part, at, mask) for part in term[1:] if isinstance(part, tuple)))

        found, whole = set(), set()
        for name, at, term in self.seen(time):
            names = left(term, at, self.masks[name])
            found |= names
            whole |= names if term[0] in ("back", "fixed") else set()
        return found, whole

    def decisive(self, time: int, asked: str) -> bool:
        """Whether in some case another value of an input at a time makes another value of an output."""
        seen = [each for each in self.seen(time) if self.widths[each[0]] == self.widths[asked]]
        unknown: dict[Value, None] = {}

        def collect(name: str, at: int) -> None:
            term = self.definition(name, at)
            if at < time or (name, at) in unknown:
                return
            if term is None:
                unknown[name, at] = None
            else:
                for leaf in leaves(term):
                    collect(*value_at(leaf, at))

        for _, at, term in seen:
            for leaf in leaves(term):
                collect(*value_at(leaf, at))
        others = [value for value in unknown if value != (asked, time)]

        def outcome(case: dict[Value, int]) -> list[int | None]:
            def look(name: str, at: int) -> int:
                if at < time:
                    return self.values.get((name, at), 0)
                if (name, at) not in case:
                    term = self.definition(name, at)
                    assert term is not None  # all else is in the case
                    worked_out = evaluate(term, at, self.masks[name], look)
                    assert worked_out is not None
                    case[name, at] = worked_out
                return case[name, at]

            return [evaluate(term, at, self.masks[name], look) for name, at, term in seen]

        if sum(self.masks[name].bit_length() for name, _ in others) > 9:
            raise Unclear  # it would take too long to try
        cases = product(*(range(self.masks[name] + 1) for name, _ in others))
        for case in cases:
            given = dict(zip(others, case, strict=True))
            results = [outcome({**given, (asked, time): value}) for value in range(self.masks[asked] + 1)]
            if any(result != results[0] for result in results):
                return True
        return False

    def reads(self, time: int) -> list[str]:
        """The inputs of which a line is read at a time. Raises Unclear."""
        found, surely = self.mentioned(time)
        for name in found - surely:
            if not self.decisive(time, name):
                raise Unclear
        return sorted(found)

    def run(self, lines: Mapping[str, list[int | str]]) -> tuple[int, str, str]:
        """Run over the values of each input's lines, of which one that is text is none but says why.

        Returns the steps, and why and at which stream the run ended.
        """
        position = dict.fromkeys(self.inputs, 0)
        for time in range(10**9):
            taken: dict[str, int] = {}
            for name in self.reads(time):
                line = next(iter(lines[name][position[name] :]), "end of input")
                if isinstance(line, str):
                    return time, line, name
                taken[name] = line
            for name, line in taken.items():
                self.values[name, time] = line
                position[name] += 1
            for name in self.widths:
                if name.startswith("i"):
                    self.values.setdefault((name, time), 0)
            self.choose(time)
            defined = {name: self.definition(name, time) for name in self.clauses}
            run_clauses({n: t for n, t in defined.items() if t}, self.masks, self.values, time, time + 1)
            for name in self.clauses:
                self.values.setdefault((name, time), 0)
            if not taken and time >= max(self.lookback, self.last_fixed):
                return time + 1, "nothing read", ""
        raise AssertionError("no run is so long")

    def column(self, name: str, steps: int) -> list[int]:
        """The values of an output from time 0 on."""
        return [self.values[name, time] for time in range(steps)]
