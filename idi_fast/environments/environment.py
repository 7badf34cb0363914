"""Environments: who makes the tape. Nothing the agent does moves the market, so each is computed ahead of the agent.

Every environment has `space`, `encoder` (None if nothing is fitted) and two methods: `fill(n)` makes the next n
rows of its tape, `facts(n)` the same rows with what a trace records about the market. Rows go by episodes: a reset
row, then `episode_length` step rows. Arrays that `fill` returns are overwritten by its next call. An environment that
a single kernel makes hands over its arrays by `source(n)`, so that training need not return for every block.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from idi_fast.config.settings import TrainingConfig
from idi_fast.config.transforms import TRANSFORMS
from idi_fast.data.history import History
from idi_fast.data.panel import Panel, TrainingBars, members
from idi_fast.environments.buffers import Buffers
from idi_fast.environments.charges import HoldingCharges
from idi_fast.environments.features import (
    Bars,
    Columns,
    Encoder,
    empty_bars,
    named,
    needed_series,
    resolve_features,
)
from idi_fast.environments.rewards import RewardRule, bar_stream, reward_weights
from idi_fast.environments.rng import Generator, Generators
from idi_fast.environments.series import AS_IS, Feature, computed
from idi_fast.environments.shared_bars import Shared
from idi_fast.environments.simulation import (
    LOG_VOLUME_LEVEL,
    STRESS,
    CryptoMarket,
    SimulatedBars,
    finite,
    market_parameters,
    simulation_buffers,
)
from idi_fast.environments.state_space import StateSpace
from idi_fast.errors import DataError, InputError, NumericalError
from idi_fast.kernels import tape_mt19937, tape_words
from idi_fast.kernels.blocks import Synthetic
from idi_fast.kernels.crypto import N_REGIMES, START_PRICE
from idi_fast.kernels.learn import Tape

CALIBRATION_BARS = 65_536
"""Simulated bars to fit the crypto environment's bucket edges on: quantiles accurate to about 0.2 %."""


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


class Environment(Protocol):
    """What the trainer needs from an environment."""

    @property
    def space(self) -> StateSpace:
        """The states that its rows are of."""
        ...

    @property
    def encoder(self) -> Encoder | None:
        """What it encodes bars with."""
        ...

    @property
    def state(self) -> dict[str, np.ndarray]:
        """The arrays it resumes from; everything else follows from config, seed and data."""
        ...

    def fill(self, n: int) -> Tape:
        """The next n rows."""
        ...

    def facts(self, n: int) -> tuple[Tape, MarketFacts]:
        """The next n rows, beginning with a reset row, and what a trace records about them."""
        ...


def charged_fee_bps(config: TrainingConfig) -> float:
    """The fee per side charged to the agent's rewards, in basis points: a stress scenario may multiply it."""
    market = config.environment.market
    multiplier = STRESS[market.stress_scenario].fee_multiplier if config.environment.kind == "crypto" else 1.0
    return market.fee_bps * multiplier


class SyntheticEnvironment:
    """Independent noise: uniform drift, scarcity and observations, like the reference's default environment.

    is_one_kernel: whether `kernels.blocks.learn_synthetic` can make its rows.
    """

    encoder = None

    def __init__(self, config: TrainingConfig, generator: Generator):
        self.space = StateSpace.of(config)
        self._generator = generator
        self._phase = np.zeros(1, np.int64)
        self._is_compat = config.engine.compat is not None
        self.is_one_kernel = self._is_compat or config.engine.rng == "sfc64"
        self._fixed: dict[str, Any] = {
            "stream": generator.stream,
            "episode_length": config.episode_length,
            "accepted": np.zeros((4, generator.stream.mt.words.size + 1 if self._is_compat else 0), np.int32),
            "phase": self._phase,
            "buckets": np.array(self.space.feature_sizes, np.int64),
            "weights": reward_weights(config),
        }
        self._buffers = Buffers(
            reward_by_position=(np.float64, 3),
            observation=(np.int32, 1),
            alert=(np.uint8, 1),
            drift=(np.float64, 1),
            words=(np.uint64, 2),
        )

    @property
    def state(self) -> dict[str, np.ndarray]:
        return {"phase": self._phase, **named("generator", self._generator.state)}

    def source(self, n: int) -> Synthetic:
        """The environment as the kernels take it, with arrays for n rows."""
        rows: dict[str, Any] = self._buffers.rows(n)
        return Synthetic(**self._fixed, **rows)

    def fill(self, n: int) -> Tape:
        source = self.source(n)
        made = source.reward_by_position, source.observation, source.alert, source.drift
        if self._is_compat:
            tape_mt19937.synthetic_tape(
                source.stream.mt,
                source.accepted,
                source.phase,
                source.episode_length,
                source.buckets,
                source.weights,
                *made,
            )
        else:
            self._generator.words64(source.words)
            tape_words.synthetic_rows(source.words, source.buckets, source.weights, *made)
        return Tape(*made[:3])

    def facts(self, n: int) -> tuple[Tape, MarketFacts]:
        tape, drift = self.fill(n), self._buffers.rows(n)["drift"]
        value = np.cumsum(np.concatenate([[0.0], drift[1:]]))
        return tape, MarketFacts(value=value, entry=entry_values(value))


