"""The text of a specification read as far as possible, with a finding for everything that is wrong."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from idi_fast.errors import nearest
from idi_fast.tau.check_findings import NOT_MODELLED, REFUSED, Finding
from idi_fast.tau.check_syntax import Modern
from idi_fast.tau.clauses import ClauseParser
from idi_fast.tau.declarations import Declaration, check_declarations
from idi_fast.tau.formula import Clause, NotModelled, SpecError, TextError
from idi_fast.tau.parsing import Token
from idi_fast.tau.spec import Spec, at_declaration, declaration, pass_formula, read_formula, undeclared

MOST_ERRORS = 50
"""Unreadable clauses to report; the rest is skipped."""


@dataclass(frozen=True)
class Reading:
    """The result of reading a text.

    declarations: those that could be read, in order; spec: None if not all could be read; findings: what is
    wrong; places: line and column of each declaration; comments: those before each declaration, and finally those after
    all of them, in ASCII; current: whether the interpreter accepts the text as it is; definitions: of functions and
    predicates.
    """

    file: str
    declarations: tuple[Declaration, ...]
    spec: Spec | None
    findings: tuple[Finding, ...]
    places: dict[str, tuple[int, int]]
    comments: tuple[tuple[str, ...], ...]
    current: bool
    definitions: tuple[str, ...] = ()

    def text(self, spec: Spec) -> str:
        """A specification with these declarations and perhaps more, in ASCII, with the comments of the text."""
        own = {stream.name for stream in self.declarations}
        added = [stream for stream in (*spec.inputs, *spec.outputs) if stream.name not in own]
        lines = []
        for comments, stream in zip(self.comments, self.declarations, strict=False):
            lines += [*comments, str(stream)]
        lines += [*map(str, added), *self.definitions, *self.comments[-1]]
        return "\n".join([*lines, " && ".join(map(str, spec.clauses))]) + "\n"


def read_text(data: bytes, file: str) -> Reading:
    """Read a specification's text, in older syntax too; `file` is its name in findings. Raises nothing."""
    modern = Modern(data.decode("utf-8", "replace").replace("\r\n", "\n"), file)
    return _Reader(modern).reading()


