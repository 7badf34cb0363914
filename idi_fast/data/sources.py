"""The files of a price history: finding them, and making text ready to be read."""

import csv
import glob
import os
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import polars as pl

from idi_fast.config.read_options import ReadOptions
from idi_fast.data.copies import as_arrow_file, place_for_copy, separated_by_tabs, transcoded, without_mark
from idi_fast.data.dialect import HEAD_BYTES, Dialect, find_dialect, find_encoding, is_spaced, open_bytes
from idi_fast.errors import DataError, nearest
from idi_fast.storage.failures import explained
from idi_fast.storage.reader.current_file import at
from idi_fast.storage.reader.text_files import nul_in_text

TEXT = tuple(f".{name}{packed}" for name in ("csv", "txt", "tsv") for packed in ("", ".gz", ".zst", ".zip"))
KINDS = {
    **dict.fromkeys((*TEXT, ".zip"), "CSV"),
    **dict.fromkeys((".parquet", ".pq"), "Parquet"),
    **dict.fromkeys((".feather", ".arrow", ".arrows", ".ipc"), "Arrow"),
    **dict.fromkeys((".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz", ".jsonl.zst", ".ndjson.zst"), "JSON lines"),
}
ACCEPTED = ".csv, .txt, .tsv (also .gz, .zst, .zip), .parquet, .pq, .feather, .arrow, .jsonl, .ndjson"
ASIDE = (".txt", ".zip")
"""Ends of names that in a folder may be those of other things: they count where it holds nothing else."""
STREAM = b"\xff\xff\xff\xff"
"""What an Arrow stream begins with."""


class Source(NamedTuple):
    """One file of a history.

    file: the user's, which errors name; readable: what is read, the same or a copy as plain UTF-8 text; dialect: of
    text, None for other kinds.
    """

    file: Path
    readable: Path
    dialect: Dialect | None = None

    def __str__(self) -> str:
        return str(self.file)


def is_pattern(path: str | Path) -> bool:
    """Whether a path may stand for several files."""
    return any(sign in str(path) for sign in "*?[")


def find_files(path: Path) -> tuple[Path, ...]:
    """Return the files that `path` stands for, in reading order, all of one kind."""
    matches = [path] if os.path.exists(path) else map(Path, glob.glob(str(path), recursive=True))
    found = {file for match in matches for file in (_data_files(match) if match.is_dir() else [match])}
    if not found and os.path.isdir(path):
        raise DataError(f"{path}: the folder holds no file named {ACCEPTED}")
    if not found and is_pattern(path):
        raise DataError(f"{path}: no file named {ACCEPTED} matches")
    if not found:
        hint = nearest(path.name, [file.name for file in path.parent.glob("*")])
        raise DataError(f"{path}: no such file or folder.{hint}")
    files = sorted(sorted(found), key=lambda file: re.sub(r"\d+", lambda n: n[0].zfill(20), str(file)))
    unknown = [file for file in files if kind_of(file) is None]
    if unknown:
        raise DataError(f"{unknown[0]}: not a known kind of file, expected a name in {ACCEPTED}")
    kinds = {kind_of(file): file.name for file in reversed(files)}
    if len(kinds) > 1:
        both, names = " and ".join(sorted(map(str, kinds))), " and ".join(kinds.values())
        raise DataError(f"{path}: found both {both} files, {names}; expected one kind")
    return tuple(files)


def _data_files(folder: Path) -> list[Path]:
    """Return the files of prices in and below `folder`, without hidden ones and `_logs`."""
    found = [file for file in folder.rglob("*") if kind_of(file) and file.is_file()]
    shown = [file for file in found if not any(part[0] in "._" for part in file.relative_to(folder).parts)]
    usual = [file for file in shown if not file.name.lower().endswith(ASIDE) or ".csv" in file.name.lower()]
    return usual or shown


def kind_of(file: Path) -> str | None:
    """The kind of a file by its name: CSV, Parquet, Arrow or JSON lines; None for others."""
    return next((kind for suffix, kind in KINDS.items() if file.name.lower().endswith(suffix)), None)


@contextmanager
def open_sources(files: Iterable[str], options: ReadOptions, *, recognise: bool = True) -> Iterator[list[Source]]:
    """The files, ready to be read: text that is not UTF-8, or in an archive, is copied. Raises DataError.

    recognise: whether columns without a header are named by what they hold.
    """
    with ExitStack() as copies:
        yield [_opened(Path(file), options, copies, recognise) for file in files]


