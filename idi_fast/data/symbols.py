"""Price histories of many symbols: a file or a partition each, or one column that tells them apart."""

import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from idi_fast.config.settings import DataConfig, TrainingConfig
from idi_fast.data.bar_files import SYMBOL_KEY, find_files
from idi_fast.data.config_history import open_config_history
from idi_fast.data.history import HistoryFiles
from idi_fast.errors import InputError
from idi_fast.storage.reader.client import ask


def open_symbols(
    config: TrainingConfig, data: DataConfig, scratch: Path, *, column: str | None = None, risk: str | None = None
) -> dict[str, HistoryFiles]:
    """The histories of all symbols, in the order of their names, not yet read.

    data: where and how, as for a single history; column: that of the symbols' names, or the key of the `key=value`
    folders that they are in; None: each file is a symbol, named after the file. Rows of different symbols that share a
    file are sorted apart into files of `scratch`, an empty folder that must outlive the histories. Raises DataError,
    InputError.
    """
    assert data.path is not None  # without one there is nothing to look for symbols in
    files = find_files(Path(data.path))
    groups = _by_name(files) if column is None else _by_folder(files, column) or _by_column(files, column, scratch)
    opened = {}
    for symbol in sorted(groups):
        # The files of sorted rows are not the user's: errors name the symbol.
        names = None if groups[symbol][0] in files else f"{data.path}, {column} {symbol!r}"
        opened[symbol] = open_config_history(
            config, replace(data, path=str(groups[symbol][0])), risk=risk, files=groups[symbol], name=names
        )
    return opened


def _by_name(files: tuple[Path, ...]) -> dict[str, tuple[Path, ...]]:
    groups: dict[str, tuple[Path, ...]] = {}
    for file in files:
        name = re.sub(r"(\.csv(\.gz)?|\.parquet|\.pq)$", "", file.name, flags=re.IGNORECASE)
        if name in groups:
            raise InputError(f"{file} and {groups[name][0]} would both be the symbol {name!r}; expected distinct names")
        groups[name] = (file,)
    return groups


def _by_folder(files: tuple[Path, ...], key: str) -> dict[str, tuple[Path, ...]]:
    """The files of each value of a partition key; none if the paths do not have it."""
    groups: dict[str, list[Path]] = {}
    for file in files:
        values = [unquote(part.partition("=")[2]) for part in file.parts[:-1] if part.partition("=")[0] == key]
        if not values:
            return {}
        groups.setdefault(values[-1], []).append(file)
    return {name: tuple(parts) for name, parts in groups.items()}


def _by_column(files: tuple[Path, ...], column: str, scratch: Path) -> dict[str, tuple[Path, ...]]:
    ask("split", {"files": list(map(str, files)), "column": column, "scratch": str(scratch)}, writes=True)
    return _by_folder(tuple(sorted(scratch.rglob("*.parquet"))), SYMBOL_KEY)
