"""The settings of features: the four of the reference, and a list of any."""

from dataclasses import dataclass
from typing import Literal

from idi_fast.config.block import REQUIRED, SNAKE_CASE, Block, SettingError, setting
from idi_fast.config.feature_rules import check_edges, check_parameters
from idi_fast.config.transforms import TRANSFORMS

Transform = Literal["zscore", "log_return", "drawdown", "ema_ratio", "volatility", "level"]
Edges = Literal["quantile", "uniform"]

RESERVED_NAMES = ("mood", "regime", "position", "big_move", "pnl_sign", "row")
RESERVED_PREFIXES = ("q_", "comm_", "tile_", "visits", "planned")
"""What no feature may be called: other digits of a state, and columns of a policy's table."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class FeatureConfig(Block):
    """One feature: a causal transform of a column."""

    column: str = setting("close", "Column it is computed from.")
    transform: Transform = setting(REQUIRED, "What is computed from the column.")
    window: int = setting(
        32, "Bars it looks back over; for log_return and volatility, changes.", minimum=1, maximum=1_000_000
    )

    def _cross_check(self) -> None:
        if self.transform in ("zscore", "volatility") and self.window < 2:
            problem = f"is {self.window}; expected at least 2 for transform {self.transform!r}"
            raise SettingError("window", problem, "transform")


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class FeaturesConfig(Block):
    """The market features of the state, on the crypto and history environments."""

    price: FeatureConfig | None = setting(None, "Price feature; null is the default for the data's columns.")
    volume: FeatureConfig | None = setting(None, "Volume feature; null is the default for the data's columns.")
    trend: FeatureConfig | None = setting(None, "Trend feature; null is the default for the data's columns.")
    scarcity: FeatureConfig | None = setting(None, "Scarcity feature; null is the default for the data's columns.")


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class NamedFeature(Block):
    """One feature of a list: its name, a causal transform of columns, and its buckets."""

    name: str = setting(REQUIRED, "Name of the feature, and of its digit of the state.", pattern=SNAKE_CASE)
    transform: str = setting(
        REQUIRED, "What is computed from the columns: one of these, or a plugin's function.", examples=list(TRANSFORMS)
    )
    column: str = setting("close", "Column it is computed from.")
    other: str | None = setting(None, "Second column, of spread.")
    window: int | None = setting(
        None, "Bars it looks back over; null is the transform's own.", minimum=1, maximum=1_000_000
    )
    lag: int | None = setting(None, "Bars ago that a simple_return ends, or between changes that are correlated.")
    fast: int | None = setting(None, "Span of the fast average of a macd_histogram.")
    signal: int | None = setting(None, "Span of the average of the MACD.")
    width: float | None = setting(None, "Deviations from the mean to a Bollinger band.")
    quantile: float | None = setting(None, "Share of the window below a rolling_quantile.")
    buckets: int | None = setting(
        None,
        "Buckets it is quantized into; null is 4, or what the edges or the transform's categories make.",
        minimum=1,
        derive=lambda feature: _buckets(feature),
    )
    edges: Edges | tuple[float, ...] = setting(
        "quantile", "Inner edges of the buckets: at equal shares of the training bars, at equal distances, or a list."
    )

    def _cross_check(self) -> None:
        if self.name in RESERVED_NAMES or self.name.startswith(RESERVED_PREFIXES):
            problem = f"is {self.name!r}, which is a column of every policy; expected another name"
            raise SettingError("name", problem)
        check_parameters(self)
        check_edges(self)

    @property
    def parameters(self) -> tuple[int | float, ...]:
        """The numbers that its transform takes, the window first."""
        wanted = TRANSFORMS[self.transform].parameters
        given = [getattr(self, parameter.name) for parameter in wanted]
        return tuple(
            parameter.default if value is None else value for parameter, value in zip(wanted, given, strict=True)
        )


def _buckets(feature: NamedFeature) -> int:
    if isinstance(feature.edges, tuple):
        return len(feature.edges) + 1
    transform = TRANSFORMS.get(feature.transform)
    return (transform.categories if transform else None) or 4
