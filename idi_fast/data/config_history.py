"""The price history that a config names."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from idi_fast.config.environment_settings import DataConfig
from idi_fast.config.feature_columns import feature_columns
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.history import History
from idi_fast.data.loading import HistoryFiles, open_history
from idi_fast.errors import DataError


def with_history(config: TrainingConfig, history: object | None) -> TrainingConfig:
    """The config; if a history is given and the environment is synthetic, the default, that of a history
    environment."""
    if history is None or config.environment.kind != "synthetic":
        return config
    return replace(config, environment=replace(config.environment, kind="history"))


def load_config_history(config: TrainingConfig, data: DataConfig | None = None) -> History:
    """The history that a config's `environment.data` names, with the columns that its features read."""
    return open_config_history(config, data).load()


def open_config_history(
    config: TrainingConfig,
    data: DataConfig | None = None,
    risk: str | None = None,
    extra: Iterable[str] = (),
    **files: Any,
) -> HistoryFiles:
    """The same, not yet read; risk: a column of risk events, extra: further columns to read; files: `files` and `name`
    of `open_history`."""
    data = config.environment.data if data is None else data
    funding = () if data.funding is None else (data.funding,)
    if data.path is None:
        raise DataError(
            "environment.kind is 'history', but there is no price history: give one (`history`), or set "
            "environment.data.path"
        )
    return open_history(
        data.path,
        time=data.time,
        price=data.price,
        open=data.open,
        volume=data.volume,
        risk=risk,
        extra=sorted({*feature_columns(config), *funding, *extra}),
        nan=data.nan,
        options=data.reading(),
        start=data.start,
        end=data.end,
        **files,
    )
