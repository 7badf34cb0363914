"""Learning and replay against an agent with dicts and tuples, over tapes of random numbers cut anywhere."""

from dataclasses import dataclass
from itertools import pairwise, product
from math import prod

import numpy as np
import pytest
from examples import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, SEEDS, eighths, pieces
from numpy.testing import assert_array_equal

from idi_fast.agents.learner import make_memory, make_tables
from idi_fast.config.settings import EpisodicConfig
from idi_fast.kernels import learn as kernels
from idi_fast.kernels import market
from idi_fast.kernels import rollout as replays
from oracle import learn as oracle
from oracle import rollout as oracle_rollout
from oracle.reference import EpisodicMemory

N_CODES = 6
POSITIONS = (-1, 0, 1)


@dataclass(frozen=True)
class Kind:
    """A kind of agent: the digits of its state with their sizes, most significant first, and its rules as tables."""

    digits: dict[str, int]
    next_position: tuple[int, ...]
    n_moods: int = 3
    allow_short: bool = True
    clarity: float = 0.2

    @property
    def market(self) -> bool:
        return "position" in self.digits

    @property
    def n_states(self) -> int:
        return prod(self.digits.values())

    def index(self, state: oracle.State) -> int:
        """The index of an oracle's state."""
        values = dict(zip(("code", "mood", "position"), state, strict=False))
        if self.market:
            values["position"] += 1
        return int(np.ravel_multi_index([values[name] for name in self.digits], list(self.digits.values())))

    def rules(self, bonus: np.ndarray) -> kernels.Rules:
        strides = []
        for name in ("code", "mood", "position"):
            names = list(self.digits)
            after = names[names.index(name) + 1 :] if name in names else None
            strides.append(0 if after is None else prod(self.digits[other] for other in after))
        moved = np.array(self.next_position)
        return kernels.Rules(moved, np.array(strides), self.n_moods, self.clarity, bonus)


# Positions 0, 1, 2 (short, flat, long) after hold, buy, sell, by the position before.
BY_ONE, TO_SHORT, TO_FLAT = (0, 1, 0, 1, 2, 0, 2, 2, 1), (0, 2, 0, 1, 2, 0, 2, 2, 0), (0, 2, 1, 1, 2, 1, 2, 2, 1)
KINDS = {
    "synthetic": Kind({"code": N_CODES, "mood": 3}, BY_ONE),
    "market": Kind({"code": N_CODES, "mood": 3, "position": 3}, TO_SHORT),
    "long only": Kind({"code": N_CODES, "mood": 3, "position": 3}, TO_FLAT, allow_short=False),
    "compat crypto": Kind({"position": 3, "code": N_CODES, "mood": 2}, TO_SHORT, n_moods=0, clarity=0.0),
    "many moods": Kind({"code": N_CODES, "mood": 60}, BY_ONE, n_moods=60),  # more than FEW_STATES
    "many states": Kind({"code": 8000, "mood": 5}, BY_ONE, n_moods=5),  # more than MANY_STATES
    "one mood": Kind({"code": N_CODES, "mood": 1}, BY_ONE, n_moods=1),
}
EPISODIC = {"k": 3, "decay": 0.9, "blend_alpha": 0.4, "capacity": 20}
MEMORIES = {"none": None, "reference": EpisodicMemory, "bounded": oracle.BoundedMemory}


