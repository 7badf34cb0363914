"""The sums of the KPIs against exact fractions over whole series, cut into segments anywhere."""

import math
from collections.abc import Iterable
from datetime import date, timedelta
from fractions import Fraction
from itertools import chain

import numpy as np
import pytest
from examples import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, eighths, pieces
from numpy.testing import assert_allclose, assert_array_equal

from idi_fast.kernels import kpis as kernels
from idi_fast.kernels import tails
from oracle import kpis as oracle

RETURNS = st.lists(eighths(1), min_size=1, max_size=30) | st.lists(st.floats(-1, 1), min_size=1, max_size=30)
EQUITIES = st.lists(eighths().map(lambda value: abs(value) + 0.125), max_size=40)
"""Of few values, so that a peak is often reached again."""
BLOCK = 4
MOST = 400
"""Bars of a run."""


@st.composite
def ruined(draw) -> list[float]:
    """An equity that may come to 0."""
    equity = draw(EQUITIES)
    alive = draw(st.integers(0, 2 * len(equity)))
    return [value if t < alive else 0.0 for t, value in enumerate(equity)]


@st.composite
def runs(draw) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Equity, position and equity of holding."""
    equity, held = draw(ruined()), draw(ruined())
    n = min(len(equity), len(held))
    position = draw(st.lists(st.integers(-1, 1), min_size=n, max_size=n))
    return np.array(equity[:n]), np.array(position, np.int8), np.array(held[:n])


def new_curve() -> kernels.Curve:
    path = np.zeros(7)
    path[[kernels.LAST, kernels.PEAK, kernels.LOW, kernels.PEAK_BAR]] = 1.0, 1.0, 1.0, -1.0
    return kernels.Curve(path, np.zeros(5), np.zeros(5), np.empty(BLOCK), np.zeros(1, np.int64))


def new_lowest(room: int, limit: float = math.inf) -> tails.Lowest:
    """Room for all values, none of which is dropped."""
    return tails.Lowest(np.array([0.0, limit]), np.empty(room), room)


def assert_rounded(made: Iterable[float], exact: Iterable[Fraction], largest: Iterable[float], n: int) -> None:
    """The kernels round: sums of n terms of at most `largest`, each the outcome of less than ten operations. What is
    too small for the whole precision of a float is less precise."""
    for value, expected, most in zip(made, exact, largest, strict=True):
        assert value == pytest.approx(float(expected), rel=1e-14, abs=(n + 10) ** 2 * 2.0**-52 * most + 1e-300)


def assert_moments(made: np.ndarray, values: list[float]) -> None:
    span = 2.0 * max(map(abs, values), default=0.0)
    assert_rounded(made, oracle.merge_moments(values), [1, span, span**2, span**3, span**4], len(values))


def assert_signed(made: np.ndarray, values: list[float]) -> None:
    most = max(map(abs, values), default=0.0)
    assert_rounded(made, oracle.signed_sums(values), [most, most, most**2, 0, 0], len(values))


def assert_pairs(made: np.ndarray, x: list[float], y: list[float]) -> None:
    x, y = x[: len(y)], y[: len(x)]
    span_x, span_y = (2.0 * max(map(abs, values), default=0.0) for values in (x, y))
    assert_rounded(made, oracle.merge_products(x, y), [1, span_x, span_y, span_y**2, span_x * span_y], len(x))


@given(ruined(), st.sampled_from([1.0, 0.375, 0.0]), st.none() | st.sampled_from([math.nan, math.inf, -0.5, 2.0]))
@settings(max_examples=examples(300))
def test_simple_returns(equity, before, wrong):
    if before == 0.0:
        equity = [0.0] * len(equity)
    if wrong is not None and equity:
        equity[len(equity) // 2] = wrong
    out = np.full(len(equity), np.nan)
    count, expected = kernels.simple_returns(np.array(equity), before, out), oracle.simple_returns(equity, before)
    if isinstance(expected, int):
        assert count == expected
    else:
        assert_array_equal(out[:count], expected)
        assert np.isnan(out[count:]).all()


def path_of(equity: list[float], chunks: Iterable[int] = (10**9,)) -> np.ndarray:
    path = new_curve().path
    for piece in pieces(len(equity), list(chunks)):
        kernels.drawdowns(np.array(equity[piece]), piece.start, path)
    return path


@given(ruined())
@example([0.5, 1.0, 0.5, 0.5, 1.0, 1.0])  # two of one depth: the first counts
def test_drawdowns(equity):
    path, falls = path_of(equity), oracle.drawdowns(equity)
    assert path[kernels.LAST] == [1.0, *equity][-1]
    assert path[kernels.PEAK] == max([1.0, *equity])
    over = [fall for fall in falls if fall.recovered]
    deepest = min(over, key=lambda fall: fall.depth, default=oracle.Drawdown(0.0, 0, True))
    assert tuple(path[[kernels.WORST, kernels.WORST_BARS]]) == deepest[:2]
    assert path[kernels.LONGEST] == max((fall.bars for fall in over), default=0)
    for fall in falls[len(over) :]:
        assert path[kernels.LOW] / path[kernels.PEAK] - 1.0 == fall.depth
        assert len(equity) - 1 - path[kernels.PEAK_BAR] == fall.bars
    assert (path[kernels.LOW] < path[kernels.PEAK]) == (len(falls) > len(over))


@given(ruined(), CHUNKS)
def test_drawdowns_in_chunks_are_the_same(equity, chunks):
    assert_array_equal(path_of(equity, chunks), path_of(equity))


@given(st.integers(0, 2**32), CHUNKS)
def test_long_drawdowns_are_the_same_in_short_chunks(seed, chunks):
    """Chunks of 32 bars below the peak are looked at together, shorter ones are not."""
    rng = np.random.default_rng(seed)
    equity = np.exp(np.cumsum(rng.choice([-0.01, 0.0, 0.0101], MOST)) * rng.choice([0.0, 1.0])).tolist()
    assert_array_equal(path_of(equity, chunks), path_of(equity))


@given(RETURNS, RETURNS)
def test_signed_sums(values, more):
    signed = np.zeros(5)
    mean = kernels.signed_sums(np.array(values), signed)
    assert_rounded([mean], [oracle.mean(values)], [2.0], len(values))
    kernels.signed_sums(np.array(more), signed)
    assert_signed(signed, values + more)


@given(st.floats(-0.5, 0.5), st.integers(1, 40))
def test_the_mean_of_equal_values_is_exact(value, n):
    assert kernels.signed_sums(np.full(n, value), np.zeros(5)) == value


@given(st.lists(st.tuples(eighths(1), st.floats(-1, 1)), min_size=1, max_size=30))
def test_central_sums(pairs):
    x, y = (np.array(series) for series in zip(*pairs, strict=True))
    made = kernels.central_sums(x, y, float(oracle.mean(x)), float(oracle.mean(y)))
    assert_rounded(made, oracle.central_sums(x, y), [4, 8, 16, 4, 8, 16, 4], x.size)


@given(st.lists(RETURNS, max_size=4))
def test_merge_moments(parts):
    moments = np.zeros(5)
    for part in parts:
        _, mean, *sums = map(float, oracle.merge_moments(part))
        kernels.merge_moments(moments, len(part), mean, *sums)
    assert_moments(moments, list(chain.from_iterable(parts)))


@given(st.lists(st.lists(st.tuples(st.floats(-1, 1), eighths(1)), min_size=1, max_size=15), max_size=4))
def test_merge_products(parts):
    merged = np.zeros(5)
    for part in parts:
        n, *sums = map(float, oracle.merge_products(*zip(*part, strict=True)))
        kernels.merge_products(merged, int(n), *sums)
    pairs = list(chain.from_iterable(parts))
    assert_pairs(merged, [x for x, _ in pairs], [y for _, y in pairs])


@given(RETURNS.map(lambda values: values[:BLOCK]), RETURNS.map(lambda values: values[:BLOCK]))
def test_end_block(x, y):
    run, holding, pairs, low, high = new_curve(), new_curve(), np.zeros(5), new_lowest(BLOCK + 1), new_lowest(BLOCK + 1)
    for curve, returns in ((run, x), (holding, y)):
        curve.block[: len(returns)] = returns
        curve.filled[0] = len(returns)
    kernels.end_block(run, holding, pairs, low, high)
    moments, signed, products = oracle.end_block(x, y)
    assert [len(x), len(y), min(len(x), len(y))] == [moments[0][0], moments[1][0], products[0]]
    for curve, returns, of_both in ((run, x, signed[0]), (holding, y, signed[1])):
        assert_moments(curve.moments, returns)
        assert_signed(curve.signed, returns)
        assert curve.signed[kernels.UP] == of_both.up
        assert curve.filled[0] == 0
    assert_pairs(pairs, x, y)
    assert_array_equal(low.values[: len(x)], x)
    assert_array_equal(high.values[: len(x)], [-value for value in x])


@given(ruined().map(lambda equity: equity[:BLOCK]), st.integers(0, BLOCK))
def test_push_curve(equity, cut):
    curve = new_curve()
    for start, part in ((0, equity[:cut]), (cut, equity[cut:])):
        assert kernels.push_curve(np.array(part), start, curve) >= 0
    returns, falls = oracle.push_curve(equity)
    assert_array_equal(curve.block[: curve.filled[0]], returns)
    assert_array_equal(curve.path, path_of(equity))
    assert max(curve.path[kernels.LONGEST], curve.path[kernels.LOW] < curve.path[kernels.PEAK]) >= bool(falls)


class Sums:
    """All sums over bars, pushed in chunks."""

    def __init__(self, equity, position, held, chunks=(10**9,)):
        self.run, self.holding, self.pairs, self.bars = new_curve(), new_curve(), np.zeros(5), np.zeros(2, np.int64)
        self.low, self.high = new_lowest(MOST), new_lowest(MOST)
        for piece in pieces(equity.size, list(chunks)):
            columns = (column[piece] for column in (equity, position, held))
            assert kernels.push_bars(*columns, *self.all) == piece.stop - piece.start
        kernels.end_block(self.run, self.holding, self.pairs, self.low, self.high)

    @property
    def all(self) -> tuple:
        return self.run, self.holding, self.pairs, self.low, self.high, self.bars

    @property
    def lows(self) -> list[float]:
        return self.low.values[: int(self.low.state[tails.KEPT])].tolist()

    @property
    def highs(self) -> list[float]:
        return self.high.values[: int(self.high.state[tails.KEPT])].tolist()


@given(runs())
def test_push_bars(run):
    made, expected = Sums(*run), oracle.push_bars(*run)
    for curve, equity in ((made.run, run[0]), (made.holding, run[2])):
        returns, _ = oracle.push_curve(equity)
        assert_moments(curve.moments, returns)
        assert_signed(curve.signed, returns)
        assert_array_equal(curve.path, path_of(equity))
    assert_pairs(made.pairs, expected.returns, oracle.simple_returns(run[2], 1.0))
    assert made.lows == expected.returns
    assert made.highs == [-value for value in expected.returns]
    assert made.bars.tolist() == [run[0].size, expected.exposed]


@given(runs(), CHUNKS)
@settings(max_examples=examples(300))
def test_bars_in_chunks_are_the_same(run, chunks):
    parts, whole = Sums(*run, chunks), Sums(*run)
    for part, all_ in ((parts.run, whole.run), (parts.holding, whole.holding)):
        for name in ("path", "moments", "signed"):
            assert_array_equal(getattr(part, name), getattr(all_, name))
    assert_array_equal(parts.pairs, whole.pairs)
    assert_array_equal(parts.bars, whole.bars)
    assert (parts.lows, parts.highs) == (whole.lows, whole.highs)


@given(runs(), st.integers(0, 39), st.booleans(), st.sampled_from([math.nan, math.inf, -1.0]))
def test_what_is_no_equity_is_found(run, t, is_held, wrong):
    equity, position, held = run
    t = min(t, equity.size - 1)
    if t < 0:
        return
    (held if is_held else equity)[t] = wrong
    room = new_lowest(100), new_lowest(100)
    done = kernels.push_bars(
        equity, position, held, new_curve(), new_curve(), np.zeros(5), *room, np.zeros(2, np.int64)
    )
    assert done == -1 - t


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_add_compensated(first, second):
    sums = np.array([first, 0.0])
    kernels.add_compensated(sums, 0, 1, second)
    assert Fraction(sums[0]) + Fraction(sums[1]) == oracle.add_compensated([first, second])


def sums_of_trades(trades: np.ndarray, chunks: Iterable[int] = (10**9,)) -> np.ndarray:
    sums = np.zeros(13)
    sums[[kernels.BEST, kernels.WORST_TRADE, kernels.GROWTH]] = -math.inf, math.inf, 1.0
    for piece in pieces(len(trades), list(chunks)):
        assert kernels.push_trades(trades[piece], sums) == len(trades[piece])
    return sums


PROFITS = st.just(-1.0) | st.floats(-1, 3)
TRADES = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9), PROFITS), max_size=30).map(
    lambda rows: np.array([[a, a + bars, 1, 9, 9, profit, 0, 0] for a, bars, profit in rows]).reshape(-1, 8)
)


@given(TRADES)
def test_push_trades(trades):
    made, expected = sums_of_trades(trades), oracle.push_trades(trades.tolist())
    whole = [kernels.TRADES, kernels.WINNERS, kernels.LOSERS, kernels.BEST, kernels.WORST_TRADE, kernels.HELD]
    names = ("closed", "winners", "losers", "best", "worst", "held")
    assert made[whole].tolist() == [getattr(expected, name) for name in names]
    assert made[kernels.LONGEST_HELD] == expected.longest_held
    # Compensated: as good as a sum rounded once, but for the rests' own rounding.
    assert_allclose(made[kernels.WON] + made[kernels.WON_REST], float(expected.won), rtol=1e-15)
    assert_allclose(made[kernels.LOST] + made[kernels.LOST_REST], float(expected.lost), rtol=1e-15)
    # Two roundings a trade.
    growth = made[kernels.GROWTH] * 2.0 ** made[kernels.EXPONENT]
    assert_allclose(growth, float(expected.growth), rtol=2**-52 * 2 * (len(trades) + 1))


@given(TRADES, CHUNKS)
def test_trades_in_chunks_are_the_same(trades, chunks):
    assert_array_equal(sums_of_trades(trades, chunks), sums_of_trades(trades))


def test_the_growth_of_many_trades_leaves_no_float():
    trades = np.tile([0.0, 1.0, 1.0, 9.0, 9.0, 1.0, 0.0, 0.0], (5000, 1))  # each doubles
    sums = sums_of_trades(trades)
    assert math.log2(sums[kernels.GROWTH]) + sums[kernels.EXPONENT] == 5000.0


@pytest.mark.parametrize("row", [[3, -1, 1, 9, math.nan, math.nan], [3, 5, 1, 9, 9, -1.5], [3, 5, 1, 9, 9, math.inf]])
def test_what_is_no_closed_trade_is_found(row):
    trades = np.array([[0, 1, 1, 9, 9, 0.5], row])
    assert kernels.push_trades(trades, np.zeros(13)) == 1


def counts_of(columns: list[np.ndarray], chunks: Iterable[int] = (10**9,)) -> np.ndarray:
    counts = np.zeros(8, np.int64)
    counts[[kernels.LAST_ACTION, kernels.LAST_ALERT]] = -1
    for piece in pieces(columns[0].size, list(chunks)):
        kernels.push_decisions(*(column[piece] for column in columns), counts)
    return counts


DECISIONS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(-1, 1), st.integers(0, 1), st.integers(0, 1)), max_size=40
).map(
    lambda rows: [
        np.array(column, kind)
        for column, kind in zip(zip(*rows, strict=True) if rows else [()] * 4, "bbBB", strict=True)
    ]
)


@given(st.integers(0, 2**32), st.integers(0, 400))
def test_push_many_decisions(seed, n):
    columns = [column.copy() for column in np.random.default_rng(seed).integers(0, 2, (4, n), np.int8)]
    columns[2:] = [column.astype(np.uint8) for column in columns[2:]]
    assert counts_of(columns)[:6].tolist() == list(oracle.push_decisions(*columns))


@given(st.lists(st.integers(-1, 1), max_size=30))
def test_end_bars(position):
    bars = np.array([5, 2])
    kernels.end_bars(np.array(position, np.int8), bars)
    assert (bars - [5, 2]).tolist() == list(oracle.end_bars(position))


@given(DECISIONS, CHUNKS)
def test_push_decisions(columns, chunks):
    counts = counts_of(columns, chunks)
    assert counts[:6].tolist() == list(oracle.push_decisions(*columns))
    assert_array_equal(counts, counts_of(columns))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=10) | st.lists(st.integers(-(10**15), 10**15), max_size=20))
def test_count_days(times):
    times = sorted(times)
    counted = np.zeros(-2 * kernels.FIRST_DAY + 1, np.int64)
    kernels.count_days(np.array(times, np.int64), counted)
    days = {
        date(1970, 1, 1) + timedelta(int(day) + kernels.FIRST_DAY): int(counted[day]) for day in counted.nonzero()[0]
    }
    assert days == oracle.count_days(times)
