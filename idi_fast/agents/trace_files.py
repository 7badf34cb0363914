"""The file of a trace: what it says of its run, and how it is found and read."""

import os
from pathlib import Path

import polars as pl

from idi_fast.config.feature_columns import feature_sizes
from idi_fast.config.settings import TrainingConfig
from idi_fast.errors import ArtifactError
from idi_fast.storage.files import refuse_population
from idi_fast.storage.json_files import load_json
from idi_fast.storage.tables import read_table

TRACE_FORMAT = "idi-fast-trace-1"


def trace_metadata(config: TrainingConfig) -> dict:
    """What the reader of a trace needs to know about its run: of a list of features also their buckets."""
    about = {"format": TRACE_FORMAT, "compat": config.engine.compat, "fingerprint": config.fingerprint()}
    return {**about, "features": feature_sizes(config)} if isinstance(config.features, tuple) else about


def read_trace(path: str | Path) -> tuple[pl.DataFrame, dict]:
    """The trace of an artifact or backtest folder, or of its trace.parquet, and its metadata."""
    path = Path(path)
    if os.path.isdir(path):
        refuse_population(path)
        path = path / "trace.parquet"
        if not path.exists():
            _explain_no_trace(path.parent)
    if not os.path.isfile(path):
        raise ArtifactError(f"no trace at {path}; give a folder that `idi-fast train` or `idi-fast backtest` wrote")
    return read_table(path, TRACE_FORMAT, "trace")


def _explain_no_trace(folder: Path) -> None:
    """Raise ArtifactError if a folder's run.json explains why it has no trace."""
    try:
        run = load_json(folder / "run.json")
    except (OSError, ValueError):
        return  # not a run of ours, or no explanation
    kind = run.get("kind") if isinstance(run, dict) else None
    if kind == "backtest":
        raise ArtifactError(f"no trace in {folder}: this backtest kept no trace (`trace=False`)")
    if kind == "symbol-backtest":
        raise ArtifactError(f"no trace in {folder}: it is of many symbols; backtest a symbol alone to export it")
    if kind == "population-backtest":
        raise ArtifactError(f"no trace in {folder}: it is of many policies; backtest one alone to export it")
