"""The grid of a sweep: its configs, and its form on the command line."""

import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from idi_fast.config.draft import Draft
from idi_fast.config.settings import TrainingConfig
from idi_fast.errors import ConfigError, InputError

MOST_POINTS = 10_000


@dataclass(frozen=True)
class Point:
    """One config of a grid; values: those of the keys of the grid."""

    values: dict[str, Any]
    config: TrainingConfig


def make_points(config: TrainingConfig | Draft[TrainingConfig], grid: Mapping[str, Sequence[Any]]) -> list[Point]:
    """The configs of a grid; the last key varies fastest.

    config: the base config; a draft need not be valid without the grid's values. Raises ConfigError, InputError.
    """
    if not grid:
        raise InputError("the grid is empty; give it a key and its values, for example learning_rate: 0.05, 0.1")
    for key, values in grid.items():
        if not values:
            raise InputError(f"the grid has no values for {key}")
    count = math.prod(map(len, grid.values()))
    if count > MOST_POINTS:
        found = f"{count:,}" if count < 10**18 else "over 10**18"  # Python prints no number of thousands of digits
        raise InputError(f"the grid has {found} points; expected no more than {MOST_POINTS:,}")
    draft = config if isinstance(config, Draft) else Draft.of(config)
    points: list[Point] = []
    common, seen = _common_of(draft), set()
    for values in itertools.product(*grid.values()):
        given = dict(zip(grid, values, strict=True))
        made = draft.copy().override(given, "the grid").build()
        common = common or _common(made)
        for name, value in _common(made).items():
            if value != common[name]:
                raise InputError(
                    f"the grid's {_listed(given)} changes {name}; runs that differ in it cannot be compared"
                )
        if made in seen:
            raise InputError(f"the grid has {_listed(given)} twice; name each value of a key once")
        seen.add(made)
        points.append(Point(given, made))
    return points


def _common_of(draft: Draft[TrainingConfig]) -> dict[str, Any] | None:
    """The same for a draft; None if it is valid with the grid's values only."""
    try:
        return _common(draft.build())
    except ConfigError:
        return None


def _common(config: TrainingConfig) -> dict[str, Any]:
    """What comparable runs must have in common: what is earned, and on what."""
    common = {"environment": replace(config.environment, observe_regime=False), "engine": config.engine}
    if config.environment.kind == "history":  # scored by an account, whatever the rewards
        return common
    moods = config.quantizer.mood_buckets if config.rewards.communication_clarity else None
    length = {"episode_length": config.episode_length}
    return {**common, "rewards": config.rewards, **length, "quantizer.mood_buckets": moods}


def cells(values: dict[str, Any]) -> dict[str, Any]:
    """Values of a grid as cells of a table: what is not plain as JSON."""
    plain = (int, float, str, bool, type(None))
    return {key: value if isinstance(value, plain) else json.dumps(value) for key, value in values.items()}


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{key}={json.dumps(value)}" for key, value in values.items())


def parse_grid(texts: Iterable[str]) -> dict[str, list[Any]]:
    """A grid from texts `key=value,value`: JSON values, or else texts. Raises InputError."""
    grid: dict[str, list[Any]] = {}
    for text in texts:
        key, sign, values = (part.strip() for part in text.partition("="))
        if not sign or not key or not values:
            raise InputError(f"`grid={text!r}`: expected key=value,value, as in learning_rate=0.05,0.1")
        if key in grid:
            raise InputError(f"`grid={key!r}` is given twice; list all its values at once")
        grid[key] = _values(values)
    return grid


def _values(text: str) -> list[Any]:
    values, parts = [], text.split(",")
    while parts:
        # Commas within a JSON value have split it: the shortest run of parts that is JSON is one value.
        for count in range(1, len(parts) + 1):
            with suppress(ValueError, RecursionError):
                values.append(json.loads(",".join(parts[:count])))
                del parts[:count]
                break
        else:
            values.append(parts.pop(0).strip())
    return values
