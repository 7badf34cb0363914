"""Conditions on figures, such as ``max_drawdown < -30% or trades == 0``, that fail a run.

Numbers are the figures' names, literals (0.3, 30%, 1e-3), + - * / and parentheses, abs(x), min(x, y, …) and
max(x, y, …). Two numbers are compared by < <= > >= == !=, comparisons joined by `and`, `or`, `not` and parentheses;
precedence is Python's.

A figure may be undefined: a Sharpe ratio if nothing was traded. So is everything computed from it, and a quotient by
0. Whether an undefined number is less than another is unknown, and `and`, `or` and `not` propagate that as far as it
matters (the strong three-valued logic of Kleene 1952, § 64): ``trades > 0 and win_rate < 0.4`` is false without trades.
A condition that stays unknown fails the run like one that holds, since a guard that cannot be evaluated has not been
passed. `defined(x)` is true or false of any number.
"""

import math
import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from idi_fast.errors import InputError, nearest

LONGEST = 1000
DEEPEST = 50
"""Limits of a condition: characters and levels; the parser recurses once or twice per level."""

NUMBER, TRUTH = "a number", "a comparison"

TOKEN = re.compile(
    r"(?P<number>(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)(?P<percent>%?)"
    r"|(?P<name>[a-z_]\w*(?:\.\w+)*)"
    r"|(?P<sign><=|>=|==|!=|[-+*/<>(),])",
    re.ASCII | re.IGNORECASE,
)


class Operation(NamedTuple):
    """strength: its precedence; takes, gives: NUMBER or TRUTH; apply: to values, each None if unknown."""

    strength: int
    takes: str
    gives: str
    apply: Callable


class Call(NamedTuple):
    """A function of numbers; least, most: its number of arguments."""

    least: int
    most: float
    gives: str
    apply: Callable


def _strict(function: Callable) -> Callable:
    """The function if all arguments are defined, else None; None too if it has no value."""

    def apply(*arguments: float | None) -> float | bool | None:
        if None in arguments:
            return None
        value = function(*arguments)
        return None if math.isnan(value) else value

    return apply


def _quotient(dividend: float, divisor: float) -> float:
    return dividend / divisor if divisor else math.nan


def _and(left: bool | None, right: bool | None) -> bool | None:
    return False if False in (left, right) else None if None in (left, right) else True


def _or(left: bool | None, right: bool | None) -> bool | None:
    return True if True in (left, right) else None if None in (left, right) else False


COMPARISONS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
BETWEEN = {
    "or": Operation(1, TRUTH, TRUTH, _or),
    "and": Operation(2, TRUTH, TRUTH, _and),
    **{sign: Operation(4, NUMBER, TRUTH, _strict(function)) for sign, function in COMPARISONS.items()},
    "+": Operation(5, NUMBER, NUMBER, _strict(operator.add)),
    "-": Operation(5, NUMBER, NUMBER, _strict(operator.sub)),
    "*": Operation(6, NUMBER, NUMBER, _strict(operator.mul)),
    "/": Operation(6, NUMBER, NUMBER, _strict(_quotient)),
}
BEFORE = {
    "not": Operation(3, TRUTH, TRUTH, lambda truth: None if truth is None else not truth),
    "-": Operation(7, NUMBER, NUMBER, _strict(operator.neg)),
    "+": Operation(7, NUMBER, NUMBER, _strict(operator.pos)),
}
CALLS = {
    "abs": Call(1, 1, NUMBER, _strict(abs)),
    "min": Call(2, math.inf, NUMBER, _strict(min)),
    "max": Call(2, math.inf, NUMBER, _strict(max)),
    "defined": Call(1, 1, TRUTH, lambda value: value is not None),
}


@dataclass(frozen=True)
class Condition:
    """A condition as written, the names in it, and its steps in reverse Polish notation: names, literals, and
    operations with how many of the last results they take."""

    text: str
    names: tuple[str, ...]
    steps: tuple[str | float | tuple[Callable, int], ...]

    def evaluate(self, values: Mapping[str, float | None]) -> bool | None:
        """Whether it is true for values by name; None if that depends on a value that is undefined, NaN or None.

        Raises KeyError if `values` lacks a name of the condition.
        """
        results: list[Any] = []  # numbers, truths and None
        for step in self.steps:
            if isinstance(step, str):
                results.append(_defined(values[step]))
            elif isinstance(step, tuple):
                apply, count = step
                results[-count:] = [apply(*results[-count:])]
            else:
                results.append(step)
        (truth,) = results
        return truth

    def holds(self, values: Mapping[str, float | None]) -> bool:
        """Whether the run fails: the condition is true, or unknown. Raises KeyError as `evaluate` does."""
        return self.evaluate(values) is not False

    def failure(self, values: Mapping[str, float | None], reasons: Mapping[str, str] | None = None) -> str | None:
        """What failed, with the values of all names in it; None if the condition is false.

        reasons: why a value is undefined, by name. Raises KeyError as `evaluate` does.
        """
        truth = self.evaluate(values)
        if truth is False:
            return None
        known = ", ".join(f"{name} is {_shown(values[name], (reasons or {}).get(name))}" for name in self.names)
        return f"{self.text}{'' if truth else ' cannot be evaluated'}{known and f' ({known})'}"


def parse_condition(text: str, names: Collection[str]) -> Condition:
    """The condition in a text about figures with these names, including dotted ones such as buy_and_hold.max_drawdown.

    Raises InputError, with a mark below the place, for an unknown name (the nearest is named), a number where a
    comparison is expected or the other way round, anything unclosed or left over, more than LONGEST characters or
    DEEPEST levels.
    """
    text = re.sub(r"\s", " ", text).strip()
    if len(text) > LONGEST:
        raise InputError(f"the condition has {len(text):,} characters; expected at most {LONGEST:,}")
    return _Parser(text, names).condition()


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


