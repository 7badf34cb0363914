"""Terms and clauses of a Tau specification as immutable data, and how they are printed.

A term is a value of a stream, a constant, or terms joined by ``&``, ``|``, ``^`` (exclusive or) and ``'`` (not, after
its term). Printing is canonical: every joined term within another is in parentheses, so nothing depends on
precedence, and ``parse_term(str(term)) == term``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

from idi_fast.errors import InputError

DEEPEST = 50
"""Levels of a term: functions on terms recurse once or a few times per level."""

FARTHEST = 64
"""The largest lookback and fixed index: that many steps are computed one by one before a run becomes regular."""


class TextError(InputError):
    """A specification that cannot be used; for one in a text, `offset` is the place and `reason` the fault alone."""

    offset: int | None = None
    reason: str = ""


class SpecError(TextError):
    """A specification that the Tau interpreter refuses too, with exit code 1."""


class NotModelled(TextError):
    """A specification or input that the interpreter may accept, but whose outputs idi-fast does not predict."""


class Term:
    """A node; ``a & b``, ``a | b``, ``a ^ b`` and ``~a`` make new ones."""

    __slots__ = ()

    def __and__(self, other: "Term") -> "And":
        return And((*_links(self, And), other))

    def __or__(self, other: "Term") -> "Or":
        return Or((*_links(self, Or), other))

    def __xor__(self, other: "Term") -> "Xor":
        return Xor((*_links(self, Xor), other))

    def __invert__(self) -> "Not":
        return Not(self)


@dataclass(frozen=True, slots=True)
class At(Term):
    """The value of a stream: ``name[t]``, ``name[t-lookback]`` or, with an `index`, at that time: ``name[index]``."""

    name: str
    lookback: int = 0
    index: int | None = None

    @property
    def time(self) -> int:
        """The index of a value that has one."""
        assert self.index is not None
        return self.index

    def __str__(self) -> str:
        back = f"t-{self.lookback}" if self.lookback else "t"
        return f"{self.name}[{back if self.index is None else self.index}]"


@dataclass(frozen=True, slots=True)
class Bit(Term):
    """The least or greatest element, written ``0`` and ``1``: of an sbf false and true. Raises SpecError."""

    value: int

    def __post_init__(self) -> None:
        if self.value not in (0, 1):
            raise SpecError(f"found {self.value}; expected 0 or 1. A bitvector stands in braces: {{ {self.value} }}")

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class Bits(Term):
    """A bitvector, written ``{ value }:bv[width]``; a Spec fills in a missing width from the clause.

    Raises SpecError if the value does not fit the width.
    """

    value: int
    width: int | None = None

    def __post_init__(self) -> None:
        if self.width is not None and self.value >> self.width:
            raise SpecError(f"{{ {self.value} }} does not fit bv[{self.width}], which takes 0 to {largest(self.width)}")

    def __str__(self) -> str:
        return f"{{ {self.value} }}" + (f":{type_name(self.width)}" if self.width else "")


@dataclass(frozen=True, slots=True)
class Not(Term):
    """The complement, of a bitvector in every bit: ``term'``."""

    term: Term

    def __str__(self) -> str:
        return f"({self.term})'" if isinstance(self.term, Chain | Bits) else f"{self.term}'"


@dataclass(frozen=True, slots=True)
class Less(Term):
    """Whether a bitvector is less than another of the same width: 1 or 0 of an sbf. In formulas only."""

    left: Term
    right: Term
    width: int

    def __str__(self) -> str:
        return f"({self.left} < {self.right})"


@dataclass(frozen=True, slots=True)
class Chain(Term):
    """Two or more terms joined by one operator."""

    terms: tuple[Term, ...]
    sign: ClassVar[str]

    def __post_init__(self) -> None:
        if len(self.terms) < 2:
            raise SpecError(f"{self.sign} joins two terms or more; found {len(self.terms)}")

    def __str__(self) -> str:
        return f" {self.sign} ".join(f"({term})" if isinstance(term, Chain) else str(term) for term in self.terms)


class And(Chain):
    """The meet of terms: ``a & b``."""

    __slots__ = ()
    sign = "&"


class Or(Chain):
    """The join of terms: ``a | b``."""

    __slots__ = ()
    sign = "|"


class Xor(Chain):
    """The symmetric difference of terms: ``a ^ b``."""

    __slots__ = ()
    sign = "^"


@dataclass(frozen=True, slots=True)
class Clause:
    """What defines an output: ``(target = term)``.

    Attributes
    ----------
    target : At
        The output at t or at a fixed index.
    term : Term
        What it equals.
    text : str
        The formula that it was made from, if that is not an equation; both have the same solutions.
    """

    target: At
    term: Term
    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.text or f"({self.target} = {self.term})"


