"""The regimes of the crypto market against the reference's environment."""

import pytest
from kernel_strategies import market_and_stress

from idi_fast.kernels import crypto as kernels
from oracle import crypto as oracle
from oracle.reference import MARKET_DEFAULTS, STRESS


@pytest.mark.parametrize("scenario", STRESS)
@pytest.mark.parametrize("regime", range(4))
@pytest.mark.parametrize("drift_bear", [-0.002, 0.003])
def test_crypto_drift(scenario, regime, drift_bear):
    market = {**MARKET_DEFAULTS, "drift_chop": 0.001, "drift_bear": drift_bear, "stress_scenario": scenario}
    assert kernels.crypto_drift(*market_and_stress(market), regime) == oracle.crypto_drift(market, regime)


@pytest.mark.parametrize("scenario", STRESS)
@pytest.mark.parametrize("regime", range(4))
def test_crypto_volatility(scenario, regime):
    market = {**MARKET_DEFAULTS, "stress_scenario": scenario}
    assert kernels.crypto_volatility(*market_and_stress(market), regime) == oracle.crypto_volatility(market, regime)


@pytest.mark.parametrize("scenario", STRESS)
def test_crypto_shock_probability(scenario):
    market = {**MARKET_DEFAULTS, "shock_prob": 0.03, "stress_scenario": scenario}
    assert kernels.crypto_shock_probability(*market_and_stress(market)) == oracle.crypto_shock_probability(market)
