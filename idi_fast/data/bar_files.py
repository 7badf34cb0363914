"""The files of a price history: finding them, choosing their columns, and reading their rows in batches."""

import csv
import glob
import gzip
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
import polars as pl

from idi_fast.data.time_forms import order_of_dates
from idi_fast.data.timestamps import TimeReader, meaning_of_number, unit_of
from idi_fast.errors import DataError, nearest
from idi_fast.storage.failures import explained
from idi_fast.storage.reader.current_file import at
from idi_fast.storage.reader.text_files import nul_in_text

if TYPE_CHECKING:
    import pyarrow.parquet as pq

KINDS = {".csv": "CSV", ".csv.gz": "CSV", ".parquet": "Parquet", ".pq": "Parquet"}

SMALL_BYTES = 2**24
"""Parquet files of numbers up to this size are read in the calling thread: when many are read in parallel, it would
wait for polars' pool of threads."""
PLAIN = ("BOOLEAN", "INT32", "INT64", "FLOAT", "DOUBLE")

# The names each column usually has, in any case, best first.
TIME_NAMES = "time,timestamp,date,datetime,ts,open_time,open time,close_time,close time"
PRICE_NAMES = "close,adj close,adj_close,adjclose,close_price,price,last,last_price,mid,mid_price"
USUAL_NAMES = {
    "time": TIME_NAMES.split(","),
    "close": PRICE_NAMES.split(","),
    "open": ["open"],
    "volume": ["volume", "vol"],
    "risk": [],
}
SYMBOL_KEY = "symbol"
"""Key of the folders that rows of different symbols are sorted into."""
INDEX_NAMES = ("unnamed: 0", "__index_level_0__")  # what pandas calls an index without a name

MOST_HEADER_ROWS = 5

# What the values of a column must be, and how to say it; null never holds.
NUMBER = (lambda values: values.is_finite(), "a finite number")
POSITIVE = (lambda values: values.is_finite() & (values > 0), "a finite number above 0")
LEAST = {"close": np.nextafter(0.0, 1.0), "open": np.nextafter(0.0, 1.0), "volume": 0.0}
"""The smallest number that a column may hold."""
RULES = {
    "time": (
        lambda values: values.is_not_null(),
        "a date or date-time like 2024-01-31T09:30:00Z, years 1700 to 2199, or a Unix epoch of 1971 to 2099",
    ),
    "close": POSITIVE,
    "open": POSITIVE,
    "volume": (lambda values: values.is_finite() & (values >= 0), "a finite number, 0 or more"),
    "risk": (lambda values: values.is_in([0.0, 1.0]), "0 or 1, or false or true"),
}


def is_pattern(path: str | Path) -> bool:
    """Whether a path may stand for several files."""
    return any(sign in str(path) for sign in "*?[")


def find_files(path: Path) -> tuple[Path, ...]:
    """Return the files that `path` stands for, in reading order, all of one kind."""
    matches = [path] if os.path.exists(path) else map(Path, glob.glob(str(path), recursive=True))
    found = {file for match in matches for file in (_data_files(match) if match.is_dir() else [match])}
    accepted = ", ".join(KINDS)
    if not found and os.path.isdir(path):
        raise DataError(f"{path}: the folder holds no file named {accepted}")
    if not found and is_pattern(path):
        raise DataError(f"{path}: no file named {accepted} matches")
    if not found:
        hint = nearest(path.name, [file.name for file in path.parent.glob("*")])
        raise DataError(f"{path}: no such file or folder.{hint}")
    files = sorted(sorted(found), key=lambda file: re.sub(r"\d+", lambda n: n[0].zfill(20), str(file)))
    unknown = [file for file in files if _kind(file) is None]
    if unknown:
        raise DataError(f"{unknown[0]}: not a known kind of file, expected a name in {accepted}")
    kinds = {_kind(file): file.name for file in reversed(files)}
    if len(kinds) > 1:
        raise DataError(f"{path}: found both CSV and Parquet files, {' and '.join(kinds.values())}; expected one kind")
    return tuple(files)


def _data_files(folder: Path) -> list[Path]:
    """Return the CSV and Parquet files in and below `folder`, without hidden ones and `_logs`."""
    found = [file for file in folder.rglob("*") if _kind(file) and file.is_file()]
    return [file for file in found if not any(part[0] in "._" for part in file.relative_to(folder).parts)]


def _kind(file: Path) -> str | None:
    return next((kind for suffix, kind in KINDS.items() if file.name.lower().endswith(suffix)), None)


