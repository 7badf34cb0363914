"""vectorbt, which keeps an account of signals too: a yardstick if it is installed (extra `peers`)."""

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from types import ModuleType

import numpy as np

from idi_fast.backtesting.account import keep_account
from idi_fast.bench.accounts import FEE_BPS, TERMS, account_and_drawdown, random_target
from idi_fast.bench.case import Differs, elapsed, expect_equal
from idi_fast.bench.training import random_walk
from idi_fast.bench.yardsticks import Yardsticks

LEAST_VERSION = (1, 2)
TOLERANCE = 1e-9  # relative: vectorbt adds up cash flows, and an equity is a difference of these
HALF = 0.5
"""The size of positions in a second account, whose equity is compared, but which is not timed."""
Keep = Callable[[], tuple[np.ndarray, float]]


def add_vectorbt(yardsticks: Yardsticks, bars: int) -> None:
    """Use vectorbt, with each available engine, for the account of this many bars; those with another equity or
    drawdown are refused."""
    try:
        import vectorbt  # pyright: ignore[reportMissingImports] -- of the extra `peers`
    except ImportError as error:
        yardsticks.notes.append(f"vectorbt was left out: {error}; pip install 'idi-fast[peers]' brings it")
        return
    version = vectorbt.__version__
    if tuple(map(int, version.split(".")[:2])) < LEAST_VERSION:
        yardsticks.notes.append(f"vectorbt {version} was left out: expected 1.2 or later, which can name its engine")
        return
    yardsticks.versions["vectorbt"] = version
    history, target = random_walk(bars), random_target(bars)
    account, made = account_and_drawdown(history, target)
    long = np.maximum(target, 0)
    half = keep_account(long, history, replace(TERMS, size=HALF))
    engines = {"vectorbt": "numba", **({"vectorbt_rust": "rust"} if find_spec("vectorbt_rust") else {})}
    for name, engine in engines.items():
        keep = _keep(vectorbt, engine, history.close, target)
        equity, drawdown = keep()
        try:
            expect_equal("equity", equity, account.equity, rtol=TOLERANCE)
            expect_equal("max_drawdown", [drawdown], [made["max_drawdown"]], rtol=TOLERANCE)
            of_half = _hold_half(vectorbt, engine, history.close, long)
            expect_equal("equity of half a size", of_half, half.equity, rtol=TOLERANCE)
        except Differs as difference:
            yardsticks.refused.append(f"vectorbt with its engine {engine!r} ({difference})")
        else:
            yardsticks.vectorbt[name] = lambda keep=keep: elapsed(keep)


def _keep(vectorbt: ModuleType, engine: str, close: np.ndarray, target: np.ndarray) -> Keep:
    """Keep the account of target positions with vectorbt: equity and largest drawdown.

    By default its orders use all the cash, and fill at the close. A reversal of that size needs `lock_cash`, without
    which a short is unbounded and an error; with it, the amount sold short is what is left after the fees, as here.
    Sizes in percent cannot be reversed by signals.
    """
    long, short, flat = target > 0, target < 0, target == 0

    def keep() -> tuple[np.ndarray, float]:
        portfolio = vectorbt.Portfolio.from_signals(
            close,
            entries=long,
            exits=flat,
            short_entries=short,
            short_exits=flat,
            fees=FEE_BPS / 1e4,
            init_cash=1.0,
            upon_opposite_entry="reverse",
            lock_cash=True,
            engine=engine,
        )
        return portfolio.value().to_numpy(), portfolio.max_drawdown()

    return keep


def _hold_half(vectorbt: ModuleType, engine: str, close: np.ndarray, long: np.ndarray) -> np.ndarray:
    """The equity of long positions of half the equity at their entry, the fee included; float64 (n,)."""
    held = vectorbt.Portfolio.from_signals(
        close,
        entries=long > 0,
        exits=long == 0,
        size=HALF,
        size_type="percent",
        fees=FEE_BPS / 1e4,
        init_cash=1.0,
        engine=engine,
    )
    return held.value().to_numpy()
