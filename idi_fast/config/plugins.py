"""Features, markets and rewards of the user's own: functions that he registers, known by the hash of their source.

They are the caller's to give, in every process anew: no file of ours names code to run, only the SHA-256 of what it was
made with.
"""

import hashlib
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import decode_source
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeVar

import numpy as np

from idi_fast.config.arguments import check_path, described
from idi_fast.config.block import SNAKE_CASE
from idi_fast.config.environment_settings import KINDS
from idi_fast.config.own_functions import MARKETS, REWARDS, OwnFunction
from idi_fast.config.settings import OBJECTIVES
from idi_fast.config.transforms import LONGEST, TRANSFORMS, Parameter, Transform
from idi_fast.errors import InputError, nearest

MarketFunction = Callable[[np.random.Generator, int], Mapping[str, np.ndarray]]
Function = TypeVar("Function", bound=Callable[..., Any])
DEFAULT_WINDOW = 32


@dataclass(frozen=True, kw_only=True)
class Plugin(Transform):
    """A transform that a function of the user's computes.

    function: of columns (n,) by name, read-only, and the window, or if `is_step` of a state, a bar's values and the
    window; sha256: of the source it stands in, hexadecimal; declared: its attribute `lookback`.
    """

    function: Callable[..., Any]
    sha256: str
    declared: int | Callable[[int], int] | None
    is_step: bool = False

    def lookback(self, window: int) -> int:
        """Bars before a bar that its value may depend on. Raises InputError."""
        return _size(self.name, "lookback", self.declared, window)


def _size(name: str, what: str, declared: int | Callable[[int], int] | None, window: int) -> int:
    """An attribute of a feature function that is an int, a function of the window or by default the window."""
    size = declared(window) if callable(declared) else declared
    size = window if size is None else size
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= LONGEST:
        raise InputError(f"the {what} of feature function {name!r} is {size!r}; expected 0 to {LONGEST:,}")
    return size


def register_feature(function: Function) -> Function:
    """Make a function of one's own known as a transform, whose name in a features list is the function's.

    It is called as `function(columns, window)`: columns float64 (n,) by name, read-only (`time` int64, ns UTC), window
    an int; it returns float64 (n,), the value of each bar, which may depend on that bar and the `lookback` bars before
    it only. It gets more than `lookback` bars at a time, at most twice the greater of 4,096 and `lookback`, of which
    the values of the first `lookback` are not used; those of a history's first `lookback` bars are 0.

    Or it is called as `function(state, values, window)` for one bar after another: state float64 (`state_size`,), which
    it keeps and which is zeros before the first bar, values float64 (k,), those of the bar in the order of `columns`.
    It returns a finite number. Such a function is compiled by Numba, whether it was or not.

    Parameters
    ----------
    function
        The function. Attributes may be set on it: `columns`, the names of what it reads ("column" and "other" are those
        that a feature names; without the attribute it reads "column"), `lookback` and, of a function of a state,
        `state_size`, each an int or a function of the window (without them the window). Whoever uses a policy needs the
        same source: the text of the file or notebook cell that the function stands in.

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
    _register_here("feature function", function)
    return function


def register_market(function: Function) -> Function:
    """Make a function of one's own known as a market, whose name in `environment.kind` is the function's.

    It is called as `function(rng, n)`: rng a numpy.random.Generator, n an int; it returns the bars of a path: float64
    (n,) each, by name, `close` and what else a history may have (`open`, `high`, `low`, `volume`, `time`, columns of
    any other name). The same generator makes the same bars: everything drawn is drawn from it.

    Parameters
    ----------
    function
        The function. Whoever uses a policy needs the same source: the text of the file or notebook cell that the
        function stands in.

    Returns
    -------
    callable
        The function, so that this may be used as a decorator. One of the same name that was registered before is
        replaced.

    Raises
    ------
    InputError
        For the name of an environment or of another kind of function, and a function whose source cannot be read or
        that depends on variables of a function around it.

    Examples
    --------
    >>> import numpy as np
    >>> import idi_fast as idi
    >>> @idi.register_market
    ... def reverting(rng, n):
    ...     spread, noise = np.zeros(n), rng.normal(0, 0.01, n)
    ...     for t in range(1, n):
    ...         spread[t] = 0.95 * spread[t - 1] + noise[t]
    ...     return {"close": 100 * np.exp(spread)}
    >>> run = idi.train({"environment": {"kind": "reverting"}, "episodes": 16})
    >>> sorted(run.policy.encoder.plugins)
    ['reverting']
    """
    _register_here("market", function)
    return function


def register_reward(function: Function) -> Function:
    """Make a function of one's own known as a reward, whose name in `rewards.objective` is the function's.

    It is called as `function(earned, bars)`: earned float64 (n, 3, 3), the simple return of each bar by the position
    held before and the one chosen (short, flat, long), net of what trading and holding cost; bars: `RewardBars`, what
    else is known of the same bars. It returns float64 (n, 3, 3), what these returns are worth, in the same unit; that
    of a bar may depend on this bar alone.

    Parameters
    ----------
    function
        The function. Whoever uses a policy needs the same source: the text of the file or notebook cell that the
        function stands in.

    Returns
    -------
    callable
        The function, so that this may be used as a decorator. One of the same name that was registered before is
        replaced.

    Raises
    ------
    InputError
        For the name of an objective or of another kind of function, and a function whose source cannot be read or that
        depends on variables of a function around it.

    Examples
    --------
    >>> import numpy as np
    >>> import idi_fast as idi
    >>> @idi.register_reward
    ... def losses_twice(earned, bars):
    ...     return np.where(earned < 0, 2 * earned, earned)
    >>> config = {"environment": {"kind": "crypto"}, "rewards": {"objective": "losses_twice"}, "episodes": 16}
    >>> sorted(idi.train(config).policy.encoder.plugins)
    ['losses_twice']
    """
    _register_here("reward", function)
    return function


def market_name(market: MarketFunction | str) -> str:
    """The name of a market that was given as an argument, a function or the name of one that is registered; the
    function is registered. Raises InputError."""
    if not isinstance(market, str):
        register_market(market)
        return inspect.unwrap(getattr(market, "py_func", market)).__name__
    if market not in MARKETS:
        hint = nearest(market, MARKETS) or " Load the file that has it first: `load_plugin`"
        raise InputError(f"market is {market!r}, which is none that was registered.{hint}")
    return market


def _register_here(what: str, function: Callable) -> None:
    plain = inspect.unwrap(getattr(function, "py_func", function))  # of Numba's, the function in Python
    if not isinstance(plain, FunctionType):
        raise InputError(f"function is {described(function)}; expected a function that stands in a file or a cell")
    try:
        lines, _ = inspect.findsource(plain)
    except (OSError, TypeError):
        problem = f"the source of {plain.__name__!r} cannot be read"
        raise InputError(f"{problem}; write the function in a file, and load it (load_plugin)") from None
    _register(what, function, plain, _digest("".join(lines)))


def load_plugin(plugin: str | Path) -> list[str]:
    """Run a Python file, and register its functions by their parameters.

    The same as to import the file and to give each function of `columns` and `window`, or of `state`, `values` and
    `window`, to `register_feature`, of `rng` and `n` to `register_market`, and of `earned` and `bars` to
    `register_reward`.

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
        If the file cannot be read, raises an error or has no such function; see also `register_feature`,
        `register_market` and `register_reward`.
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
        what = KINDS_OF.get(tuple(inspect.signature(plain).parameters)) if is_own else None
        if what is not None and plain.__name__ == name:
            found[name] = what, value, plain
    if not found:
        wanted = ", ".join(f"({', '.join(parameters)}), a {what}" for parameters, what in KINDS_OF.items())
        raise InputError(f"the plugin {path} has no function of the parameters of one: {wanted}")
    for what, function, plain in found.values():
        _register(what, function, plain, _digest(source))
    return list(found)


