"""Our Parquet tables: they are described by JSON in the file's metadata."""

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Self

import polars as pl

from idi_fast.errors import ArtifactError
from idi_fast.storage.files import check_digest
from idi_fast.storage.json_files import loads
from idi_fast.storage.reader.client import ANY, Limits, ask, stream

METADATA_KEY = "idi_fast"


def write_table(path: str | Path, frame: pl.DataFrame, about: dict | None = None) -> None:
    """Write a frame as Parquet, with `about` as its metadata."""
    # Through memory, so that a full disk is an ordinary OSError and not an exception of the writer's own kind.
    Path(path).write_bytes(table_bytes(frame, about))


def table_bytes(frame: pl.DataFrame, about: dict | None = None) -> bytes:
    """A frame as Parquet, with `about` as its metadata."""
    buffer = io.BytesIO()
    text = {} if about is None else {METADATA_KEY: metadata_text(about)}
    frame.write_parquet(buffer, metadata=text)
    return buffer.getvalue()


def write_blocks(path: Path, frames: Iterator[pl.DataFrame]) -> None:
    """Write frames, at least one and all with the same columns, as one Parquet table; one is in memory at a time."""
    first, second = next(frames), next(frames, None)
    if second is None:
        write_table(path, first)
        return
    with TableWriter(path) as table:
        for frame in chain([first, second], frames):
            table.write(frame)


class TableWriter:
    """A Parquet table written frame by frame, all with the same columns; a context that closes the file.

    A row group has `group_rows` rows or a few more; 0: those of a frame.
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
            # Imported for long tables only: it takes a tenth of a second. It raises errors of the file unchanged.
            from pyarrow.parquet import ParquetWriter

            schema = table.schema
            if self._about is not None:
                schema = schema.with_metadata({METADATA_KEY: metadata_text(self._about)})
            # Numbers hardly repeat: a dictionary of them would take 60 MB, three times as long, and a larger file.
            texts = [name for name, kind in frame.schema.items() if kind == pl.String]
            # pyarrow has no type hints: by its default, pyright takes use_dictionary for a bool.
            self._writer = ParquetWriter(
                self._file,
                schema,
                compression="zstd",
                use_dictionary=texts,  # pyright: ignore[reportArgumentType]
            )
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
        """Close a writer that an error left open: it would complain about the closed file when it is collected."""
        if self._writer is None or not self._writer.is_open:
            return
        from pyarrow import ArrowException

        with suppress(OSError, ArrowException):  # the error that led here tells more
            self._writer.close()
        self._writer.is_open = False


def metadata_text(about: dict) -> str:
    """The text of `about` in a table's metadata."""
    return json.dumps(about, ensure_ascii=False, sort_keys=True)


@dataclass(frozen=True)
class Table:
    """A Parquet file of which only the footer was read; the reader parses its rows.

    what: its name in errors; columns: the name of each column's type, as polars writes it; about: the metadata's JSON
    text if it is a table of ours with any; limits: of reading it. Errors in reading are ArtifactError.
    """

    path: Path
    what: str
    columns: dict[str, str]
    rows: int
    about: str | None
    limits: Limits = ANY

    @classmethod
    def open(cls, path: "str | Path | Table", what: str = "", limits: Limits = ANY) -> "Table":
        """Read the footer; a table that is already open stays as it is. Raises ArtifactError, also if a manifest beside
        the file has another digest for it."""
        if isinstance(path, Table):
            return path
        path = Path(path)
        what = what or str(path)
        check_digest(path)
        arguments = {"path": str(path), "what": what, "key": METADATA_KEY}
        found = ask("table", arguments, error=ArtifactError, limits=limits)
        return cls(path, what, **found, limits=limits)

    def frames(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """The rows, in order, a block at a time; at least one block. columns: which, None: all."""
        arguments = {"path": str(self.path), "what": self.what, "columns": None if columns is None else list(columns)}
        left = self.rows
        with closing(stream("frames", arguments, error=ArtifactError, limits=self.limits)) as blocks:
            for _, (block,) in blocks:
                frame = pl.read_ipc_stream(io.BytesIO(block.data))
                left -= frame.height
                if left < 0:
                    raise ArtifactError(f"cannot read {self.what}: it has more rows than its footer says")
                yield frame
        if left:
            raise ArtifactError(f"cannot read {self.what}: it has fewer rows than its footer says")

    def frame(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """All rows."""
        return pl.concat(self.frames(columns))

    def blocks(self, columns: Sequence[str], rows: int) -> Iterator[pl.DataFrame]:
        """The rows of columns, `rows` at a time except in the last block."""
        waiting: list[pl.DataFrame] = []
        n = 0
        for frame in self.frames(columns):
            waiting.append(frame)
            n += frame.height
            while n >= rows:
                frame = pl.concat(waiting)
                yield frame.head(rows)
                waiting, n = [frame.slice(rows)], n - rows
        if n:
            yield pl.concat(waiting)


@dataclass(frozen=True)
class FrameTable(Table):
    """A frame in memory, read as a table is."""

    held: pl.DataFrame = field(default_factory=pl.DataFrame)

    @classmethod
    def of(cls, frame: pl.DataFrame, what: str = "the frame") -> "FrameTable":
        """The table of a frame; what: its name in errors."""
        columns = {name: str(kind) for name, kind in frame.schema.items()}
        return cls(Path(what), what, columns, frame.height, None, held=frame)

    def frames(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """The rows, in one block."""
        yield self.held if columns is None else self.held.select(columns)


def open_table(path: Path, kinds: str | Sequence[str], name: str, limits: Limits = ANY) -> tuple[Table, dict]:
    """A table of ours and its metadata; ArtifactError unless the metadata's format is one of `kinds`. `name` is the
    user's name for it."""
    kinds = (kinds,) if isinstance(kinds, str) else kinds
    table = Table.open(path, f"the {name} {path}", limits)
    try:
        about = loads("null" if table.about is None else table.about)
        found = about["format"]
    except (KeyError, TypeError):
        raise ArtifactError(f"{path} is a Parquet file but not a {name} written by idi-fast") from None
    except ValueError as error:
        raise ArtifactError(f"cannot read {table.what}: {error}") from None
    if found not in kinds:
        expected = " or ".join(map(repr, kinds))
        raise ArtifactError(f"{path} is not a {name}: its format is {found!r}; expected {expected}")
    return table, about


def read_table(path: Path, kinds: str | Sequence[str], name: str, limits: Limits = ANY) -> tuple[pl.DataFrame, dict]:
    """A frame and its metadata; arguments and errors as for `open_table`."""
    table, about = open_table(path, kinds, name, limits)
    return table.frame(), about
