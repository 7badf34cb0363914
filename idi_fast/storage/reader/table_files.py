"""Reader operations on tables: their footers, and their rows a block at a time as Arrow streams."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl

from idi_fast.errors import ArtifactError
from idi_fast.storage.reader.current_file import at
from idi_fast.storage.reader.text_files import nul_in_text

BLOCK_BYTES = 2**26
"""Approximate bytes of a table in transit at a time."""
MAX_FOOTER = 2**26
MAGIC = b"PAR1"


@contextmanager
def _explained(path: str, what: str) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
        raise ArtifactError(f"cannot read {what}: {reason}") from error


def describe(path: str, what: str, key: str) -> Iterator[tuple[dict, list[np.ndarray]]]:
    """The columns of a Parquet file with their types, its number of rows, and its metadata's text of a key.

    what: its name in errors.
    """
    at(path)
    with _explained(path, what):
        _check_footer(Path(path))
        about = pl.read_parquet_metadata(path).get(key)
        scan = _scan(path)
        columns = {name: str(kind) for name, kind in scan.collect_schema().items()}
        rows = scan.select(pl.len()).collect().item()
    yield {"columns": columns, "rows": rows, "about": about}, []


def _check_footer(path: Path) -> None:
    """Raise ValueError for an invalid footer, or one too long for a table of ours."""
    with open(path, "rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - 8))
        end = file.read(8)
    length = int.from_bytes(end[:4], "little")
    if size < 12 or end[4:] != MAGIC or length > size - 8:
        raise ValueError("it is no Parquet file, or not whole")
    if length > MAX_FOOTER:
        raise ValueError(f"its footer has {length:,} bytes; expected at most {MAX_FOOTER:,}")


def _scan(path: str) -> pl.LazyFrame:
    return pl.scan_parquet(path, glob=False, hive_partitioning=False)


def read_frames(path: str, what: str, columns: list[str] | None) -> Iterator[tuple[None, list[np.ndarray]]]:
    """Columns of a Parquet file, None: all, as Arrow streams of successive rows, at least one."""
    at(path)
    with _explained(path, what):
        scan = _scan(path) if columns is None else _scan(path).select(columns)
        n, width = 0, max(1, len(scan.collect_schema()))
        for frame in scan.collect_batches(chunk_size=max(1024, BLOCK_BYTES // 8 // width), lazy=True):
            n += 1
            yield None, [_as_stream(frame)]
        if n == 0:
            yield None, [_as_stream(scan.head(0).collect())]


def read_csv(path: str, what: str) -> Iterator[tuple[None, list[np.ndarray]]]:
    """A CSV file, whose types follow from all its rows, as an Arrow stream."""
    at(path)
    with _explained(path, what):
        if (flaw := nul_in_text(Path(path))) is not None:
            raise ValueError(flaw)
        # A path would be treated as a pattern.
        frame = pl.read_csv(io.BytesIO(Path(path).read_bytes()), infer_schema_length=None)
        yield None, [_as_stream(frame)]


def _as_stream(frame: pl.DataFrame) -> np.ndarray:
    data = io.BytesIO()
    frame.write_ipc_stream(data)
    return np.frombuffer(data.getbuffer(), np.uint8)
