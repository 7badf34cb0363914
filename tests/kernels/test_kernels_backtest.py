"""The account against an account of exact fractions, and against what must hold of any account."""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from idi_fast.kernels import backtest as kernels
from oracle import backtest as oracle

FILLS = st.sampled_from([kernels.NEXT_OPEN, kernels.NEXT_CLOSE, kernels.SAME_CLOSE])
FEE_RATES = st.sampled_from([0.0, 0.0005, 0.001])
POSITIONS = st.integers(-1, 1)
# Odd, so that no price is exactly twice another, where a short's equity is 0 but for rounding; and far enough from
# that for the fee of a last order always to be covered.
PRICES = st.integers(2, 10).map(lambda n: 2 * n + 1.0)
QUIET = st.integers(90, 110).map(float)  # never ruins anybody


def bars(prices: st.SearchStrategy[float], min_size: int = 1) -> st.SearchStrategy[tuple[np.ndarray, ...]]:
    """Targets, opens and closes."""
    rows = st.lists(st.tuples(POSITIONS, prices, prices), min_size=min_size, max_size=30)
    return rows.map(lambda rows: tuple(np.array(column) for column in zip(*rows, strict=True)))


SLIPPAGE_RATES = st.sampled_from([0.0, 0.0002, 0.001])


class Account(NamedTuple):
    equity: np.ndarray
    position: np.ndarray
    trades: np.ndarray
    fees: float
    slippage: float
    traded: float
    liquidated_at: int
    interest: float
    borrow: float
    funding: float


def fresh_state(initial: int = 0) -> kernels.AccountState:
    money = np.zeros(kernels.MONEY)
    money[[kernels.CASH, kernels.STAKE]] = 1.0
    return kernels.AccountState(money, np.array([0, 0, initial, -1]), np.zeros(8))


def keep(
    target,
    open_,
    close,
    fill: int,
    fee_rate: float,
    slippage_rate: float = 0.0,
    initial: int = 0,
    cuts=(),
    size: float = 1.0,
    financing=None,
) -> Account:
    """The kernel's account, with no more room for trades than the package gives it; the open one last."""
    target, open_, close = np.array(target, np.int8), np.array(open_, np.float64), np.array(close, np.float64)
    equity, position, state, trades = np.empty(target.size), np.empty(target.size, np.int8), fresh_state(initial), []
    rates = (np.empty(0),) * 3 if financing is None else [np.array(column, np.float64) for column in financing]
    for first, stop in pairwise([0, *cuts, target.size]):
        part = slice(first, stop)
        room = np.empty((np.count_nonzero(np.diff(target[part])) + 3, 8))
        count = kernels.account(
            target[part],
            open_[part],
            close[part],
            fill,
            fee_rate,
            slippage_rate,
            size,
            kernels.Financing(*(column[part] for column in rates)),
            state,
            equity[part],
            position[part],
            room,
        )
        trades.append(room[:count])
    if state.at[kernels.HELD]:
        trades.append(state.trade[np.newaxis])
    totals = state.money[[kernels.FEES, kernels.SLIPPAGE, kernels.TRADED]].tolist()
    money = state.money[[kernels.INTEREST, kernels.BORROW, kernels.FUNDING]].tolist()
    return Account(equity, position, np.concatenate(trades), *totals, state.at[kernels.LIQUIDATED], *money)


@given(
    st.sampled_from([(held, target) for held in (-1, 0, 1) for target in (-1, 0, 1) if held != target]),
    st.floats(0, 5),
    st.floats(0.5, 5),
    st.floats(0.01, 1000),
    st.sampled_from([0.0, 0.0005, 0.01]),
    st.sampled_from([1.0, 0.5, 0.3]),
)
def test_rebalance(positions, notional, equity, price, fee_rate, size):
    held, target = positions
    units = held * notional / price
    cash = equity - units * price
    made = kernels.rebalance(units, cash, target, price, fee_rate, size)
    expected = [float(value) for value in oracle.rebalance(units, cash, target, price, fee_rate, size)]
    scale = np.array([1 / price, 1, 1, 1])
    # About six roundings of amounts up to 15.
    assert_allclose(np.array(made) / scale, np.array(expected) / scale, rtol=0, atol=1e-13)
    if size == 1.0:
        units, cash, _, _ = made
        assert units * price == pytest.approx(target * (cash + units * price), abs=1e-13)


