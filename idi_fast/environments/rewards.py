"""What moves are worth: the rewards of bars before the mood term, by a config's objective."""

import numpy as np

from idi_fast.config.consistency import SUMMED
from idi_fast.config.own_functions import REWARDS
from idi_fast.config.plugin_hashes import require_plugins
from idi_fast.config.settings import TrainingConfig
from idi_fast.environments.features import Bars, BarStream, Encoder
from idi_fast.environments.own_rewards import OwnReward
from idi_fast.kernels import market, utility
from idi_fast.kernels.learn import Tape

UTILITIES = {"log": utility.LOG, "mean_variance": utility.MEAN_VARIANCE, "downside": utility.DOWNSIDE}
"""Objectives that are no multiple of what is earned."""
PNL_ONLY = np.array([1.0, 0.0, 0.0])


def reward_weights(config: TrainingConfig) -> np.ndarray:
    """The weights of PnL, scarcity alignment and ethics, float64 (3,)."""
    rewards = config.rewards
    return np.array([rewards.pnl, rewards.scarcity_alignment, rewards.ethics_bonus])


def is_linear(config: TrainingConfig) -> bool:
    """Whether rewards are sums of what each position earns, of which the fast kernels of a rollout are made."""
    holding = config.environment.market.borrow_bps or config.environment.market.cash_rate
    return config.rewards.objective in SUMMED and not holding and config.environment.data.funding is None


def bar_stream(
    config: TrainingConfig, encoder: Encoder, fee_bps: float, *, is_new: int = 0, symbol: str | None = None
) -> BarStream:
    """The stream of a config's bars, measured as its objective asks; is_new: see `BarStream`; symbol: that of the bars,
    whose own edges are used if the encoder has some.

    Objectives but the default one are of plain returns: these are measured by the typical volatility of the training's
    bars, so that moods and the other terms keep their meaning.
    """
    is_scaled = config.rewards.objective == "volatility_units"
    unit = 0.0 if is_scaled else encoder.typical_volatility
    own, penalty = encoder.of_symbol(symbol), config.rewards.turnover_penalty
    return BarStream(own, fee_bps, is_new=is_new, unit=unit, turnover_penalty=penalty)


class RewardRule:
    """Makes the rewards of bars by a config's objective; weights float64 (3,): see `reward_weights`."""

    def __init__(self, config: TrainingConfig, encoder: Encoder):
        self.weights = reward_weights(config)
        require_plugins(encoder.plugins)  # of the same source as when it was fitted
        self._utility = UTILITIES.get(config.rewards.objective)
        self._own = None
        if config.rewards.objective in REWARDS:
            self._own = OwnReward(REWARDS[config.rewards.objective], encoder.typical_volatility, self.weights)
        self._risk_aversion = config.rewards.risk_aversion
        self._unit = encoder.typical_volatility

    def is_linear(self, bars: Bars) -> bool:
        """Whether the rewards of these bars are sums that the fast kernel of a rollout makes."""
        return self._is_sum and not bars.hold.size

    @property
    def _is_sum(self) -> bool:
        return self._utility is None and self._own is None

    def tape(self, bars: Bars, reward_by_position: np.ndarray) -> Tape:
        """The tape whose rows are these bars, its rewards put into `reward_by_position` float64 (n, 9).

        An alert is right at a risk event.
        """
        earned = bars.gap, bars.change, bars.cost, bars.scarcity
        market.market_rows(*earned, self._first_weights, reward_by_position)
        self._finish(bars, None, reward_by_position)
        return Tape(reward_by_position, bars.observation, bars.risk)

    def chosen(self, bars: Bars, chosen: np.ndarray, tape: Tape) -> Tape:
        """The rows of the chosen bars int64 (n,), put into a tape of n rows, which is returned."""
        market.chosen_rows(bars, chosen, self._first_weights, *tape)
        self._finish(bars, chosen, tape.reward_by_position)
        return tape

    @property
    def _first_weights(self) -> np.ndarray:
        return self.weights if self._is_sum else PNL_ONLY

    def _finish(self, bars: Bars, chosen: np.ndarray | None, reward_by_position: np.ndarray) -> None:
        if bars.hold.size:
            rows = np.arange(bars.observation.size) if chosen is None else chosen
            market.charge_rows(bars.hold, rows, self._first_weights[0], reward_by_position)
        if self._utility is not None:
            scarcity = bars.scarcity if chosen is None else bars.scarcity[chosen]
            utility.utility_rows(
                self._utility, self._risk_aversion, self._unit, scarcity, self.weights, reward_by_position
            )
        if self._own is not None:
            self._own.fill(bars if chosen is None else bars.rows(chosen), reward_by_position)
