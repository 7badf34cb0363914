"""Causal features of market bars: their fitted bucket edges, and the tape rows made of them."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from idi_fast.config.feature_columns import MARKET_COLUMNS, SLOTS, feature_sizes, given_features
from idi_fast.config.feature_settings import FeatureConfig, NamedFeature
from idi_fast.config.plugin_hashes import config_hashes, plugin_hashes, read_hashes, require_plugins
from idi_fast.config.settings import TrainingConfig
from idi_fast.config.transforms import TRANSFORMS
from idi_fast.environments.series import (
    REGIME_TREND,
    SCALE,
    Columns,
    Feature,
    FeatureStream,
    Series,
    computed,
)
from idi_fast.kernels.encoding import Carry, Encoding, encode_bars
from idi_fast.kernels.market import charge_held, in_units

SKETCH = 65
"""Quantiles of a feature's training values, at equal shares with both ends."""
SKETCHED_BARS = 16_384
"""Bars that they are of, at equal distances, if there are twice as many or more: they are then exact to about 0.4 %."""
BLOCK_BARS = 16_384
"""Bars computed at a time, so that intermediate arrays stay in the second-level cache."""


def default_features(has_volume: bool) -> dict[str, FeatureConfig]:
    """The default features: independent of the price's scale, so that they survive a trend."""
    return {
        "price": FeatureConfig(column="close", transform="zscore", window=16),
        "volume": FeatureConfig(column="volume", transform="zscore", window=32)
        if has_volume
        else FeatureConfig(column="close", transform="volatility", window=16),
        "trend": FeatureConfig(column="close", transform="ema_ratio", window=32),
        "scarcity": FeatureConfig(column="close", transform="drawdown", window=64),
    }


def resolve_features(config: TrainingConfig, columns: Mapping[str, str]) -> dict[str, Feature]:
    """The config's features, with defaults for what it leaves open.

    columns: the file's name for each available column of the market; a feature may use either name.
    """
    roles = {found: role for role, found in columns.items() if role in MARKET_COLUMNS}
    defaults = default_features("volume" in columns)
    chosen = {name: given or defaults[name] for name, given in given_features(config).items()}
    return {
        name: replace(feature, column=roles.get(feature.column, feature.column), **_numbers(feature))
        for name, feature in chosen.items()
    }


def _numbers(feature: Feature) -> dict[str, int | float]:
    """What a feature of a list leaves to its transform, so that a policy says it for ever."""
    if not isinstance(feature, NamedFeature):
        return {}
    wanted = TRANSFORMS[feature.transform]
    names = [parameter.name for parameter in wanted.parameters]
    return dict(zip(names, feature.parameters, strict=True)) if wanted.uses_window else {}


