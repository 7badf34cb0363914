"""Series that a function of the user's computes a bar at a time, with a state: compiled, so that a loop costs little.

One kernel runs all of them: each is compiled for itself to a C function, whose address the kernel is given.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core.errors import NumbaError

from idi_fast.config.plugins import Plugin
from idi_fast.errors import InputError
from idi_fast.kernels._cache import IS_COMPILED
from idi_fast.kernels.steps import run_steps

_ARRAY = types.Array(types.float64, 1, "C")
_SIGNATURE = types.float64(_ARRAY, _ARRAY, types.int64)


class StepSeries:
    """A function's values in chunks of any size; state: the arrays it resumes from. It sees no bar but the next, so
    that it cannot look ahead. Raises InputError for a function that cannot be compiled."""

    def __init__(self, plugin: Plugin, window: int):
        self._plugin, self._window = plugin, window
        self._step = _compiled(plugin)
        self._seen = np.zeros(1, np.int64)
        self._numbers = np.zeros(plugin.state_size(window))
        self.state = {"seen": self._seen, "state": self._numbers}

    def push(self, inputs: Sequence[np.ndarray], out: np.ndarray) -> None:
        """The values of the next bars, inputs (n,) each, into out float64 (n,). Raises InputError."""
        columns, values = np.array(inputs, np.float64), np.empty(len(inputs))
        run_steps(self._step, columns, self._window, values, self._numbers, out)
        wrong = ~np.isfinite(out)
        if wrong.any():
            place = int(wrong.argmax())
            raise InputError(
                f"the feature function {self._plugin.name!r} returned {out[place]} for bar {int(self._seen[0]) + place}"
                f", or raised an error there; expected finite numbers, and no place beyond the {self._numbers.size} of "
                f"its state or the {len(inputs)} of its values"
            )
        self._seen[0] += out.size


@lru_cache(maxsize=64)
def _compiled(plugin: Plugin) -> Callable[..., float]:
    try:
        return compiled_step(getattr(plugin.function, "py_func", plugin.function))
    except NumbaError as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"the feature function {plugin.name!r} of state, values and window cannot be compiled: {reason}; use "
            "numbers and arrays only, or make it a function of columns and window"
        ) from error


def compiled_step(step: Callable[..., float]) -> Callable[..., float]:
    """A function as `kernels.steps.run_steps` takes it, which returns NaN where it would raise an error or a place lies
    beyond its arrays."""
    if not IS_COMPILED:
        return _guarded(step)
    # Bounds are checked, which takes most of the time of a step: a wrong place would overwrite others' memory.
    inner: Any = numba.njit(_SIGNATURE, nogil=True, error_model="numpy", boundscheck=True)(step)
    return numba.cfunc(_SIGNATURE, nogil=True)(_guarded(inner))


def _guarded(step: Callable[..., float]) -> Callable[..., float]:
    """The function, which returns NaN where it would raise an error: no caller of a C function hears of one."""

    def guarded(state, values, window):
        try:
            return step(state, values, window)
        except Exception:  # noqa: BLE001 -- numba knows no other
            return np.nan

    return guarded
