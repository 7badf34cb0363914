"""Text files of prices as vendors write them: encoding, separator, lines before the header, and the header."""

import codecs
import csv
import gzip
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from idi_fast.data.column_names import KNOWN_WORDS, folded
from idi_fast.data.layouts import layout, numbered_names
from idi_fast.data.time_forms import is_clock, is_date, without_accents
from idi_fast.errors import DataError

HEAD_BYTES = 65_536
HEAD_ROWS = 40
"""Lines of a file's beginning that its dialect is told by."""
SEPARATORS = (",", ";", "\t", "|")
NAMES_OF_SEPARATORS = {",": "','", ";": "';'", "\t": "tab", "|": "'|'", " ": "space"}
MOST_HEADER_ROWS = 5
LEAST_SHARE = 0.6
"""Share of the lines that must have as many fields as most, for a sign to be the separator."""
COMMENT = "#"
SPACED = "[ \t]+"
"""What separates the fields of a table that is written for the eye."""
BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"}
BOMS |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
EIGHT_BITS = ("cp1252", "cp1251", "cp1250", "gb18030", "shift_jis", "euc_kr", "big5")
"""Encodings that are tried on text that is no UTF-8; the first in which a header names known columns is taken."""
HEADER_LETTERS = 2000
MOSTLY = 0.9
PANDAS_LABELS = ("price", "ticker", "attributes", "symbols")
"""What pandas writes above an index whose columns have several levels."""
MISSING = frozenset(("", "nan", "null", "na", "n/a", "none", "-", "--", ".", "inf", "-inf", "+inf"))
VALUE = re.compile(
    r"[-+(]?\s*[$€£¥]?\s*[-+]?(?:\d[\d.,'’\u00a0\u202f ]*|[.,]\d+)(?:[eE][-+]?\d+)?\s*(?:[KkMmBb%$€£¥])?\)?"
)
ISO = re.compile(r"\d{4}-\d\d-\d\d([T ].*)?")


class Dialect(NamedTuple):
    """How a text file is written.

    names: of its columns, None for those of its first line; skip_lines: those before the first row, where names are
    given; header_rows: lines of these that are header; comment: what comments begin with; has_blank_lines: whether
    there are some between rows; end: of lines; quote: the sign around fields; is_spaced: whether the fields of the file
    itself are separated by runs of spaces, which its copy has tabs for.
    """

    encoding: str = "utf-8"
    separator: str = ","
    names: tuple[str, ...] | None = None
    skip_lines: int = 0
    header_rows: int = 1
    comment: str | None = None
    has_blank_lines: bool = False
    end: str = "\n"
    quote: str = '"'
    is_spaced: bool = False

    def about(self) -> list[str]:
        """What is said of it, where it is not a plain CSV file: "';' separated" …"""
        before = self.skip_lines - self.header_rows
        known = [name for name in self.names or () if not name.startswith("column_")]
        said = [
            (self.encoding != "utf-8", f"encoding {self.encoding}"),
            (
                self.separator != "," and not self.is_spaced,
                f"{NAMES_OF_SEPARATORS.get(self.separator, repr(self.separator))} separated",
            ),
            (self.is_spaced, "separated by runs of spaces"),
            (self.quote != '"', "single quotes"),
            (self.header_rows == 0, f"no header{': ' * bool(known)}{', '.join(known)}"),
            (self.header_rows > 1, f"{self.header_rows} header lines"),
            (self.names is not None and before > 0, f"{before} line{'s' * (before > 1)} skipped before the first row"),
            (self.comment is not None, f"{COMMENT} begins comments"),
        ]
        return [text for holds, text in said if holds]


@contextmanager
def open_bytes(file: Path) -> Iterator[Any]:
    """The bytes of a text file, decompressed. Raises DataError for an archive of more than one file."""
    suffix = file.suffix.lower()
    if suffix == ".gz":
        with gzip.open(file, "rb") as opened:
            yield opened
    elif suffix == ".zst":
        import pyarrow as pa

        with pa.CompressedInputStream(pa.OSFile(str(file)), "zstd") as opened:
            yield opened
    elif suffix == ".zip":
        with zipfile.ZipFile(file) as archive, archive.open(_only_member(file, archive)) as opened:
            yield opened
    else:
        with open(file, "rb") as opened:
            yield opened


