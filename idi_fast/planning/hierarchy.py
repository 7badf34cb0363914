"""Observations in ever coarser groups."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from idi_fast.config.settings import TrainingConfig
from idi_fast.config.transforms import TRANSFORMS
from idi_fast.environments.state_space import StateSpace


def unordered_features(config: TrainingConfig) -> set[str]:
    """The features whose neighbouring buckets have nothing more in common than others, as the days of a week."""
    if not isinstance(config.features, tuple):
        return set()
    return {feature.name for feature in config.features if not TRANSFORMS[feature.transform].is_ordered}


@dataclass(frozen=True)
class Hierarchy:
    """Groups of observations: at each level every ordered digit has half the buckets of the level before.

    Digits without order are merged last, in one step: neighbouring buckets are alike, categories need not be.

    sizes: of the observed digits, the most significant first; ordered: of each, whether it is.
    """

    sizes: tuple[int, ...]
    ordered: tuple[bool, ...]

    @classmethod
    def of(cls, space: StateSpace, unordered: Collection[str] = ()) -> "Hierarchy":
        """That of a state space; unordered: digits without order besides the regime."""
        names = space.observed
        return cls(tuple(map(space.size, names)), tuple(name not in {"regime", *unordered} for name in names))

    @cached_property
    def halvings(self) -> int:
        """Levels until each ordered digit has one bucket."""
        sizes = (size for size, ordered in zip(self.sizes, self.ordered, strict=True) if ordered)
        return max((size - 1).bit_length() for size in sizes)

    @cached_property
    def levels(self) -> int:
        """Levels above the observations; the highest is a single group."""
        has_others = any(size > 1 for size, ordered in zip(self.sizes, self.ordered, strict=True) if not ordered)
        return self.halvings + has_others

    @property
    def n_observations(self) -> int:
        """Observations that there may be."""
        return int(np.prod(self.sizes, dtype=np.int64))

    def groups(self, observations: np.ndarray, level: int) -> np.ndarray:
        """The group of each observation at a level from 0, its own number, up; int64 (n,)."""
        group, rest = np.zeros(observations.size, np.int64), observations.astype(np.int64)
        stride = 1
        for size, ordered in zip(reversed(self.sizes), reversed(self.ordered), strict=True):
            digit, rest = rest % size, rest // size
            if ordered:
                digit, size = digit >> level, ((size - 1) >> level) + 1
            elif level > self.halvings:
                digit, size = np.zeros_like(digit), 1
            group += digit * stride
            stride *= size
        return group


class Nodes:
    """The observations that the bars show, and their groups, numbered from the observations up to the one group of all.

    observations int64 (m,), sorted; parent int64 (nodes,), the last its own; level int64 (nodes,).
    """

    def __init__(self, hierarchy: Hierarchy, observations: np.ndarray):
        self.hierarchy = hierarchy
        self.observations = observations
        self._groups = [np.unique(hierarchy.groups(observations, level)) for level in range(hierarchy.levels + 1)]
        self._first = np.cumsum([0, *(groups.size for groups in self._groups)])
        self.size = int(self._first[-1])
        self.parent = np.full(self.size, self.size - 1, np.int64)
        self.level = np.repeat(np.arange(hierarchy.levels + 1), np.diff(self._first))
        for level in range(hierarchy.levels):
            here = np.searchsorted(self._groups[level], hierarchy.groups(observations, level))
            above = np.searchsorted(self._groups[level + 1], hierarchy.groups(observations, level + 1))
            self.parent[self._first[level] + here] = self._first[level + 1] + above

    def nearest(self, observations: np.ndarray) -> np.ndarray:
        """The node of each observation or, if the bars do not show it, of its smallest group that they show."""
        node = np.full(observations.size, EMPTY, np.int64)
        for level, (groups, first) in enumerate(zip(self._groups, self._first, strict=False)):
            open_ = np.flatnonzero(node == EMPTY)
            wanted = self.hierarchy.groups(observations[open_], level)
            place = np.minimum(np.searchsorted(groups, wanted), groups.size - 1)
            found = groups[place] == wanted
            node[open_[found]] = first + place[found]
        return node

    def totals(self, of_observations: np.ndarray) -> np.ndarray:
        """Sums over the members of each node, of numbers int64 (m,) of the observations."""
        totals = np.zeros(self.size, np.int64)
        totals[: of_observations.size] = of_observations
        for level in range(self.hierarchy.levels):
            part = slice(self._first[level], self._first[level + 1])
            np.add.at(totals, self.parent[part], totals[part])
        return totals


EMPTY = -1
