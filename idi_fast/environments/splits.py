"""The bars that a config is for, in two: those to train on, and later ones to test on."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from idi_fast.config.arguments import check_config
from idi_fast.config.plugins import MarketFunction, market_name
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.config_bars import load_config_bars
from idi_fast.data.config_history import with_history
from idi_fast.data.history import History
from idi_fast.data.panel import Panel, TrainingBars, TrainingBarsLike, check_bars, members
from idi_fast.data.timestamps import iso_time, parse_time
from idi_fast.environments.features import longest_window, resolve_features
from idi_fast.errors import DataError, InputError


class Split(NamedTuple):
    """A config whose split is a time, the bars to train on, and those to test on: None if the config has no split."""

    config: TrainingConfig
    training: TrainingBars
    test: TrainingBars | None


def split_history(config: TrainingConfig, history: TrainingBars) -> Split:
    """The bars before and after the split of `environment.data`, which is one time for all symbols of a panel.

    The test begins with the first bar at the split. Between training and test lies an embargo of as many bars as the
    longest window of the features has, so that no bar of the training has a part in the features of a test's first bar.
    Raises InputError if a history has no times, or none has bars for an episode on both sides.
    """
    data = config.environment.data
    if data.split is None:
        return Split(config, history, None)
    times = [each.time for _, each in members(history) if each.time is not None]
    if len(times) < len(members(history)):
        raise InputError("a split was given, but the history has no times; name their column")
    if data.split.endswith("%"):
        pooled = np.sort(np.concatenate(times))
        place = math.ceil(len(pooled) * float(data.split[:-1]) / 100)
        time = iso_time(pooled[min(place, len(pooled) - 1)])
        config = replace(config, environment=replace(config.environment, data=replace(data, split=time)))
        at = parse_time(time, "split")
    else:
        at = parse_time(data.split, "split")
    embargo = longest_window(config, resolve_features(config, history.columns))
    if isinstance(history, Panel):
        return Split(config, *_split_panel(config, history, at, embargo))
    assert history.time is not None  # as was checked
    place = int(np.searchsorted(history.time, at))
    stop, least = max(place - embargo, 0), config.episode_length + 1
    if min(stop, len(history) - place) < least:
        span = f"the bars are from {iso_time(history.time[0])} to {iso_time(history.time[-1])}"
        raise InputError(
            f"the split at {data.split} leaves {stop:,} bars for training, after an embargo of {embargo}, and "
            f"{len(history) - place:,} for the test; an episode needs {least:,} of each ({span})"
        )
    return Split(config, history.slice(0, stop), history.slice(place, None))


def _split_panel(config: TrainingConfig, panel: Panel, at: int, embargo: int) -> tuple[Panel, Panel]:
    """The parts of each symbol; one that has too few bars on a side has no part there."""

    def long_enough(history: History) -> History | None:
        return history if len(history) > config.episode_length else None

    def before(history: History) -> History | None:
        return long_enough(history.slice(0, max(int(np.searchsorted(_time(history), at)) - embargo, 0)))

    def after(history: History) -> History | None:
        return long_enough(history.slice(int(np.searchsorted(_time(history), at)), None))

    try:
        return panel.of_each(before), panel.of_each(after)
    except DataError:
        raise InputError(
            f"the split at {iso_time(at)} leaves no symbol {config.episode_length + 1} bars, an episode's, before it "
            f"(after an embargo of {embargo}) or behind it"
        ) from None


def _time(history: History) -> np.ndarray:
    assert history.time is not None  # as was checked
    return history.time


class Given(NamedTuple):
    """What the arguments of a training stand for: its config, the bars to train on, None if it draws its own, and those
    behind the config's split."""

    config: TrainingConfig
    bars: TrainingBars | None
    test: TrainingBars | None


def check_given(
    config: TrainingConfig | Mapping[str, Any] | None,
    history: TrainingBarsLike | None,
    market: MarketFunction | str | None = None,
) -> tuple[TrainingConfig, TrainingBars | None]:
    """The config that arguments stand for, and the bars that were given; either a history or a market of the user's
    makes the synthetic environment, the default, its own. Raises InputError."""
    bars = check_bars(history)
    if market is None:
        return with_history(check_config(config, on_history=bars is not None), bars), bars
    if bars is not None:
        raise InputError("a history and a market were given; expected one of them")
    name = market_name(market)
    config = check_config(config, market=name)
    if config.environment.kind == "synthetic":
        config = replace(config, environment=replace(config.environment, kind=name))
    if config.environment.kind != name:
        raise InputError(
            f"the market {name!r} was given, but environment.kind is {config.environment.kind!r}; set it to {name!r}"
        )
    return config, None


def training_bars(config: TrainingConfig, bars: TrainingBars | None) -> Given:
    """The bars that a config is for, given or those that it names, in two where it has a split. Raises DataError,
    InputError."""
    if bars is not None and config.environment.kind != "history":
        raise InputError(
            f"a history was given, but environment.kind is {config.environment.kind!r}; set it to 'history'"
        )
    if config.environment.kind != "history":
        return Given(config, None, None)
    return Given(*split_history(config, load_config_bars(config) if bars is None else bars))


def load_training_bars(config: TrainingConfig, path: str | None = None) -> TrainingBars:
    """The bars that a config is trained on; path: where they are, if not where the config says."""
    data = config.environment.data
    bars = load_config_bars(config, data if path is None else replace(data, path=path))
    return split_history(config, bars).training


def load_test_bars(config: TrainingConfig) -> TrainingBars:
    """The bars that a config is tested on: those after its split, all that there are without one."""
    split = split_history(config, load_config_bars(config))
    return split.training if split.test is None else split.test


def refuse_split(config: TrainingConfig, what: str) -> None:
    """InputError if a config has a split: `what` makes its own splits."""
    if config.environment.data.split is not None:
        raise InputError(f"environment.data.split is for train; {what} splits the bars by itself: leave it out")