@given(bars(PRICES), FILLS, FEE_RATES, SLIPPAGE_RATES, POSITIONS)
@settings(max_examples=examples(300))
def test_account(bars, fill, fee_rate, slippage_rate, initial):
    given = *bars, fill, fee_rate, slippage_rate, initial
    made, expected = keep(*given), oracle.account(*given)
    assert made.liquidated_at == expected.liquidated_at
    assert_array_equal(made.position, expected.position)
    # The kernel rounds; a short that loses nearly all makes that up to 40 times more of what is left.
    assert_allclose(made.equity, [float(value) for value in expected.equity], rtol=1e-9, atol=1e-12)
    totals = [float(total) for total in (expected.fees, expected.slippage, expected.traded)]
    assert_allclose([made.fees, made.slippage, made.traded], totals, rtol=1e-9)
    rows = [[math.nan if value is None else float(value) for value in trade] for trade in expected.trades]
    assert made.trades.shape == (len(rows), 8)
    for trade, row in zip(made.trades, rows, strict=True):
        assert_array_equal(trade[:3], row[:3])
        assert_allclose(trade[3:], row[3:], rtol=1e-9, atol=1e-9)


RATES = st.tuples(st.floats(-0.001, 0.002), st.floats(0.0, 0.01), st.floats(-0.01, 0.01))


@given(
    bars(QUIET),
    FILLS,
    FEE_RATES,
    SLIPPAGE_RATES,
    POSITIONS,
    st.sampled_from([1.0, 0.5, 0.1]),
    st.lists(RATES, min_size=30, max_size=30),
    st.lists(st.integers(0, 30), max_size=4),
)
def test_a_financed_account(bars, fill, fee_rate, slippage_rate, initial, size, rates, cuts):
    financing = [column[: bars[0].size] for column in zip(*rates, strict=True)]
    given = *bars, fill, fee_rate, slippage_rate, initial
    made, expected = keep(*given, (), size, financing), oracle.account(*given, size, financing)
    assert_array_equal(made.position, expected.position)
    assert_allclose(made.equity, [float(value) for value in expected.equity], rtol=1e-12)
    names = ("fees", "slippage", "traded", "interest", "borrow", "funding")
    for name in names:
        assert getattr(made, name) == pytest.approx(float(getattr(expected, name)), abs=1e-12)
    for trade, row in zip(made.trades, expected.trades, strict=True):
        assert_allclose(trade, [math.nan if value is None else float(value) for value in row], rtol=1e-12, atol=1e-12)
    cuts = sorted(min(cut, bars[0].size) for cut in cuts)
    for piece, whole in zip(keep(*given, cuts, size, financing), made, strict=True):
        assert_array_equal(piece, whole)


@given(bars(PRICES), FILLS, FEE_RATES, SLIPPAGE_RATES, POSITIONS)
def test_financing_of_nothing_changes_nothing(bars, fill, fee_rate, slippage_rate, initial):
    given = *bars, fill, fee_rate, slippage_rate, initial
    nothing = [[0.0] * bars[0].size] * 3
    for with_zeros, without in zip(keep(*given, (), 1.0, nothing), keep(*given), strict=True):
        assert_array_equal(with_zeros, without)


