"""The account of a backtest: target positions become orders, equity and trades, a chunk of bars at a time."""

from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from idi_fast.config.arguments import check_flag, check_integer, check_number, check_text
from idi_fast.data.history import History
from idi_fast.errors import InputError
from idi_fast.kernels import backtest as kernels

FILLS = {"next_open": kernels.NEXT_OPEN, "next_close": kernels.NEXT_CLOSE, "same_close": kernels.SAME_CLOSE}
POSITIONS = (-1, 0, 1)


@dataclass(frozen=True)
class TradingAssumptions:
    """The assumptions of a backtest about trading; none changes what an agent decides.

    fill: a key of FILLS; fee_bps: per side, basis points of the traded notional; slippage_bps: basis points by which
    each fill is worse than the price; long_only: a target below 0 means flat; initial_position: −1, 0 or 1, decided on
    before the first bar, and known to the agent.
    """

    fill: str
    fee_bps: float
    slippage_bps: float = 0.0
    long_only: bool = False
    initial_position: int = 0

    def __post_init__(self) -> None:
        for name in ("fee_bps", "slippage_bps"):
            value = getattr(self, name)
            check_number(name, value)
            if not 0.0 <= value < 10_000.0:
                raise InputError(f"{name} is {value}; expected a number from 0 to below 10000")
        check_flag("long_only", self.long_only)
        if check_integer("initial_position", self.initial_position) not in POSITIONS:
            raise InputError(f"initial_position is {self.initial_position}; expected -1, 0 or 1")
        if self.long_only and self.initial_position < 0:
            raise InputError("initial_position is -1, but the account is long-only; expected 0 or 1")


@dataclass(frozen=True)
class Account:
    """equity float64 (n,) at each close, starting from 1; position int8 (n,) held at the close; trades float64 (m, 8)
    as in `kernels.backtest.account`, the open one last; fees, slippage and traded notional in units of the initial
    equity; liquidated_at: a bar or −1."""

    equity: np.ndarray
    position: np.ndarray
    trades: np.ndarray
    fees: float
    slippage: float
    traded: float
    liquidated_at: int


class AccountTotals(TypedDict):
    """What an `Account` has besides its arrays."""

    fees: float
    slippage: float
    traded: float
    liquidated_at: int


class AccountSimulator:
    """Keeps an account over consecutive chunks of bars; the result does not depend on the cuts."""

    def __init__(self, assumed: TradingAssumptions):
        self._assumed = assumed
        self._rates = assumed.fee_bps / 1e4, assumed.slippage_bps / 1e4
        at = np.array([0, 0, assumed.initial_position, -1])
        self._state = kernels.AccountState(np.array([0.0, 1.0, 0.0, 0.0, 0.0, 1.0]), at, np.zeros(8))

    def push(self, target: np.ndarray, history: History) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Equity float64 (n,), position int8 (n,) and the ended trades float64 (m, 8) for target positions int8 (n,)
        decided at each close of the next bars."""
        n = target.size
        if self._assumed.long_only:
            target = np.maximum(target, 0)
        equity, position = np.empty(n), np.empty(n, np.int8)
        # A trade ends only where the target changes, or by liquidation; the first bar fills an earlier decision.
        trades = np.empty((np.count_nonzero(target[1:] != target[:-1]) + 3, 8))
        open_ = history.close if history.open is None else history.open
        count = kernels.account(
            target, open_, history.close, FILLS[self._assumed.fill], *self._rates, self._state, equity, position, trades
        )
        return equity, position, trades[:count]

    @property
    def open_trade(self) -> np.ndarray:
        """The trade still open, float64 (0 or 1, 8): its exit bar is −1."""
        return self._state.trade[np.newaxis] if self._state.at[kernels.HELD] else np.empty((0, 8))

    @property
    def totals(self) -> AccountTotals:
        """The fields of an `Account` that are not arrays."""
        money = self._state.money
        return {
            "fees": float(money[kernels.FEES]),
            "slippage": float(money[kernels.SLIPPAGE]),
            "traded": float(money[kernels.TRADED]),
            "liquidated_at": int(self._state.at[kernels.LIQUIDATED]),
        }


def keep_account(target: np.ndarray, history: History, assumed: TradingAssumptions) -> Account:
    """The account of target positions int8 (n,) decided at each close."""
    keeper = AccountSimulator(assumed)
    equity, position, trades = keeper.push(target, history)
    return Account(equity, position, np.concatenate([trades, keeper.open_trade]), **keeper.totals)


def hold(history: History, assumed: TradingAssumptions) -> Account:
    """The account of buy and hold: bought at the first fill."""
    return keep_account(np.ones(len(history), np.int8), history, assumed)


def resolve_fill(fill: str | None, has_open: bool) -> str:
    """The fill for `backtest`, by its name in the config; InputError if it needs an open and there is none."""
    if fill is None:
        fill = "next_open" if has_open else "next_close"
    check_text("fill", fill, expected=f"one of {', '.join(FILLS)}")
    fill = fill.replace("-", "_")
    if fill not in FILLS:
        raise InputError(f"fill is {fill!r}; expected one of {', '.join(FILLS)}")
    if fill == "next_open" and not has_open:
        raise InputError("fill is next_open, but the history has no open; name its column, or fill at next_close")
    return fill
