"""Made-up price histories for tests."""

from dataclasses import replace

import numpy as np

from idi_fast.data.history import History


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


def signal_in_the_embargo(train: int, *, embargo: int, stretches: list[int], rise: float = 0.01) -> History:
    """Daily bars with a column `signal`, which says how the next bar moves, by 1 %: −1, 0 or 1; at 0 it does not.

    After `train` bars come stretches of these lengths, before each an embargo. In there the signal is 1 once; else it
    is 0 in both, while the price rises by `rise` a bar: who acts on the embargo is long in all of the stretch, and who
    begins flat does nothing.
    """
    # More than a third are 1, so that in three buckets the numbers stay apart.
    signal = np.random.default_rng(0).choice([-1, 0, 1], train, p=[0.22, 0.33, 0.45])
    moves = 0.01 * signal
    for length in stretches:
        said = np.zeros(embargo + length)
        said[embargo // 2] = 1.0
        signal, moves = np.append(signal, said), np.append(moves, np.full(said.size, rise))
    close = 100.0 * np.exp(np.cumsum(np.append(0.0, moves[:-1])))
    made = history(close, np.append(close[:1], close[:-1]), time=np.arange(close.size) * 86_400 * 10**9)
    return replace(made, extra={"signal": signal.astype(np.float64)}, columns={**made.columns, "signal": "signal"})
