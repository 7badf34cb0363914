"""Train lookup-table agents for the Tau language, backtest them on price histories, write their input streams."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from idi_fast.baselines import evaluate
    from idi_fast.config import TrainingConfig
    from idi_fast.evaluation import select_best_policy
    from idi_fast.history import History, load_history
    from idi_fast.policy import Policy
    from idi_fast.population import Population, train_population
    from idi_fast.simulation import simulate_history
    from idi_fast.trace import Trace
    from idi_fast.trainer import Progress, Trainer, create_trainer

__version__ = "0.1.0"

_HOMES = {
    "TrainingConfig": "idi_fast.config",
    "History": "idi_fast.history",
    "load_history": "idi_fast.history",
    "Policy": "idi_fast.policy",
    "Population": "idi_fast.population",
    "train_population": "idi_fast.population",
    "simulate_history": "idi_fast.simulation",
    "evaluate": "idi_fast.baselines",
    "select_best_policy": "idi_fast.evaluation",
    "Trace": "idi_fast.trace",
    "Progress": "idi_fast.trainer",
    "Trainer": "idi_fast.trainer",
    "create_trainer": "idi_fast.trainer",
}
__all__ = [
    "History", "Policy", "Population", "Progress", "Trace", "Trainer", "TrainingConfig", "__version__",
    "create_trainer", "evaluate", "load_history", "select_best_policy", "simulate_history",
    "train_population",
]  # fmt: skip


def __getattr__(name: str):
    # Loaded on first use: importing the package must not cost the second that numba and polars take.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
