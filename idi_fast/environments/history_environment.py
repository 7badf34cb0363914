"""Environments of price histories, given ones and those that a market of the user's draws, and what others share with
them: tapes of bars, and what a trace records about these."""

from typing import NamedTuple

import numpy as np

from idi_fast.config.own_functions import MARKETS
from idi_fast.config.settings import TrainingConfig
from idi_fast.environments.buffers import Buffers
from idi_fast.environments.features import Bars, Encoder, named
from idi_fast.environments.history_bars import HistoryBars
from idi_fast.environments.own_markets import check_repeatable, drawn_path, path_bars
from idi_fast.environments.rewards import RewardRule
from idi_fast.environments.rng import Generator, Generators
from idi_fast.environments.state_space import StateSpace
from idi_fast.kernels import tape_words
from idi_fast.kernels.learn import Tape


class MarketFacts(NamedTuple):
    """What a trace records about the market, a row per bar; None if the environment has no such thing.

    regime uint8; risk uint8; move int8, the sign of the price's change; value float64, the log price (synthetic: the
    summed drift); entry float64, the log price at which a position first held into this bar was entered; close float64;
    time int64 ns UTC; after_gap uint8, rows missing before this bar.
    """

    value: np.ndarray | None = None
    entry: np.ndarray | None = None
    regime: np.ndarray | None = None
    risk: np.ndarray | None = None
    move: np.ndarray | None = None
    close: np.ndarray | None = None
    time: np.ndarray | None = None
    after_gap: np.ndarray | None = None


class MarketTape:
    """Base of the environments of market bars: makes the tape of given bars."""

    def __init__(self, config: TrainingConfig, encoder: Encoder):
        self.space = StateSpace.of(config)
        self.encoder = encoder
        self._rule = RewardRule(config, encoder)
        self._rewards = Buffers(reward_by_position=(np.float64, 9))

    def tape(self, bars: Bars) -> Tape:
        """The tape whose rows are these bars."""
        return self._rule.tape(bars, self._rewards.rows(bars.observation.size)["reward_by_position"])


class _HistoryTape(MarketTape):
    """Base of the environments of price histories."""

    def _facts(self, market: HistoryBars, start: int, n: int) -> tuple[Tape, MarketFacts]:
        """The rows of n bars of the last history from bar `start` on, and what a trace records about them."""
        history, stop = market.last, start + n
        first = int(market.firsts[-2])
        bars = market.bars.rows(slice(first + start, first + stop))
        value, entry = market.prices(start, stop)
        return self.tape(bars), MarketFacts(
            value=value,
            entry=entry,
            regime=bars.regime,
            risk=bars.risk,
            move=bars.move,
            close=history.close[start:stop],
            time=None if history.time is None else history.time[start:stop],
            after_gap=history.after_gap[start:stop],
        )


class HistoryEnvironment(_HistoryTape):
    """Real bars: an episode is a window of them, its start drawn uniformly; a rollout is the last window, of the last
    symbol if there are many."""

    def __init__(self, config: TrainingConfig, generator: Generator, market: HistoryBars):
        super().__init__(config, market.encoder)
        self._generator = generator
        self._episode_length = config.episode_length
        self._market = market
        self._stops, self._shifts = market.windows(config.episode_length)
        self._cursor = np.zeros(2, np.int64)
        self._buffers = Buffers(words=(np.uint64, 1), bar=(np.int64, 1), observation=(np.int32, 1), alert=(np.uint8, 1))

    @property
    def state(self) -> dict[str, np.ndarray]:
        return {"cursor": self._cursor, **named("generator", self._generator.state)}

    def series(self) -> list[Bars]:
        """All bars to plan on, a series per symbol."""
        bounds = zip(self._market.firsts[:-1], self._market.firsts[1:], strict=True)
        return [self._market.bars.rows(slice(start, stop)) for start, stop in bounds]

    def fill(self, n: int) -> Tape:
        rows = self._buffers.rows(n)
        self._generator.words64(rows["words"])
        tape_words.window_bars(
            rows["words"], self._cursor, self._episode_length, self._stops, self._shifts, rows["bar"]
        )
        rows |= self._rewards.rows(n)
        tape = Tape(rows["reward_by_position"], rows["observation"], rows["alert"])
        return self._rule.chosen(self._market.bars, rows["bar"], tape)

    def facts(self, n: int) -> tuple[Tape, MarketFacts]:
        return self._facts(self._market, len(self._market.last) - n, n)


class OwnMarketEnvironment(_HistoryTape):
    """Bars that a market of the user's makes: one path after another, each from a seed of its own, and begun anew by
    features too. Each episode is the next segment of a path."""

    def __init__(self, config: TrainingConfig, generators: Generators, encoder: Encoder | None):
        self._own = MARKETS[config.environment.kind]
        self._config, self._bars = config, path_bars(config)
        if encoder is None:
            words = np.empty(4, np.uint64)
            generators.calibration.words64(words)
            check_repeatable(self._own, words)
            encoder = HistoryBars(config, drawn_path(self._own, words, self._bars)).encoder
        super().__init__(config, encoder)
        self._generator = generators.environment
        self._words, self._place = np.zeros(4, np.uint64), np.zeros(2, np.int64)
        self._path: tuple[list[int], HistoryBars] | None = None
        self._buffers = Buffers(observation=(np.int32, 1), alert=(np.uint8, 1))

    @property
    def state(self) -> dict[str, np.ndarray]:
        """The path's seed; its number of bars, and of the next bar."""
        return {"path": self._words, "place": self._place, **named("generator", self._generator.state)}

    def _begin(self, n: int) -> None:
        """A path of n bars, the next."""
        self._generator.words64(self._words)
        self._place[:] = n, 0

    def _encoded(self) -> HistoryBars:
        """The path that the state is in."""
        drawn = [*self._words.tolist(), int(self._place[0])]
        if self._path is None or self._path[0] != drawn:
            history = drawn_path(self._own, self._words, drawn[-1])
            self._path = drawn, HistoryBars(self._config, history, self.encoder)
        return self._path[1]

    def series(self, n: int) -> list[Bars]:
        """The next path, of n bars, to plan on."""
        self._begin(n)
        self._place[1] = n
        return [self._encoded().bars]

    def fill(self, n: int) -> Tape:
        rows = self._rewards.rows(n) | self._buffers.rows(n)
        tape, done = Tape(rows["reward_by_position"], rows["observation"], rows["alert"]), 0
        while done < n:
            if self._place[1] == self._place[0]:
                self._begin(self._bars)
            at = int(self._place[1])
            size = min(n - done, int(self._place[0]) - at)
            part = Tape(*(column[done : done + size] for column in tape))
            self._rule.chosen(self._encoded().bars, np.arange(at, at + size), part)
            self._place[1] += size
            done += size
        return tape

    def facts(self, n: int) -> tuple[Tape, MarketFacts]:
        if self._place[0] - self._place[1] < n:
            self._begin(max(n, self._bars))
        at = int(self._place[1])
        self._place[1] += n
        return self._facts(self._encoded(), at, n)
