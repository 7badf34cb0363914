"""Tabular Q-learning with dicts: a state is a tuple, a table the rows that were looked up, a position −1, 0 or 1."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .reference import MOOD_FALLS_BELOW, MOOD_RISES_ABOVE, EpisodicMemory

HOLD, BUY, SELL = range(3)
State = tuple[int, ...]


class TapeRow(NamedTuple):
    """base: reward before the mood term by new position, on a market by (old, new); code; whether an alert is right."""

    reward_by_position: Any
    observation: int
    alert: bool


@dataclass
class Learner:
    """An agent and what it has learnt.

    market: an action names the position, which is then part of the state; else it moves the position by one.
    n_moods: 0 where the mood is the sign of the PnL. bonus: by alert, the reward added for each communication.
    """

    market: bool
    allow_short: bool
    n_moods: int
    clarity: float
    bonus: dict[bool, Sequence[float]]
    learning_rate: float
    discount: float
    memory: EpisodicMemory | None = None
    visits: Counter[State] = field(default_factory=Counter)
    comm_counts: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.n_comm = len(self.bonus[True])
        self.q: dict[State, list[float]] = defaultdict(lambda: [0.0] * 3)
        self.comm_q: dict[State, list[float]] = defaultdict(lambda: [0.0] * self.n_comm)

    def reset(self, row: TapeRow) -> None:
        """Flat, in the lowest mood or with a PnL of 0."""
        self.position, self.pnl = 0, 0.0
        self.mood = reset_mood(self.n_moods)
        self.arrive(row)

    def arrive(self, row: TapeRow) -> None:
        """The state that is seen now."""
        self.state: State = (row.observation, self.mood, self.position) if self.market else (row.observation, self.mood)

    def step(self, row: TapeRow, action: int) -> float:
        """Act; the reward."""
        old = self.position
        lowest = -1 if self.allow_short else 0
        if self.market:
            self.position = {HOLD: old, BUY: 1, SELL: lowest}[action]
            base = row.reward_by_position[old, self.position]
        else:
            self.position = sorted((lowest, old + {HOLD: 0, BUY: 1, SELL: -1}[action], 1))[1]
            base = row.reward_by_position[self.position]
        self.pnl += base
        self.mood = next_mood(self.mood, self.pnl, base, self.n_moods)
        self.arrive(row)
        return base + self.clarity * self.mood if self.n_moods else base

    def learn(self, row: TapeRow, action: int) -> float:
        """Act and update the first table; the reward."""
        before = self.state
        reward = self.step(row, action)
        target = reward + self.discount * max3(self.q[self.state], 0)
        if self.memory is not None:
            target = remember(self.memory, (before, action), target)
        self.q[before][action] += self.learning_rate * (target - self.q[before][action])
        return reward


class Walk(NamedTuple):
    """What an agent did over a tape: the state at each row, the reward of each (0 on a reset row), and how many rows of
    the episode lay behind it; totals: the rewards of the episodes that ended."""

    states: list[State]
    rewards: list[float]
    behind: list[int]
    totals: list[float]


def best_of(values: Sequence[float], at: int, n: int) -> int:
    """The first of n values from `at` on that no other exceeds."""
    row = list(values)[at : at + n]
    return row.index(max(row))


def max_of(values: Sequence[float], at: int, n: int) -> float:
    """The last of n values when they are sorted."""
    return sorted(list(values)[at : at + n])[-1]


def best_of_three(hold: float, buy: float, sell: float) -> int:
    """The place of the first best of three values."""
    return best3((hold, buy, sell), 0)


def best3(values: Sequence[float], at: int) -> int:
    """Of three values sorted from best to worst, ties in their own order, the first."""
    return sorted(enumerate(list(values)[at : at + 3]), key=lambda pair: -pair[1])[0][0]


def max3(values: Sequence[float], at: int) -> float:
    """The largest of three."""
    return max_of(values, at, 3)


def mood_step(reward: float) -> int:
    """Where a reward leads an agent from between two other moods."""
    return next_mood(1, 0.0, reward, 3) - 1


def mood_steps(reward_by_position: Sequence[Sequence[float]]) -> list[list[int]]:
    """1 where a reward lifts the mood of an agent between two others, 2 where it lowers it."""
    return [[{-1: 2, 0: 0, 1: 1}[mood_step(reward)] for reward in row] for row in reward_by_position]


def next_mood(mood: int, pnl: float, reward: float, n_moods: int) -> int:
    """A step on the ladder of moods, or whether the PnL is a loss (0) or not (1)."""
    if n_moods == 0:
        return 0 if pnl < 0 else 1
    ladder = [0, *range(n_moods), n_moods - 1]  # its ends lead to themselves
    step = 1 if reward > MOOD_RISES_ABOVE else -1 if reward < MOOD_FALLS_BELOW else 0
    return ladder[mood + 1 + step]


def reset_mood(n_moods: int) -> int:
    """The first mood, or the flag of a PnL of 0."""
    return 0 if n_moods else next_mood(0, 0.0, 0.0, 0)


class BoundedMemory:
    """All that was ever remembered, of which the last `capacity` writes count, and of those an entry's last k."""

    def __init__(self, settings: dict) -> None:
        self.settings = settings
        self.writes: list[tuple[tuple, float]] = []

    def blend(self, state: State, action: int, target: float) -> float:
        """The target blended with what counts; it is then remembered itself."""
        window = self.writes[-self.settings["capacity"] :]
        values = [value for entry, value in window if entry == (state, action)][-self.settings["k"] :]
        if values:
            weights = [self.settings["decay"] ** age for age in range(len(values))]
            weighted, weight = 0.0, 0.0
            for value, share in zip(reversed(values), weights, strict=True):
                weighted += share * value
                weight += share
            alpha = self.settings["blend_alpha"]
            target = alpha * (weighted / weight) + (1 - alpha) * target
        self.writes.append(((state, action), target))
        return target


