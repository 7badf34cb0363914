"""What accounts assume about money, besides fees."""

from collections.abc import Mapping
from typing import Any

OF_MONEY = {"size": 1.0, "cash_rate": 0.0, "borrow_bps": 0.0, "funding": None, "risk_free": 0.0}
"""The assumptions, see `TradingAssumptions`, with the values that leave an account as it is without them."""
EARNED_AND_PAID = ("interest_earned", "borrow_paid", "funding_paid")
"""The KPIs of what they bring and cost."""


def without_idle_terms(assumptions: Mapping[str, Any]) -> dict[str, Any]:
    """Assumptions without those about money that change nothing."""
    return {name: value for name, value in assumptions.items() if name not in OF_MONEY or value != OF_MONEY[name]}
