"""Episodes side by side, a tick at a time: for agents of other kinds, which cannot be followed by a kernel."""

import numpy as np

from idi_fast.config.settings import TrainingConfig
from idi_fast.environments.state_space import StateSpace, make_rules
from idi_fast.kernels.learn import Tape
from idi_fast.kernels.rollout import step_episodes


class Episodes:
    """n episodes of a config's market, all at the same tick.

    state : int64 (n,)
        The state of each.
    position : int64 (n,)
        −1, 0 or 1: held into the tick.
    """

    def __init__(self, config: TrainingConfig, space: StateSpace, n: int):
        self._space = space
        self._rules = make_rules(config, space)
        self._length = config.episode_length
        self._first = np.arange(n, dtype=np.int64) * (self._length + 1)
        self._tick = 0
        self._place, self._mood, self.state = (np.zeros(n, np.int64) for _ in range(3))
        self._pnl, self._reward = np.zeros(n), np.zeros(n)

    def reset(self, tape: Tape) -> None:
        """Begin the episodes of a tape of n (episode_length + 1) rows, those of an episode one behind the other."""
        self._tape, self._tick = tape, 0
        self._come(np.full(self._first.size, -1, np.int64))

    def step(self, action: np.ndarray) -> np.ndarray:
        """Take an action each, int64 (n,) of 0 (hold), 1 (buy) or 2 (sell); their rewards float64 (n,), a new array."""
        self._tick += 1
        self._come(action)
        return self._reward.copy()

    def _come(self, action: np.ndarray) -> None:
        rows = self._first + self._tick
        step_episodes(
            self._tape, self._rules, rows, action, self._place, self._mood, self._pnl, self._reward, self.state
        )

    @property
    def position(self) -> np.ndarray:
        return self._place - 1

    @property
    def has_ended(self) -> bool:
        """Whether the last tick was reached."""
        return self._tick == self._length

    def digits(self) -> np.ndarray:
        """The digits of each state, int64 (n, digits), in the order of the space's names."""
        return self._space.digits(self.state).astype(np.int64)
