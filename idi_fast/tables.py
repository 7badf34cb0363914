"""Parquet tables of ours: what they are travels as JSON in the file's metadata."""

import io
import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Self

import polars as pl

from idi_fast.errors import ArtifactError
from idi_fast.files import check_digest

METADATA_KEY = "idi_fast"


def write_table(path: str | Path, frame: pl.DataFrame, about: dict | None = None) -> None:
    """Write a frame as Parquet, with `about` as its metadata."""
    # Through memory, so that a full disk is an OSError of ours and not an exception of the writer's own kind.
    buffer = io.BytesIO()
    text = {} if about is None else {METADATA_KEY: metadata_text(about)}
    frame.write_parquet(buffer, metadata=text)
    Path(path).write_bytes(buffer.getbuffer())


def write_blocks(path: Path, frames: Iterator[pl.DataFrame]) -> None:
    """Write frames, at least one and all of the same columns, as one Parquet table; one is in memory at a time."""
    first, second = next(frames), next(frames, None)
    if second is None:
        write_table(path, first)
        return
    with TableWriter(path) as table:
        for frame in chain([first, second], frames):
            table.write(frame)


class TableWriter:
    """A Parquet table written frame by frame, all of the same columns; a context that closes the file.

    A row group has `group_rows` rows or a few more, 0: those of a frame.
    """

    def __init__(self, path: Path, about: dict | None = None, *, group_rows: int = 0):
        self._path, self._about, self._group_rows = path, about, group_rows
        self._waiting: list[pl.DataFrame] = []
        self._file, self._writer = open(path, "wb"), None  # noqa: SIM115 -- closed by __exit__

    def __enter__(self) -> Self:
        return self

    def write(self, frame: pl.DataFrame) -> None:
        """Append rows. Raises OSError."""
        self._waiting.append(frame)
        if sum(map(len, self._waiting)) >= self._group_rows:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        frame, self._waiting = pl.concat(self._waiting, rechunk=True), []
        table = frame.to_arrow()
        if self._writer is None:
            # Imported for long tables only: it takes a tenth of a second. Errors of the file reach us as they are.
            from pyarrow.parquet import ParquetWriter

            schema = table.schema
            if self._about is not None:
                schema = schema.with_metadata({METADATA_KEY: metadata_text(self._about)})
            # Numbers are ever new: a dictionary of them would take 60 MB, three times as long, and a larger file.
            texts = [name for name, kind in frame.schema.items() if kind == pl.String]
            self._writer = ParquetWriter(self._file, schema, compression="zstd", use_dictionary=texts)
        self._writer.write_table(table.cast(self._writer.schema))

    def __exit__(self, kind: object, *error: object) -> None:
        try:
            if kind is None:
                self._flush()
                if self._writer is not None:
                    self._writer.close()
        finally:
            self._abandon()
            self._file.close()

    def _abandon(self) -> None:
        """Close a writer that an error left open: it would complain of the closed file when it is collected."""
        if self._writer is None or not self._writer.is_open:
            return
        from pyarrow import ArrowException

        with suppress(OSError, ArrowException):  # the error that led here tells more
            self._writer.close()
        self._writer.is_open = False


def metadata_text(about: dict) -> str:
    """What a table's metadata holds of `about`."""
    return json.dumps(about, ensure_ascii=False, sort_keys=True)


def read_table(path: Path, kind: str, name: str) -> tuple[pl.DataFrame, dict]:
    """A frame and its metadata; ArtifactError unless the metadata's format is `kind`. `name` is what a user calls it.

    The file is compared with the manifest beside it first: a Parquet reader may abort on a damaged file.
    """
    try:
        check_digest(path)
        about = json.loads(pl.read_parquet_metadata(path)[METADATA_KEY])
        found = about["format"]
        if found == kind:
            return pl.read_parquet(path), about
    except (KeyError, TypeError):
        raise ArtifactError(f"{path} is a Parquet file but not a {name} written by idi-fast") from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ArtifactError(f"cannot read the {name} {path}: {reason}") from error
    raise ArtifactError(f"{path} is not a {name}: its format is {found!r}; expected {kind!r}")
