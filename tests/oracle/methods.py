"""Learning methods by their textbook definitions, on tables keyed by states."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .learn import Learner, State, TapeRow, best3, best_of, max3, max_of
from .tape_words import below, halves, high_uniform

Key = Any
Table = dict[Key, list[float]]


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
class LearningState:
    """What a learner keeps besides its tables: traces by state and action, the second table, counts of each table."""

    other: Table = field(default_factory=lambda: defaultdict(lambda: [0.0] * 3))
    updates: Counter = field(default_factory=Counter)
    other_updates: Counter = field(default_factory=Counter)
    comm_updates: Counter = field(default_factory=Counter)
    traces: dict[tuple[Key, int], float] = field(default_factory=dict)
    episode: int = 0


def falling_rate(rate: float, n: int, delay: float, power: float) -> float:
    """The rate times a power of 1 + n / delay."""
    return rate * math.pow((n / delay) + 1.0, -power)


def rate_after(rate: float, n: int, settings: Settings) -> float:
    """The same, of settings."""
    return falling_rate(rate, n, settings.rate_delay, settings.rate_power)


def exploration_rate(settings: Settings, progress: LearningState, visits: int) -> float:
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
    q: Table, settings: Settings, progress: LearningState, entries: Sequence[tuple[Key, int]], error: float, rate: float
) -> None:
    """Every trace fades, the last entries' is 1 whatever it was, those too faint are dropped; all learn by theirs."""
    faded = {other: trace * settings.trace for other, trace in progress.traces.items() if other not in entries}
    kept = {other: trace for other, trace in faded.items() if trace >= 1e-3}
    progress.traces = kept | dict.fromkeys(entries, 1.0)
    for (key, action), trace in progress.traces.items():
        share = own_rate(settings, progress.updates[key, action], rate)
        q[key][action] += share / len(entries) * trace * error


def own_rate(settings: Settings, updates: int, rate: float) -> float:
    """The rate of a value that was updated so often."""
    if settings.rate_schedule != "visits":
        return rate
    return rate_after(rate, updates, settings)


def learn_by_method(
    learner: Learner,
    settings: Settings,
    progress: LearningState,
    rows: Sequence[TapeRow],
    words: Sequence[Sequence[int]],
    comm_column: Sequence[int],
    episode_length: int,
    keys_of: Callable[[State], list[Key]] = lambda state: [state],
) -> list[float]:
    """Train both tables over a tape that begins with a reset row; the rewards of the episodes that ended.

    keys_of: the places of a state in the tables, whose values are added up; a plain table has one, the state.
    """

    def values_of(table: Table, state: State) -> list[float]:
        first, *others = (table[key] for key in keys_of(state))
        values = list(first)
        for other in others:
            values = [a + b for a, b in zip(values, other, strict=True)]
        return values

    def learn(table: Table, counts: Counter, state: State, action: int, error: float, rate: float) -> None:
        keys = keys_of(state)
        for key in keys:
            table[key][action] += own_rate(settings, counts[key, action], rate) / len(keys) * error
            counts[key, action] += 1

    def arrive() -> None:
        for key in keys_of(learner.state):
            learner.visits[key] += 1

    totals: list[float] = []
    total = 0.0
    is_double = settings.algorithm == "double_q_learning"
    for t, (row, (word, comm_word)) in enumerate(zip(rows, words, strict=True)):
        behind = t % (episode_length + 1)
        if behind == 0:
            learner.reset(row)
            arrive()
            progress.traces, total = {}, 0.0
            continue
        state = learner.state
        epsilon = exploration_rate(settings, progress, learner.visits[keys_of(state)[0]])
        q, other = learner.q, progress.other
        values = values_of(q, state)
        if is_double:
            values = [a + b for a, b in zip(values, values_of(other, state), strict=True)]
        action = best3(values, 0)
        if high_uniform(word) < epsilon:
            action = below(halves(word)[1] << 32, 3)
            if values[action] < max(values):
                progress.traces = {}
        comm_values = values_of(learner.comm_q, state)
        said = best_of(comm_values, 0, learner.n_comm)
        if high_uniform(comm_word) < epsilon:
            said = int(comm_column[below(halves(comm_word)[1] << 32, len(comm_column))])

        reward = learner.step(row, action)
        following = learner.state
        rate = learner.learning_rate
        if settings.rate_schedule == "episodes":
            rate = rate_after(rate, progress.episode, settings)

        if is_double:
            learns, target_table, counts = (
                (q, other, progress.updates) if word % 2 else (other, q, progress.other_updates)
            )
            value = values_of(target_table, following)[best3(values_of(learns, following), 0)]
            error = reward + learner.discount * value - values_of(learns, state)[action]
            learn(learns, counts, state, action, error, rate)
        else:
            values = values_of(q, following)
            value = max3(values, 0)
            if settings.algorithm == "expected_sarsa":
                chance = exploration_rate(settings, progress, learner.visits[keys_of(following)[0]])
                value = (1.0 - chance) * value + chance * (sum(values) / 3.0)
            error = reward + learner.discount * value - values_of(q, state)[action]
            if settings.algorithm == "q_lambda":
                entries = [(key, action) for key in keys_of(state)]
                update_traces(q, settings, progress, entries, error, rate)
                progress.updates.update(entries)
            else:
                learn(q, progress.updates, state, action, error, rate)
        target = reward + learner.bonus[row.alert][said]
        target += learner.discount * max_of(values_of(learner.comm_q, following), 0, learner.n_comm)
        learn(learner.comm_q, progress.comm_updates, state, said, target - comm_values[said], rate)
        learner.comm_counts[said] += 1
        arrive()
        total += reward
        if behind == episode_length:
            totals.append(total)
            progress.episode += 1
    return totals
