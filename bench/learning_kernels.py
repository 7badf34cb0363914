"""The kernels of learning and of the greedy rollout, to be timed one by one on the synthetic and on a market state."""

from collections.abc import Callable
from itertools import product

import numpy as np

from idi_fast.agents.learner import Agent, make_memory
from idi_fast.bench.kernel import Kernel, Prepared, columns
from idi_fast.bench.oracle import learn as oracle
from idi_fast.bench.oracle import rollout as rollout_oracle
from idi_fast.bench.yardsticks import EPISODE_LENGTH, SEED
from idi_fast.config.settings import TrainingConfig
from idi_fast.environments.rng import make_generators
from idi_fast.environments.state_space import StateSpace, make_rules
from idi_fast.kernels import learn
from idi_fast.kernels import rollout as replays

POSITIONS = (-1, 0, 1)


class Scene:
    """A tape of random rewards and an agent that explores as rarely as at the end of training."""

    def __init__(self, kind: str, n: int):
        self.config = TrainingConfig.from_dict({"environment": {"kind": kind}})
        self.space = StateSpace.of(self.config)
        self.rules = make_rules(self.config, self.space)
        agent = Agent(self.config, self.space, self.rules, make_generators(self.config.engine, SEED).agent)
        self.tables = agent.tables
        rng = np.random.default_rng(SEED)
        codes = int(np.prod(self.space.feature_sizes))
        self.tape = learn.Tape(
            reward_by_position=rng.normal(0.3, 0.7, (n, 9 if self.space.is_market else 3)),
            observation=rng.integers(0, codes, n, np.int32),
            alert=rng.integers(0, 2, n).astype(np.uint8),
        )
        agent, sums = np.zeros(4, np.int64), np.zeros(2)
        memory = make_memory(None, 0, bounded=False, steps=n)
        rate, discount = self.config.learning_rate, self.config.discount
        self.trained = learn.Learner(self.rules, self.tables, memory, agent, sums, EPISODE_LENGTH, rate, discount)
        self.rows = learn.Rows(
            action=np.where(rng.random(n) < 0.05, rng.integers(0, 3, n), -1).astype(np.int8),
            comm=np.where(rng.random(n) < 0.05, rng.integers(0, 4, n), -1).astype(np.int16),
            steps=np.zeros(self.tape.reward_by_position.shape, np.uint8),
            seen=np.zeros(n, np.int32),
            reward=np.zeros(n),
        )
        learn.mood_steps(self.tape.reward_by_position, self.rows.steps)
        self.totals = np.zeros(n // EPISODE_LENGTH + 1)

    def act(self) -> None:
        """Train the first table over the tape."""
        learn.learn_actions(self.tape, self.rows, self.trained, self.totals)

    def communicate(self) -> None:
        """Train the second table over it."""
        learn.learn_communication(self.tape, self.rows, self.trained, 0)

    def index(self, state: oracle.State) -> int:
        """The index of an oracle's state."""
        code, mood, *position = state
        index = code * self.space.size("mood") + mood
        return index * 3 + position[0] + 1 if position else index

    def tape_rows(self) -> list[oracle.TapeRow]:
        """The tape for the oracle."""
        keys = list(product(POSITIONS, repeat=2)) if self.space.is_market else POSITIONS
        return [
            oracle.TapeRow(dict(zip(keys, base.tolist(), strict=True)), int(code), bool(alert))
            for base, code, alert in zip(*self.tape, strict=True)
        ]

    def learner(self) -> oracle.Learner:
        """The oracle's agent."""
        wrong, right = self.rules.comm_bonus.tolist()
        return oracle.Learner(
            market=self.space.is_market,
            allow_short=True,
            n_moods=self.rules.n_moods,
            clarity=self.rules.clarity,
            bonus={False: wrong, True: right},
            learning_rate=self.config.learning_rate,
            discount=self.config.discount,
        )

    def learnt(self) -> tuple[oracle.Learner, oracle.Walk]:
        """The oracle's agent after the tape."""
        learner, rows = self.learner(), self.tape_rows()
        walk = oracle.learn_actions(learner, rows, self.rows.action.tolist(), EPISODE_LENGTH)
        oracle.learn_communication(learner, rows, walk, self.rows.comm.tolist())
        return learner, walk

    def table(self, rows: dict, like: np.ndarray) -> np.ndarray:
        """An oracle's table as an array."""
        table = np.zeros_like(like)
        for state, row in rows.items():
            table[self.index(state)] = row
        return table


def _mood_steps(kind: str) -> Callable[[int], Prepared]:
    def prepare(n: int) -> Prepared:
        scene = Scene(kind, n)
        base, steps = scene.tape.reward_by_position, np.empty_like(scene.rows.steps)
        return Prepared(
            lambda: learn.mood_steps(base, steps), lambda: [steps], lambda: [oracle.mood_steps(base.tolist())]
        )

    return prepare


def _learn_actions(kind: str) -> Callable[[int], Prepared]:
    def prepare(n: int) -> Prepared:
        scene = Scene(kind, n)

        def expected() -> list:
            learner, walk = scene.learnt()
            return [scene.table(learner.q, scene.tables.q), walk.rewards, walk.totals]

        ended = n // (EPISODE_LENGTH + 1)
        return Prepared(scene.act, lambda: [scene.tables.q, scene.rows.reward, scene.totals[:ended]], expected)

    return prepare


def _learn_communication(kind: str) -> Callable[[int], Prepared]:
    def prepare(n: int) -> Prepared:
        scene, tables = Scene(kind, n), None
        scene.act()
        tables = scene.tables

        def expected() -> list:
            learner, _ = scene.learnt()
            counts = [learner.comm_counts[comm] for comm in range(learner.n_comm)]
            return [scene.table(learner.comm_q, tables.comm_q), scene.table(learner.visits, tables.visits), counts]

        return Prepared(scene.communicate, lambda: [tables.comm_q, tables.visits, tables.comm_counts], expected)

    return prepare


def _replay_rows(kind: str) -> Callable[[int], Prepared]:
    def prepare(n: int) -> Prepared:
        scene = Scene(kind, n)
        scene.act()
        scene.communicate()
        out = (
            np.empty(n, np.int64),
            np.empty(n, np.int8),
            np.empty(n, np.int16),
            np.empty(n, np.int8),
            np.empty(n),
        )
        greedy = np.argmax(scene.tables.q, axis=1).astype(np.int8)
        given = scene.tape, scene.rules, greedy, np.argmax(scene.tables.comm_q, axis=1).astype(np.int16)

        def expected() -> list:
            ticks, last = rollout_oracle.rollout_rows(scene.learnt()[0], scene.tape_rows())
            states, *rest = columns(ticks)
            return [[*map(scene.index, states), scene.index(last)], *rest]

        def replay() -> None:
            replays.rollout_rows(*given, np.array([0, 1, 1, 0]), np.zeros(2), *out)

        # The twin has no row after the last to step to.
        known = slice(None), slice(-1), slice(-1), slice(-1), slice(1, None)
        return Prepared(replay, lambda: [column[part] for column, part in zip(out, known, strict=True)], expected)

    return prepare


KERNELS = tuple(
    Kernel(f"{name}, {kind}", make(kind))
    for name, make in (
        ("learn.mood_steps", _mood_steps),
        ("learn.learn_actions", _learn_actions),
        ("learn.learn_communication", _learn_communication),
        ("rollout.rollout_rows", _replay_rows),
    )
    for kind in ("synthetic", "crypto")
)