@contextmanager
def explained_reading(file: Path) -> Iterator[None]:
    """Turn any exception of polars or pyarrow in reading the file into a DataError, panics included."""
    at(file)
    try:
        yield
    except _reading_errors() as error:
        reason = _too_long_row(file) if isinstance(error, pl.exceptions.ComputeError) else None
        reason = reason or (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{file}: cannot be read as {_kind(file)}: {reason}") from error


def _reading_errors() -> tuple[type[BaseException], ...]:
    from pyarrow import ArrowException

    return pl.exceptions.PolarsError, pl.exceptions.PanicException, ArrowException, OSError


def scan(file: Path) -> pl.LazyFrame:
    """The file's rows; a CSV is text throughout, so that nothing depends on a guess from its first rows."""
    if file.stat().st_size == 0:
        raise DataError(f"{file}: the file is empty")
    if _kind(file) == "CSV":
        if (flaw := nul_in_text(file)) is not None:
            raise DataError(f"{file}: {flaw}")
        return pl.scan_csv(file, infer_schema=False, encoding="utf8-lossy", glob=False)
    return pl.scan_parquet(file, hive_partitioning=False, glob=False)


def read_schema(file: Path) -> pl.Schema:
    """The names and types of the file's columns. Raises DataError."""
    with explained_reading(file):
        return scan(file).collect_schema()


def count_rows(file: Path) -> int:
    """The number of rows of the file: a Parquet file has it in its metadata. Raises DataError."""
    with explained_reading(file):
        if _kind(file) == "Parquet":
            import pyarrow.parquet as pq

            return pq.read_metadata(file).num_rows  # polars would make a plan and threads, which takes a millisecond
        return scan(file).select(pl.len()).collect().item()


def read_batches(file: Path, names: Iterable[str], rows: int, small_bytes: int = SMALL_BYTES) -> Iterator[pl.DataFrame]:
    """The columns `names`, about `rows` rows at a time; text is stripped, and null if blank."""
    wanted, is_csv = list(dict.fromkeys(names)), _kind(file) == "CSV"
    with explained_reading(file):
        if not is_csv and file.stat().st_size <= small_bytes:
            import pyarrow.parquet as pq

            with pq.ParquetFile(file) as parquet:
                if _holds_numbers(parquet, wanted):
                    for batch in parquet.iter_batches(rows, columns=wanted, use_threads=False):
                        columns = zip(batch.schema.names, batch.columns, strict=True)
                        yield pl.DataFrame({name: pl.Series(column) for name, column in columns})
                    return
        # polars notices a CSV row that is too long, as decimal commas make it, only if it reads all columns.
        options = pl.QueryOptFlags(projection_pushdown=not is_csv)
        frames = scan(file).select(wanted).with_columns(_stripped())
        batches = frames.collect_batches(chunk_size=rows, lazy=True, optimizations=options)
        yield from batches if is_csv else _whole(batches, count_rows(file))


def _stripped() -> pl.Expr:
    return pl.col(pl.String).str.strip_chars().replace("", None)


def _holds_numbers(parquet: "pq.ParquetFile", names: list[str]) -> bool:
    """Whether pyarrow reads these columns as polars does: for other types it lets times out of range wrap round
    (INT96), does not check text, and supports wider decimals."""
    leaves = [parquet.schema.column(k) for k in range(len(parquet.schema))]
    plain = {leaf.path for leaf in leaves if leaf.physical_type in PLAIN and leaf.logical_type.type != "DECIMAL"}
    return plain.issuperset(names)


def _too_long_row(file: Path) -> str | None:
    """Name the CSV row with more fields than the header; polars only says that there is one."""
    if _kind(file) != "CSV":
        return None
    try:
        opened = gzip.open if file.suffix.lower() == ".gz" else open
        with opened(file, "rt", encoding="utf-8", errors="replace", newline="") as lines:
            table = csv.reader(lines)
            width = len(next(filter(None, table), ()))
            found = ((row, len(fields)) for row, fields in enumerate(table, 1) if len(fields) > width)
            return next((f"row {row} has {n} fields, the header {width}" for row, n in found), None)
    except (csv.Error, OSError, EOFError):
        return None


def choose_columns(
    file: Path, names: list[str], given: dict[str, str | None], sought: Sequence[str], extra: Sequence[str]
) -> dict[str, str]:
    """Return the file's column for close, time … and each of `extra`."""
    wanted = [role for role, name in given.items() if name is not None or role in sought or role in extra]
    found = {role: _find_column(file, names, role, given[role]) for role in wanted}
    columns = {role: name for role, name in found.items() if name is not None}
    if _folded(columns.get("close", "")).startswith("adj") and given["open"] is None:
        columns.pop("open", None)  # as traded: not on the scale of the adjusted close
    if "close" not in columns and len(names) == 1 and any(sign in names[0] for sign in ";\t|"):
        raise DataError(f"{file}: one column {names[0]!r}; expected a CSV file separated by commas")
    for name in ("close", *extra):
        if name in USUAL_NAMES and name not in columns:
            what = "price" if name == "close" else name
            raise DataError(f"{file}: no {what} column, name one; the columns are {listing(names)}")
        if name not in columns:
            columns[name] = _find_column(file, names, name, name)
    return columns


@overload
def _find_column(file: Path, names: list[str], role: str, given: str) -> str: ...
@overload
def _find_column(file: Path, names: list[str], role: str, given: str | None) -> str | None: ...
def _find_column(file: Path, names: list[str], role: str, given: str | None) -> str | None:
    """Return the column `given`, or the best of the usual names, or for the time an index of times."""
    if given in names:
        return given
    for wanted in USUAL_NAMES[role] if given is None else [given]:
        alike = [name for name in names if _folded(name) == _folded(wanted)]
        if len(alike) > 1:
            raise DataError(f"{file}: the {role} column could be any of {listing(alike)}; name one exactly")
        if alike:
            return alike[0]
    if given is not None:
        hint = nearest(given, names)
        raise DataError(f"{file}: no column {given!r}; the columns are {listing(names)}.{hint}")
    indices = [name for name in names if _folded(name) in INDEX_NAMES or name == names[0] == ""]
    return next((name for name in indices if role == "time" and not _counts_rows(file, name)), None)


def _folded(name: str) -> str:
    """Return a column name without its case, and without the mark that polars adds to repeats in a CSV header."""
    return re.sub(r"_duplicated_\d+$", "", name).strip().lower()


def _counts_rows(file: Path, name: str) -> bool:
    """Tell an index of row numbers from one of times: 10 million seconds end in April 1970."""
    values = read_head(file, [name], 1)[name]
    first = "" if unit_of(values.dtype) else str(values.first())  # polars panics on years beyond all calendars
    return first.isdecimal() and len(first) < 8


def _whole(batches: Iterator[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """The batches of a Parquet file that has so many rows. Raises PolarsError if they end before: a panic in one of
    polars' threads ends `collect_batches` as if there were no more."""
    n = 0
    for batch in batches:
        n += len(batch)
        yield batch
    if n != rows:
        raise pl.exceptions.PolarsError(f"it is damaged: {n:,} of its {rows:,} rows can be read")


def read_head(file: Path, names: Iterable[str], rows: int) -> pl.DataFrame:
    """The first rows of some of the file's columns, as for `read_batches`. Raises DataError."""
    names = list(names)
    if _kind(file) == "CSV":  # its batches require reading most of the file
        with explained_reading(file):
            return scan(file).select(names).head(rows).with_columns(_stripped()).collect()
    return next(read_batches(file, names, rows), pl.DataFrame(schema=dict.fromkeys(names, pl.Null))).head(rows)


def header_rows(price: pl.Series) -> int:
    """How many of a file's first rows are extra header lines, by its price column: text, then numbers."""
    if price.dtype != pl.String or not len(price) or price[0] is None:
        return 0
    is_number = price[: MOST_HEADER_ROWS + 1].cast(pl.Float64, strict=False).is_not_null()
    return (is_number.arg_max() or 0) if is_number.any() else 0


def header_note(price: pl.Series) -> str:
    """What to do about the extra header lines: see `header_rows`."""
    count, name = header_rows(price), price.name
    lines = "row 1, which seems to be a line" if count == 1 else f"rows 1 to {count}, which seem to be lines"
    return f"delete {lines} of the header (column {name!r} holds {price[0]!r} there)"


def listing(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def _is_fit(role: str, dtype: pl.DataType) -> bool:
    if dtype in (pl.String, pl.Null):
        return True
    if role == "time":
        return dtype.is_integer() or dtype in (pl.Date, pl.Datetime)
    return dtype.is_numeric() or (role == "risk" and dtype == pl.Boolean)


def check_types(schemas: dict[Path, pl.Schema], columns: dict[str, str]) -> None:
    """Refuse columns of the wrong type, and files whose columns differ from those of the first."""
    first = next(iter(schemas))
    for role, name in columns.items():
        expected = schemas[first][name]
        if not _is_fit(role, expected):
            _, values = RULES.get(role, NUMBER)
            raise DataError(f"{first}: column {name!r} has type {expected}, expected {values} in each row")
        for file, schema in schemas.items():
            if name not in schema:
                raise DataError(f"{file}: no column {name!r} as in {first}, only {listing(schema)}")
            if schema[name] != expected:
                types = f"type {schema[name]}, expected {expected} as in {first}"
                raise DataError(f"{file}: column {name!r} has {types}")


class Converter:
    """Turns one file's batches into bars, in order. file, first_row: its name in errors and its first row; columns: its
    name for each role; drop: leave out rows with missing values instead of refusing them."""

    def __init__(self, file: str, columns: dict[str, str], *, first_row: int, drop: bool):
        self._row = first_row
        self._file, self._columns, self._drop = file, columns, drop
        self._times, self._doubt = TimeReader(), None

    def convert(self, frame: pl.DataFrame) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
        """The columns by role without the rows that lack a value; and a bool array of these rows, None if there are
        none. Raises DataError, which names the first bad row."""
        bars, breaches = {}, []
        missing = np.zeros(len(frame), bool)
        for role, name in self._columns.items():
            source, (holds, _) = frame[name], RULES.get(role, NUMBER)
            values = self._converted(role, source)
            if role == "time" and self._times.is_ambiguous() and source.count():
                row = int(source.is_not_null().arg_true()[-1])
                self._doubt = f"{self._file}, row {self._row + row + 1}, {self._breach(role, source, row)}"
            if _is_plain(role, values):
                bars[role] = values
                continue
            wrong = ~holds(values).fill_null(False)
            if wrong.any():
                lacking = source.is_null() | values.is_nan().fill_null(False)
                missing |= lacking.to_numpy()
                wrong = wrong & ~lacking if self._drop else wrong
            if wrong.any():
                row = wrong.arg_max()
                breaches.append((row, self._breach(role, source, row)))
            bars[role] = values.cast(pl.UInt8, strict=False) if role == "risk" else values
        if breaches:
            row, text = min(breaches)
            price = frame[self._columns["close"]]
            note = f"; {header_note(price)}" if row < header_rows(price) and self._row == 0 else ""
            raise DataError(f"{self._file}, row {self._row + row + 1}, {text}{note}")
        self._row += len(frame)
        if not missing.any():
            return {role: values.to_numpy(writable=True) for role, values in bars.items()}, None
        kept = pl.Series(~missing)
        return {role: values.filter(kept).to_numpy(writable=True) for role, values in bars.items()}, missing

    def finish(self) -> None:
        """There are no more batches. Raises DataError if the meaning of the times is still ambiguous."""
        if self._times.is_ambiguous():
            raise DataError(self._doubt)

    def _breach(self, role: str, source: pl.Series, row: int) -> str:
        _, expected = RULES.get(role, NUMBER)
        meaning = ""
        if role == "time" and unit_of(source.dtype) is None:
            meaning = meaning_of_number(source[row]) or order_of_dates(source, row)
        meaning = f" ({meaning}; write times as 2024-01-31T09:30:00Z)" if meaning else ""
        return f"column {self._columns[role]!r}: found {_shown(source, row)}, expected {expected}{meaning}"

    def _converted(self, role: str, source: pl.Series) -> pl.Series:
        """float64, for the time int64 nanoseconds UTC, with null for values that are not such."""
        if role == "time":
            return self._times.read(source)
        if role == "risk" and source.dtype == pl.String:
            source = source.str.to_lowercase().replace({"false": "0", "true": "1"})
        return source.cast(pl.Float64, strict=False)


def _is_plain(role: str, values: pl.Series) -> bool:
    """Whether everything is valid, at a glance: a NaN makes both comparisons false."""
    if values.null_count() or role in ("time", "risk") or not len(values):
        return False
    array, least = values.to_numpy(), LEAST.get(role, np.finfo(float).min)
    return bool(array.min() >= least and array.max() < np.inf)


def _shown(source: pl.Series, row: int) -> str:
    unit = unit_of(source.dtype)
    if source.dtype in (pl.Date, pl.Datetime) and unit:  # polars panics on years it cannot print, numpy does not
        ticks = source.to_physical()[row]
        return "no value" if ticks is None else str(np.datetime64(ticks, unit))
    value = source[row]
    return "no value" if value is None else repr(value) if isinstance(value, str) else str(value)


def split_by_column(files: list[str], column: str, scratch: str) -> Iterator[tuple[None, list[np.ndarray]]]:
    """Sort rows apart by the values of a column, into Parquet files in folders `symbol=<value>` of `scratch`; run by
    the reader."""
    paths = [Path(file) for file in files]
    for file in paths:
        names = read_schema(file).names()
        if column not in names:
            raise DataError(f"{file}: no column {column!r}; the columns are {listing(names)}.{nearest(column, names)}")
    with explained_reading(paths[0]):
        rows = pl.concat([scan(file) for file in paths], how="vertical")
        missing = rows.select(pl.col(column).is_null()).collect()[column].arg_true()
        if len(missing):
            raise DataError(f"{paths[0]}, column {column!r}: row {missing[0] + 1} names no symbol")
        target = pl.PartitionBy(scratch, key=pl.col(column).cast(pl.String).alias(SYMBOL_KEY), include_key=False)
        with explained(Path(scratch)):
            rows.sink_parquet(target, mkdir=True, maintain_order=True)
    yield None, []
