"""What followed each observation, counted over bars."""

from collections.abc import Iterable

import numpy as np

from idi_fast.environments.features import Bars
from idi_fast.kernels.planning import Counts, Edges, copy_edges, count_transitions

BLOCK_BARS = 16_384
"""Bars counted at a time: there must be room for as many new edges."""
FEWEST_SLOTS = 1024
NO_TIMES = np.empty(0, np.int32)


class TransitionCounts:
    """Counts of what followed each observation: a kernel adds bars, a block at a time.

    n_observations: how many there may be; weights float64 (3,): see `reward_weights`; by_mood: whether steps of the
    mood are counted, since values depend on it.
    """

    def __init__(self, n_observations: int, weights: np.ndarray, *, by_mood: bool):
        self.n_observations = n_observations
        self.weights = weights
        self.by_mood = by_mood
        self.counts = Counts(
            np.zeros(n_observations, np.int64), np.zeros(n_observations, np.int64), np.zeros((n_observations, 4))
        )
        self._edges = _edges(FEWEST_SLOTS, by_mood=by_mood)

    @classmethod
    def of(
        cls, series: Iterable[Bars], n_observations: int, weights: np.ndarray, *, by_mood: bool, times: np.ndarray | None = None
    ) -> "TransitionCounts":
        """The counts of some series of bars; times int32: how often each bar of all counts, by default once."""
        made, start = cls(n_observations, weights, by_mood=by_mood), 0
        for bars in series:
            stop = start + bars.observation.size
            made.add(bars, NO_TIMES if times is None else times[start:stop])
            start = stop
        return made

    def add(self, bars: Bars, times: np.ndarray = NO_TIMES, before: np.ndarray | None = None) -> None:
        """Add a series of bars, or with `before` int64 (1,), which is changed, its next ones."""
        before = np.full(1, -1) if before is None else before
        for start in range(0, bars.observation.size, BLOCK_BARS):
            block = Bars(*(column[start : start + BLOCK_BARS] for column in bars))
            self._make_room(block.observation.size)
            count_transitions(block, self.weights, times[start : start + BLOCK_BARS], before, self.counts, self._edges)

    def _make_room(self, n: int) -> None:
        slots, needed = self._edges.key.size, 2 * (int(self._edges.used[0]) + n)
        if needed > slots:
            wider = _edges(1 << (needed - 1).bit_length(), by_mood=self.by_mood)
            copy_edges(self._edges, wider)
            self._edges = wider

    def edges(self) -> Edges:
        """The edges in order of their keys, without empty slots."""
        slots = np.flatnonzero(self._edges.key >= 0)
        slots = slots[np.argsort(self._edges.key[slots])]
        key, bars, rises, falls, used = self._edges
        by_mood = (rises[slots], falls[slots]) if self.by_mood else (rises, falls)
        return Edges(key[slots], bars[slots], *by_mood, used)


def _edges(slots: int, *, by_mood: bool) -> Edges:
    steps = (slots, 9) if by_mood else (0, 9)
    return Edges(
        np.full(slots, -1), np.zeros(slots, np.int32), np.zeros(steps, np.int32), np.zeros(steps, np.int32), np.zeros(1, np.int64)
    )
