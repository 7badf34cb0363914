"""What accounts assume about money, besides fees."""

OF_MONEY = {"size": 1.0, "cash_rate": 0.0, "borrow_bps": 0.0, "funding": None, "risk_free": 0.0}
"""The assumptions, see `TradingAssumptions`, with the values that leave an account as it is without them."""
EARNED_AND_PAID = ("interest_earned", "borrow_paid", "funding_paid")
"""The KPIs of what they bring and cost."""
