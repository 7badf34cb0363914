"""The agent's side of training: exploration draws, tables and the running state of an episode."""

import numpy as np

from idi_fast.buffers import Buffers
from idi_fast.config import EpisodicConfig, TrainingConfig
from idi_fast.features import named
from idi_fast.kernels import tape_mt19937, tape_words
from idi_fast.kernels.learn import Memory, Rules, Tables, Tape, learn_actions, learn_communication, mood_steps
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
        self.tables = make_tables(n_states, n_comm)
        self.exploration = np.ones(1)
        # Under compat the capacity has no effect, as in the reference.
        steps = config.episodes * config.episode_length
        self._memory = make_memory(config.episodic, n_states * 3, bounded=config.engine.compat is None, steps=steps)
        self._phase = np.zeros(1, np.int64)
        self._agent = np.zeros(4, np.int64)
        self._sums = np.zeros(2)
        self._buffers = Buffers(
            action=(np.int8, 1), comm=(np.int16, 1), words=(np.uint64, 2), seen=(np.int32, 1), reward=(np.float64, 1),
            steps=(np.uint8, 9 if space.is_market else 3),
        )  # fmt: skip

    @property
    def state(self) -> dict[str, np.ndarray]:
        """The arrays that it goes on from; all else follows from config and seed."""
        own = {
            "exploration": self.exploration, "phase": self._phase, "agent": self._agent, "sums": self._sums,
        }  # fmt: skip
        memory = {name: array for name, array in self._memory._asdict().items() if isinstance(array, np.ndarray)}
        return {
            **own, **named("tables", self.tables._asdict()), **named("memory", memory),
            **named("generator", self._generator.state),
        }  # fmt: skip

    def learn(self, tape: Tape, totals: np.ndarray) -> int:
        """Train over a tape; the rewards of the episodes that end go to totals[: the number returned]."""
        config, rules, tables = self._config, self._rules, self.tables
        rows = self._buffers.rows(tape.code.size)
        steps, seen, reward, comm = rows["steps"], rows["seen"], rows["reward"], rows["comm"]
        self._draw(rows)
        if rules.n_moods:
            mood_steps(tape.base, steps)
        before = self._agent[3]
        ended = learn_actions(
            tape, steps, rules, tables, self._memory, self._agent, self._sums, rows["action"], config.episode_length,
            config.learning_rate, config.discount, seen, reward, totals,
        )  # fmt: skip
        learn_communication(
            tape.alert, seen, reward, rules.comm_bonus, tables, before, comm, config.learning_rate, config.discount
        )
        return ended

    def _draw(self, rows: dict[str, np.ndarray]) -> None:
        schedule = (
            self._phase, self._config.episode_length, self.exploration, self._config.exploration_decay,
            EXPLORATION_FLOOR, self._comm_column, rows["action"], rows["comm"],
        )  # fmt: skip
        if self._config.engine.compat:
            tape_mt19937.exploration_draws(self._generator.mt, *schedule)
        else:
            self._generator.words64(rows["words"])
            tape_words.exploration_rows(rows["words"], *schedule)


def make_tables(n_states: int, n_comm: int) -> Tables:
    """Untrained tables: every value is 0."""
    return Tables(
        q=np.zeros((n_states, 3)),
        comm_q=np.zeros((n_states, n_comm)),
        greedy=np.zeros(n_states, np.uint8),
        comm_greedy=np.zeros(n_states, np.int16),
        visits=np.zeros(n_states, np.int64),
        comm_counts=np.zeros(n_comm, np.int64),
    )


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
