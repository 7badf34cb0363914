"""What an agent can do, in the order of the tables' columns."""

ACTIONS = ("hold", "buy", "sell")
HOLD, BUY, SELL = range(3)
