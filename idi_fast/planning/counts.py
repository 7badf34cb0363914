"""What followed each observation, counted over bars."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from idi_fast.environments.features import Bars
from idi_fast.environments.rewards import RewardRule
from idi_fast.kernels.planning import STEP_BITS, Counts, Edges, copy_edges, count_transitions
from idi_fast.planning.rewards import BLOCK_BARS, by_move

FEWEST_SLOTS = 256
ONCE = np.empty(0, np.int32)


class Totals(NamedTuple):
    """Counts of some bars, whose rewards are made by a rule. here, following, bars int64 (edges,): bars by the
    observation that they follow and the one that they show, in order; rises, falls int32 (edges, 9): those of them that
    raise or lower the mood, by move, or of no size where moods do not matter."""

    counts: Counts
    here: np.ndarray
    following: np.ndarray
    bars: np.ndarray
    rises: np.ndarray
    falls: np.ndarray
    rule: RewardRule

    @property
    def n_observations(self) -> int:
        """Observations that there may be."""
        return self.counts.bars.size

    @property
    def by_mood(self) -> bool:
        """Whether steps of the mood were counted."""
        return self.rises.size > 0


class TransitionCounts:
    """Counts what followed each observation, a block of bars at a time.

    n_observations: how many there may be; rule: makes the rewards; by_mood: whether steps of the mood are counted,
    since values depend on it. counts, edges: as the kernel fills them.
    """

    def __init__(self, n_observations: int, rule: RewardRule, *, by_mood: bool):
        self._rule = rule
        self._by_mood = by_mood
        self.counts = _counts(n_observations, 4)
        self.edges = _edges(FEWEST_SLOTS)

    def add(self, bars: Bars, times: np.ndarray = ONCE, before: np.ndarray | None = None) -> None:
        """Add a series of bars or, with `before` int64 (1,), its last observation, which is changed, its next ones.

        times int32 (n,): how often each bar counts.
        """
        before = np.full(1, -1) if before is None else before
        for start in range(0, bars.observation.size, BLOCK_BARS):
            block = bars.rows(slice(start, start + BLOCK_BARS))
            rewards = by_move(self._rule, block)
            self.make_room(block.observation.size, rewards)
            often = times[start : start + BLOCK_BARS]
            count_transitions(block, self._rule.weights, rewards, often, before, self._by_mood, self.counts, self.edges)

    def make_room(self, n: int, rewards: np.ndarray) -> None:
        """Make room for the edges of n bars, and for sums of their rewards by move, if they have these."""
        if rewards.size and self.counts.sums.shape[1] != rewards.shape[1]:
            # Nothing was counted yet: of one rule's bars all have rewards by move, or none.
            self.counts = _counts(self.counts.bars.size, rewards.shape[1])
        slots, needed = self.edges.key.size, 2 * (int(self.edges.used[0]) + n)
        if needed > slots:
            wider = _edges(1 << (needed - 1).bit_length())
            copy_edges(self.edges, wider)
            self.edges = wider

    def totals(self) -> Totals:
        """What was counted so far."""
        slots = np.flatnonzero(self.edges.key >= 0)
        slots = slots[np.argsort(self.edges.key[slots])]
        key, bars = self.edges.key[slots], self.edges.bars[slots]
        pair = key >> STEP_BITS
        first = np.flatnonzero(np.diff(pair, prepend=-1))
        rises = falls = np.zeros((0, 9), np.int32)
        if self._by_mood and key.size:
            # Bit by bit: a matrix of them all would be many times the size of the table.
            by_step = [np.add.reduceat(bars * ((key >> bit) & 1), first) for bit in range(STEP_BITS)]
            rises, falls = (np.stack(moves, axis=1).astype(np.int32) for moves in (by_step[:9], by_step[9:]))
        here, following = np.divmod(pair[first], self.counts.bars.size)
        many = np.add.reduceat(bars, first) if key.size else bars
        return Totals(self.counts, here, following, many.astype(np.int32), rises, falls, self._rule)


def count(
    series: Iterable[Bars], n_observations: int, rule: RewardRule, *, by_mood: bool, times: np.ndarray = ONCE
) -> Totals:
    """The counts of some series of bars; times int32: how often each bar of all counts, by default once."""
    counted, start = TransitionCounts(n_observations, rule, by_mood=by_mood), 0
    for bars in series:
        stop = start + bars.observation.size
        counted.add(bars, times[start:stop])
        start = stop
    return counted.totals()


def count_parts(series: Iterable[Bars], bounds: Sequence[int], n_observations: int, rule: RewardRule) -> list[Totals]:
    """The counts of each part of the bars of all series, from one bound to the next; without moods."""
    parts, first = [TransitionCounts(n_observations, rule, by_mood=False) for _ in bounds[1:]], 0
    for bars in series:
        before, size = np.full(1, -1), bars.observation.size
        for part, start, stop in zip(parts, bounds[:-1], bounds[1:], strict=True):
            inside = slice(max(start - first, 0), max(min(stop - first, size), 0))
            part.add(bars.rows(inside), before=before)
        first += size
    return [part.totals() for part in parts]


def each_left_out(parts: Sequence[Totals]) -> Iterator[Totals]:
    """The counts of all parts but one, for each in its turn; without moods."""
    size = parts[0].n_observations
    keys = [part.here * size + part.following for part in parts]
    every, found = np.unique(np.concatenate(keys), return_inverse=True)
    bars = np.bincount(found, np.concatenate([part.bars for part in parts])).astype(np.int32)
    for left_out, own in zip(parts, keys, strict=True):
        others = [part.counts for part in parts if part is not left_out]
        counts = Counts(*(np.sum(columns, axis=0) for columns in zip(*others, strict=True)))
        rest = bars.copy()
        rest[np.searchsorted(every, own)] -= left_out.bars
        kept = rest > 0
        here, following = np.divmod(every[kept], size)
        yield left_out._replace(counts=counts, here=here, following=following, bars=rest[kept])


def _counts(n_observations: int, columns: int) -> Counts:
    bars, alerts = np.zeros((2, n_observations), np.int64)
    return Counts(bars, alerts, np.zeros((n_observations, columns)))


def _edges(slots: int) -> Edges:
    return Edges(np.full(slots, -1), np.zeros(slots, np.int32), np.zeros(1, np.int64))
