"""The lines of an input file, as the interpreter takes them."""

import errno
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from idi_fast.tau.formula import largest, type_name

BLANKS = b" \t\r\v\f"
"""What may stand around a value, so that lines may end in CR LF."""

NUMBER = re.compile(rb"#x(?P<hex>[0-9A-Fa-f]+)|#b(?P<bits>[01]+)|(?P<decimal>[0-9]+)")
WORD = re.compile(rb"[a-z]+")
EXPRESSION = re.compile(rb"(?=.*\D)[\w ()&|^+']+", re.ASCII)
"""What may be a formula of an sbf, of letters or of operators; digits alone are none."""

END, BAD, FORMULA = -1, -2, -3
MOST_PRODUCTS = 250
"""Products of free variables in a run; so many fit a byte beside 0 and 1."""


@dataclass(frozen=True)
class Lines:
    """What a file gives, line by line.

    values uint32 (n,): up to the line that ends it; in an sbf 2 + j is the j-th of the run's products of free
    variables; free: the first line, from 0, that holds such a product, n if none; end: END, BAD or FORMULA: why there
    are no more; text: that line where it is BAD or FORMULA; missing: whether there is no file.
    """

    values: np.ndarray
    free: int
    end: int = END
    text: str = ""
    missing: bool = False

    def before_free(self, text: str) -> "Lines":
        """The lines before the first product of free variables."""
        return Lines(self.values[: self.free], self.free, FORMULA, text)


def read_input(path: Path) -> bytes:
    """The bytes of an input file. Raises OSError, also for pipes and devices, whose end may never come."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.read_bytes()


class _Codes(dict[bytes, int]):
    """The value of each line, or why it has none; a line is looked at once however often it stands in a file."""

    def __init__(self, width: int | None, products: list[str]):
        self._width, self._products = width, products

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
        if WORD.fullmatch(line):
            return self._product(" ".join(sorted(set(line.decode()))))
        return FORMULA if EXPRESSION.fullmatch(line) else BAD

    def _number(self, line: bytes) -> int:
        match = NUMBER.fullmatch(line)
        if match is None or len(line) > 64:
            return BAD
        base = {"hex": 16, "bits": 2, "decimal": 10}[match.lastgroup]
        value = int(match[match.lastgroup], base)
        return value if value <= largest(self._width) else BAD

    def _product(self, product: str) -> int:
        if product not in self._products:
            if len(self._products) == MOST_PRODUCTS:
                return FORMULA
            self._products.append(product)
        return 2 + self._products.index(product)


def line_codes(data: bytes, width: int | None = None, products: list[str] | None = None) -> np.ndarray:
    """What each line of a file is by itself, int64 (n,), as in `Lines.values`, or END, BAD or FORMULA.

    A line feed at the end is followed by one more line, an empty one.
    """
    lines = data.split(b"\n")
    codes = _Codes(width, [] if products is None else products)
    return np.fromiter(map(codes.__getitem__, lines), np.int64, len(lines))


def read_lines(data: bytes, width: int | None = None, products: list[str] | None = None) -> Lines:
    """The lines of a file of bv[width] or, without a width, of sbf.

    A value may have blanks around it; a bitvector is decimal, ``#x1f`` or ``#b101``. An empty line is the end, as is
    the end of the file. Letters in an sbf are no truth values: a word is the product of its letters as free variables,
    and is added to `products`; other formulas are not worked out (FORMULA).
    """
    codes = line_codes(data, width, products)
    ends = np.flatnonzero(codes < 0)
    n = int(ends[0]) if ends.size else codes.size
    values = codes[:n].astype(np.uint32)
    free = np.flatnonzero(values > 1) if width is None else ends[:0]
    end = int(codes[n]) if ends.size else END
    return Lines(values, int(free[0]) if free.size else n, end, line_text(data, n) if end != END else "")


def line_text(data: bytes, line: int) -> str:
    """A line of a file, from 0, as messages show it."""
    text = data.split(b"\n", line + 1)[line].decode("utf-8", "replace").rstrip("\r")
    return text if len(text) <= 40 else text[:40] + "…"


def refusal(lines: Lines, width: int | None) -> str:
    """What is wrong with the line that ends these."""
    if lines.end == FORMULA:
        return f"{lines.text!r} is a formula, not a truth value, and idi-fast does not work it out"
    return f"{lines.text!r} is no {type_name(width)}; expected 0 to {largest(width)}"
