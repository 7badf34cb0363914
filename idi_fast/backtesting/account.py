"""The account of a backtest: target positions become orders, equity and trades, a chunk of bars at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from idi_fast.config.arguments import check_flag, check_integer, check_number, check_rate, check_text
from idi_fast.config.money import OF_MONEY
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.bar_frequency import ElapsedYears
from idi_fast.data.history import History
from idi_fast.errors import InputError
from idi_fast.kernels import backtest as kernels

FILLS = {"next_open": kernels.NEXT_OPEN, "next_close": kernels.NEXT_CLOSE, "same_close": kernels.SAME_CLOSE}
POSITIONS = (-1, 0, 1)
MOST_BORROW_BPS = 100_000
NO_FINANCING = kernels.Financing(np.empty(0), np.empty(0), np.empty(0))


@dataclass(frozen=True)
class TradingAssumptions:
    """The assumptions of a backtest about trading and money; none changes what an agent decides.

    fill: a key of FILLS; fee_bps: per side, basis points of the traded notional; slippage_bps: basis points by which
    each fill is worse than the price; long_only: a target below 0 means flat; initial_position: −1, 0 or 1, decided on
    before the first bar, and known to the agent.

    size: share of the equity put into a position at its entry; cash_rate: interest a year on the rest; borrow_bps:
    basis points a year of a short's notional; funding: the column of the rate that longs pay to shorts at each bar;
    risk_free: the rate a year, or its column, that KPIs compare returns with. docs/KPIS.md says when each is paid.
    """

    fill: str
    fee_bps: float
    slippage_bps: float = 0.0
    long_only: bool = False
    initial_position: int = 0
    size: float = 1.0
    cash_rate: float = 0.0
    borrow_bps: float = 0.0
    funding: str | None = None
    risk_free: float | str = 0.0

    def __post_init__(self) -> None:
        self._check_money()
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

    def _check_money(self) -> None:
        check_number("size", self.size)
        if not 0.0 < self.size <= 1.0:
            raise InputError(f"size is {self.size}; expected a share above 0, up to 1")
        check_number("borrow_bps", self.borrow_bps)
        if not 0.0 <= self.borrow_bps <= MOST_BORROW_BPS:
            raise InputError(f"borrow_bps is {self.borrow_bps}; expected a number from 0 to {MOST_BORROW_BPS}, a year")
        check_rate("cash_rate", self.cash_rate)
        check_text("funding", self.funding, expected="the name of a column", optional=True)
        if not isinstance(self.risk_free, str):
            check_rate("risk_free", self.risk_free)

    def of_money(self) -> dict[str, float | str | None]:
        """The size of positions and the rates that money earns and costs, by name."""
        return {name: getattr(self, name) for name in OF_MONEY}

    @property
    def by_year(self) -> dict[str, float | str]:
        """The rates a year that are not 0, which need to know when bars are."""
        rates = {name: getattr(self, name) for name in ("cash_rate", "borrow_bps", "risk_free")}
        return {name: rate for name, rate in rates.items() if rate}

    def check_history(self, columns: Mapping[str, str]) -> None:
        """InputError if a history with these columns, by their names in it, lacks what they need."""
        for name in ("funding", "risk_free"):
            column = getattr(self, name)
            if isinstance(column, str) and column not in columns:
                raise InputError(
                    f"{name} is the column {column!r}, but the history has only {', '.join(columns)}; name one of "
                    "these, or read it as an extra column"
                )
        if self.by_year and "time" not in columns:
            name, rate = next(iter(self.by_year.items()))
            raise InputError(
                f"{name} is {rate!r}, a rate a year, but the history has no times to tell how long a bar is; name "
                "their column"
            )


def account_columns(config: TrainingConfig, funding: str | None, risk_free: float | str) -> tuple[str, ...]:
    """The columns beside the prices that the assumptions name, which default to the config's."""
    funding = config.environment.data.funding if funding is None else funding
    named = {name for name in (funding, risk_free) if isinstance(name, str)}
    return tuple(sorted(named))


