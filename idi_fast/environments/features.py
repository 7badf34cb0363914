"""Causal features of market bars: their transforms, fitted bucket edges, and the tape rows made of them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from idi_fast.config.feature_columns import MARKET_COLUMNS, SLOTS, columns_read, feature_sizes, given_features
from idi_fast.config.plugins import Plugin, plugin_hashes, read_hashes, require_plugins
from idi_fast.config.settings import FeatureConfig, NamedFeature, TrainingConfig
from idi_fast.config.transforms import TRANSFORMS, Transform
from idi_fast.environments.own_features import OwnSeries
from idi_fast.errors import DataError
from idi_fast.kernels import features as kernels
from idi_fast.kernels.encoding import Carry, Encoding, encode_bars
from idi_fast.kernels.market import charge_held, in_units

Feature = FeatureConfig | NamedFeature

LOGARITHMIC = ("log_return", "drawdown", "ema_ratio", "volatility")
"""Transforms of logarithms. The market's own columns are logarithms; the rest takes others unchanged."""

# Trailing volatility scales rewards and, with the trend, sets the regime; 32 bars follow a change of either within
# about one average regime of the simulated market.
SCALE = FeatureConfig(column="close", transform="volatility", window=32)
REGIME_TREND = FeatureConfig(column="close", transform="ema_ratio", window=32)
AS_IS = "="
"""What the names of close, open and volume begin with where they are no logarithms."""
SKETCH = 65
"""Quantiles of a feature's training values, at equal shares with both ends."""
SKETCHED_BARS = 65_536
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


Columns = Mapping[Any, np.ndarray]
"""Columns (n,) by name, and values that were computed before by their `Series`."""


class Series(NamedTuple):
    """What is computed of which columns, whatever it is called; the window is the first of the parameters."""

    transform: str
    columns: tuple[str, ...]
    parameters: tuple[int | float, ...]

    @classmethod
    def of(cls, feature: Feature) -> "Series":
        """That of a feature."""
        is_named = isinstance(feature, NamedFeature)
        return cls(feature.transform, columns_read(feature), feature.parameters if is_named else (feature.window,))

    @property
    def lookback(self) -> int:
        """Bars that it looks back over, at least."""
        transform = TRANSFORMS[self.transform]
        if isinstance(transform, Plugin):
            return max(1, transform.lookback(int(self.parameters[0])))
        return sum(value for value in self.parameters if isinstance(value, int))

    def inputs(self, columns: Columns) -> tuple[np.ndarray, ...]:
        """Its inputs, as its kernel takes them, each (n,). Raises DataError."""
        for name in self.columns:
            if name not in columns:
                has = ", ".join(sorted(name for name in columns if isinstance(name, str) and name[:1] != AS_IS))
                raise DataError(f"a feature needs the column {name!r}, but the data has {has}")
        if TRANSFORMS[self.transform].kernel is None:
            return (self._logarithm(columns[self.columns[0]]),)
        found = (columns[f"{AS_IS}{name}" if name in MARKET_COLUMNS else name] for name in self.columns)
        kinds = (np.int64 if name == "time" else np.float64 for name in self.columns)
        return tuple(np.require(values, kind, ["C", "W"]) for values, kind in zip(found, kinds, strict=True))

    def _logarithm(self, values: np.ndarray) -> np.ndarray:
        """The values float64 (n,), or their logarithms if the transform needs these and they are not logarithms."""
        values, column = np.require(values, np.float64, ["C", "W"]), self.columns[0]
        if self.transform in LOGARITHMIC and column not in MARKET_COLUMNS:
            if values.size and values.min() <= 0.0:
                raise DataError(
                    f"{self.transform} takes the logarithm of column {column!r}, which holds "
                    f"{values.min():g}; expected numbers above 0 (zscore and level take any)"
                )
            return np.log(values)
        return values


def transform_kernel(transform: Transform) -> Callable[..., None]:
    """The kernel of a transform that has one of its own, which is only then imported."""
    module, _, name = (transform.kernel or "").partition(".")
    return getattr(import_module(f"idi_fast.kernels.{module}"), name)


class SeriesStream:
    """A series in chunks of any size; `state` are the arrays it resumes from; is_given: its values come as they are;
    own: what computes it, if that is a function of the user's."""

    def __init__(self, series: Series):
        self.series, self.is_given = series, False
        transform = TRANSFORMS[series.transform]
        self._parameters: tuple[int | float, ...] = ()
        self.own = None
        if isinstance(transform, Plugin):
            self.own = OwnSeries(transform, series.columns, int(series.parameters[0]))
            self.state = self.own.state
        elif transform.kernel is None:
            window = int(series.parameters[0])
            self.state = {"ring": np.zeros(window), "moments": np.zeros(4), "seen": np.zeros(1, np.int64)}
            self._kernel = getattr(kernels, series.transform)
        else:
            self.state = {"state": np.zeros(transform.state_size(*series.parameters))}
            self._parameters = series.parameters
            self._kernel = transform_kernel(transform)

    def push(self, inputs: tuple[np.ndarray, ...], out: np.ndarray) -> None:
        """Compute the next values into `out` float64 (n,)."""
        if self.is_given:
            out[:] = inputs[0]
        elif self.own is not None:
            self.own.push(inputs, out)
        else:
            self._kernel(*inputs, *self._parameters, *self.state.values(), out)