def remember(memory: EpisodicMemory | BoundedMemory, entry: tuple[State, int], target: float) -> float:
    """The target blended with those remembered for the entry."""
    return memory.blend(*entry, target)


def learn_actions(learner: Learner, rows: Sequence[TapeRow], explored: Sequence[int], episode_length: int) -> Walk:
    """Train the first table over a tape that begins with a reset row; −1: the greedy action is taken."""
    walk, total = Walk([], [], [], []), 0.0
    for t, (row, action) in enumerate(zip(rows, explored, strict=True)):
        behind = t % (episode_length + 1)
        if behind == 0:
            learner.reset(row)
            reward = total = 0.0
        else:
            reward = learner.learn(row, action if action >= 0 else best3(learner.q[learner.state], 0))
            total += reward
        walk.states.append(learner.state)
        walk.rewards.append(reward)
        walk.behind.append(behind)
        if behind == episode_length:
            walk.totals.append(total)
    return walk


def learn_communication(learner: Learner, rows: Sequence[TapeRow], walk: Walk, explored: Sequence[int]) -> None:
    """Train the second table over the walk that the first was trained on, and count."""
    for t, (row, following, reward, comm) in enumerate(zip(rows, walk.states, walk.rewards, explored, strict=True)):
        learner.visits[following] += 1
        if walk.behind[t] == 0:
            continue
        values, n = learner.comm_q[walk.states[t - 1]], learner.n_comm
        said = comm if comm >= 0 else best_of(values, 0, n)
        target = reward + learner.bonus[row.alert][said] + learner.discount * max_of(learner.comm_q[following], 0, n)
        values[said] += learner.learning_rate * (target - values[said])
        learner.comm_counts[said] += 1


# What differs between these kernels is their speed.
learn_plain_actions = learn_any_actions = learn_actions
learn_four_communications = learn_any_communication = learn_communication
