"""Price history from CSV and Parquet files, as validated flat arrays ready for the kernels."""

import csv
import glob
import gzip
import os
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import polars as pl

from idi_fast.errors import ConfigError, DataError, nearest
from idi_fast.files import digest
from idi_fast.timestamps import to_ns, unit_of

KINDS = {".csv": "CSV", ".csv.gz": "CSV", ".parquet": "Parquet", ".pq": "Parquet"}

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
INDEX_NAMES = ("unnamed: 0", "__index_level_0__")  # what pandas calls an index without a name


# What the values of a column must be, and how to say it; null never holds.
NUMBER = (lambda values: values.is_finite(), "a finite number")
POSITIVE = (lambda values: values.is_finite() & (values > 0), "a finite number above 0")
RULES = {
    "time": (
        lambda values: values.is_not_null(),
        "a date or date-time like 2024-01-31T09:30:00Z, years 1700 to 2199, or a Unix epoch (not 20240131)",
    ),
    "close": POSITIVE,
    "open": POSITIVE,
    "volume": (lambda values: values.is_finite() & (values >= 0), "a finite number, 0 or more"),
    "risk": (lambda values: values.is_in([0.0, 1.0]), "0 or 1, or false or true"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class History:
    """Bars in time order; the arrays are C-contiguous and writable, one entry a bar.

    Attributes
    ----------
    close : float64 (n,), price, finite and above 0
    open : float64 (n,) or None, price, finite and above 0
    volume : float64 (n,) or None, finite and not negative
    time : int64 (n,) or None, nanoseconds since 1970-01-01 UTC, strictly increasing
    risk : uint8 (n,) or None, 0 or 1
    extra : further columns by the names they were asked for, float64 (n,), finite
    after_gap : bool (n,), whether rows were dropped between the bar before and this one
    dropped : rows dropped from the whole input
    columns : the column in the files behind each of the names above
    digests : SHA-256 and length of each file, by its path, in the order read

    Arrays of other types are converted; DataError where a value is not what it should be.
    """

    close: np.ndarray
    open: np.ndarray | None
    volume: np.ndarray | None
    time: np.ndarray | None
    risk: np.ndarray | None
    extra: dict[str, np.ndarray]
    after_gap: np.ndarray
    dropped: int
    columns: dict[str, str]
    digests: dict[str, dict] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kinds = {"close": float, "open": float, "volume": float, "time": np.int64, "risk": np.uint8, "after_gap": bool}
        for name, kind in kinds.items():
            values = getattr(self, name)
            if values is not None:
                # One layout for the kernels, whatever came: a copy is made only of what has another.
                values = np.require(values, kind, ["C", "W"])
                if values.shape != (len(self.close),):
                    raise DataError(f"{name} has the shape {values.shape}; expected {(len(self.close),)}")
                object.__setattr__(self, name, values)
        for name in ("close", "open", "volume"):
            values, least = getattr(self, name), 0.0 if name == "volume" else np.nextafter(0.0, 1.0)
            if values is not None and not (np.isfinite(values) & (values >= least)).all():
                raise DataError(f"{name} holds a value that is not {RULES[name][1]}")

    def __len__(self) -> int:
        return len(self.close)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, in the order read."""
        return tuple(map(Path, self.digests))

    def column(self, name: str) -> np.ndarray:
        """Return the array called `name`; DataError if there is none."""
        if name not in self.columns:
            hint = nearest(name, self.columns)
            raise DataError(f"the history has no column {name!r}, only {_listing(self.columns)}.{hint}")
        return getattr(self, name) if name in USUAL_NAMES else self.extra[name]

    def slice(self, start: int | None, stop: int | None) -> Self:
        """Return bars `start` to `stop`, counted as in Python's slices, as views."""
        bars = slice(start, stop)
        arrays = {name: self.column(name)[bars] for name in self.columns if name in USUAL_NAMES}
        extra = {name: values[bars] for name, values in self.extra.items()}
        return replace(self, **arrays, extra=extra, after_gap=self.after_gap[bars])


def load_history(
    path: str | Path,
    *,
    time: str | None = None,
    price: str | None = None,
    open: str | None = None,
    volume: str | None = None,
    risk: str | None = None,
    extra: Sequence[str] = (),
    nan: Literal["refuse", "drop"] = "refuse",
    optional: Collection[str] = ("time", "open", "volume"),
) -> History:
    """Read and validate a price history; nothing is corrected.

    Parameters
    ----------
    path
        A CSV or Parquet file, a glob, or a folder (plain or partitioned) of files of one kind, which are
        read in the order of their paths with numbers by value: `month=2` before `month=10`.
    time, price, open, volume
        Column names; without them the usual names are looked for. Only the price must exist; an adjusted
        close is not put together with an open that was not named with it. Times are
        dates, date-times (UTC unless they say otherwise), ISO 8601 text or integers since 1970, in a unit
        that the size of a file's first one tells: seconds below 1e11, milliseconds below 1e14,
        microseconds below 1e17, else nanoseconds.
    risk
        Name of a column of booleans or of 0 and 1.
    extra
        Names of further numeric columns; `close`, `open`, `volume`, `time` and `risk` mean those above.
    optional
        What to look for under its usual names, besides the price.
    nan
        `"refuse"` null and NaN, or `"drop"` the rows that hold one in a column read.

    Raises
    ------
    DataError
        The text names the file, the row (from 1, the CSV header not counted), the column and the value.
    ConfigError
        `nan` is neither of the two.
    """
    if nan not in ("refuse", "drop"):
        raise ConfigError(f"nan: found {nan!r}, expected 'refuse' or 'drop'")
    files = _find_files(Path(path))
    schemas = {file: _query(file, pl.LazyFrame.collect_schema) for file in files}
    given = {"time": time, "close": price, "open": open, "volume": volume, "risk": risk}
    sought = ("close", *optional)
    columns = _choose_columns(files[0], schemas[files[0]].names(), given, sought, extra)
    _check_types(schemas, columns)
    loaded = {file: _load_file(file, columns, drop=nan == "drop") for file in files}
    bars, missing = (pl.concat(parts) for parts in zip(*loaded.values(), strict=True))
    bars = bars.filter(~missing) if missing.any() else bars
    if len(bars) < 2:
        raise DataError(f"{path}: {len(bars)} usable rows ({missing.sum()} dropped), expected 2 or more")
    arrays = {role: bars[role].to_numpy(writable=True) for role in columns}
    if "time" in columns:
        heights = {file: len(gaps) for file, (_, gaps) in loaded.items()}
        _check_order(arrays["time"], columns["time"], missing, heights)
    return History(
        **{role: arrays.pop(role, None) for role in USUAL_NAMES},
        extra=arrays,
        after_gap=missing.shift(1, fill_value=False).filter(~missing).to_numpy(writable=True),
        dropped=missing.sum(),
        columns=columns,
        digests={str(file): digest(file) for file in files},
    )


def _find_files(path: Path) -> tuple[Path, ...]:
    """Return the files that `path` stands for, in reading order, all of one kind."""
    matches = [path] if os.path.exists(path) else map(Path, glob.glob(str(path), recursive=True))
    found = {file for match in matches for file in (_data_files(match) if match.is_dir() else [match])}
    accepted = ", ".join(KINDS)
    if not found and os.path.isdir(path):
        raise DataError(f"{path}: the folder holds no file named {accepted}")
    if not found and any(sign in str(path) for sign in "*?["):
        raise DataError(f"{path}: no file named {accepted} matches")
    if not found:
        hint = nearest(path.name, [file.name for file in path.parent.glob("*")])
        raise DataError(f"{path}: no such file or folder.{hint}")
    files = sorted(sorted(found), key=lambda file: re.sub(r"\d+", lambda n: n[0].zfill(20), str(file)))
    unknown = [file for file in files if _kind(file) is None]
    if unknown:
        raise DataError(f"{unknown[0]}: not a known kind of file, expected a name in {accepted}")
    if len({_kind(file) for file in files}) > 1:
        raise DataError(f"{path}: found both CSV and Parquet files, expected one kind")
    return tuple(files)


def _data_files(folder: Path) -> list[Path]:
    """Return the CSV and Parquet files in and below `folder`, without hidden ones and `_logs`."""
    found = [file for file in folder.rglob("*") if _kind(file) and file.is_file()]
    return [file for file in found if not any(part[0] in "._" for part in file.relative_to(folder).parts)]


def _kind(file: Path) -> str | None:
    return next((kind for suffix, kind in KINDS.items() if file.name.lower().endswith(suffix)), None)


def _query(file: Path, query: Callable[[pl.LazyFrame], Any]) -> Any:
    """Return what `query` makes of the file, and whatever polars raises, panics included, as a DataError.

    A CSV is text throughout, so nothing depends on a guess from its first rows.
    """
    try:
        if file.stat().st_size == 0:
            raise DataError(f"{file}: the file is empty")
        if _kind(file) == "CSV":
            return query(pl.scan_csv(file, infer_schema=False, encoding="utf8-lossy", glob=False))
        return query(pl.scan_parquet(file, hive_partitioning=False, glob=False))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = _too_long_row(file) if isinstance(error, pl.exceptions.ComputeError) else None
        reason = reason or (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{file}: cannot be read as {_kind(file)}: {reason}") from error


def _too_long_row(file: Path) -> str | None:
    """Name the CSV row with more fields than the header, of which polars says only that there is one."""
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


def _read(file: Path, names: Iterable[str]) -> pl.DataFrame:
    """Return the columns `names`, text without outer space and null where blank."""
    text = pl.col(pl.String).str.strip_chars().replace("", None)
    # Only if it reads all columns does polars notice a CSV row that is too long, as decimal commas make it.
    options = pl.QueryOptFlags(projection_pushdown=_kind(file) != "CSV")
    select = list(dict.fromkeys(names))
    return _query(file, lambda bars: bars.select(select).with_columns(text).collect(optimizations=options))


def _choose_columns(
    file: Path, names: list[str], given: dict[str, str | None], sought: Sequence[str], extra: Sequence[str]
) -> dict[str, str]:
    """Return the file's column for close, time … and each of `extra`."""
    wanted = [role for role, name in given.items() if name is not None or role in sought or role in extra]
    found = {role: _find_column(file, names, role, given[role]) for role in wanted}
    columns = {role: name for role, name in found.items() if name is not None}
    if _folded(columns.get("close", "")).startswith("adj") and given["open"] is None:
        columns.pop("open", None)  # as traded, it is not on the scale of the adjusted close
    if "close" not in columns and len(names) == 1 and any(sign in names[0] for sign in ";\t|"):
        raise DataError(f"{file}: one column {names[0]!r}; expected a CSV file separated by commas")
    for name in ("close", *extra):
        if name in USUAL_NAMES and name not in columns:
            what = "price" if name == "close" else name
            raise DataError(f"{file}: no {what} column, name one; the columns are {_listing(names)}")
        if name not in columns:
            columns[name] = _find_column(file, names, name, name)
    return columns


def _find_column(file: Path, names: list[str], role: str, given: str | None) -> str | None:
    """Return the column `given`, or the best of the usual names, or for the time an index of times."""
    if given in names:
        return given
    for wanted in USUAL_NAMES[role] if given is None else [given]:
        alike = [name for name in names if _folded(name) == _folded(wanted)]
        if len(alike) > 1:
            raise DataError(f"{file}: the {role} column could be any of {_listing(alike)}; name one exactly")
        if alike:
            return alike[0]
    if given is not None:
        hint = nearest(given, names)
        raise DataError(f"{file}: no column {given!r}; the columns are {_listing(names)}.{hint}")
    indices = [name for name in names if _folded(name) in INDEX_NAMES or name == names[0] == ""]
    return next((name for name in indices if role == "time" and not _counts_rows(file, name)), None)


def _folded(name: str) -> str:
    """Return a column name without its case, and without the mark polars gives to repeats in a CSV header."""
    return re.sub(r"_duplicated_\d+$", "", name).strip().lower()


def _counts_rows(file: Path, name: str) -> bool:
    """Tell an index of row numbers from one of times: 10 million seconds were over in April 1970."""
    first = str(_query(file, lambda bars: bars.select(name).head(1).collect().to_series().first()))
    return first.isdecimal() and len(first) < 8


def _listing(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def _is_fit(role: str, dtype: pl.DataType) -> bool:
    if dtype in (pl.String, pl.Null):
        return True
    if role == "time":
        return dtype.is_integer() or dtype in (pl.Date, pl.Datetime)
    return dtype.is_numeric() or (role == "risk" and dtype == pl.Boolean)


def _check_types(schemas: dict[Path, pl.Schema], columns: dict[str, str]) -> None:
    """Refuse columns of unfit types, and files whose columns are not those of the first."""
    first = next(iter(schemas))
    for role, name in columns.items():
        expected = schemas[first][name]
        if not _is_fit(role, expected):
            _, values = RULES.get(role, NUMBER)
            raise DataError(f"{first}: column {name!r} has type {expected}, expected {values} in each row")
        for file, schema in schemas.items():
            if name not in schema:
                raise DataError(f"{file}: no column {name!r} as in {first}, only {_listing(schema)}")
            if schema[name] != expected:
                types = f"type {schema[name]}, expected {expected} as in {first}"
                raise DataError(f"{file}: column {name!r} has {types}")


def _load_file(file: Path, columns: dict[str, str], *, drop: bool) -> tuple[pl.DataFrame, pl.Series]:
    """Return the converted columns by role, and which rows lack a value; refuse the first bad row."""
    frame = _read(file, columns.values())
    bars, breaches = {}, []
    gaps = pl.repeat(False, len(frame), eager=True)
    for role, name in columns.items():
        source, (holds, expected) = frame[name], RULES.get(role, NUMBER)
        values = _converted(role, source)
        wrong = ~holds(values).fill_null(False)
        if wrong.any():
            missing = source.is_null() | values.is_nan().fill_null(False)
            gaps |= missing
            wrong = wrong & ~missing if drop else wrong
        if wrong.any():
            row = wrong.arg_max()
            breaches.append((row, f"column {name!r}: found {_shown(source, row)}, expected {expected}"))
        bars[role] = values.cast(pl.UInt8, strict=False) if role == "risk" else values
    if breaches:
        row, text = min(breaches)
        raise DataError(f"{file}, row {row + 1}, {text}")
    return pl.DataFrame(bars), gaps


def _shown(source: pl.Series, row: int) -> str:
    if source.dtype in (pl.Date, pl.Datetime):  # polars panics on years it cannot print, numpy does not
        ticks = source.to_physical()[row]
        return "no value" if ticks is None else str(np.datetime64(ticks, unit_of(source.dtype)))
    value = source[row]
    return "no value" if value is None else repr(value) if isinstance(value, str) else str(value)


def _converted(role: str, source: pl.Series) -> pl.Series:
    """Return float64, for the time int64 nanoseconds UTC, with null where the source has nothing such."""
    if role == "time":
        return to_ns(source)
    if role == "risk" and source.dtype == pl.String:
        source = source.str.to_lowercase().replace({"false": "0", "true": "1"})
    return source.cast(pl.Float64, strict=False)


def _check_order(time: np.ndarray, name: str, missing: pl.Series, heights: dict[Path, int]) -> None:
    """Refuse times that do not strictly increase; `missing` and `heights` tell the bars' files and rows."""
    late = time[1:] <= time[:-1]
    if late.any():
        bar = int(late.argmax())
        before, now = np.datetime_as_string(time[bar : bar + 2].view("datetime64[ns]"), unit="auto")
        place_before, place = (_place(row, heights) for row in (~missing).arg_true()[bar : bar + 2])
        verb = "repeats" if now == before else "is earlier than"
        what = f"{now} {verb} {before} in {place_before}"
        raise DataError(f"{place}, column {name!r}: {what}; times must increase")


def _place(row: int, heights: dict[Path, int]) -> str:
    for file, height in heights.items():
        if row < height:
            return f"{file}, row {row + 1}"
        row -= height
    raise IndexError(row)
