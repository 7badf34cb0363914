"""The lines of an input file, as the interpreter reads them."""

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from idi_fast.tau.formula import largest, type_name

BLANKS = b" \t\r\v\f"
"""Characters allowed around a value, so that lines may end in CR LF."""

MOST_DIGITS = 400
"""Digits of a number: the widest bitvector needs fewer."""

NUMBER = re.compile(rb"#x(?P<hex>[0-9A-Fa-f]+)|#b(?P<bits>[01]+)|(?P<decimal>[0-9]+)")
EXPRESSION = re.compile(rb"[A-Za-z0-9 \t()&|^'!+~_]+")
"""Characters of a formula of an sbf: letters, digits and operators."""

FORMULA_TOKEN = re.compile(r"\s*(?P<letter>[A-Za-z][0-9]*)|\s*(?P<digits>[0-9]+)|\s*(?P<sign>[()&|^'])")
FORMULA_LEVELS = ("|", "^", "&")
"""The binary operators of a formula, loosest first; & may be omitted."""

END, BAD, FORMULA = -1, -2, -3

MOST_LETTERS = 12
"""The most free variables of a run: a value of an sbf is a truth table over them, of 2 to that power bits."""


@dataclass(frozen=True)
class Formula:
    """A value of an sbf that depends on free variables.

    letters: these, in order; table: its truth table: the bit of a number is the value where the letters, from the first
    on, are the digits of this number, the last digit first.
    """

    letters: tuple[str, ...]
    table: int

    def over(self, letters: Sequence[str]) -> int:
        """The truth table over a superset of its letters."""
        places = [letters.index(letter) for letter in self.letters]
        bits = (
            (self.table >> sum((case >> place & 1) << k for k, place in enumerate(places)) & 1) << case
            for case in range(1 << len(letters))
        )
        return sum(bits)


def formula_text(table: int, letters: Sequence[str]) -> str:
    """How the interpreter prints a truth table: the paths of its decision diagram, ``x y | x' z``."""
    cases = 1 << len(letters)
    if table in (0, (1 << cases) - 1):
        return str(int(table > 0))
    return " | ".join(" ".join(path) for path in _paths(table, tuple(letters)))


