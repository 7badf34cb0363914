"""The bars that a config trains on: one history, or those of many symbols."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from idi_fast.config.environment_settings import DataConfig
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.config_history import open_config_history
from idi_fast.data.panel import Panel, TrainingBars
from idi_fast.data.sources import find_files
from idi_fast.data.symbols import open_symbols
from idi_fast.storage.files import digest


def load_config_bars(config: TrainingConfig, data: DataConfig | None = None, extra: Iterable[str] = ()) -> TrainingBars:
    """The history that `environment.data` names, or the panel of its symbols; extra: further columns to read. Raises
    DataError, InputError."""
    data = config.environment.data if data is None else data
    if data.path is None or not (data.symbol_files or data.symbol_col is not None):
        return open_config_history(config, data, extra=extra).load()
    with TemporaryDirectory(prefix="idi-fast-") as scratch:
        opened = open_symbols(config, data, Path(scratch), column=data.symbol_col, extra=extra)
        panel = Panel({symbol: history.load() for symbol, history in opened.items()})
    if panel.digests:
        return panel
    # The rows of symbols that share files were sorted apart into files of ours; these are the user's.
    digests = {str(file): digest(file) for file in find_files(Path(data.path))}
    return panel.of_each(lambda history: replace(history, digests=digests))
