"""Older specification texts in today's syntax: what is changed, and what it was.

Older texts declare by ``=`` or as ``sbf i1 = ifile("a")``, omit full stops, and are scripts for a prompt: ``r``
before the formula, ``n`` and ``q`` after it. Non-ASCII characters are replaced if they have a look-alike.
"""

import unicodedata
from bisect import bisect_right
from collections import Counter
from itertools import accumulate
from typing import NamedTuple

from idi_fast.tau.check_findings import REFUSED, Finding
from idi_fast.tau.declarations import NAME
from idi_fast.tau.parsing import STRANGE, Token, tokens

LOOK_ALIKES = {
    **dict.fromkeys("\ufeff\u00a0\u2002\u2003\u2009\u200b\u202f\u3000\v\f", " "),
    **dict.fromkeys("\u2018\u2019\u00b4\u2032", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u2033", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
    "\u2227": "&",
    "\u2228": "|",
    "\u2295": "^",
    "\uff1d": "=",
    "\u2236": ":",
}
"""Replacements of look-alikes of operators, one for one, in formulas as well."""

SPELT = {
    "→": "->",
    "←": "<-",
    "⇒": "=>",
    "↔": "<->",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "¬": "not ",
    "×": "x",
    "…": "...",
    "•": "*",
    "·": "*",
    "ß": "ss",
    "æ": "ae",
    "Æ": "AE",
    "ø": "o",
    "Ø": "O",
    "ł": "l",
    "Ł": "L",
    "σ": "sigma",
    "α": "alpha",
    "β": "beta",
    "γ": "gamma",
    "ε": "epsilon",
    "τ": "tau",
    "μ": "mu",
    "µ": "mu",
}
"""Spellings in comments; other characters are dropped."""

RUN = ("r", "run", "execute")
"""Commands before a formula that run it."""

COMMANDS = (*RUN, "defs", "n", "q", "quit", "normalize", "set")
"""Words of the prompt, which a file must not contain; ``set`` takes the rest of its line."""


class Edit(NamedTuple):
    """The replacement of offsets `start` to `stop` of a text by `text`."""

    start: int
    stop: int
    text: str


class _Form(NamedTuple):
    """A declaration in any syntax: `parts` says what is old about it; stop: the offset after it."""

    name: Token
    type: str
    source: str
    start: int
    stop: int
    parts: list[str]


def transliterated(text: str) -> str:
    """A text in ASCII: accents are removed, symbols are spelt, other characters are dropped."""
    spelt = (SPELT.get(letter, LOOK_ALIKES.get(letter, letter)) for letter in text)
    plain = unicodedata.normalize("NFKD", "".join(spelt))
    return STRANGE.sub("", plain.encode("ascii", "ignore").decode())


class Modern:
    """A text in today's syntax.

    text: the new text; edits: by offsets of the original; findings: what was old; tainted: offsets in the original of
    characters that nothing replaces; comments: offset and text of each, in ASCII; renamed: streams by their earlier
    names.
    """

    def __init__(self, text: str, file: str):
        self.file, self.original = file, text
        self.findings: list[Finding] = []
        self.edits: list[Edit] = []
        self.renamed: dict[str, str] = {}
        self._starts = list(accumulate((len(line) + 1 for line in text.split("\n")), initial=0))
        ascii_text = STRANGE.sub(lambda match: LOOK_ALIKES.get(match[0], "?"), text)
        words = tokens(ascii_text)
        spans = [(word.start, word.start + len(word.text)) for word in words if word.text.startswith("#")]
        self.comments = [(start, transliterated(text[start:stop]).strip()) for start, stop in spans]
        self.tainted = self._find_strange(spans)
        self._words = [word for word in words if word.kind != "space"]
        self._place = 0
        self._declarations()
        self._formula()
        self.edits.sort()
        self.text = self._edited(ascii_text)

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column, from 1, of an offset of the original."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def origin(self, offset: int) -> int:
        """Where in the original an offset of the text comes from."""
        shift = 0
        for edit in self.edits:
            if offset < edit.start + shift:
                break
            if offset < edit.start + shift + len(edit.text):
                return edit.start
            shift += len(edit.text) - (edit.stop - edit.start)
        return min(offset - shift, len(self.original))

    def _edited(self, text: str) -> str:
        parts, end = [], 0
        for edit in self.edits:
            parts += [text[end : edit.start], edit.text]
            end = edit.stop
        return "".join([*parts, text[end:]])

    def _say(self, code: str, offset: int, found: str, remedy: str, *, stream: str = "", fixable: bool = True) -> None:
        line, column = self.position(offset)
        self.findings.append(
            Finding(
                severity="error",
                code=code,
                found=found,
                effect=REFUSED,
                remedy=remedy,
                file=self.file,
                line=line,
                column=column,
                stream=stream,
                fixable=fixable,
            )
        )

    def _find_strange(self, comments: list[tuple[int, int]]) -> list[int]:
        """The offsets of characters that nothing replaces; reported once per line."""
        tainted: list[int] = []
        lines: dict[int, list[int]] = {}
        starts = [start for start, _ in comments]
        for match in STRANGE.finditer(self.original):
            at = match.start()
            lines.setdefault(self.position(at)[0], []).append(at)
            comment = bisect_right(starts, at) - 1
            if match[0] not in LOOK_ALIKES and (comment < 0 or at >= comments[comment][1]):
                tainted.append(at)
        left = set(tainted)
        for offsets in lines.values():
            first = next((at for at in offsets if at in left), offsets[0])
            more = f" and {len(offsets) - 1} more on the line" if len(offsets) > 1 else ""
            found = f"found {self.original[first]!r}{more}; expected printable ASCII alone, in comments too"
            fixable = not left.intersection(offsets)
            remedy = "spell it in ASCII" if fixable else "spell it in ASCII; its meaning is unknown"
            self._say("not-ascii", first, found, remedy, fixable=fixable)
        return tainted

    def _at(self, ahead: int = 0) -> Token:
        return self._words[min(self._place + ahead, len(self._words) - 1)]

    def _declarations(self) -> None:
        forms: list[_Form] = []
        while (token := self._at()).kind == "name":
            if form := self._form():
                forms.append(form)
            elif token.text in COMMANDS and self._at(1).text not in ("[", ":", ":=", "="):
                if token.text in RUN:
                    break
                self._drop_command()
            elif self._at(1).text in (":", ":=", "="):
                self._skip_statement()
            else:
                break
        declared = Counter(form.name.text for form in forms)
        for form in forms:
            self._rename(form, declared)
        for form in forms:
            self._modernise(form)

    def _skip_statement(self) -> None:
        """Leave anything else to the parser."""
        self._place += 1
        while self._at().kind != "end" and self._at(-1).text != ".":
            if self._at().kind == "name" and self._at(1).text in (":", "["):
                return
            self._place += 1

    def _form(self) -> _Form | None:
        """Take a declaration at the cursor, if there is one."""
        first, parts, ahead = self._at(), [], 1
        if self._at(1).text == ":":
            name, (kind, ahead) = first, self._type(2)
        else:
            kind, ahead = self._type(0)
            name = self._at(ahead)
            ahead += 1
            parts.append("the type before the name")
        assigned = self._at(ahead)
        if not kind or name.kind != "name" or assigned.text not in (":=", "="):
            return None
        if assigned.text == "=":
            parts.append("'=' instead of ':='")
        source, ahead, old = self._source(ahead + 1, name.text)
        if not source:
            return None
        parts += old
        last = self._at(ahead - 1)
        if self._at(ahead).text == ".":
            last, ahead = self._at(ahead), ahead + 1
        else:
            parts.append("no full stop at the end")
        self._place += ahead
        return _Form(name, kind, source, first.start, last.start + len(last.text), parts)

    def _type(self, ahead: int) -> tuple[str, int]:
        """A type that begins this many words ahead, empty if there is none, and how far ahead it ends."""
        token = self._at(ahead)
        if token.kind != "name":
            return "", ahead
        inside = [self._at(ahead + k) for k in (1, 2, 3)]
        if inside[0].text == "[" and inside[1].kind == "number" and inside[2].text == "]":
            return f"{token.text}[{inside[1].text}]", ahead + 4
        return token.text, ahead + 1

    def _source(self, ahead: int, name: str) -> tuple[str, int, list[str]]:
        """A stream's source or target in today's syntax; how far ahead it ends; what was old."""
        token, old = self._at(ahead), []
        if token.text in ("ifile", "ofile"):
            way, old = {"ifile": "in", "ofile": "out"}[token.text], [f"{token.text} instead of file"]
            ahead += 1
        elif token.text in ("in", "out"):
            way, ahead = token.text, ahead + 1
            if self._at(ahead).text == "file":
                ahead += 1
        elif token.text == "console":
            return f"{'in' if name.startswith('i') else 'out'} console", ahead + 1, ["console alone"]
        else:
            return "", ahead, []
        if self._at(ahead).text == "console":
            return f"{way} console", ahead + 1, old
        if self._at(ahead).text != "(" or self._at(ahead + 1).kind != "text" or self._at(ahead + 2).text != ")":
            return "", ahead, []
        return f"{way} file({self._at(ahead + 1).text})", ahead + 3, old

    def _rename(self, form: _Form, declared: Counter[str]) -> None:
        """Rename a stream that does not begin with i or o, according to its direction."""
        name, begins = form.name.text, form.source[0]
        if (NAME.fullmatch(name) and name[0] == begins) or declared[name] > 1 or name in ("t", "in", "out"):
            return
        new, n = f"{begins}_{name}", 2
        while new in declared or new in self.renamed.values():
            new, n = f"{begins}_{name}_{n}", n + 1
        self.renamed[name] = new
        what = {"i": "input", "o": "output"}[begins]
        found = f"the {what} {name} does not begin with {begins}"
        self._say("name", form.name.start, found, f"call it {new}", stream=name)

    def _modernise(self, form: _Form) -> None:
        name = self.renamed.get(form.name.text, form.name.text)
        if form.parts:
            now = f"{name}:{form.type} := {form.source}."
            found = f"an older declaration of {form.name.text}: {', '.join(form.parts)}"
            self._say("old-syntax", form.start, found, f"write {now}", stream=form.name.text)
        if form.parts or name != form.name.text:
            self.edits.append(Edit(form.start, form.stop, f"{name}:{form.type} := {form.source}."))

    def _drop_command(self, instead: str = "") -> None:
        """Remove the command at the cursor from the text, ``set`` with the rest of its line."""
        token = self._at()
        stop = token.start + len(token.text)
        if token.text == "set":
            stop = self._starts[self.position(token.start)[0]] - 1
        remedy = "join the formulas by &&" if instead else "leave it out"
        self._say("command", token.start, f"the command {self.original[token.start : stop].strip()!r}", remedy)
        self.edits.append(Edit(token.start, stop, instead))
        while self._at().kind != "end" and self._at().start < stop:
            self._place += 1

    def _formula(self) -> None:
        """Go through the words after the declarations: a name without a following bracket is not a stream."""
        begun, depth = False, 0
        while (token := self._at()).kind != "end":
            depth += {"[": 1, "]": -1}.get(token.text, 0)
            alone = token.kind == "name" and depth <= 0 and self._at(1).text not in ("[", ":", ":=", "=")
            if alone and token.text in COMMANDS and (not begun or self._ends_formula(self._at(-1))):
                self._end_formula(token, begun)
                continue
            if token.kind == "name" and token.text in self.renamed and self._at(1).text == "[":
                self.edits.append(Edit(token.start, token.start + len(token.text), self.renamed[token.text]))
            begun, self._place = True, self._place + 1

    @staticmethod
    def _ends_formula(token: Token) -> bool:
        return token.kind in ("number", "constant") or token.text in (")", "]", ".", "'", "&&", *COMMANDS)

    def _end_formula(self, token: Token, begun: bool) -> None:
        before = self._at(-1)
        again = begun and token.text in RUN and before.text != "&&"
        if again and before.text == ".":
            self.edits.append(Edit(before.start, before.start + 1, ""))
        self._drop_command("&&" if again else "")
