"""Parquet tables of ours: what they are travels as JSON in the file's metadata."""

import io
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import polars as pl

from idi_fast.errors import ArtifactError
from idi_fast.files import check_digest

METADATA_KEY = "idi_fast"


def write_table(path: str | Path, frame: pl.DataFrame, about: dict | None = None) -> None:
    """Write a frame as Parquet, with `about` as its metadata."""
    # Through memory, so that a full disk is an OSError of ours and not an exception of the writer's own kind.
    buffer = io.BytesIO()
    text = {} if about is None else {METADATA_KEY: json.dumps(about, ensure_ascii=False, sort_keys=True)}
    frame.write_parquet(buffer, metadata=text)
    Path(path).write_bytes(buffer.getbuffer())


def write_blocks(path: Path, frames: Iterator[pl.DataFrame]) -> None:
    """Write frames, at least one and all of the same columns, as one Parquet table; one is in memory at a time."""
    first, second = next(frames), next(frames, None)
    if second is None:
        write_table(path, first)
        return
    # Imported for long tables only: it takes a tenth of a second. Errors of the file reach us as they are.
    from pyarrow.parquet import ParquetWriter

    # Columns of ever new numbers: a dictionary would take 60 MB, three times as long, and a larger file.
    how = {"compression": "zstd", "use_dictionary": False}
    with open(path, "wb") as file, ParquetWriter(file, first.to_arrow().schema, **how) as writer:
        for frame in chain([first, second], frames):
            writer.write_table(frame.to_arrow())


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
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ArtifactError(f"cannot read the {name} {path}: {reason}") from error
    raise ArtifactError(f"{path} is not a {name}: its format is {found!r}; expected {kind!r}")
