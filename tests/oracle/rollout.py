"""The greedy replay of a learner's tables, a step at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .learn import Learner, State, TapeRow, best3, best_of


class Tick(NamedTuple):
    """A greedy step: where it began, what was done, and the position and reward that followed."""

    state: State
    action: int
    comm: int
    position: int
    reward: float


def rollout_bars(learner: Learner, rows: Sequence[TapeRow]) -> tuple[list[Tick], State]:
    """The same as of rows: to the twin a bar is one, with all its rewards."""
    return rollout_rows(learner, rows)


def rollout_rows(learner: Learner, rows: Sequence[TapeRow]) -> tuple[list[Tick], State]:
    """Follow a learner's greedy actions over one episode; its ticks and the state it ends in."""
    ticks = []
    learner.reset(rows[0])
    for row in rows[1:]:
        state = learner.state
        action, comm = best3(learner.q[state], 0), best_of(learner.comm_q[state], 0, learner.n_comm)
        reward = learner.step(row, action)
        ticks.append(Tick(state, action, comm, learner.position, reward))
    return ticks, learner.state


def step_episodes(
    learner: Learner, episodes: Sequence[Sequence[TapeRow]], actions: Sequence[Sequence[int]]
) -> tuple[list[list[State]], list[list[float]]]:
    """One episode after the other, each with the actions given for it: their states at every row, and the rewards."""
    states, rewards = [], []
    for rows, taken in zip(episodes, actions, strict=True):
        learner.reset(rows[0])
        passed, earned = [learner.state], [0.0]
        for row, action in zip(rows[1:], taken, strict=True):
            earned.append(learner.step(row, action))
            passed.append(learner.state)
        states.append(passed)
        rewards.append(earned)
    return states, rewards
