"""The features of an observation, and the columns that they read."""

from idi_fast.config.settings import TrainingConfig

FEATURES = ("price", "volume", "trend", "scarcity")
MARKET_COLUMNS = ("close", "open", "volume")


def feature_in_use(config: TrainingConfig, name: str) -> bool:
    """Whether a feature carries information: with a single bucket it does not, and needs no column, window or value."""
    return getattr(config.quantizer, f"{name}_buckets") > 1


def feature_columns(config: TrainingConfig) -> tuple[str, ...]:
    """Columns beyond close, open and volume that the config's features in use read."""
    features = (getattr(config.features, name) for name in FEATURES if feature_in_use(config, name))
    named = {feature.column for feature in features if feature is not None}
    return tuple(sorted(named - set(MARKET_COLUMNS)))