class CompatCryptoEnvironment:
    """The reference's crypto market: prices restart at 1000 in each episode, rewards are PnL in price units."""

    encoder = None

    def __init__(self, config: TrainingConfig, generator: Generator):
        self.space = StateSpace.of(config)
        self._generator = generator
        self._episode_length = config.episode_length
        self._market, self._stress = market_parameters(config)
        self._phase = np.zeros(1, np.int64)
        self._price_state = np.zeros(2)
        self._buffers = Buffers(
            reward_by_position=(np.float64, 9),
            observation=(np.int32, 1),
            alert=(np.uint8, 1),
            regime=(np.uint8, 1),
            risk=(np.uint8, 1),
            close=(np.float64, 1),
        )

    @property
    def state(self) -> dict[str, np.ndarray]:
        own = {"phase": self._phase, "price": self._price_state}
        return {**own, **named("generator", self._generator.state)}

    def fill(self, n: int) -> Tape:
        rows = self._buffers.rows(n)
        tape_mt19937.crypto_tape(
            self._generator.stream.mt,
            self._phase,
            self._episode_length,
            self._market,
            self._stress,
            self._price_state,
            *rows.values(),
        )
        return Tape(rows["reward_by_position"], rows["observation"], rows["alert"])

    def facts(self, n: int) -> tuple[Tape, MarketFacts]:
        tape = self.fill(n)
        rows = self._buffers.rows(n)
        return tape, MarketFacts(regime=rows["regime"], risk=rows["risk"], close=rows["close"])


class _MarketTape:
    """Base of the environments of market bars: makes the tape of given bars."""

    def __init__(self, config: TrainingConfig, encoder: Encoder):
        self.space = StateSpace.of(config)
        self.encoder = encoder
        self._rule = RewardRule(config, encoder)
        self._rewards = Buffers(reward_by_position=(np.float64, 9))

    def tape(self, bars: Bars) -> Tape:
        """The tape whose rows are these bars."""
        return self._rule.tape(bars, self._rewards.rows(bars.observation.size)["reward_by_position"])


def entry_values(value: np.ndarray, log_fill: np.ndarray | None = None, before: np.ndarray | None = None) -> np.ndarray:
    """`MarketFacts.entry` from `MarketFacts.value`: the fill of each bar, or without one the value before it.

    before: the value before the first, float64 (1,); empty at the beginning, where the first itself is used.
    """
    if log_fill is not None and log_fill.size:
        return log_fill
    before = value[:1] if before is None or not before.size else before
    return np.concatenate([before, value[:-1]])


