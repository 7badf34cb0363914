"""The simulated crypto market's regimes, as both of its tapes know them.

market float64 (8,): drift bull, bear, chop, volatility base, panic, shock probability, shock scale, fee bps.
stress float64 (5,): drift override, volatility multiplier, shock probability override, fee multiplier, forced regime
(NaN, NaN and −1 where there is none). Regimes by their numbers in `REGIMES`.
"""

import math

from idi_fast.kernels._jit import kernel

REGIMES = ("bull", "bear", "chop", "panic")
REGIME_BULL, REGIME_BEAR, REGIME_CHOP, REGIME_PANIC = range(4)
N_REGIMES = 4
START_PRICE = 1000.0


@kernel(inline=True)
def crypto_drift(market, stress, regime):
    """The drift of a regime as log return per step, or the stress scenario's."""
    if not math.isnan(stress[0]):
        return stress[0]
    if regime == REGIME_BULL:
        return market[0]
    if regime == REGIME_BEAR:
        return market[1]
    if regime == REGIME_PANIC:
        return -abs(market[1]) * 1.5
    return market[2]


@kernel(inline=True)
def crypto_volatility(market, stress, regime):
    """The volatility of a regime per step, under the stress scenario."""
    return (market[4] if regime == REGIME_PANIC else market[3]) * stress[1]
