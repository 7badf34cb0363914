"""The text of a Tau specification, its terms and its clauses, read with a position for every fault.

Of the operators ``'`` binds most tightly, then ``&``, ``^`` and ``|``; ``=`` makes a clause of two terms and ``&&``
joins clauses. A ``#`` begins a comment, but not within the braces of a constant (``{ #x1f }``).
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Collection
from itertools import accumulate
from typing import NamedTuple, NoReturn, TypeVar

from idi_fast.errors import nearest
from idi_fast.tau.formula import (
    DEEPEST,
    And,
    At,
    Bit,
    Bits,
    Chain,
    Not,
    NotModelled,
    Or,
    SpecError,
    Term,
    Xor,
    check_time,
    depth,
    type_name,
)

TOKEN = re.compile(
    r"(?P<space>\s+|#[^\n]*)"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<constant>\{\s*(?:\#x[0-9A-Fa-f]+|\#b[01]+|[0-9]+)\s*\})"
    r"|(?P<number>[0-9]+)"
    r"|(?P<text>\"[^\"\n]*\")"
    r"|(?P<sign>:=|&&|\|\||\^\^|<->|->|<-|<<|>>|!=|!<=|<=|>=|[^\s\w])",
    re.ASCII,
)

MOST_DIGITS = 9
"""Digits of a number that is read in a clause; longer ones are too large everywhere."""

STRANGE = re.compile(r"[^\t\r\n -~]")

LEVELS = (Or, Xor, And)
"""The binary operators of terms, loosest first."""

UNKNOWN = {
    **dict.fromkeys(("!=", "<", "<=", ">", ">=", "!<=", "!<", "!>"), "this comparison is not modelled here"),
    **dict.fromkeys(("||", "->", "<->", "<-", "?", "!", "^^"), "this connective is not modelled here"),
    **dict.fromkeys(
        ("+", "-", "*", "/", "%", "~", "<<", ">>"),
        "terms are joined by &, | and ^ (exclusive or), and "
        "negated by ' after them; arithmetic is not modelled, and may not end",
    ),
}
"""Operators of Tau that these specifications do not have, and their replacements."""

WORDS = ("always", "sometimes", "all", "ex", "G", "F", "T", "S", "X")
"""Words of Tau that begin other kinds of formulas."""

WIDEST = 256
"""The most bits of a bitvector."""


Made = TypeVar("Made")


class Token(NamedTuple):
    """A word of the text: kind: the group of TOKEN, or "end"; start: its offset."""

    kind: str
    text: str
    start: int


def tokens(text: str) -> list[Token]:
    """All words of a text, comments and blanks too (kind "space"), and its end."""
    found, end = [], 0
    while end < len(text):
        match = TOKEN.match(text, end)
        assert match is not None  # every character begins some word
        found.append(Token(match.lastgroup or "", match.group(), end))
        end = match.end()
    return [*found, Token("end", "the end of the text", end)]


class Parser:
    """A cursor over the tokens of a text.

    source: its name in messages; names: the streams that may occur, any if None.
    """

    def __init__(self, text: str, source: str):
        self.text, self.source, self.place = text, source, 0
        self.names: Collection[str] | None = None
        self.time_name = ""
        self._lines = list(accumulate((len(line) + 1 for line in text.split("\n")), initial=0))
        self.tokens = self._split()
        self._closing = self._pair()

    def fail(self, message: str, at: Token | int, kind: type[SpecError | NotModelled] = SpecError) -> NoReturn:
        """Raise an error about a token or an offset of the text."""
        offset = at if isinstance(at, int) else at.start
        line = bisect_right(self._lines, offset)
        error = kind(f"{self.source}, line {line}, column {offset - self._lines[line - 1] + 1}: {message}")
        error.offset, error.reason = offset, message
        raise error

    def checked(self, make: Callable[..., Made], *arguments: object, at: Token) -> Made:
        """The result of `make`; its errors get the token's position."""
        try:
            return make(*arguments)
        except (SpecError, NotModelled) as error:
            self.fail(str(error), at, type(error))

    def _split(self) -> list[Token]:
        if strange := STRANGE.search(self.text):
            self.fail(f"found {strange[0]!r}; expected printable ASCII alone, in comments too", strange.start())
        return [token for token in tokens(self.text) if token.kind != "space"]

    def _pair(self) -> dict[int, int]:
        """The place of each parenthesis's partner."""
        closing: dict[int, int] = {}
        open_places: list[int] = []
        for place, token in enumerate(self.tokens):
            if token.text == "(":
                open_places.append(place)
            elif token.text == ")" and open_places:
                closing[open_places.pop()] = place
        return closing

    @property
    def next(self) -> Token:
        """The token at the cursor."""
        return self.tokens[self.place]

    def ahead(self, *texts: str) -> bool:
        """Whether the next tokens are these."""
        return tuple(token.text for token in self.tokens[self.place : self.place + len(texts)]) == texts

    def take(self) -> Token:
        """The token at the cursor, which advances, but not beyond the end."""
        token = self.next
        self.place += token.kind != "end"
        return token

    def accept(self, text: str) -> bool:
        """Take the next token if it is this one."""
        return self.next.text == text and bool(self.take())

    def expect(self, text: str, instead: str = "") -> Token:
        """Take the next token, which must be this one."""
        if self.next.text != text:
            self.refuse(instead or repr(text))
        return self.take()

    def refuse(self, expected: str) -> NoReturn:
        """Fail at the next token, with a specific reason if there is one."""
        token = self.next
        if token.text in UNKNOWN:
            self.fail(f"found {token.text!r}; {UNKNOWN[token.text]}", token, NotModelled)
        if token.kind == "name" and token.text in WORDS:
            self.fail(f"found {token.text!r}; it is not modelled here", token, NotModelled)
        found = token.text if token.kind == "end" else repr(token.text)
        self.fail(f"found {found}; expected {expected}", token)

    def end(self) -> None:
        """Raise unless everything is read."""
        if self.next.kind != "end":
            self.refuse("an operator or the end")

    def term(self) -> Term:
        """A term."""
        first = self.next
        found = self._joined(0, 1)
        if depth(found) > DEEPEST:
            self.fail(f"a term more than {DEEPEST} levels deep", first, NotModelled)
        return found

    def _joined(self, closeness: int, level: int) -> Term:
        if closeness == len(LEVELS):
            return self._negated(level)
        kind: type[Chain] = LEVELS[closeness]
        terms = [self._joined(closeness + 1, level)]
        while self.accept(kind.sign) or (kind is And and self._begins_term()):
            terms.append(self._joined(closeness + 1, level))
        return terms[0] if len(terms) == 1 else kind(tuple(terms))

    def _negated(self, level: int) -> Term:
        found = self._single(level)
        while self.accept("'"):
            found = Not(found)
        return found

    def _begins_term(self) -> bool:
        """Whether another term follows directly: two adjacent terms are a product."""
        if self.next.kind == "name":
            return self.tokens[self.place + 1].text == "["
        return self.next.kind == "constant" or self.next.text == "("

    def _single(self, level: int) -> Term:
        token = self.next
        if token.kind == "name" and token.text not in WORDS:
            return self._value()
        if token.kind == "number":
            if len(token.text) > MOST_DIGITS:  # Python refuses to parse numbers of thousands of digits
                self.fail(f"found a number of {len(token.text):,} digits; expected 0 or 1", token)
            return self.checked(Bit, int(self.take().text), at=token)
        if token.kind == "constant":
            return self._bitvector()
        self.expect("(", "a stream's value, as i1[t], or a constant")
        if level > DEEPEST:
            self.fail(f"parentheses more than {DEEPEST} deep", token, NotModelled)
        found = self._joined(0, level + 1)
        self.expect(")", "an operator or ')'")
        return found

    def _value(self) -> At:
        name = self.take()
        if self.names is not None and name.text not in self.names:
            self.fail(f"the stream {name.text!r} is not declared.{nearest(name.text, self.names)}", name)
        self.expect("[")
        if self.next.kind == "number":
            found = At(name.text, 0, self.number())
        else:
            if self.next.kind != "name":
                self.refuse("t, t-1 or a number")
            time = self.take()
            self.time_name = self.time_name or time.text
            if time.text != self.time_name:
                self.fail(
                    f"found {time.text!r} where other times are {self.time_name!r}; expected one", time, NotModelled
                )
            if self.ahead("+"):
                self.fail("found '+'; a clause cannot use values after t", self.next, NotModelled)
            found = At(name.text, self.number() if self.accept("-") else 0)
        self.expect("]")
        return self.checked(check_time, found, at=name)

    def number(self) -> int:
        """An integer of a few digits."""
        if self.next.kind != "number":
            self.refuse("a number")
        token = self.take()
        return int(token.text) if len(token.text) <= MOST_DIGITS else 10**MOST_DIGITS

    def _bitvector(self) -> Bits:
        token = self.take()
        digits = token.text[1:-1].strip()
        width = self.type() if self.accept(":") else None
        base = {"#x": 16, "#b": 2}.get(digits[:2], 10)
        digits = digits[2:] if base != 10 else digits
        if len(digits) > WIDEST:
            self.fail(f"found {token.text}; expected at most {WIDEST} bits", token, NotModelled)
        return self.checked(Bits, int(digits, base), width, at=token)

    def type(self) -> int | None:
        """A type: the width of a bitvector, None for sbf."""
        token = self.next
        known = ("sbf", "bv")
        if token.kind != "name" or token.text not in known:
            self.fail(f"found {token.text!r}; expected sbf or bv[n].{nearest(token.text, known)}", token, NotModelled)
        self.take()
        if token.text == "sbf":
            return None
        self.expect("[", "'[' and the number of bits: bv[5]")
        width = self.number()
        self.expect("]")
        if not 1 <= width <= WIDEST:
            self.fail(f"found {type_name(width)}; expected 1 to {WIDEST} bits", token, NotModelled)
        return width


def parse_term(text: str, names: Collection[str] | None = None, source: str = "the term") -> Term:
    """The term in a text, as ``i1[t] & o1[t-1]'``.

    names: the streams that may occur, any if None; source: the text's name in errors. Raises SpecError, NotModelled.
    """
    parser = Parser(text, source)
    parser.names = names
    term = parser.term()
    parser.end()
    return term