def test_what_is_held_at_a_close_pays_until_the_next():
    # Half of 1 goes short at 10: 0.05 shares, 0.5 put up beside the proceeds of 0.5, and 0.5 idle.
    close = np.array([10.0, 10.0, 12.0, 12.0])
    financing = [[0.5, 0.01, 0.01, 0.01], [0.5, 0.5, 0.002, 0.002], [0.5, 0.5, 0.001, 0.001]]
    made = keep([-1, -1, 0, 0], close, close, kernels.NEXT_CLOSE, 0.0, 0.0, 0, (), 0.5, financing)
    # Flat until the close of bar 1: a bar's interest on all; a short of 0.75 (1 + 1 / 100) / 2 after it.
    start = 1.5 * 1.01
    put_up, shares = start / 2, start / 20
    first = put_up * 0.01 + shares * 10.0 * (0.001 - 0.002)
    idle = put_up + first
    second = idle * 0.01 + shares * 12.0 * (0.001 - 0.002)
    assert_allclose(
        made.equity, [1.5, start, start + first - shares * 2, start + first + second - shares * 2], rtol=1e-15
    )
    assert made.interest == pytest.approx(0.5 + 0.015 + put_up * 0.01 + idle * 0.01, rel=1e-15)
    assert made.borrow == pytest.approx(shares * (10.0 + 12.0) * 0.002, rel=1e-15)
    assert made.funding == pytest.approx(-shares * (10.0 + 12.0) * 0.001, rel=1e-15)
    # The interest is not the trade's.
    assert made.trades[0, 5] == pytest.approx(-(shares * 2 + shares * 22.0 * 0.001) / start, rel=1e-13)


@given(bars(PRICES), FILLS, FEE_RATES, SLIPPAGE_RATES, POSITIONS, st.lists(st.integers(0, 30), max_size=4))
def test_an_account_in_pieces_is_the_whole_one(bars, fill, fee_rate, slippage_rate, initial, cuts):
    cuts = sorted(min(cut, bars[0].size) for cut in cuts)
    given = *bars, fill, fee_rate, slippage_rate, initial
    for piece, whole in zip(keep(*given, cuts), keep(*given), strict=True):
        assert_array_equal(piece, whole)


def test_an_equity_that_is_no_number_is_marked_as_such():
    # At such a price more is bought than a number can say, of which NumPy warns where nothing is compiled.
    with np.errstate(all="ignore"):
        made = keep([1] * 9, [1e-310] * 9, [1e-310] * 9, kernels.SAME_CLOSE, 0.0)
    assert np.isnan(made.equity).all()
    assert made.liquidated_at == -1


@pytest.mark.parametrize("cuts", [[], [1], [2], [3], [2, 3]])
@pytest.mark.parametrize("later", [-1, 1])
def test_an_open_can_ruin_a_short_that_is_only_held(cuts, later):
    target, close, opens = [-1, -1, -1, -1, later], [10.0] * 5, [10.0, 10.0, 25.0, 10.0, 10.0]
    made = keep(target, opens, close, kernels.NEXT_OPEN, 0.0, 0.0, -1, cuts)
    assert_array_equal(made.equity, [1, 1, 0, 0, 0])
    assert_array_equal(made.position, [-1, -1, 0, 0, 0])
    assert made.liquidated_at == 2


def test_slippage_worked_by_hand():
    close = np.array([10.0, 10.0, 20.0, 20.0])
    made = keep([1, 1, 0, 0], close, close, kernels.NEXT_CLOSE, 0.0, 0.25)
    # A twelfth and a half is bought at 12.5 and worth 10 at that close; the seller gets 15 of 20.
    assert_allclose(made.equity, [1, 0.8, 1.6, 1.2], rtol=1e-15)
    assert_allclose(made.trades, [[1, 3, 1, 12.5, 15, 0.2, 0, 0.08 * 2.5 + 0.08 * 5]], rtol=1e-15)
    assert made.slippage == pytest.approx(0.08 * 2.5 + 0.08 * 5, rel=1e-15)


