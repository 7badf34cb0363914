"""Markets of the user's own: price histories that a function of his draws, and the checks of what it returns."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from idi_fast.config.own_functions import OwnFunction
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.column_names import USUAL_NAMES
from idi_fast.data.history import History
from idi_fast.data.rules import LEAST, RULES
from idi_fast.errors import InputError

PATH_BARS = 65_536
"""Bars of a path, or as many as an episode has if that is longer: quantiles of so many are accurate to about 0.2 %."""
KEPT_PATHS = 4
REPEATED_BARS = 256
"""Bars of the path that is drawn twice, to see that it is the same."""


def path_bars(config: TrainingConfig) -> int:
    """Bars of a path: whole episodes with their reset rows, of PATH_BARS in all or of one."""
    rows = config.episode_length + 1
    return max(1, PATH_BARS // rows) * rows


def drawn_path(market: OwnFunction, words: np.ndarray, n: int) -> History:
    """The path of n bars that a market draws from a seed, words uint64 (4,). Raises InputError."""
    drawn = _kept if n <= PATH_BARS else _drawn
    return drawn(market, tuple(words.tolist()), n)


def _drawn(market: OwnFunction, words: tuple[int, ...], n: int) -> History:
    what = f"the market {market.name!r}"
    generator = np.random.Generator(np.random.SFC64(np.random.SeedSequence(words)))
    try:
        with np.errstate(all="ignore"):
            found = market.function(generator, n)
    except Exception as error:
        raise InputError(f"{what} raised {type(error).__name__}: {error}".rstrip(": ")) from error
    if not isinstance(found, Mapping) or "close" not in found:
        keys = f"the columns {', '.join(map(repr, found))}" if isinstance(found, Mapping) else type(found).__name__
        raise InputError(f"{what} returned {keys}; expected a dict of columns with 'close'")
    columns = {name: _column(what, name, values, n) for name, values in found.items()}
    usual: dict[str, Any] = {name: columns.get(name) for name in USUAL_NAMES}
    extra = {name: column for name, column in columns.items() if name not in usual}
    # Not by `History.from_arrays`: reading a frame takes ten times as long as drawing one.
    names = {name: name for name in columns}
    return History(**usual, extra=extra, after_gap=np.zeros(n, bool), dropped=0, columns=names)


_kept = lru_cache(maxsize=KEPT_PATHS)(_drawn)
"""An evaluation sees the same paths once for each baseline."""


def _column(what: str, name: object, values: object, n: int) -> np.ndarray:
    """A column as an array of n entries. Raises InputError, naming the first bar whose value is refused."""
    if not isinstance(name, str) or not name:
        raise InputError(f"{what} returned a column of the name {name!r}; expected text")
    column = np.asarray(values)
    if column.shape != (n,):
        raise InputError(f"{what} returned {name} of the shape {column.shape}; expected {(n,)}, a value for each bar")
    if column.dtype.kind not in ("Mi" if name == "time" else "fiub"):
        wanted = "datetime64 or int64 of nanoseconds UTC" if name == "time" else "numbers"
        raise InputError(f"{what} returned {name} of the type {column.dtype}; expected {wanted}")
    if name == "time":
        column = column.astype("datetime64[ns]")
        back = ~(column[1:] > column[:-1])
        if back.any():
            bar = int(back.argmax()) + 1
            before, at = column[bar - 1 : bar + 1]
            raise InputError(f"{what} returned {at} as time of bar {bar}; expected one after {before}")
        return column.astype(np.int64)
    column, least = column.astype(np.float64), LEAST.get(name, -np.inf)
    wrong = ~(np.isfinite(column) & (column >= least))
    if name == "risk":
        wrong |= (column != 0.0) & (column != 1.0)
    if wrong.any():
        bar, expected = int(wrong.argmax()), RULES[name][1] if name in RULES else "a finite number"
        raise InputError(f"{what} returned {column[bar]:g} as {name} of bar {bar}; expected {expected}")
    return column


def check_repeatable(market: OwnFunction, words: np.ndarray) -> None:
    """InputError if a market draws other bars from the same seed, words uint64 (4,)."""
    once, again = (_drawn(market, tuple(words.tolist()), REPEATED_BARS).to_frame() for _ in range(2))
    if not once.equals(again):
        raise InputError(
            f"the market {market.name!r} returns other bars when it is called with the same generator again; draw "
            "everything from the generator that it gets"
        )
