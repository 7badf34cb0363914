"""The simulated crypto market's regimes, as both of its tapes know them; regimes by their numbers in `REGIMES`."""

import math
from typing import NamedTuple

from idi_fast.kernels._jit import kernel

REGIMES = ("bull", "bear", "chop", "panic")
REGIME_BULL, REGIME_BEAR, REGIME_CHOP, REGIME_PANIC = range(4)
N_REGIMES = 4
START_PRICE = 1000.0


class Market(NamedTuple):
    """A market's parameters, all float64: log returns and their deviations per step, a share, basis points."""

    drift_bull: float
    drift_bear: float
    drift_chop: float
    volatility: float
    panic_volatility: float
    shock_probability: float
    shock_scale: float
    fee_bps: float


class Stress(NamedTuple):
    """A stress scenario, all float64; NaN and a regime of −1 leave the market's own."""

    drift: float = math.nan
    volatility_multiplier: float = 1.0
    shock_probability: float = math.nan
    fee_multiplier: float = 1.0
    regime: float = -1.0


@kernel(inline=True)
def crypto_drift(market, stress, regime):
    """The drift of a regime as log return per step, or the stress scenario's."""
    if not math.isnan(stress.drift):
        return stress.drift
    if regime == REGIME_BULL:
        return market.drift_bull
    if regime == REGIME_BEAR:
        return market.drift_bear
    if regime == REGIME_PANIC:
        return -abs(market.drift_bear) * 1.5
    return market.drift_chop


@kernel(inline=True)
def crypto_volatility(market, stress, regime):
    """The volatility of a regime per step, under the stress scenario."""
    own = market.panic_volatility if regime == REGIME_PANIC else market.volatility
    return own * stress.volatility_multiplier


@kernel(inline=True)
def crypto_shock_probability(market, stress):
    """The probability of a shock in a step, under the stress scenario."""
    return market.shock_probability if math.isnan(stress.shock_probability) else stress.shock_probability
