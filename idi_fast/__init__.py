"""Train lookup-table agents for the Tau language, backtest them on price histories, write their input streams."""

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from idi_fast.agents.policy import Policy
    from idi_fast.agents.trace import Trace
    from idi_fast.backtesting.backtest import Backtest, backtest
    from idi_fast.backtesting.populations import PopulationBacktest
    from idi_fast.complete.run import CompleteRun, run
    from idi_fast.config.plugins import load_plugin, register_feature, register_market, register_reward
    from idi_fast.config.settings import TrainingConfig
    from idi_fast.data.conversion import convert_files
    from idi_fast.data.history import History
    from idi_fast.data.loading import load_history
    from idi_fast.data.moments import ReturnMoments, return_moments
    from idi_fast.data.overview import overview
    from idi_fast.environments.simulation import simulate_history
    from idi_fast.errors import (
        ArtifactError,
        CacheWarning,
        Cancelled,
        ConfigError,
        DataError,
        EvidenceError,
        IdiFastError,
        InputError,
        NumericalError,
        OutputError,
        WriteError,
    )
    from idi_fast.evaluation.baselines import Comparison, evaluate
    from idi_fast.evaluation.evaluator import Evaluation, select_best_policy
    from idi_fast.lab.server import serve_lab
    from idi_fast.reporting import write_report
    from idi_fast.reporting.html_report import HtmlReport, report
    from idi_fast.reporting.run_table import RunTable, list_runs
    from idi_fast.reporting.simulations import plot_simulation
    from idi_fast.selection.sweep import sweep
    from idi_fast.selection.sweep_result import Sweep
    from idi_fast.selection.walk_forward import WalkForward, walk_forward
    from idi_fast.training.population import Lane, Population, PopulationProgress, train_population
    from idi_fast.training.progress_log import ProgressLog
    from idi_fast.training.run import TrainingRun, train
    from idi_fast.training.trainer import Progress, Trainer, create_trainer

__version__ = "0.2.0"

if not os.path.isdir(os.path.join(__path__[0], "kernels")):
    # In a checkout kernels, cli and bench are folders beside this one: its editable install has them in the package.
    from pkgutil import extend_path

    __path__ = extend_path(__path__, __name__)

_HOMES = {
    "agents.policy": ("Policy",),
    "agents.trace": ("Trace",),
    "backtesting.backtest": ("Backtest", "backtest"),
    "backtesting.populations": ("PopulationBacktest",),
    "complete.run": ("CompleteRun", "run"),
    "config.plugins": ("load_plugin", "register_feature", "register_market", "register_reward"),
    "config.settings": ("TrainingConfig",),
    "data.history": ("History",),
    "data.loading": ("load_history",),
    "data.moments": ("ReturnMoments", "return_moments"),
    "data.overview": ("overview",),
    "data.conversion": ("convert_files",),
    "environments.simulation": ("simulate_history",),
    "errors": (
        "ArtifactError",
        "CacheWarning",
        "Cancelled",
        "ConfigError",
        "DataError",
        "EvidenceError",
        "IdiFastError",
        "InputError",
        "NumericalError",
        "OutputError",
        "WriteError",
    ),
    "evaluation.baselines": ("Comparison", "evaluate"),
    "evaluation.evaluator": ("Evaluation", "select_best_policy"),
    "lab.server": ("serve_lab",),
    "reporting": ("write_report",),
    "reporting.html_report": ("HtmlReport", "report"),
    "reporting.run_table": ("RunTable", "list_runs"),
    "reporting.simulations": ("plot_simulation",),
    "selection.sweep": ("sweep",),
    "selection.sweep_result": ("Sweep",),
    "selection.walk_forward": ("WalkForward", "walk_forward"),
    "training.population": ("Lane", "Population", "PopulationProgress", "train_population"),
    "training.progress_log": ("ProgressLog",),
    "training.run": ("TrainingRun", "train"),
    "training.trainer": ("Progress", "Trainer", "create_trainer"),
}
"""Where each public name is."""
_MODULES = {name: f"{__name__}.{module}" for module, names in _HOMES.items() for name in names}

__all__ = [
    "ArtifactError",
    "Backtest",
    "CacheWarning",
    "Cancelled",
    "Comparison",
    "CompleteRun",
    "ConfigError",
    "DataError",
    "Evaluation",
    "EvidenceError",
    "History",
    "HtmlReport",
    "IdiFastError",
    "InputError",
    "Lane",
    "NumericalError",
    "OutputError",
    "Policy",
    "Population",
    "PopulationBacktest",
    "PopulationProgress",
    "Progress",
    "ProgressLog",
    "ReturnMoments",
    "RunTable",
    "Sweep",
    "Trace",
    "Trainer",
    "TrainingConfig",
    "TrainingRun",
    "WalkForward",
    "WriteError",
    "__version__",
    "backtest",
    "convert_files",
    "create_trainer",
    "evaluate",
    "list_runs",
    "load_history",
    "load_plugin",
    "overview",
    "plot_simulation",
    "register_feature",
    "register_market",
    "register_reward",
    "report",
    "return_moments",
    "run",
    "select_best_policy",
    "serve_lab",
    "simulate_history",
    "sweep",
    "train",
    "train_population",
    "walk_forward",
    "write_report",
]


if not TYPE_CHECKING:  # to a checker, which knows the names from above, every other name would be one too

    def __getattr__(name: str):
        # Loaded on first use: importing the package must not cost the second that numba and polars take.
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
