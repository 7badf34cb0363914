"""What the tests of evidence are tried on: runs of every kind, and commands that are to find something wrong."""

from pathlib import Path

import cli_helpers as cli
from cli_helpers import run, succeed


def make_runs(world: Path) -> Path:
    """Add to the world a backtest, a population and an agent that began with another."""
    for name, args in {
        "backtest": ("backtest", world / "later.parquet", "--policy", world / "agent"),
        "population": ("train", "--seeds", "0:2", *cli.QUICK),
        "warm": ("train", "--data", world / "bars.csv", "--init-policy", world / "agent", *cli.QUICK),
    }.items():
        succeed(*args, "--out", world / name)
    return world


def failed(*args: object) -> str:
    """Run a command that is to find something wrong; return stderr."""
    outcome = run(*args)
    assert outcome.status == 1, outcome
    assert "internal error" not in outcome.stderr
    return outcome.stderr