def _paths(table: int, letters: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if table == 0:
        return
    if table == (1 << (1 << len(letters))) - 1:
        yield ()
        return
    cases = range(1 << len(letters) - 1)
    low, high = (sum((table >> (2 * case + truth) & 1) << case for case in cases) for truth in (0, 1))
    first, others = letters[0], letters[1:]
    if low == high:
        yield from _paths(low, others)
        return
    for path in _paths(high, others):
        yield (first, *path)
    for path in _paths(low, others):
        yield (f"{first}'", *path)


def parse_formula(text: str) -> Formula | None:
    """The formula in a line of an sbf; None if it is not a formula of 0, 1 and at most MOST_LETTERS letters."""
    tokens: list[str] = []
    end = 0
    while match := FORMULA_TOKEN.match(text, end):
        tokens.append(match[match.lastgroup or 0])
        end = match.end()
    letters = tuple(sorted({token for token in tokens if token[0].isalpha()}))
    if text[end:].strip() or len(letters) > MOST_LETTERS:
        return None
    try:
        return Formula(letters, _FormulaParser(tokens, letters).parse())
    except ValueError:
        return None


class _FormulaParser:
    """A recursive descent over the tokens of a formula. Raises ValueError if they are none."""

    def __init__(self, tokens: list[str], letters: tuple[str, ...]):
        self._tokens, self._letters, self._place = [*tokens, ""], letters, 0
        self._mask = (1 << (1 << len(letters))) - 1

    def parse(self) -> int:
        """The truth table."""
        found = self._joined(0)
        if self._tokens[self._place]:
            raise ValueError
        return found

    def _accept(self, token: str) -> bool:
        there = self._tokens[self._place] == token
        self._place += there
        return there

    def _joined(self, level: int) -> int:
        if level == len(FORMULA_LEVELS):
            return self._negated()
        found = self._joined(level + 1)
        while True:
            sign = FORMULA_LEVELS[level]
            ahead = self._tokens[self._place]
            if not self._accept(sign) and (sign != "&" or not ahead or (ahead in ")|^'")):
                return found
            other = self._joined(level + 1)
            found = found | other if sign == "|" else found ^ other if sign == "^" else found & other

    def _negated(self) -> int:
        found = self._single()
        while self._accept("'"):
            found ^= self._mask
        return found

    def _single(self) -> int:
        token = self._tokens[self._place]
        self._place += 1
        if token == "(":
            found = self._joined(0)
            if not self._accept(")"):
                raise ValueError
            return found
        if token in ("0", "1"):
            return self._mask * int(token)
        if token not in self._letters:
            raise ValueError
        place = self._letters.index(token)
        return sum(1 << case for case in range(1 << len(self._letters)) if case >> place & 1)


@dataclass(frozen=True)
class Lines:
    """The values of a file, line by line.

    values uint32 (n,), or Python's integers for a wide bitvector: up to the line that ends it; in an sbf 2 + j is the
    j-th formula of the run; free: the first line, from 0, that holds one, n if none; end: END, BAD or FORMULA: why
    there are no more; text: that line if it is BAD or FORMULA; missing: whether there is no file.
    """

    values: np.ndarray
    free: int
    end: int = END
    text: str = ""
    missing: bool = False


def read_input(path: Path) -> bytes:
    """The bytes of an input file. Raises OSError, also for pipes and devices, which may never end."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.read_bytes()


class _Codes(dict[bytes, int]):
    """The value of each line, or why it has none; equal lines are parsed once."""

    def __init__(self, width: int | None, formulas: dict[Formula, int]):
        self._width, self._formulas = width, formulas

    def __missing__(self, line: bytes) -> int:
        self[line] = code = self._code(line)
        return code

    def _code(self, line: bytes) -> int:
        if not line:
            return END
        line = line.strip(BLANKS)
        if self._width is not None:
            return self._number(line)
        if line in (b"0", b"1"):
            return int(line)
        if not line or not EXPRESSION.fullmatch(line):
            return BAD
        formula = parse_formula(line.decode())
        if formula is None:
            return FORMULA if re.search(rb"[^0-9\s]", line) else BAD
        if formula.table in (0, largest(1 << len(formula.letters))):
            return int(formula.table > 0)
        if formula not in self._formulas:
            if len({letter for each in (*self._formulas, formula) for letter in each.letters}) > MOST_LETTERS:
                return FORMULA
            self._formulas[formula] = len(self._formulas)
        return 2 + self._formulas[formula]

    def _number(self, line: bytes) -> int:
        match = NUMBER.fullmatch(line)
        if match is None or len(line) > MOST_DIGITS:
            return BAD
        base = {"hex": 16, "bits": 2}.get(match.lastgroup or "", 10)
        value = int(match[match.lastgroup or 0], base)
        return value if value <= largest(self._width) else BAD


def line_codes(data: bytes, width: int | None = None, formulas: dict[Formula, int] | None = None) -> np.ndarray:
    """What each line of a file is by itself, int64 or object (n,), as in `Lines.values`, or END, BAD or FORMULA.

    A line feed at the end is followed by one more line, an empty one.
    """
    lines = data.split(b"\n")
    codes = _Codes(width, {} if formulas is None else formulas)
    return np.fromiter(map(codes.__getitem__, lines), np.int64 if (width or 1) < 63 else object, len(lines))


def read_lines(data: bytes, width: int | None = None, formulas: dict[Formula, int] | None = None) -> Lines:
    """The lines of a file of bv[width] or, without a width, of sbf.

    A value may have blanks around it; a bitvector is decimal, ``#x1f`` or ``#b101``. An empty line is the end, like
    the end of the file. Letters in an sbf are not truth values but free variables, adjacent ones a product; the
    resulting formulas are appended to `formulas`. Other formulas are not computed (FORMULA).
    """
    codes = line_codes(data, width, formulas)
    ends = np.flatnonzero(codes < 0)
    n = int(ends[0]) if ends.size else codes.size
    values = codes[:n].astype(np.uint32 if (width or 1) <= 32 else object)
    free = np.flatnonzero(values > 1) if width is None else ends[:0]
    end = int(codes[n]) if ends.size else END
    return Lines(values, int(free[0]) if free.size else n, end, line_text(data, n) if end != END else "")


def line_text(data: bytes, line: int) -> str:
    """A line of a file, from 0, for messages."""
    text = data.split(b"\n", line + 1)[line].decode("utf-8", "replace").rstrip("\r")
    return text if len(text) <= 40 else text[:40] + "…"


def refusal(lines: Lines, width: int | None) -> str:
    """What is wrong with the line that ends these."""
    if lines.end == FORMULA:
        return f"{lines.text!r} is not a truth value but perhaps a formula, which idi-fast does not compute"
    return f"{lines.text!r} is no {type_name(width)}; expected 0 to {largest(width)}"
