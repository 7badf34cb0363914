"""Training, a block of rows at a time, in one call: between calls a thread has to wait for the interpreter's lock.

Each kind of learner has a kernel of its own, compiled when it is needed, so that nothing is compiled that a run has no
use for.
"""

from itertools import product
from typing import NamedTuple

import numpy as np

from idi_fast.kernels._jit import kernel, variant
from idi_fast.kernels.learn import (
    STATE,
    Learner,
    Rows,
    Tape,
    learn_any_actions,
    learn_any_communication,
    learn_four_communications,
    learn_plain_actions,
    mood_steps,
)
from idi_fast.kernels.rng import Stream, sfc64_words64
from idi_fast.kernels.tape_mt19937 import exploration_draws, synthetic_tape
from idi_fast.kernels.tape_words import exploration_rows, synthetic_rows


class Synthetic(NamedTuple):
    """The synthetic environment, and the arrays that n of its rows are made in.

    stream; episode_length int64; the rest as in `tape_mt19937.synthetic_tape` and `tape_words.synthetic_rows`. Of
    accepted, phase and words, those that the mode has no use for may have no size.
    """

    stream: Stream
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
def _synthetic_rows(source, n, is_compat):
    """The next n rows of a `Synthetic` as a tape, views of its arrays. Mutates: source."""
    rewards, observation = source.reward_by_position[:n], source.observation[:n]
    alert, drift = source.alert[:n], source.drift[:n]
    if is_compat:
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
        sfc64_words64(source.stream.sfc, words.reshape(-1))
        synthetic_rows(words, source.buckets, source.weights, rewards, observation, alert, drift)
    return Tape(rewards, observation, alert)


@kernel(splice=True)
def _learn_rows(tape, explorer, learner, space, totals, is_compat, is_plain, is_one_of_four):
    """Explore and train both tables over all rows of a tape; return how many episodes ended. Of a workspace's words
    those of the rows have been made, but under compat. Mutates: explorer, learner, space, totals."""
    n, own = tape.observation.size, space.rows
    rows = Rows(own.action[:n], own.comm[:n], own.steps[:n], own.seen[:n], own.reward[:n])
    if is_compat:
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
        exploration_rows(
            space.words[:n],
            explorer.phase,
            learner.episode_length,
            explorer.exploration,
            explorer.decay,
            explorer.floor,
            explorer.comm_column,
            rows.action,
            rows.comm,
        )
    before = learner.agent[STATE]
    if is_plain:
        mood_steps(tape.reward_by_position, rows.steps)
        ended = learn_plain_actions(tape, rows, learner, totals)
    else:
        ended = learn_any_actions(tape, rows, learner, totals)
    if is_one_of_four:
        learn_four_communications(tape, rows, learner, before)
    else:
        learn_any_communication(tape, rows, learner, before)
    return ended


def _block_kernel(is_compat, is_plain, is_one_of_four):
    def learn_block(tape, explorer, learner, space, totals):
        return _learn_rows(tape, explorer, learner, space, totals, is_compat, is_plain, is_one_of_four)

    return variant(learn_block, is_compat, is_plain, is_one_of_four)


def _synthetic_kernel(is_compat, is_plain, is_one_of_four):
    def learn_synthetic(source, explorer, learner, space, n, totals):
        ended, row = 0, 0
        while row < n:
            tape = _synthetic_rows(source, min(source.observation.size, n - row), is_compat)
            if not is_compat:
                sfc64_words64(explorer.stream.sfc, space.words[: tape.observation.size].reshape(-1))
            ended += _learn_rows(tape, explorer, learner, space, totals[ended:], is_compat, is_plain, is_one_of_four)
            row += tape.observation.size
        return ended

    return variant(learn_synthetic, is_compat, is_plain, is_one_of_four)


KERNELS = {kind: _block_kernel(*kind) for kind in product((False, True), repeat=3)}
SYNTHETIC_KERNELS = {kind: _synthetic_kernel(*kind) for kind in product((False, True), repeat=3)}


def learn_block(tape, explorer, learner, space, totals) -> int:
    """Explore and train both tables over all rows of a tape; return how many episodes ended.

    space: a `Workspace` of as many rows or more, whose words of these rows have been made, but for an explorer that
    draws as the reference does; totals as in `learn.learn_actions`. Mutates: explorer, learner, space, totals.
    """
    return KERNELS[_kind(explorer, learner)](tape, explorer, learner, space, totals)


def learn_synthetic(source, explorer, learner, space, n, totals) -> int:
    """Train over the next n rows of a `Synthetic`, as many at a time as it has arrays for; return how many episodes
    ended. Both draw as the reference does or from SFC64. Arguments else as in `learn_block`, but that words are made
    here. Mutates: source, explorer, learner, space, totals."""
    return SYNTHETIC_KERNELS[_kind(explorer, learner)](source, explorer, learner, space, n, totals)


def _kind(explorer: Explorer, learner: Learner) -> tuple[bool, bool, bool]:
    return explorer.is_compat, learner.is_plain, learner.says_one_of_four
