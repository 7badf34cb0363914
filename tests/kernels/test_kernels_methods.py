"""Learning methods and schedules against their definitions on tables of tuples, over tapes cut anywhere."""

import math
from functools import cache
from itertools import product
from unittest import mock

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, SEEDS, pieces
from numpy.testing import assert_allclose, assert_array_equal
from test_kernels_blocks import draws

from idi_fast.agents import learner as learner_module
from idi_fast.agents.learner import Agent, exploration_step, make_method, make_progress, make_tables
from idi_fast.config.settings import TrainingConfig
from idi_fast.environments.state_space import StateSpace, comm_columns, make_rules
from idi_fast.kernels import methods as kernels
from idi_fast.kernels.learn import Tape
from oracle import learn
from oracle import methods as oracle

ROWS, LENGTH, INITIAL = 130, 9, 0.25
ALGORITHMS = ("q_learning", "double_q_learning", "expected_sarsa", "q_lambda")


def config(kind: str = "synthetic", engine: str = "sfc64", **learning) -> TrainingConfig:
    return TrainingConfig.from_dict(
        {
            "episodes": ROWS // (LENGTH + 1),
            "episode_length": LENGTH,
            "exploration_decay": 0.8,
            "discount": 0.9,
            "environment": {"kind": kind},
            "engine": {"rng": engine},
            "quantizer": {"price_buckets": 1, "volume_buckets": 2, "trend_buckets": 1, "mood_buckets": 2},
            "learning": {"rate_delay": 3.0, "exploration_visits": 5.0, "initial_value": INITIAL, **learning},
        }
    )


def oracle_settings(setup: TrainingConfig) -> oracle.Settings:
    about = setup.learning.to_dict()
    names = ("algorithm", "rate_schedule", "rate_delay", "rate_power", "exploration_schedule", "exploration_visits")
    return oracle.Settings(
        **{name: about[name] for name in (*names, "exploration_floor")},
        exploration_step=exploration_step(setup),
        exploration_decay=setup.exploration_decay,
        trace=setup.learning.trace_decay * setup.discount,
    )


LEARNING = st.fixed_dictionaries(
    {
        "rate_schedule": st.sampled_from(["constant", "visits", "episodes"]),
        "exploration_schedule": st.sampled_from(["decay", "linear", "visits"]),
        "rate_power": st.sampled_from([0.6, 1.0]),
        "exploration_floor": st.sampled_from([0.0, 0.05, 1.0]),
        "trace_decay": st.sampled_from([0.0, 0.3, 0.95]),
    }
)


TILES = st.none() | st.fixed_dictionaries(
    {
        "num_tilings": st.integers(1, 3),
        "tiling": st.sampled_from(["reference", "displaced"]),
        "table_size": st.sampled_from([40, 1000]),
    }
)