class Case:
    """A tape, an agent's exploration and its parameters, for the kernel and for the oracle."""

    def __init__(self, kind: str, seed: int, n: int, *, n_comm: int = 4, memory: str = "none"):
        rng = np.random.default_rng(seed)
        self.kind, self.n, self.remembers = KINDS[kind], n, memory
        columns = 9 if self.kind.market else 3
        self.tape = kernels.Tape(
            reward_by_position=rng.normal(0.0, 0.7, (n, columns)).round(1),  # round numbers, so that some values tie
            observation=rng.integers(0, N_CODES, n, np.int32),
            alert=rng.integers(0, 2, n, np.uint8),
        )
        self.action = np.where(rng.random(n) < 0.5, rng.integers(0, 3, n), -1).astype(np.int8)
        self.comm = np.where(rng.random(n) < 0.5, rng.integers(0, n_comm, n), -1).astype(np.int16)
        self.bonus = rng.normal(0.0, 0.1, (2, n_comm)).round(2)
        self.rng, self.n_comm = rng, n_comm

    def learner(self) -> oracle.Learner:
        kind, memory = self.kind, MEMORIES[self.remembers]
        return oracle.Learner(
            market=kind.market,
            allow_short=kind.allow_short,
            n_moods=kind.n_moods,
            clarity=kind.clarity,
            bonus={False: self.bonus[0].tolist(), True: self.bonus[1].tolist()},
            learning_rate=0.3,
            discount=0.9,
            memory=None if memory is None else memory(EPISODIC),
        )

    def rows(self) -> list[oracle.TapeRow]:
        keys = list(product(POSITIONS, repeat=2)) if self.kind.market else POSITIONS
        return [
            oracle.TapeRow(dict(zip(keys, base.tolist(), strict=True)), int(code), bool(alert))
            for base, code, alert in zip(*self.tape, strict=True)
        ]

    def tables(self) -> kernels.Tables:
        return make_tables(self.kind.n_states, self.n_comm)

    def memory(self) -> kernels.Memory:
        settings = EpisodicConfig(enabled=self.remembers != "none", **EPISODIC)
        return make_memory(settings, self.kind.n_states * 3, bounded=self.remembers == "bounded", steps=10_000)

    def learn(self, episode_length: int, chunks: list[int]) -> dict[str, np.ndarray]:
        """Everything the kernel leaves when the tape comes in chunks."""
        tables, memory = self.tables(), self.memory()
        agent, sums = np.zeros(4, np.int64), np.zeros(2)
        totals = np.full(self.n // (episode_length + 1), np.nan)
        seen, reward = np.full(self.n, -9, np.int32), np.full(self.n, np.nan)
        rules = self.kind.rules(self.bonus)
        learner = kernels.Learner(rules, tables, memory, agent, sums, episode_length, 0.3, 0.9)
        ended = 0
        for piece in pieces(self.n, chunks):
            tape = kernels.Tape(*(array[piece] for array in self.tape))
            rows = kernels.Rows(
                action=self.action[piece],
                comm=self.comm[piece],
                steps=np.full(tape.reward_by_position.shape, 9, np.uint8),
                seen=seen[piece],
                reward=reward[piece],
            )
            kernels.mood_steps(tape.reward_by_position, rows.steps)
            before = agent[3]
            ended += kernels.learn_actions(tape, rows, learner, totals[ended:])
            kernels.learn_communication(tape, rows, learner, before)
        assert ended == totals.size
        left = {"agent": agent, "sums": sums, "totals": totals, "seen": seen, "reward": reward}
        return {**tables._asdict(), **memory._asdict(), **left}


CASES = st.builds(
    Case,
    st.sampled_from(sorted(KINDS)),
    SEEDS,
    st.integers(1, 120),
    n_comm=st.sampled_from([1, 2, 4, 5]),
    memory=st.sampled_from(sorted(MEMORIES)),
)


@given(CASES, st.integers(1, 15), CHUNKS)
@example(Case("market", 0, 300), 15, [300])
@example(Case("compat crypto", 1, 300), 15, [300])
@example(Case("synthetic", 2, 300, memory="reference"), 15, [300])
@example(Case("synthetic", 3, 300, memory="bounded"), 15, [300])
@example(Case("many moods", 4, 300), 15, [300])
@example(Case("many states", 5, 300), 15, [300])
@example(Case("many moods", 4, 300, n_comm=5), 15, [300])
def test_learn_actions_and_learn_communication(case, episode_length, chunks):
    made = case.learn(episode_length, chunks)
    learner, kind, rows = case.learner(), case.kind, case.rows()
    walk = oracle.learn_actions(learner, rows, case.action.tolist(), episode_length)
    oracle.learn_communication(learner, rows, walk, case.comm.tolist())
    assert_array_equal(made["totals"], walk.totals)
    states = [kind.index(state) for state in walk.states]
    resets = [t % (episode_length + 1) == 0 for t in range(case.n)]
    assert_array_equal(made["seen"], [~s if reset else s for s, reset in zip(states, resets, strict=True)])
    assert_array_equal(made["reward"], walk.rewards)
    expected = case.tables()
    for name in ("q", "comm_q", "visits"):
        for state, row in getattr(learner, name).items():
            getattr(expected, name)[kind.index(state)] = row
    expected.greedy[:] = expected.q.argmax(axis=1)
    for comm, count in learner.comm_counts.items():
        expected.comm_counts[comm] = count
    for name, table in expected._asdict().items():
        if name != "comm_greedy":
            assert_array_equal(made[name], table, err_msg=name)
    if kind.n_states <= kernels.FEW_STATES or case.n_comm != 4:  # else it is worked out where it is needed
        assert_array_equal(made["comm_greedy"], expected.comm_q.argmax(axis=1))
    done = case.n % (episode_length + 1)
    assert_array_equal(made["agent"], [done, learner.position + 1, learner.mood, kind.index(learner.state)])
    if kind.n_moods == 0 or case.remembers != "none":  # else nothing asks for the PnL
        assert made["sums"][0] == learner.pnl


@given(CASES, st.integers(1, 15), CHUNKS)
@settings(max_examples=examples(50))
def test_a_tape_cut_anywhere_teaches_the_same(case, episode_length, chunks):
    whole, cut, again = (case.learn(episode_length, lengths) for lengths in ([case.n], chunks, [case.n]))
    for name, array in whole.items():
        assert_array_equal(cut[name], array, err_msg=name)
        assert_array_equal(again[name], array, err_msg=name)


def test_learning_worked_by_hand():
    # One state, an episode of two steps: buy, then hold; an alert is right, then wrong.
    base = np.array([[-9.0, -9.0, -9.0], [-1.0, 0.25, 1.0], [-1.0, 0.25, 1.0]])
    tape = kernels.Tape(base, np.zeros(3, np.int32), np.array([0, 1, 0], np.uint8))
    rules = kernels.Rules(np.array(BY_ONE), np.array([1, 1, 0]), 1, 0.2, np.array([[-0.5], [0.5]]))
    tables, memory = make_tables(1, 1), make_memory(None, 0, bounded=False, steps=10_000)
    rows = kernels.Rows(
        action=np.array([-1, 1, 0], np.int8),
        comm=np.full(3, -1, np.int16),
        steps=np.zeros((3, 3), np.uint8),
        seen=np.zeros(3, np.int32),
        reward=np.zeros(3),
    )
    learner = kernels.Learner(rules, tables, memory, np.zeros(4, np.int64), np.zeros(2), 2, 0.5, 0.5)
    totals = np.zeros(1)
    kernels.mood_steps(base, rows.steps)
    assert rows.steps.tolist() == [[2, 2, 2], [2, 0, 1], [2, 0, 1]]
    assert kernels.learn_actions(tape, rows, learner, totals) == 1
    assert totals[0] == 2.0
    assert (rows.seen.tolist(), rows.reward.tolist()) == ([-1, 0, 0], [0.0, 1.0, 1.0])
    kernels.learn_communication(tape, rows, learner, 0)
    assert_array_equal(tables.q, [[0.5 * (1 + 0.5 * 0.5), 0.5, 0.0]])
    assert_array_equal(tables.comm_q, [[0.75 + 0.5 * (0.5 + 0.5 * 0.75 - 0.75)]])
    assert_array_equal(tables.visits, [3])
    assert_array_equal(tables.comm_counts, [2])


def replay(case: Case, q: np.ndarray, comm_q: np.ndarray) -> tuple[np.ndarray, ...]:
    """States, then actions, communications and positions decided on at each row, and the rewards that it brought."""
    return replay_in_pieces(case, q, comm_q, [0, case.n])


def replay_in_pieces(case: Case, q: np.ndarray, comm_q: np.ndarray, cuts: list[int]) -> tuple[np.ndarray, ...]:
    n = case.n
    out = np.full(n, -9), np.full(n, 9, np.int8), np.full(n, 9, np.int16), np.full(n, 9, np.int8), np.full(n, np.nan)
    agent, sums = np.array([0, 1, 0, 1]), np.zeros(2)
    greedy, comm_greedy = np.argmax(q, axis=1).astype(np.int8), np.argmax(comm_q, axis=1).astype(np.int16)
    for piece in (slice(*pair) for pair in pairwise(cuts)):
        tape = kernels.Tape(*(column[piece] for column in case.tape))
        replays.rollout_rows(
            tape, case.kind.rules(case.bonus), greedy, comm_greedy, agent, sums, *(column[piece] for column in out)
        )
    assert sums[1] == sum(out[4][1:].tolist(), 0.0)
    return out


def tables_with_ties(case: Case) -> tuple[np.ndarray, np.ndarray]:
    return tuple(case.rng.integers(-2, 3, (case.kind.n_states, width)) / 4 for width in (3, case.n_comm))


@given(CASES.filter(lambda case: case.kind.n_states <= kernels.MANY_STATES))  # it looks at them all
def test_replay_rows(case):
    q, comm_q = tables_with_ties(case)
    learner, kind = case.learner(), case.kind
    values = [range(-1, size - 1) if name == "position" else range(size) for name, size in kind.digits.items()]
    for digits in product(*values):
        named = dict(zip(kind.digits, digits, strict=True))
        state = tuple(named[name] for name in ("code", "mood", "position") if name in named)
        learner.q[state], learner.comm_q[state] = q[kind.index(state)].tolist(), comm_q[kind.index(state)].tolist()
    ticks, last = oracle_rollout.rollout_rows(learner, case.rows())
    states, action, comm, position, reward = replay(case, q, comm_q)
    assert_array_equal(states, [*(kind.index(tick.state) for tick in ticks), kind.index(last)])
    # The last row is decided on as well; the twin has no row after it to step to.
    for column, k in ((action[:-1], 1), (comm[:-1], 2), (position[:-1], 3), (reward[1:], 4)):
        assert_array_equal(column, [tick[k] for tick in ticks])
    assert (action[-1], comm[-1]) == (np.argmax(q[states[-1]]), np.argmax(comm_q[states[-1]]))
    assert reward[0] == 0.0


@given(CASES, st.data())
@settings(max_examples=examples(50))
def test_a_replay_in_pieces_is_the_whole_one(case, data):
    q, comm_q = tables_with_ties(case)
    cuts = sorted(data.draw(st.lists(st.integers(0, case.n), max_size=4)))
    for piece, whole in zip(
        replay_in_pieces(case, q, comm_q, [0, *cuts, case.n]), replay(case, q, comm_q), strict=True
    ):
        assert_array_equal(piece, whole)


@given(CASES, st.integers(1, 5))
@settings(max_examples=examples(50))
def test_step_episodes(case, n):
    """Episodes side by side, of actions at random, as one after the other."""
    length, kind, rules = case.n // n, case.kind, case.kind.rules(case.bonus)
    if length == 0:
        n, length = 1, case.n
    actions = case.rng.integers(0, 3, (n, length - 1))
    position, mood, state = (np.full(n, 9) for _ in range(3))
    pnl, reward = np.full(n, np.nan), np.full(n, np.nan)
    rows, listed = np.arange(n) * length, case.rows()
    episodes = [listed[first : first + length] for first in rows]
    states, rewards = oracle_rollout.step_episodes(case.learner(), episodes, actions.tolist())
    for tick in range(length):
        action = np.full(n, -1) if tick == 0 else np.ascontiguousarray(actions[:, tick - 1])
        replays.step_episodes(case.tape, rules, rows + tick, action, position, mood, pnl, reward, state)
        assert_array_equal(state, [kind.index(passed[tick]) for passed in states])
        assert_array_equal(reward, [earned[tick] for earned in rewards])


@given(CASES.filter(lambda case: case.n > 1), st.data())
@settings(max_examples=examples(50))
def test_a_replay_knows_nothing_of_later_rows(case, data):
    q, comm_q = tables_with_ties(case)
    whole = replay(case, q, comm_q)
    cut = data.draw(st.integers(1, case.n - 1))
    case.tape.reward_by_position[cut:] *= -2.0
    case.tape.observation[cut:] = N_CODES - 1 - case.tape.observation[cut:]
    for column, before in zip(replay(case, q, comm_q), whole, strict=True):
        assert_array_equal(column[:cut], before[:cut])


@given(CASES.filter(lambda case: case.tape.reward_by_position.shape[1] == 9 and case.kind.n_moods > 0), st.data())
def test_replay_bars(case, data):
    """Of bars as of the rows that are made of them, to the last bit; the twin of one is the twin of the other."""
    n = case.n
    columns = [case.rng.integers(-16, 17, n) / 8 for _ in range(4)]
    weights = np.array([0.7, 0.3, 0.1])
    base = np.empty((n, 9))
    market.market_rows(*columns, weights, base)
    case.tape.reward_by_position[:] = base
    q, comm_q = tables_with_ties(case)
    greedy, comm_greedy = np.argmax(q, axis=1).astype(np.int8), np.argmax(comm_q, axis=1).astype(np.int16)
    out = np.full(n, -9), np.full(n, 9, np.int8), np.full(n, 9, np.int16), np.full(n, 9, np.int8), np.full(n, np.nan)
    agent, sums, cut = np.array([0, 1, 0, 1]), np.zeros(2), data.draw(st.integers(0, n))
    for piece in (slice(0, cut), slice(cut, n)):
        replays.rollout_bars(
            case.tape.observation[piece],
            *(column[piece] for column in columns),
            weights,
            case.kind.rules(case.bonus),
            greedy,
            comm_greedy,
            agent,
            sums,
            *(column[piece] for column in out),
        )
    for column, expected in zip(out, replay(case, q, comm_q), strict=True):
        assert_array_equal(column, expected)


@given(st.lists(eighths(1), min_size=9, max_size=9), st.integers(0, 6))
def test_best3_and_max3(values, at):
    assert kernels.best3(np.array(values), at) == oracle.best3(values, at)
    assert kernels.max3(np.array(values), at) == oracle.max3(values, at)


@given(st.lists(eighths(1), min_size=9, max_size=9), st.integers(1, 6), st.integers(0, 3))
@example([1.0] * 9, 4, 0)
@example([0.0, 1.0, 1.0, 0.0] * 2, 4, 0)
@example([0.0, 0.0, 0.0, 1.0] * 2, 4, 0)
def test_best_of_and_max_of(values, n, at):
    assert kernels.best_of(np.array(values), at, n) == oracle.best_of(values, at, n)
    assert kernels.max_of(np.array(values), at, n) == oracle.max_of(values, at, n)


NEAR = st.sampled_from([0.5, -0.2, 0.0, -0.0]).flatmap(
    lambda x: st.sampled_from([x, np.nextafter(x, 9.0), np.nextafter(x, -9.0)])
)


@given(st.lists(NEAR | st.floats(-2, 2), min_size=3, max_size=30), st.sampled_from([1, 3]))
def test_mood_steps(values, width):
    base = np.array(values[: len(values) // width * width]).reshape(-1, width)
    steps = np.full(base.shape, 9, np.uint8)
    kernels.mood_steps(base, steps)
    assert steps.tolist() == oracle.mood_steps(base.tolist())


@given(st.integers(0, 4), st.floats(-2, 2), st.floats(-2, 2), st.integers(0, 3))
@example(0, 0.0, 0.5, 1)
@example(1, 0.0, -0.2, 1)
@example(0, -0.0, 0.0, 0)
@example(0, -1e-300, 0.0, 0)
def test_next_mood(mood, pnl, base, spare):
    for n_moods in (0, mood + 1 + spare):
        assert kernels.next_mood(mood, pnl, base, n_moods) == oracle.next_mood(mood, pnl, base, n_moods)


@pytest.mark.parametrize(
    ("base", "mood"), [(0.5, 2), (np.nextafter(0.5, 1), 3), (-0.2, 2), (np.nextafter(-0.2, -1), 1)]
)
def test_a_mood_moves_beyond_its_bounds_only(base, mood):
    assert kernels.next_mood(2, 0.0, base, 5) == mood
    assert kernels.mood_step(base) == oracle.mood_step(base) == mood - 2


@pytest.mark.parametrize("n_moods", [0, 1, 4])
def test_reset_mood(n_moods):
    assert kernels.reset_mood(n_moods) == oracle.reset_mood(n_moods)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.floats(-1e6, 1e6)), min_size=1, max_size=40),
    st.integers(1, 5),
    st.floats(0.01, 1),
    st.floats(0, 1),
    st.none() | st.integers(1, 12),
)
def test_remember(targets, k, decay, alpha, capacity):
    settings = EpisodicConfig(enabled=True, k=k, decay=decay, blend_alpha=alpha, capacity=capacity or 1)
    memory = make_memory(settings, 3, bounded=capacity is not None, steps=10_000)
    about = {"k": k, "decay": decay, "blend_alpha": alpha, "capacity": capacity}
    twin = EpisodicMemory(about) if capacity is None else oracle.BoundedMemory(about)
    for entry, target in targets:
        assert kernels.remember(memory, entry, target) == oracle.remember(twin, ((0,), entry), target)
