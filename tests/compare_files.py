"""Input for comparisons: folders of streams and tables, and the report on one file."""

import json
from pathlib import Path

import numpy as np
import polars as pl

from idi_fast.agents.streams import stream_index, stream_text
from idi_fast.compare import compare

BITS = {"q_buy": [0, 1, 0, 0, 1, 1, 0, 1], "q_regime": [0, 31, 4, 4, 5, 6, 7, 8]}


def streams(folder: Path, columns: dict[str, list[int]] = BITS, *, newline: bool = True) -> Path:
    folder.mkdir()
    for name, values in columns.items():
        (folder / f"{name}.in").write_bytes(stream_text(np.array(values), newline=newline))
    (folder / "streams.json").write_bytes(stream_index(columns, newline=newline))
    return folder


def table(path: Path, about: dict | None = None, **columns) -> Path:
    metadata = {} if about is None else {"idi_fast": json.dumps(about)}
    pl.DataFrame(columns).write_parquet(path, metadata=metadata)
    return path


def only_file(a: Path, b: Path, **options) -> dict:
    """What is said of the one file that there is, or that differs."""
    report = compare(a, b, **options)
    files = report["files"] if len(report["files"]) == 1 else [file for file in report["files"] if not file["equal"]]
    assert report["equal"] == all(file["equal"] for file in files)
    (file,) = files
    return file