def _opened(file: Path, options: ReadOptions, copies: ExitStack, recognise: bool) -> Source:
    if kind_of(file) != "CSV":
        return Source(file, _copied(file, copies) or file)
    with explained_reading(file):
        if file.stat().st_size == 0:
            raise DataError(f"{file}: the file is empty")
        with open_bytes(file) as opened:
            head = opened.read(HEAD_BYTES)
    encoding = options.encoding or find_encoding(head)
    is_wide = encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32"))
    if (flaw := nul_in_text(file, is_wide=is_wide)) is not None:
        raise DataError(f"{file}: {flaw}")
    try:
        text = head.decode(encoding, errors="replace")
    except LookupError:
        known = "expected one such as utf-8, utf-16, cp1252"
        raise DataError(f"{file}: encoding {encoding!r} is not known; {known}") from None
    if len(head) == HEAD_BYTES:
        text = text[: text.rfind("\n") + 1] or text
    if not text.strip():
        raise DataError(f"{file}: cannot be read as CSV: it holds no row")
    by_spaces = options.sep in (None, " ") and is_spaced(text)
    try:
        dialect = find_dialect(
            separated_by_tabs(text) if by_spaces else text,
            encoding,
            sep="\t" if by_spaces else options.sep,
            no_header=options.no_header,
            skip_rows=options.skip_rows,
            known=options.names or (),
            recognise=recognise,
        )
    except DataError as error:
        raise DataError(f"{file}: {error}") from None
    dialect = dialect._replace(is_spaced=by_spaces)
    if encoding == "utf-8" and file.suffix.lower() != ".zip" and not by_spaces:
        return Source(file, file, dialect)
    copy = place_for_copy(copies)
    with explained_reading(file), explained(copy):
        transcoded(file, encoding, copy, is_spaced=by_spaces)
    return Source(file, copy, dialect)


def _copied(file: Path, copies: ExitStack) -> Path | None:
    """A copy of a file that is no text table, where polars does not read it as it is; else None."""
    convert = None
    with explained_reading(file):
        if kind_of(file) == "JSON lines":
            with open_bytes(file) as opened:
                convert = without_mark if opened.read(len(BOM_UTF8)) == BOM_UTF8 else None
        elif kind_of(file) == "Arrow":
            with open(file, "rb") as opened:
                convert = as_arrow_file if opened.read(len(STREAM)) == STREAM else None
        if convert is None:
            return None
        copy = place_for_copy(copies)
        with explained(copy):
            convert(file, copy)
        return copy


@contextmanager
def explained_reading(source: Source | Path) -> Iterator[None]:
    """Turn any exception of polars or pyarrow in reading the file into a DataError, panics included."""
    file = source.file if isinstance(source, Source) else source
    at(file)
    try:
        yield
    except _reading_errors() as error:
        reason = None
        if isinstance(source, Source) and isinstance(error, pl.exceptions.ComputeError):
            reason = _too_long_row(source)
        reason = reason or (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{file}: cannot be read as {kind_of(file)}: {reason}") from error


def _reading_errors() -> tuple[type[BaseException], ...]:
    import zlib
    from zipfile import BadZipFile

    from pyarrow import ArrowException

    unpacking = BadZipFile, zlib.error, EOFError
    return pl.exceptions.PolarsError, pl.exceptions.PanicException, ArrowException, *unpacking, OSError


def _too_long_row(source: Source) -> str | None:
    """Name the CSV row with more fields than the header; polars only says that there is one."""
    dialect = source.dialect
    if dialect is None:
        return None
    try:
        with open_bytes(source.file) as opened:
            text = (line.decode(dialect.encoding, "replace") for line in opened)
            for _ in range(dialect.skip_lines):
                next(text, "")
            if dialect.is_spaced:
                text = map(separated_by_tabs, text)
            table = csv.reader(text, delimiter=dialect.separator, quotechar=dialect.quote)
            width = len(dialect.names or next(filter(None, table), ()))
            found = ((row, len(fields)) for row, fields in enumerate(table, 1) if len(fields) > width)
            what = "the header" if dialect.header_rows else "the first row"
            return next((f"row {row} has {n} fields, {what} {width}" for row, n in found), None)
    except (csv.Error, OSError, EOFError, UnicodeError):
        return None
