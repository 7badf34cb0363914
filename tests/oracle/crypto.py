"""The regimes of the reference's crypto market, asked of its own environment."""

from __future__ import annotations

from .reference import REGIMES, STRESS, CryptoEnv


def crypto_drift(market: dict, regime: int) -> float:
    """The drift of a regime, or of the market's stress scenario."""
    env = CryptoEnv(market, seed=0)
    env.regime = REGIMES[regime]
    return env.drift()


def crypto_volatility(market: dict, regime: int) -> float:
    """The volatility of a regime, under the market's stress scenario."""
    by_regime = dict.fromkeys(REGIMES, market["vol_base"]) | {"panic": market["vol_panic"]}
    return by_regime[REGIMES[regime]] * STRESS[market["stress_scenario"]].vol_multiplier


def crypto_shock_probability(market: dict) -> float:
    """The stress scenario's, or else the market's."""
    own = STRESS[market["stress_scenario"]].shock_prob
    return market["shock_prob"] if own is None else own
