"""The transforms that a feature may be: what each reads, its parameters, its range and its source.

Each is causal and streaming: a series may come in chunks of any size with bit-identical results. docs/FEATURES.md has
their formulas.
"""

from collections.abc import Callable
from dataclasses import dataclass

LONGEST = 1_000_000
LONGEST_IN_ORDER = 10_000
"""Of a window whose every value is looked at for each bar."""
INFINITY = float("inf")
FIXED_INPUTS = ("open", "high", "low", "close", "volume", "time")
"""Inputs that are a column of the market; "column" is the feature's own column, "other" a second one that it names."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A number that a transform takes: an int if its default is one, else a float."""

    name: str
    default: int | float
    minimum: int | float
    maximum: int | float
    description: str


@dataclass(frozen=True, kw_only=True)
class Transform:
    """How one or more columns become a feature.

    Parameters
    ----------
    name : str
        Its name in a config.
    inputs : tuple of str
        What it reads, in order: "column", "other" or some of FIXED_INPUTS. Prices are prices, not logarithms, except
        where the kernel is None.
    kernel : str or None
        By name, a module of `idi_fast.kernels` and its `kernel(*inputs, *parameters, state, out)`. Inputs are float64
        (n,), time int64 (n,) in ns UTC; out float64 (n,) is finite where the inputs are. state float64
        (state_size(*parameters),), zeros before the first bar, is carried from chunk to chunk. None: the kernel is the
        one of this transform's name in `kernels.features`.
    parameters : tuple of Parameter
        The window first; what looks back over nothing has a window of 1, which it does not use.
    state_size : callable
        How many float64 its state has, of the parameters.
    value_range : tuple of float
        The least and the greatest value, infinite where there is none.
    is_ordered : bool
        Whether a greater value is more of something; if not, each value is a whole number, and a bucket of its own.
    source : str
        Who defined it.
    description : str
        A sentence.
    """

    name: str
    inputs: tuple[str, ...] = ("column",)
    kernel: str | None = None
    parameters: tuple[Parameter, ...]
    state_size: Callable[..., int] = lambda window: window + 4
    value_range: tuple[float, float] = (-INFINITY, INFINITY)
    is_ordered: bool = True
    source: str
    description: str

    @property
    def default_window(self) -> int:
        """The window where none is given."""
        return int(self.parameters[0].default)

    def reads(self, column: str, other: str | None) -> tuple[str, ...]:
        """The columns that it reads, in the order of its inputs, for a feature that names these two."""
        named = {"column": column, "other": other or ""}
        return tuple(named.get(name, name) for name in self.inputs)

    @property
    def categories(self) -> int | None:
        """The number of its values where these have no order."""
        least, greatest = self.value_range
        return None if self.is_ordered else int(greatest - least) + 1

    @property
    def uses_window(self) -> bool:
        """Whether it looks back over a window."""
        return self.parameters[0].maximum > 1


def _window(default: int, minimum: int, maximum: int = LONGEST) -> Parameter:
    text = "Bars it looks back over."
    return Parameter(name="window", default=default, minimum=minimum, maximum=maximum, description=text)


def _count(name: str, default: int, minimum: int, description: str) -> Parameter:
    return Parameter(name=name, default=default, minimum=minimum, maximum=LONGEST, description=description)


NO_WINDOW = Parameter(name="window", default=1, minimum=1, maximum=1, description="It looks back over nothing.")