def _only_member(file: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    hidden = ("__MACOSX/", ".")
    members = [entry for entry in archive.infolist() if not entry.is_dir() and not entry.filename.startswith(hidden)]
    if len(members) != 1:
        names = ", ".join(repr(entry.filename) for entry in members[:3]) + (" …" if len(members) > 3 else "")
        held = f"it holds {len(members):,} files ({names})" if members else "it holds no file"
        raise DataError(f"{file}: {held}; expected one CSV file: unpack it")
    if not members[0].filename.lower().endswith((".csv", ".txt", ".tsv")):
        raise DataError(f"{file}: it holds {members[0].filename!r}; expected a file named .csv, .txt, .tsv")
    return members[0]


def find_encoding(head: bytes) -> str:
    """The encoding of a text by its beginning; those of eight bits are told apart by the names of known columns."""
    for bom, name in BOMS.items():  # those of UTF-32 before those of UTF-16, which begin them
        if head.startswith(bom):
            return name
    zeros = [2 * head[first::2].count(0) / max(len(head), 1) for first in (0, 1)]
    if max(zeros) > MOSTLY and min(zeros) < 1 - MOSTLY:  # Latin letters of two bytes each
        return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        for name in EIGHT_BITS:
            text = codecs.getincrementaldecoder(name)("replace").decode(head)[:HEADER_LETTERS]
            words = [word for word in re.findall(r"[^\W_]+", text) if not word.isascii()]
            if any(without_accents(word) in KNOWN_WORDS for word in words):
                return name
        return EIGHT_BITS[0]
    return "utf-8"


Row = tuple[int, list[str]]
"""The number of a line and its fields."""


def find_dialect(
    head: str,
    encoding: str,
    *,
    sep: str | None = None,
    no_header: bool = False,
    skip_rows: int | None = None,
    known: tuple[str, ...] = (),
    recognise: bool = True,
) -> Dialect:
    """The dialect of a text file by its beginning; without names for a plain CSV file, which names its own columns.

    no_header: the first row is one of values; skip_rows: lines to skip before the first one that counts, None: those
    that do not look like part of the table; known: the names of the first columns in a file without a header;
    recognise: whether others are named by what they hold.
    """
    lines = head.removeprefix("\ufeff").splitlines()
    if skip_rows is not None and skip_rows >= len(lines):
        raise DataError(f"skip_rows is {skip_rows}, but there are {len(lines)} lines")
    begin = _first_line(lines) if skip_rows is None else skip_rows
    has_comments = skip_rows is None and any(line.startswith(COMMENT) for line in lines[begin + 1 :])
    numbered = [
        (place, line)
        for place, line in enumerate(lines[begin:], begin)
        if line.strip() and not (has_comments and line.startswith(COMMENT))
    ][:HEAD_ROWS]
    if not numbered:
        return Dialect(encoding, sep or ",")
    quote = _quote([line for _, line in numbered])
    separator, width = _separator([line for _, line in numbered], sep, quote)
    table = [(place, fields(line, separator, quote)) for place, line in numbered]
    if skip_rows is None:
        table = table[_titles(table, width) :]
    comment = COMMENT if has_comments else None
    places = [place for place, _ in table]
    has_blank = width > 1 and not has_comments and places[-1] - places[0] >= len(places)
    end = "\r" if "\n" not in head and "\r" in head else "\n"
    header = 0 if no_header else _header_rows([cells for _, cells in table])
    if header == 1 and table[0][0] == 0 and len(table[0][1]) == width:
        return Dialect(encoding, separator, comment=comment, has_blank_lines=has_blank, end=end, quote=quote)
    first = table[header][0] if header < len(table) else table[-1][0] + 1
    if header:
        names = _names([cells for _, cells in table[:header]], width)
    elif skip_rows is None and not no_header and (above := _commented_header(lines[:begin], separator, width)):
        names, header = above, 1
    else:
        full = [cells for _, cells in table if len(cells) == width]
        names = layout(full, width) if recognise and not known else numbered_names(width)
        names = (*known[:width], *names[len(known) :])
    return Dialect(encoding, separator, _distinct(names), first, header, comment, has_blank, end, quote)


def _first_line(lines: list[str]) -> int:
    """The first line that is neither blank nor a comment."""
    return next(
        (place for place, line in enumerate(lines) if line.strip() and not line.startswith(COMMENT)), len(lines)
    )


def _titles(rows: list[Row], width: int) -> int:
    """How many lines come before the table: titles, addresses and the like, which have another number of fields."""
    before = next((at for at, (_, cells) in enumerate(rows) if len(cells) == width), 0)
    return before - 1 if before and _is_ragged_header(rows, before, width) else before


def _commented_header(lines: list[str], separator: str, width: int) -> tuple[str, ...] | None:
    """The names in the last comment before the table, if it is a header."""
    above = next((line for line in reversed(lines) if line.startswith(COMMENT)), "")
    cells = fields(above.lstrip(COMMENT + " "), separator)
    return tuple(cells) if above and len(cells) == width and not any(map(is_value, cells)) else None


def is_spaced(text: str) -> bool:
    """Whether a table is written for the eye: no usual separator makes columns, but runs of spaces do, two or more of
    them in places."""
    lines = [line for line in text.splitlines() if line.strip()][:HEAD_ROWS]
    if not lines or not re.search(r"\S  +\S", text) or _separator(lines, None)[1] > 1:
        return False
    widths = [len(line.split()) for line in lines]
    width = max(set(widths), key=widths.count)
    alike = [line.split() for line in lines if len(line.split()) == width]
    values = [cell for cells in alike[1:] for cell in cells]
    return width > 1 and len(alike) >= MOSTLY * len(lines) and sum(map(is_value, values)) > MOSTLY * len(values) / 2


def is_sentence(cell: str | None) -> bool:
    """Whether a field alone in its row is a remark: several words, and neither a number nor a date."""
    if cell is None or is_value(cell.strip()):
        return False
    words = len(re.findall(r"[^\W\d_]{2,}", cell))
    return words > 2 or (words > 1 and re.search("[:©]", cell) is not None)


def _quote(lines: list[str]) -> str:
    """The sign around fields: a single one where lines begin with it and have no other."""
    return "'" if all(line.lstrip().startswith("'") and '"' not in line for line in lines) else '"'


def fields(line: str, separator: str, quote: str = '"') -> list[str]:
    """The fields of one line, stripped."""
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator, quotechar=quote), [])]
    except csv.Error:
        return [line]