class _Parser:
    """Precedence climbing: an operation takes to its right what binds more tightly than itself."""

    def __init__(self, text: str, names: Collection[str]):
        self.text, self.names = text, names
        self.tokens = self.split()
        self.place = self.depth = 0
        self.steps: list[str | float | tuple[Callable, int]] = []

    def condition(self) -> Condition:
        kind, begin = self.expression(0), self.tokens[0]
        if self.next.kind != "end":
            self.refuse(self.next, "an operator or the end")
        if kind is not TRUTH:
            raise self.error(begin.at, "found a number without a comparison, expected one such as trades < 10")
        seen = dict.fromkeys(step for step in self.steps if isinstance(step, str))
        return Condition(self.text, tuple(seen), tuple(self.steps))

    def split(self) -> list[_Token]:
        tokens, at = [], 0
        while at < len(self.text):
            found = TOKEN.match(self.text, at)
            if found:
                kind = next(kind for kind in ("number", "name", "sign") if found[kind])
                tokens.append(_Token(kind, found[0], at))
            elif self.text[at] == "=":
                raise self.error(at, "found '=', expected '=='")
            elif self.text[at] != " ":
                raise self.error(at, f"found {self.text[at]!r}, expected names, numbers, + - * / and comparisons")
            at = found.end() if found else at + 1
        return [*tokens, _Token("end", "the end", at)]

    @property
    def next(self) -> _Token:
        return self.tokens[self.place]

    def take(self) -> _Token:
        self.place += 1
        return self.tokens[self.place - 1]

    def expression(self, strength: int) -> str:
        """Read while operations bind more tightly than `strength`; return whether that is a NUMBER or a TRUTH."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.error(self.next.at, f"found more than {DEEPEST} levels, expected fewer")
        begin = self.next
        kind = self.operand()
        while (sign := self.next).text in BETWEEN and BETWEEN[sign.text].strength > strength:
            operation = BETWEEN[self.take().text]
            self.expect(operation.takes, kind, begin, sign)
            self.operate(operation, sign, 2)
            kind = operation.gives
        self.depth -= 1
        return kind

    def operate(self, operation: Operation, sign: _Token, count: int) -> None:
        """Read the operand to the right of an operator, and record the operation on it and what was before."""
        right = self.next
        self.expect(operation.takes, self.expression(operation.strength), right, sign)
        self.steps.append((operation.apply, count))

    def operand(self) -> str:
        token = self.take()
        if token.text in BEFORE:
            operation = BEFORE[token.text]
            self.operate(operation, token, 1)
            return operation.gives
        if token.text == "(":
            kind = self.expression(0)
            self.close("an operator or ')'")
            return kind
        if token.kind == "number":
            self.steps.append(self.number(token))
            return NUMBER
        if token.kind != "name" or token.text in BETWEEN:
            self.refuse(token, "a name, a number or '('")
        if token.text in CALLS and self.next.text == "(":
            return self.call(token)
        if token.text in CALLS and token.text not in self.names:
            self.refuse(self.next, f"'(' after {token.text}")
        if token.text not in self.names:
            longer = [name for name in self.names if name.startswith(token.text)]
            hint = nearest(token.text, longer) or nearest(token.text, [*self.names, *CALLS], 0.6)
            hint = hint or f" Expected one of {', '.join(self.names)}."
            raise self.error(token.at, f"found the unknown name {token.text!r}.{hint}")
        self.steps.append(token.text)
        return NUMBER

    def number(self, token: _Token) -> float:
        value = float(token.text.removesuffix("%")) / (100.0 if token.text.endswith("%") else 1.0)
        if math.isinf(value):
            raise self.error(token.at, "found a number too large, expected one below 1.8e308")
        return value

    def call(self, name: _Token) -> str:
        function, count = CALLS[name.text], 0
        while count == 0 or self.next.text == ",":
            self.take()
            begin = self.next
            self.expect(NUMBER, self.expression(0), begin, name)
            count += 1
        self.close("',' or ')'")
        if not function.least <= count <= function.most:
            wanted = "1" if function.most == 1 else f"{function.least} or more"
            raise self.error(name.at, f"found {count} number{'s' * (count != 1)} in {name.text}(), expected {wanted}")
        self.steps.append((function.apply, count))
        return function.gives

    def close(self, expected: str) -> None:
        token = self.take()
        if token.text != ")":
            self.refuse(token, expected)

    def expect(self, wanted: str, kind: str, begin: _Token, sign: _Token) -> None:
        if kind is not wanted:
            hint = "" if wanted is TRUTH else "; join comparisons with 'and' or 'or'"
            raise self.error(begin.at, f"found {kind}, expected {wanted} for {sign.text!r}{hint}")

    def refuse(self, token: _Token, expected: str) -> None:
        found = token.text if token.kind == "end" else repr(token.text)
        raise self.error(token.at, f"found {found}, expected {expected}")

    def error(self, at: int, what: str) -> InputError:
        return InputError(f"the condition, character {at + 1}: {what}\n  {self.text}\n  {' ' * at}^")


def _defined(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)  # NumPy's floats warn where Python's raise


def _shown(value: float | None, reason: str | None) -> str:
    if _defined(value) is None:
        return f"undefined: {reason}" if reason else "undefined"
    return f"{value:.10g}"
