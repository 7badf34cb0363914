"""Reading the rows of a price history's files in batches."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from idi_fast.config.read_options import ReadOptions
from idi_fast.data.dialect import (
    HEAD_ROWS,
    is_number,
    is_sentence,
)
from idi_fast.data.number_forms import plan_numbers
from idi_fast.data.sources import Source, explained_reading, kind_of, open_sources
from idi_fast.errors import DataError, nearest
from idi_fast.storage.failures import explained

if TYPE_CHECKING:
    import pyarrow.parquet as pq


SMALL_BYTES = 2**24
"""Parquet files of numbers up to this size are read in the calling thread: when many are read in parallel, it would
wait for polars' pool of threads."""
PLAIN = ("BOOLEAN", "INT32", "INT64", "FLOAT", "DOUBLE")

TEXTS = pl.col(pl.Categorical, pl.Enum).cast(pl.String)
"""Columns of text of few values, as text."""
BLANK, SHORT, FIRST, SECOND = "\0blank", "\0short", "\0first", "\0second"
"""Columns that mark the rows of a text in which no column holds anything, or none behind the second, and the first two
columns themselves."""
MARKS = BLANK, SHORT, FIRST, SECOND
SYMBOL_KEY = "symbol"
"""Key of the folders that rows of different symbols are sorted into."""


def scan(source: Source) -> pl.LazyFrame:
    """The file's rows; a CSV is text throughout, so that nothing depends on a guess from its first rows."""
    file, dialect = source.readable, source.dialect
    if file.stat().st_size == 0:
        raise DataError(f"{source}: the file is empty")
    if dialect is None:
        if kind_of(source.file) == "Arrow":
            return pl.scan_ipc(file, glob=False).with_columns(TEXTS)
        if kind_of(source.file) == "JSON lines":
            return pl.scan_ndjson(file, infer_schema_length=None)  # JavaScript writes 100 for 100.0
        return pl.scan_parquet(file, hive_partitioning=False, glob=False).with_columns(TEXTS)
    names = dialect.names
    return pl.scan_csv(
        file,
        separator=dialect.separator,
        comment_prefix=dialect.comment,
        has_header=names is None,
        skip_lines=dialect.skip_lines,
        schema=None if names is None else dict.fromkeys(names, pl.String),
        infer_schema=False,
        encoding="utf8-lossy",
        eol_char=dialect.end,
        quote_char=dialect.quote,
        glob=False,
    )


def read_schema(source: Source) -> pl.Schema:
    """The names and types of the file's columns. Raises DataError."""
    with explained_reading(source):
        return scan(source).collect_schema()


def count_rows(source: Source) -> int:
    """The number of rows of the file: a Parquet file has it in its metadata. Raises DataError."""
    with explained_reading(source):
        if kind_of(source.file) == "Parquet":
            import pyarrow.parquet as pq

            return pq.read_metadata(source.file).num_rows  # polars would make a plan and threads: a millisecond
        return scan(source).select(pl.len()).collect().item()