class FeatureStream:
    """Features over one series of bars, in chunks; `unused` ones are not computed, equal ones once.

    rows int64 (features + 2,): which of the series computed is that of each feature, of the scale of rewards and of the
    regime's trend; of unused ones any.
    """

    def __init__(self, features: Mapping[str, Feature], unused: Collection[str] = ()):
        wanted = [None if name in unused else Series.of(feature) for name, feature in features.items()]
        wanted += [Series.of(SCALE), Series.of(REGIME_TREND)]
        places = {series: place for place, series in enumerate(dict.fromkeys(filter(None, wanted)))}
        self.parts = [SeriesStream(series) for series in places]
        self.rows = np.array([0 if series is None else places[series] for series in wanted], np.int64)

    @property
    def state(self) -> dict[str, np.ndarray]:
        """The arrays it resumes from."""
        return {f"{k}.{name}": array for k, part in enumerate(self.parts) for name, array in part.state.items()}

    def inputs(self, columns: Columns) -> list[tuple[np.ndarray, ...]]:
        """The inputs of each series, each (n,); of one that is among the columns itself. Raises DataError."""
        for part in self.parts:
            part.is_given = part.series in columns
        return [(columns[part.series],) if part.is_given else part.series.inputs(columns) for part in self.parts]

    def fill(self, inputs: Sequence[tuple[np.ndarray, ...]], bars: slice, values: np.ndarray) -> None:
        """Compute some of the bars, which are the next, into values float64 (series, bars)."""
        for part, columns, out in zip(self.parts, inputs, values, strict=True):
            part.push(tuple(column[bars] for column in columns), out)

    def push(self, columns: Columns) -> list[np.ndarray]:
        """Features float64 (n,) in their order, then the volatility and the regime's trend; equal ones are the same
        array. Unused ones are undefined."""
        values = np.empty((len(self.parts), columns["close"].size))
        self.fill(self.inputs(columns), slice(None), values)
        return [values[row] for row in self.rows]


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
    on the bars of single symbols, by name, if they were: see `of_symbol`. plugins: of the user's functions among the
    features the SHA-256 of their source, by name.
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
        edges, sketches = [], {}
        for name, buckets in feature_sizes(config).items():
            if buckets == 1:
                edges.append(np.empty(0))
                continue
            # One at a time: all of them would take as much memory as everything else that a training holds.
            values = _computed(features[name], columns)
            edges.append(_fitted(features[name], buckets, values))
            sketches[name] = _sketch(values)
        volatility = _computed(SCALE, columns)
        panic_above, moving = np.quantile(volatility, 0.9), volatility[volatility > 0.0]
        if moving.size:
            typical = float(np.median(moving))
        else:
            change = np.concatenate([np.diff(each["close"]) for each in columns])
            typical = float(np.sqrt(np.mean(change * change)))
        del volatility, moving
        return cls(
            features=features,
            edges=tuple(edges),
            regime_edges=np.array([panic_above, *np.quantile(_computed(REGIME_TREND, columns), [1 / 3, 2 / 3])]),
            # A price that moves evenly has no volatility: its moves are the scale. A constant price needs none.
            typical_volatility=typical if typical > 0.0 else 1.0,
            sketches=sketches,
            plugins=plugin_hashes(features.values()),
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
        if plugin_hashes(features.values()).keys() != plugins.keys():
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


def computed(series: Series, columns: Columns) -> np.ndarray:
    """A series of all the bars, float64 (n,). Raises DataError, InputError for a user's function that looks ahead."""
    out = np.empty(columns["close"].size)
    stream, inputs = SeriesStream(series), series.inputs(columns)
    if stream.own is not None:
        stream.own.check_causal(inputs, columns.get("time"))
    stream.push(inputs, out)
    return out


def needed_series(config: TrainingConfig, features: Mapping[str, Feature]) -> list[Series]:
    """The series that an encoder of these features computes, each once."""
    sizes = feature_sizes(config)
    used = [feature for name, feature in features.items() if sizes[name] > 1]
    return list(dict.fromkeys(map(Series.of, (*used, SCALE, REGIME_TREND))))


def _sketch(values: np.ndarray) -> np.ndarray:
    """Quantiles float64 (SKETCH,) of values float64 (n,)."""
    return np.quantile(values[:: max(1, values.size // SKETCHED_BARS)], np.linspace(0.0, 1.0, SKETCH))


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

    def rows(self, chosen: slice) -> "Bars":
        """Some of the bars, as views."""
        return Bars(*(column[chosen] for column in self))


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
        self._buckets = np.empty((len(names), BLOCK_BARS), np.int32)

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
        encoding, is_first = self._encoding, self._carry.seen[0] == 0
        is_measured_later = charges is not None or self._unit > 0.0
        if is_measured_later:  # which needs the volatility that bars are measured in
            encoding = encoding._replace(fee_rate=1.0)
        inputs, log_close = self._features.inputs(columns), columns["close"]
        n, rows, block = log_close.size, len(self._features.parts), self._buckets.shape[1]
        for start in range(0, n, block):
            size = min(block, n - start)
            # Room of its own shape, so that a shorter last block lies as densely.
            values = self._values[: rows * size].reshape(rows, size)
            self._features.fill(inputs, slice(start, start + size), values)
            encode_bars(values, start, log_close, log_fill, encoding, self._carry, self._buckets, bars)
        if self._unit > 0.0:
            in_units(self._unit, bars.gap, bars.change, bars.cost)
        fee_rate = self._encoding.fee_rate
        if charges is not None:
            charge_held(*charges, fee_rate, self._is_new, bars.gap, bars.change, bars.cost, bars.hold)
        elif is_measured_later:
            bars.cost[:] *= fee_rate
        if self._turnover_penalty:
            bars.cost[int(is_first) :] += self._turnover_penalty  # nothing is earned or paid on the first bar of all
