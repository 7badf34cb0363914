"""A price history as environments show it: encoded once, for any number of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from idi_fast.config.settings import TrainingConfig
from idi_fast.data.history import History
from idi_fast.data.panel import Panel, TrainingBars, members
from idi_fast.environments.charges import HoldingCharges, charged_fee_bps
from idi_fast.environments.features import Columns, Encoder, empty_bars, needed_series, resolve_features
from idi_fast.environments.rewards import bar_stream
from idi_fast.environments.series import AS_IS, computed
from idi_fast.environments.shared_bars import Shared
from idi_fast.errors import DataError, InputError

CHUNK_BARS = 65_536
"""Of a history that are encoded at a time: the logarithms of all of them are not needed at once."""


class HistoryBars:
    """A history as an environment shows it; any number of lanes may share it, since it never changes.

    The symbols of a panel lie one behind the other: features begin anew with each, and no window reaches from one into
    the next. encoder: given, or fitted on all bars; series: of the features of this very history, shared with others.
    Raises DataError if a history is shorter than an episode, InputError if edges by symbol are wanted of a single
    history.

    last: the history of the last symbol; firsts: the number of each one's first bar, and that of all bars.
    """

    def __init__(
        self,
        config: TrainingConfig,
        history: TrainingBars,
        encoder: Encoder | None = None,
        series: Shared[np.ndarray] | None = None,
    ):
        for symbol, each in members(history):
            if len(each) <= config.episode_length:
                whose = "the history" if symbol is None else f"the history of {symbol!r}"
                raise DataError(
                    f"{whose} has {len(each)} bars, but an episode of {config.episode_length} steps needs at least "
                    f"{config.episode_length + 1}; give more data or a smaller episode_length"
                )
        columns = None if series is None else _shared_columns(config, history, encoder, series)
        if encoder is None:
            encoder = _fit(config, history, columns)
        self.history = history
        self.encoder = encoder
        self.last = members(history)[-1][1]
        self.firsts = np.cumsum([0, *(len(each) for _, each in members(history))])
        self._fill = config.environment.data.fill
        charges = [HoldingCharges(config, each.columns) for _, each in members(history)]
        self.bars = empty_bars(len(history), charged=bool(charges[0]))
        for place, (symbol, each) in enumerate(members(history)):
            first, charge = self.firsts[place], charges[place]
            stream = bar_stream(config, encoder, charged_fee_bps(config), is_new=charge.is_new, symbol=symbol)
            for start in range(0, len(each), CHUNK_BARS):
                chunk = each.slice(start, start + CHUNK_BARS)
                rows = slice(start, start + len(chunk))
                logs = log_columns(chunk) if columns is None else {k: of[rows] for k, of in columns[place].items()}
                part = self.bars.rows(slice(first + start, first + start + len(chunk)))
                stream.encode(logs, log_fill(logs, self._fill), part, charge.push(chunk) if charge else None)

    def prices(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Of the bars [start, stop) of the last history the log close, and the log price at which a position first held
        into each was entered, as of `entry_values`; float64 (stop − start,)."""
        n = stop - start
        logs = log_columns(self.last.slice(max(0, start - 1), stop))
        entry = entry_values(logs["close"], log_fill(logs, self._fill))
        return logs["close"][-n:], entry[-n:]

    @property
    def nbytes(self) -> int:
        """The memory that its bars take."""
        return sum(column.nbytes for column in self.bars)

    def windows(self, length: int, step: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Of windows of `length` bars and one more, each `step` bars behind the one before: how many there are up to
        each symbol, and what to add to a window's number times the step for its first bar, both int64 (symbols,)."""
        sizes = np.diff(self.firsts)
        stops = np.cumsum((sizes - 1 - length) // step + 1)
        return stops, self.firsts[:-1] - np.concatenate(([0], stops[:-1])) * step


def _shared_columns(
    config: TrainingConfig, bars: TrainingBars, encoder: Encoder | None, series: Shared[np.ndarray]
) -> list[Columns]:
    """The columns of each history, with the series that are computed of them, once for all who share these."""
    features = resolve_features(config, bars.columns) if encoder is None else encoder.features
    found = []
    for place, (_, each) in enumerate(members(bars)):
        columns = log_columns(each)
        needed = needed_series(config, features)
        found.append(columns | {one: series.get((place, one), partial(computed, one, columns)) for one in needed})
    return found


def _fit(config: TrainingConfig, bars: TrainingBars, columns: Sequence[Columns] | None) -> Encoder:
    """An encoder fitted on all bars and, as the config wants, those of each symbol; columns: of each history, if they
    are there."""
    features = resolve_features(config, bars.columns)
    columns = [log_columns(each) for _, each in members(bars)] if columns is None else columns
    pooled = Encoder.fit(config, features, columns)
    if config.environment.data.edges == "pooled":
        return pooled
    if not isinstance(bars, Panel):
        raise InputError("environment.data.edges is 'per_symbol', but there is one history; give those of symbols")
    own = {symbol: Encoder.fit(config, features, [each]) for symbol, each in zip(bars.histories, columns, strict=True)}
    return replace(pooled, by_symbol=own)


def log_columns(history: History) -> dict[str, np.ndarray]:
    """The columns that features read: logarithms of close, open and 1 + volume, others unchanged, and those three as
    they are under names that begin with `AS_IS`."""
    columns = dict(history.extra)
    for name in ("time", "high", "low"):
        if (values := getattr(history, name)) is not None:
            columns[name] = values
    for name in ("close", "open", "volume"):
        if (values := getattr(history, name)) is not None:
            columns[f"{AS_IS}{name}"] = values
    columns["close"] = np.log(history.close)
    if history.open is not None:
        columns["open"] = np.log(history.open)
    if history.volume is not None:
        columns["volume"] = np.log1p(history.volume)
    return columns


def log_fill(columns: Mapping[str, np.ndarray], fill: str) -> np.ndarray:
    """Log fill price of the decision made on the bar before, from `log_columns`: see `DataConfig.fill`; empty for
    same_close."""
    if fill == "same_close":
        return np.empty(0)
    return columns["open"] if fill == "next_open" and "open" in columns else columns["close"]


def entry_values(value: np.ndarray, log_fill: np.ndarray | None = None, before: np.ndarray | None = None) -> np.ndarray:
    """`MarketFacts.entry` from `MarketFacts.value`: the fill of each bar, or without one the value before it.

    before: the value before the first, float64 (1,); empty at the beginning, where the first itself is used.
    """
    if log_fill is not None and log_fill.size:
        return log_fill
    before = value[:1] if before is None or not before.size else before
    return np.concatenate([before, value[:-1]])
