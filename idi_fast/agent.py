"""The agent's side of training: exploration draws, tables and the running state of an episode."""

import numpy as np

from idi_fast.buffers import Buffers
from idi_fast.config import EpisodicConfig, TrainingConfig
from idi_fast.features import named
from idi_fast.kernels.blocks import Learner, Synthetic, Workspace, learn_block, learn_synthetic
from idi_fast.kernels.learn import Memory, Rules, Tables, Tape
from idi_fast.rng import Generator
from idi_fast.space import StateSpace, comm_columns

EXPLORATION_FLOOR = 0.05


class Agent:
    """A Q-learner in flat arrays."""

    def __init__(self, config: TrainingConfig, space: StateSpace, rules: Rules, generator: Generator):
        names, comm_column = comm_columns(config)
        n_states, n_comm = space.n_states, len(names)
        self._generator = generator
        # Under compat the capacity has no effect, as in the reference.
        is_compat, steps = config.engine.compat is not None, config.episodes * config.episode_length
        self._learner = Learner(
            stream=generator.stream, is_compat=is_compat,
            phase=np.zeros(1, np.int64), exploration=np.ones(1), decay=config.exploration_decay,
            floor=EXPLORATION_FLOOR, comm_column=comm_column, rules=rules, tables=make_tables(n_states, n_comm),
            memory=make_memory(config.episodic, n_states * 3, bounded=not is_compat, steps=steps),
            agent=np.zeros(4, np.int64), sums=np.zeros(2), episode_length=config.episode_length,
            learning_rate=config.learning_rate, discount=config.discount,
        )  # fmt: skip
        self._buffers = Buffers(
            words=(np.uint64, 2), action=(np.int8, 1), comm=(np.int16, 1),
            steps=(np.uint8, 9 if space.is_market else 3), seen=(np.int32, 1), reward=(np.float64, 1),
        )  # fmt: skip

    @property
    def tables(self) -> Tables:
        """See `kernels.learn.Tables`."""
        return self._learner.tables

    @property
    def state(self) -> dict[str, np.ndarray]:
        """The arrays that it goes on from; all else follows from config and seed."""
        learner = self._learner
        own = {name: getattr(learner, name) for name in ("exploration", "phase", "agent", "sums")}
        memory = {name: array for name, array in learner.memory._asdict().items() if isinstance(array, np.ndarray)}
        return {
            **own, **named("tables", learner.tables._asdict()), **named("memory", memory),
            **named("generator", self._generator.state),
        }  # fmt: skip

    def learn(self, tape: Tape, totals: np.ndarray) -> int:
        """Train over a tape; the rewards of the episodes that end go to totals[: the number returned]."""
        return learn_block(tape, self._learner, self._workspace(tape.code.size), totals)

    def learn_synthetic(self, source: Synthetic, n: int, totals: np.ndarray) -> int:
        """The same over the next n rows of an environment."""
        return learn_synthetic(source, self._learner, self._workspace(source.code.size), n, totals)

    def _workspace(self, n: int) -> Workspace:
        return Workspace(**self._buffers.rows(n))


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