_EVERY = (
    # Those of `kernels.features`: they take the logarithms of close, open and volume.
    Transform(
        name="zscore",
        parameters=(_window(32, 2),),
        source="standard score",
        description="Deviations from the mean of the window.",
    ),
    Transform(
        name="volatility",
        parameters=(_window(32, 2),),
        value_range=(0.0, INFINITY),
        source="sample standard deviation",
        description="Deviation of the log returns of the window.",
    ),
    Transform(
        name="log_return",
        parameters=(_window(1, 1),),
        source="definition",
        description="Log return over the window.",
    ),
    Transform(
        name="drawdown",
        parameters=(_window(64, 1),),
        value_range=(-INFINITY, 0.0),
        source="definition",
        description="Logarithm of the share that is left of the highest of the window.",
    ),
    Transform(
        name="ema_ratio",
        parameters=(_window(32, 1),),
        source="Brown 1956",
        description="Logarithm less its exponential average.",
    ),
    Transform(
        name="level",
        parameters=(NO_WINDOW,),
        source="definition",
        description="The column itself, of close, open and volume the logarithm.",
    ),
    # Returns, and other comparisons with one value.
    Transform(
        name="simple_return",
        kernel="returns.simple_return",
        parameters=(
            _window(1, 1),
            _count("lag", 0, 0, "Bars ago that the return ends."),
        ),
        state_size=lambda window, lag: window + lag + 3,
        source="definition",
        description="Return over the window, as it was some bars ago.",
    ),
    Transform(
        name="lag",
        kernel="returns.lag",
        state_size=lambda window: window + 2,
        parameters=(_window(1, 1),),
        source="definition",
        description="The column as it was a window ago.",
    ),
    Transform(
        name="spread",
        inputs=("column", "other"),
        kernel="returns.spread",
        parameters=(NO_WINDOW,),
        state_size=lambda window: 0,
        source="definition",
        description="Distance to another column, as a share of it.",
    ),
    Transform(
        name="run_up",
        kernel="returns.run_up",
        parameters=(_window(64, 2),),
        value_range=(0.0, INFINITY),
        source="definition",
        description="Rise above the lowest of the window, as a share of it.",
    ),
    # Averages.
    Transform(
        name="sma_ratio",
        kernel="averages.sma_ratio",
        parameters=(_window(32, 2),),
        source="definition",
        description="Distance to the mean of the window, as a share of it.",
    ),
    Transform(
        name="macd_histogram",
        kernel="averages.macd_histogram",
        parameters=(
            _window(26, 2),
            _count("fast", 12, 1, "Span of the fast average."),
            _count("signal", 9, 1, "Span of the average of the MACD."),
        ),
        state_size=lambda window, fast, signal: 4,
        source="Appel 2005; Aspray 1986",
        description="MACD less its exponential average, as a share of the column; the window is the slow span.",
    ),
    Transform(
        name="bollinger_position",
        kernel="averages.bollinger_position",
        parameters=(
            _window(20, 2),
            Parameter(
                name="width",
                default=2.0,
                minimum=0.01,
                maximum=100.0,
                description="Deviations from the mean to a band.",
            ),
        ),
        state_size=lambda window, width: window + 5,
        source="Bollinger 2001 (%b)",
        description="Place between the Bollinger bands: 0 on the lower, 1 on the upper one.",
    ),
    Transform(
        name="volume_ratio",
        inputs=("volume",),
        kernel="averages.volume_ratio",
        parameters=(_window(32, 2),),
        value_range=(0.0, INFINITY),
        source="definition",
        description="Volume as a multiple of its mean over the window.",
    ),
    # Oscillators.
    Transform(
        name="rsi",
        kernel="oscillators.rsi",
        parameters=(_window(14, 2),),
        state_size=lambda window: 4,
        value_range=(0.0, 100.0),
        source="Wilder 1978",
        description="Relative strength index: average rise as a percentage of average rise and fall.",
    ),
    Transform(
        name="stochastic",
        inputs=("high", "low", "close"),
        kernel="oscillators.stochastic",
        parameters=(_window(14, 1),),
        state_size=lambda window: 2 * (window + 4),
        value_range=(0.0, 100.0),
        source="Lane 1984 (%K)",
        description="Place of the close between the lowest and the highest of the window, in percent.",
    ),
    Transform(
        name="obv_slope",
        inputs=("close", "volume"),
        kernel="oscillators.obv_slope",
        parameters=(_window(14, 1),),
        state_size=lambda window: 2 * window + 8,
        value_range=(-1.0, 1.0),
        source="Granville 1963",
        description="Change of the on-balance volume over the window, as a share of the volume traded.",
    ),
    Transform(
        name="bars_since_high",
        kernel="oscillators.bars_since_high",
        parameters=(_window(32, 2),),
        state_size=lambda window: 2 * window + 6,
        value_range=(0.0, INFINITY),
        source="Chande 1995 (Aroon)",
        description="Bars since the highest of the window, the latest of equal ones.",
    ),
    Transform(
        name="bars_since_low",
        kernel="oscillators.bars_since_low",
        parameters=(_window(32, 2),),
        state_size=lambda window: 2 * window + 6,
        value_range=(0.0, INFINITY),
        source="Chande 1995 (Aroon)",
        description="Bars since the lowest of the window, the latest of equal ones.",
    ),
    # Volatility by range.
    Transform(
        name="atr",
        inputs=("high", "low", "close"),
        kernel="range_volatility.atr",
        parameters=(_window(14, 1),),
        state_size=lambda window: 3,
        value_range=(0.0, INFINITY),
        source="Wilder 1978",
        description="Average true range, as a share of the close.",
    ),
    Transform(
        name="parkinson",
        inputs=("high", "low"),
        kernel="range_volatility.parkinson",
        parameters=(_window(32, 1),),
        value_range=(0.0, INFINITY),
        source="Parkinson 1980",
        description="Volatility per bar by high and low.",
    ),
    Transform(
        name="garman_klass",
        inputs=("open", "high", "low", "close"),
        kernel="range_volatility.garman_klass",
        parameters=(_window(32, 1),),
        value_range=(0.0, INFINITY),
        source="Garman and Klass 1980",
        description="Volatility per bar by open, high, low and close.",
    ),
    # Order statistics and moments.
    Transform(
        name="rolling_rank",
        kernel="rolling.rolling_rank",
        parameters=(_window(64, 2, LONGEST_IN_ORDER),),
        state_size=lambda window: window,
        value_range=(0.0, 1.0),
        source="definition",
        description="Share of the window's other values that lie below, of equal ones half.",
    ),
    Transform(
        name="rolling_quantile",
        kernel="rolling.rolling_quantile",
        parameters=(
            _window(64, 2, LONGEST_IN_ORDER),
            Parameter(name="quantile", default=0.5, minimum=0.0, maximum=1.0, description="Share of the window below."),
        ),
        state_size=lambda window, quantile: 3 * window + 6,
        source="Hyndman and Fan 1996, definition 7",
        description="Quantile of the window, in the column's unit.",
    ),
    Transform(
        name="rolling_skew",
        kernel="rolling.rolling_skew",
        parameters=(_window(64, 3),),
        state_size=lambda window: 3 * window + 9,
        source="Fisher 1930; Joanes and Gill 1998 (g1)",
        description="Skewness of the changes of the window.",
    ),
    Transform(
        name="autocorrelation",
        kernel="rolling.autocorrelation",
        parameters=(
            _window(64, 3),
            _count("lag", 1, 1, "Bars between the changes compared."),
        ),
        state_size=lambda window, lag: 5 * window + lag + 13,
        value_range=(-1.0, 1.0),
        source="Pearson's correlation",
        description="Correlation of the changes of the window with earlier ones.",
    ),
    # Calendar.
    Transform(
        name="time_of_day",
        inputs=("time",),
        kernel="calendar.time_of_day",
        parameters=(NO_WINDOW,),
        state_size=lambda window: 0,
        value_range=(0.0, 24.0),
        source="ISO 8601",
        description="Hours since midnight UTC.",
    ),
    Transform(
        name="day_of_week",
        inputs=("time",),
        kernel="calendar.day_of_week",
        parameters=(NO_WINDOW,),
        state_size=lambda window: 0,
        value_range=(0.0, 6.0),
        is_ordered=False,
        source="ISO 8601",
        description="Days since Monday, UTC.",
    ),
)
TRANSFORMS: dict[str, Transform] = {transform.name: transform for transform in _EVERY}
"""All of them, by name."""