@pytest.mark.parametrize("initial", [1, -1])
def test_an_initial_position_is_taken_at_the_first_fill(initial):
    made = keep([initial, 0, 0], [8.0, 9.0, 12.0], [10.0, 10.0, 10.0], kernels.NEXT_OPEN, 0.0, 0.0, initial)
    assert_array_equal(made.position, [initial, initial, 0])
    assert_allclose(made.equity, [1 + initial * 0.25, 1 + initial * 0.25, 1 + initial * 0.5], rtol=1e-15)
    assert_array_equal(made.trades[:, :3], [[0, 2, initial]])


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.booleans(), st.booleans()), max_size=40),
    st.lists(st.integers(0, 40), max_size=3),
)
def test_count_alerts(bars, cuts):
    mood, regime, said, risk = (list(column) for column in zip(*bars, strict=True)) if bars else ([], [], [], [])
    counts, last = np.zeros((3, 4, 4), np.int64), np.full(3, -1)
    comm = np.where(said, 1, 0).astype(np.int16)
    # Two states of each mood, in the order 2, 0, 1.
    state = np.array([(m + 1) % 3 + 3 * event for m, event in zip(mood, risk, strict=True)], np.int64)
    moods, events = np.array([2, 0, 1, 2, 0, 1], np.uint8), np.array(risk, np.uint8)
    for first, stop in pairwise([0, *sorted(min(cut, len(bars)) for cut in cuts), len(bars)]):
        part = slice(first, stop)
        kernels.count_alerts(
            state[part], moods, comm[part], np.array(regime, np.uint8)[part], events[part], 1, last, counts
        )
    found = {place: tuple(row) for place in np.ndindex(3, 4) if any(row := counts[place].tolist())}
    assert found == oracle.count_alerts(mood, regime, said, risk)


@given(st.lists(st.integers(0, 4), max_size=30), st.lists(st.booleans(), min_size=5, max_size=5))
def test_count_marked(places, marks):
    made = kernels.count_marked(np.array(places, np.int64), np.array(marks))
    assert made == oracle.count_marked(places, marks)


@given(bars(QUIET), FILLS, FEE_RATES)
def test_trades_and_totals_agree_with_the_equity(bars, fill, fee_rate):
    made = keep(*bars, fill, fee_rate)
    assert made.liquidated_at == -1
    closed = made.trades[made.trades[:, 1] >= 0]
    # Sums and products of a few dozen roundings of numbers about 1.
    assert_allclose(made.trades[:, 6].sum(), made.fees, rtol=0, atol=1e-13)
    assert_allclose(made.traded * fee_rate, made.fees, rtol=0, atol=1e-13)
    if made.position[-1] == 0:
        assert len(closed) == len(made.trades)
        assert_allclose(np.prod(1 + closed[:, 5]), made.equity[-1], rtol=1e-13)
    else:
        assert len(closed) == len(made.trades) - 1
        assert made.trades[-1, 2] == made.position[-1]
    held = np.zeros(len(made.position))
    for entry, leave, direction in made.trades[:, :3]:
        held[int(entry) : int(leave) if leave >= 0 else None] = direction
    assert_array_equal(held, made.position)


@given(bars(PRICES), FILLS)
def test_always_long_without_fees_is_the_price_over_the_first_fill(bars, fill):
    _, open_, close = bars
    made = keep(np.ones(close.size), open_, close, fill, 0.0)
    first = 0 if fill == kernels.SAME_CLOSE else 1
    paid = (open_ if fill == kernels.NEXT_OPEN else close)[first : first + 1]
    assert_array_equal(made.equity[:first], 1.0)
    # One division here; in the kernel a division and a product.
    assert_allclose(made.equity[first:], close[first:] / (paid if paid.size else 1.0), rtol=1e-15)
    assert made.traded == min(1, close.size - first)


