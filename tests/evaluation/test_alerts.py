"""Precision and recall of alerts, counted by hand."""

import json
from dataclasses import replace

import cli_helpers as cli
import numpy as np
import pytest
from market_data import random_walk
from test_trainer import CASES, config, train

import idi_fast.evaluation.baselines
from idi_fast import create_trainer
from idi_fast.backtesting.backtest import backtest
from idi_fast.environments.environment import make_environment
from idi_fast.environments.rng import make_generators
from idi_fast.environments.state_space import StateSpace, make_rules
from idi_fast.evaluation.alerts import AlertCounts
from idi_fast.evaluation.baselines import evaluate
from idi_fast.evaluation.evaluator import Evaluator
from idi_fast.kernels.crypto import REGIMES


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
    assert AlertCounts.of(trace).shares() == expected
    assert {name: result.kpis[name] for name in expected} == expected
    groups = result.to_dict()["alerts"]
    assert groups == AlertCounts.of(trace).by()
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
    kpis = AlertCounts.of(silent).shares()
    assert np.isnan(kpis["alert_precision"])
    assert kpis["alert_recall"] == 0.0
    assert AlertCounts.of(silent).by()["mood"][0]["alert_precision"] is None


def test_bonuses_are_those_of_the_config():
    setup = config(communication={"alert_bonus": 2.0, "positive_bonus": -1.0, "persist_bonus": 0.0})
    rules = make_rules(setup, StateSpace.of(setup))
    assert rules.comm_bonus.tolist() == [[0.0, -1.0, -2.0, 0.0], [0.0, -1.0, 2.0, 0.0]]


# --- on the simulated crypto market


def walk(policy, seed: int, bars: int) -> list[tuple[int, int, bool, bool]]:
    """By looking each state up: mood, regime, whether an alert was said and whether it was right to, bar by bar."""
    generators = make_generators(policy.config.engine, seed)
    generators = replace(generators, environment=generators.evaluation)
    tape, facts = make_environment(policy.config, generators, encoder=policy.encoder).facts(bars + 1)
    rules, moods = make_rules(policy.config, policy.space), policy.config.quantizer.mood_buckets
    alert = policy.comm_actions.index("alert")
    told, mood, position = [], 0, 1
    for bar in range(bars):
        state = np.array([tape.observation[bar], mood, position]) @ rules.strides
        said = policy.layout.values(policy.comm_q, state[None])[0].argmax() == alert
        told.append((mood, int(facts.regime[bar]), bool(said), bool(facts.risk[bar + 1])))
        action = policy.values(state[None])[0].argmax()
        before, position = position, rules.next_position[position * 3 + action]
        reward = tape.reward_by_position[bar + 1, before * 3 + position]
        mood = min(moods - 1, max(0, mood + int(reward > 0.5) - int(reward < -0.2)))
    return told


def counted(told: list[tuple[int, int, bool, bool]]) -> dict:
    said, risk = sum(row[2] for row in told), sum(row[3] for row in told)
    right = sum(row[2] and row[3] for row in told)
    return {
        "bars": len(told),
        "alerts": said,
        "risk_events": risk,
        "alert_precision": right / said if said else None,
        "alert_recall": right / risk if risk else None,
    }


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"engine": {"rng": "mt19937"}},
        {"environment": {"kind": "crypto", "observe_regime": True}},
        {"environment": {"kind": "crypto", "market": {"stress_scenario": "panic"}}},
        {"tile_coder": {"table_size": 100}},
    ],
)
def test_an_evaluation_counts_the_alerts_of_a_walk(fields, monkeypatch):
    monkeypatch.setattr(idi_fast.evaluation.baselines, "ALERT_BARS", 700)
    _, policy, _ = train(config("crypto", episodes=200, **fields), 4)
    told = walk(policy, 9, 700)
    assert evaluate(policy, episodes=3, seed=9).alerts == {
        **counted(told),
        "mood": [
            {"mood": mood, **counted([row for row in told if row[0] == mood])}
            for mood in range(policy.config.quantizer.mood_buckets)
        ],
        "regime": [
            {"regime": name, **counted([row for row in told if row[1] == regime])}
            for regime, name in enumerate(("bull", "bear", "chop", "panic"))
        ],
    }
    assert sum(row[2] for row in told) > 0


def test_alerts_are_counted_over_65_536_bars_of_the_seeds_stream():
    _, policy, _ = train(config("crypto", episodes=200), 3)
    one, same, more, other = (
        evaluate(policy, episodes=episodes, seed=seed).alerts for episodes, seed in ((2, None), (2, 3), (30, 3), (2, 4))
    )
    assert one == same == more != other
    trace = Evaluator(policy.config, 3).follow(policy, 65_537)
    said, risk = trace.comm_action == policy.comm_actions.index("alert"), trace.streams["risk_event"] == 1
    right = np.sum(said[:-1] & risk[1:])
    found = [one[name] for name in ("bars", "alerts", "risk_events", "alert_precision", "alert_recall")]
    assert found == [65_536, said[:-1].sum(), risk[1:].sum(), right / said[:-1].sum(), right / risk[1:].sum()]


def test_an_agent_without_alerts_has_no_precision():
    _, policy, _ = train(config("crypto", communication={"actions": ["silent", "wave"]}))
    alerts = evaluate(policy, episodes=2).to_dict()["alerts"]
    assert (alerts["alerts"], alerts["alert_precision"], alerts["alert_recall"]) == (0, None, 0.0)
    json.dumps(alerts, allow_nan=False)


@pytest.mark.parametrize(("kind", "engine"), CASES)
def test_alerts_are_counted_where_a_tick_says_what_was_known_of_a_simulated_market(kind, engine):
    trainer, policy, _ = train(config(kind, engine))
    report = evaluate(policy, episodes=2, history=trainer.history)
    has_alerts = kind == "crypto" and "compat" not in engine
    assert (report.alerts is not None) == (report.to_dict()["alerts"] is not None) == has_alerts


def test_the_command_prints_precision_and_recall(tmp_path):
    path = tmp_path / "policy.parquet"

    def lines(policy) -> list[str]:
        policy.save(path)
        told = json.loads(cli.succeed("evaluate", path, "--episodes", 2, "--json").stdout)
        assert told["alerts"] == evaluate(policy, episodes=2).alerts
        return [line for line in cli.succeed("evaluate", path, "--episodes", 2).stdout.splitlines() if "alert" in line]

    _, policy, _ = train(config("crypto", episodes=200), 5)
    alerts = evaluate(policy).alerts
    precision, recall = alerts["alert_precision"], alerts["alert_recall"]
    assert lines(policy) == [f"alert precision  {precision:.6g}", f"alert recall     {recall:.6g}"]
    silent = config("crypto", communication={"actions": ["silent"]})
    assert lines(train(silent)[1]) == ["alert precision  –", "alert recall     0"]
    assert lines(train(config("synthetic"))[1]) == []
