"""What returns are worth to an agent that minds risk, one by one."""

from __future__ import annotations

from collections.abc import Sequence

from .elementary import log_of_one_more

RUIN = 2.0**-10


def worth(utility: str, risk_aversion: float, r: float) -> float:
    """The utility of a simple return."""
    if utility == "log":
        return log_of_one_more(r) if 1.0 + r > RUIN else log_of_one_more(RUIN - 1.0)
    minded = {"mean_variance": r, "downside": -max(0.0, -r)}[utility]
    return r - 0.5 * risk_aversion * minded * minded


def utility_rows(
    utility: str,
    risk_aversion: float,
    unit: float,
    scarcity: Sequence[float],
    weights: Sequence[float],
    returns: Sequence[Sequence[float]],
) -> list[list[float]]:
    """The rewards by old and new position, each −1, 0, 1, from returns in units."""
    rewards = []
    for scarcer, moves in zip(scarcity, returns, strict=True):
        ethics = [-weights[2], weights[2], weights[2]] * 3
        rewards.append(
            [
                worth(utility, risk_aversion, earned * unit) / unit * weights[0] + scarcer * weights[1] + term
                for earned, term in zip(moves, ethics, strict=True)
            ]
        )
    return rewards
