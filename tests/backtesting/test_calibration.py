"""What a planned table expects of actions beside what came of it, from KPIs by hand to the command line."""

import json
import math

import cli_helpers as cli
import numpy as np
import polars as pl
import pytest
from market_data import random_walk
from report_runs import report_page

import idi_fast as idi
from idi_fast.backtesting.calibration import NAMES, Calibration
from idi_fast.reporting.parts import Table
from idi_fast.training.combination import combine

PLANS = {"environment": {"kind": "history"}, "learning": {"algorithm": "value_iteration", "shrinkage": 0.0}}
FEW = {"price_buckets": 3, "volume_buckets": 1, "trend_buckets": 3, "scarcity_buckets": 1, "mood_buckets": 1}


PROFIT = {"scarcity_alignment": 0.0, "ethics_bonus": 0.0, "communication_clarity": 0.0}


@pytest.fixture(scope="module")
def planned() -> idi.TrainingRun:
    return idi.train({**PLANS, "quantizer": FEW}, random_walk(900, seed=3))


def of_sums(sums: list[list[float]], edges: list[float]) -> Calibration:
    made = object.__new__(Calibration)
    made._sums, made._edges, made._state = np.array(sums, float), np.array(edges), np.zeros(0)
    return made


def test_kpis_by_hand():
    """Expected and realised: (−1, −2), (−1, 0) | none | (2, 1), (4, 3); each in a batch of its own."""
    made = of_sums([[2, -2, -2, 2, 2, 4, -2, 2], [0] * 8, [2, 6, 4, 20, 14, 10, 4, 2]], [0.0, 1.0])
    error = (abs(-2 + 2) + abs(6 - 4)) / 4
    # Of (x − 1) y: −2 · −2 + −2 · 0 + 1 · 1 + 3 · 3 = 14, of (x − 1)²: 4 + 4 + 1 + 9 = 18.
    assert made.kpis() == ({"calibration_error": error, "calibration_slope": pytest.approx(14 / 18)}, {})
    low, high = made.buckets()
    root = math.sqrt((1 + 1) / 4)
    assert low == {"from": None, "to": 0.0, "bars": 2, "expected": -1.0, "realised": -1.0, "standard_error": root}
    assert high == {"from": 1.0, "to": None, "bars": 2, "expected": 3.0, "realised": 2.0, "standard_error": root}
    (row,) = of_sums([[2, 2, 3, 2, 3, 9, 6, 4]], []).buckets()
    assert row["standard_error"] is None  # both in one batch
    kpis, why = of_sums([[0] * 8], []).kpis()
    assert kpis == dict.fromkeys(NAMES)
    assert why == dict.fromkeys(NAMES, "fewer than 2 bars")
    kpis, why = of_sums([[2, 2, 3, 2, 3, 9, 6, 4]], []).kpis()
    assert kpis == {"calibration_error": 0.5, "calibration_slope": None}
    assert "the same everywhere" in why["calibration_slope"]


@pytest.mark.parametrize("fill", ["same_close", "next_close"])
def test_what_a_table_knows_comes_as_expected_and_what_it_imagines_does_not(fill):
    few = {**PLANS, "quantizer": FEW, "rewards": PROFIT}
    few["environment"] = {"kind": "history", "data": {"fill": fill}}
    # Rising and falling by turns of 60 bars, on top of noise.
    slope = 0.004 * np.where(np.arange(24_000) % 120 < 60, 1.0, -1.0)
    close = 100.0 * np.exp(np.cumsum(np.random.default_rng(0).normal(0.0, 0.01, 24_000) + slope))
    known, later = (idi.History.from_arrays(part) for part in (close[:12_000], close[12_000:]))
    test = idi.backtest(idi.train(few, known).policy, later)
    assert 0.7 < test.kpis["calibration_slope"] < 1.3
    low, high = test.calibration[0], test.calibration[-1]
    assert low["realised"] < -5.0 * low["standard_error"]
    assert high["realised"] > 5.0 * high["standard_error"]
    rng = np.random.default_rng(1)
    slopes = []
    for _ in range(4):
        close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, 9_000)))
        walk, later = (idi.History.from_arrays(part) for part in (close[:1_000], close[1_000:]))
        test = idi.backtest(idi.train(few, walk).policy, later)
        slopes.append(test.kpis["calibration_slope"])
        assert sum(row["bars"] for row in test.calibration) == 7_999
    assert np.mean(slopes) < 0.4


