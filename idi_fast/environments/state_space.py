"""The state space of an agent, and the rules that connect actions, observations and rewards."""

from dataclasses import dataclass
from math import prod

import numpy as np

from idi_fast.config.feature_columns import feature_sizes
from idi_fast.config.settings import TrainingConfig
from idi_fast.kernels.crypto import N_REGIMES
from idi_fast.kernels.learn import Rules

OTHERS = ("mood", "regime", "position", "big_move", "pnl_sign")
"""Names of the digits of a state that are no features."""


@dataclass(frozen=True)
class StateSpace:
    """Named digits of a state, most significant first; the state index is their mixed-radix number."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, config: TrainingConfig) -> "StateSpace":
        """The state space of a config."""
        kind = config.environment.kind
        if config.engine.compat and kind == "crypto":
            return cls(("position", "regime", "big_move", "pnl_sign"), (3, 4, 2, 2))
        sizes = feature_sizes(config)
        names, buckets, moods = (*sizes,), (*sizes.values(),), config.quantizer.mood_buckets
        if kind == "synthetic":
            return cls((*names, "mood"), (*buckets, moods))
        if config.environment.observe_regime:
            return cls((*names, "regime", "mood", "position"), (*buckets, N_REGIMES, moods, 3))
        return cls((*names, "mood", "position"), (*buckets, moods, 3))

    @property
    def features(self) -> tuple[str, ...]:
        """The digits that are buckets of features; they come first."""
        return tuple(name for name in self.names if name not in OTHERS)

    @property
    def feature_sizes(self) -> tuple[int, ...]:
        """The buckets of each feature."""
        return self.sizes[: len(self.features)]

    @property
    def is_compat_crypto(self) -> bool:
        """Whether this is the state of the reference's crypto market, which has no quantized features."""
        return "pnl_sign" in self.names

    @property
    def is_market(self) -> bool:
        """Whether actions name a target position, which is then part of the state."""
        return "position" in self.names

    @property
    def observed(self) -> list[str]:
        """The digits that come from the tape; together they number an observation."""
        return [name for name in self.names if name not in (self.mood, "position")]

    @property
    def mood(self) -> str:
        """The digit that follows the agent's rewards."""
        return "pnl_sign" if self.is_compat_crypto else "mood"

    @property
    def n_states(self) -> int:
        """Number of states."""
        return prod(self.sizes)

    def stride(self, name: str) -> int:
        """Weight of a digit in the state index; 0 for one that the state does not have."""
        if name not in self.names:
            return 0
        return prod(self.sizes[self.names.index(name) + 1 :])

    def size(self, name: str) -> int:
        """The number of values of a digit."""
        return self.sizes[self.names.index(name)]

    def digit(self, states: np.ndarray, name: str) -> np.ndarray:
        """One digit of each state index, int64."""
        return states // self.stride(name) % self.size(name)

    def digits(self, states: np.ndarray) -> np.ndarray:
        """All digits of each state index, int32 (n, n_digits)."""
        return np.stack([self.digit(states, name) for name in self.names], axis=1).astype(np.int32)

    def index(self, digits: np.ndarray) -> np.ndarray:
        """State index of each row of digits (n, n_digits), int64."""
        return np.asarray(digits, np.int64) @ np.array([self.stride(name) for name in self.names], np.int64)


def comm_columns(config: TrainingConfig) -> tuple[tuple[str, ...], np.ndarray]:
    """The distinct communication actions, and the column of each one listed (a name may be listed twice)."""
    listed = config.communication.actions
    names = tuple(dict.fromkeys(listed))
    return names, np.array([names.index(name) for name in listed], np.int64)


def make_rules(config: TrainingConfig, space: StateSpace) -> Rules:
    """The rules of a config as the arrays that the kernels read."""
    market = space.is_market
    lowest = 0 if config.environment.allow_short else 1
    next_position = np.zeros(9, np.int64)
    for position in range(3):
        buy, sell = (2, lowest) if market else (min(2, position + 1), max(lowest, position - 1))
        next_position[position * 3 : position * 3 + 3] = position, buy, sell
    names, _ = comm_columns(config)
    said = config.communication
    bonuses = {
        "alert": (-said.alert_bonus, said.alert_bonus),
        "positive": (said.positive_bonus, said.positive_bonus),
        "persist": (said.persist_bonus, said.persist_bonus),
    }
    bonus = np.zeros((2, len(names)))
    for column, name in enumerate(names):
        bonus[:, column] = bonuses.get(name, (0.0, 0.0))
    last = space.observed[-1]
    return Rules(
        next_position=next_position,
        strides=np.array([space.stride(last), space.stride(space.mood), space.stride("position")], np.int64),
        n_moods=0 if space.is_compat_crypto else config.quantizer.mood_buckets,
        clarity=config.rewards.communication_clarity,
        comm_bonus=bonus,
    )
