"""What the returns of a bar are worth to an agent that minds risk."""

from idi_fast.kernels._jit import index, kernel
from idi_fast.kernels.elementary import log_of_one_more

LOG, MEAN_VARIANCE, DOWNSIDE = range(3)
RUIN = 1.0 / 1024.0
"""Share of the equity that the logarithm takes to be left of what would be less, or nothing: its loss is finite."""


@kernel
def utility_rows(utility, risk_aversion, unit, scarcity, weights, reward_by_position):
    """The rewards of bars from what each move earns, of agents that mind risk.

    Of a simple return r: LOG, ln(1 + r), the growth of an equity that is all at stake (Kelly 1956); MEAN_VARIANCE,
    r − A r² / 2 (Markowitz 1952); DOWNSIDE, the same with r² of losses only (Markowitz 1959, 9); A is `risk_aversion`.
    On entry reward_by_position float64 (n, 9) has returns in multiples of `unit`, by old and new position −1, 0, 1; on
    return rewards before the mood term: weights[0] times the utility, in the same multiples, and the terms of scarcity
    and ethics, see `kernels.market.market_rows`. Mutates: reward_by_position.
    """
    rewards = reward_by_position.reshape(-1)
    for t in range(scarcity.size):
        for move in range(9):
            at = index(t * 9 + move)
            r = rewards[at] * unit
            if utility == LOG:
                worth = log_of_one_more(max(r, RUIN - 1.0))
            else:
                loss = r if utility == MEAN_VARIANCE else min(r, 0.0)
                worth = r - 0.5 * risk_aversion * loss * loss
            ethics = weights[2] if move % 3 >= 1 else -weights[2]
            rewards[at] = worth / unit * weights[0] + scarcity[index(t)] * weights[1] + ethics
