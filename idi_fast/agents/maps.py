"""What a table says over two features at a time, averaged over all others."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from idi_fast.environments.actions import ACTIONS
from idi_fast.environments.state_space import StateSpace

if TYPE_CHECKING:  # policies show themselves by these maps
    from idi_fast.agents.policy import Policy

MOST_STATES = 2**18
"""Most states to sample when a tile coder has more states than rows."""
POSITIONS = ("Short", "Flat", "Long")
PREFERRED = ("price", "trend")


@dataclass(frozen=True)
class Maps:
    """Values averaged over all features but two, x and y, weighted by visits.

    values float64 (facets, y, x, 3): mean value of each action, NaN in a cell that was never visited; visits int64
    (facets, y, x); facets: one for each position held, or a single one without a name.
    """

    x: str
    y: str
    facets: tuple[str, ...]
    values: np.ndarray
    visits: np.ndarray
    is_sampled: bool

    @property
    def greedy(self) -> np.ndarray:
        """The action of the highest mean value, ties to the first, float64 (facets, y, x); NaN where there is none."""
        known = self.visits > 0
        best = np.argmax(np.where(known[..., np.newaxis], self.values, 0.0), axis=3)
        return np.where(known, best, np.nan)


def choose_axes(space: StateSpace) -> tuple[str, str]:
    """Two features for the axes: price and trend, or the next in the state if one is missing or has a single bucket."""
    others = [name for name in space.names if name not in (*PREFERRED, "position")]
    able = [name for name in (*PREFERRED, *others) if name in space.names]
    x, y, *_ = sorted(able, key=lambda name: space.size(name) == 1)
    return x, y


def average_values(policy: "Policy") -> Maps:
    """Average a policy's values. With a tile coder, whose states share rows, a state counts as often as the least
    visited of its rows."""
    space, tiled = policy.space, policy.layout.tiling is not None
    x, y = choose_axes(space)
    facets = POSITIONS if space.is_market else ("",)
    is_sampled = tiled and space.n_states > MOST_STATES
    if is_sampled:  # random, since equal steps would hit only some buckets
        states = np.unique(np.random.Generator(np.random.PCG64(0)).integers(0, space.n_states, MOST_STATES))
    else:
        states = np.arange(space.n_states) if tiled else np.flatnonzero(policy.visits)
    visits = policy.visits[policy.layout.state_rows(states)].min(axis=1)
    shape = (len(facets), space.size(y), space.size(x))
    facet = space.digit(states, "position") if space.is_market else np.zeros(states.size, np.int64)
    cell = np.ravel_multi_index((facet, space.digit(states, y), space.digit(states, x)), shape)
    cells = int(np.prod(shape))
    total = np.bincount(cell, weights=visits, minlength=cells)
    values = policy.values(states)
    sums = np.stack([np.bincount(cell, weights=visits * column, minlength=cells) for column in values.T], axis=1)
    with np.errstate(invalid="ignore"):
        means = sums / total[:, np.newaxis]
    return Maps(x, y, facets, means.reshape(*shape, len(ACTIONS)), total.astype(np.int64).reshape(shape), is_sampled)
