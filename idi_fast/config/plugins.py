"""Features of the user's own: functions that he registers as transforms, known by the hash of their source.

They are the caller's to give, in every process anew: no file of ours names code to run, only the SHA-256 of what it was
made with.
"""

import hashlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.util import decode_source
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeVar

import numpy as np

from idi_fast.config.arguments import check_path, described
from idi_fast.config.block import SNAKE_CASE
from idi_fast.config.feature_settings import FeatureConfig, NamedFeature
from idi_fast.config.transforms import LONGEST, TRANSFORMS, Parameter, Transform
from idi_fast.errors import ArtifactError, InputError

FeatureFunction = Callable[[Mapping[str, np.ndarray], int], np.ndarray]
Function = TypeVar("Function", bound=Callable[..., Any])
DEFAULT_WINDOW = 32


@dataclass(frozen=True, kw_only=True)
class Plugin(Transform):
    """A transform that a function of the user's computes.

    function: of columns (n,) by name, read-only, and the window; sha256: of the source it stands in, hexadecimal;
    declared: its attribute `lookback`.
    """

    function: FeatureFunction
    sha256: str
    declared: int | Callable[[int], int] | None

    def lookback(self, window: int) -> int:
        """Bars before a bar that its value may depend on. Raises InputError."""
        bars = self.declared(window) if callable(self.declared) else self.declared
        bars = window if bars is None else bars
        if isinstance(bars, bool) or not isinstance(bars, int) or not 0 <= bars <= LONGEST:
            raise InputError(f"the lookback of feature function {self.name!r} is {bars!r}; expected 0 to {LONGEST:,}")
        return bars


def register_feature(function: Function) -> Function:
    """Make a function of one's own known as a transform, whose name in a features list is the function's.

    It is called as `function(columns, window)`: columns float64 (n,) by name, read-only (`time` int64, ns UTC), window
    an int; it returns float64 (n,), the value of each bar, which may depend on that bar and the `lookback` bars before
    it only. It gets more than `lookback` bars at a time, at most twice the greater of 4,096 and `lookback`, of which
    the values of the first `lookback` are not used; those of a history's first `lookback` bars are 0.

    Parameters
    ----------
    function
        The function. Two attributes may be set on it: `columns`, the names of what it reads ("column" and "other" are
        those that a feature names; without the attribute it reads "column"), and `lookback`, an int or a function of
        the window (without it the window). Whoever uses a policy needs the same source: the text of the file or
        notebook cell that the function stands in.

    Returns
    -------
    callable
        The function, so that this may be used as a decorator where no attributes are needed. One of the same name that
        was registered before is replaced.

    Raises
    ------
    InputError
        For the name of another transform, a function whose source cannot be read or that depends on variables of a
        function around it, and attributes of other types.

    Examples
    --------
    >>> import numpy as np
    >>> import idi_fast as idi
    >>> @idi.register_feature
    ... def close_over_mean(columns, window):
    ...     total = np.cumsum(columns["close"])
    ...     mean = np.full(total.size, np.nan)
    ...     mean[window:] = (total[window:] - total[:-window]) / window
    ...     return columns["close"] / mean - 1
    >>> feature = {"name": "mine", "transform": "close_over_mean", "window": 20, "buckets": 4}
    >>> run = idi.train({"environment": {"kind": "crypto"}, "episodes": 16, "features": [feature]})
    >>> sorted(run.policy.encoder.plugins)
    ['close_over_mean']
    """
    plain = inspect.unwrap(getattr(function, "py_func", function))  # of Numba's, the function in Python
    if not isinstance(plain, FunctionType):
        raise InputError(f"function is {described(function)}; expected a function that stands in a file or a cell")
    try:
        lines, _ = inspect.findsource(plain)
    except (OSError, TypeError):
        problem = f"the source of {plain.__name__!r} cannot be read"
        raise InputError(f"{problem}; write the function in a file, and load it (load_plugin)") from None
    _register(function, plain, _digest("".join(lines)))
    return function


