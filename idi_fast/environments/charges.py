"""What a position pays in the rewards of training, besides what it earns by the price."""

from collections.abc import Mapping

import numpy as np

from idi_fast.config.settings import TrainingConfig
from idi_fast.data.bar_frequency import ElapsedYears
from idi_fast.data.history import History
from idi_fast.environments.simulation import STRESS
from idi_fast.errors import DataError


def charged_fee_bps(config: TrainingConfig) -> float:
    """The fee per side charged to the agent's rewards, in basis points: a stress scenario may multiply it."""
    market = config.environment.market
    multiplier = STRESS[market.stress_scenario].fee_multiplier if config.environment.kind == "crypto" else 1.0
    return market.fee_bps * multiplier


class HoldingCharges:
    """The charges of a config over consecutive chunks of a history, as an account pays them: by the position that was
    held at the last close, for the time from there to a bar's own, on its notional at that close.

    A short pays to borrow, a long pays the funding rate and a short receives it, and either forgoes the interest on
    cash. is_new: whether such a position is the new one of a bar's reward, see `kernels.market.charge_held`; columns:
    those of the history, by their names in it; funding: its column of funding rates, by default the config's. Raises
    DataError if the history lacks what is charged by.
    """

    def __init__(self, config: TrainingConfig, columns: Mapping[str, str], funding: str | None = None):
        market, data = config.environment.market, config.environment.data
        self.is_new = int(data.fill == "same_close")
        self._borrow, self._cash_rate = market.borrow_bps / 1e4, market.cash_rate
        self._funding = None if data.funding is None else funding or data.funding
        self._elapsed = ElapsedYears()
        if self._funding is not None and self._funding not in columns:
            raise DataError(
                f"the rewards of this config pay the funding of column {self._funding!r}, but the history has only "
                f"{', '.join(columns)}; name its column (`funding`), or read it as an extra one"
            )
        for name in ("borrow_bps", "cash_rate"):
            if getattr(market, name) and "time" not in columns:
                raise DataError(
                    f"environment.market.{name} is {getattr(market, name)} a year, but the history has no times to "
                    "tell how long a bar is; name their column, or set it to 0"
                )

    def __bool__(self) -> bool:
        """Whether anything is charged."""
        return bool(self._borrow or self._cash_rate or self._funding is not None)

    def push(self, history: History) -> tuple[np.ndarray, np.ndarray]:
        """What a long and what a short pays in each of the next bars, as a share of its notional, float64 (n,)."""
        years = np.zeros(len(history))
        if self._borrow or self._cash_rate:
            years = self._elapsed.push(history.column("time"))
        funding = np.zeros(len(history)) if self._funding is None else history.column(self._funding)
        forgone = self._cash_rate * years
        return forgone + funding, forgone - funding + self._borrow * years
