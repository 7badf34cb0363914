"""Rewards of the user's own: what moves are worth by a function of his, and the checks of what it returns."""

from typing import NamedTuple

import numpy as np

from idi_fast.config.own_functions import OwnFunction
from idi_fast.environments.features import Bars
from idi_fast.errors import InputError


class RewardBars(NamedTuple):
    """What a reward of the user's may know of bars besides what they earn, read-only.

    Attributes
    ----------
    regime : numpy.ndarray
        uint8 (n,), 0 bull, 1 bear, 2 sideways, 3 panic.
    move : numpy.ndarray
        int8 (n,), the sign of the price's change.
    risk : numpy.ndarray
        uint8 (n,), 1 at a risk event.
    unit : float
        The typical volatility of the training's bars, as log return per bar, by which rewards are divided.
    """

    regime: np.ndarray
    move: np.ndarray
    risk: np.ndarray
    unit: float


class OwnReward:
    """Rewards by a function of the user's, in place of a utility of `kernels.utility`."""

    def __init__(self, reward: OwnFunction, unit: float, weights: np.ndarray):
        self._reward, self._unit, self._weights = reward, unit, weights
        self._is_checked = False

    def fill(self, bars: Bars, reward_by_position: np.ndarray) -> None:
        """The rewards of bars from what each move earns: as `kernels.utility.utility_rows`, float64 (n, 9). Raises
        InputError for what is not finite, or depends on other bars."""
        earned = reward_by_position.reshape(-1, 3, 3) * self._unit
        known = bars.regime, bars.move, bars.risk
        worth = self._called(earned, known)
        if not self._is_checked and len(earned) > 1:
            # Half of them in the opposite order: all that comes before and behind is another, and any sum.
            half = slice(None, (len(earned) - 1) // 2, -1)
            turned = self._called(earned[half], tuple(column[half] for column in known))
            differs = (worth[half] != turned).any((1, 2))
            if differs.any():
                row = len(earned) - 1 - int(differs.argmax())
                raise InputError(
                    f"the reward {self._reward.name!r} of a bar depends on other bars: that of row {row} is another "
                    "one among other rows"
                )
            self._is_checked = True
        pnl, scarcity, ethics = self._weights
        rest = (bars.scarcity * scarcity)[:, np.newaxis, np.newaxis] + np.array([-ethics, ethics, ethics])
        reward_by_position[:] = (worth / self._unit * pnl + rest).reshape(-1, 9)

    def _called(self, earned: np.ndarray, known: tuple[np.ndarray, ...]) -> np.ndarray:
        what, given = f"the reward {self._reward.name!r}", [np.array(column) for column in (earned, *known)]
        for column in given:
            column.setflags(write=False)
        earned, regime, move, risk = given
        try:
            with np.errstate(all="ignore"):
                worth = np.array(self._reward.function(earned, RewardBars(regime, move, risk, self._unit)), np.float64)
        except Exception as error:
            raise InputError(f"{what} raised {type(error).__name__}: {error}".rstrip(": ")) from error
        if worth.shape != earned.shape:
            raise InputError(f"{what} returned the shape {worth.shape}; expected that of earned, {earned.shape}")
        wrong = ~np.isfinite(worth)
        if wrong.any():
            bar, before, after = (int(place[0]) for place in np.nonzero(wrong))
            returned = f"returned {worth[bar, before, after]} for the return {earned[bar, before, after]:g}"
            raise InputError(f"{what} {returned}; expected finite numbers")
        return worth
