"""The features of an observation, and the columns that they read."""

from idi_fast.config.feature_settings import FeatureConfig, FeaturesConfig, NamedFeature
from idi_fast.config.settings import TrainingConfig
from idi_fast.config.transforms import TRANSFORMS

SLOTS = ("price", "volume", "trend", "scarcity")
"""The features of the reference, which a config may leave at their defaults."""
MARKET_COLUMNS = ("close", "open", "volume")


def feature_sizes(config: TrainingConfig) -> dict[str, int]:
    """The buckets of each feature, by name, in the order of the state's digits.

    A feature of a single bucket carries no information, and needs no column, window or value.
    """
    if isinstance(config.features, FeaturesConfig):
        return {name: getattr(config.quantizer, f"{name}_buckets") for name in SLOTS}
    return {feature.name: feature.buckets or 1 for feature in config.features}


def given_features(config: TrainingConfig) -> dict[str, FeatureConfig | NamedFeature | None]:
    """What the config says of each feature, by name; None for one of the reference's that is left at its default."""
    if isinstance(config.features, FeaturesConfig):
        return {name: getattr(config.features, name) for name in SLOTS}
    return {feature.name: feature for feature in config.features}


def columns_read(feature: FeatureConfig | NamedFeature) -> tuple[str, ...]:
    """The columns that a feature reads, in the order of its transform's inputs."""
    if isinstance(feature, FeatureConfig):
        return (feature.column,)
    return TRANSFORMS[feature.transform].reads(feature.column, feature.other)


def feature_columns(config: TrainingConfig) -> tuple[str, ...]:
    """Columns beyond close, open, volume and time that the config's features in use read."""
    sizes, given = feature_sizes(config), given_features(config)
    used = [feature for name, feature in given.items() if feature is not None and sizes[name] > 1]
    return tuple(sorted({column for feature in used for column in columns_read(feature)} - {*MARKET_COLUMNS, "time"}))
