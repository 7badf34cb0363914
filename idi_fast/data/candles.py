"""A history in few bars, each made of as many of its own as it takes: for drawing."""

from typing import TYPE_CHECKING

import numpy as np

from idi_fast.data.history import History

if TYPE_CHECKING:
    import polars as pl

MOST_CANDLES = 1024
"""Of a history; more are merged, two and two."""
FIRST, LAST, HIGHEST, LOWEST, SUM = range(5)
HOW = {
    "tick": FIRST,
    "time": FIRST,
    "open": FIRST,
    "high": HIGHEST,
    "low": LOWEST,
    "close": LAST,
    "volume": SUM,
    "bars": SUM,
}
"""Columns, and how bars are merged into one."""


def _merged(how: int, values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """One value for the rows from each of the starts to the next."""
    if how == FIRST:
        return values[starts]
    if how == LAST:
        return values[np.append(starts[1:], values.size) - 1]
    return {HIGHEST: np.maximum, LOWEST: np.minimum, SUM: np.add}[how].reduceat(values, starts)


class Candles:
    """Bars merged as they arrive, into at most MOST_CANDLES of equal numbers of bars, the last one excepted."""

    def __init__(self) -> None:
        self._bars, self._size = 0, 1
        self._columns: dict[str, np.ndarray] = {}

    def push(self, history: History) -> None:
        """The next bars, with the same columns each time."""
        n = len(history)
        if not n:
            return
        columns = {"tick": np.arange(self._bars, self._bars + n), "bars": np.ones(n, np.int64)}
        for name in ("time", "open", "high", "low", "close", "volume"):
            values = getattr(history, name)
            if values is not None:
                columns[name] = values
        self._bars += n
        while -(-self._bars // self._size) > MOST_CANDLES:
            self._size *= 2
        columns = self._merged(columns)
        if self._columns:  # the last of them may go on
            before = self._columns
            columns = self._merged({name: np.concatenate([before[name], made]) for name, made in columns.items()})
        self._columns = columns

    def _merged(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Rows in order, merged with those of the same candle."""
        number = columns["tick"] // self._size
        starts = np.flatnonzero(np.diff(number, prepend=number[0] - 1))
        return {name: _merged(HOW[name], values, starts) for name, values in columns.items()}

    @property
    def is_more_than_closes(self) -> bool:
        """Whether there are bars with more to see than their closes."""
        return "volume" in self._columns or {"open", "high", "low"} <= self._columns.keys()

    def frame(self) -> "pl.DataFrame":
        """A row per candle: tick and time of its first bar, open, high, low, close, volume, as far as the history has
        them, and how many bars it is made of."""
        import polars as pl

        from idi_fast.data.timestamps import time_series

        columns = {name: self._columns[name] for name in HOW if name in self._columns}
        return pl.DataFrame({name: time_series(of) if name == "time" else of for name, of in columns.items()})


def candle_frame(history: History) -> "pl.DataFrame":
    """The rows of `Candles.frame` of a whole history of one or more bars."""
    candles = Candles()
    candles.push(history)
    return candles.frame()


def has_more_than_closes(history: History) -> bool:
    """Whether there is more to see of a history than its closes, see `Candles.is_more_than_closes`."""
    prices = (history.open, history.high, history.low)
    return len(history) > 0 and (history.volume is not None or all(column is not None for column in prices))
