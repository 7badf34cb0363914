"""The features of an observation, and the columns that they read."""

from idi_fast.config.settings import FeatureConfig, FeaturesConfig, NamedFeature, TrainingConfig

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


def feature_columns(config: TrainingConfig) -> tuple[str, ...]:
    """Columns beyond close, open and volume that the config's features in use read."""
    sizes = feature_sizes(config)
    named = {given.column for name, given in given_features(config).items() if given is not None and sizes[name] > 1}
    return tuple(sorted(named - set(MARKET_COLUMNS)))
