"""The kernels that turn bars into features, buckets and rewards, and those of a backtest, to be timed one by one."""

import numpy as np

from idi_fast.bench.kernel import Kernel, Prepared, columns
from idi_fast.bench.oracle import backtest as account_oracle
from idi_fast.bench.oracle import features as features_oracle
from idi_fast.bench.oracle import market as oracle
from idi_fast.bench.oracle import streams as streams_oracle
from idi_fast.bench.tape_kernels import WEIGHTS
from idi_fast.bench.yardsticks import SEED
from idi_fast.environments.features import Bars
from idi_fast.kernels import backtest, features, market, streams

FEE_RATE = 0.0005
SLIPPAGE_RATE = 0.0002


def _random() -> np.random.Generator:
    return np.random.default_rng(SEED)


def log_prices(n: int) -> np.ndarray:
    """A random walk of log prices."""
    return _random().normal(0.0, 0.01, n).cumsum()


def _feature(name: str, window: int):
    def prepare(n: int) -> Prepared:
        values, ring, moments, seen, out = (
            log_prices(n),
            np.zeros(window),
            np.zeros(4),
            np.zeros(1, np.int64),
            np.empty(n),
        )
        return Prepared(
            lambda: getattr(features, name)(values, ring, moments, seen, out),
            lambda: [out],
            lambda: [getattr(features_oracle, name)(values.tolist(), window)],
        )

    return prepare


def _quantize(n: int) -> Prepared:
    values, edges, bucket = _random().normal(size=n), np.linspace(-1.5, 1.5, 7), np.empty(n, np.int32)
    return Prepared(
        lambda: market.quantize(values, edges, bucket), lambda: [bucket], lambda: [oracle.quantize(values, edges)]
    )


def _bucket_changes(n: int) -> Prepared:
    bucket, last, out = _random().integers(0, 8, n, np.int32), np.full(1, -1), np.empty(n)
    return Prepared(
        lambda: market.bucket_changes(bucket, 8, last, out),
        lambda: [out],
        lambda: [oracle.bucket_changes(bucket, 8)],
    )


def _mixed_radix(n: int) -> Prepared:
    digits, sizes, code = _random().integers(0, 4, (4, n), np.int32), np.array([4, 4, 4, 8]), np.empty(n, np.int32)
    return Prepared(
        lambda: market.mixed_radix(digits, sizes, code), lambda: [code], lambda: [oracle.mixed_radix(digits, sizes)]
    )


def _regimes(n: int) -> Prepared:
    volatility, trend = _random().normal(size=(2, n))
    edges, regime = np.array([1.2, -0.4, 0.4]), np.empty(n, np.uint8)
    return Prepared(
        lambda: market.regimes(volatility, trend, edges, regime),
        lambda: [regime],
        lambda: [oracle.regimes(volatility, trend, edges)],
    )


def _bar_returns(n: int) -> Prepared:
    close, rng = log_prices(n), _random()
    fill = np.concatenate([close[:1], close[:-1]]) + rng.normal(0.0, 0.002, n)
    given = close, fill, rng.uniform(0.005, 0.02, n), 0.001, FEE_RATE
    out = np.empty(n), np.empty(n), np.empty(n), np.empty(n, np.int8), np.empty(n, np.uint8)
    carry = np.full(2, np.nan)
    return Prepared(
        lambda: market.bar_returns(*given, carry, *out),
        lambda: out,
        lambda: zip(*oracle.bar_returns(*given), strict=True),
    )


def _market_rows(n: int) -> Prepared:
    # Eighths: nothing is rounded on either side.
    gap, change, cost, scarcity = _random().integers(-8, 9, (4, n)) / 8
    given, base = (gap, change, cost, scarcity, WEIGHTS), np.empty((n, 9))
    return Prepared(
        lambda: market.market_rows(*given, base),
        lambda: [base],
        lambda: [[[float(reward) for reward in row] for row in oracle.market_rows(*given)]],
    )