def read_batches(
    source: Source,
    names: Iterable[str],
    rows: int,
    small_bytes: int = SMALL_BYTES,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[pl.DataFrame]:
    """The columns `names`, about `rows` rows at a time; text is stripped, and null if blank. Blank lines at the end of
    a text are none, nor are sentences below the table: `say` is called with such a line."""
    wanted, is_text = list(dict.fromkeys(names)), source.dialect is not None
    with explained_reading(source):
        if kind_of(source.file) == "Parquet" and source.file.stat().st_size <= small_bytes:
            import pyarrow.parquet as pq

            with pq.ParquetFile(source.file) as parquet:
                if _holds_numbers(parquet, wanted):
                    for batch in parquet.iter_batches(rows, columns=wanted, use_threads=False):
                        columns = zip(batch.schema.names, batch.columns, strict=True)
                        yield pl.DataFrame({name: pl.Series(column) for name, column in columns})
                    return
        # polars notices a CSV row that is too long, as decimal commas make it, only if it reads all columns.
        options = pl.QueryOptFlags(projection_pushdown=not is_text)
        rows_read = scan(source)
        there = rows_read.collect_schema().names()
        if is_text:
            rows_read = rows_read.with_columns(_marks(there))
            if source.dialect is not None and source.dialect.has_blank_lines:
                rows_read = rows_read.filter(~pl.col(BLANK))
        marks = MARKS if is_text else ()
        frames = rows_read.select(*(_picked(there, name) for name in wanted), *marks).with_columns(_stripped())
        batches = frames.collect_batches(chunk_size=rows, lazy=True, optimizations=options)
        if is_text:
            yield from _without_end(batches, say)
        elif kind_of(source.file) == "Parquet":
            yield from _whole(batches, count_rows(source))
        else:
            yield from batches


def _is_blank(names: list[str]) -> pl.Expr:
    """Whether a row holds nothing, or only white space, or the mark that ended files of old."""
    first, *others = names
    blank = pl.col(first).is_null() | (pl.col(first).str.strip_chars(" \t\r\x1a") == "")
    return pl.all_horizontal(blank, *(pl.col(name).is_null() for name in others))


def _marks(names: list[str]) -> list[pl.Expr]:
    """What tells the end of a text's rows: cheap, since it is made of all of them."""
    behind = names[2:] or names[1:]
    is_short = pl.all_horizontal(pl.col(name).is_null() for name in behind) if behind else pl.lit(False)
    first, second = names[0], names[1] if len(names) > 2 else None
    return [
        _is_blank(names).alias(BLANK),
        is_short.alias(SHORT),
        pl.col(first).alias(FIRST),
        (pl.lit(None, pl.String) if second is None else pl.col(second)).alias(SECOND),
    ]


def _remark(rows: pl.DataFrame, place: int) -> str | None:
    """The sentence that a row of two fields at most is, which may have a comma; None if it is none."""
    first, second = rows[FIRST][place], rows[SECOND][place]
    if second is not None and re.match(r" +[^\W\d_]", second) is None:
        return None
    text = ",".join(filter(None, (first, second))).strip()
    return text if is_sentence(text) else None


def _picked(there: list[str], name: str) -> pl.Expr:
    """A column by its name, or by the only one that is the same in another case, as in other files of a history."""
    return pl.col(name_there(there, name) or name).alias(name)


def name_there(there: Iterable[str], name: str) -> str | None:
    """How a column is called in a file of these: by its name, or the only one that is the same in another case."""
    there = list(there)
    alike = [other for other in there if other.lower() == name.lower()]
    return name if name in there else alike[0] if len(alike) == 1 else None


def _stripped() -> pl.Expr:
    return pl.col(pl.String).exclude(FIRST, SECOND).str.strip_chars().replace("", None)


def _without_end(batches: Iterator[pl.DataFrame], say: Callable[[str], None]) -> Iterator[pl.DataFrame]:
    """The batches without the rows at the very end in which no column holds anything, without those that hold a
    sentence alone, which `say` is called with, and without the marks."""
    end: pl.DataFrame | None = None
    for batch in batches:
        full = batch if end is None else pl.concat([end, batch])
        kept = _rows_of_table(full)
        full, end = full[:kept], full[kept:]
        if len(full):
            yield full.drop(MARKS)
    if end is not None:
        for text in filter(None, (_remark(end, place) for place in _not_blank(end))):
            say(text)


def _rows_of_table(full: pl.DataFrame) -> int:
    """How many rows there are before what may be the end of a file: rows that hold nothing, or a sentence."""
    holds = ~full[BLANK] & ~full[SHORT]
    if not len(full) or holds[-1]:
        return len(full)
    short = holds.arg_true()
    kept = int(short[-1]) + 1 if len(short) else 0
    rows = reversed(_not_blank(full[kept:]))
    return next((kept + place + 1 for place in rows if _remark(full, kept + place) is None), kept)


def _not_blank(rows: pl.DataFrame) -> list[int]:
    return (~rows[BLANK]).arg_true().to_list()


def _holds_numbers(parquet: "pq.ParquetFile", names: list[str]) -> bool:
    """Whether pyarrow reads these columns as polars does: for other types it lets times out of range wrap round
    (INT96), does not check text, and supports wider decimals."""
    leaves = [parquet.schema.column(k) for k in range(len(parquet.schema))]
    plain = {leaf.path for leaf in leaves if leaf.physical_type in PLAIN and leaf.logical_type.type != "DECIMAL"}
    return plain.issuperset(names)


def _whole(batches: Iterator[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """The batches of a Parquet file that has so many rows. Raises PolarsError if they end before: a panic in one of
    polars' threads ends `collect_batches` as if there were no more."""
    n = 0
    for batch in batches:
        n += len(batch)
        yield batch
    if n != rows:
        raise pl.exceptions.PolarsError(f"it is damaged: {n:,} of its {rows:,} rows can be read")


def read_head(source: Source, names: Iterable[str], rows: int) -> pl.DataFrame:
    """The first rows of some of the file's columns, as for `read_batches`. Raises DataError."""
    names = list(names)
    if kind_of(source.file) != "Parquet":  # its batches require reading most of the file
        with explained_reading(source):
            there = read_schema(source).names()
            picked = [_picked(there, name) for name in names]
            return scan(source).select(picked).head(rows).with_columns(_stripped()).collect()
    return next(read_batches(source, names, rows), pl.DataFrame(schema=dict.fromkeys(names, pl.Null))).head(rows)


def split_by_column(files: list[str], column: str, scratch: str, options: dict) -> Iterator[tuple[dict, list]]:
    """Sort rows apart by the values of a column, into Parquet files in folders `symbol=<value>` of `scratch`; run by
    the reader. Yields the decimal mark of text, as for `number_forms.read_numbers`."""
    chosen = ReadOptions(**options)
    with open_sources(files, chosen) as sources:
        names = read_schema(sources[0]).names()
        for source in sources:
            theirs = read_schema(source).names()
            if column not in theirs:
                known = ", ".join(map(repr, theirs))
                raise DataError(f"{source}: no column {column!r}; the columns are {known}.{nearest(column, theirs)}")
            if sorted(theirs) != sorted(names):
                raise DataError(f"{source}: its columns are {', '.join(theirs)}; expected those of {sources[0]}")
        with explained_reading(sources[0]):
            parts = [scan(source).select(names) for source in sources]
            if sources[0].dialect is not None:
                parts = [part.filter(~_is_blank(names)) for part in parts]
            rows = pl.concat(parts, how="vertical").with_columns(pl.col(column).cast(pl.String).str.strip_chars())
            missing = rows.select(pl.col(column).is_null()).collect()[column].arg_true()
            if len(missing):
                raise DataError(f"{sources[0]}, column {column!r}: row {missing[0] + 1} names no symbol")
            target = pl.PartitionBy(scratch, key=pl.col(column).alias(SYMBOL_KEY), include_key=False)
            with explained(Path(scratch)):
                rows.sink_parquet(target, mkdir=True, maintain_order=True)
        decimal = chosen.decimal
        if decimal is None and sources[0].dialect is not None:
            decimal = _decimal_mark(sources, [name for name in names if name != column], sources[0].dialect.separator)
    yield {"decimal": decimal}, []


def _decimal_mark(sources: list[Source], names: list[str], separator: str) -> str | None:
    """The decimal mark of the columns of numbers among some."""
    head = read_head(sources[0], names, HEAD_ROWS)
    numbers = [name for name in names if all(map(is_number, head[name].drop_nulls()))]
    batches = (batch for source in sources for batch in read_batches(source, numbers, 2**18))
    return plan_numbers(head.select(numbers), lambda: batches, separator) if numbers else None
