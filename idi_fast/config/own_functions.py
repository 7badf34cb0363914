"""Markets and rewards of the user's own, by name: what `plugins` has registered, for configs to be checked against."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from idi_fast.config.block import SettingError, shown
from idi_fast.errors import nearest


@dataclass(frozen=True, kw_only=True)
class OwnFunction:
    """A function of the user's; sha256: of the source it stands in, hexadecimal."""

    name: str
    function: Callable[..., Any]
    sha256: str


MARKETS: dict[str, OwnFunction] = {}
"""Those that make bars: what else `environment.kind` may be."""
REWARDS: dict[str, OwnFunction] = {}
"""Those that say what returns are worth: what else `rewards.objective` may be."""


def check_choice_or_own(key: str, value: str, choices: tuple[str, ...], own: Mapping[str, OwnFunction]) -> None:
    """Raise SettingError unless a value is one of the choices or the name of a function that is registered."""
    if value in choices or value in own:
        return
    known = (*choices, *own)
    hint = nearest(value, known)
    problem = f"is {shown(value)}; expected one of {', '.join(map(repr, known))}{'.' if hint else ''}{hint}"
    separator = " " if hint else ". "
    raise SettingError(key, f"{problem}{separator}One of your own has to be loaded first: `load_plugin`")
