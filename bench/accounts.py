"""Cases of the suite `backtest`: the account of given target positions, which other packages keep too."""

from collections.abc import Callable
from functools import cache

import numpy as np

from idi_fast.backtesting import kpis
from idi_fast.backtesting.account import Account, TradingAssumptions, hold, keep_account
from idi_fast.backtesting.kpi_accumulator import KpiAccumulator
from idi_fast.bench.backtest_twins import account_kpis, expect_kpis, floats
from idi_fast.bench.case import Case, Context, Timed, elapsed, expect_equal
from idi_fast.bench.oracle import backtest as oracle
from idi_fast.bench.sizes import Sizes
from idi_fast.bench.training import MARKET_TOLERANCE, random_walk
from idi_fast.bench.yardsticks import SEED
from idi_fast.data.bar_frequency import BarTimes
from idi_fast.data.history import History

BARS_HELD = 20
FEE_BPS = 0.1
"""Small enough for the equity to survive a hundred thousand trades."""
TERMS = TradingAssumptions("same_close", FEE_BPS)
Work = Callable[[History, np.ndarray], tuple[Account, dict[str, float]]]


def random_target(bars: int) -> np.ndarray:
    """Target positions −1, 0 and 1, int8 (bars,): flat at first, and redrawn about every twentieth bar."""
    rng = np.random.default_rng(SEED)
    drawn = np.where(rng.random(bars) < 1.0 / BARS_HELD, np.arange(bars), 0)
    target = rng.integers(-1, 2, bars).astype(np.int8)
    target[0] = 0
    return target[np.maximum.accumulate(drawn)]


def account_and_drawdown(history: History, target: np.ndarray) -> tuple[Account, dict[str, float]]:
    """The account of target positions int8 (n,), and its largest drawdown."""
    account = keep_account(target, history, TERMS)
    return account, {"max_drawdown": kpis.max_drawdown(account.equity)}


def account_and_kpis(history: History, target: np.ndarray) -> tuple[Account, dict[str, float]]:
    """The account of target positions int8 (n,), that of buy and hold, and all KPIs of both."""
    account, held = keep_account(target, history, TERMS), hold(history, TERMS)
    accumulator, bar_times = KpiAccumulator(target.size), BarTimes()
    assert history.time is not None  # as of all random walks
    bar_times.push(history.time)
    accumulator.push(account.equity, account.position, held.equity)
    accumulator.push_trades(account.trades[account.trades[:, 1] >= 0])
    return account, accumulator.result(bar_times.frequency()).kpis


def make(sizes: Sizes, context: Context) -> list[Case]:
    """The cases, compared with vectorbt if it is available."""
    bars = sizes.account_bars
    given = cache(lambda: (random_walk(bars), random_target(bars)))
    peers = {name: Timed(bars, run) for name, run in context.yardsticks.vectorbt.items()}

    def timed(work: Work) -> Timed:
        def run() -> float:
            history, target = given()
            return elapsed(lambda: work(history, target))

        return Timed(bars, run)

    rows = (("account, max drawdown", account_and_drawdown), ("account, all KPIs", account_and_kpis))
    return [
        Case(
            "backtest",
            f"{name}, {bars:,} bars",
            "bar",
            "backtest.account, kpis",
            lambda work=work: _check(work, sizes.check_bars),
            timed(work),
            peers,
            compiles=False,
        )
        for name, work in rows
    ]


def _check(work: Work, bars: int) -> None:
    history, target = random_walk(bars), random_target(bars)
    account, made = work(history, target)
    prices = history.column("open"), history.close, oracle.SAME_CLOSE, FEE_BPS / 1e4
    kept, held = (oracle.account(wanted, *prices) for wanted in (target, np.ones_like(target)))
    expect_equal("position", account.position, kept.position)
    # The oracle's fractions are exact.
    expect_equal("equity", account.equity, floats(kept.equity), **MARKET_TOLERANCE)
    closed = [trade.profit for trade in kept.trades if trade.exit_bar >= 0]
    expect_equal("profit", account.trades[: len(closed), 5], floats(closed), **MARKET_TOLERANCE)
    expect_kpis(made, {name: value for name, value in account_kpis(kept, held).items() if name in made})