@pytest.mark.parametrize("kind", ["synthetic", "crypto"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@settings(max_examples=examples(25))
@given(seed=SEEDS, chunks=CHUNKS, engine=st.sampled_from(["sfc64", "mt19937"]), learning=LEARNING, tiles=TILES)
def test_learn_by_method(algorithm, kind, seed, chunks, engine, learning, tiles):
    setup = config(kind, engine, algorithm=algorithm, **learning)
    if tiles is not None:
        coder = {"tile_sizes": [1, 2, 1, 4, 1], **tiles}
        setup = TrainingConfig.from_dict({**setup.to_dict(), "tile_coder": coder})
    space = StateSpace.of(setup)
    rules, (generator, numbers) = make_rules(setup, space), draws(engine, seed)
    agent = Agent(setup, space, rules, generator)
    rng = np.random.default_rng(seed)
    with mock.patch.object(learner_module, "RATES", 4):  # of the rates some are looked up, some worked out
        method = make_method(setup)
    ways = list(product((-1, 0, 1), repeat=2)) if space.is_market else [-1, 0, 1]
    tape = Tape(
        rng.normal(0.0, 0.7, (ROWS, len(ways))).round(1),
        rng.integers(0, 3, ROWS, np.int32),
        rng.integers(0, 2, ROWS, np.uint8),
    )
    totals, ended = np.full(ROWS // (LENGTH + 1), np.nan), 0
    # Not through `Agent.learn`, which has kernels of its own for the plain method.
    progress = make_progress(setup, method, agent.tables, agent.layout.n_tilings)
    for piece in pieces(ROWS, chunks):
        words = np.empty((piece.stop - piece.start, 2), np.uint64)
        generator.words64(words)
        part = Tape(*(array[piece] for array in tape))
        first = np.empty((part.observation.size, agent.layout.n_tilings), np.int32)
        agent.layout.rows(part.observation, first)
        ended += kernels.learn_by_method(
            part,
            first,
            agent.layout.places,
            agent.explorer,
            agent.learner,
            method,
            progress,
            words,
            totals[ended:],
        )
    assert ended == totals.size

    wrong, right = rules.comm_bonus.tolist()
    learner = learn.Learner(
        market=space.is_market,
        allow_short=True,
        n_moods=rules.n_moods,
        clarity=rules.clarity,
        bonus={False: wrong, True: right},
        learning_rate=setup.learning_rate,
        discount=setup.discount,
    )
    state_of = oracle.LearningState()
    layout = agent.layout
    for table in (learner.q, state_of.other):
        table.default_factory = lambda: [INITIAL / layout.n_tilings] * 3
    rows = [
        learn.TapeRow(dict(zip(ways, base, strict=True)), code, bool(alert))
        for base, code, alert in zip(*(array.tolist() for array in tape), strict=True)
    ]

    @cache
    def keys_of(state: tuple[int, ...]) -> list[int]:
        code, mood, *position = state
        where = [code, mood, *(place + 1 for place in position)]
        return layout.state_rows(np.array([np.dot(where, rules.strides[: len(where)])]))[0].tolist()

    expected = oracle.learn_by_method(
        learner,
        oracle_settings(setup),
        state_of,
        rows,
        numbers.pairs(ROWS),
        comm_columns(setup)[1].tolist(),
        LENGTH,
        keys_of,
    )
    assert_array_equal(totals, expected)
    assert progress.episode[0] == state_of.episode
    assert layout.n_rows <= (space.n_states if tiles is None else tiles["table_size"])

    untrained = make_tables(layout.n_rows, rules.comm_bonus.shape[1], INITIAL / layout.n_tilings)
    found = [
        (agent.tables.q, learner.q, untrained.q),
        (agent.tables.comm_q, learner.comm_q, untrained.comm_q),
        (agent.tables.visits, learner.visits, untrained.visits),
    ]
    if algorithm == "double_q_learning":
        found.append((progress.other, state_of.other, untrained.q))
    if setup.learning.rate_schedule == "visits":
        for made, counts in ((progress.updates, state_of.updates), (progress.other_updates, state_of.other_updates)):
            assert counts == {(row, action): made[row, action] for row, action in np.argwhere(made).tolist()}
    for made, table, blank in found:
        for state, values in table.items():
            blank[state] = values
        assert_array_equal(made, blank)
    assert agent.tables.comm_counts.tolist() == [learner.comm_counts[k] for k in range(learner.n_comm)]
    if algorithm == "q_lambda":
        n = progress.n_traces[0]
        traces = dict(zip(progress.trace_entry[:n].tolist(), progress.trace_weight[:n].tolist(), strict=True))
        assert traces == {row * 3 + action: trace for (row, action), trace in state_of.traces.items()}


def test_each_of_two_tables_learns_by_its_own_updates():
    # At a rate of 1 / (n + 1) a value is the mean of its targets: where these are all alike, each table's is one.
    learning = {"algorithm": "double_q_learning", "rate_schedule": "visits", "rate_delay": 1.0, "rate_power": 1.0}
    setup = TrainingConfig.from_dict(
        {
            **config(**learning, exploration_floor=1.0).to_dict(),
            "learning_rate": 1.0,
            "discount": 1e-12,
            "episodes": 20,
            "quantizer": {f"{name}_buckets": 1 for name in ("price", "volume", "trend", "scarcity", "mood")},
        }
    )
    space, rows = StateSpace.of(setup), 20 * (LENGTH + 1)
    agent = Agent(setup, space, make_rules(setup, space), draws("sfc64", 1)[0])
    tape = Tape(np.full((rows, 3), 2.0), np.zeros(rows, np.int32), np.zeros(rows, np.uint8))
    agent.learn(tape, np.empty(20))
    updates = [agent.state[f"progress.{name}"] for name in ("updates", "other_updates")]
    assert sum(count.sum() for count in updates) == 20 * LENGTH
    assert all((count > 5).all() for count in updates)
    assert_allclose([agent.tables.q, agent.state["progress.other"]], 2.0)


@given(st.floats(1e-6, 1), st.integers(0, 10**9), st.floats(1e-3, 1e6), st.floats(0.01, 1))
def test_falling_rate(rate, n, delay, power):
    assert kernels.falling_rate(rate, n, delay, power) == oracle.falling_rate(rate, n, delay, power)


@pytest.mark.parametrize("n", [0, 1, learner_module.RATES - 1, learner_module.RATES, 10**6])
def test_rate_after(n):
    setup = config(rate_schedule="visits", rate_power=0.7)
    found = kernels.rate_after(setup.learning_rate, n, make_method(setup))
    assert found == oracle.rate_after(setup.learning_rate, n, oracle_settings(setup))


def test_a_rate_halves_where_its_power_is_one_and_its_delay_over():
    assert kernels.falling_rate(0.2, 100, 100.0, 1.0) == pytest.approx(0.1)
    rates = [kernels.falling_rate(0.2, n, 10.0, 0.8) for n in range(50)]
    assert rates[0] == 0.2
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("schedule", ["decay", "linear", "visits"])
@given(episode=st.integers(0, 40), visits=st.integers(0, 1000), floor=st.sampled_from([0.0, 0.05]))
def test_exploration_rate(schedule, episode, visits, floor):
    setup = config(exploration_schedule=schedule, exploration_floor=floor)
    method, tables = make_method(setup), make_tables(1, 1)
    progress = make_progress(setup, method, tables)
    progress.episode[0] = episode
    expected = oracle.exploration_rate(oracle_settings(setup), oracle.LearningState(episode=episode), visits)
    exploration = oracle.decayed(setup.exploration_decay, episode)
    assert kernels.exploration_rate(method, progress, exploration, floor, visits) == expected


def test_a_linear_exploration_is_at_its_floor_when_its_share_is_over():
    setup = config(exploration_schedule="linear", exploration_share=0.5, exploration_floor=0.1)
    progress = make_progress(setup, make_method(setup), make_tables(1, 1))
    for episode, rate in ((0, 1.0), (setup.episodes / 2, 0.1), (setup.episodes, 0.1)):
        progress.episode[0] = math.ceil(episode)
        assert kernels.exploration_rate(make_method(setup), progress, 1.0, 0.1, 0) == pytest.approx(rate, abs=0.08)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.floats(-2, 2), st.floats(0, 1)), min_size=1, max_size=60),
    st.sampled_from([0.0, 0.3, 0.95]),
    st.integers(1, 3),
)
def test_update_traces(steps, trace_decay, n_tilings):
    setup = config(algorithm="q_lambda", trace_decay=trace_decay).to_dict()
    setup = TrainingConfig.from_dict({**setup, "episode_length": 60})
    method, q, twin = make_method(setup), np.zeros(15), {k: [0.0] * 3 for k in range(5)}
    progress, state = make_progress(setup, method, make_tables(5, 1), n_tilings), oracle.LearningState()
    for entry, error, rate in steps:
        here = (entry + np.arange(n_tilings)) % 5
        kernels.update_traces(q, method, progress, here, entry % 3, error, rate, np.zeros(0, np.int64))
        entries = [(key, entry % 3) for key in here.tolist()]
        oracle.update_traces(twin, oracle_settings(setup), state, entries, error, rate)
    assert q.reshape(5, 3).tolist() == list(twin.values())