def test_it_does_not_depend_on_the_cuts(planned, monkeypatch):
    history = random_walk(500, seed=8)
    monkeypatch.setattr("idi_fast.backtesting.calibration.STRETCH", 128)
    whole = idi.backtest(planned.policy, history).to_dict()
    monkeypatch.setattr("idi_fast.backtesting.engine.SEGMENT_BARS", 37)
    assert idi.backtest(planned.policy, history).to_dict() == whole


def test_tables_without_standard_errors_have_none(planned):
    learnt = idi.train({"episodes": 4, "environment": {"kind": "crypto"}}).policy
    votes = combine([planned.policy, planned.policy], "vote")
    for policy in (learnt, votes):
        result = idi.backtest(policy, random_walk(300))
        assert result.calibration is None
        assert not set(NAMES) & result.kpis.keys()
        assert "calibration" not in result.to_dict()
    together = idi.backtest([planned.policy, planned.policy], random_walk(300))
    assert not set(NAMES) & set(together.table.columns)


def test_many_symbols_are_added_up(tmp_path, planned):
    planned.policy.save(tmp_path / "policy.parquet")
    bars, out = tmp_path / "bars", tmp_path / "tested"
    bars.mkdir()
    for name, seed in (("A", 1), ("B", 2)):
        random_walk(300, seed=seed).to_frame().write_parquet(bars / f"{name}.parquet")
    cli.succeed("backtest", bars, "--symbol-files", "--policy", tmp_path / "policy.parquet", "--out", out)
    result = json.loads((out / "kpis.json").read_text())
    alone = [idi.backtest(planned.policy, random_walk(300, seed=seed)) for seed in (1, 2)]
    assert sum(row["bars"] for row in result["calibration"]) == 2 * 299
    weighted = np.mean([each.kpis["calibration_error"] for each in alone])
    # Errors of two symbols may cancel within a bucket, and never add up to more.
    assert 0.0 < result["kpis"]["calibration_error"] <= weighted + 1e-12
    assert "calibration_error" in pl.read_parquet(out / "symbols.parquet").columns


def test_conditions_and_the_terminal(tmp_path, planned):
    planned.policy.save(tmp_path / "policy.parquet")
    random_walk(400, seed=9).to_frame().write_parquet(tmp_path / "bars.parquet")
    args = ("backtest", tmp_path / "bars.parquet", "--policy", tmp_path / "policy.parquet", "--out", tmp_path / "out")
    done = cli.run(*args, "--fail-if", "calibration_slope < 10")
    assert done.status == 1
    assert "calibration error" in done.stdout
    assert "calibration_slope is" in done.stderr


def test_the_report_shows_it_and_where_the_table_is_sure(tmp_path, planned):
    test = idi.backtest(planned.policy, random_walk(400, seed=9))
    test.save(tmp_path / "test")
    page = report_page(tmp_path / "test")
    (section,) = [section for section in page.sections if section.name == "calibration"]
    table = section.parts[1]
    assert [row[1] for row in table.rows] == [str(row["bars"]) for row in test.calibration]
    planned.save(tmp_path / "agent")
    tables = [part for part in report_page(tmp_path / "agent").sections[2].parts if isinstance(part, Table)]
    (table,) = [table for table in tables if table.title == "Where the table is sure"]
    assert table.heads == ("Held", "Price", "Trend", "Does", "Advantage", "Std error", "z", "n")
    scores = [float(row[-2].replace("−", "-")) for row in table.rows]
    assert scores == sorted(scores, reverse=True)
    row = table.rows[0]
    state = (int(row[1]), 0, int(row[2]), 0, 0, ["Short", "Flat", "Long"].index(row[0]))
    place = planned.policy.state_index(state)
    action = ["Hold", "Buy", "Sell"].index(row[3])
    gain = planned.policy.q[place, action] - planned.policy.q[place, 0]
    assert float(row[4]) == pytest.approx(gain, rel=1e-2)
    assert scores[0] == pytest.approx(gain / planned.policy.certainty.errors[place, action - 1], rel=0.05)
