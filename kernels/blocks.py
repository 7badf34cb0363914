"""Training, a block of rows at a time, in one call: between calls a thread has to wait for the interpreter's lock.

What a block takes is kept together here, so that every environment and engine calls the same compiled observation.
"""

from typing import NamedTuple

import numpy as np

from idi_fast.kernels._jit import kernel
from idi_fast.kernels.learn import STATE, Memory, Rules, Tables, Tape, learn_actions, learn_communication, mood_steps
from idi_fast.kernels.rng import Stream, words64
from idi_fast.kernels.tape_mt19937 import exploration_draws, synthetic_tape
from idi_fast.kernels.tape_words import exploration_rows, synthetic_rows


class Synthetic(NamedTuple):
    """The synthetic environment, and the arrays that n of its rows are made in.

    stream; is_compat bool: draw as the reference does; episode_length int64; the rest as in
    `tape_mt19937.synthetic_tape` and `tape_words.synthetic_rows`. Of accepted, phase and words, those that the mode has
    no use for may have no size.
    """

    stream: Stream
    is_compat: bool
    episode_length: int
    accepted: np.ndarray
    phase: np.ndarray
    buckets: np.ndarray
    weights: np.ndarray
    words: np.ndarray
    reward_by_position: np.ndarray
    observation: np.ndarray
    alert: np.ndarray
    drift: np.ndarray


class Learner(NamedTuple):
    """An agent: how it explores, as in `tape_mt19937.exploration_draws`, and how and what it learns, as in `learn`.

    stream; is_compat bool: draw as the reference does; phase int64 (1,); exploration float64 (1,); decay, floor
    float64; comm_column int64; agent int64 (4,); sums float64 (2,); episode_length int64; learning_rate, discount
    float64.
    """

    stream: Stream
    is_compat: bool
    phase: np.ndarray
    exploration: np.ndarray
    decay: float
    floor: float
    comm_column: np.ndarray
    rules: Rules
    tables: Tables
    memory: Memory
    agent: np.ndarray
    sums: np.ndarray
    episode_length: int
    learning_rate: float
    discount: float


class Workspace(NamedTuple):
    """The arrays that an agent works out n rows in: words uint64 (n, 2), action int8, comm int16, steps uint8 (n, 3 or
    9), seen int32, reward float64; see `learn`."""

    words: np.ndarray
    action: np.ndarray
    comm: np.ndarray
    steps: np.ndarray
    seen: np.ndarray
    reward: np.ndarray


@kernel(splice=True)
def synthetic_block(source, n):
    """The next n rows of a `Synthetic` as a tape, views of its arrays. Mutates: source."""
    rewards, observation = source.reward_by_position[:n], source.observation[:n]
    alert, drift = source.alert[:n], source.drift[:n]
    if source.is_compat:
        synthetic_tape(
            source.stream.mt,
            source.accepted,
            source.phase,
            source.episode_length,
            source.buckets,
            source.weights,
            rewards,
            observation,
            alert,
            drift,
        )
    else:
        words = source.words[:n]
        words64(source.stream, words.reshape(-1))
        synthetic_rows(words, source.buckets, source.weights, rewards, observation, alert, drift)
    return Tape(rewards, observation, alert)


@kernel(splice=True)
def learn_block(tape, learner, space, totals):
    """Explore and train both tables over all rows of a tape; return how many episodes ended.

    space: a `Workspace` of as many rows or more; totals as in `learn.learn_actions`.
    Mutates: learner, space, totals.
    """
    n, rules, tables = tape.observation.size, learner.rules, learner.tables
    action, comm, steps = space.action[:n], space.comm[:n], space.steps[:n]
    seen, reward = space.seen[:n], space.reward[:n]
    length, rate, discount = learner.episode_length, learner.learning_rate, learner.discount
    if learner.is_compat:
        exploration_draws(
            learner.stream.mt,
            learner.phase,
            length,
            learner.exploration,
            learner.decay,
            learner.floor,
            learner.comm_column,
            action,
            comm,
        )
    else:
        words = space.words[:n]
        words64(learner.stream, words.reshape(-1))
        exploration_rows(
            words,
            learner.phase,
            length,
            learner.exploration,
            learner.decay,
            learner.floor,
            learner.comm_column,
            action,
            comm,
        )
    if rules.n_moods > 0:
        mood_steps(tape.reward_by_position, steps)
    before = learner.agent[STATE]
    ended = learn_actions(
        tape,
        steps,
        rules,
        tables,
        learner.memory,
        learner.agent,
        learner.sums,
        action,
        length,
        rate,
        discount,
        seen,
        reward,
        totals,
    )
    learn_communication(tape.alert, seen, reward, rules.comm_bonus, tables, before, comm, rate, discount)
    return ended


@kernel
def learn_synthetic(source, learner, space, n, totals):
    """Train over the next n rows of a `Synthetic`, as many at a time as it has arrays for; return how many episodes
    ended. Arguments else as in `learn_block`. Mutates: source, learner, space, totals."""
    ended, row = 0, 0
    while row < n:
        tape = synthetic_block(source, min(source.observation.size, n - row))
        ended += learn_block(tape, learner, space, totals[ended:])
        row += tape.observation.size
    return ended