def load_plugin(plugin: str | Path) -> list[str]:
    """Run a Python file, and register its functions of the two parameters `columns` and `window`.

    The same as to import the file and to give each to `register_feature`.

    Parameters
    ----------
    plugin
        The file.

    Returns
    -------
    list of str
        The functions' names.

    Raises
    ------
    InputError
        If the file cannot be read, raises an error or has no such function; see also `register_feature`.
    """
    path = check_path("plugin", plugin)
    try:
        source = decode_source(path.read_bytes())
        code: CodeType = compile(source, str(path), "exec")
    except OSError as error:
        raise InputError(f"cannot read the plugin {path}: {error.strerror or error}") from None
    except (SyntaxError, ValueError) as error:
        raise InputError(f"the plugin {path} is not a Python file: {error}") from None
    module = ModuleType(re.sub(r"\W", "_", path.stem))
    module.__file__ = str(path)
    try:
        exec(code, module.__dict__)
    except Exception as error:
        raise InputError(f"the plugin {path} raised {_raised(error)}") from error
    found = {}
    for name, value in vars(module).items():
        plain = getattr(value, "py_func", value)
        is_own = isinstance(plain, FunctionType) and plain.__globals__ is vars(module)
        if is_own and plain.__name__ == name and [*inspect.signature(plain).parameters] == ["columns", "window"]:
            found[name] = value, plain
    if not found:
        raise InputError(f"the plugin {path} has no function of the two parameters columns and window")
    for function, plain in found.values():
        _register(function, plain, _digest(source))
    return list(found)


def require_plugins(needed: Mapping[str, str]) -> None:
    """Raise ArtifactError unless functions of these names and hashes are registered."""
    for name, sha256 in needed.items():
        known = TRANSFORMS.get(name)
        if not isinstance(known, Plugin):
            raise ArtifactError(
                f"it needs the feature function {name!r} of a plugin whose source has the SHA-256 {sha256}; "
                "load that: `plugin=FILE.py`"
            )
        if known.sha256 != sha256:
            raise ArtifactError(
                f"it needs the feature function {name!r} of a plugin whose source has the SHA-256 {sha256}, but that "
                f"of the one that was loaded is {known.sha256}; load the one it was trained with: `plugin=FILE.py`"
            )


def plugin_hashes(features: Iterable[FeatureConfig | NamedFeature | None]) -> dict[str, str]:
    """Of the user's functions among the transforms of these features the SHA-256 of the source, by name."""
    names = sorted({feature.transform for feature in features if feature is not None})
    known = ((name, TRANSFORMS[name]) for name in names)
    return {name: plugin.sha256 for name, plugin in known if isinstance(plugin, Plugin)}


def read_hashes(values: object) -> dict[str, str]:
    """A mapping of names to hashes out of a file. Raises ValueError."""
    if not isinstance(values, dict) or not all(
        isinstance(name, str) and re.search(SNAKE_CASE, name) and re.fullmatch("[0-9a-f]{64}", str(sha256))
        for name, sha256 in values.items()
    ):
        raise ValueError("plugins must be the SHA-256 of each, by name")
    return values


def _register(function: Callable, plain: FunctionType, sha256: str) -> None:
    name = plain.__name__
    if not re.search(SNAKE_CASE, name):
        raise InputError(f"the feature function is called {name!r}; expected a name in snake_case, up to 40 characters")
    if name in TRANSFORMS and not isinstance(TRANSFORMS[name], Plugin):
        raise InputError(f"the feature function {name!r} has the name of a transform of idi-fast; rename it")
    if plain.__closure__:
        around = ", ".join(plain.__code__.co_freevars)
        problem = f"the feature function {name!r} depends on {around} of a function around it"
        raise InputError(f"{problem}; expected one that depends on its arguments and its file only")
    inputs = getattr(function, "columns", ("column",))
    if isinstance(inputs, str) or not all(isinstance(one, str) and one for one in inputs) or not inputs:
        raise InputError(f"columns of feature function {name!r} is {inputs!r}; expected a list of names")
    if len(set(inputs)) < len(tuple(inputs)):
        raise InputError(f"columns of feature function {name!r} names one twice: {', '.join(inputs)}")
    window = Parameter(
        name="window", default=DEFAULT_WINDOW, minimum=1, maximum=LONGEST, description="Its second argument."
    )
    plugin = Plugin(
        name=name,
        inputs=tuple(inputs),
        kernel="",
        parameters=(window,),
        source=sha256,
        description="A function of the user's.",
        function=function,
        sha256=sha256,
        declared=getattr(function, "lookback", None),
    )
    plugin.lookback(DEFAULT_WINDOW)
    TRANSFORMS[name] = plugin


def _digest(source: str) -> str:
    # As every line ended with a newline, the last one too: the source cache of Python reads it like that.
    return hashlib.sha256(("\n".join(source.splitlines()) + "\n").encode()).hexdigest()


def _raised(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
