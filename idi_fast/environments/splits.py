"""A history in two: bars to train on, and later ones to test on."""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from idi_fast.config.settings import TrainingConfig
from idi_fast.data.config_history import load_config_history
from idi_fast.data.history import History
from idi_fast.data.timestamps import iso_time, parse_time
from idi_fast.environments.features import longest_window, resolve_features
from idi_fast.errors import InputError


class Split(NamedTuple):
    """A config whose split is a time, the bars to train on, and those to test on: None if the config has no split."""

    config: TrainingConfig
    training: History
    test: History | None


def split_history(config: TrainingConfig, history: History) -> Split:
    """The bars before and after the split of `environment.data`.

    The test begins with the first bar at the split. Between training and test lies an embargo of as many bars as the
    longest window of the features has, so that no bar of the training has a part in the features of a test's first bar.
    Raises InputError if the history has no times, or one of the parts is too short for an episode.
    """
    data = config.environment.data
    if data.split is None:
        return Split(config, history, None)
    if history.time is None:
        raise InputError("a split was given, but the history has no times; name their column")
    if data.split.endswith("%"):
        place = math.ceil(len(history) * float(data.split[:-1]) / 100)
        time = iso_time(history.time[min(place, len(history) - 1)])
        config = replace(config, environment=replace(config.environment, data=replace(data, split=time)))
    else:
        place = int(np.searchsorted(history.time, parse_time(data.split, "split")))
    embargo = longest_window(config, resolve_features(config, history.columns))
    stop, least = max(place - embargo, 0), config.episode_length + 1
    if min(stop, len(history) - place) < least:
        span = f"the bars are from {iso_time(history.time[0])} to {iso_time(history.time[-1])}"
        raise InputError(
            f"the split at {data.split} leaves {stop:,} bars for training, after an embargo of {embargo}, and "
            f"{len(history) - place:,} for the test; an episode needs {least:,} of each ({span})"
        )
    return Split(config, history.slice(0, stop), history.slice(place, None))


def load_training_history(config: TrainingConfig, path: str | None = None) -> History:
    """The bars that a config is trained on; path: where they are, if not where the config says."""
    data = config.environment.data
    history = load_config_history(config, data if path is None else replace(data, path=path))
    return split_history(config, history).training


def load_test_history(config: TrainingConfig) -> History:
    """The bars that a config is tested on: those after its split, all that there are without one."""
    split = split_history(config, load_config_history(config))
    return split.training if split.test is None else split.test


def refuse_split(config: TrainingConfig, what: str) -> None:
    """InputError if a config has a split that `what`, which makes its own, cannot keep to."""
    if config.environment.data.split is not None:
        raise InputError(f"environment.data.split is for train; {what} splits the bars by itself: leave it out")
