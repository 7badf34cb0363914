"""The agent's side of training: exploration draws, tables and the running state of an episode."""

import numpy as np

from idi_fast.config import EpisodicConfig, TrainingConfig
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
        # Under compat the capacity has no effect, as in the reference.
        steps = config.episodes * config.episode_length
        self._memory = make_memory(config.episodic, n_states * 3, bounded=config.engine.compat is None, steps=steps)
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
            tape_mt19937.exploration_draws(self._generator.mt, *schedule)
        else:
            words = np.empty((n, 2), np.uint64)
            self._generator.words64(words)
            tape_words.exploration_rows(words, *schedule)
        return action, comm


def make_memory(episodic: EpisodicConfig | None, n_entries: int, *, bounded: bool, steps: int) -> Memory:
    """An empty memory of so many entries; of no size unless enabled, and its capacity counts only where bounded.

    No entry can remember more targets than there are steps.
    """
    if episodic is None or not episodic.enabled:
        episodic, n_entries, bounded = EpisodicConfig(), 0, False
    most = max(1, steps)
    k = min(episodic.k, most) if n_entries else 0
    return Memory(
        targets=np.zeros((n_entries, k)),
        written=np.zeros(n_entries, np.int64),
        kept=np.zeros(n_entries, np.int64),
        # Powers are taken here: CPython's float ** int is libm's pow, a kernel's is repeated multiplication.
        weights=np.array([episodic.decay**age for age in range(k)]),
        alpha=episodic.blend_alpha,
        order=np.zeros(min(episodic.capacity, most) if bounded else 0, np.int64),
        total=np.zeros(1, np.int64),
        displaced=np.zeros(n_entries if bounded else 0, np.int64),
    )
