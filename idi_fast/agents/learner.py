"""The agent's side of training: exploration draws, tables and the running state of an episode."""

import math
from functools import lru_cache
from typing import get_args

import numpy as np

from idi_fast.agents.policy import Policy
from idi_fast.agents.table_layout import Layout
from idi_fast.config.settings import Algorithm, EpisodicConfig, TrainingConfig
from idi_fast.environments.buffers import Buffers
from idi_fast.environments.features import named
from idi_fast.environments.rng import Generator
from idi_fast.environments.state_space import StateSpace, comm_columns
from idi_fast.errors import InputError
from idi_fast.kernels import methods
from idi_fast.kernels.blocks import Explorer, Synthetic, Workspace, learn_block, learn_synthetic
from idi_fast.kernels.learn import Learner, Memory, Rows, Rules, Tables, Tape
from idi_fast.kernels.methods import LearningState, Method, learn_by_method

ALGORITHMS = get_args(Algorithm)
"""In the order of the kernels' numbers."""
RATES = 16_384
"""Learning and exploration rates that are looked up, since a power takes as long as all else in a step: as many as fit
the second-level cache beside the tables."""


class Agent:
    """A tabular learner in flat arrays: `explorer` and `learner` as the kernels take them; `is_plain`: whether it uses
    plain Q-learning, which has kernels of its own."""

    def __init__(self, config: TrainingConfig, space: StateSpace, rules: Rules, generator: Generator):
        self._space = space
        self._coder = config.tile_coder
        self._comm_names, comm_column = comm_columns(config)
        self.layout = Layout.of(config, space)
        n_rows, n_comm, initial = self.layout.n_rows, len(self._comm_names), config.learning.initial_value
        self._generator = generator
        # Under compat the capacity has no effect, as in the reference.
        is_compat, steps = config.engine.compat is not None, config.episodes * config.episode_length
        self.explorer = Explorer(
            stream=generator.stream,
            is_compat=is_compat,
            phase=np.zeros(1, np.int64),
            exploration=np.ones(1),
            decay=config.exploration_decay,
            floor=config.learning.exploration_floor,
            comm_column=comm_column,
        )
        self.learner = Learner(
            rules=rules,
            tables=make_tables(n_rows, n_comm, self.layout.per_row(initial)),
            memory=make_memory(config.episodic, n_rows * 3, bounded=not is_compat, steps=steps),
            agent=np.zeros(4, np.int64),
            sums=np.zeros(2),
            episode_length=config.episode_length,
            learning_rate=config.learning_rate,
            discount=config.discount,
        )
        self.is_plain = config.learning.is_plain and self.layout.tiling is None
        self._method = make_method(config)
        self._progress = make_progress(config, self._method, self.tables, self.layout.n_tilings)
        tiling = self.layout.tiling
        n_owners = n_rows // tiling.per_group if tiling is not None and tiling.is_hashed else 0
        self._owners = np.full(n_owners, -1, np.int64)
        self._lookups = np.zeros(2, np.int64)
        self._rows = Buffers(rows=(np.int32, self.layout.n_tilings))
        self._buffers = Buffers(
            words=(np.uint64, 2),
            action=(np.int8, 1),
            comm=(np.int16, 1),
            steps=(np.uint8, 9 if space.is_market else 3),
            seen=(np.int32, 1),
            reward=(np.float64, 1),
        )

    @property
    def tables(self) -> Tables:
        """See `kernels.learn.Tables`."""
        return self.learner.tables

    def values(self) -> np.ndarray:
        """The learnt values of the actions, float64 (n_rows, 3): its table, or the mean of two."""
        q, other = self.tables.q, self._progress.other
        # Halved first: the sum of two values may overflow where their mean does not.
        return q / 2.0 + other / 2.0 if other.size else q

    def counts(self) -> np.ndarray | None:
        """How often each value of the actions was updated, int64 (n_rows, 3), in both tables of two; None where a
        method does not count that."""
        progress = self._progress
        if not progress.updates.size:
            return None
        return progress.updates + progress.other_updates if progress.other_updates.size else progress.updates

    @property
    def state(self) -> dict[str, np.ndarray]:
        """The arrays it resumes from; everything else follows from config and seed."""
        explorer, learner = self.explorer, self.learner
        own = {
            "exploration": explorer.exploration,
            "phase": explorer.phase,
            "agent": learner.agent,
            "sums": learner.sums,
        }
        memory = {name: array for name, array in learner.memory._asdict().items() if isinstance(array, np.ndarray)}
        own |= {"owners": self._owners, "lookups": self._lookups}
        progress = {} if self.is_plain else named("progress", self._progress._asdict())
        return {
            **own,
            **named("tables", learner.tables._asdict()),
            **named("memory", memory),
            **named("generator", self._generator.state),
            **progress,
        }

    @property
    def collisions(self) -> float | None:
        """The share of look-ups of a tile in a row that another tile used first; None if nothing is hashed."""
        return None if self._owners.size == 0 else float(self._lookups[1] / max(1, self._lookups[0]))

    def start_from(self, policy: Policy) -> None:
        """Start from a policy's values, without its visits; InputError if its states are others."""
        found, expected = (policy.space, policy.comm_actions), (self._space, self._comm_names)
        if policy.config.tile_coder != self._coder:
            raise InputError("the initial policy has another tile coder; give one with the same tile_coder block")

        if found != expected:
            theirs, ours = (
                f"the states {', '.join(f'{n} {s}' for n, s in zip(space.names, space.sizes, strict=True))} and the "
                f"communication actions {', '.join(names)}"
                for space, names in (found, expected)
            )
            raise InputError(f"the initial policy has {theirs}; expected {ours}")
        if (policy.layout.tiling is None) != (self.layout.tiling is None):
            theirs, ours = (
                "a row per tile" if layout.tiling is not None else "a row per state, as under engine.compat"
                for layout in (policy.layout, self.layout)
            )
            raise InputError(f"the initial policy's table has {theirs}; expected one with {ours}")
        tables = self.tables
        for table in (tables.q, self._progress.other):
            table[: policy.q.shape[0]] = policy.q[: table.shape[0]]
        tables.comm_q[:] = policy.comm_q
        tables.greedy[:] = np.argmax(policy.q, axis=1)
        tables.comm_greedy[:] = np.argmax(policy.comm_q, axis=1)

    def learn(self, tape: Tape, totals: np.ndarray) -> int:
        """Train over a tape; the rewards of the episodes that end go to totals[: the number returned]."""
        space = self._workspace(tape.observation.size)
        if not self.explorer.is_compat:
            self._generator.words64(space.words)
        if self.is_plain:
            return learn_block(tape, self.explorer, self.learner, space, totals)
        rows = self._rows.rows(tape.observation.size)["rows"].reshape(tape.observation.size, self.layout.n_tilings)
        self.layout.rows(tape.observation, rows, self._owners, self._lookups)
        return learn_by_method(
            tape,
            rows,
            self.layout.places,
            self.explorer,
            self.learner,
            self._method,
            self._progress,
            space.words,
            totals,
        )

    def learn_synthetic(self, source: Synthetic, n: int, totals: np.ndarray) -> int:
        """The same over the next n rows of an environment, for plain Q-learning."""
        space = self._workspace(source.observation.size)
        return learn_synthetic(source, self.explorer, self.learner, space, n, totals)

    def _workspace(self, n: int) -> Workspace:
        arrays = self._buffers.rows(n)
        return Workspace(arrays.pop("words"), Rows(**arrays))


