"""Markets whose regimes are a list in the config."""

import numpy as np
import polars as pl
import pytest

import idi_fast as idi

CALM = {"name": "calm", "drift": 0.001, "volatility": 0.01, "next": [0.98, 0.02], "degrees": 4, "garch_alpha": 0.1}
WILD = {"name": "wild", "volatility": 0.03, "next": [0.05, 0.95], "counts_as": "panic"}
CONFIG = {"environment": {"kind": "crypto", "market": {"regimes": [CALM, WILD]}}, "episodes": 8}


def test_a_list_of_regimes_is_a_market_to_train_on(tmp_path):
    config = idi.TrainingConfig.from_dict(CONFIG)
    assert idi.TrainingConfig.from_dict(config.canonical()) == config
    assert (
        config.fingerprint()
        != idi.TrainingConfig.from_dict({**CONFIG, "environment": {"kind": "crypto"}}).fingerprint()
    )
    run = idi.train(config, seed=3)
    again = idi.train(config, seed=3)
    np.testing.assert_array_equal(run.policy.q, again.policy.q)
    run.policy.save(tmp_path / "policy.parquet")
    assert idi.Policy.load(tmp_path / "policy.parquet").config == config
    assert idi.evaluate(run.policy, episodes=10).to_dict()["episodes"] == 10
    told = idi.simulate_history(config, 5_000, tmp_path / "bars.parquet", seed=2)
    assert set(told["regimes"]) == {"bull", "bear", "chop", "panic"}
    assert (told["regimes"]["bull"], told["regimes"]["bear"]) == (0, 0)
    close = pl.read_parquet(tmp_path / "bars.parquet")["close"].to_numpy()
    assert 0.01 < np.diff(np.log(close)).std() < 0.03
    # One that is never left, and needs no chances.
    alone = idi.TrainingConfig.from_dict(CONFIG, {"environment.market.regimes": [{"name": "a", "volatility": 0.02}]})
    idi.train(alone)


@pytest.mark.parametrize(
    ("market", "message"),
    [
        ({"regimes": [CALM]}, r"market\.regimes\[0\]\.next has length 2; expected 1, one for each regime of the list"),
        ({"regimes": [CALM, {**WILD, "name": "calm"}]}, r"regimes\[1\]\.name is 'calm' as that of regimes\[0\]"),
        ({"regimes": [CALM, {**WILD, "next": [0.5, 0.4]}]}, r"next adds up to 0\.9; expected chances that add up to 1"),
        ({"regimes": [CALM, {**WILD, "next": [1.5, -0.5]}]}, r"next\[0\] is 1\.5; expected a number >= 0 and <= 1"),
        (
            {"regimes": [{**CALM, "garch_beta": 0.9}, WILD]},
            r"garch_alpha and garch_beta add up to 1; expected",
        ),
        ({"regimes": [{**CALM, "degrees": 2}, WILD]}, r"degrees is 2; expected a number > 2"),
        ({"regimes": [{"name": "a"}]}, r"volatility is missing"),
        ({"regimes": [CALM, WILD], "drift_bull": 0.1}, r"drift_bull is 0\.1, but the regimes of the list have numbers"),
        ({"regimes": [CALM, WILD], "stress_scenario": "panic"}, r"stress_scenario is 'panic', but the regimes"),
    ],
)
def test_regimes_that_are_refused(market, message):
    with pytest.raises(idi.ConfigError, match=message):
        idi.TrainingConfig.from_dict({"environment": {"kind": "crypto", "market": market}})
    with pytest.raises(idi.ConfigError, match=r"regimes are given, but compat 'idi_iann' reproduces a market of four"):
        idi.TrainingConfig.from_dict({**CONFIG, "engine": {"compat": "idi_iann"}})
