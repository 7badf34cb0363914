"""What money earns over each bar without a risk, which Sharpe, Sortino and alpha compare returns with."""

import numpy as np

from idi_fast.config.arguments import check_rate
from idi_fast.data.bar_frequency import ElapsedYears
from idi_fast.data.history import History
from idi_fast.errors import InputError


def check_one_rate(rate: object) -> None:
    """Refuse a column of rates for many symbols."""
    if isinstance(rate, str):
        raise InputError("risk_free is a column; expected a rate a year, since many symbols may have several")


class RiskFree:
    """The riskless return of bars, in chunks of any size: the rate a year that was known at the last close, times the
    years since then.

    rate: a year, or the column of the history that has it at each bar; 0 for none. Raises InputError.
    """

    def __init__(self, rate: float | str):
        if not isinstance(rate, str):
            check_rate("risk_free", rate)
        self._rate, self._elapsed = rate, ElapsedYears()
        self._last = np.empty(0)

    def push(self, history: History) -> np.ndarray | None:
        """The return over each of the next bars, float64 (n,), 0 on the first of all; None if there is none at all."""
        if not self._rate:
            return None
        years = self._elapsed.push(history.column("time"))
        return years * (self._known(history, self._rate) if isinstance(self._rate, str) else self._rate)

    def push_times(self, time: np.ndarray) -> np.ndarray | None:
        """The same of bars of many symbols, at these times int64 (n,), in ns; InputError for a column of rates."""
        check_one_rate(self._rate)
        return self._elapsed.push(time) * self._rate if self._rate else None

    def _known(self, history: History, column: str) -> np.ndarray:
        """The rate at the close before each bar."""
        rates = history.column(column)
        wrong = np.flatnonzero(~(np.abs(rates) < 1.0))
        if wrong.size:
            raise InputError(
                f"the column {column!r} of risk-free rates holds {rates[wrong[0]]:g}; expected rates a year between -1 "
                "and 1, as 0.04 for 4%"
            )
        if not rates.size:
            return rates
        before = np.concatenate([self._last if self._last.size else rates[:1], rates[:-1]])
        self._last = rates[-1:].astype(float)
        return before
