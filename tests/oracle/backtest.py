"""The account as an account of cash and shares in exact fractions, every order a sale and a purchase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from typing import NamedTuple

from . import Column

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
    slippage: Fraction


@dataclass
class ExactAccount:
    """Cash and shares, and what was paid and traded."""

    fee_rate: Fraction
    slippage_rate: Fraction = Fraction(0)
    cash: Fraction = Fraction(1)
    shares: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)
    slippage: Fraction = Fraction(0)
    traded: Fraction = Fraction(0)
    trades: list[Trade] = field(default_factory=list)
    staked: Fraction = Fraction(0)
    size: Fraction = Fraction(1)
    collateral: Fraction = Fraction(0)  # of a short, and the proceeds of its sale
    interest: Fraction = Fraction(0)
    borrow: Fraction = Fraction(0)
    funding: Fraction = Fraction(0)
    interest_before: Fraction = Fraction(0)

    def worth(self, price: Fraction) -> Fraction:
        """Cash and what the shares would bring or cost."""
        return self.cash + self.shares * price

    def wait(self, last: Fraction, interest: Fraction, borrow: Fraction, funding: Fraction) -> None:
        """What happens until the next close: cash that is not put up earns, shares owed are paid for by their worth
        `last`, and shares of either sign pay the funding."""
        owed, owned = max(-self.shares, Fraction(0)) * last, max(self.shares, Fraction(0)) * last
        earned = (self.cash - self.collateral) * interest
        paid, lent = (owned - owed) * funding, owed * borrow
        self.cash += earned - paid - lent
        self.interest, self.borrow, self.funding = self.interest + earned, self.borrow + lent, self.funding + paid

    def order(self, shares: Fraction, price: Fraction) -> tuple[Fraction, Fraction]:
        """Buy shares, or sell as many as are below 0, at a price that is worse than it seemed; the fee, and what was
        lost by the price."""
        paid = self.price_of(shares, price)
        notional, lost = abs(shares) * paid, abs(shares) * abs(paid - price)
        self.cash -= shares * paid + self.fee_rate * notional
        self.shares += shares
        self.fees += self.fee_rate * notional
        self.slippage += lost
        self.traded += notional
        return self.fee_rate * notional, lost

    def price_of(self, shares: Fraction, price: Fraction) -> Fraction:
        """What is paid by a buyer, or got by a seller."""
        return price * (1 + self.slippage_rate if shares > 0 else 1 - self.slippage_rate)

    def close(self, bar: int, price: Fraction) -> None:
        """Leave the position and book its trade; no more is lost than was staked."""
        paid = self.price_of(-self.shares, price)
        fee, lost = self.order(-self.shares, price)
        trade = self.trades[-1]
        self.collateral = Fraction(0)
        by_trade = self.cash - (self.interest - self.interest_before)
        profit = max(by_trade / self.staked - 1, Fraction(-1))
        self.trades[-1] = trade._replace(
            exit_bar=bar, exit_price=paid, profit=profit, fees=trade.fees + fee, slippage=trade.slippage + lost
        )

    def open(self, bar: int, price: Fraction, direction: int) -> None:
        """Put a share of all cash into a position and its fee: (1 + fee rate) notionals are paid."""
        self.staked, self.interest_before = self.cash, self.interest
        paid = self.price_of(Fraction(direction), price)
        notional = self.size * self.cash / (1 + self.fee_rate)
        fee, lost = self.order(direction * notional / paid, price)
        self.collateral = 2 * notional if direction < 0 else Fraction(0)
        self.trades.append(Trade(bar, -1, direction, paid, None, None, fee, lost))

    def ruin(self, bar: int, price: Fraction) -> None:
        """Nothing is left."""
        if self.shares:
            self.trades[-1] = self.trades[-1]._replace(exit_bar=bar, exit_price=price, profit=Fraction(-1))
        self.cash = self.shares = self.collateral = Fraction(0)


def rebalance(
    units: float, cash: float, target: int, price: float, fee_rate: float, size: float = 1.0
) -> tuple[Fraction, Fraction, Fraction, Fraction]:
    """Units, cash, fee and notional traded: by bisection, the notional that is with its own fee the given share of the
    equity after the old one's."""
    before, at, rate, worth = Fraction(units), Fraction(price), Fraction(fee_rate), Fraction(cash)
    equity = worth + before * at

    def fee(notional: Fraction) -> Fraction:
        return rate * abs(notional * target - before * at)

    low, high = Fraction(0), equity
    for _ in range(100):
        middle = (low + high) / 2
        own_fee = rate * middle
        low, high = (middle, high) if middle + own_fee < Fraction(size) * (equity - fee(Fraction(0))) else (low, middle)
    notional = abs(target) * low
    after = target * notional / at
    return after, worth - (after - before) * at - fee(notional), fee(notional), abs(after - before) * at


