"""Price histories of many symbols: a file or a partition each, or one column that tells them apart."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from idi_fast.config.environment_settings import DataConfig
from idi_fast.config.read_options import ReadOptions
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.bar_files import SYMBOL_KEY
from idi_fast.data.config_history import open_config_history
from idi_fast.data.loading import HistoryFiles
from idi_fast.data.sources import KINDS, find_files
from idi_fast.errors import InputError
from idi_fast.storage.reader.client import ask


def open_symbols(
    config: TrainingConfig,
    data: DataConfig,
    scratch: Path,
    *,
    column: str | None = None,
    risk: str | None = None,
    extra: Iterable[str] = (),
) -> dict[str, HistoryFiles]:
    """The histories of all symbols, in the order of their names, not yet read.

    data: where and how, as for a single history; extra: further columns to read; column: that of the symbols' names, or
    the key of the `key=value` folders that they are in; None: each file is a symbol, named after the file. Rows of
    different symbols that share a file are sorted apart into files of `scratch`, an empty folder that must outlive the
    histories. Raises DataError, InputError.
    """
    assert data.path is not None  # without one there is nothing to look for symbols in
    files = find_files(Path(data.path))

    def opened(path: Path, **about: Any) -> HistoryFiles:
        return open_config_history(config, replace(data, path=str(path)), risk=risk, extra=extra, **about)

    return open_groups(files, scratch, column, data.reading(), opened)


def open_groups(
    files: tuple[Path, ...],
    scratch: Path,
    column: str | None,
    options: ReadOptions,
    opened: Callable[..., HistoryFiles],
) -> dict[str, HistoryFiles]:
    """The same for files: opened makes a history of its first file, its `files` and their `name` in errors."""
    groups = _by_name(files) if column is None else _by_folder(files, column)
    if groups or column is None:
        return {symbol: opened(groups[symbol][0], files=groups[symbol]) for symbol in sorted(groups)}
    groups, decimal = _by_column(files, column, scratch, options)
    histories = {}
    for symbol in sorted(groups):
        # The files of sorted rows are not the user's: errors name the symbol.
        name = f"{files[0]}, {column} {symbol!r}"
        histories[symbol] = opened(groups[symbol][0], files=groups[symbol], name=name, decimal=decimal)
    return histories


def _by_name(files: tuple[Path, ...]) -> dict[str, tuple[Path, ...]]:
    groups: dict[str, tuple[Path, ...]] = {}
    for file in files:
        name = symbol_name(file)
        if name in groups:
            raise InputError(f"{file} and {groups[name][0]} would both be the symbol {name!r}; expected distinct names")
        groups[name] = (file,)
    return groups


def symbol_name(file: Path) -> str:
    """The symbol that a file is named after: its name without what tells its kind."""
    endings = "|".join(re.escape(ending) for ending in sorted(KINDS, key=len, reverse=True))
    return re.sub(rf"({endings})$", "", file.name, flags=re.IGNORECASE)


def _by_folder(files: tuple[Path, ...], key: str) -> dict[str, tuple[Path, ...]]:
    """The files of each value of a partition key; none if the paths do not have it."""
    groups: dict[str, list[Path]] = {}
    for file in files:
        values = [unquote(part.partition("=")[2]) for part in file.parts[:-1] if part.partition("=")[0] == key]
        if not values:
            return {}
        groups.setdefault(values[-1], []).append(file)
    return {name: tuple(parts) for name, parts in groups.items()}


def _by_column(
    files: tuple[Path, ...], column: str, scratch: Path, options: ReadOptions
) -> tuple[dict[str, tuple[Path, ...]], str | None]:
    """The files that rows were sorted into, by symbol, and the decimal mark of their text."""
    about = {"column": column, "scratch": str(scratch), "options": options.to_dict()}
    found = ask("split", {"files": list(map(str, files)), **about}, writes=True)
    return _by_folder(tuple(sorted(scratch.rglob("*.parquet"))), SYMBOL_KEY), found["decimal"]
