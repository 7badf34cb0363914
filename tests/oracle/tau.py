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
            values[name, time] = evaluate(clauses[name], time, masks[name], look)
        return values[name, time]

    for time in range(start, stop):
        for name in clauses:
            look(name, time)


class Machine:
    """A run of clauses over inputs.

    widths: bits of each stream, None for sbf; clauses: the term of each output; first: terms by output and fixed index.
    """

    def __init__(self, widths: Mapping[str, int | None], clauses: dict[str, tuple], first: dict[Value, tuple]):
        self.widths = widths
        self.masks = {name: 1 if width is None else 2**width - 1 for name, width in widths.items()}
        self.clauses, self.first = clauses, first
        terms = [*clauses.values(), *first.values()]
        named = {leaf[1] for term in terms for leaf in leaves(term)}
        self.inputs = sorted(name for name in named if name not in clauses)
        self.lookback = max((leaf[2] for term in terms for leaf in leaves(term) if leaf[0] == "back"), default=0)
        fixed = [time for _, time in first] + [leaf[2] for t in terms for leaf in leaves(t) if leaf[0] == "fixed"]
        self.last_fixed = max(fixed, default=-1)
        self.values: dict[Value, int] = {}

    def definition(self, name: str, time: int) -> tuple | None:
        """The term that defines an output at a time, None for an input and for a free value."""
        return self.first.get((name, time)) if time < self.lookback else self.clauses.get(name)

    def seen(self, time: int) -> list[Value]:
        """The defined values that are looked at before a time is read."""
        later = range(max(time, self.lookback), time + self.lookback + 1)
        return [*self.first, *((name, t) for name in self.clauses for t in later)]

    def mentioned(self, time: int) -> tuple[set[str], set[str]]:
        """The inputs whose value at a time is left once the known values are put in; and those left as a whole term.

        Bitvectors stay where they stand: how they are simplified is not known.
        """

        def look(name: str, at: int) -> int | None:
            return self.values.get((name, at), 0) if at < time else None

        def left(term: tuple, at: int, mask: int) -> set[str]:
            if mask == 1 and evaluate(term, at, mask, look) is not None:
                return set()
            if term[0] in ("back", "fixed"):
                return {term[1]} if value_at(term, at)[1] == time and term[1] in self.inputs else set()
            return set().union(*(left(part, at, mask) for part in term[1:] if isinstance(part, tuple)))

        found, whole = set(), set()
        for name, at in self.seen(time):
            term = self.definition(name, at)
            names = left(term, at, self.masks[name])
            found |= names
            whole |= names if term[0] in ("back", "fixed") else set()
        return found, whole

    def decisive(self, time: int, asked: str) -> bool:
        """Whether in some case another value of an input at a time makes another value of an output."""
        seen = [value for value in self.seen(time) if self.widths[value[0]] == self.widths[asked]]
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

        for value in seen:
            collect(*value)
        others = [value for value in unknown if value != (asked, time)]

        def outcome(case: dict[Value, int]) -> list[int]:
            def look(name: str, at: int) -> int:
                if at < time:
                    return self.values.get((name, at), 0)
                if (name, at) not in case:
                    case[name, at] = evaluate(self.definition(name, at), at, self.masks[name], look)
                return case[name, at]

            return [look(*value) for value in seen]

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
            names = self.reads(time)
            for name in names:
                rest = lines[name][position[name] :]
                if not rest or isinstance(rest[0], str):
                    return time, rest[0] if rest else "end of input", name
            for name in names:
                self.values[name, time] = lines[name][position[name]]
                position[name] += 1
            for name in self.inputs:
                self.values.setdefault((name, time), 0)
            if time < self.lookback:
                firsts = {name: term for (name, at), term in self.first.items() if at == time}
                run_clauses(firsts, self.masks, self.values, time, time + 1)
                for name in self.clauses:
                    self.values.setdefault((name, time), 0)
            else:
                run_clauses(self.clauses, self.masks, self.values, time, time + 1)
            if not names and time >= max(self.lookback, self.last_fixed):
                return time + 1, "nothing read", ""
        raise AssertionError("no run is so long")

    def column(self, name: str, steps: int) -> list[int]:
        """The values of an output from time 0 on."""
        return [self.values[name, time] for time in range(steps)]
