"""Training, a block of rows at a time, in one call: between calls a thread has to wait for the interpreter's lock.

What a block takes is kept together here, so that every environment and engine calls the same compiled observation.
"""

from typing import NamedTuple

import numpy as np

from idi_fast.kernels._jit import kernel
from idi_fast.kernels.learn import STATE, Rows, Tape, learn_actions, learn_communication, mood_steps
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


class Explorer(NamedTuple):
    """How an agent explores, as in `tape_mt19937.exploration_draws`.

    stream; is_compat bool: draw as the reference does; phase int64 (1,); exploration float64 (1,); decay, floor
    float64; comm_column int64.
    """

    stream: Stream
    is_compat: bool
    phase: np.ndarray
    exploration: np.ndarray
    decay: float
    floor: float
    comm_column: np.ndarray


class Workspace(NamedTuple):
    """The arrays that an agent works out n rows in: words uint64 (n, 2), random; rows."""

    words: np.ndarray
    rows: Rows


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
def learn_block(tape, explorer, learner, space, totals):
    """Explore and train both tables over all rows of a tape; return how many episodes ended.

    space: a `Workspace` of as many rows or more; totals as in `learn.learn_actions`.
    Mutates: explorer, learner, space, totals.
    """
    n, own = tape.observation.size, space.rows
    rows = Rows(own.action[:n], own.comm[:n], own.steps[:n], own.seen[:n], own.reward[:n])
    if explorer.is_compat:
        exploration_draws(
            explorer.stream.mt,
            explorer.phase,
            learner.episode_length,
            explorer.exploration,
            explorer.decay,
            explorer.floor,
            explorer.comm_column,
            rows.action,
            rows.comm,
        )
    else:
        words = space.words[:n]
        words64(explorer.stream, words.reshape(-1))
        exploration_rows(
            words,
            explorer.phase,
            learner.episode_length,
            explorer.exploration,
            explorer.decay,
            explorer.floor,
            explorer.comm_column,
            rows.action,
            rows.comm,
        )
    if learner.rules.n_moods > 0:
        mood_steps(tape.reward_by_position, rows.steps)
    before = learner.agent[STATE]
    ended = learn_actions(tape, rows, learner, totals)
    learn_communication(tape, rows, learner, before)
    return ended


@kernel
def learn_synthetic(source, explorer, learner, space, n, totals):
    """Train over the next n rows of a `Synthetic`, as many at a time as it has arrays for; return how many episodes
    ended. Arguments else as in `learn_block`. Mutates: source, explorer, learner, space, totals."""
    ended, row = 0, 0
    while row < n:
        tape = synthetic_block(source, min(source.observation.size, n - row))
        ended += learn_block(tape, explorer, learner, space, totals[ended:])
        row += tape.observation.size
    return ended
