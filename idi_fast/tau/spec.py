"""A Tau specification as data: streams that are read from and written to files, and clauses that define the outputs.

The text is that of the interpreter's file mode: declarations, each ended by a full stop, then clauses joined by ``&&``.

    i1:sbf := in file("inputs/a.in").
    o1:sbf := out file("outputs/a.out").
    (o1[t] = i1[t])
"""

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path

from idi_fast import display
from idi_fast.config.arguments import check_path, check_text
from idi_fast.errors import InputError
from idi_fast.tau.clauses import ClauseParser
from idi_fast.tau.declarations import CONSOLE, NAME, Declaration, check_declarations, typed
from idi_fast.tau.formula import (
    At,
    Bit,
    Bits,
    Clause,
    NotModelled,
    SpecError,
    Term,
    fold,
    largest,
    shifted,
    values_of,
)
from idi_fast.tau.parsing import WIDEST, Parser, Token

FORMULA_WORDS = ("always", "T", "F")


@dataclass(frozen=True)
class Spec:
    """A specification; `str` prints it as the interpreter reads it, with all clauses on one line.

    Attributes
    ----------
    inputs, outputs : tuple of Declaration
        Streams that are read from and written to files.
    clauses : tuple of Clause
        What defines the outputs; constants get the widths of their clauses.
    console : tuple of Declaration
        Streams that are not files.

    Raises
    ------
    SpecError
        For anything that the interpreter refuses too: a stream declared twice or not at all, types that do not fit.
    NotModelled
        For files that are written more than once, or are read and written.
    """

    inputs: tuple[Declaration, ...]
    outputs: tuple[Declaration, ...]
    clauses: tuple[Clause, ...]
    console: tuple[Declaration, ...] = ()

    @classmethod
    def of(cls, streams: Iterable[Declaration], clauses: Iterable[Clause]) -> "Spec":
        """The specification of streams in any order."""
        streams = list(streams)
        filed = [stream for stream in streams if stream.path != CONSOLE]
        return cls(
            tuple(stream for stream in filed if stream.is_input),
            tuple(stream for stream in filed if not stream.is_input),
            tuple(clauses),
            tuple(stream for stream in streams if stream.path == CONSOLE),
        )

    def __post_init__(self) -> None:
        for name in ("inputs", "outputs", "clauses", "console"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check_declarations((*self.inputs, *self.outputs, *self.console))
        if strays := [s for s in self.inputs if not s.is_input] + [s for s in self.outputs if s.is_input]:
            raise SpecError(f"{strays[0].name} is on the wrong side; inputs begin with i and outputs with o")
        if not self.clauses:
            raise SpecError("there is no clause; expected one for each output, as (o1[t] = i1[t])")
        object.__setattr__(self, "clauses", tuple(typed(clause, self.streams) for clause in self.clauses))

    @cached_property
    def streams(self) -> dict[str, Declaration]:
        """Every declaration by name, inputs first."""
        return {stream.name: stream for stream in (*self.inputs, *self.outputs, *self.console)}

    @cached_property
    def values(self) -> tuple[At, ...]:
        """Every value of a stream in the clauses, in their order, targets too."""
        return tuple(value for clause in self.clauses for value in (clause.target, *values_of(clause.term)))

    @property
    def lookback(self) -> int:
        """L, the largest k of any ``[t-k]``: the clauses for t hold from there on."""
        return max(value.lookback for value in self.values)

    @property
    def last_index(self) -> int:
        """The largest fixed index, −1 if there is none."""
        return max(-1 if value.index is None else value.index for value in self.values)

    @cached_property
    def mirrors(self) -> dict[str, str]:
        """The first output that mirrors each input by a clause ``(oX[t] = iX[t])``."""
        found: dict[str, str] = {}
        for clause in self.clauses:
            name = clause.target.name
            if isinstance(clause.term, At) and clause == Clause(At(name), At(clause.term.name)):
                found.setdefault(clause.term.name, name)
        return {stream.name: found[stream.name] for stream in self.inputs if stream.name in found}

    def __repr__(self) -> str:
        names = (", ".join(stream.name for stream in streams) for streams in (self.inputs, self.outputs))
        inputs, outputs = (textwrap.shorten(text, 80, placeholder=" …") for text in names)
        return display.as_text(f"Spec of {len(self.clauses)} clauses", [("inputs", inputs), ("outputs", outputs)])

    def __str__(self) -> str:
        lines = [str(stream) for stream in (*self.inputs, *self.outputs, *self.console)]
        return "\n".join([*lines, " && ".join(map(str, self.clauses))]) + "\n"


def anchored(spec: Spec) -> Spec:
    """Add clauses for the times before a specification's lookback, in which every value before time 0 is 0.

    All inputs that are mirrored are thereby read from time 0 on, in step. An output keeps the clauses for fixed
    indices that it has.

    Parameters
    ----------
    spec
        As for `parse_spec` or `load_spec`; it is left as it is.

    Returns
    -------
    Spec
        With the clauses added after the others.

    Examples
    --------
    >>> from idi_fast.tau import anchored, parse_spec
    >>> spec = parse_spec('i1:sbf := in file("a.in").  o1:sbf := out file("a.out").  (o1[t] = i1[t-1])')
    >>> print(anchored(spec).clauses[-1])
    (o1[0] = 0)
    """
    there = {(clause.target.name, clause.target.index) for clause in spec.clauses}
    added = []
    for index in range(spec.lookback):
        for clause in spec.clauses:
            name = clause.target.name
            if clause.target.index is None and (name, index) not in there:
                added.append(Clause(At(name, 0, index), _at_first(clause.term, index, spec.streams[name].width)))
    return replace(spec, clauses=(*spec.clauses, *added))


def _at_first(term: Term, index: int, width: int | None) -> Term:
    left = fold(term, lambda value: 0 if value.lookback > index else None, largest(width))
    if isinstance(left, int):
        return Bit(left) if width is None else Bits(left, width)
    return shifted(left, index)


def parse_spec(text: str, source: str = "the specification") -> Spec:
    """Read a specification from its text.

    Parameters
    ----------
    text
        Declarations, each ended by a full stop, then clauses joined by ``&&``.
    source
        The text's name in errors, which give line and column.

    Returns
    -------
    Spec
        Streams and clauses as data.

    Raises
    ------
    SpecError
        For what the interpreter refuses too: the older declarations by ``=``, a command such as ``r`` before the
        clauses, letters beyond ASCII, names that do not begin with i or o, types that do not fit.
    NotModelled
        For parts of Tau that idi-fast does not model, such as quantifiers and further types.
    InputError
        If `text` is something else.

    Examples
    --------
    >>> from idi_fast.tau import parse_spec
    >>> parse_spec('i1:sbf := in file("a.in").  o1:sbf := out file("a.out").  (o1[t] = i1[t])')
    Spec of 1 clauses
      inputs   i1
      outputs  o1
    """
    check_text("text", text, expected="a specification's text")
    parser = ClauseParser(text, source)
    streams: list[Declaration] = []
    formula = None
    while parser.next.kind != "end":
        at = parser.next
        if at_declaration(parser):
            streams.append(declaration(parser))
            parser.checked(check_declarations, streams, at=at)
        elif parser.at_definition():
            parser.definition()
        elif formula is None:
            formula = parser.place
            pass_formula(parser)
        else:
            parser.refuse("an operator or the end")
    if formula is None:
        parser.refuse("clauses, as (o1[t] = i1[t]), after the declarations")
    parser.place = formula
    streams += undeclared(parser, streams)
    return Spec.of(streams, read_formula(parser, streams))


def at_declaration(parser: Parser) -> bool:
    """Whether a declaration is next."""
    return parser.next.kind == "name" and parser.tokens[parser.place + 1].text in (":", ":=", "=")


def pass_formula(parser: ClauseParser) -> None:
    """Advance to what follows the formula: declarations, definitions or the end."""
    first = parser.place
    while parser.next.kind != "end":
        ended = parser.place > first and parser.tokens[parser.place - 1].text == "."
        if ended and (at_declaration(parser) or parser.at_definition()):
            return
        parser.take()


def read_formula(parser: ClauseParser, streams: Iterable[Declaration] | None) -> list[Clause]:
    """The clauses at the parser's cursor, over these streams, over any if None. Raises SpecError, NotModelled."""
    known_word = parser.next.kind != "name" or parser.next.text in (*FORMULA_WORDS, *parser.macros)
    if not known_word and parser.tokens[parser.place + 1].text != "[":
        _refuse_command(parser)
    if streams is not None:
        known = {stream.name: stream for stream in streams}
        parser.names, parser.check = known, partial(typed, streams=known)
        parser.widths = {name: stream.width for name, stream in known.items()}
    clauses = parser.clauses()
    parser.accept(".")
    if not (at_declaration(parser) or parser.at_definition()):
        parser.end()
    return clauses


def undeclared(parser: ClauseParser, streams: Iterable[Declaration]) -> list[Declaration]:
    """Undeclared streams of the formula at the parser's cursor, which are the console's.

    Their types are those of the streams that they are joined with. Raises NotModelled if these have none.
    """
    widths = {stream.name: stream.width for stream in streams}
    names, types = _inferred(parser.tokens[parser.place :], widths)
    for token in names:
        if token.text not in types:
            parser.fail(f"the type of {token.text} is unknown; declare it", token, NotModelled)
    first = {token.text: token for token in reversed(names)}
    return [
        parser.checked(Declaration, name, CONSOLE, width, at=first[name])
        for name, width in types.items()
        if name not in widths
    ]


def _inferred(tokens: list[Token], widths: Mapping[str, int | None]) -> tuple[list[Token], dict[str, int | None]]:
    """The streams of a formula, and their types as far as clauses join them with streams of known types."""
    pieces: list[list[Token]] = [[]]
    for token, ahead in pairwise(tokens):
        if token.text == "&&":
            pieces.append([])
        elif token.kind == "name" and ahead.text == "[" and NAME.fullmatch(token.text):
            pieces[-1].append(token)
    found = dict(widths)
    again = True
    while again:
        again = False
        for piece in pieces:
            types = {found[token.text] for token in piece if token.text in found}
            for token in piece:
                if token.text not in found and len(types) == 1:
                    (found[token.text],) = types
                    again = True
    return [token for piece in pieces for token in piece], found


def _declared(tokens: list[Token]) -> dict[str, int | None]:
    """The types in declarations, wherever these are."""
    found: dict[str, int | None] = {}
    for place, token in enumerate(tokens):
        said = [each.text for each in tokens[place : place + 7]]
        if token.kind == "name" and said[1:4] == [":", "sbf", ":="]:
            found[token.text] = None
        elif token.kind == "name" and said[1:4] == [":", "bv", "["] and said[5:] == ["]", ":="] and len(said[4]) < 4:
            found[token.text] = int(said[4]) if said[4].isdecimal() else WIDEST + 1  # the declaration itself is refused
    return found


def load_spec(path: str | Path) -> Spec:
    """Read a specification from its file.

    Parameters
    ----------
    path
        Of the file, mostly ``agent.tau``.

    Returns
    -------
    Spec
        Streams and clauses as data.

    Raises
    ------
    InputError
        If it cannot be read.
    SpecError, NotModelled
        As for `parse_spec`.
    """
    path = check_path("path", path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return parse_spec(data.decode("utf-8", "replace"), str(path))


def declaration(parser: Parser) -> Declaration:
    """The declaration at the parser's cursor. Raises SpecError, NotModelled."""
    name = parser.take()
    types = _inferred(parser.tokens, _declared(parser.tokens))[1] if parser.ahead(":=", "out") else {}
    if parser.ahead(":=") and name.text not in types:
        parser.fail(f"{name.text} has no type; expected {name.text}:sbf or {name.text}:bv[n]", parser.next, NotModelled)
    if parser.ahead("="):
        parser.fail("found '='; declarations are written name:type := in file(\"…\").", parser.next)
    width = parser.type() if parser.accept(":") else types[name.text]
    if parser.ahead("="):
        parser.fail("found '=', the older syntax of declarations; expected ':='", parser.next)
    parser.expect(":=")
    way = parser.next
    if not (parser.accept("in") or parser.accept("out")):
        parser.refuse('in file("…") or out file("…")')
    path = CONSOLE
    if not parser.accept("console"):
        parser.expect("file")
        parser.expect("(")
        if parser.next.kind != "text":
            parser.refuse("a file name in quotation marks")
        at = parser.take()
        path = at.text[1:-1]
        if not path:
            parser.fail("found the file name ''; expected printable ASCII without quotation marks", at)
        parser.expect(")")
    parser.expect(".", "'.' after the declaration")
    stream = parser.checked(Declaration, name.text, path, width, at=name)
    if stream.is_input != (way.text == "in"):
        begins = "i" if way.text == "in" else "o"
        parser.fail(
            f"found {name.text!r}; expected a name that begins with {begins}: it is an {way.text}put", name, NotModelled
        )
    return stream


def _refuse_command(parser: Parser) -> None:
    token = parser.next
    if token.text in ("r", "run", "n", "normalize", "sat", "solve", "set", "u", "q", "quit"):
        parser.fail(f"found the command {token.text!r}; expected a declaration or the clauses alone", token)
    parser.refuse('a declaration, as i1:sbf := in file("…")., or a clause, as (o1[t] = i1[t])')