def make_tables(n_rows: int, n_comm: int, initial_value: float = 0.0) -> Tables:
    """Untrained tables: every action has the initial value, every communication 0."""
    return Tables(
        # Zeros take no memory until they are written to.
        q=np.full((n_rows, 3), initial_value) if initial_value else np.zeros((n_rows, 3)),
        comm_q=np.zeros((n_rows, n_comm)),
        greedy=np.zeros(n_rows, np.uint8),
        comm_greedy=np.zeros(n_rows, np.int16),
        visits=np.zeros(n_rows, np.int64),
        comm_counts=np.zeros(n_comm, np.int64),
    )


def make_method(config: TrainingConfig) -> Method:
    """The config's learning method as the kernels take it."""
    learning = config.learning
    by = {"visits": methods.BY_VISITS, "episodes": methods.BY_EPISODES, "linear": methods.BY_EPISODES}
    falls = learning.rate_schedule in by
    explores_by_visits = learning.exploration_schedule == "visits"
    return Method(
        algorithm=ALGORITHMS.index(learning.algorithm),
        rate_by=by.get(learning.rate_schedule, 0),
        rate_delay=learning.rate_delay,
        rate_power=learning.rate_power,
        rates=first_rates(config.learning_rate, learning.rate_delay, learning.rate_power, RATES if falls else 0),
        exploration_by=by.get(learning.exploration_schedule, 0),
        exploration_step=exploration_step(config),
        exploration_visits=learning.exploration_visits,
        explorations=first_explorations(learning.exploration_visits, RATES if explores_by_visits else 0),
        trace_decay=learning.trace_decay * config.discount,
    )


