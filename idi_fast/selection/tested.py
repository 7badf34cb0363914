"""The tests of a walk-forward analysis: an account per symbol, those of all as one book, and their tables."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
import polars as pl

from idi_fast.backtesting import kpis
from idi_fast.backtesting.account import Account, TradingAssumptions
from idi_fast.backtesting.risk_free import RiskFree
from idi_fast.data.history import History
from idi_fast.data.panel import TrainingBars, members
from idi_fast.data.timestamps import iso_time, time_series
from idi_fast.selection.timeline import Places, Timeline
from idi_fast.selection.windows import Tested, Window, account_of_tests


class SymbolTests(NamedTuple):
    """The accounts of all tests, by symbol (None for a single history), and their book.

    bars int64 (n,): the numbers, in the timeline, of the bars of the book; equity float64 (n,): of equal capital in
    each account, from 1; own_bars: the numbers of each symbol's tested bars in its history; numbers: those of the
    windows in which it was tested, a part of its account each.
    """

    bars: np.ndarray
    equity: np.ndarray
    own_bars: dict[str | None, np.ndarray]
    numbers: dict[str | None, list[int]]
    accounts: dict[str | None, Tested]

    @classmethod
    def of(
        cls,
        timeline: Timeline,
        targets: Sequence[Mapping[str | None, np.ndarray]],
        places: Sequence[Places],
        assumed: TradingAssumptions,
    ) -> Self:
        """From the target positions of each window by symbol, and the tested bars that they were decided at."""
        own_bars, numbers, accounts = {}, {}, {}
        for symbol, history in timeline.histories.items():
            mine = [number for number, place in enumerate(places) if symbol in place]
            if mine:
                tests = [places[number][symbol] for number in mine]
                numbers[symbol] = mine
                own_bars[symbol] = np.concatenate([np.arange(*test) for test in tests])
                accounts[symbol] = account_of_tests(
                    [targets[number][symbol] for number in mine], history, tests, assumed
                )
        bars, equity = timeline.book({symbol: account.equity for symbol, account in accounts.items()}, own_bars)
        return cls(bars, equity, own_bars, numbers, accounts)

    def parts(self, number: int) -> list[Account]:
        """Those of a window, one per symbol that was tested in it."""
        return [
            self.accounts[symbol].parts[mine.index(number)] for symbol, mine in self.numbers.items() if number in mine
        ]

    def equity_in(self, window: Window) -> np.ndarray:
        """The book's equity in the test of a window, relative to that before it; 1 after a liquidation."""
        first, last = np.searchsorted(self.bars, window.tested)
        began = float(self.equity[first - 1]) if first else 1.0
        return self.equity[first:last] / began if began > 0.0 else np.ones(last - first)


def windows_frame(
    timeline: Timeline,
    windows: Sequence[Window],
    training: Sequence[TrainingBars],
    accounts: Mapping[int, SymbolTests],
    held: SymbolTests,
    per_year: float,
    riskless: Sequence[np.ndarray] | None,
) -> pl.DataFrame:
    """A row per window and seed: its bars, and the figures of its test, of many symbols those of their book.

    riskless: the riskless returns over each window's tested bars, float64 (n,) each.
    """
    rows = []
    for number, window in enumerate(windows):
        bounds = (window.train_start, window.train_stop - 1, window.test_start, window.test_stop - 1)
        names = ("train_first", "train_last", "test_first", "test_last")
        about: dict[str, object] = {"window": number, **dict(zip(names, bounds, strict=True))}
        if timeline.time is not None:
            about |= {f"{name}_time": iso_time(timeline.time[at]) for name, at in zip(names, bounds, strict=True)}
        if not isinstance(timeline.bars, History):
            about |= {"trained_symbols": len(members(training[number])), "tested_symbols": len(held.parts(number))}
        of_holding = float(held.equity_in(window)[-1]) - 1.0
        for seed, tests in accounts.items():
            parts = tests.parts(number)
            figures = kpis.equity_kpis(tests.equity_in(window), per_year, riskless[number] if riskless else None)
            figures |= kpis.trade_kpis(np.concatenate([part.trades for part in parts]))
            figures |= {name: float(np.mean([getattr(part, of) for part in parts])) for name, of in PAID.items()}
            rows.append({**about, "seed": str(seed), **figures, "buy_and_hold": of_holding})
    return pl.DataFrame(rows).with_columns(pl.selectors.float().fill_nan(None))


PAID = {"turnover": "traded", "fees": "fees"}
"""Figures of an account, and its fields; of a book they are the means."""


def symbols_frame(
    timeline: Timeline,
    accounts: Mapping[int, SymbolTests],
    held: SymbolTests,
    year_days: int | None,
    risk_free: float | str,
) -> pl.DataFrame:
    """A row per symbol and seed: the figures of its account over all tests; a symbol that was never tested has none."""
    rows = []
    for symbol, bars in held.own_bars.items():
        time = timeline.histories[symbol].time
        assert time is not None  # as many symbols have
        per_year = kpis.frequency_of(time, year_days).periods_per_year
        span = {"first_time": iso_time(int(time[bars[0]])), "last_time": iso_time(int(time[bars[-1]]))}
        about = {"symbol": symbol, "windows": len(held.numbers[symbol]), "tested_bars": bars.size, **span}
        of_holding = float(held.accounts[symbol].equity[-1]) - 1.0
        riskless = RiskFree(risk_free).push_times(time[bars])
        for seed, tests in accounts.items():
            account = tests.accounts[symbol]
            figures = kpis.equity_kpis(account.equity, per_year, riskless)
            figures |= kpis.trade_kpis(np.concatenate([part.trades for part in account.parts]))
            figures |= {name: sum(getattr(part, of) for part in account.parts) for name, of in PAID.items()}
            rows.append({**about, "seed": str(seed), **figures, "buy_and_hold": of_holding})
    return pl.DataFrame(rows).with_columns(pl.selectors.float().fill_nan(None))


def equity_frame(
    timeline: Timeline, windows: Sequence[Window], accounts: Mapping[int, SymbolTests], held: SymbolTests
) -> pl.DataFrame:
    """A row per tested bar and seed; position and close of a single history only."""
    ticks, history = held.bars, timeline.bars
    about: dict[str, object] = {
        "window": np.searchsorted([window.test_start for window in windows], ticks, "right") - 1,
        "tick": ticks,
    }
    if timeline.time is not None:
        about["time"] = time_series(timeline.time[ticks])
    if isinstance(history, History):
        about["close"] = history.close[ticks]
    about["buy_and_hold"] = held.equity
    frames = []
    for seed, tests in accounts.items():
        own = {"equity": tests.equity}
        if isinstance(history, History):
            own = {"position": np.concatenate([part.position for part in tests.accounts[None].parts]), **own}
        frames.append(pl.DataFrame({"seed": [str(seed)] * ticks.size, **about, **own}))
    return pl.concat(frames)
