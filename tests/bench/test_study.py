"""The study: its yardsticks are right, and all of it runs."""

import sys
from unittest import mock

import numpy as np
import pytest
from market_data import random_walk
from test_trainer import config, train

from idi_fast.backtesting.backtest import backtest
from idi_fast.bench import study
from idi_fast.bench.known_market import Chain, draw_paths, optimal_values, rewards_of_knowing
from idi_fast.bench.planning_figure import draw
from idi_fast.config.environment_settings import MarketConfig
from idi_fast.environments.simulation import market_parameters
from idi_fast.errors import ArtifactError
from idi_fast.evaluation.evaluator import Evaluator
from idi_fast.kernels.tape_words import crypto_bars

REGIME = {"kind": "crypto", "observe_regime": True}


def simulated(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Log closes and regimes of the default market."""
    words = np.random.SFC64(5).random_raw(4 * n).reshape(n, 4)
    close, volume, regime, risk = np.empty(n), np.empty(n), np.empty(n, np.uint8), np.empty(n, np.uint8)
    state = np.array([0.0, 2.0, 0.0])
    crypto_bars(words, *market_parameters(config("crypto")), state, close, volume, regime, risk)
    return close, regime


def test_the_chain_is_that_of_the_simulation():
    close, regime = simulated(400_000)
    chain = Chain.of(MarketConfig())
    counts = np.zeros((4, 4))
    np.add.at(counts, (regime[:-1], regime[1:]), 1)
    np.testing.assert_allclose(counts / counts.sum(axis=1, keepdims=True), chain.transitions, atol=0.003)
    returns = np.expm1(np.diff(close))
    for before, expected in enumerate(chain.expected_returns()):
        chosen = returns[regime[:-1] == before]
        assert abs(chosen.mean() - expected) < 4 * chosen.std() / chosen.size**0.5


def test_beliefs_are_as_often_right_as_they_say():
    close, regime = simulated(100_000)
    beliefs = Chain.of(MarketConfig()).beliefs(close)
    np.testing.assert_allclose(beliefs.sum(axis=1), 1.0)
    for k in range(4):
        for chosen in np.array_split(np.argsort(beliefs[:, k]), 5):
            # Neighbouring bars are alike: the error is that of far fewer than there are.
            assert abs((regime[chosen] == k).mean() - beliefs[chosen, k].mean()) < 0.06


def test_the_optimum_goes_with_the_market_and_not_for_little():
    q = Chain.of(MarketConfig()).action_values()
    best = np.array([[(position, 2, 0)[a] for position, a in enumerate(row)] for row in q.argmax(axis=2)])
    assert best[[0, 1, 3]].tolist() == [[2, 2, 2], [0, 0, 0], [0, 0, 0]]
    dear = Chain.of(MarketConfig(fee_bps=2000.0)).action_values()
    assert (dear.argmax(axis=2) == 0).all()  # hold, whatever is held


def test_two_ways_to_follow_the_optimum_earn_the_same():
    _, policy, _ = train(config(environment=REGIME, rewards=study.PROFIT), 1)
    evaluator = Evaluator(policy.config, 9, episodes=40)
    paths = draw_paths(policy, evaluator)
    by_table = evaluator.rewards(policy, optimal_values(policy))
    np.testing.assert_allclose(rewards_of_knowing(policy, evaluator, np.eye(4)[paths.regime]), by_table, atol=1e-9)


@pytest.mark.parametrize("title", study.PARTS)
def test_every_part_of_the_study_runs(title):
    text = study.PARTS[title](study.Sizes.smallest())
    heads, _, *rows = [line.split("|") for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2
    assert {len(row) for row in rows} == {len(heads)}


def test_the_figure_shows_what_the_study_found(monkeypatch, tmp_path):
    """Drawn by a stand-in for matplotlib, which is an extra: a line per method in the panel of each table."""
    axes, pyplot, drawn = [mock.MagicMock() for _ in study.TABLES], mock.MagicMock(), mock.MagicMock()
    panels = np.empty((1, len(axes)), object)
    panels[0] = axes
    pyplot.subplots.return_value = drawn, panels
    library = mock.MagicMock(pyplot=pyplot)
    for name, module in (("matplotlib", library), ("matplotlib.figure", library.figure), ("matplotlib.pyplot", pyplot)):
        monkeypatch.setitem(sys.modules, name, module)
    found = study.at_equal_data(study.Sizes.smallest())
    draw(found, tmp_path / "figure.svg")
    for panel, table in zip(axes, study.TABLES, strict=True):
        values = found[table, 300]
        lines = {call.kwargs["label"]: call.args for call in panel.errorbar.call_args_list}
        assert lines.keys() == values.keys()
        for method, (bars, mean, error) in lines.items():
            assert bars == [300]
            assert mean == pytest.approx(values[method].mean())
            assert error == pytest.approx(abs(values[method][0] - values[method][1]) / 2)
    drawn.savefig.assert_called_once_with(tmp_path / "figure.svg", metadata={"Date": None})


def test_a_policy_that_sees_the_regime_cannot_be_replayed_on_prices():
    _, policy, _ = train(config(environment=REGIME), 1)
    with pytest.raises(ArtifactError, match="the policy sees the simulated market's regime"):
        backtest(policy, random_walk(100))