STEP = ("state", "values", "window")
KINDS_OF: dict[tuple[str, ...], str] = {
    ("columns", "window"): "feature function",
    STEP: "feature function",
    ("rng", "n"): "market",
    ("earned", "bars"): "reward",
}
"""What a function of a plugin is, by its parameters."""


def registered(name: str) -> tuple[str, Plugin | OwnFunction | None]:
    """What a name is that of, and the function of the user's that has it."""
    transform = TRANSFORMS.get(name)
    if isinstance(transform, Plugin):
        return "feature function", transform
    return ("market", MARKETS[name]) if name in MARKETS else ("reward", REWARDS.get(name))


def _register(what: str, function: Callable, plain: FunctionType, sha256: str) -> None:
    name = plain.__name__
    if not re.search(SNAKE_CASE, name):
        raise InputError(f"the {what} is called {name!r}; expected a name in snake_case, up to 40 characters")
    taken = {
        "feature function": [one for one, of in TRANSFORMS.items() if not isinstance(of, Plugin)],
        "market": KINDS,
        "reward": OBJECTIVES,
    }
    if name in taken[what]:
        whose = {"feature function": "a transform", "market": "an environment", "reward": "an objective"}[what]
        raise InputError(f"the {what} {name!r} has the name of {whose} of idi-fast; rename it")
    other, known = registered(name)
    if known is not None and other != what:
        raise InputError(f"the {what} {name!r} has the name of a {other} that was registered before; rename it")
    if plain.__closure__:
        around = ", ".join(plain.__code__.co_freevars)
        problem = f"the {what} {name!r} depends on {around} of a function around it"
        raise InputError(f"{problem}; expected one that depends on its arguments and its file only")
    if what == "feature function":
        is_step = tuple(inspect.signature(plain).parameters) == STEP
        TRANSFORMS[name] = _feature(name, function, sha256, is_step=is_step)
    else:
        own = OwnFunction(name=name, function=function, sha256=sha256)
        (MARKETS if what == "market" else REWARDS)[name] = own


def _feature(name: str, function: Callable, sha256: str, *, is_step: bool) -> Plugin:
    """A feature function, as a transform."""
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
        is_step=is_step,
        state_size=partial(_size, name, "state_size", getattr(function, "state_size", None)),
    )
    plugin.state_size(DEFAULT_WINDOW)
    plugin.lookback(DEFAULT_WINDOW)
    return plugin


def _digest(source: str) -> str:
    # As every line ended with a newline, the last one too: the source cache of Python reads it like that.
    return hashlib.sha256(("\n".join(source.splitlines()) + "\n").encode()).hexdigest()


def _raised(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
