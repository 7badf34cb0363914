"""What the moves on bars earn, as planning takes it: a block at a time, and only where kernels cannot make it."""

from collections.abc import Iterator

import numpy as np

from idi_fast.environments.features import Bars
from idi_fast.environments.rewards import RewardRule

BLOCK_BARS = 16_384
"""Bars looked at a time."""
SUMS = np.empty((0, 9))


def by_move(rule: RewardRule, bars: Bars) -> np.ndarray:
    """The rewards of bars before the mood term, by move, float64 (n, 9); of no size where they are the sums that
    `kernels.market.market_reward` makes."""
    if rule.is_linear(bars):
        return SUMS
    return rule.tape(bars, np.empty((bars.observation.size, 9))).reward_by_position


def overlapping(bars: Bars, size: int = BLOCK_BARS) -> Iterator[tuple[int, Bars]]:
    """Parts of a series of up to `size` bars, each behind the last bar of the part before, and where they begin."""
    for start in range(0, bars.observation.size - 1, size):
        yield start, bars.rows(slice(start, start + size + 1))
