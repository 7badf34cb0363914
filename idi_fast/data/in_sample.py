"""Provenance: versions, which bars a policy saw, and whether other bars are among them."""

import platform
from collections.abc import Iterable
from importlib.metadata import version

import numpy as np

import idi_fast
from idi_fast.data.history import History
from idi_fast.data.panel import TrainingBars, members
from idi_fast.data.timestamps import iso_time
from idi_fast.kernels.backtest import HASH, find_hashes

SAMPLES = 64
DESCRIPTION_KEYS = {"bars", "first_time", "last_time", "files", "sample"}


def versions() -> dict[str, str]:
    """Versions of everything that affects the numbers or the bytes they are stored in."""
    packages = {name: version(name) for name in ("numba", "numpy", "polars", "pyarrow")}
    return {"idi_fast": idi_fast.__version__, "python": platform.python_version(), **packages}


class InSampleDetector:
    """Describes bars chunk by chunk, and recognises those of earlier descriptions."""

    def __init__(self, known: Iterable[dict] = ()):
        self._bars, self._stride = 0, 1
        self._sample: list[tuple[int, int | None, float]] = []
        self._first_time: int | None = None
        self._last_time: int | None = None
        self._known = [_Known(description) for description in known]

    def push(self, history: History) -> None:
        """Add the next bars."""
        time, close = history.time, history.close
        total = self._bars + len(history)
        while -(-total // self._stride) > SAMPLES:
            self._stride *= 2
        self._sample = [row for row in self._sample if row[0] % self._stride == 0]
        for bar in range(-self._bars % self._stride, len(history), self._stride):
            self._sample.append((self._bars + bar, None if time is None else int(time[bar]), float(close[bar])))
        self._bars = total
        if time is not None:
            self._first_time = int(time[0]) if self._first_time is None else self._first_time
            self._last_time = int(time[-1])
        for known in self._known:
            known.push(time, close)

    def describe(self, digests: dict[str, dict]) -> dict:
        """Which bars they were, as JSON values.

        bars: how many; first_time, last_time: ISO 8601 UTC, or None; files: digests; sample: time in ns (or None) and
        close of 32 to 64 bars, evenly spaced from the first on, or all of fewer, by which they are recognised in other
        files.
        """
        return {
            "bars": self._bars,
            "first_time": None if self._first_time is None else iso_time(self._first_time),
            "last_time": None if self._last_time is None else iso_time(self._last_time),
            "files": digests,
            "sample": [[time, close] for _, time, close in self._sample],
        }

    def is_in_sample(self, digests: dict[str, dict]) -> bool | None:
        """Whether any of the descriptions includes some of the bars seen; None if that cannot be told.

        With times on both sides: the two ranges overlap and half of the sampled bars within both have the same close,
        or there are none within both. Without: equal files, or nearly all sampled closes found again; otherwise it
        cannot be told.
        """
        answers = [known.is_among(self._first_time, self._last_time, digests) for known in self._known]
        return True if True in answers else None if None in answers else False


class _Known:
    """The sampled bars of a description, and which of them were found again."""

    def __init__(self, description: dict):
        sample = description["sample"]
        self._description = description
        self._times = np.array([time for time, _ in sample if time is not None], np.int64)
        self._closes = np.array([close for _, close in sample], np.float64)
        self._hashes = np.zeros(2**14, bool)
        self._hashes[(self._closes.view(np.uint64) * HASH) >> np.uint64(50)] = True
        self._found, self._equal = np.zeros(len(sample), bool), np.zeros(len(sample), bool)

    def push(self, time: np.ndarray | None, close: np.ndarray) -> None:
        if self._times.size and time is not None:
            at = np.minimum(np.searchsorted(time, self._times), close.size - 1)
            common = time[at] == self._times
            self._found |= common
            self._equal |= common & (close[at] == self._closes)
        else:
            # A hash tells nearly all closes from the few.
            places = np.empty(close.size, np.int64)
            count = find_hashes(close.view(np.uint64), self._hashes, places)
            self._found |= np.isin(self._closes, close[places[:count]])

    def is_among(self, first_time: int | None, last_time: int | None, digests: dict[str, dict]) -> bool | None:
        if first_time is None or last_time is None or not self._times.size:
            hashes = {file["sha256"] for file in self._description["files"].values()}
            same = self._found.mean() >= 0.9 or any(file["sha256"] in hashes for file in digests.values())
            return True if same else None
        if _ns(self._description["last_time"]) < first_time or last_time < self._times[0]:
            return False
        if not self._found.any():
            return not ((first_time <= self._times) & (self._times <= last_time)).any()
        # Not one alone: prices in cents meet by chance.
        return bool(2 * self._equal.sum() >= self._found.sum())


def _ns(time: str) -> int:
    return int(np.datetime64(time.removesuffix("Z"), "ns").astype(np.int64))


def describe_bars(bars: TrainingBars) -> list[dict]:
    """Which bars each history holds, as JSON values, those of a panel with their `symbol`."""
    described = ((symbol, describe_history(history)) for symbol, history in members(bars))
    return [about if symbol is None else {"symbol": symbol, **about} for symbol, about in described]


def describe_history(history: History) -> dict:
    """Which bars a history holds, as JSON values: see `InSampleDetector.describe`."""
    detector = InSampleDetector()
    detector.push(history)
    return detector.describe(history.digests)


def describe_data(bars: TrainingBars) -> dict:
    """Which bars a run used, as JSON values: of a history, or in `symbols` of each symbol, with their number, their
    first and last time and the files of all."""
    if isinstance(bars, History):
        return describe_history(bars)
    symbols = {symbol: describe_history(history) for symbol, history in bars.histories.items()}
    times = [
        about[name] for about in symbols.values() for name in ("first_time", "last_time") if about[name] is not None
    ]
    return {
        "bars": len(bars),
        "first_time": min(times, default=None),
        "last_time": max(times, default=None),
        "files": bars.digests,
        "symbols": symbols,
    }


def is_in_sample(descriptions: Iterable[dict], bars: TrainingBars) -> bool | None:
    """Whether descriptions include bars of a history, or of any of a panel: see `InSampleDetector.is_in_sample`.

    A symbol is compared with those of its name, if there are some, else with all.
    """
    answers, known = [], list(descriptions)
    for symbol, history in members(bars):
        alike = [about for about in known if symbol is not None and about.get("symbol") == symbol]
        detector = InSampleDetector(alike or known)
        detector.push(history)
        answers.append(detector.is_in_sample(history.digests))
    return True if True in answers else None if None in answers else False
