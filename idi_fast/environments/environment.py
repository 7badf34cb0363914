"""Environments: who makes the tape. Nothing the agent does moves the market, so each is computed ahead of the agent.

Every environment has `space`, `encoder` (None if nothing is fitted) and two methods: `fill(n)` makes the next n
rows of its tape, `facts(n)` the same rows with what a trace records about the market. Rows go by episodes: a reset
row, then `episode_length` step rows. Arrays that `fill` returns are overwritten by its next call. An environment that
a single kernel makes hands over its arrays by `source(n)`, so that training need not return for every block.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from idi_fast.config.own_functions import MARKETS
from idi_fast.config.settings import TrainingConfig
from idi_fast.config.transforms import TRANSFORMS
from idi_fast.environments.buffers import Buffers
from idi_fast.environments.charges import charged_fee_bps
from idi_fast.environments.features import (
    Bars,
    Encoder,
    empty_bars,
    named,
    resolve_features,
)
from idi_fast.environments.history_bars import HistoryBars, entry_values
from idi_fast.environments.history_environment import (
    HistoryEnvironment,
    MarketFacts,
    MarketTape,
    OwnMarketEnvironment,
)
from idi_fast.environments.rewards import bar_stream, reward_weights
from idi_fast.environments.rng import Generator, Generators
from idi_fast.environments.series import AS_IS, Feature
from idi_fast.environments.simulation import (
    LOG_VOLUME_LEVEL,
    CryptoMarket,
    SimulatedBars,
    finite,
    market_parameters,
    simulation_buffers,
)
from idi_fast.environments.state_space import StateSpace
from idi_fast.errors import DataError, NumericalError
from idi_fast.kernels import tape_mt19937, tape_words
from idi_fast.kernels.blocks import Synthetic
from idi_fast.kernels.crypto import N_REGIMES, START_PRICE
from idi_fast.kernels.learn import Tape

CALIBRATION_BARS = 65_536
"""Simulated bars to fit the crypto environment's bucket edges on: quantiles accurate to about 0.2 %."""


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


class CryptoEnvironment(MarketTape):
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


def make_environment(
    config: TrainingConfig, generators: Generators, bars: HistoryBars | None = None, encoder: Encoder | None = None
) -> Environment:
    """The environment of a config.

    bars: needed for kind "history" only; encoder: of the simulated crypto market and those of the user's, by default
    fitted on bars drawn from the calibration stream.
    """
    kind = config.environment.kind
    if kind == "synthetic":
        return SyntheticEnvironment(config, generators.environment)
    if kind == "history":
        if bars is None:
            raise DataError("environment.kind is 'history', but no history was given: set environment.data.path")
        return HistoryEnvironment(config, generators.environment, bars)
    if kind in MARKETS:
        return OwnMarketEnvironment(config, generators, encoder)
    if config.engine.compat:
        return CompatCryptoEnvironment(config, generators.environment)
    return CryptoEnvironment(config, generators, encoder)
