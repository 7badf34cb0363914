"""Train lookup-table agents for the Tau language, backtest them on price histories, write their input streams."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from idi_fast.agents.policy import Policy
    from idi_fast.agents.trace import Trace
    from idi_fast.config.settings import TrainingConfig
    from idi_fast.data.history import History, load_history
    from idi_fast.environments.simulation import simulate_history
    from idi_fast.evaluation.baselines import evaluate
    from idi_fast.evaluation.evaluator import select_best_policy
    from idi_fast.training.population import Population, train_population
    from idi_fast.training.trainer import Progress, Trainer, create_trainer

__version__ = "0.1.0"

_HOMES = {
    "TrainingConfig": "idi_fast.config.settings",
    "History": "idi_fast.data.history",
    "load_history": "idi_fast.data.history",
    "Policy": "idi_fast.agents.policy",
    "Population": "idi_fast.training.population",
    "train_population": "idi_fast.training.population",
    "simulate_history": "idi_fast.environments.simulation",
    "evaluate": "idi_fast.evaluation.baselines",
    "select_best_policy": "idi_fast.evaluation.evaluator",
    "Trace": "idi_fast.agents.trace",
    "Progress": "idi_fast.training.trainer",
    "Trainer": "idi_fast.training.trainer",
    "create_trainer": "idi_fast.training.trainer",
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