def named(prefix: str, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The state of a part with prefixed names."""
    return {f"{prefix}.{name}": array for name, array in state.items()}


def longest_window(config: TrainingConfig, features: Mapping[str, Feature]) -> int:
    """The longest look-back, in bars, of the features in use, the scale of rewards and the regime."""
    sizes = feature_sizes(config)
    seen = [feature for name, feature in features.items() if sizes[name] > 1]
    return max(Series.of(feature).lookback for feature in (*seen, SCALE, REGIME_TREND))


@dataclass(frozen=True)
class Encoder:
    """Features and their bucket edges as fitted on training data; they never change.

    edges: for each of the features its float64 (buckets − 1,) inner edges; regime_edges float64 (3,);
    typical_volatility: median of the trailing volatility where it is above 0, as log return per bar; sketches: of each
    feature in use the `SKETCH` quantiles of its training values float64, from the least to the greatest, by which other
    bars can be told from them. Sketches encode nothing, and `to_dict` leaves them out. by_symbol: the encoders fitted
    on the bars of single symbols, by name, if they were: see `of_symbol`. plugins: of the user's functions that
    it was fitted with, features, the market and the reward, the SHA-256 of their source, by name.
    """

    features: dict[str, Feature]
    edges: tuple[np.ndarray, ...]
    regime_edges: np.ndarray
    typical_volatility: float
    by_symbol: Mapping[str, "Encoder"] = field(default_factory=dict)
    sketches: dict[str, np.ndarray] = field(default_factory=dict)
    plugins: dict[str, str] = field(default_factory=dict)

    @classmethod
    def fit(cls, config: TrainingConfig, features: dict[str, Feature], columns: Sequence[Columns]) -> "Encoder":
        """Fit edges to the training bars. columns: those of each history, over all of which one fits.

        A panic is the most volatile tenth; of the rest, bull and bear are the outer thirds of the trend.
        """
        edges, sketches, trend = [], {}, None
        for name, buckets in feature_sizes(config).items():
            if buckets == 1:
                edges.append(np.empty(0))
                continue
            # One at a time: all of them would take as much memory as everything else that a training holds.
            values = _computed(features[name], columns)
            if Series.of(features[name]) == Series.of(REGIME_TREND):
                trend = values
            edges.append(_fitted(features[name], buckets, values))
            sketches[name] = _sketch(values)
        trend_edges = np.quantile(_computed(REGIME_TREND, columns) if trend is None else trend, [1 / 3, 2 / 3])
        del trend
        volatility = _computed(SCALE, columns)
        panic_above, moving = np.quantile(volatility, 0.9), volatility[volatility > 0.0]
        if moving.size:
            typical = float(np.median(moving, overwrite_input=True))
        else:
            change = np.concatenate([np.diff(each["close"]) for each in columns])
            typical = float(np.sqrt(np.mean(change * change)))
        del volatility, moving
        return cls(
            features=features,
            edges=tuple(edges),
            regime_edges=np.array([panic_above, *trend_edges]),
            # A price that moves evenly has no volatility: its moves are the scale. A constant price needs none.
            typical_volatility=typical if typical > 0.0 else 1.0,
            sketches=sketches,
            plugins=config_hashes(config),
        )

    def of_symbol(self, symbol: str | None) -> "Encoder":
        """The encoder fitted on a symbol's bars; that of all bars for a symbol without one, and for None."""
        return self if symbol is None else self.by_symbol.get(symbol, self)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Buckets of each feature."""
        return tuple(edges.size + 1 for edges in self.edges)

    @property
    def unused(self) -> tuple[str, ...]:
        """Names of the features with one bucket, which carry no information."""
        return tuple(name for name, size in zip(self.features, self.sizes, strict=True) if size == 1)

    def to_dict(self) -> dict:
        """As JSON values, exact: floats round-trip through their shortest text."""
        listed = [feature.canonical() for feature in self.features.values()]
        is_list = any(isinstance(feature, NamedFeature) for feature in self.features.values())
        by_symbol = {symbol: encoder._fitted() for symbol, encoder in self.by_symbol.items()}
        return {
            "features": listed if is_list else dict(zip(self.features, listed, strict=True)),
            **self._fitted(),
            **({"by_symbol": by_symbol} if by_symbol else {}),
            **({"plugins": self.plugins} if self.plugins else {}),
        }

    def _fitted(self) -> dict:
        return {
            "edges": {name: edges.tolist() for name, edges in zip(self.features, self.edges, strict=True)},
            "regime_edges": self.regime_edges.tolist(),
            "typical_volatility": self.typical_volatility,
        }

    @classmethod
    def from_dict(cls, data: dict) -> "Encoder":
        """The inverse of `to_dict`. Raises ValueError for edges that are none, KeyError and TypeError; ArtifactError if
        the user has not loaded the functions that it needs."""
        require_plugins(plugins := read_hashes(data.get("plugins", {})))
        features: dict[str, Feature]
        if isinstance(data["features"], list):
            listed = [NamedFeature.from_dict(feature) for feature in data["features"]]
            features = {feature.name: feature for feature in listed}
            if len(features) != len(listed):
                raise ValueError("two features have the same name")
        else:
            features = {name: FeatureConfig(**data["features"][name]) for name in SLOTS}
        if not plugin_hashes(features.values()).keys() <= plugins.keys():
            raise ValueError("it does not say of what source its feature functions are")
        pooled = replace(cls._from_fitted(features, data), plugins=plugins)
        by_symbol = {
            symbol: replace(cls._from_fitted(features, fitted), plugins=plugins)
            for symbol, fitted in data.get("by_symbol", {}).items()
        }
        for symbol, encoder in by_symbol.items():
            if encoder.sizes != pooled.sizes:
                raise ValueError(f"the edges of {symbol!r} make {encoder.sizes} buckets; expected {pooled.sizes}")
        return replace(pooled, by_symbol=by_symbol)

    @classmethod
    def _from_fitted(cls, features: dict[str, Feature], data: dict) -> "Encoder":
        return cls(
            features=features,
            edges=tuple(_edges(data["edges"][name], name) for name in features),
            regime_edges=_edges(data["regime_edges"], "regime", 3),
            typical_volatility=float(_edges([data["typical_volatility"]], "typical_volatility", 1)[0]),
        )


def _fitted(feature: Feature, buckets: int, values: np.ndarray) -> np.ndarray:
    """Inner edges float64 (buckets − 1,) of values float64 (n,), finite."""
    how = feature.edges if isinstance(feature, NamedFeature) else "quantile"
    if isinstance(how, tuple):
        return np.array(how)
    transform, shares = TRANSFORMS[feature.transform], np.arange(1, buckets) / buckets
    if not transform.is_ordered:
        return transform.value_range[0] + np.arange(1.0, buckets)
    if how == "uniform":
        low, high = transform.value_range
        low = low if np.isfinite(low) else float(values.min())
        high = high if np.isfinite(high) else float(values.max())
        return low + shares * (high - low)
    return np.quantile(values, shares)


def _computed(feature: Feature, columns: Sequence[Columns]) -> np.ndarray:
    """A feature's values in all histories, float64 (bars,)."""
    series = Series.of(feature)
    found = [each[series] if series in each else computed(series, each) for each in columns]
    return found[0] if len(found) == 1 else np.concatenate(found)


def needed_series(config: TrainingConfig, features: Mapping[str, Feature]) -> list[Series]:
    """The series that an encoder of these features computes, each once."""
    sizes = feature_sizes(config)
    used = [feature for name, feature in features.items() if sizes[name] > 1]
    return list(dict.fromkeys(map(Series.of, (*used, SCALE, REGIME_TREND))))


def _sketch(values: np.ndarray) -> np.ndarray:
    """Quantiles float64 (SKETCH,) of values float64 (n,), each the nearest value that there is."""
    some = np.sort(values[:: max(1, values.size // SKETCHED_BARS)])
    return some[np.rint(np.linspace(0, some.size - 1, SKETCH)).astype(np.int64)]


def read_sketches(values: object, features: Collection[str]) -> dict[str, np.ndarray]:
    """`Encoder.sketches` from a mapping of lists. Raises ValueError."""
    if not isinstance(values, dict) or not values.keys() <= set(features):
        raise ValueError("the sketches are to be of features that there are")
    found = {name: _edges(values[name], f"the sketch {name}", SKETCH) for name in features if name in values}
    for name, sketch in found.items():
        if (np.diff(sketch) < 0.0).any():
            raise ValueError(f"the sketch of {name} is to increase")
    return found


def _edges(values: object, name: str, size: int | None = None) -> np.ndarray:
    """Edges float64 (n,) from a list of finite numbers; ValueError for anything else."""
    edges = None
    if isinstance(values, list) and all(type(value) in (int, float) for value in values):
        with suppress(OverflowError):  # of a whole number that no double holds
            edges = np.array(values, np.float64)
    if edges is None or not np.isfinite(edges).all() or size not in (None, edges.size):
        raise ValueError(f"the edges of {name} are to be {'' if size is None else f'{size} '}finite numbers")
    return edges


class Bars(NamedTuple):
    """The bars as the agent's environment has them, a row per bar: see `kernels.market.bar_returns` and
    `kernels.market.regimes`.

    observation int32, regime uint8, gap, change, cost, scarcity float64, move int8, risk uint8; each (n,). hold float64
    (n, 2), or (0, 2) where holding a position costs nothing: see `kernels.market.charge_held`.
    """

    observation: np.ndarray
    regime: np.ndarray
    gap: np.ndarray
    change: np.ndarray
    cost: np.ndarray
    scarcity: np.ndarray
    move: np.ndarray
    risk: np.ndarray
    hold: np.ndarray = np.empty((0, 2))

    def rows(self, chosen: slice | np.ndarray) -> "Bars":
        """Some of the bars; of a slice, views."""
        return Bars(*(column[chosen] if len(column) else column for column in self))


def empty_bars(n: int, *, charged: bool = False) -> Bars:
    """Room for n bars; charged: whether holding a position costs something."""
    return Bars(
        observation=np.empty(n, np.int32),
        regime=np.empty(n, np.uint8),
        gap=np.empty(n),
        change=np.empty(n),
        cost=np.empty(n),
        scarcity=np.empty(n),
        move=np.empty(n, np.int8),
        risk=np.empty(n, np.uint8),
        hold=np.empty((n if charged else 0, 2)),
    )


class BarStream:
    """Turns market columns into bars, chunk by chunk, with the edges of an encoder.

    is_new: where holding a position is charged, that of `kernels.market.charge_held`; unit: what bars are measured by,
    as log return, 0 for their own volatility; turnover_penalty: added to the cost of trading, in that measure.
    """

    def __init__(
        self, encoder: Encoder, fee_bps: float, *, is_new: int = 0, unit: float = 0.0, turnover_penalty: float = 0.0
    ):
        require_plugins(encoder.plugins)  # of the same source as when it was fitted
        self._features = FeatureStream(encoder.features, encoder.unused)
        names = list(encoder.features)
        self._encoding = Encoding(
            n_rows=len(self._features.parts),
            rows=self._features.rows,
            edges=np.concatenate(encoder.edges),
            first_edge=np.cumsum([0, *(edges.size for edges in encoder.edges)]),
            sizes=np.array(encoder.sizes),
            scarcity=names.index("scarcity") if "scarcity" in names else -1,
            regime_edges=encoder.regime_edges,
            typical=encoder.typical_volatility,
            window=SCALE.window,
            fee_rate=fee_bps / 1e4,
        )
        self._is_new, self._unit, self._turnover_penalty = is_new, unit, turnover_penalty
        self._carry = Carry(np.full(2, np.nan), np.full(1, -1), np.zeros(1, np.int64))
        self._values = np.empty(len(self._features.parts) * BLOCK_BARS)
        self._buckets = np.empty(len(names) * BLOCK_BARS, np.int32)

    @property
    def state(self) -> dict[str, np.ndarray]:
        """The arrays it resumes from."""
        own = {"carry": self._carry.bar, "last_scarcity": self._carry.scarcity, "seen": self._carry.seen}
        return {**own, **named("features", self._features.state)}

    def push(
        self,
        columns: Columns,
        log_fill: np.ndarray,
        charges: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Bars:
        """Bars of `columns` (see `log_columns`), each float64 (n,); `log_fill` (n,), or empty for the last close;
        charges: what a long and a short pay for being held, float64 (n,) each, None: nothing.

        The caller owns the arrays.
        """
        bars = empty_bars(columns["close"].size, charged=charges is not None)
        self.encode(columns, log_fill, bars, charges)
        return bars

    def encode(
        self,
        columns: Columns,
        log_fill: np.ndarray,
        bars: Bars,
        charges: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """The same into arrays of the caller."""
        is_first, fee_rate = self._carry.seen[0] == 0, self._encoding.fee_rate
        is_measured_later = charges is not None or self._unit > 0.0
        inputs, log_close = self._features.inputs(columns), columns["close"]
        compiled, windows, left = self._features.compiled(inputs)
        n, rows = log_close.size, len(self._features.parts)
        # What is measured later needs the volatility that bars are measured in.
        encoding = self._encoding._replace(n_rows=rows, fee_rate=1.0 if is_measured_later else fee_rate)
        # What is computed elsewhere is so for a block at a time, of a shape that the kernel knows.
        block = BLOCK_BARS if left else max(n, 1)
        for start in range(0, n, block):
            stop = min(n, start + block)
            if left:
                matrix = self._values[: rows * (stop - start)].reshape(rows, stop - start)
                self._features.fill(inputs, slice(start, stop), matrix, left)
            own = encoding, self._carry, self._buckets
            encode_bars(compiled, windows, self._values, start, stop, log_close, log_fill, *own, bars)
        if self._unit > 0.0:
            in_units(self._unit, bars.gap, bars.change, bars.cost)
        if charges is not None:
            charge_held(*charges, fee_rate, self._is_new, bars.gap, bars.change, bars.cost, bars.hold)
        elif is_measured_later:
            bars.cost[:] *= fee_rate
        if self._turnover_penalty:
            bars.cost[int(is_first) :] += self._turnover_penalty  # nothing is earned or paid on the first bar of all
