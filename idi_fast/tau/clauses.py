"""The formula of a specification: clauses, connectives, and the definitions that they use.

``!`` binds most tightly, then ``&&``, ``^^``, ``||``, ``->``, ``<->`` and ``? :``. A formula that is not an equation
becomes one: as a term w, which is 1 or 0, it holds if ``o = o ^ w'`` does, for any output o in it. That is right only
if the formula says what outputs are equal to, not what they differ from: an sbf has more values than 0 and 1.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NoReturn, TypeGuard, TypeVar

from idi_fast.tau.formula import (
    DEEPEST,
    And,
    At,
    Bit,
    Bits,
    Chain,
    Clause,
    Less,
    Not,
    NotModelled,
    Or,
    Term,
    Xor,
    walk,
)
from idi_fast.tau.parsing import Parser, Token

COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
JOINTS = ("<->", "->", "||", "^^", "&&")
"""The connectives, loosest first."""

FORMULA_SIGNS = (*COMPARISONS, *JOINTS, "!")
CONSTANTS = ("T", "F")


Body = TypeVar("Body", "Term", "Formula")
"""What a definition is of."""


@dataclass(frozen=True)
class Formula:
    """A formula.

    sign: one of COMPARISONS, JOINTS or CONSTANTS, "!" or "?"; parts: terms or formulas; start, end: offsets.
    """

    sign: str
    parts: tuple
    start: int
    end: int


@dataclass(frozen=True)
class Macro:
    """A definition ``name(x, y) := body.``; start: the place of its body; text: all of it."""

    parameters: tuple[str, ...]
    start: int
    text: str


class ClauseParser(Parser):
    """A parser of formulas and definitions; widths: of the streams, None for an sbf."""

    def __init__(self, text: str, source: str):
        super().__init__(text, source)
        self.widths: Mapping[str, int | None] | None = None
        self.check: Callable[[Clause], Clause] = lambda clause: clause
        self.macros: dict[str, Macro] = {}
        self._locals: dict[str, Term] = {}
        self._calls: list[str] = []
        signs = (token.text in (*FORMULA_SIGNS, *CONSTANTS) for token in self.tokens)
        self._signs = list(accumulate(signs, initial=0))

    def clauses(self) -> list[Clause]:
        """Clauses joined by &&."""
        return self._flat(self._conditional(1))

    def refuse(self, expected: str) -> NoReturn:
        """Fail at the next token; if it is a known error of the interpreter, with that."""
        if self.ahead("!", "&") and self.widths is not None and not any(self.widths.values()):
            self.fail("found '!&', for which the interpreter infers no type between values of sbf", self.next)
        super().refuse(expected)

    # Definitions

    def at_definition(self) -> bool:
        """Whether ``name(…) :=`` or ``name(…):type :=`` is next."""
        if self.next.kind != "name" or self.tokens[self.place + 1].text != "(":
            return False
        place = self._closing.get(self.place + 1, len(self.tokens) - 2) + 1
        if self.tokens[place].text == ":":
            place += 2 + 3 * (self.tokens[place + 1].text == "bv")
        return place < len(self.tokens) and self.tokens[place].text == ":="

    def definition(self) -> None:
        """Take a definition."""
        name = self.take()
        self.expect("(")
        parameters = []
        while not self.accept(")"):
            if self.next.kind != "name":
                self.refuse("a parameter")
            parameters.append(self.take().text)
            if self.accept(":"):
                self.type()
            if self.next.text != ")":
                self.expect(",", "',' or ')'")
        if self.accept(":"):
            self.type()
        self.expect(":=")
        if name.text in self.macros:
            self.fail(f"{name.text} is defined twice", name, NotModelled)
        body = self.place
        while self.next.kind != "end" and self.next.text != ".":
            self.take()
        stop = self.expect(".", "'.' after the definition")
        self.macros[name.text] = Macro(tuple(parameters), body, self.text[name.start : stop.start + 1])

    def _call(self, read: Callable[[], Body]) -> Body:
        """A definition applied to its arguments; `read` reads its body."""
        name = self.take()
        macro = self.macros[name.text]
        if name.text in self._calls or len(self._calls) == DEEPEST:
            self.fail(f"{name.text} is defined by itself", name, NotModelled)
        self.expect("(")
        arguments = []
        while not self.accept(")"):
            arguments.append(self.term())
            if self.next.text != ")":
                self.expect(",", "',' or ')'")
        if len(arguments) != len(macro.parameters):
            self.fail(f"{name.text} takes {len(macro.parameters)} arguments; found {len(arguments)}", name, NotModelled)
        outer, back = self._locals, self.place
        self._locals, self.place = dict(zip(macro.parameters, arguments, strict=True)), macro.start
        self._calls.append(name.text)
        found = read()
        self.expect(".", "'.' after the definition")
        self._calls.pop()
        self._locals, self.place = outer, back
        self._typed()
        return found

    def _calls_formula(self) -> bool:
        """Whether a definition of a formula is next."""
        if self.next.kind != "name" or self.next.text not in self.macros:
            return False
        first = last = self.macros[self.next.text].start
        while self.tokens[last].kind != "end" and self.tokens[last].text != ".":
            last += 1
        return self._signs[last] > self._signs[first] or self.tokens[first].text in CONSTANTS

    def _single(self, level: int) -> Term:
        token = self.next
        ahead = self.tokens[min(self.place + 1, len(self.tokens) - 1)].text
        if token.kind == "name" and ahead != "[":
            if token.text in self._locals:
                self.take()
                self._typed()
                return self._locals[token.text]
            if token.text in self.macros and ahead == "(":
                return self._call(lambda: self._joined(0, level + 1))
        found = super()._single(level)
        self._typed(found)
        return found

    def _typed(self, term: Term | None = None) -> None:
        """Take a type behind a term, which must be its own."""
        if not (self.next.text == ":" and self.tokens[self.place + 1].text in ("sbf", "bv")):
            return
        at = self.take()
        width = self.type()
        if isinstance(term, At) and self.widths is not None and self.widths.get(term.name, width) != width:
            self.fail(f"{term.name} is declared with another type", at, NotModelled)

    # Formulas

    def _conditional(self, level: int) -> Formula:
        start = self.next.start
        first = self._joint(0, level)
        if not self.accept("?"):
            return first
        yes = self._conditional(level)
        self.expect(":")
        return self._made("?", (first, yes, self._conditional(level)), start)

    def _made(self, sign: str, parts: tuple, start: int) -> Formula:
        last = self.tokens[self.place - 1]
        return Formula(sign, parts, start, last.start + len(last.text))

    def _joint(self, closeness: int, level: int) -> Formula:
        if closeness == len(JOINTS):
            return self._operand(level)
        start, sign = self.next.start, JOINTS[closeness]
        parts = [self._joint(closeness + 1, level)]
        while self.accept(sign):
            parts.append(self._joint(closeness + 1, level))
        if len(parts) > 2 and sign == "->":
            self.fail("found several '->'; put parentheses", start, NotModelled)
        return parts[0] if len(parts) == 1 else self._made(sign, tuple(parts), start)

    def _operand(self, level: int) -> Formula:
        token = self.next
        opens = token.text in ("!", "always") or (token.text == "(" and self._holds_formula())
        if opens and level > DEEPEST:
            self.fail(f"parentheses more than {DEEPEST} deep", token, NotModelled)
        if self.accept("!"):
            return self._made("!", (self._operand(level + 1),), token.start)
        if token.text == "always":
            self.take()
            return self._operand(level + 1)
        if token.text in CONSTANTS and self.tokens[self.place + 1].text != "[":
            return self._made(self.take().text, (), token.start)
        if opens:
            self.take()
            found = self._conditional(level + 1)
            self.expect(")", "&& or ')'")
            if found.sign in ("=", "&&"):  # whose text is never needed
                return found
            return replace(found, start=token.start, end=self.tokens[self.place - 1].start + 1)
        if self._calls_formula():
            return self._call(lambda: self._conditional(level + 1))
        left = self.term()
        if self.next.text not in COMPARISONS:
            self.refuse("an operator or =")
        sign = self.take().text
        return self._made(sign, (left, self.term()), token.start)

    def _holds_formula(self) -> bool:
        closing = self._closing.get(self.place, len(self.tokens) - 1)
        if self._signs[closing] > self._signs[self.place]:
            return True
        inner = self.tokens[self.place + 1 : closing] if self.macros else ()
        return any(token.text in self.macros and self._formula_macro(token) for token in inner)

    def _formula_macro(self, token: Token) -> bool:
        back, self.place = self.place, self.tokens.index(token)
        found = self._calls_formula()
        self.place = back
        return found

    # Clauses

    def _flat(self, formula: Formula) -> list[Clause]:
        formula = _reduced(formula)
        if formula.sign == "&&":
            return [clause for part in formula.parts for clause in self._flat(part)]
        if formula.sign == "T":
            return []
        if formula.sign == "F":
            self.fail("found F: nothing satisfies it", formula.start, NotModelled)
        clause = self._equation(formula) if formula.sign == "=" else self._relation(formula)
        return [self.checked(self.check, clause, at=self._token_at(formula.start))]

    def _token_at(self, offset: int) -> Token:
        return next(token for token in self.tokens if token.start >= offset)

    def _equation(self, formula: Formula) -> Clause:
        left, right = formula.parts
        if not isinstance(left, At) and isinstance(right, At):
            left, right = right, left
        if not isinstance(left, At):
            message = f"found {left} on the left of =; expected a value of an output, as o1[t]"
            self.fail(message, formula.start, NotModelled)
        return Clause(left, right)

    def _relation(self, formula: Formula) -> Clause:
        """The equation that a formula of sbf reduces to."""
        text = self.text[formula.start : formula.end]
        if any(isinstance(part, At) and self._width(part, formula) for part in _terms(formula) if _is_present(part)):
            self.fail("an output that is a bitvector is not defined by an equation", formula.start, NotModelled)
        if formula.sign in ("<=", ">="):
            left, right = formula.parts if formula.sign == "<=" else reversed(formula.parts)
            truth = Or((Not(left), right))
        else:
            truth = self._truth(formula, True)
        target = next((part for part in walk(truth) if _is_present(part)), None)
        if target is None:
            self.fail(f"found {text}; expected an output in every formula", formula.start, NotModelled)
        return Clause(target, Xor((target, Not(truth))), text)

    def _truth(self, formula: Formula, positive: bool | None) -> Term:
        """A formula as a term; positive: whether it must hold; False: must not; None: what it decides depends on
        both."""
        sign, parts = formula.sign, formula.parts
        if sign in CONSTANTS:
            return Bit(int(sign == "T"))
        if sign == "&&":
            return And(tuple(self._truth(part, positive) for part in parts))
        if sign == "||" and not any(map(_is_present, _terms(formula))):
            return Or(tuple(self._truth(part, positive) for part in parts))
        if sign == "->":
            opposite = None if positive is None else not positive
            return Or((Not(self._truth(parts[0], opposite)), self._truth(parts[1], positive)))
        if sign == "<->" and len(parts) == 2:
            return Not(Xor(tuple(self._truth(part, None) for part in parts)))
        if sign == "!":
            return Not(self._truth(parts[0], None if positive is None else not positive))
        if sign == "?":
            decides = self._truth(parts[0], None)
            yes, no = (self._truth(part, positive) for part in parts[1:])
            return Or((And((decides, yes)), And((Not(decides), no))))
        if sign in COMPARISONS:
            return self._comparison(formula, positive)
        self.fail(f"found {sign!r}, which is not modelled between these formulas", formula.start, NotModelled)

    def _comparison(self, formula: Formula, positive: bool | None) -> Term:
        left, right = formula.parts
        width = self._common_width(formula)
        # It is on record that an output that must not be 1 is 0; nothing is known about other excluded values.
        plain = positive is True or (positive is None and right == Bit(1) and isinstance(left, At))
        if any(map(_is_present, (*walk(left), *walk(right)))) and not (formula.sign == "=" and plain):
            message = "the value of an output that must not have another one is not predicted"
            self.fail(message, formula.start, NotModelled)
        if width is None:
            if formula.sign not in ("=", "!="):
                self.fail(f"found {formula.sign!r} between values of sbf", formula.start, NotModelled)
            return Xor((left, right)) if formula.sign == "!=" else Not(Xor((left, right)))
        left, right = (_with_width(part, width) for part in (left, right))
        less, more = Less(left, right, width), Less(right, left, width)
        terms = {"<": less, ">": more, "<=": Not(more), ">=": Not(less), "!=": Or((less, more))}
        return terms.get(formula.sign, And((Not(less), Not(more))))

    def _common_width(self, formula: Formula) -> int | None:
        terms = [*walk(formula.parts[0]), *walk(formula.parts[1])]
        found = {self._width(part, formula) for part in terms if isinstance(part, At)}
        found |= {part.width for part in terms if isinstance(part, Bits) and part.width}
        if len(found) > 1:
            self.fail("found values of several types; expected one", formula.start)
        return next(iter(found), None)

    def _width(self, value: At, formula: Formula) -> int | None:
        if self.widths is None:
            self.fail("found a formula; expected equations joined by && alone", formula.start, NotModelled)
        return self.widths.get(value.name)


def _is_present(term: object) -> TypeGuard[At]:
    """Whether a term is the current value of an output."""
    return isinstance(term, At) and term.name.startswith("o") and term.lookback == 0


def _terms(formula: Formula) -> list[Term]:
    found: list[Term] = []
    for part in formula.parts:
        found += _terms(part) if isinstance(part, Formula) else walk(part)
    return found


def _with_width(term: Term, width: int) -> Term:
    if isinstance(term, Bits):
        return replace(term, width=width)
    if isinstance(term, Not):
        return Not(_with_width(term.term, width))
    if isinstance(term, Chain):
        return replace(term, terms=tuple(_with_width(part, width) for part in term.terms))
    return term


def _reduced(formula: Formula) -> Formula:
    """A formula without the constants T and F beside others."""
    if formula.sign not in ("&&", "||", "^^"):
        return formula
    parts = [_reduced(part) for part in formula.parts]
    signs = [part.sign for part in parts]
    neutral, decisive = {"&&": ("T", "F"), "||": ("F", "T"), "^^": ("F", "")}[formula.sign]
    if decisive in signs:
        return parts[signs.index(decisive)]
    left = tuple(part for part in parts if part.sign != neutral)
    if len(left) < 2:
        return left[0] if left else parts[0]
    return replace(formula, parts=left)


def parse_clauses(text: str, names: Collection[str] | None = None, source: str = "the formula") -> list[Clause]:
    """The clauses that a text joins by ``&&``, as ``(o1[t] = i1[t]) && (o1[0] = 0)``; as for `parse_term`."""
    parser = ClauseParser(text, source)
    parser.names = names
    clauses = parser.clauses()
    parser.end()
    return clauses
