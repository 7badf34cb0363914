"""Series: what is computed of the columns of bars, whatever it is used for, in chunks of any size."""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from idi_fast.config.feature_columns import MARKET_COLUMNS, columns_read
from idi_fast.config.feature_settings import FeatureConfig, NamedFeature
from idi_fast.config.plugins import Plugin
from idi_fast.config.transforms import TRANSFORMS, Transform
from idi_fast.environments.own_features import OwnSeries
from idi_fast.environments.own_steps import StepSeries
from idi_fast.errors import DataError
from idi_fast.kernels import features as kernels

Feature = FeatureConfig | NamedFeature

LOGARITHMIC = ("log_return", "drawdown", "ema_ratio", "volatility")
"""Transforms of logarithms. The market's own columns are logarithms; the rest takes others unchanged."""

# Trailing volatility scales rewards and, with the trend, sets the regime; 32 bars follow a change of either within
# about one average regime of the simulated market.
SCALE = FeatureConfig(column="close", transform="volatility", window=32)
REGIME_TREND = FeatureConfig(column="close", transform="ema_ratio", window=32)
AS_IS = "="
"""What the names of close, open and volume begin with where they are no logarithms."""

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
    """A series in chunks of any size.

    state: the arrays it resumes from; is_given: its values come as they are; is_compiled: its kernel is called by
    `kernels.features.push_series`; own: what computes it, if that is a function of the user's.
    """

    def __init__(self, series: Series):
        self.series, self.is_given, self.is_compiled = series, False, False
        transform = TRANSFORMS[series.transform]
        self._parameters: tuple[int | float, ...] = ()
        self.own: OwnSeries | StepSeries | None = None
        if isinstance(transform, Plugin):
            window = int(series.parameters[0])
            self.own = (
                StepSeries(transform, window) if transform.is_step else OwnSeries(transform, series.columns, window)
            )
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


def _compiled(parts: Sequence[SeriesStream]) -> kernels.Windows:
    """The state of those parts that `push_series` computes, which they then share with it."""
    columns: dict[Hashable, int] = {}
    kinds, inputs, windows = [], [], []
    for part in parts:
        series = part.series
        # The same column may be read as it is and as its logarithm.
        column = series.columns, series.transform in LOGARITHMIC
        part.is_compiled = TRANSFORMS[series.transform].kernel is None and (
            column in columns or len(columns) < kernels.COLUMNS
        )
        kinds.append(kernels.TRANSFORMS.index(series.transform) if part.is_compiled else -1)
        inputs.append(columns.setdefault(column, len(columns)) if part.is_compiled else 0)
        windows.append(part.state["ring"].size if part.is_compiled else 0)
    first = np.cumsum([0, *windows])
    made = kernels.Windows(
        kinds=np.array(kinds),
        inputs=np.array(inputs),
        rings=np.zeros(first[-1]),
        first_ring=first,
        moments=np.zeros((len(parts), 4)),
        seen=np.zeros((len(parts), 1), np.int64),
    )
    for k, part in enumerate(parts):
        if part.is_compiled:
            ring = made.rings[first[k] : first[k + 1]]
            part.state = {"ring": ring, "moments": made.moments[k], "seen": made.seen[k]}
    return made


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
        self._windows = _compiled(self.parts)
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

    def compiled(
        self, inputs: Sequence[tuple[np.ndarray, ...]]
    ) -> tuple[tuple[np.ndarray, ...], kernels.Windows, list[int]]:
        """What `push_series` takes to compute the next bars, and which series it leaves to `fill`."""
        left = [k for k, part in enumerate(self.parts) if part.is_given or not part.is_compiled]
        windows, size = self._windows, self._windows.kinds.size
        if any(self.parts[k].is_compiled for k in left):
            windows = windows._replace(kinds=windows.kinds.copy())
            windows.kinds[[k for k in left if k < size]] = -1
        columns = [inputs[0][0].view(np.float64)] * kernels.COLUMNS  # of those that nobody reads any will do
        for k in range(size):
            if windows.kinds[k] >= 0:
                columns[windows.inputs[k]] = inputs[k][0]
        return tuple(columns), windows, left

    def fill(
        self, inputs: Sequence[tuple[np.ndarray, ...]], bars: slice, values: np.ndarray, which: Iterable[int]
    ) -> None:
        """Compute series of some of the bars, which are the next, into values float64 (series, bars)."""
        for k in which:
            self.parts[k].push(tuple(column[bars] for column in inputs[k]), values[k])

    def push(self, columns: Columns) -> list[np.ndarray]:
        """Features float64 (n,) in their order, then the volatility and the regime's trend; equal ones are the same
        array. Unused ones are undefined."""
        values = np.empty((len(self.parts), columns["close"].size))
        self.fill(self.inputs(columns), slice(None), values, range(len(self.parts)))
        return [values[row] for row in self.rows]


def computed(series: Series, columns: Columns) -> np.ndarray:
    """A series of all the bars, float64 (n,). Raises DataError, InputError for a user's function that looks ahead."""
    out = np.empty(columns["close"].size)
    stream, inputs = SeriesStream(series), series.inputs(columns)
    if isinstance(stream.own, OwnSeries):
        stream.own.check_causal(inputs, columns.get("time"))
    stream.push(inputs, out)
    return out