def _chosen_rows(n: int) -> Prepared:
    rng, made = _random(), (np.empty((n, 9)), np.empty(n, np.int32), np.empty(n, np.uint8))
    # Eighths: nothing is rounded on either side. Windows of an episode each.
    gap, change, cost, scarcity = rng.integers(-8, 9, (4, n)) / 8
    observation, risk = rng.integers(0, 99, n).astype(np.int32), rng.integers(0, 2, n).astype(np.uint8)
    bars = Bars(observation, risk, gap, change, cost, scarcity, risk.astype(np.int8), risk)
    windows = np.minimum(rng.integers(0, n, -(-n // 65)), max(0, n - 65))
    chosen = ((windows[:, np.newaxis] + np.arange(65)) % n).reshape(-1)[:n].copy()
    rows = list(zip(gap, change, cost, scarcity, observation, risk, strict=True))

    def expected() -> list:
        rewards, seen, risky = columns(oracle.chosen_rows(rows, chosen, WEIGHTS))
        return [[[float(reward) for reward in row] for row in rewards], seen, risky]

    return Prepared(lambda: market.chosen_rows(bars, chosen, WEIGHTS, *made), lambda: made, expected)


def _charge_held(n: int) -> Prepared:
    # Eighths: nothing is rounded on either side.
    long, short, gap, change, unit = _random().integers(-8, 9, (5, n)) / 8
    out = np.empty(n), np.empty(n), np.empty(n), np.empty((n, 2))

    def charge() -> None:
        for place, values in zip(out, (gap, change, unit), strict=False):
            place[:] = values
        market.charge_held(long, short, 0.125, 0, *out)

    return Prepared(
        charge,
        lambda: [np.column_stack(out)],
        lambda: [[list(map(float, row)) for row in oracle.charge_held(long, short, 0.125, 0, gap, change, unit)]],
    )


def _charge_rows(n: int) -> Prepared:
    rng = _random()
    hold, given, rewards = rng.integers(-8, 9, (n, 2)) / 8, rng.integers(-8, 9, (n, 9)) / 8, np.empty((n, 9))
    chosen = rng.integers(0, n, n)

    def charge() -> None:
        rewards[:] = given
        market.charge_rows(hold, chosen, 0.5, rewards)

    def expected() -> list:
        return [[list(map(float, row)) for row in oracle.charge_rows(hold.tolist(), chosen, 0.5, given.tolist())]]

    return Prepared(charge, lambda: [rewards], expected)


def _financed_account(n: int) -> Prepared:
    return _account(n, is_financed=True)


def _account(n: int, *, is_financed: bool = False) -> Prepared:
    rng, close = _random(), 100.0 * np.exp(log_prices(n))
    target = np.repeat(rng.integers(-1, 2, -(-n // 20)), 20)[:n].astype(np.int8)
    given = target, close * np.exp(rng.normal(0.0, 0.002, n)), close, backtest.NEXT_OPEN, FEE_RATE, SLIPPAGE_RATE
    rates = rng.normal(0.0, 1e-5, (3, n)) if is_financed else np.empty((3, 0))
    financing = backtest.Financing(*rates)
    equity, position, trades = np.empty(n), np.empty(n, np.int8), np.empty((n + 1, 8))
    size = 0.5 if is_financed else 1.0

    def keep() -> tuple[backtest.AccountState, int]:
        at, money = np.array([0, 0, 0, -1]), np.zeros(backtest.MONEY)
        money[[backtest.CASH, backtest.STAKE]] = 1.0
        state = backtest.AccountState(money, at, np.zeros(8))
        return state, backtest.account(*given, size, financing, state, equity, position, trades)

    def made() -> list:
        state, count = keep()
        totals = state.money[[backtest.FEES, backtest.SLIPPAGE, backtest.TRADED]]
        return [equity, position, trades[:count], totals, state.at[[backtest.LIQUIDATED]]]

    def expected() -> list:
        kept = account_oracle.account(*given, size=size, financing=list(rates) if is_financed else None)
        ended = [[float(value or 0) for value in trade] for trade in kept.trades if trade.exit_bar >= 0]
        totals = [float(cost) for cost in (kept.fees, kept.slippage, kept.traded)]
        return [[*map(float, kept.equity)], kept.position, ended, totals, [kept.liquidated_at]]

    return Prepared(keep, made, expected)


def _count_alerts(n: int) -> Prepared:
    rng = _random()
    mood, regime, said, risk = (rng.integers(0, size, n) for size in (3, 4, 2, 2))
    given = mood, np.arange(3, dtype=np.uint8), said.astype(np.int16), regime.astype(np.uint8), risk.astype(np.uint8), 1

    def made() -> np.ndarray:
        counts = np.zeros((3, 4, 4), np.int64)
        backtest.count_alerts(*given, np.full(3, -1), counts)
        return counts

    def expected() -> list:
        found = account_oracle.count_alerts(*(column.tolist() for column in (mood, regime, said, risk)))
        return [[[found.get((mood, regime), (0,) * 4) for regime in range(4)] for mood in range(3)]]

    return Prepared(made, lambda: [made()], expected)


def _reference_account(n: int) -> Prepared:
    action, price, pnl = _random().integers(0, 3, n).astype(np.int8), 100.0 * np.exp(log_prices(n)), np.empty(n)
    return Prepared(
        lambda: backtest.reference_account(action, price, 5.0, pnl),
        lambda: [pnl],
        lambda: [account_oracle.reference_account(action, price.tolist(), 5.0)],
    )


def _emote_bits(n: int) -> Prepared:
    rng, linger = _random(), 2
    mood, comm = rng.integers(0, 4, n), rng.integers(0, 4, n).astype(np.int16)
    palette, names = {0: "🙂", 1: "🚀", 2: "😐", 3: "⚠️"}, ("silent", "positive", "alert", "persist")
    shows, meaning = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.uint8), np.arange(4)
    out = [np.empty(n, np.uint8) for _ in range(3)]
    return Prepared(
        lambda: streams.emote_bits(mood, comm, shows, meaning, linger, np.zeros(1, np.int64), *out),
        lambda: out,
        lambda: zip(*streams_oracle.emote_bits(mood, [names[k] for k in comm], palette, linger), strict=True),
    )


def _open_profit(n: int) -> Prepared:
    value, position = log_prices(n), np.repeat(_random().integers(-1, 2, -(-n // 20)), 20)[:n].astype(np.int8)
    given, profit = (position, np.concatenate([value[:1], value[:-1]]), value, 2 * FEE_RATE), np.empty(n, np.uint8)
    return Prepared(
        lambda: streams.open_profit(*given, np.zeros(2), profit),
        lambda: [profit],
        lambda: [streams_oracle.open_profit(*given)],
    )


KERNELS = (
    Kernel("features.zscore", _feature("zscore", 16), "value", atol=1e-6),
    Kernel("features.volatility", _feature("volatility", 32), "value", atol=1e-6),
    Kernel("features.drawdown", _feature("drawdown", 64), "value"),
    Kernel("features.ema_ratio", _feature("ema_ratio", 32), "value", atol=1e-12),
    Kernel("market.quantize", _quantize, "value"),
    Kernel("market.bucket_changes", _bucket_changes, "value"),
    Kernel("market.mixed_radix", _mixed_radix),
    Kernel("market.regimes", _regimes),
    Kernel("market.bar_returns", _bar_returns, rtol=1e-14, atol=1e-30),
    Kernel("market.market_rows", _market_rows),
    Kernel("market.chosen_rows", _chosen_rows),
    Kernel("market.charge_held", _charge_held),
    Kernel("market.charge_rows", _charge_rows),
    Kernel("backtest.account", _account, "bar", rtol=1e-9, atol=1e-9),
    Kernel("backtest.account, financed", _financed_account, "bar", rtol=1e-9, atol=1e-9),
    Kernel("backtest.count_alerts", _count_alerts, "bar"),
    Kernel("backtest.reference_account", _reference_account, "bar"),
    Kernel("streams.emote_bits", _emote_bits, "tick"),
    Kernel("streams.open_profit", _open_profit, "tick"),
)