def _links(term: Term, kind: type[Chain]) -> tuple[Term, ...]:
    return term.terms if isinstance(term, kind) else (term,)


def largest(width: int | None) -> int:
    """The largest value of bv[width], all its bits; of an sbf, whose width is None, 1."""
    return 1 if width is None else (1 << width) - 1


def type_name(width: int | None) -> str:
    """The notation of a type: sbf or bv[width]."""
    return "sbf" if width is None else f"bv[{width}]"


def children(term: Term) -> tuple[Term, ...]:
    """The terms directly within a term."""
    if isinstance(term, Chain):
        return term.terms
    if isinstance(term, Less):
        return (term.left, term.right)
    return (term.term,) if isinstance(term, Not) else ()


def walk(term: Term) -> Iterator[Term]:
    """A term and every term in it, from left to right."""
    left = [term]
    while left:
        node = left.pop()
        yield node
        left += reversed(children(node))


def values_of(term: Term) -> Iterator[At]:
    """Every value of a stream in a term, from left to right."""
    return (node for node in walk(term) if isinstance(node, At))


def depth(term: Term) -> int:
    """Levels of a term; 1 for a constant or a value of a stream."""
    level, levels = [term], 0
    while level:
        levels += 1
        level = [child for node in level for child in children(node)]
    return levels


def check_time(value: At) -> At:
    """A value as a specification may write it. Raises NotModelled if its time is negative or above FARTHEST."""
    if not 0 <= value.lookback <= FARTHEST or not 0 <= (value.index or 0) <= FARTHEST:
        time = value.index if value.index is not None else f"t-{value.lookback}"
        raise NotModelled(f"{value.name}[{time}]: a time lies at most {FARTHEST} steps back, or is 0 to {FARTHEST}")
    return value


def fold(term: Term, known: Callable[[At], Term | int | None], mask: int) -> Term | int:
    """A term with known values substituted, simplified operator by operator.

    known: maps a value of a stream to its value, or to an equal term, else None; mask: all bits of the type. A deciding
    operand removes the others (``x & 0``, ``x | x'``), a neutral one disappears (``x & 1``), and so does a repeated
    one (``x | x``, both of ``x ^ x``). Other laws are not applied: ``x | (x & y)`` stays.
    """
    if isinstance(term, At):
        value = known(term)
        return term if value is None else value
    if isinstance(term, Bit):
        return mask if term.value else 0
    if isinstance(term, Bits):
        return term.value
    if isinstance(term, Less):
        own = largest(term.width)
        left, right = (fold(part, known, own) for part in (term.left, term.right))
        if isinstance(left, int) and isinstance(right, int):
            return mask * (left < right)
        left, right = (Bits(part, term.width) if isinstance(part, int) else part for part in (left, right))
        return Less(left, right, term.width)
    if isinstance(term, Not):
        return _complement(fold(term.term, known, mask), mask)
    assert isinstance(term, Chain)
    kind = type(term)
    constant = mask if kind is And else 0
    there: dict[Term, None] = {}
    for part in (link for inner in term.terms for link in _folded_links(fold(inner, known, mask), kind)):
        if isinstance(part, int):
            constant = constant & part if kind is And else constant | part if kind is Or else constant ^ part
        elif kind is Xor:
            inner, flip = (part.term, mask) if isinstance(part, Not) else (part, 0)
            constant ^= flip
            if inner in there:
                del there[inner]
            else:
                there[inner] = None
        elif _complement(part, mask) in there:
            return mask if kind is Or else 0
        else:
            there[part] = None
    decided = {And: constant == 0, Or: constant == mask, Xor: False}[kind]
    if decided or not there:
        return constant
    flipped = kind is Xor and constant == mask
    open_terms = tuple(there)
    if constant != (mask if kind is And else 0) and not flipped:
        open_terms += (Bits(constant),)
    left = open_terms[0] if len(open_terms) == 1 else kind(open_terms)
    return Not(left) if flipped else left


def _complement(term: Term | int, mask: int) -> Term | int:
    if isinstance(term, int):
        return term ^ mask
    return term.term if isinstance(term, Not) else Not(term)


def _folded_links(term: Term | int, kind: type[Chain]) -> tuple[Term | int, ...]:
    return (
        tuple(part.value if isinstance(part, Bits) else part for part in term.terms)
        if isinstance(term, kind)
        else (term,)
    )


def shifted(term: Term, index: int) -> Term:
    """A term about t, as it reads at a fixed index, which no lookback of it exceeds."""
    if isinstance(term, At):
        return At(term.name, 0, index - term.lookback)
    if isinstance(term, Not):
        return Not(shifted(term.term, index))
    if isinstance(term, Less):
        return replace(term, left=shifted(term.left, index), right=shifted(term.right, index))
    return type(term)(tuple(shifted(part, index) for part in term.terms)) if isinstance(term, Chain) else term
