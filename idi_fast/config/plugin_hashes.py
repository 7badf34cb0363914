"""What artifacts say of the functions of the user's that they were made with: the SHA-256 of the source of each."""

import re
from collections.abc import Iterable, Mapping

from idi_fast.config.block import SNAKE_CASE
from idi_fast.config.feature_columns import given_features
from idi_fast.config.feature_settings import FeatureConfig, NamedFeature
from idi_fast.config.own_functions import MARKETS, REWARDS
from idi_fast.config.plugins import Plugin, registered
from idi_fast.config.settings import TrainingConfig
from idi_fast.config.transforms import TRANSFORMS
from idi_fast.errors import ArtifactError


class PluginError(ArtifactError):
    """An artifact needs a function of the user's that is not loaded, or of another source."""


def require_plugins(needed: Mapping[str, str]) -> None:
    """Raise PluginError unless functions of these names and hashes are registered."""
    for name, sha256 in needed.items():
        _, known = registered(name)
        if known is None:
            raise PluginError(
                f"it needs the function {name!r} of a plugin whose source has the SHA-256 {sha256}; "
                "load that: `load_plugin`"
            )
        if known.sha256 != sha256:
            raise PluginError(
                f"it needs the function {name!r} of a plugin whose source has the SHA-256 {sha256}, but that "
                f"of the one that was loaded is {known.sha256}; load the one it was trained with: `load_plugin`"
            )


def plugin_hashes(features: Iterable[FeatureConfig | NamedFeature | None]) -> dict[str, str]:
    """Of the user's functions among the transforms of these features the SHA-256 of the source, by name."""
    names = sorted({feature.transform for feature in features if feature is not None})
    known = ((name, TRANSFORMS[name]) for name in names)
    return {name: plugin.sha256 for name, plugin in known if isinstance(plugin, Plugin)}


def own_hashes(config: TrainingConfig) -> dict[str, str]:
    """The same of the market and the reward that a config names."""
    named = MARKETS.get(config.environment.kind), REWARDS.get(config.rewards.objective)
    return {own.name: own.sha256 for own in named if own is not None}


def config_hashes(config: TrainingConfig) -> dict[str, str]:
    """The same of all that a config names."""
    return plugin_hashes(given_features(config).values()) | own_hashes(config)


def plugins_entry(config: TrainingConfig) -> dict[str, dict[str, str]]:
    """The entry of a run.json with these hashes; none where the config names no function."""
    hashes = config_hashes(config)
    return {"plugins": hashes} if hashes else {}


def read_hashes(values: object) -> dict[str, str]:
    """A mapping of names to hashes out of a file. Raises ValueError."""
    if not isinstance(values, dict) or not all(
        isinstance(name, str) and re.search(SNAKE_CASE, name) and re.fullmatch("[0-9a-f]{64}", str(sha256))
        for name, sha256 in values.items()
    ):
        raise ValueError("plugins must be the SHA-256 of each, by name")
    return values