@given(bars(PRICES, min_size=2), bars(PRICES, min_size=30), FILLS, FEE_RATES, st.data())
def test_equity_does_not_depend_on_later_bars(bars, others, fill, fee_rate, data):
    n = bars[0].size
    cut = data.draw(st.integers(1, n - 1))
    # A decision to be filled on the next bar is later news, too.
    decided = cut if fill == kernels.SAME_CLOSE else cut - 1
    target, open_, close = (
        np.concatenate([column[:at], other[at:]])
        for column, other, at in zip(bars, others, (decided, cut, cut), strict=True)
    )
    made, changed = keep(*bars, fill, fee_rate), keep(target, open_, close, fill, fee_rate)
    assert_array_equal(changed.equity[:cut], made.equity[:cut])
    assert_array_equal(changed.position[:cut], made.position[:cut])


@pytest.mark.parametrize("first", [1, -1])
def test_a_flip_trades_twice_the_notional(first):
    close = np.full(4, 8.0)
    made = keep([first, first, -first, -first], close, close, kernels.SAME_CLOSE, 0.0)
    assert made.traded == 1 + 2
    assert_array_equal(made.trades[:, :3], [[0, 2, first], [2, -1, -first]])
    fee = 0.25  # large and binary: what is left of 1 after an order of N = 0.8 is 0.8
    made = keep([first, first, -first, -first], close, close, kernels.SAME_CLOSE, fee)
    after = (0.8 - fee * 0.8) / (1 + fee)
    assert_allclose(made.equity, [0.8, 0.8, after, after], rtol=1e-15)
    assert_allclose(made.traded, 0.8 + 0.8 + after, rtol=1e-15)


@pytest.mark.parametrize(
    ("target", "fill", "equity", "position"),
    [
        ([1, 1, 1], kernels.NEXT_OPEN, [1, 11 / 20, 4 / 20], [0, 1, 1]),
        ([1, 1, 1], kernels.NEXT_CLOSE, [1, 1, 4 / 11], [0, 1, 1]),
        ([1, 1, 1], kernels.SAME_CLOSE, [1, 1.1, 0.4], [1, 1, 1]),
        ([-1, 0, 0], kernels.NEXT_OPEN, [1, 2 - 11 / 20, 2 - 5 / 20], [0, -1, 0]),
        ([-1, 0, 0], kernels.SAME_CLOSE, [1, 0.9, 0.9], [-1, 0, 0]),
        ([0, 0, 1], kernels.NEXT_OPEN, [1, 1, 1], [0, 0, 0]),
    ],
)
def test_accounts_worked_by_hand(target, fill, equity, position):
    made = keep(target, [9.0, 20.0, 5.0], [10.0, 11.0, 4.0], fill, 0.0)
    assert_allclose(made.equity, equity, rtol=1e-15)
    assert_array_equal(made.position, position)


def test_entry_and_exit_fees_worked_by_hand():
    close = np.array([10.0, 10.0, 20.0, 20.0])
    made = keep([1, 1, 0, 0], close, close, kernels.NEXT_CLOSE, 0.01)
    # Bar 1 buys what 1 pays for, fee included; bar 3 sells it for twice as much.
    assert_allclose(made.equity, [1, 1 / 1.01, 2 / 1.01, 0.99 * 2 / 1.01], rtol=1e-15)
    assert_allclose(made.trades, [[1, 3, 1, 10, 20, 0.99 * 2 / 1.01 - 1, 0.03 / 1.01, 0]], rtol=1e-13)
    assert_allclose([made.fees, made.traded], [0.03 / 1.01, 3 / 1.01], rtol=1e-15)


def test_a_ruined_short_stops_trading():
    made = keep([-1, 1, 1, 1], [10.0] * 4, [10.0, 21.0, 5.0, 50.0], kernels.SAME_CLOSE, 0.0)
    assert_array_equal(made.equity, [1, 0, 0, 0])
    assert_array_equal(made.position, [-1, 0, 0, 0])
    assert made.liquidated_at == 1
    assert_array_equal(made.trades, [[0, 1, -1, 10, 21, -1, 0, 0]])
    assert made.traded == 1 + 2.1


