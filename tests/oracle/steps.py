"""Features by functions of a bar and a state."""

from collections.abc import Callable

from . import Column


def run_steps(step: Callable, columns: list[Column], window: int, state: Column) -> list[float]:
    """What the function returns of each bar, in order; the state changes in its place."""
    return [step(state, bar, window) for bar in zip(*columns, strict=True)]
