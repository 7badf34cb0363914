"""Whole training in one call: any engine, cut into calls and blocks anywhere, against the twins of its parts."""

import random

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, SEEDS, pieces
from numpy.testing import assert_array_equal

from idi_fast.agents.learner import Agent
from idi_fast.config.settings import TrainingConfig
from idi_fast.environments.environment import SyntheticEnvironment
from idi_fast.environments.rewards import reward_weights
from idi_fast.environments.rng import MersenneTwister, Sfc64
from idi_fast.environments.state_space import StateSpace, comm_columns, make_rules
from idi_fast.kernels.learn import Tape
from oracle import blocks as oracle
from oracle import engine as twin
from oracle import learn

ENGINES = {"sfc64": {}, "mt19937": {"rng": "mt19937"}, "compat": {"compat": "idi_iann"}}
LENGTH, ROWS = 9, 130


def config(engine: str, kind: str = "synthetic") -> TrainingConfig:
    return TrainingConfig.from_dict(
        {
            "episodes": ROWS,
            "episode_length": LENGTH,
            "exploration_decay": 0.8,
            "engine": ENGINES[engine],
            "environment": {"kind": kind},
            "quantizer": {"price_buckets": 3, "mood_buckets": 2},
        }
    )


def draws(engine: str, seed: int) -> tuple[MersenneTwister | Sfc64, oracle.Draws]:
    """A generator, and the twin's."""
    if engine == "sfc64":
        sequence = np.random.SeedSequence(seed)
        return Sfc64(sequence), oracle.Draws(twin.generators(sequence), False)
    return MersenneTwister(seed), oracle.Draws(random.Random(seed), engine == "compat")


class Agents:
    """An agent, and the twin's."""

    def __init__(self, setup: TrainingConfig, engine: str, seed: int):
        self.space = StateSpace.of(setup)
        self.rules = make_rules(setup, self.space)
        generator, self.draws = draws(engine, seed)
        self.agent = Agent(setup, self.space, self.rules, generator)
        wrong, right = self.rules.comm_bonus.tolist()
        self.learner = learn.Learner(
            market=self.space.is_market,
            allow_short=True,
            n_moods=self.rules.n_moods,
            clarity=self.rules.clarity,
            bonus={False: wrong, True: right},
            learning_rate=setup.learning_rate,
            discount=setup.discount,
        )
        columns = comm_columns(setup)[1].tolist()
        self.schedule = oracle.Schedule(1.0, setup.exploration_decay, setup.learning.exploration_floor, columns)

    def index(self, state: tuple[int, ...]) -> int:
        code, mood, *position = state
        where = [code, mood, *(place + 1 for place in position)]
        return int(np.dot(where, self.rules.strides[: len(where)]))

    def assert_alike(self, totals: np.ndarray, walk: learn.Walk, rate: float) -> None:
        assert_array_equal(totals, walk.totals)
        assert self.agent.state["exploration"][0] == rate
        for name in ("q", "comm_q", "visits"):
            expected = np.zeros_like(getattr(self.agent.tables, name))
            for state, row in getattr(self.learner, name).items():
                expected[self.index(state)] = row
            assert_array_equal(getattr(self.agent.tables, name), expected, err_msg=name)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=examples(20))
@given(seed=SEEDS, chunks=CHUNKS)
def test_synthetic_tape(engine, seed, chunks):
    setup = config(engine)
    generator, market = draws(engine, seed)
    environment, tapes = SyntheticEnvironment(setup, generator), []
    for piece in pieces(ROWS, chunks):
        n = piece.stop - piece.start
        tape = environment.fill(n)
        tapes.append([array.copy() for array in (*tape, environment.source(n).drift)])
    buckets = StateSpace.of(setup).sizes[:4]
    expected = oracle.synthetic_block(market, ROWS, LENGTH, buckets, reward_weights(setup))
    columns = [np.concatenate(parts) for parts in zip(*tapes, strict=True)]
    for made, column in zip(columns, zip(*expected, strict=True), strict=True):
        assert_array_equal(made, column)


@pytest.mark.parametrize("kind", ["synthetic", "crypto"])
@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=examples(10))
@given(seed=SEEDS, chunks=CHUNKS)
def test_learn_block(engine, kind, seed, chunks):
    setup = config(engine, kind)
    agents = Agents(setup, engine, seed)
    rng = np.random.default_rng(seed)
    ways = [(old, new) for old in (-1, 0, 1) for new in (-1, 0, 1)] if agents.space.is_market else (-1, 0, 1)
    tape = Tape(
        rng.normal(0.0, 0.7, (ROWS, len(ways))).round(1),
        rng.integers(0, 4, ROWS, np.int32),
        rng.integers(0, 2, ROWS, np.uint8),
    )
    totals = np.full(ROWS // (LENGTH + 1), np.nan)
    ended = 0
    for piece in pieces(ROWS, chunks):
        ended += agents.agent.learn(Tape(*(array[piece] for array in tape)), totals[ended:])
    rows = [
        learn.TapeRow(dict(zip(ways, base, strict=True)), code, bool(alert))
        for base, code, alert in zip(*(array.tolist() for array in tape), strict=True)
    ]
    walk, rate = oracle.learn_block(agents.learner, rows, agents.draws, agents.schedule, LENGTH)
    assert ended == totals.size
    agents.assert_alike(totals, walk, rate)


@pytest.mark.parametrize("engine", ["sfc64", "compat"])
@settings(max_examples=examples(15))
@given(seed=SEEDS, chunks=CHUNKS, block=st.integers(1, 40))
def test_learn_synthetic(engine, seed, chunks, block):
    setup = config(engine)
    generator, market = draws(engine, seed)
    agents, environment = Agents(setup, engine, seed + 1), SyntheticEnvironment(setup, generator)
    totals = np.full(ROWS // (LENGTH + 1), np.nan)
    ended = 0
    for piece in pieces(ROWS, chunks):
        ended += agents.agent.learn_synthetic(environment.source(block), piece.stop - piece.start, totals[ended:])
    buckets, weights = agents.space.sizes[:4], reward_weights(setup)
    walk, rate = oracle.learn_synthetic(
        agents.learner, market, agents.draws, ROWS, LENGTH, buckets, weights, agents.schedule
    )
    assert ended == totals.size
    agents.assert_alike(totals, walk, rate)
