"""The agent's side of training: exploration draws, tables and the running state of an episode."""

import numpy as np

from idi_fast.config import TrainingConfig
from idi_fast.kernels import tape_mt19937, tape_words
from idi_fast.kernels.learn import Memory, Rules, Tables, Tape, learn_rows
from idi_fast.rng import Generator
from idi_fast.space import StateSpace, comm_columns

EXPLORATION_FLOOR = 0.05


class Agent:
    """A Q-learner in flat arrays.

    tables: see `kernels.learn.Tables`; `exploration` float64 (1,), the rate before its floor of 0.05.
    """

    def __init__(self, config: TrainingConfig, space: StateSpace, rules: Rules, generator: Generator):
        self._config = config
        self._rules = rules
        self._generator = generator
        names, self._comm_column = comm_columns(config)
        n_states, n_comm = space.n_states, len(names)
        self.tables = Tables(
            q=np.zeros((n_states, 3)),
            comm_q=np.zeros((n_states, n_comm)),
            visits=np.zeros(n_states, np.int64),
            comm_counts=np.zeros(n_comm, np.int64),
        )
        self.exploration = np.ones(1)
        self._memory = make_memory(config, n_states)
        self._phase = np.zeros(1, np.int64)
        self._agent = np.zeros(4, np.int64)
        self._sums = np.zeros(2)

    def learn(self, tape: Tape, rewards: np.ndarray) -> int:
        """Train over a tape; the rewards of the episodes that end go to rewards[: the number returned]."""
        config = self._config
        action, comm = self._draw(tape.code.size)
        return learn_rows(
            tape, self._rules, self.tables, self._memory, self._agent, self._sums, action, comm,
            config.episode_length, config.learning_rate, config.discount, rewards,
        )  # fmt: skip

    def _draw(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        action, comm = np.empty(n, np.int8), np.empty(n, np.int16)
        schedule = (
            self._phase, self._config.episode_length, self.exploration, self._config.exploration_decay,
            EXPLORATION_FLOOR, self._comm_column, action, comm,
        )  # fmt: skip
        if self._config.engine.compat:
            g = self._generator
            tape_mt19937.exploration_draws(g.key, g.words, g.cursor, *schedule)
        else:
            words = np.empty((n, 2), np.uint64)
            self._generator.words64(words)
            tape_words.exploration_rows(words, *schedule)
        return action, comm


def make_memory(config: TrainingConfig, n_states: int) -> Memory:
    """The episodic memory of a config, of no size where it has none."""
    episodic = config.episodic
    if episodic is None or not episodic.enabled:
        return Memory(np.zeros((0, 1)), np.zeros(0, np.int64), np.zeros(0), 0.0)
    # Powers are taken here: CPython's float ** int is libm's pow, a kernel's is repeated multiplication.
    weights = np.array([episodic.decay**age for age in range(episodic.k)])
    entries = n_states * 3
    return Memory(np.zeros((entries, episodic.k)), np.zeros(entries, np.int64), weights, episodic.blend_alpha)
