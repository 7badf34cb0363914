"""What the tests of evidence are tried on: runs of every kind, and commands that are to find something wrong."""

from pathlib import Path

import cli_helpers as cli
import pytest
from cli_helpers import run, succeed


@pytest.fixture(scope="module")
def evidence(world) -> Path:
    """The world, and in it a backtest, a population and an agent that began with another."""
    for name, args in {
        "backtest": ("backtest", world / "later.parquet", "--policy", world / "agent"),
        "population": ("train", "--seeds", "0:2", *cli.QUICK),
        "warm": ("train", "--data", world / "bars.csv", "--init-policy", world / "agent", *cli.QUICK, *cli.FEW_STATES),
    }.items():
        succeed(*args, "--out", world / name)
    return world


@pytest.fixture
def agent(evidence, tmp_path) -> Path:
    """A copy of the agent of a history."""
    return cli.copy_of(evidence / "agent", tmp_path / "agent")


@pytest.fixture
def synthetic(evidence, tmp_path) -> Path:
    """A copy of the agent of the synthetic environment."""
    return cli.copy_of(evidence / "synthetic", tmp_path / "synthetic")


def failed(*args: object) -> str:
    """Run a command that is to find something wrong; return stderr."""
    outcome = run(*args)
    assert outcome.status == 1, outcome
    assert "internal error" not in outcome.stderr
    return outcome.stderr
