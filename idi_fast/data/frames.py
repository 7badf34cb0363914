"""Price histories from frames in memory: polars, pandas, Arrow, or columns by name."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

from idi_fast.config.arguments import described
from idi_fast.config.environment_settings import NanPolicy
from idi_fast.config.read_options import ReadOptions
from idi_fast.data.history import History
from idi_fast.data.loading import OPTIONAL, open_history
from idi_fast.errors import DataError, InputError
from idi_fast.storage.failures import explained

UNREADABLE = pl.exceptions.PolarsError, pl.exceptions.PanicException
LABEL = "the frame"
"""What errors call it."""


def history_from_frame(
    frame: Any, *, columns: dict[str, str | None], extra: Sequence[str], nan: NanPolicy, reading: dict[str, Any]
) -> History:
    """The history that a frame holds: see `History.from_frame`.

    columns: names by their argument; reading: options of `ReadOptions`, start and end. The frame goes through a Parquet
    file, so that there is one reader and one set of rules for all that comes in.
    """
    table = as_polars(frame)
    objects = [name for name, dtype in table.schema.items() if dtype == pl.Object]
    for name in (*columns.values(), *extra):
        if name in objects:
            raise DataError(f"{LABEL}: column {name!r} holds Python objects; expected numbers or times")
    table = table.drop(objects).with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
    if not table.width:
        raise DataError(f"{LABEL} has no columns; expected at least a price")
    bounds = {name: reading.pop(name) for name in ("start", "end")}
    with TemporaryDirectory(prefix="idi-fast-") as folder:
        file = Path(folder) / "frame.parquet"
        with explained(file):
            table.write_parquet(file)
        try:
            return open_history(
                file,
                **columns,
                extra=extra,
                nan=nan,
                optional=OPTIONAL,
                options=ReadOptions.of(reading),
                **bounds,
                files=(file,),
                name=LABEL,
            ).load()
        except DataError as error:
            raise DataError(str(error).replace(str(file), LABEL)) from None


def as_polars(frame: Any) -> pl.DataFrame:
    """A frame of polars, pandas or Arrow, of a kind that hands out Arrow streams or has the interchange protocol, or a
    mapping of columns by name, as one of polars; pandas' index, if it is not just a count of the rows, as its first
    columns. Raises DataError, InputError."""
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if isinstance(frame, pl.DataFrame):
        return frame
    package, kind = type(frame).__module__.partition(".")[0], type(frame).__name__
    try:
        if package == "pandas" and kind == "DataFrame":
            return _of_pandas(frame)
        if isinstance(frame, Mapping):
            return pl.DataFrame({name: _in_ns(values) for name, values in frame.items()})
        is_column = kind in ("Series", "Array", "ChunkedArray")
        if hasattr(frame, "__arrow_c_stream__") and not is_column:  # Arrow, DuckDB, narwhals, Ibis and others
            return pl.DataFrame(frame)
        if package == "pyarrow" and kind == "RecordBatch":
            return pl.DataFrame(pl.from_arrow(frame))
        if hasattr(frame, "__dataframe__"):
            return pl.from_dataframe(frame)
    except (
        pl.exceptions.PolarsError,
        pl.exceptions.PanicException,
        TypeError,
        ValueError,
        OverflowError,
    ) as error:  # ArrowInvalid is a ValueError
        raise DataError(f"{LABEL} cannot be read: {(str(error).splitlines() or [kind])[0]}") from error
    advice = f"; a file is read by load_history({str(frame)!r})" if isinstance(frame, str | Path) else ""
    raise InputError(
        f"the frame is {described(frame)}; expected a DataFrame of polars or pandas, an Arrow table, or a dict of "
        f"columns{advice}"
    )


def _in_ns(values: Any) -> Any:
    """An array of times in a unit that polars has."""
    is_time = isinstance(values, np.ndarray) and values.dtype.kind == "M"
    return values.astype("datetime64[ns]") if is_time else values


def _of_pandas(frame: Any) -> pl.DataFrame:
    if frame.columns.nlevels > 1:
        raise DataError(
            f"{LABEL} has columns of {frame.columns.nlevels} levels, such as {tuple(frame.columns[0])!r}; choose one "
            "symbol, so that each column has a single name: frame.xs(SYMBOL, axis=1, level=1)"
        )
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise DataError(f"{LABEL} has two columns {repeated[0]!r}; rename one")
    if type(frame.index).__name__ != "RangeIndex":
        # Without a name it is called as a file written by pandas calls it, which is found as the time's column.
        if frame.index.nlevels == 1 and frame.index.name is None:
            frame = frame.rename_axis("time" if "time" not in frame.columns else "__index_level_0__")
        frame = frame.reset_index()
    return pl.from_pandas(frame.rename(columns=str))
