"""Causal features of market bars: their transforms, fitted bucket edges, and the tape rows made of them."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

import numpy as np

from idi_fast.config.feature_columns import FEATURES, MARKET_COLUMNS, feature_in_use
from idi_fast.config.settings import FeatureConfig, TrainingConfig
from idi_fast.errors import DataError
from idi_fast.kernels import features as transforms
from idi_fast.kernels.encoding import Carry, Encoding, encode_bars
from idi_fast.kernels.market import charge_held, in_units

LOGARITHMIC = ("log_return", "drawdown", "ema_ratio", "volatility")
"""Transforms of logarithms. The market's own columns are logarithms; the rest takes others unchanged."""

# Trailing volatility scales rewards and, with the trend, sets the regime; 32 bars follow a change of either within
# about one average regime of the simulated market.
SCALE = FeatureConfig(column="close", transform="volatility", window=32)
REGIME_TREND = FeatureConfig(column="close", transform="ema_ratio", window=32)
ROWS = (*FEATURES, "scale", "regime_trend")
"""What is computed for each bar: the four features and those two."""
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


def resolve_features(config: TrainingConfig, columns: dict[str, str]) -> dict[str, FeatureConfig]:
    """The config's features, with defaults for those it does not name.

    columns: the file's name for each available column of the market; a feature may use either name.
    """
    roles = {found: role for role, found in columns.items() if role in MARKET_COLUMNS}
    defaults = default_features("volume" in columns)
    chosen = {name: getattr(config.features, name) or defaults[name] for name in FEATURES}
    return {
        name: replace(feature, column=roles.get(feature.column, feature.column)) for name, feature in chosen.items()
    }


