"""Series that a function of the user's computes: in chunks of any size, and checked for look-ahead.

The bars of a history are taken in blocks that lie at the same places however it is cut into chunks. The values of a
block come from a call with the bars of the block, as far as they are there, and those of the look-back before it. So
the bits of a value depend on the chunks only if they depend on later bars, which `check_causal` looks for.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from idi_fast.config.plugins import Plugin
from idi_fast.data.timestamps import iso_time
from idi_fast.errors import InputError

BLOCK_BARS = 4096
"""Of a block, or as many as the look-back if that is longer: at most every second bar of a call is one to look back at,
and a bar that comes alone costs a call with no more than twice as many."""
DENSE_CUTS = 16
"""The first places, one beside the other, at which a history is cut to look for look-ahead."""
SPREAD_CUTS = 32
"""Further places, at equal distances over the history."""
HORIZON = 64
"""Altered bars behind a cut, besides as many as the look-back."""
ALTERED = {"1.25 times as high": 1.25, "0.8 times as high": 0.8}
EARLIER = 4096
"""Most steps in search of an earlier bar than the first that was found."""

Inputs = Sequence[np.ndarray]


class OwnSeries:
    """A function's values in chunks of any size.

    columns: names of the inputs; state: the arrays it resumes from, of each input the last bars, (look-back + block,),
    and how many bars came.
    """

    def __init__(self, plugin: Plugin, columns: Sequence[str], window: int):
        self.lookback = plugin.lookback(window)
        self._plugin, self._columns, self._window = plugin, columns, window
        self._block = max(BLOCK_BARS, self.lookback)
        self._seen = np.zeros(1, np.int64)
        kinds = [np.int64 if name == "time" else np.float64 for name in columns]
        self._held = [np.zeros(self.lookback + self._block, kind) for kind in kinds]
        self.state = {"seen": self._seen, **{f"held{k}": array for k, array in enumerate(self._held)}}

    def push(self, inputs: Inputs, out: np.ndarray) -> None:
        """The values of the next bars, inputs (n,) each, into out float64 (n,). Raises InputError."""
        done = 0
        while done < out.size:
            seen = int(self._seen[0])
            start = seen - seen % self._block
            first = max(0, start - self.lookback)
            size = min(out.size - done, start + self._block - seen)
            stop = seen + size - first
            for held, values in zip(self._held, inputs, strict=True):
                held[seen - first : stop] = values[done : done + size]
            found = self._called([held[:stop] for held in self._held], first, seen)
            out[done : done + size] = found[seen - first :]
            if seen + size == start + self._block:
                for held in self._held:
                    held[: self.lookback] = held[stop - self.lookback : stop].copy()
            self._seen[0] += size
            done += size

    def _called(self, inputs: Inputs, first: int, start: int) -> np.ndarray:
        """The values of the bars from number `first` on, of which those from `start` on are needed and must be
        finite."""
        values = self.values(inputs)
        if first == 0:
            values[: self.lookback] = 0.0
        wrong = ~np.isfinite(values[start - first :])
        if wrong.any():
            bar = start + int(wrong.argmax())
            raise InputError(
                f"the feature function {self._plugin.name!r} returned {values[bar - first]} for bar {bar}"
                f"{self._when(inputs, bar - first)}; expected finite numbers from bar {self.lookback} on, the lookback"
            )
        return values

    def values(self, inputs: Inputs) -> np.ndarray:
        """What the function returns for bars, float64 (n,); zeros where there are none but those to look back at."""
        n, name = inputs[0].size, self._plugin.name
        if n <= self.lookback:
            return np.zeros(n)
        columns = {}
        for column, values in zip(self._columns, inputs, strict=True):
            columns[column] = values.copy()  # a function may keep it, and ours are overwritten
            columns[column].setflags(write=False)
        try:
            with np.errstate(all="ignore"):
                found = np.array(self._plugin.function(columns, self._window), np.float64)
        except Exception as error:
            text = f"the feature function {name!r} raised {type(error).__name__}: {error}".rstrip(": ")
            if isinstance(error, KeyError):
                text += f"; its columns are {', '.join(columns)}, others are named by its attribute columns"
            raise InputError(text) from error
        if found.shape != (n,):
            raise InputError(f"the feature function {name!r} returned the shape {found.shape} for {n} bars")
        return found

    def _when(self, inputs: Inputs, bar: int) -> str:
        times = dict(zip(self._columns, inputs, strict=True)).get("time")
        return _shown_time(times, bar)

    def check_causal(self, inputs: Inputs, times: np.ndarray | None = None) -> None:
        """Raise InputError if a value changes once later bars are left out or altered, naming the first such bar that
        was found, or if a second call returns other values.

        inputs: (n,) each, of a whole history, which is cut at its first places and at others all over it; times: int64
        (n,), ns UTC, for the message.
        """
        n = inputs[0].size
        block = [values[: self._block] for values in inputs]
        if not np.array_equal(self.values(block), self.values(block), equal_nan=True):
            name = self._plugin.name
            raise InputError(f"the feature function {name!r} returns other values when it gets the same bars again")
        cuts = {*range(self.lookback + 1, self.lookback + 1 + DENSE_CUTS), n - 1}
        cuts |= set(np.linspace(0, n, SPREAD_CUTS + 2, dtype=np.int64)[1:-1].tolist())
        for cut in sorted(cut for cut in cuts if self.lookback < cut < n):
            found = self._first_change(inputs, cut)
            if found is None:
                continue
            for _ in range(EARLIER):
                earlier = self._first_change(inputs, found[0] + 1)
                if earlier is None or earlier[0] >= found[0]:
                    break
                found, cut = earlier, found[0] + 1
            bar, how, before, after = found
            raise InputError(
                f"the feature function {self._plugin.name!r} looks ahead: its value of bar {bar}"
                f"{_shown_time(times, bar)} is {before:.12g}, but {after:.12g} with the bars from {cut} on {how}"
            )

    def _first_change(self, inputs: Inputs, cut: int) -> tuple[int, str, float, float] | None:
        """The first bar before a cut whose value changes with what comes from there on, how that was changed, and both
        values."""
        last = cut - 1
        start = last - last % self._block
        first = max(0, start - self.lookback)
        end = min(inputs[0].size, start + self._block)
        whole = self.values([values[first:end] for values in inputs])[: cut - first]
        lowest: tuple[int, str, float, float] | None = None
        for how, others in self._futures(inputs, first, cut, end):
            part = self.values(others)[: cut - first]
            differs = (whole != part) & ~(np.isnan(whole) & np.isnan(part))
            differs[: self.lookback] = False  # these are not used
            if not differs.any():
                continue
            place = int(differs.argmax())
            if lowest is None or first + place < lowest[0]:
                lowest = first + place, how, float(whole[place]), float(part[place])
        return lowest

    def _futures(self, inputs: Inputs, first: int, cut: int, end: int) -> Iterator[tuple[str, list[np.ndarray]]]:
        yield "left out", [values[first:cut] for values in inputs]
        stop = min(end, cut + HORIZON + self.lookback)
        for how, factor in ALTERED.items():
            yield (
                how,
                [
                    np.append(values[first:cut], _altered(values[cut:stop], factor, name))
                    for name, values in zip(self._columns, inputs, strict=True)
                ],
            )


def _shown_time(times: np.ndarray | None, bar: int) -> str:
    return "" if times is None else f" ({iso_time(int(times[bar]))})"


def _altered(values: np.ndarray, factor: float, name: str) -> np.ndarray:
    """Other values of the same kind and sign: prices keep their order, times increase."""
    if name == "time":
        return values + np.int64(3_600_000_000_000 * factor)
    return values * factor
