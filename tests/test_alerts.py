"""Precision and recall of alerts, counted by hand."""

from dataclasses import replace

import numpy as np
import pytest
from market_data import random_walk
from test_trainer import config

from idi_fast import create_trainer
from idi_fast.alerts import REGIMES, alert_kpis, alerts_by
from idi_fast.backtest import backtest
from idi_fast.space import StateSpace, make_rules


@pytest.fixture
def result():
    bars = random_walk(300)
    policy, _ = create_trainer(config("history", episodes=100), 2, bars).run()
    return backtest(policy, bars)


def test_alerts_are_counted_against_the_next_bars_risk(result):
    trace = result.trace
    alert = trace.comm_names.index("alert")
    said = [action == alert for action in trace.comm_action.tolist()]
    risk = [bool(event) for event in trace.streams["risk_event"].tolist()]
    pairs = list(zip(said[:-1], risk[1:], strict=True))
    right = sum(a and b for a, b in pairs)
    assert sum(a for a, _ in pairs) > 0
    assert sum(b for _, b in pairs) > 0
    expected = {"alert_precision": right / sum(a for a, _ in pairs), "alert_recall": right / sum(b for _, b in pairs)}
    assert alert_kpis(trace) == expected
    assert {name: result.kpis[name] for name in expected} == expected
    groups = result.to_dict()["alerts"]
    assert groups == alerts_by(trace)
    for rows in groups.values():
        assert sum(row["bars"] for row in rows) == len(pairs)
        assert sum(row["alerts"] for row in rows) == sum(a for a, _ in pairs)
        assert sum(row["risk_events"] for row in rows) == sum(b for _, b in pairs)
    moods = trace.space.digit(trace.state, "mood").tolist()
    for mood, row in enumerate(groups["mood"]):
        mine = [pair for pair, other in zip(pairs, moods, strict=False) if other == mood]
        alerts = sum(a for a, _ in mine)
        assert row["alert_precision"] == (sum(a and b for a, b in mine) / alerts if alerts else None)
    assert [row["regime"] for row in groups["regime"]] == list(REGIMES)


def test_a_share_of_nothing_is_undefined(result):
    silent = replace(result.trace, comm_names=("silent", "positive", "warning", "persist"))
    kpis = alert_kpis(silent)
    assert np.isnan(kpis["alert_precision"])
    assert kpis["alert_recall"] == 0.0
    assert alerts_by(silent)["mood"][0]["alert_precision"] is None


def test_bonuses_are_those_of_the_config():
    setup = config(communication={"alert_bonus": 2.0, "positive_bonus": -1.0, "persist_bonus": 0.0})
    rules = make_rules(setup, StateSpace.of(setup))
    assert rules.comm_bonus.tolist() == [[0.0, -1.0, -2.0, 0.0], [0.0, -1.0, 2.0, 0.0]]
