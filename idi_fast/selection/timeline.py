"""The bars that windows are cut from: those of one history, or of many symbols at the same dates."""

from collections.abc import Hashable, Mapping
from functools import partial

import numpy as np

from idi_fast.agents.policy import Policy
from idi_fast.agents.rollout import Observations, decide_from_flat, observe
from idi_fast.backtesting.risk_free import RiskFree
from idi_fast.backtesting.symbols import Book
from idi_fast.data.history import History
from idi_fast.data.panel import Panel, TrainingBars, members
from idi_fast.environments.shared_bars import Shared
from idi_fast.errors import InputError

Places = dict[str | None, tuple[int, int]]
"""By symbol, None for a single history: its first own bar of a part, and the first behind it."""
Targets = dict[str | None, np.ndarray]
"""By symbol, likewise: a policy's target positions int8 at the closes of these bars."""


class Timeline:
    """Parts of bars, which are counted in those of a history, or in the times at which any symbol of a panel has one.

    embargo: own bars of each symbol between its training and what is tested. time int64 (n,): of the bars, in ns UTC;
    None for a history without times. Raises InputError for symbols without times.
    """

    def __init__(self, bars: TrainingBars, embargo: int):
        self.bars, self.embargo = bars, embargo
        self.histories: dict[str | None, History] = dict(members(bars))
        times = [history.time for history in self.histories.values() if history.time is not None]
        self.time = times[0] if times else None
        if isinstance(bars, Panel):
            if len(times) < len(self.histories):
                raise InputError("symbols are tested at the same dates, but have no times; name their column")
            self.time = np.unique(np.concatenate(times))

    def __len__(self) -> int:
        return len(self.bars) if self.time is None else len(self.time)

    def has_open(self) -> bool:
        """Whether there is an opening price."""
        return "open" in self.bars.columns

    def places(self, start: int, stop: int) -> Places:
        """The own bars of each history in bars [start, stop); those without any are left out."""
        found = {symbol: self._own(history, start, stop) for symbol, history in self.histories.items()}
        return {symbol: (first, last) for symbol, (first, last) in found.items() if first < last}

    def training(self, start: int, stop: int, tested: int, length: int) -> TrainingBars:
        """Bars [start, stop) to train on, of each symbol by its own embargo before bar `tested`.

        Symbols that have too few for an episode of `length` steps have no part. Raises InputError if none has enough.
        """
        if isinstance(self.bars, History):
            return self.bars.slice(start, stop)
        kept = {}
        for symbol, history in self.bars.histories.items():
            first, last = self._own(history, start, stop)
            part = history.slice(first, max(first, min(last, self._own(history, tested, tested)[0] - self.embargo)))
            if len(part) > length:
                kept[symbol] = part
        if not kept:
            raise InputError(
                f"no symbol has {length + 1} bars to train on, an episode's, among bars {start:,} to {stop - 1:,} of "
                f"the {len(self):,} times of all, after an embargo of {self.embargo}; expected longer histories"
            )
        return Panel(kept)

    def decide(self, policy: Policy, places: Places, seen: Shared[Observations], key: Hashable) -> Targets:
        """A policy's target positions at the closes of these bars: see `decide_from_flat`.

        seen: the bars as policies see them, shared by those with the same `key`.
        """
        targets = {}
        for symbol, place in places.items():
            look = partial(observe, policy, self.histories[symbol], *place, self.embargo, symbol)
            targets[symbol] = decide_from_flat(policy, seen.get((key, symbol), look))
        return targets

    def book(
        self, equity: Mapping[str | None, np.ndarray], bars: Mapping[str | None, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The bars int64 (n,) at which any of these accounts has an equity, and that of equal capital in each, float64
        (n,).

        equity: float64 (m,) of each, from 1, at its own bars, whose numbers in its history are int64 (m,).
        """
        if isinstance(self.bars, History):
            return bars[None], equity[None]
        book = Book()
        for symbol, own in equity.items():
            time = self.histories[symbol].time
            assert time is not None  # as was checked
            book.add(time[bars[symbol]], own, own)
        assert self.time is not None
        return np.searchsorted(self.time, book.times), book.equity

    def riskless(self, risk_free: RiskFree, start: int, stop: int) -> np.ndarray | None:
        """The riskless return over each of bars [start, stop), the next ones, float64 (n,); None if there is none.

        Raises InputError for a column of rates and many symbols.
        """
        if isinstance(self.bars, History):
            return risk_free.push(self.bars.slice(start, stop))
        assert self.time is not None  # as was checked
        return risk_free.push_times(self.time[start:stop])

    def _own(self, history: History, start: int, stop: int) -> tuple[int, int]:
        if isinstance(self.bars, History):
            return start, stop
        assert self.time is not None  # as was checked
        assert history.time is not None
        first, last = (
            len(history) if bar >= len(self.time) else int(np.searchsorted(history.time, self.time[bar]))
            for bar in (start, stop)
        )
        return first, last
