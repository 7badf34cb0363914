"""The account as a ledger of cash and shares in exact fractions, every order a sale and a purchase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from typing import NamedTuple

NEXT_OPEN, NEXT_CLOSE, SAME_CLOSE = range(3)


class Trade(NamedTuple):
    """As the rows of `kernels.backtest.account`; exit_price and profit are None while it is open, its exit bar −1."""

    entry_bar: int
    exit_bar: int
    direction: int
    entry_price: Fraction
    exit_price: Fraction | None
    profit: Fraction | None
    fees: Fraction


@dataclass
class Ledger:
    """Cash and shares, and what was paid and traded."""

    fee_rate: Fraction
    cash: Fraction = Fraction(1)
    shares: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)
    traded: Fraction = Fraction(0)
    trades: list[Trade] = field(default_factory=list)
    staked: Fraction = Fraction(0)

    def worth(self, price: Fraction) -> Fraction:
        """Cash and what the shares would bring or cost."""
        return self.cash + self.shares * price

    def order(self, shares: Fraction, price: Fraction) -> Fraction:
        """Buy shares, or sell as many as are below 0; the fee."""
        notional = abs(shares) * price
        self.cash -= shares * price + self.fee_rate * notional
        self.shares += shares
        self.fees += self.fee_rate * notional
        self.traded += notional
        return self.fee_rate * notional

    def close(self, bar: int, price: Fraction) -> None:
        """Leave the position and book its trade; no more is lost than was staked."""
        fee = self.order(-self.shares, price)
        trade = self.trades[-1]
        profit = max(self.cash / self.staked - 1, Fraction(-1))
        self.trades[-1] = trade._replace(exit_bar=bar, exit_price=price, profit=profit, fees=trade.fees + fee)

    def open(self, bar: int, price: Fraction, direction: int) -> None:
        """Put all cash into a position whose worth is what is left after its fee: (1 + fee rate) notionals are paid."""
        self.staked = self.cash
        fee = self.order(direction * self.cash / (1 + self.fee_rate) / price, price)
        self.trades.append(Trade(bar, -1, direction, price, None, None, fee))

    def ruin(self, bar: int, price: Fraction) -> None:
        """Nothing is left."""
        if self.shares:
            self.trades[-1] = self.trades[-1]._replace(exit_bar=bar, exit_price=price, profit=Fraction(-1))
        self.cash = self.shares = Fraction(0)


def rebalance(
    units: float, cash: float, target: int, price: float, fee_rate: float
) -> tuple[Fraction, Fraction, Fraction, Fraction]:
    """Units, cash, fee and notional traded: by bisection, the notional that equals the equity after its own fee."""
    before, at, rate, worth = Fraction(units), Fraction(price), Fraction(fee_rate), Fraction(cash)
    equity = worth + before * at

    def fee(notional: Fraction) -> Fraction:
        return rate * abs(notional * target - before * at)

    low, high = Fraction(0), equity
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if middle + fee(middle) < equity else (low, middle)
    notional = abs(target) * low
    after = target * notional / at
    return after, worth - (after - before) * at - fee(notional), fee(notional), abs(after - before) * at


class Account(NamedTuple):
    """Equity and position at each close, trades, fees and notional in all, and the bar of liquidation or −1."""

    equity: list[Fraction]
    position: list[int]
    trades: list[Trade]
    fees: Fraction
    traded: Fraction
    liquidated_at: int


def account(
    target: Sequence[int], open_: Sequence[float], close: Sequence[float], fill: int, fee_rate: float
) -> Account:
    """The account of whole series; equity at or below 0 ends it."""
    ledger = Ledger(Fraction(fee_rate))
    closes, opens = ([Fraction(float(price)) for price in prices] for prices in (close, open_))
    wanted = [int(position) for position in target] if fill == SAME_CLOSE else [0, *map(int, target)][: len(target)]
    fills = opens if fill == NEXT_OPEN else closes
    equity: list[Fraction] = []
    position: list[int] = []
    held, liquidated_at = 0, -1
    for bar, (goal, price, mark) in enumerate(zip(wanted, fills, closes, strict=True)):
        if liquidated_at < 0:
            ruined = ledger.worth(price) <= 0
            if ruined or goal != held:
                if held:
                    ledger.close(bar, price)
                held = 0 if ruined or ledger.cash <= 0 else goal  # the closing fee can ruin, too
                if held:
                    ledger.open(bar, price, held)
            if ledger.worth(mark) <= 0:
                ledger.ruin(bar, mark)
                held, liquidated_at = 0, bar
        equity.append(ledger.worth(mark))
        position.append(held)
    return Account(equity, position, ledger.trades, ledger.fees, ledger.traded, liquidated_at)


def reference_account(action: Sequence[int], price: Sequence[float], fee_bps: float) -> list[float]:
    """Each bar's PnL of the position that comes into it, less the reference's fee for coming in with one."""
    positions = accumulate(action, lambda held, chosen: {0: held, 1: 1, 2: -1}[int(chosen)], initial=0)
    before = [price[0], *price[:-1]]
    return [
        held * (now - last) - abs(held) * (now * (fee_bps / 1e4))
        for held, now, last in zip(positions, price, before, strict=False)
    ]
