"""How much each suite does."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Sizes:
    """Sizes of runs.

    check_*: sizes of the comparison with the slow oracles; episodes: of a timed training run; twin_episodes: of the
    oracle's, timed as "plain Python"; lanes, lane_episodes: of a population; rows, calls: of each kernel, a block of
    training at a time; bars, ticks: of a backtest and of an export; file_bars: of the backtest of a file, and of that
    of many symbols with symbol_bars each; account_bars: of the account compared with other packages'; history_bars:
    trained on; policies: backtested over bars in one pass; memory_bars, memory_episodes: of trainings whose memory is
    measured; memory_ticks: of a specification; states, …: the points of the scaling study.
    """

    check_episodes: int = 60
    episodes: int = 40_000
    twin_episodes: int = 100
    reference_episodes: int = 100
    history_bars: int = 20_001
    lanes: int = 64
    lane_episodes: int = 20_000
    rows: int = 16_384
    calls: int = 32
    check_rows: int = 300
    bars: int = 1_000_000
    file_bars: int = 10_000_000
    symbol_bars: int = 200_000
    account_bars: int = 1_000_000
    policies: int = 65
    memory_bars: int = 10_000_000
    memory_episodes: int = 2_000
    memory_ticks: int = 1_000_000
    check_bars: int = 250
    ticks: int = 100_000
    cold_starts: int = 3
    scaling_episodes: int = 40_000
    scaling_states: tuple[int, ...] = (2, 3, 4, 5, 6, 7)
    """Exponents of 10."""
    scaling_lengths: tuple[int, ...] = (100, 1_000, 10_000, 100_000)
    scaling_lanes: tuple[int, ...] = (1, 4, 16, 64, 256)

    @classmethod
    def smallest(cls) -> Self:
        """Sizes at which everything runs but no figure means anything: for tests, and to compile the kernels."""
        return cls(
            check_episodes=2,
            episodes=4,
            twin_episodes=2,
            reference_episodes=2,
            history_bars=257,
            lane_episodes=2,
            rows=130,
            calls=1,
            check_rows=70,
            bars=200,
            check_bars=100,
            ticks=20,
            cold_starts=1,
            file_bars=400,
            symbol_bars=130,
            account_bars=300,
            policies=3,
            memory_bars=400,
            memory_episodes=2,
            memory_ticks=100,
            scaling_episodes=600,
            scaling_states=(2, 3),
            scaling_lengths=(2, 4),
            scaling_lanes=(1, 2),
        )
