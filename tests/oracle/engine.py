"""A training run of the default mode in plain Python: synthetic environment, SFC64, tables keyed by tuples."""

from typing import Any

import numpy as np

from .learn import next_mood

ALERT, POSITIVE, PERSIST = "alert", "positive", "persist"
TWO_32 = 2**32


class Seeded(np.random.bit_generator.ISeedSequence):
    """Three numbers for NumPy to seed an SFC64 with."""

    def __init__(self, numbers: np.ndarray) -> None:
        self.numbers = numbers

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        """The numbers."""
        assert (n_words, np.dtype(dtype)) == (3, np.dtype(np.uint64))
        return self.numbers


def generators(sequence: np.random.SeedSequence) -> list[np.random.SFC64]:
    """Sixteen generators, each seeded by three numbers of a sequence."""
    numbers = sequence.generate_state(48, np.uint64)
    seeds: list[Any] = [Seeded(numbers[k : k + 3]) for k in range(0, 48, 3)]  # NumPy's hints know only its own
    return [np.random.SFC64(seed) for seed in seeds]


def word_rows(sequence: np.random.SeedSequence, rows: int, width: int) -> list[list[int]]:
    """The first rows of words of sixteen generators that take turns, as Python integers."""
    words = np.stack([generator.random_raw(-(-rows * width // 16)) for generator in generators(sequence)], axis=1)
    return words.reshape(-1)[: rows * width].reshape(rows, width).tolist()


def train(config: dict, seed: int) -> tuple[dict, dict, list[float]]:
    """Tables q and comm_q by state tuple, for the states the agent came to, and the reward of each episode.

    config: the complete config as a dict.
    """
    length, rewards_of = config["episode_length"], config["rewards"]
    buckets = [config["quantizer"][f"{name}_buckets"] for name in ("price", "volume", "trend", "scarcity")]
    moods = config["quantizer"]["mood_buckets"]
    comm_actions = config["communication"]["actions"]
    rows = config["episodes"] * (length + 1)
    environment, agent, *_ = np.random.SeedSequence(seed).spawn(4)
    market, choices = word_rows(environment, rows, 2), word_rows(agent, rows, 2)
    q: dict[tuple, list[float]] = {}
    comm_q: dict[tuple, list[float]] = {}
    rewards = []
    exploration = 1.0

    def observe(word: int) -> tuple[int, ...]:
        n_codes = buckets[0] * buckets[1] * buckets[2] * buckets[3]
        code = (word >> 32) * n_codes >> 32
        digits = []
        for size in reversed(buckets):
            code, digit = divmod(code, size)
            digits.insert(0, digit)
        return tuple(digits)

    def values(table: dict, state: tuple, n: int) -> list[float]:
        return table.setdefault(state, [0.0] * n)

    def choose(word: int, row: list[float], epsilon: float) -> int:
        explores = word // TWO_32 < int(epsilon * TWO_32)
        return word % TWO_32 * len(row) // TWO_32 if explores else row.index(max(row))

    for episode in range(config["episodes"]):
        first = episode * (length + 1)
        epsilon = max(0.05, exploration)
        position, mood, total = 0, 0, 0.0
        state = (*observe(market[first][1]), mood)
        values(q, state, 3)
        values(comm_q, state, len(comm_actions))
        for row in range(first + 1, first + length + 1):
            action = choose(choices[row][0], values(q, state, 3), epsilon)
            comm = choose(choices[row][1], values(comm_q, state, len(comm_actions)), epsilon)
            position = max(-1, min(1, position + (0, 1, -1)[action]))
            moves = market[row][0]
            drift = -1.0 + 2.0 * (moves // TWO_32 / TWO_32)
            scarcity = -0.5 + moves % TWO_32 / TWO_32
            ethics = rewards_of["ethics_bonus"] if position >= 0 else -rewards_of["ethics_bonus"]
            base = position * drift * rewards_of["pnl"] + scarcity * rewards_of["scarcity_alignment"] + ethics
            mood = next_mood(mood, 0.0, base, moods)
            reward = base + rewards_of["communication_clarity"] * mood
            following = (*observe(market[row][1]), mood)
            name = comm_actions[comm]
            bonus = (0.1 if following[2] > 0 else -0.1) if name == ALERT else 0.05 if name in (POSITIVE, PERSIST) else 0
            target = reward + config["discount"] * max(values(q, following, 3))
            comm_target = reward + bonus + config["discount"] * max(values(comm_q, following, len(comm_actions)))
            q[state][action] += config["learning_rate"] * (target - q[state][action])
            comm_q[state][comm] += config["learning_rate"] * (comm_target - comm_q[state][comm])
            total += reward
            state = following
        rewards.append(total)
        exploration *= config["exploration_decay"]
    return q, comm_q, rewards