def is_number(cell: str) -> bool:
    """Whether a field is a number, and no date."""
    return VALUE.fullmatch(cell) is not None and not is_date(cell)


def is_value(cell: str) -> bool:
    """Whether a field is a number, a date or a time of day, not a name."""
    return VALUE.fullmatch(cell) is not None or ISO.fullmatch(cell) is not None or is_clock(cell) or is_date(cell)


def _separator(lines: list[str], given: str | None, quote: str = '"') -> tuple[str, int]:
    """The separator and the number of fields of most lines: that by which most fields are values or names."""
    best, found = (0.0, 0.0, 0), (given or ",", 0)
    for separator in SEPARATORS if given is None else (given,):
        rows = [fields(line, separator, quote) for line in lines]
        widths = [len(cells) for cells in rows]
        width = max(set(widths), key=lambda w: (widths.count(w), w))
        if given is not None:
            return given, width
        cells = [cell for cells in rows[1:] or rows for cell in cells if len(cells) == width]
        clean = sum(is_value(cell) or not any(sign.isdigit() for sign in cell) for cell in cells) / max(len(cells), 1)
        share = widths.count(width) / len(widths)
        if width > 1 and share >= LEAST_SHARE and (clean * share, clean, width) > best:
            best, found = (clean * share, clean, width), (separator, width)
    if not found[1]:
        found = (",", len(fields(lines[0], ",", quote)))
    return found


def _is_ragged_header(rows: list[Row], before: int, width: int) -> bool:
    """Whether the line before the first of the table's width is its header, but for an empty field at its end."""
    header, body = rows[before - 1][1], [cells for _, cells in rows[before:] if len(cells) == width]
    return len(header) == width - 1 and not any(map(is_value, header)) and all(cells[-1] == "" for cells in body)


def _header_rows(table: list[list[str]]) -> int:
    """How many of the first rows are a header: names above values, and further lines without any value."""
    first, rest = table[0], table[1 : HEAD_ROWS // 2]
    if not rest:
        return 0 if any(map(is_value, first)) else 1
    above = 0
    for column, cell in enumerate(first):
        below = [row[column] for row in rest if column < len(row) and row[column].lower() not in MISSING]
        is_name = cell.lower() not in MISSING and not is_value(cell)
        above += is_name and bool(below) and 2 * sum(map(is_value, below)) > len(below)
    if not above and any(map(is_value, first)):
        return 0
    rows = 1
    while rows < min(len(table) - 1, MOST_HEADER_ROWS) and _is_header_line(table[rows], table[rows + 1 :]):
        rows += 1
    return rows


def _is_header_line(row: list[str], below: list[list[str]]) -> bool:
    texts = [cell for cell in row if cell.lower() not in MISSING]
    has_values = any(is_value(cell) for cells in below for cell in cells)
    return bool(texts) and not any(map(is_value, texts)) and has_values


def _names(header: list[list[str]], width: int) -> tuple[str, ...]:
    """The names of columns by the lines of a header: those of the line that has most known ones. The first column of
    several lines is the index of pandas, whose name a line of its own has, or none."""
    best = max(header, key=lambda row: sum(folded(cell) in KNOWN_WORDS for cell in row))
    names = [*best, *[""] * width][:width]
    if len(header) > 1 and folded(names[0]) in PANDAS_LABELS:
        names[0] = ""
    for row in header:
        if row[0] and not any(row[1:]):
            names[0] = row[0]
    return tuple(names)


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names as polars makes them distinct."""
    found: list[str] = []
    for name in names:
        copies = names[: len(found)].count(name)
        found.append(f"{name}_duplicated_{copies - 1}" if copies else name)
    return tuple(found)