def assume(
    config: TrainingConfig,
    columns: Mapping[str, str],
    *,
    fill: str | None,
    fee_bps: float | None,
    slippage_bps: float = 0.0,
    long_only: bool = False,
    initial_position: int = 0,
    size: float = 1.0,
    cash_rate: float | None = None,
    borrow_bps: float | None = None,
    funding: str | None = None,
    risk_free: float | str = 0.0,
) -> TradingAssumptions:
    """The assumptions of an account over a history with these columns; costs not given are those of the training.
    Raises InputError."""
    market = config.environment.market
    assumed = TradingAssumptions(
        fill=resolve_fill(fill, "open" in columns),
        fee_bps=market.fee_bps if fee_bps is None else fee_bps,
        slippage_bps=slippage_bps,
        long_only=long_only,
        initial_position=initial_position,
        size=size,
        cash_rate=market.cash_rate if cash_rate is None else cash_rate,
        borrow_bps=market.borrow_bps if borrow_bps is None else borrow_bps,
        funding=config.environment.data.funding if funding is None else funding,
        risk_free=risk_free,
    )
    assumed.check_history(columns)
    return assumed


@dataclass(frozen=True)
class Account:
    """equity float64 (n,) at each close, starting from 1; position int8 (n,) held at the close; trades float64 (m, 8)
    as in `kernels.backtest.account`, the open one last; fees, slippage, traded notional, interest earned on
    idle cash, borrowing fees and funding paid in units of the initial equity; liquidated_at: a bar or −1."""

    equity: np.ndarray
    position: np.ndarray
    trades: np.ndarray
    fees: float
    slippage: float
    traded: float
    liquidated_at: int
    interest: float = 0.0
    borrow: float = 0.0
    funding: float = 0.0


class AccountTotals(TypedDict):
    """What an `Account` has besides its arrays."""

    fees: float
    slippage: float
    traded: float
    liquidated_at: int
    interest: float
    borrow: float
    funding: float


class AccountSimulator:
    """Keeps an account over consecutive chunks of bars; the result does not depend on the cuts."""

    def __init__(self, assumed: TradingAssumptions):
        self._assumed = assumed
        self._rates = assumed.fee_bps / 1e4, assumed.slippage_bps / 1e4
        at, money = np.array([0, 0, assumed.initial_position, -1]), np.zeros(kernels.MONEY)
        money[[kernels.CASH, kernels.STAKE]] = 1.0
        self.state = kernels.AccountState(money, at, np.zeros(8))
        self._elapsed = ElapsedYears()

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
            target,
            open_,
            history.close,
            FILLS[self._assumed.fill],
            *self._rates,
            float(self._assumed.size),
            self.financing(history),
            self.state,
            equity,
            position,
            trades,
        )
        return equity, position, trades[:count]

    def financing(self, history: History) -> kernels.Financing:
        """What money and positions earn and cost at the next bars."""
        assumed = self._assumed
        if not (assumed.cash_rate or assumed.borrow_bps or assumed.funding):
            return NO_FINANCING
        years = funding = np.zeros(len(history))
        if assumed.cash_rate or assumed.borrow_bps:
            years = self._elapsed.push(history.column("time"))
        if assumed.funding is not None:
            funding = np.require(history.column(assumed.funding), np.float64, ["C", "W"])
        return kernels.Financing(assumed.cash_rate * years, assumed.borrow_bps / 1e4 * years, funding)

    @property
    def open_trade(self) -> np.ndarray:
        """The trade still open, float64 (0 or 1, 8): its exit bar is −1."""
        return self.state.trade[np.newaxis] if self.state.at[kernels.HELD] else np.empty((0, 8))

    @property
    def totals(self) -> AccountTotals:
        """The fields of an `Account` that are not arrays."""
        money = self.state.money
        return {
            "fees": float(money[kernels.FEES]),
            "slippage": float(money[kernels.SLIPPAGE]),
            "traded": float(money[kernels.TRADED]),
            "liquidated_at": int(self.state.at[kernels.LIQUIDATED]),
            "interest": float(money[kernels.INTEREST]),
            "borrow": float(money[kernels.BORROW]),
            "funding": float(money[kernels.FUNDING]),
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
