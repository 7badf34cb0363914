"""What is odd in a history and no later figure shows: closes that jump away and soon come back, as wrong ticks do, or
stay there, as after a split that the prices are not adjusted for, and long gaps."""

import numpy as np

from idi_fast.data.bar_frequency import BarFrequency, BarTimes
from idi_fast.data.history import History
from idi_fast.data.panel import TrainingBars
from idi_fast.data.timestamps import iso_time
from idi_fast.kernels.spikes import REACH, find_spikes

DEVIATIONS = 20
"""Robust deviations of the log return that make a jump; a close is back within half of that."""
SCALE_BARS = 65_537
"""Bars that the deviation is estimated from: the first ones, so that the others need one pass and no memory."""
MAD_TO_SIGMA = 1.4826
"""Standard deviation over median absolute deviation, for normal returns."""
MOST_UNCHANGED = 0.01
"""Upper bound of the deviation if more than half of the closes repeat the previous one."""
LEAST_SPLIT = 1.4
"""Factor of a jump that may be a split: the smallest usual one is 3 for 2, and the market moves on the same day."""


class SpikeDetector:
    """Takes the bars of a history in chunks of any size, and reports which of them jump by more than 20 robust
    deviations and back, or by a factor of 1.4 as well and stay there; the result does not depend on the chunks.

    A spike lasts up to ten bars; one of more than four must also come back in a single jump. The first or last bars of
    a history may stand apart without one of the two jumps.

    The deviation is 1.4826 times the median absolute deviation of the first 65,536 log returns. If more than half of
    the closes repeat the previous one, that is 0: then it is 1.4826 times the median size of the returns that are not
    0, but no more than 0.01.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[np.ndarray, np.ndarray | None]] | None = []
        self._close: np.ndarray = np.empty(0)
        self._time: np.ndarray | None = None
        self._passed, self._factors = 0, (np.inf, np.inf)
        self._bars, self._is_at_an_end = 0, False
        self._first: tuple[int, int | None, float, str] | None = None
        self._levels = 0
        self._first_level: tuple[int, int | None, float, str] | None = None

    def push(self, history: History) -> None:
        """Add the next bars."""
        if self._waiting is None:
            self._search(history.close, history.time)
            return
        self._waiting.append((history.close, history.time))
        if sum(close.size for close, _ in self._waiting) >= max(SCALE_BARS, 2 * REACH):
            self._begin(self._waiting)

    def note(self) -> str | None:
        """A note on all the bars, None if there is nothing to report. No bars may be pushed after it."""
        if self._waiting:
            self._begin(self._waiting)
        if self._close.size:
            resume = self._find(self._close, self._time, 1, self._close.size)
            self._is_at_an_end |= resume > self._close.size
            self._close = np.empty(0)
        found = [text for text in (self._of_spikes(), self._of_levels()) if text is not None]
        return "; ".join(found) or None

    def _of_levels(self) -> str | None:
        if self._first_level is None:
            return None
        how = "to a level that stays, as prices that are not adjusted for a split do"
        return f"{_described(self._levels, how, *self._first_level)}, a profit or loss that no holder had"

    def _of_spikes(self) -> str | None:
        if self._first is None:
            return None
        where = "and back, or at an end of the history" if self._is_at_an_end else "and back"
        how = f"by more than {DEVIATIONS} robust deviations {where}, as wrong prices do"
        return _described(self._bars, how, *self._first)

    def _begin(self, waiting: list[tuple[np.ndarray, np.ndarray | None]]) -> None:
        """Estimate the deviation from the first bars, and search those that waited for it."""
        self._waiting = None
        deviation = _deviation(np.concatenate([close[:SCALE_BARS] for close, _ in waiting])[:SCALE_BARS])
        with np.errstate(over="ignore"):
            self._factors = np.exp(DEVIATIONS * deviation), np.exp(DEVIATIONS / 2 * deviation)
        self._look_at_the_first([(close, time) for close, time in waiting if close.size])
        for close, time in waiting:
            self._search(close, time)

    def _look_at_the_first(self, chunks: list[tuple[np.ndarray, np.ndarray | None]]) -> None:
        """Find the bars before the first jump, if they are few and no later bar comes back to them."""
        close = np.concatenate([close[: 2 * REACH] for close, _ in chunks])[: 2 * REACH] if chunks else np.empty(0)
        jump, near = self._factors
        for t in range(1, min(REACH, close.size - REACH + 1)):
            if not _are_apart(close[t], close[t - 1], jump):
                continue
            if all(_are_apart(later, close[t - 1], near) for later in close[t : t + REACH]):
                time = chunks[0][1]
                self._first = 0, None if time is None else int(time[0]), float(close[0]), f"before {close[t]:g}"
                self._bars, self._is_at_an_end = t, True
            return

    def _search(self, close: np.ndarray, time: np.ndarray | None) -> None:
        start = 1
        if (kept := self._close.size) > 0:
            # The next chunk shows whether the last bars of this one come back.
            part = slice(None, 2 * REACH)
            near = np.concatenate([self._close, close[part]])
            near_time = None if time is None or self._time is None else np.concatenate([self._time, time[part]])
            if close.size <= 2 * REACH:
                self._keep(near, near_time, self._find(near, near_time, 1, near.size - REACH + 1))
                return
            start = self._find(near, near_time, 1, kept + 1) - kept
            self._passed += kept
        self._keep(close, time, self._find(close, time, start, close.size - REACH + 1))

    def _find(self, close: np.ndarray, time: np.ndarray | None, start: int, stop: int) -> int:
        tail = max(1, REACH - self._passed)
        bars, first, resume, levels, level = find_spikes(close, start, stop, *self._factors, LEAST_SPLIT, tail)
        self._bars += bars
        if first >= 0 and self._first is None:
            at = None if time is None else int(time[first])
            self._first = self._passed + first, at, float(close[first]), f"after {close[first - 1]:g}"
        self._levels += levels
        if level >= 0 and self._first_level is None:
            at = None if time is None else int(time[level])
            self._first_level = self._passed + level, at, float(close[level]), f"after {close[level - 1]:g}"
        return resume

    def _keep(self, close: np.ndarray, time: np.ndarray | None, resume: int) -> None:
        """Keep the bars from the one before `resume` on for the next search."""
        self._close = close[resume - 1 :].copy()
        self._time = None if time is None else time[resume - 1 :].copy()
        self._passed += resume - 1


def _described(n: int, how: str, bar: int, time: int | None, close: float, beside: str) -> str:
    """How many bars jump, and the place, the close and the neighbour of the first of them."""
    count, which = (f"{n:,} bars jump", "the first, ") if n > 1 else ("1 bar jumps", "")
    at = f"bar {bar + 1:,}" if time is None else f"bar {bar + 1:,} ({iso_time(time)})"
    return f"{count} {how}: {which}{at}, has a close of {close:g} {beside}"


def spike_note(history: History) -> str | None:
    """A note on the spikes of a history: see `SpikeDetector`."""
    detector = SpikeDetector()
    detector.push(history)
    return detector.note()


MOST_NOTES = 5
"""Notes on the symbols of a panel that are told."""


def bar_notes(bars: TrainingBars) -> list[str]:
    """Notes on a history, or the first few of those on the symbols of a panel."""
    if isinstance(bars, History):
        return history_notes(bars)
    notes = [f"{symbol}: {note}" for symbol, history in bars.histories.items() for note in history_notes(history)]
    more = [f"{len(notes) - MOST_NOTES:,} more notes on symbols: `idi-fast data show` tells them"]
    return notes[:MOST_NOTES] + more * (len(notes) > MOST_NOTES)


def history_notes(history: History) -> list[str]:
    """Notes on a history: how it was read, its spikes, and a long gap between its times."""
    times = BarTimes()
    if history.time is not None:
        times.push(history.time)
    return [*history.notes, *filter(None, (spike_note(history), times.gap_note()))]


def notes_on(bars: TrainingBars, frequency: BarFrequency) -> list[str]:
    """Notes on a run over a history: how it was read, its spikes, and the caution about its frequency; of a panel the
    first few of these on its symbols."""
    told = [*bars.notes, *filter(None, (spike_note(bars),))] if isinstance(bars, History) else bar_notes(bars)
    return [*told, *filter(None, (frequency.caution,))]


def _are_apart(one: float, other: float, factor: float) -> bool:
    return bool(one > other * factor or one * factor < other)


def _deviation(close: np.ndarray) -> float:
    returns = np.diff(np.log(close))
    if not returns.size:
        return np.inf
    deviation = MAD_TO_SIGMA * float(np.median(np.abs(returns - np.median(returns))))
    if deviation == 0.0:
        moves = np.abs(returns[returns != 0.0])
        deviation = min(MAD_TO_SIGMA * float(np.median(moves)), MOST_UNCHANGED) if moves.size else MOST_UNCHANGED
    return deviation
