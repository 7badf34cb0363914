"""Learning methods by their textbook definitions, on tables keyed by states."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from .learn import Learner, State, TapeRow, best3, best_of, max3, max_of
from .tape_words import below, halves, high_uniform


@dataclass
class Settings:
    """What the config's block `learning` says, with the decay of exploration beside it.

    exploration_step: what a linear schedule falls by in an episode.
    """

    algorithm: str
    rate_schedule: str
    rate_delay: float
    rate_power: float
    exploration_schedule: str
    exploration_step: float
    exploration_visits: float
    exploration_floor: float
    exploration_decay: float
    trace: float


@dataclass
class Progress:
    """What a learner keeps besides its tables: traces by state and action, the second table, counts."""

    other: dict[State, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0] * 3))
    updates: Counter = field(default_factory=Counter)
    comm_updates: Counter = field(default_factory=Counter)
    traces: dict[tuple[State, int], float] = field(default_factory=dict)
    episode: int = 0


def falling_rate(rate: float, n: int, delay: float, power: float) -> float:
    """The rate times a power of 1 + n / delay."""
    return rate * math.pow((n / delay) + 1.0, -power)


def exploration_rate(settings: Settings, progress: Progress, visits: int) -> float:
    """The rate that the schedule gives, or its floor."""
    rate = {
        "visits": lambda: settings.exploration_visits / (visits + settings.exploration_visits),
        "linear": lambda: 1.0 - progress.episode * settings.exploration_step,
        "decay": lambda: decayed(settings.exploration_decay, progress.episode),
    }[settings.exploration_schedule]()
    return rate if rate > settings.exploration_floor else settings.exploration_floor


def decayed(decay: float, episodes: int) -> float:
    """The decay multiplied with itself, once an episode."""
    rate = 1.0
    for _ in range(episodes):
        rate *= decay
    return rate


def update_traces(
    q: dict[State, list[float]], settings: Settings, progress: Progress, entry: tuple[State, int], error: float,
    rate: float,
) -> None:  # fmt: skip
    """Every trace fades, the last entry's is 1 whatever it was, those too faint are dropped; all learn by theirs."""
    faded = {other: trace * settings.trace for other, trace in progress.traces.items() if other != entry}
    progress.traces = {other: trace for other, trace in faded.items() if trace >= 1e-3} | {entry: 1.0}
    for (state, action), trace in progress.traces.items():
        q[state][action] += rate * trace * error


def learn_by_method(
    learner: Learner, settings: Settings, progress: Progress, rows: Sequence[TapeRow], words: Sequence[Sequence[int]],
    comm_column: Sequence[int], episode_length: int,
) -> list[float]:  # fmt: skip
    """Train both tables over a tape that begins with a reset row; the rewards of the episodes that ended."""
    totals: list[float] = []
    total = 0.0
    for t, (row, (word, comm_word)) in enumerate(zip(rows, words, strict=True)):
        behind = t % (episode_length + 1)
        if behind == 0:
            learner.reset(row)
            learner.visits[learner.state] += 1
            progress.traces, total = {}, 0.0
            continue
        state = learner.state
        epsilon = exploration_rate(settings, progress, learner.visits[state])
        q, other, is_double = learner.q, progress.other, settings.algorithm == "double_q_learning"
        values = [a + b for a, b in zip(q[state], other[state], strict=True)] if is_double else q[state]
        action = best3(values, 0)
        if high_uniform(word) < epsilon:
            action = below(halves(word)[1] << 32, 3)
            if values[action] < max(values):
                progress.traces = {}
        said = best_of(learner.comm_q[state], 0, learner.n_comm)
        if high_uniform(comm_word) < epsilon:
            said = int(comm_column[below(halves(comm_word)[1] << 32, len(comm_column))])

        reward = learner.step(row, action)
        following = learner.state
        counts = {"constant": (0, 0), "episodes": (progress.episode,) * 2}.get(
            settings.rate_schedule, (progress.updates[state, action], progress.comm_updates[state, said])
        )
        rate, comm_rate = (
            falling_rate(learner.learning_rate, n, settings.rate_delay, settings.rate_power) for n in counts
        )
        progress.updates[state, action] += 1
        progress.comm_updates[state, said] += 1

        if is_double:
            learns, judges = (q, other) if word % 2 else (other, q)
            value = judges[following][best3(learns[following], 0)]
            learns[state][action] += rate * (reward + learner.discount * value - learns[state][action])
        else:
            value = max3(q[following], 0)
            if settings.algorithm == "expected_sarsa":
                chance = exploration_rate(settings, progress, learner.visits[following])
                value = (1.0 - chance) * value + chance * (sum(q[following]) / 3.0)
            error = reward + learner.discount * value - q[state][action]
            if settings.algorithm == "q_lambda":
                update_traces(q, settings, progress, (state, action), error, rate)
            else:
                q[state][action] += rate * error
        target = reward + learner.bonus[row.alert][said]
        target += learner.discount * max_of(learner.comm_q[following], 0, learner.n_comm)
        learner.comm_q[state][said] += comm_rate * (target - learner.comm_q[state][said])
        learner.comm_counts[said] += 1
        learner.visits[following] += 1
        total += reward
        if behind == episode_length:
            totals.append(total)
            progress.episode += 1
    return totals
