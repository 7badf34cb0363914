"""Training that ends before its last episode: what a run is called that did, and when patience is at its end."""

from dataclasses import replace

from idi_fast.agents.learner import exploring_episodes
from idi_fast.config.settings import TrainingConfig
from idi_fast.training.episode_log import EpisodeRewards

WINDOWS = 10
"""Means of so many windows without a new highest one are awaited."""


def stopped_config(config: TrainingConfig, episodes: int) -> TrainingConfig:
    """The config of the same run with so many episodes: what it trains is equal to the last bit.

    A linear schedule falls by the episodes that were planned, so these are named.
    """
    learning = config.learning
    if learning.exploration_schedule == "linear":
        learning = replace(learning, exploration_episodes=exploring_episodes(config))
    return replace(config, episodes=episodes, learning=learning)


class Patience:
    """Ends a run once the mean reward of `window` episodes has had no new high for `episodes` episodes (Prechelt 1998).

    The window is a tenth of them. Looked at whenever a window is full, so that a run ends at the same episode however
    its rows are cut into blocks, and after it was resumed.
    """

    def __init__(self, episodes: int):
        self.episodes = episodes
        self.window = max(1, episodes // WINDOWS)
        self._seen, self._best, self._best_at = 0, float("-inf"), 0

    def is_exhausted(self, rewards: EpisodeRewards) -> bool:
        """Whether the run is to end, given the rewards of all its episodes so far."""
        while self._seen + self.window <= len(rewards):
            mean = rewards.mean(self._seen, self._seen + self.window)
            self._seen += self.window
            if mean > self._best:
                self._best, self._best_at = mean, self._seen
        return self._seen - self._best_at >= self.episodes