@lru_cache(maxsize=4)  # a sweep over rates must not keep a table of each
def first_rates(rate: float, delay: float, power: float, n: int) -> np.ndarray:
    """A falling learning rate after 0, 1, … updates or episodes, float64 (n,); shared by the lanes of a population."""
    # As in the kernels: NumPy's power may differ from libm's in the last bit.
    return np.array([rate * math.pow(1.0 + k / delay, -power) for k in range(n)])


def exploring_episodes(config: TrainingConfig) -> float:
    """The episodes after which a linear exploration rate is at its floor."""
    learning = config.learning
    if learning.exploration_episodes is not None:
        return learning.exploration_episodes
    return learning.exploration_share * max(1, config.episodes)


def exploration_step(config: TrainingConfig) -> float:
    """The decrement per episode of a linear exploration rate."""
    return (1.0 - config.learning.exploration_floor) / exploring_episodes(config)


@lru_cache(maxsize=4)
def first_explorations(visits: float, n: int) -> np.ndarray:
    """The exploration rate of a state after 0, 1, … visits, float64 (n,); shared as well."""
    return visits / (visits + np.arange(n))


def make_progress(config: TrainingConfig, method: Method, tables: Tables, n_tilings: int = 1) -> LearningState:
    """What the method tracks besides the tables, before training."""
    n_rows, n_comm = tables.comm_q.shape
    is_double, is_counted = method.algorithm == methods.DOUBLE_Q_LEARNING, method.rate_by == methods.BY_VISITS
    traces = 0
    if method.algorithm == methods.Q_LAMBDA:
        fades = math.log(methods.LEAST_TRACE) / math.log(method.trace_decay) if method.trace_decay > 0.0 else 0.0
        longest = min(config.episode_length, math.ceil(fades) + 1)
        traces = math.ceil((longest + 1) * n_tilings / methods.TOGETHER) * methods.TOGETHER
    return LearningState(
        other=tables.q.copy() if is_double else np.zeros((0, 3)),
        updates=np.zeros((n_rows if is_counted else 0, 3), np.int64),
        other_updates=np.zeros((n_rows if is_counted and is_double else 0, 3), np.int64),
        comm_updates=np.zeros((n_rows if is_counted else 0, n_comm), np.int64),
        here=np.zeros(n_tilings, np.int64),
        episode=np.zeros(1, np.int64),
        trace_entry=np.zeros(traces, np.int64),
        trace_weight=np.zeros(traces),
        n_traces=np.zeros(1, np.int64),
    )


def make_memory(episodic: EpisodicConfig | None, n_entries: int, *, bounded: bool, steps: int) -> Memory:
    """An empty memory of this many entries; of size 0 unless enabled; its capacity counts only if bounded.

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
        # Powers are computed here: CPython's float ** int is libm's pow, a kernel's is repeated multiplication.
        weights=np.array([episodic.decay**age for age in range(k)]),
        alpha=episodic.blend_alpha,
        order=np.zeros(min(episodic.capacity, most) if bounded else 0, np.int64),
        total=np.zeros(1, np.int64),
        displaced=np.zeros(n_entries if bounded else 0, np.int64),
    )