class Account(NamedTuple):
    """Equity and position at each close, trades, fees, slippage and notional in all, the bar of liquidation or −1."""

    equity: list[Fraction]
    position: list[int]
    trades: list[Trade]
    fees: Fraction
    slippage: Fraction
    traded: Fraction
    liquidated_at: int
    interest: Fraction = Fraction(0)
    borrow: Fraction = Fraction(0)
    funding: Fraction = Fraction(0)


def account(
    target: Column,
    open_: Column,
    close: Column,
    fill: int,
    fee_rate: float,
    slippage_rate: float = 0.0,
    initial: int = 0,
    size: float = 1.0,
    financing: Sequence[Column] | None = None,
) -> Account:
    """The account of whole series, `initial` decided on before the first bar; equity at or below 0 ends it.

    financing: for each bar the interest on cash, what a share owed costs, and the funding that a share pays, per unit
    of its worth at the last close.
    """
    account = ExactAccount(Fraction(fee_rate), Fraction(slippage_rate), size=Fraction(size))
    closes, opens = ([Fraction(float(price)) for price in prices] for prices in (close, open_))
    wanted = (
        [int(position) for position in target] if fill == SAME_CLOSE else [initial, *map(int, target)][: len(target)]
    )
    fills = opens if fill == NEXT_OPEN else closes
    equity: list[Fraction] = []
    position: list[int] = []
    held, liquidated_at = 0, -1
    for bar, (goal, price, mark) in enumerate(zip(wanted, fills, closes, strict=True)):
        if financing is not None and liquidated_at < 0:
            account.wait(closes[max(0, bar - 1)], *(Fraction(float(rates[bar])) for rates in financing))
        if liquidated_at < 0:
            ruined = account.worth(price) <= 0
            if ruined or goal != held:
                if held:
                    account.close(bar, price)
                held = 0 if ruined or account.cash <= 0 else goal  # the closing fee can ruin, too
                if held:
                    account.open(bar, price, held)
            if account.worth(mark) <= 0:
                account.ruin(bar, mark)
                held, liquidated_at = 0, bar
        equity.append(account.worth(mark))
        position.append(held)
    totals = account.fees, account.slippage, account.traded, liquidated_at
    return Account(equity, position, account.trades, *totals, account.interest, account.borrow, account.funding)


def count_alerts(
    mood: Sequence[int], regime: Sequence[int], said: Sequence[bool], risk: Sequence[bool]
) -> dict[tuple[int, int], tuple[int, int, int, int]]:
    """By mood and regime of a bar that another follows: how many, alerts, risk events on the bar after, both."""
    counts: dict[tuple[int, int], list[int]] = {}
    for bar in range(len(mood) - 1):
        row = counts.setdefault((mood[bar], regime[bar]), [0, 0, 0, 0])
        for k, holds in enumerate((True, said[bar], risk[bar + 1], said[bar] and risk[bar + 1])):
            row[k] += holds
    return {place: (bars, alerts, events, both) for place, (bars, alerts, events, both) in counts.items()}


def count_marked(places: Sequence[int], marks: Sequence[bool]) -> int:
    """How many of the places are among the marked ones."""
    marked = {place for place, is_marked in enumerate(marks) if is_marked}
    return len([place for place in places if place in marked])


def find_hashes(values: Sequence[int], known: set[int]) -> list[int]:
    """Places of the values whose hash one of the known values has."""

    def hashed(value: int) -> int:
        return (value * 0x9E3779B97F4A7C15 % 2**64) >> 50

    hashes = set(map(hashed, known))
    return [place for place, value in enumerate(values) if hashed(value) in hashes]


def reference_account(action: Column, price: Sequence[float], fee_bps: float) -> list[float]:
    """Each bar's PnL of the position that comes into it, less the reference's fee for coming in with one."""
    positions = accumulate(action, lambda held, chosen: {0: held, 1: 1, 2: -1}[int(chosen)], initial=0)
    before = [price[0], *price[:-1]]
    return [
        held * (now - last) - abs(held) * (now * (fee_bps / 1e4))
        for held, now, last in zip(positions, price, before, strict=False)
    ]
