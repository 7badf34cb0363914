"""Which rows of its tables an agent looks a state up in: one per state or, with a tile coder, one per tiling."""

from dataclasses import dataclass
from functools import cached_property
from itertools import count, islice
from math import gcd, prod
from typing import Self

import numpy as np

from idi_fast.config.settings import TileCoderConfig, TrainingConfig
from idi_fast.environments.state_space import StateSpace
from idi_fast.errors import ConfigError
from idi_fast.kernels.methods import Places
from idi_fast.kernels.tiles import Tiling, tile_rows

NO_OWNERS = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Layout:
    """The layout of a table.

    tiling: None for a plain table, whose rows are the states; places: number of combinations of mood and position;
    n_rows: rows of the table. The value of a state is the sum over its rows, one in each tiling.
    """

    space: StateSpace
    tiling: Tiling | None
    places: Places
    n_rows: int

    @classmethod
    def of(cls, config: TrainingConfig, space: StateSpace) -> Self:
        """The layout of a config; ConfigError if its tile coder's table is too small, or its tiles are too many to be
        numbered."""
        if config.tile_coder is None or config.engine.compat is not None:
            # The reference appends the tiles to the state, which thereby stays the same.
            mood = np.arange(space.size(space.mood)) * space.stride(space.mood)
            places = _places(mood[np.newaxis], np.arange(3) * space.stride("position"))
            return cls(space, None, places, space.n_states)
        return cls._tiled(config.tile_coder, space)

    @classmethod
    def _tiled(cls, coder: TileCoderConfig, space: StateSpace) -> Self:
        # Before anything is allocated for that many tilings; the rows each needs are known below.
        if coder.num_tilings > max(coder.table_size, 2**20):
            raise ConfigError(
                f"tile_coder.num_tilings is {coder.num_tilings}; expected at most tile_coder.table_size "
                f"({coder.table_size}), for each tiling has rows of its own"
            )
        seen = space.observed
        sizes = np.array([*map(space.size, seen), space.size("mood")], np.int64)
        # The coder covers the features and the mood; a regime is a category, and has tiles of its own.
        regime = len(space.features)
        shift, width, n_tiles = _tiles(coder, np.delete(sizes, range(regime, sizes.size - 1)))
        if "regime" in seen:
            shift = np.insert(shift, regime, 0, axis=1)
            width, n_tiles = np.insert(width, regime, 1), np.insert(n_tiles, regime, sizes[regime])
        tiles = prod(n_tiles[:-1].tolist())
        if tiles >= 2**63:
            raise ConfigError(
                f"tile_coder.tile_sizes make {tiles} tiles with those of the regime; expected below 2**63"
            )
        positions = 3 if space.is_market else 1
        per_group = int(n_tiles[-1]) * positions
        room = coder.table_size // (coder.num_tilings * per_group)
        if room < 1:
            raise ConfigError(
                f"tile_coder.table_size is {coder.table_size}; expected at least {coder.num_tilings * per_group}: "
                f"{coder.num_tilings} tilings of {n_tiles[-1]} tiles of the mood and {positions} positions"
            )
        groups = min(room, tiles)
        share = np.zeros((coder.num_tilings, len(seen), sizes[:-1].max()), np.int64)
        for d, size in enumerate(sizes[:-1]):
            tile = (np.arange(size) + shift[:, d : d + 1]) // width[d] % n_tiles[d]
            share[:, d, :size] = tile * prod(n_tiles[d + 1 : -1].tolist())
        tiling = Tiling(sizes[:-1], share, groups=groups, per_group=per_group, is_hashed=tiles > room)
        mood = (np.arange(sizes[-1]) + shift[:, -1:]) // width[-1] % n_tiles[-1]
        position = np.arange(3) if space.is_market else np.zeros(3, np.int64)
        return cls(space, tiling, _places(mood * positions, position), coder.num_tilings * groups * per_group)

    @property
    def n_tilings(self) -> int:
        """The number of rows of a state."""
        return self.places.mood.shape[0]

    def per_row(self, value: float) -> float:
        """The share of a value in each row of its state."""
        return value / self.n_tilings

    def rows(
        self, observation: np.ndarray, out: np.ndarray, owners: np.ndarray = NO_OWNERS, lookups: np.ndarray = NO_OWNERS
    ) -> None:
        """The first rows of the observations int32 (n,), written to int32 (n, n_tilings); see `tiles.tile_rows`."""
        if self.tiling is None:
            np.multiply(observation, self.per_observation, out=out[:, 0])
        else:
            tile_rows(observation, self.tiling, out, owners, lookups)

    @cached_property
    def per_observation(self) -> int:
        """States of one observation."""
        return self.space.stride(self.space.observed[-1])

    def state_rows(self, states: np.ndarray) -> np.ndarray:
        """The rows of each state int64 (n,), int64 (n, n_tilings)."""
        space = self.space
        observation = self.observation_of(states)
        first = np.empty((observation.size, self.n_tilings), np.int32)
        if self.tiling is None:
            return states[:, np.newaxis]
        self.rows(observation, first)
        position = space.digit(states, "position") if space.is_market else np.zeros(states.size, np.int64)
        mood = self.places.mood.T[space.digit(states, space.mood)]
        return first + mood + self.places.position[position][:, np.newaxis]

    def observation_of(self, states: np.ndarray) -> np.ndarray:
        """The observation of each state, int32 (n,); for spaces whose first digits are the observed ones."""
        return (states // self.per_observation).astype(np.int32)

    def values(self, table: np.ndarray, states: np.ndarray) -> np.ndarray:
        """The values of states int64 (n,) in a table, float64 (n, columns)."""
        return table[states] if self.tiling is None else table[self.state_rows(states)].sum(axis=1)

    def states_of(self, observations: np.ndarray) -> np.ndarray:
        """All states of the observations, in their order, int64 (n * per_observation,)."""
        first = observations[:, np.newaxis].astype(np.int64) * self.per_observation
        return (first + np.arange(self.per_observation)).reshape(-1)


def _places(mood: np.ndarray, position: np.ndarray) -> Places:
    return Places(mood, position, int(mood.max() + position.max()) + 1)


def _tiles(coder: TileCoderConfig, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shift int64 (n_tilings, d), width and number of tiles int64 (d,) of each digit."""
    wanted, tiling = np.array(coder.tile_sizes, np.int64), np.arange(coder.num_tilings)[:, np.newaxis]
    if coder.tiling == "reference":
        return (np.array(coder.offsets, np.int64) + tiling) % wanted, np.ones_like(wanted), wanted
    # Displaced along each feature by a different fraction of a tile, so that tilings do not align along the diagonal:
    # by 1, 3, 5 … for 2, 4, 8 … tilings (Miller & Glanz 1996), else by numbers without a common factor.
    width = -(-sizes // wanted)
    coprime = (number for number in count(1) if gcd(number, coder.num_tilings) == 1)
    parts = tiling * np.array(list(islice(coprime, sizes.size))) % coder.num_tilings
    shift = parts * width // coder.num_tilings
    return shift, width, (sizes - 1 + shift.max(axis=0)) // width + 1
