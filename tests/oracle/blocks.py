"""Training from beginning to end: the twins of its parts, one after the other over the whole tape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .learn import Learner, TapeRow, Walk, learn_actions, learn_communication
from .rng import words64
from .tape_mt19937 import POSITIONS, SyntheticRow, exploration_draws, synthetic_tape
from .tape_words import exploration_rows, synthetic_rows


class Draws(NamedTuple):
    """Where an engine's numbers come from, a generator or several that take turns, and whether it draws from one as the
    reference does."""

    stream: Any
    is_compat: bool

    def pairs(self, n: int) -> list[tuple[int, int]]:
        """n rows of two words."""
        words = words64(self.stream, 2 * n)
        return list(zip(words[::2], words[1::2], strict=True))


class Schedule(NamedTuple):
    """How an agent explores: the rate at first, what it is multiplied by after an episode, its floor, and the table
    column of each communication that may be drawn."""

    exploration: float
    decay: float
    floor: float
    comm_column: Sequence[int]


def synthetic_block(
    draws: Draws, n: int, episode_length: int, buckets: Sequence[int], weights: Sequence[float]
) -> list[SyntheticRow]:
    """The first n rows."""
    if draws.is_compat:
        return synthetic_tape(draws.stream, n, episode_length, buckets, weights)
    return synthetic_rows(draws.pairs(n), buckets, weights)


def learn_block(
    learner: Learner, rows: Sequence[TapeRow], draws: Draws, schedule: Schedule, episode_length: int
) -> tuple[Walk, float]:
    """Train a learner over a tape; its walk, and the exploration rate after it."""
    if draws.is_compat:
        explored, rate = exploration_draws(draws.stream, len(rows), episode_length, *schedule)
    else:
        explored, rate = exploration_rows(draws.pairs(len(rows)), episode_length, *schedule)
    walk = learn_actions(learner, rows, [action for action, _ in explored], episode_length)
    learn_communication(learner, rows, walk, [comm for _, comm in explored])
    return walk, rate


def learn_synthetic(
    learner: Learner,
    market: Draws,
    draws: Draws,
    n: int,
    episode_length: int,
    buckets: Sequence[int],
    weights: Sequence[float],
    schedule: Schedule,
) -> tuple[Walk, float]:
    """The same over the first n rows of the synthetic environment."""
    made = synthetic_block(market, n, episode_length, buckets, weights)
    rows = [
        TapeRow(dict(zip(POSITIONS, row.reward_by_position, strict=True)), row.observation, row.alert) for row in made
    ]
    return learn_block(learner, rows, draws, schedule, episode_length)