class _Reader:
    """A parser that continues after errors."""

    def __init__(self, modern: Modern):
        self._modern = modern
        self._parser = ClauseParser(modern.text, modern.file)
        self._tainted = modern.tainted
        self._findings = list(modern.findings)
        self._declarations: list[Declaration] = []
        self._starts: list[int] = []
        self._complete = not modern.tainted

    def reading(self) -> Reading:
        modern, parser = self._modern, self._parser
        self._read_declarations()
        formula = parser.place
        pass_formula(parser)
        self._read_declarations()
        parser.place = formula
        console = self._undeclared()
        clauses = self._read_clauses(console)
        spec = self._checked(lambda: Spec.of([*self._declarations, *console], clauses)) if self._complete else None
        names = [stream.name for stream in self._declarations]
        places = dict(zip(names, map(modern.position, self._starts), strict=True))
        comments: list[list[str]] = [[] for _ in range(len(names) + 1)]
        for start, comment in modern.comments:
            comments[sum(place < start for place in self._starts)].append(comment)
        return Reading(
            modern.file,
            tuple(self._declarations),
            spec,
            tuple(self._findings),
            places,
            tuple(map(tuple, comments)),
            not modern.findings,
            tuple(macro.text for macro in parser.macros.values()),
        )

    def _checked(self, make: Callable[[], Spec]) -> Spec | None:
        try:
            return make()
        except (SpecError, NotModelled) as error:
            self._say(error, self._modern.origin(self._parser.next.start))
            return None

    def _undeclared(self) -> list[Declaration]:
        """The undeclared streams of the formula, and a finding for each."""
        if not self._complete:
            return []
        try:
            found = undeclared(self._parser, self._declarations)
        except NotModelled as error:
            self._say(error, self._modern.origin(error.offset or 0))
            return []
        names = [stream.name for stream in self._declarations]
        for stream in found:
            token = next(token for token in self._parser.tokens[self._parser.place :] if token.text == stream.name)
            line, column = self._modern.position(self._modern.origin(token.start))
            found_ = f"the stream {stream.name!r} is not declared.{nearest(stream.name, names)}"
            effect = "the interpreter writes it to the console"
            if stream.is_input:
                effect = "the interpreter asks for it at the console, where nobody answers: the run ends at once"
            self._findings.append(
                Finding(
                    severity="error" if stream.is_input else "warning",
                    code="undeclared",
                    found=found_,
                    effect=effect,
                    remedy=f"declare it: {replace(stream, path='...')}",
                    file=self._modern.file,
                    line=line,
                    column=column,
                    stream=stream.name,
                )
            )
        return found

    def _say(self, error: TextError, offset: int) -> None:
        line, column = self._modern.position(offset)
        known = isinstance(error, SpecError)
        self._complete = False
        self._findings.append(
            Finding(
                severity="error" if known else "warning",
                code="syntax" if known else "not-modelled",
                found=error.reason or str(error),
                effect=REFUSED if known else NOT_MODELLED,
                remedy="correct it by hand",
                file=self._modern.file,
                line=line,
                column=column,
            )
        )

    def _is_tainted(self, start: int, stop: int) -> bool:
        """Whether a part of the text has characters that were already reported; their consequences are not."""
        begin, end = self._modern.origin(start), self._modern.origin(stop)
        return any(begin <= offset < end for offset in self._tainted)

    def _read_declarations(self) -> None:
        parser = self._parser
        while parser.next.kind != "end":
            start = parser.place
            if parser.at_definition():
                try:
                    parser.definition()
                except (SpecError, NotModelled) as error:
                    self._recover(start)
                    self._say_of(start, error)
                continue
            if not at_declaration(parser):
                return
            try:
                stream = declaration(parser)
            except (SpecError, NotModelled) as error:
                self._recover(start)
                self._say_of(start, error)
                continue
            if self._is_tainted(parser.tokens[start].start, parser.tokens[parser.place].start):
                continue
            try:
                check_declarations([*self._declarations, stream])
            except (SpecError, NotModelled) as error:
                self._say(SpecError(str(error)), self._modern.origin(parser.tokens[start].start))
                continue
            self._declarations.append(stream)
            self._starts.append(self._modern.origin(parser.tokens[start].start))

    def _recover(self, start: int) -> None:
        """Continue after the next full stop, or where the next declaration or the formula begins."""
        parser, place = self._parser, start + 1
        while parser.tokens[place].kind != "end" and parser.tokens[place - 1].text != ".":
            ahead = parser.tokens[min(place + 1, len(parser.tokens) - 1)].text
            if parser.tokens[place].kind == "name" and parser.tokens[place].text != "bv" and ahead in (":", "["):
                break
            place += 1
        parser.place = place

    def _say_of(self, start: int, error: TextError) -> None:
        tokens = self._parser.tokens
        first, last = tokens[start].start, tokens[self._parser.place].start
        if self._is_tainted(first, last):
            return
        self._say(error, self._modern.origin(first if error.offset is None else error.offset))

    def _read_clauses(self, console: list[Declaration]) -> list[Clause]:
        parser = self._parser
        first, begin = parser.place, parser.next.start
        if parser.next.kind == "end":
            self._say(
                SpecError("there are no clauses; expected one for each output, as (o1[t] = i1[t])"),
                self._modern.origin(begin),
            )
            return []
        try:
            return read_formula(parser, (*self._declarations, *console) if self._complete else None)
        except (SpecError, NotModelled) as error:
            whole = error
        before = len(self._findings)
        self._complete = False
        if parser.macros:  # of which a clause by itself knows nothing
            self._say(whole, self._modern.origin(whole.offset or 0))
            return []
        for start, stop in self._pieces(first):
            if len(self._findings) - before == MOST_ERRORS:
                skipped = SpecError(f"clauses from here on are not checked: {MOST_ERRORS} before cannot be read")
                self._say(skipped, self._modern.origin(start))
                break
            self._read_piece(start, stop)
        if len(self._findings) == before and not self._is_tainted(begin, len(parser.text)):
            self._say(whole, self._modern.origin(whole.offset or 0))
        return []

    def _pieces(self, first: int) -> Iterator[tuple[int, int]]:
        """The offsets of each clause from a token on, without the parentheses around several."""
        piece: list[Token] = []
        for token in self._parser.tokens[first:]:
            if token.text != "&&" and token.kind != "end":
                piece.append(token)
                continue
            yield self._stripped(piece, token)
            piece = []

    @staticmethod
    def _stripped(piece: list[Token], behind: Token) -> tuple[int, int]:
        opened = sum(token.text == "(" for token in piece) - sum(token.text == ")" for token in piece)
        first, last = 0, len(piece)
        while opened > 0 and first < last and piece[first].text == "(":
            first, opened = first + 1, opened - 1
        while opened < 0 and first < last and piece[last - 1].text in (")", "."):
            last, opened = last - 1, opened + (piece[last - 1].text == ")")
        if first == last:
            return behind.start, behind.start
        return piece[first].start, piece[last - 1].start + len(piece[last - 1].text)

    def _read_piece(self, start: int, stop: int) -> None:
        if self._is_tainted(start, stop):
            return
        parser = ClauseParser(self._parser.text[start:stop], self._modern.file)
        parser.names, parser.check, parser.widths = self._parser.names, self._parser.check, self._parser.widths
        try:
            parser.clauses()
            parser.accept(".")
            parser.end()
        except (SpecError, NotModelled) as error:
            self._say(error, self._modern.origin(start + (error.offset or 0)))
