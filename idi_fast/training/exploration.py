"""The exploration rate of each episode, as the kernels have it."""

from collections.abc import Iterator

import numpy as np

from idi_fast.agents.learner import exploration_step
from idi_fast.config.settings import TrainingConfig


def exploration_rate(config: TrainingConfig, episode: int) -> float:
    """That of an episode, as of `exploration_blocks` up to the rounding of a power; NaN if each state has its own."""
    learning = config.learning
    if learning.exploration_schedule == "visits" or episode < 0:
        return float("nan")
    is_linear = learning.exploration_schedule == "linear"
    rate = 1.0 - exploration_step(config) * episode if is_linear else config.exploration_decay**episode
    return max(learning.exploration_floor, rate)


def exploration_blocks(config: TrainingConfig, size: int) -> Iterator[np.ndarray]:
    """Those of all episodes, float64, `size` at a time; NaN if each state has its own, a single empty array if there
    are no episodes."""
    learning, episodes = config.learning, config.drawn_episodes
    rate, decay, step = 1.0, config.exploration_decay, exploration_step(config)
    for first in range(0, max(1, episodes), size):
        episode = np.arange(first, min(first + size, episodes))
        if learning.exploration_schedule == "visits":
            yield np.full(episode.size, np.nan)
            continue
        if learning.exploration_schedule == "linear":
            yield np.maximum(learning.exploration_floor, 1.0 - step * episode)
            continue
        rates = np.full(episode.size, decay)
        # Multiplied from left to right, as in the kernels, across blocks too.
        rates[:1] = rate
        rates = np.multiply.accumulate(rates)
        yield np.maximum(learning.exploration_floor, rates)
        rate = rates[-1] * decay if rates.size else rate