class CryptoEnvironment(_MarketTape):
    """The simulated crypto market of the default mode: one endless path; each episode is its next segment."""

    def __init__(self, config: TrainingConfig, generators: Generators, encoder: Encoder | None):
        if encoder is None:
            bars = CryptoMarket(config).bars(generators.calibration, CALIBRATION_BARS)
            features = resolve_features(config, {"volume": "volume"})
            encoder = Encoder.fit(config, features, [_columns(bars, _reads_prices(features))])
        super().__init__(config, encoder)
        self._generator = generators.environment
        self._market = CryptoMarket(config)
        self._bars = bar_stream(config, encoder, charged_fee_bps(config))
        self._simulated, self._encoded = simulation_buffers(), empty_bars(0)
        self._reads_prices = _reads_prices(encoder.features)

    @property
    def state(self) -> dict[str, np.ndarray]:
        parts = {"generator": self._generator.state, "bars": self._bars.state}
        return {
            "market": self._market.state,
            **{k: v for name, part in parts.items() for k, v in named(name, part).items()},
        }

    def _advance(self, simulated: SimulatedBars, bars: Bars) -> Bars:
        self._bars.encode(_columns(simulated, self._reads_prices), np.empty(0), bars)
        if "regime" in self.space.names:
            bars = bars._replace(observation=bars.observation * N_REGIMES + simulated.regime)
        return bars._replace(regime=simulated.regime, risk=simulated.risk)

    def series(self, n: int) -> list[Bars]:
        """The next n bars, as a single series to plan on."""
        return [self._advance(self._market.bars(self._generator, n), empty_bars(n))]

    def fill(self, n: int) -> Tape:
        # Into the arrays of the last call: the pages of fresh ones took a tenth of a step to get.
        if n > self._encoded.observation.size:
            self._encoded = empty_bars(n)
        simulated = self._market.bars(self._generator, n, self._simulated)
        return self.tape(self._advance(simulated, self._encoded.rows(slice(n))))

    def facts(self, n: int) -> tuple[Tape, MarketFacts]:
        simulated = self._market.bars(self._generator, n)
        bars, value = self._advance(simulated, empty_bars(n)), simulated.log_close
        with np.errstate(over="ignore"):
            close = finite(START_PRICE * np.exp(value - value[0]))
        return self.tape(bars), MarketFacts(
            value=value,
            entry=entry_values(value),
            regime=bars.regime,
            risk=bars.risk,
            move=bars.move,
            close=close,
        )


def _columns(bars: SimulatedBars, with_prices: bool) -> dict[str, np.ndarray]:
    """As of `log_columns`. Raises NumericalError where a price that a feature reads overflows or falls to 0."""
    columns = {"close": bars.log_close, "volume": bars.log_volume}
    if with_prices:
        with np.errstate(over="ignore", under="ignore"):
            close = finite(START_PRICE * np.exp(bars.log_close))
        if not close.all():
            raise NumericalError("the simulated prices fell to 0; use drifts nearer to 0, or fewer episodes")
        columns |= {f"{AS_IS}close": close, f"{AS_IS}volume": np.expm1(bars.log_volume + LOG_VOLUME_LEVEL)}
    return columns


def _reads_prices(features: Mapping[str, Feature]) -> bool:
    """Whether a feature reads a column as it is, and not its logarithm."""
    return any(TRANSFORMS[feature.transform].kernel is not None for feature in features.values())


CHUNK_BARS = 65_536
"""Of a history that are encoded at a time: the logarithms of all of them are not needed at once."""


