"""Made-up price histories for tests."""

import numpy as np

from idi_fast.history import History


def history(close, open_=None, volume=None, time=None, after_gap=None) -> History:
    """A history of given prices; everything else is optional."""
    close = np.array(close, np.float64)
    given = {"close": (close, float), "open": (open_, float), "volume": (volume, float), "time": (time, np.int64)}
    arrays = {name: None if values is None else np.array(values, kind) for name, (values, kind) in given.items()}
    return History(
        **arrays,
        risk=None,
        extra={},
        after_gap=np.zeros(close.size, bool) if after_gap is None else np.array(after_gap, bool),
        dropped=0,
        columns={name: name for name, values in arrays.items() if values is not None},
    )


def random_walk(n: int, seed: int = 0, volatility: float = 0.02) -> History:
    """A random walk with open and volume, daily from 1970 on."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, volatility, n)))
    open_ = close * np.exp(rng.normal(0.0, volatility / 4, n))
    return history(close, open_, rng.lognormal(8.0, 0.5, n), np.arange(n) * 86_400 * 10**9)
