"""Checks of the arguments of public functions: one of the wrong type is refused by its name."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np

from idi_fast.config.block import shown
from idi_fast.config.settings import TrainingConfig
from idi_fast.errors import ConfigError, InputError, nearest


def refuse(name: str, value: object, expected: str) -> InputError:
    """The error about an argument's value, on one line however long its text is."""
    return InputError(f"{name} is {described(value)}; expected {expected}")


def described(value: object) -> str:
    """A value, or of one whose text takes lines or tells nothing, such as a frame, its type."""
    if value is None or isinstance(value, bool):
        return str(value)
    plain = isinstance(value, int | float | str | bytes | Path | list | tuple | dict | set | np.generic)
    return shown(str(value) if isinstance(value, Path) else value) if plain else f"of the type {type(value).__name__}"


def check_config(
    config: TrainingConfig | Mapping[str, Any] | None, *, on_history: bool = False, market: str | None = None
) -> TrainingConfig:
    """The config that an argument stands for: itself, that of plain values by key, or the default for None.

    on_history: whether bars were given, market: the market of the user's that was, which plain values that name no
    environment are then for.
    """
    kind = "history" if on_history else market
    if config is None:
        return TrainingConfig()
    if isinstance(config, TrainingConfig):
        return config
    if isinstance(config, Mapping):
        environment = config.get("environment", {})
        if kind is not None and isinstance(environment, Mapping) and "kind" not in environment:
            config = {**config, "environment": {**environment, "kind": kind}}
        return TrainingConfig.from_dict(config)
    if isinstance(config, str | Path):
        raise InputError(f"config is {described(config)}; read it first: TrainingConfig.from_json({str(config)!r})")
    raise refuse("config", config, "a TrainingConfig or a dict of its keys")


@overload
def check_integer(name: str, value: object, *, least: int | None = None) -> int: ...
@overload
def check_integer(name: str, value: object, *, least: int | None = None, optional: Literal[True]) -> int | None: ...
def check_integer(name: str, value: object, *, least: int | None = None, optional: bool = False) -> int | None:
    """An integer of Python or NumPy as one of Python; optional: whether None stands for the default."""
    if value is None and optional:
        return None
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise refuse(name, value, f"an integer{'' if least is None else f', {least} or more'}")
    if least is not None and value < least:
        raise refuse(name, int(value), f"{least} or more")
    return int(value)


def check_number(name: str, value: object, *, optional: bool = False) -> None:
    """Refuse anything but a number; the caller checks its range."""
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise refuse(name, value, "a number")


def check_rate(name: str, value: object) -> None:
    """Refuse what is no rate a year, and percents."""
    check_number(name, value)
    assert isinstance(value, int | float | np.integer | np.floating)  # or it were refused
    if not -1.0 < value < 1.0:
        raise InputError(f"{name} is {value}; expected a rate a year between -1 and 1, as 0.04 for 4%")


def check_flag(name: str, value: object) -> None:
    """Refuse anything but True and False."""
    if not isinstance(value, bool | np.bool_):
        raise refuse(name, value, "True or False")


def check_text(name: str, value: object, *, expected: str = "text", optional: bool = False) -> None:
    """Refuse anything but text."""
    if not isinstance(value, str) and not (value is None and optional):
        raise refuse(name, value, expected)


def check_names(name: str, value: object) -> list[str]:
    """Texts as a list; a single text is refused as a mistake."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise refuse(name, value, "a list of texts")
    names = list(value)
    for item in names:
        check_text(f"an entry of {name}", item)
    return names


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Refuse anything but the choices."""
    choices = tuple(choices)
    if not isinstance(value, str) or value not in choices:
        guess = nearest(value, choices) if isinstance(value, str) else ""
        listed = f"{', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}"
        raise InputError(f"{name} is {described(value)}; expected {listed}{'.' if guess else ''}{guess}")


def check_path(name: str, value: object) -> Path:
    """A path of any kind as a Path."""
    if isinstance(value, str | Path):
        return Path(value)
    raise refuse(name, value, "a path")


def check_callback(name: str, value: object) -> None:
    """Refuse anything but a callable or None."""
    if value is not None and not callable(value):
        raise refuse(name, value, "a function or None")


def check_grid(grid: object) -> dict[str, list[Any]]:
    """The values of a grid by key, as lists."""
    if not isinstance(grid, Mapping):
        raise refuse("grid", grid, "a dict of values by key, such as {'learning_rate': [0.05, 0.1]}")
    checked: dict[str, list[Any]] = {}
    for key, values in grid.items():
        check_text("a key of the grid", key)
        if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
            raise ConfigError(f"the grid's {key} is {described(values)}; expected a list, such as [0.05, 0.1]")
        # NumPy's numbers as Python's: a config takes no others.
        checked[key] = [value.item() if isinstance(value, np.generic) else value for value in values]
    return checked