class HistoryBars:
    """A history as an environment shows it; any number of lanes may share it, since it never changes.

    The symbols of a panel lie one behind the other: features begin anew with each, and no window reaches from one into
    the next. encoder: given, or fitted on all bars; series: of the features of this very history, shared with others.
    Raises DataError if a history is shorter than an episode, InputError if edges by symbol are wanted of a single
    history.

    last: the history of the last symbol; firsts: the number of each one's first bar, and that of all bars.
    """

    def __init__(
        self,
        config: TrainingConfig,
        history: TrainingBars,
        encoder: Encoder | None = None,
        series: Shared[np.ndarray] | None = None,
    ):
        for symbol, each in members(history):
            if len(each) <= config.episode_length:
                whose = "the history" if symbol is None else f"the history of {symbol!r}"
                raise DataError(
                    f"{whose} has {len(each)} bars, but an episode of {config.episode_length} steps needs at least "
                    f"{config.episode_length + 1}; give more data or a smaller episode_length"
                )
        columns = None if series is None else _shared_columns(config, history, encoder, series)
        if encoder is None:
            encoder = _fit(config, history, columns)
        self.history = history
        self.encoder = encoder
        self.last = members(history)[-1][1]
        self.firsts = np.cumsum([0, *(len(each) for _, each in members(history))])
        self._fill = config.environment.data.fill
        charges = [HoldingCharges(config, each.columns) for _, each in members(history)]
        self.bars = empty_bars(len(history), charged=bool(charges[0]))
        for place, (symbol, each) in enumerate(members(history)):
            first, charge = self.firsts[place], charges[place]
            stream = bar_stream(config, encoder, charged_fee_bps(config), is_new=charge.is_new, symbol=symbol)
            for start in range(0, len(each), CHUNK_BARS):
                chunk = each.slice(start, start + CHUNK_BARS)
                rows = slice(start, start + len(chunk))
                logs = log_columns(chunk) if columns is None else {k: of[rows] for k, of in columns[place].items()}
                part = self.bars.rows(slice(first + start, first + start + len(chunk)))
                stream.encode(logs, log_fill(logs, self._fill), part, charge.push(chunk) if charge else None)

    def recent(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Of the last n bars the log close, and the log price at which a position first held into each was entered, as
        of `entry_values`; float64 (n,)."""
        first = max(0, len(self.last) - n - 1)
        logs = log_columns(self.last.slice(first, None))
        entry = entry_values(logs["close"], log_fill(logs, self._fill))
        return logs["close"][-n:], entry[-n:]

    @property
    def nbytes(self) -> int:
        """The memory that its bars take."""
        return sum(column.nbytes for column in self.bars)

    def windows(self, length: int, step: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Of windows of `length` bars and one more, each `step` bars behind the one before: how many there are up to
        each symbol, and what to add to a window's number times the step for its first bar, both int64 (symbols,)."""
        sizes = np.diff(self.firsts)
        stops = np.cumsum((sizes - 1 - length) // step + 1)
        return stops, self.firsts[:-1] - np.concatenate(([0], stops[:-1])) * step


def _shared_columns(
    config: TrainingConfig, bars: TrainingBars, encoder: Encoder | None, series: Shared[np.ndarray]
) -> list[Columns]:
    """The columns of each history, with the series that are computed of them, once for all who share these."""
    features = resolve_features(config, bars.columns) if encoder is None else encoder.features
    found = []
    for place, (_, each) in enumerate(members(bars)):
        columns = log_columns(each)
        needed = needed_series(config, features)
        found.append(columns | {one: series.get((place, one), partial(computed, one, columns)) for one in needed})
    return found


def _fit(config: TrainingConfig, bars: TrainingBars, columns: Sequence[Columns] | None) -> Encoder:
    """An encoder fitted on all bars and, as the config wants, those of each symbol; columns: of each history, if they
    are there."""
    features = resolve_features(config, bars.columns)
    columns = [log_columns(each) for _, each in members(bars)] if columns is None else columns
    pooled = Encoder.fit(config, features, columns)
    if config.environment.data.edges == "pooled":
        return pooled
    if not isinstance(bars, Panel):
        raise InputError("environment.data.edges is 'per_symbol', but there is one history; give those of symbols")
    own = {symbol: Encoder.fit(config, features, [each]) for symbol, each in zip(bars.histories, columns, strict=True)}
    return replace(pooled, by_symbol=own)


class HistoryEnvironment(_MarketTape):
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
        market, history = self._market, self._market.last
        start = len(history) - n
        bars = market.bars.rows(slice(market.bars.observation.size - n, None))
        value, entry = market.recent(n)
        return self.tape(bars), MarketFacts(
            value=value,
            entry=entry,
            regime=bars.regime,
            risk=bars.risk,
            move=bars.move,
            close=history.close[start:],
            time=None if history.time is None else history.time[start:],
            after_gap=history.after_gap[start:],
        )


def log_columns(history: History) -> dict[str, np.ndarray]:
    """The columns that features read: logarithms of close, open and 1 + volume, others unchanged, and those three as
    they are under names that begin with `AS_IS`."""
    columns = dict(history.extra)
    for name in ("time", "high", "low"):
        if (values := getattr(history, name)) is not None:
            columns[name] = values
    for name in ("close", "open", "volume"):
        if (values := getattr(history, name)) is not None:
            columns[f"{AS_IS}{name}"] = values
    columns["close"] = np.log(history.close)
    if history.open is not None:
        columns["open"] = np.log(history.open)
    if history.volume is not None:
        columns["volume"] = np.log1p(history.volume)
    return columns


def log_fill(columns: Mapping[str, np.ndarray], fill: str) -> np.ndarray:
    """Log fill price of the decision made on the bar before, from `log_columns`: see `DataConfig.fill`; empty for
    same_close."""
    if fill == "same_close":
        return np.empty(0)
    return columns["open"] if fill == "next_open" and "open" in columns else columns["close"]


def make_environment(
    config: TrainingConfig, generators: Generators, bars: HistoryBars | None = None, encoder: Encoder | None = None
) -> Environment:
    """The environment of a config.

    bars: needed for kind "history" only; encoder: of the simulated crypto market, by default fitted on bars drawn from
    the calibration stream.
    """
    kind = config.environment.kind
    if kind == "synthetic":
        return SyntheticEnvironment(config, generators.environment)
    if kind == "history":
        if bars is None:
            raise DataError("environment.kind is 'history', but no history was given: set environment.data.path")
        return HistoryEnvironment(config, generators.environment, bars)
    if config.engine.compat:
        return CompatCryptoEnvironment(config, generators.environment)
    return CryptoEnvironment(config, generators, encoder)