def named(prefix: str, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The state of a part with prefixed names."""
    return {f"{prefix}.{name}": array for name, array in state.items()}


class FeatureStream:
    """The features of an encoder over one series, in chunks; `unused` ones are not computed."""

    def __init__(self, features: dict[str, FeatureConfig], unused: Collection[str] = ()):
        chosen = {**features, "scale": SCALE, "regime_trend": REGIME_TREND}
        self._rows = [chosen[name] for name in ROWS]
        self._used = [name not in unused for name in ROWS]
        # Equal ones, as by default the trend and that of the regime, are computed once.
        same = [k if not used else self._first(k) for k, used in enumerate(self._used)]
        states = {row: (np.zeros(row.window), np.zeros(4), np.zeros(1, np.int64)) for row in self._rows}
        places = [transforms.TRANSFORMS.index(row.transform) for row in self._rows]
        kinds = np.where(self._used, places, -1)
        rings, moments, seen = zip(*(states[row] for row in self._rows), strict=True)
        self.parts = transforms.Features(kinds, np.array(same), rings, moments, seen)

    def _first(self, k: int) -> int:
        return next(i for i in range(k + 1) if self._used[i] and self._rows[i] == self._rows[k])

    @property
    def state(self) -> dict[str, np.ndarray]:
        """The arrays it resumes from."""
        parts = self.parts
        states = zip(parts.rings, parts.moments, parts.seen, strict=True)
        arrays = (zip((f"{k}.ring", f"{k}.moments", f"{k}.seen"), own, strict=True) for k, own in enumerate(states))
        return {name: array for own in arrays for name, array in own}

    def inputs(self, columns: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        """The inputs of each row, float64 (n,): see `kernels.features.push_features`. Raises DataError."""
        found: list[np.ndarray] = []
        for k, (row, used) in enumerate(zip(self._rows, self._used, strict=True)):
            same = self.parts.same[k]
            if used and row.column not in columns:
                has = ", ".join(sorted(columns))
                raise DataError(f"a feature needs the column {row.column!r}, but the data has {has}")
            if used:
                found.append(found[same] if same < k else _input(row, columns[row.column]))
            else:
                found.append(columns["close"])  # any will do
        return tuple(found)

    def push(self, columns: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Features float64 (n,): price, volume, trend, scarcity, then volatility and the regime's trend; equal ones are
        the same array. Those that are not computed are undefined."""
        matrix = np.empty((len(ROWS), columns["close"].size))
        transforms.push_features(self.inputs(columns), 0, self.parts, matrix)
        return [matrix[k] for k in self.parts.same]


def _input(feature: FeatureConfig, values: np.ndarray) -> np.ndarray:
    """The values, or their logarithms if the transform needs these and they are not logarithms yet."""
    values = np.require(values, np.float64, ["C", "W"])
    if feature.transform in LOGARITHMIC and feature.column not in MARKET_COLUMNS:
        if values.size and values.min() <= 0.0:
            raise DataError(
                f"{feature.transform} takes the logarithm of column {feature.column!r}, which holds "
                f"{values.min():g}; expected numbers above 0 (zscore and level take any)"
            )
        return np.log(values)
    return values


def longest_window(config: TrainingConfig, features: dict[str, FeatureConfig]) -> int:
    """The longest look-back, in bars, of the features in use, the scale of rewards and the regime."""
    seen = [feature for name, feature in features.items() if feature_in_use(config, name)]
    return max(feature.window for feature in (*seen, SCALE, REGIME_TREND))


@dataclass(frozen=True)
class Encoder:
    """Features and their bucket edges as fitted on training data; they never change.

    edges: for each of the four features its float64 (buckets − 1,) inner edges; regime_edges float64 (3,);
    typical_volatility: median of the trailing volatility where it is above 0, as log return per bar; by_symbol: the
    encoders fitted on the bars of single symbols, by name, if they were: see `of_symbol`.
    """

    features: dict[str, FeatureConfig]
    edges: tuple[np.ndarray, ...]
    regime_edges: np.ndarray
    typical_volatility: float
    by_symbol: Mapping[str, "Encoder"] = field(default_factory=dict)

    @classmethod
    def fit(
        cls, config: TrainingConfig, features: dict[str, FeatureConfig], columns: Sequence[dict[str, np.ndarray]]
    ) -> "Encoder":
        """Fit edges at equal shares of the training bars. columns: those of each history, over all of which one fits.

        A panic is the most volatile tenth; of the rest, bull and bear are the outer thirds of the trend.
        """
        unused = [name for name in FEATURES if not feature_in_use(config, name)]

        def pooled(name: str) -> np.ndarray:
            # One at a time: all of them would take as much memory as everything else that a training holds.
            others = [row for row in ROWS if row != name]
            found = [FeatureStream(features, others).push(each)[ROWS.index(name)] for each in columns]
            return found[0] if len(found) == 1 else np.concatenate(found)

        edges = []
        for name in FEATURES:
            shares = np.arange(1, buckets := getattr(config.quantizer, f"{name}_buckets")) / buckets
            edges.append(np.empty(0) if name in unused else np.quantile(pooled(name), shares))
        volatility = pooled("scale")
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
            regime_edges=np.array([panic_above, *np.quantile(pooled("regime_trend"), [1 / 3, 2 / 3])]),
            # A price that moves evenly has no volatility: its moves are the scale. A constant price needs none.
            typical_volatility=typical if typical > 0.0 else 1.0,
        )

    def of_symbol(self, symbol: str | None) -> "Encoder":
        """The encoder fitted on a symbol's bars; that of all bars for a symbol without one, and for None."""
        return self if symbol is None else self.by_symbol.get(symbol, self)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Buckets of each of the four features."""
        return tuple(edges.size + 1 for edges in self.edges)

    @property
    def unused(self) -> tuple[str, ...]:
        """Names of the features with one bucket, which carry no information."""
        return tuple(name for name, size in zip(FEATURES, self.sizes, strict=True) if size == 1)

    def to_dict(self) -> dict:
        """As JSON values, exact: floats round-trip through their shortest text."""
        by_symbol = {symbol: encoder._fitted() for symbol, encoder in self.by_symbol.items()}
        return {
            "features": {name: asdict(feature) for name, feature in self.features.items()},
            **self._fitted(),
            **({"by_symbol": by_symbol} if by_symbol else {}),
        }

    def _fitted(self) -> dict:
        return {
            "edges": {name: edges.tolist() for name, edges in zip(FEATURES, self.edges, strict=True)},
            "regime_edges": self.regime_edges.tolist(),
            "typical_volatility": self.typical_volatility,
        }

    @classmethod
    def from_dict(cls, data: dict) -> "Encoder":
        """The inverse of `to_dict`. Raises ValueError for edges that are none, KeyError and TypeError."""
        features = {name: FeatureConfig(**data["features"][name]) for name in FEATURES}
        pooled = cls._from_fitted(features, data)
        by_symbol = {symbol: cls._from_fitted(features, fitted) for symbol, fitted in data.get("by_symbol", {}).items()}
        for symbol, encoder in by_symbol.items():
            if encoder.sizes != pooled.sizes:
                raise ValueError(f"the edges of {symbol!r} make {encoder.sizes} buckets; expected {pooled.sizes}")
        return replace(pooled, by_symbol=by_symbol)

    @classmethod
    def _from_fitted(cls, features: dict[str, FeatureConfig], data: dict) -> "Encoder":
        return cls(
            features=features,
            edges=tuple(_edges(data["edges"][name], name) for name in FEATURES),
            regime_edges=_edges(data["regime_edges"], "regime", 3),
            typical_volatility=float(_edges([data["typical_volatility"]], "typical_volatility", 1)[0]),
        )


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
        self._features = FeatureStream(encoder.features, encoder.unused)
        self._encoding = Encoding(
            encoder.edges,
            np.array(encoder.sizes),
            encoder.regime_edges,
            encoder.typical_volatility,
            SCALE.window,
            fee_bps / 1e4,
        )
        self._is_new, self._unit, self._turnover_penalty = is_new, unit, turnover_penalty
        self._carry = Carry(np.full(2, np.nan), np.full(1, -1), np.zeros(1, np.int64))
        self._room = np.empty(len(ROWS) * BLOCK_BARS), np.empty(len(FEATURES) * BLOCK_BARS, np.int32)

    @property
    def state(self) -> dict[str, np.ndarray]:
        """The arrays it resumes from."""
        own = {"carry": self._carry.bar, "last_scarcity": self._carry.scarcity, "seen": self._carry.seen}
        return {**own, **named("features", self._features.state)}

    def push(
        self,
        columns: dict[str, np.ndarray],
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
        columns: dict[str, np.ndarray],
        log_fill: np.ndarray,
        bars: Bars,
        charges: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """The same into arrays of the caller."""
        encoding, is_first = self._encoding, self._carry.seen[0] == 0
        is_measured_later = charges is not None or self._unit > 0.0
        if is_measured_later:  # which needs the volatility that bars are measured in
            encoding = encoding._replace(fee_rate=1.0)
        encode_bars(
            self._features.inputs(columns),
            columns["close"],
            log_fill,
            self._features.parts,
            encoding,
            self._carry,
            *self._room,
            bars,
        )
        if self._unit > 0.0:
            in_units(self._unit, bars.gap, bars.change, bars.cost)
        fee_rate = self._encoding.fee_rate
        if charges is not None:
            charge_held(*charges, fee_rate, self._is_new, bars.gap, bars.change, bars.cost, bars.hold)
        elif is_measured_later:
            bars.cost[:] *= fee_rate
        if self._turnover_penalty:
            bars.cost[int(is_first) :] += self._turnover_penalty  # nothing is earned or paid on the first bar of all
