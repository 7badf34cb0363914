"""The transforms of features, to be timed one by one with a window of 32."""

import importlib

import numpy as np

from idi_fast.bench.kernel import Kernel, Prepared
from idi_fast.bench.oracle import steps as steps_oracle
from idi_fast.bench.yardsticks import SEED
from idi_fast.config.transforms import TRANSFORMS, Transform
from idi_fast.environments.own_steps import compiled_step
from idi_fast.environments.series import transform_kernel
from idi_fast.kernels.steps import run_steps

WINDOW = 32


def _bars(n: int) -> dict[str, np.ndarray]:
    """A random walk of hours."""
    rng = np.random.default_rng(SEED)
    close = 100.0 * np.exp(rng.normal(0.0, 0.01, n).cumsum())
    open = np.concatenate([[100.0], close[:-1]])
    high, low = (np.exp(sign * rng.exponential(0.004, n)) for sign in (1.0, -1.0))
    columns = {"open": open, "high": high * np.maximum(open, close), "low": low * np.minimum(open, close)}
    time = np.arange(n) * 3_600 * 10**9
    return {**columns, "close": close, "column": close, "other": open, "volume": rng.exponential(5.0, n), "time": time}


def _prepare(transform: Transform):
    kernel = transform_kernel(transform)
    function = getattr(kernel, "py_func", kernel)
    module = importlib.import_module(f"idi_fast.bench.oracle.{function.__module__.rpartition('.')[2]}")
    chosen = tuple(parameter.default for parameter in transform.parameters[1:])
    given = (WINDOW if transform.uses_window else 1, *chosen)

    def prepare(n: int) -> Prepared:
        columns, out = _bars(n), np.empty(n)
        inputs, state = [columns[name] for name in transform.inputs], np.zeros(transform.state_size(*given))
        return Prepared(
            lambda: kernel(*inputs, *given, state, out),
            lambda: [out],
            lambda: [getattr(module, function.__name__)(*(each.tolist() for each in inputs), *given)],
        )

    return prepare


def _kernel(transform: Transform) -> Kernel:
    # Sums of rounded numbers on one side, fractions on the other.
    return Kernel(str(transform.kernel), _prepare(transform), "bar", rtol=1e-9, atol=1e-12)


def _average(state, values, window):
    state[0] += (values[0] - state[0]) / window
    return state[0]


def _prepare_steps(n: int) -> Prepared:
    close, out, state, values = _bars(n)["close"], np.empty(n), np.zeros(1), np.empty(1)
    step = compiled_step(_average)
    return Prepared(
        lambda: run_steps(step, close.reshape(1, -1), WINDOW, values, state, out),
        lambda: [out],
        lambda: [steps_oracle.run_steps(_average, [close.tolist()], WINDOW, [0.0])],
    )


KERNELS = (
    *(_kernel(transform) for transform in TRANSFORMS.values() if transform.kernel is not None),
    Kernel("steps.run_steps", _prepare_steps, "bar"),
)