def test_a_short_is_ruined_by_the_close_or_by_the_next_open():
    by_close = keep([-1, -1, -1], [10.0, 10.0, 21.0], [10.0, 21.0, 10.0], kernels.NEXT_OPEN, 0.0)
    assert_array_equal(by_close.equity, [1, 0, 0])
    assert_array_equal(by_close.trades, [[1, 1, -1, 10, 21, -1, 0, 0]])
    by_open = keep([-1, -1, -1], [10.0, 10.0, 21.0], [10.0, 10.0, 10.0], kernels.NEXT_OPEN, 0.0)
    assert_array_equal(by_open.equity, [1, 1, 0])
    assert_array_equal(by_open.trades, [[1, 2, -1, 10, 21, -1, 0, 0]])
    assert (by_close.liquidated_at, by_open.liquidated_at) == (1, 2)


def test_nothing_is_opened_with_what_the_closing_fee_has_ruined():
    # The short is worth a little, but less than the 0.0197 that closing it costs.
    bars = [-1, 1, 1], [10.0] * 3, [10.0, 19.9, 19.9]
    made, expected = keep(*bars, kernels.SAME_CLOSE, 0.01), oracle.account(*bars, oracle.SAME_CLOSE, 0.01)
    assert_array_equal(made.equity[1:], [0, 0])
    assert_array_equal(made.trades[:, :6], [[0, 1, -1, 10, 19.9, -1]])
    assert_allclose([made.fees, made.traded], [float(expected.fees), float(expected.traded)], rtol=1e-13)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.floats(0.01, 1e6)), min_size=1, max_size=40),
    st.sampled_from([0.0, 5.0, 12.5]),
)
def test_reference_account(bars, fee_bps):
    action, price = zip(*bars, strict=True)
    pnl = np.full(len(bars), np.nan)
    kernels.reference_account(np.array(action, np.int8), np.array(price), fee_bps, pnl)
    assert_array_equal(pnl, oracle.reference_account(action, price, fee_bps))


def test_the_reference_pays_on_every_bar_it_comes_into_with_a_position():
    pnl = np.empty(5)
    kernels.reference_account(np.array([1, 0, 2, 0, 0], np.int8), np.array([8.0, 16.0, 8.0, 4.0, 4.0]), 2500.0, pnl)
    assert_array_equal(pnl, [0, 8 - 4, -8 - 2, 4 - 1, 0 - 1])


@given(st.lists(st.floats(allow_nan=False), max_size=50), st.lists(st.floats(allow_nan=False), max_size=5))
def test_find_hashes(values, known):
    known = [*known, *values[:2]]
    bits, table = np.array(values, np.float64).view(np.uint64), np.zeros(2**14, bool)
    table[(np.array(known, np.float64).view(np.uint64) * kernels.HASH) >> np.uint64(50)] = True
    found = np.empty(len(values), np.int64)
    count = kernels.find_hashes(bits, table, found)
    expected = oracle.find_hashes(bits.tolist(), set(np.array(known, np.float64).view(np.uint64).tolist()))
    assert found[:count].tolist() == expected
    assert set(range(min(2, len(values)))) <= set(expected)


@given(st.integers(0, 2**32), FILLS, st.sampled_from([0.01, 0.2]), st.sampled_from([0.0, 0.001]), st.integers(40, 300))
def test_long_holdings_are_marked_as_bar_by_bar(seed, fill, volatility, fee_rate, n):
    """64 bars that hold the same are looked at together; pieces shorter than that are not. Many are ruined."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, volatility, n)))
    open_ = close * np.exp(rng.normal(0.0, volatility, n))
    target = np.repeat(rng.integers(-1, 2, n), rng.integers(1, 150, n))[:n]
    given = target, open_, close, fill, fee_rate
    for piece, whole in zip(keep(*given, cuts=range(0, n, 23)), keep(*given), strict=True):
        assert_array_equal(piece, whole)
