"""Streams and their files, and which clauses over them have types that fit."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from posixpath import normpath

from idi_fast.errors import nearest
from idi_fast.tau.formula import (
    DEEPEST,
    At,
    Bits,
    Chain,
    Clause,
    Less,
    Not,
    NotModelled,
    SpecError,
    Term,
    check_time,
    children,
    depth,
    type_name,
    values_of,
)
from idi_fast.tau.parsing import WIDEST

NAME = re.compile(r"[io]\w+", re.ASCII)
CONSOLE = ""
"""The path of a stream that is no file: of the console, of which nothing is read."""
PRINTABLE = re.compile(r"[ -~]*")


@dataclass(frozen=True)
class Declaration:
    """A stream and its file.

    Attributes
    ----------
    name : str
        Begins with i if it is read, with o if it is written.
    path : str
        Relative to where the interpreter runs; empty for the console.
    width : int or None
        Bits of a bitvector of type bv[width]; None for sbf.
    comment : str
        Printed above it, not part of the declaration.

    Raises
    ------
    SpecError, NotModelled
        If Tau does not accept the name, path or type.
    """

    name: str
    path: str
    width: int | None = None
    comment: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or self.name in ("in", "out"):
            raise SpecError(
                f"found the stream name {self.name!r}; expected i for an input or o for an output, then letters, "
                "digits or _"
            )
        if not PRINTABLE.fullmatch(self.path) or '"' in self.path:
            raise SpecError(f"found the file name {self.path!r}; expected printable ASCII without quotation marks")
        if not PRINTABLE.fullmatch(self.comment):
            raise SpecError(f"found the comment {self.comment!r}; expected a line of printable ASCII")
        if self.width is not None and not 1 <= self.width <= WIDEST:
            raise NotModelled(f"{self.name}: found {self.type}; expected sbf or bv[1] to bv[{WIDEST}]")

    @property
    def type(self) -> str:
        """How the type is written: sbf or bv[width]."""
        return type_name(self.width)

    @property
    def is_input(self) -> bool:
        """Whether the stream is read."""
        return self.name.startswith("i")

    def __str__(self) -> str:
        comment = f"# {self.comment}\n" if self.comment else ""
        way = "in" if self.is_input else "out"
        place = f'file("{self.path}")' if self.path else "console"
        return f"{comment}{self.name}:{self.type} := {way} {place}."


def check_declarations(streams: Iterable[Declaration]) -> None:
    """Raise unless all names differ and no file is written that another stream reads or writes."""
    names: set[str] = set()
    taken: dict[str, Declaration] = {}
    for stream in streams:
        if stream.name in names:
            raise SpecError(f"the stream {stream.name!r} is declared twice")
        names.add(stream.name)
        if stream.path == CONSOLE:
            continue
        other = taken.setdefault(normpath(stream.path), stream)
        if other is not stream and not (other.is_input and stream.is_input):
            raise NotModelled(f"{other.name} and {stream.name} share the file {stream.path!r}, which is written")


def typed(clause: Clause, streams: Mapping[str, Declaration]) -> Clause:
    """A clause whose constants have widths. Raises SpecError where a stream is unknown or types do not fit."""
    if depth(clause.term) > DEEPEST:
        raise NotModelled(f"{clause.target}: a term more than {DEEPEST} levels deep")
    for value in map(check_time, (clause.target, *values_of(clause.term))):
        if value.name not in streams:
            raise SpecError(f"the stream {value.name!r} is not declared.{nearest(value.name, streams)}")
    target = streams[clause.target.name]

    def fit(term: Term) -> Term:
        if isinstance(term, At) and streams[term.name].width != target.width:
            other = streams[term.name]
            raise SpecError(f"{target.name} is {target.type} and {other.name} is {other.type}; expected one type")
        if isinstance(term, Bits):
            if (term.width or target.width) != target.width or target.width is None:
                raise SpecError(f"{target.name} is {target.type} and {term} is not; expected one type")
            return replace(term, width=target.width)
        if isinstance(term, Less):
            if target.width is not None:
                raise SpecError(f"{target.name} is {target.type} and a comparison is sbf; expected one type")
            return term
        if isinstance(term, Chain):
            return replace(term, terms=tuple(map(fit, children(term))))
        return Not(fit(term.term)) if isinstance(term, Not) else term

    return replace(clause, term=fit(clause.term))
