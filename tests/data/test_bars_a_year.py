"""The notes of commands on a doubtful number of bars per year, and the effect of --year-days."""

import json

import cli_helpers as cli
import numpy as np
import polars as pl
import pytest
from test_bar_frequency import sessions

from idi_fast.cli import console

WEEK = sessions(range(5))
YEAR = sessions(range(365), step=30)
HOLE = sessions([day for day in range(365) if not 100 <= day < 190], 0, 1440, 60, weekdays=7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A policy, and files of a week of minutes, a year of half hours, and hours with a hole of three months."""
    folder = tmp_path_factory.mktemp("years")
    for name, time in (("week", WEEK), ("year", YEAR), ("hole", HOLE)):
        close = 100.0 + 5.0 * np.sin(np.arange(time.size) / 20)
        frame = pl.DataFrame({"time": pl.Series(time).cast(pl.Datetime("ns", "UTC")), "close": close})
        frame.write_parquet(folder / f"{name}.parquet")
    cli.succeed("train", "--data", folder / "year.parquet", "--out", folder / "policy", *cli.QUICK)
    return folder


def commands(folder, name, out):
    data = folder / f"{name}.parquet"
    policy = ("--policy", folder / "policy")
    return {
        "kpis.json": ("backtest", data, *policy, "--out", out),
        "walkforward.json": ("walkforward", data, "--out", out, *cli.QUICK),
        "sweep.json": ("sweep", data, "--grid", "learning_rate=0.1", "--out", out, *cli.QUICK),
    }


@pytest.mark.parametrize("file", ["kpis.json", "walkforward.json", "sweep.json"])
@pytest.mark.parametrize("name", ["week", "year", "hole"])
def test_a_doubtful_year_is_pointed_out(folder, tmp_path, file, name):
    is_doubtful = name == "week" or (name == "hole" and file != "sweep.json")  # the last fifth has no hole
    args = commands(folder, name, tmp_path / "a")[file]
    outcome = cli.succeed(*args)
    assert ("note: annualised figures assume a year of " in outcome.stderr) == is_doubtful
    notes = json.loads((tmp_path / "a" / file).read_text())["notes"]
    assert [f"note: {console.as_flags(note)}" for note in notes] == [
        line for line in outcome.stderr.splitlines() if "annualised" in line
    ]
    if not is_doubtful:
        return
    days = 252 if name == "week" else 365
    assert f"--year-days {days} would make it " in outcome.stderr
    outcome = cli.succeed(*commands(folder, name, tmp_path / "b")[file], "--year-days", days)
    assert "annualised figures" not in outcome.stderr
    made = json.loads((tmp_path / "b" / file).read_text())
    gap = "there is no bar on 90 days in a row, from 2024-04-10 on: positions are held across them"
    assert made["notes"] == ([gap] if name == "hole" else [])
    if file != "sweep.json":
        per_year = days * (390 if name == "week" else 24)
        assert made["assumptions"]["periods_per_year"] == per_year
        assert f"`year_days={days}` would make it {per_year:,}" in notes[0]


@pytest.mark.parametrize("name", ["week", "hole"])
def test_so_it_is_of_symbols(folder, tmp_path, name):
    (tmp_path / "many").mkdir()
    for symbol in "AB":
        (tmp_path / "many" / f"{symbol}.parquet").write_bytes((folder / f"{name}.parquet").read_bytes())
    args = ("backtest", tmp_path / "many", "--symbol-files", "--policy", folder / "policy", "--out", tmp_path / "a")
    outcome = cli.succeed(*args)
    assert outcome.stderr.count("note: annualised figures assume a year of ") == 1


def test_simulated_markets_have_no_year(tmp_path):
    args = ("--env", "crypto", "--grid", "learning_rate=0.1", "--year-days", 252, *cli.QUICK)
    outcome = cli.run("sweep", *args, "--out", tmp_path / "s")
    assert outcome.status == 2
    cli.assert_mentions(outcome.stderr, "the crypto environment has no use for year_days")
