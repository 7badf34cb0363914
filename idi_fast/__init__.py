"""Train lookup-table agents for the Tau language, backtest them on price histories, write their input streams."""

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from idi_fast.agents.policy import Policy
    from idi_fast.agents.trace import Trace
    from idi_fast.backtesting.backtest import Backtest, backtest
    from idi_fast.config.settings import TrainingConfig
    from idi_fast.data.history import History, load_history
    from idi_fast.environments.simulation import simulate_history
    from idi_fast.evaluation.baselines import evaluate
    from idi_fast.evaluation.evaluator import select_best_policy
    from idi_fast.reporting import write_report
    from idi_fast.selection.sweep import Sweep, sweep
    from idi_fast.selection.walk_forward import WalkForward, walk_forward
    from idi_fast.training.population import Population, train_population
    from idi_fast.training.run import TrainingRun, train
    from idi_fast.training.trainer import Progress, Trainer, create_trainer

__version__ = "0.1.0"

if not os.path.isdir(os.path.join(__path__[0], "kernels")):
    # In a checkout kernels, cli and bench are folders beside this one: its editable install has them in the package.
    from pkgutil import extend_path

    __path__ = extend_path(__path__, __name__)

_HOMES = {
    "TrainingConfig": "idi_fast.config.settings",
    "History": "idi_fast.data.history",
    "load_history": "idi_fast.data.history",
    "Policy": "idi_fast.agents.policy",
    "Backtest": "idi_fast.backtesting.backtest",
    "backtest": "idi_fast.backtesting.backtest",
    "Sweep": "idi_fast.selection.sweep",
    "sweep": "idi_fast.selection.sweep",
    "WalkForward": "idi_fast.selection.walk_forward",
    "walk_forward": "idi_fast.selection.walk_forward",
    "write_report": "idi_fast.reporting",
    "Population": "idi_fast.training.population",
    "train_population": "idi_fast.training.population",
    "simulate_history": "idi_fast.environments.simulation",
    "evaluate": "idi_fast.evaluation.baselines",
    "select_best_policy": "idi_fast.evaluation.evaluator",
    "Trace": "idi_fast.agents.trace",
    "TrainingRun": "idi_fast.training.run",
    "train": "idi_fast.training.run",
    "Progress": "idi_fast.training.trainer",
    "Trainer": "idi_fast.training.trainer",
    "create_trainer": "idi_fast.training.trainer",
}
__all__ = [
    "Backtest", "History", "Policy", "Population", "Progress", "Sweep", "Trace", "Trainer", "TrainingConfig",
    "TrainingRun", "WalkForward", "__version__", "backtest", "create_trainer", "evaluate", "load_history",
    "select_best_policy", "simulate_history", "sweep", "train", "train_population", "walk_forward", "write_report",
]  # fmt: skip


if not TYPE_CHECKING:  # to a checker, which knows the names from above, every other name would be one too

    def __getattr__(name: str):
        # Loaded on first use: importing the package must not cost the second that numba and polars take.
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
