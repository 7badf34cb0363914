"""One run of each kind that a report is written of, made in a moment."""

import shutil
from dataclasses import replace
from pathlib import Path

from market_data import random_walk
from test_trainer import config

from idi_fast import create_trainer, train_population
from idi_fast.backtesting.backtest import backtest
from idi_fast.backtesting.symbols import write_symbol_backtest
from idi_fast.reporting import PAGES
from idi_fast.reporting.parts import Figure, Page
from idi_fast.reporting.run import ReportedRun
from idi_fast.selection.sweep import sweep
from idi_fast.selection.walk_forward import walk_forward
from idi_fast.storage.files import new_directory
from idi_fast.training.artifact import save_training
from idi_fast.training.population_artifact import save_population

ACTIONS = ["silent", "alert", "<b>wave</b>", "</script>"]
"""Two of them as they must not come through to the page."""
GRID = {"learning_rate": [0.05, 0.4], "discount": [0.5, 0.7, 0.9]}
KINDS = ("backtest", "symbols", "training", "population", "walkforward", "sweep", "policies")

EXPECTED = {
    "backtest": ["equity", "drawdown", "price", "months", "sharpe", "action-mix", "comm-action-mix", "alerts"],
    "training": [
        "evaluation-figure",
        "learning-curve",
        "exploration",
        "visits",
        "greedy",
        "q-values",
        "action-mix",
        "comm-action-mix",
    ],
    "symbols": ["equity", "drawdown", "months", "sharpe", "by-symbol"],
    "walkforward": ["equity", "windows"],
    "sweep": ["scores", "ranking", "validation-test"],
    "policies": ["returns"],
}
"""The figures of each, in their order."""
EXPECTED["population"] = ["spread", "against-training", *EXPECTED["training"]]


def make_runs(folder: Path) -> Path:
    """A run of each of the KINDS, by its name in a folder."""
    setup = config("history", episodes=60, communication={"actions": ACTIONS}, rewards={"ethics_bonus": 0.0})
    bars = random_walk(400)
    trainer = create_trainer(setup, 3, history=bars)
    policy, trace = trainer.run()
    save_training(folder / "training", trainer, policy, trace)
    backtest(policy, random_walk(400, seed=7)).save(folder / "backtest")
    symbols = {f"<i>{k}</i>": random_walk(200 + k, seed=k) for k in range(3)}
    with new_directory(folder / "symbols") as made:
        write_symbol_backtest(made, policy, symbols, ())
    save_population(folder / "population", train_population(config("crypto"), range(3)))
    walk_forward(config("history"), bars, train_bars=200, test_bars=60, seeds=(0, 1)).save(folder / "walkforward")
    sweep(config("history"), GRID, bars, seeds=(0, 1)).save(folder / "sweep")
    backtest([policy, replace(policy, seed=4)], bars).save(folder / "policies")
    return folder


def report_page(run: Path) -> Page:
    """The page of a run."""
    found = ReportedRun.open(run)
    return PAGES[found.kind](found)


def report_figures(run: Path) -> dict[str, Figure]:
    """The figures of a run's page, by name."""
    return {figure.name: figure for figure in report_page(run).figures}


def unsealed(run: Path, target: Path) -> Path:
    """A copy of a run without its manifest, so that its files may be changed."""
    shutil.copytree(run, target)
    (target / "manifest.json").unlink()
    return target
