"""Lanes against policies followed one by one, and their sums against those of runs with a holding of their own."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, eighths, pieces
from numpy.testing import assert_allclose, assert_array_equal
from test_kernels_backtest import fresh_state
from test_kernels_kpis import BLOCK, Sums, assert_moments, assert_pairs, assert_rounded, assert_signed, runs

from idi_fast.kernels import kpis, kpis_beside, tails
from idi_fast.kernels import lanes as kernels
from idi_fast.kernels.backtest import NEXT_CLOSE, NEXT_OPEN, SAME_CLOSE, Financing
from idi_fast.kernels.learn import Rules
from oracle import kpis_beside as twin
from oracle import lanes as oracle

OBSERVATIONS, POSITIONS = 5, 3
BARS = st.builds(oracle.Bar, st.integers(0, OBSERVATIONS - 1), eighths(4), eighths(4), eighths(1), eighths(1))


@given(
    st.lists(BARS, max_size=40),
    st.integers(1, 4),
    st.sampled_from([8, 16]),
    st.integers(0, 2**32),
    st.integers(-1, 1),
    CHUNKS,
)
def test_rollout_lanes(bars, moods, lanes, seed, position, chunks):
    rng = np.random.default_rng(seed)
    n_states = OBSERVATIONS * moods * POSITIONS
    tables = rng.integers(0, 3, (lanes, n_states)) + 4 * rng.integers(0, 16, (lanes, n_states))
    weights, clarity = np.array([0.5, 0.25, 0.125]), 0.25
    strides = np.array([moods * POSITIONS, POSITIONS, 1])
    rules = Rules(np.zeros(9, np.int64), strides, moods, clarity, np.zeros((2, 1)))
    beside = tables.reshape(lanes, OBSERVATIONS, -1).transpose(1, 0, 2).astype(np.uint8)
    before, said = np.full(lanes, float(position)), np.full(lanes, position + 1, np.uint8)
    all_ = kernels.Lanes(beside.copy(), before, np.zeros(lanes), np.zeros(lanes), said, np.zeros(lanes, np.int32))
    codes = np.zeros((lanes, len(bars)), np.uint8)
    columns = np.array(bars, float).reshape(-1, 5).T
    observation = columns[0].astype(np.int32)
    for piece in pieces(len(bars), chunks):
        earning = [np.ascontiguousarray(column[piece]) for column in columns[1:]]
        given = all_, piece.start == 0, codes[:, piece]
        kernels.rollout_lanes(observation[piece], *earning, weights, rules, *given)
    expected, totals = oracle.rollout_lanes(bars, tables.tolist(), weights, (moods, POSITIONS), clarity, position)
    assert_array_equal(codes, np.array(expected).reshape(codes.shape))
    assert_array_equal(all_.total, totals)


CODES = st.builds(
    lambda position, action, flags: position + 4 * action + 16 * flags,
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(0, 3),
)


@given(st.lists(CODES), st.booleans())
def test_read_codes(codes, is_long_only):
    n = len(codes)
    target, action, alert = np.empty(n, np.int8), np.empty(n, np.int8), np.empty(n, np.uint8)
    new = kernels.read_codes(np.array(codes, np.uint8), is_long_only, target, action, alert)
    assert (target.tolist(), action.tolist(), alert.tolist(), new) == oracle.read_codes(codes, is_long_only)


@given(
    st.lists(st.tuples(CODES, st.integers(90, 110), st.integers(90, 110)), min_size=1, max_size=30),
    st.sampled_from([NEXT_OPEN, NEXT_CLOSE, SAME_CLOSE]),
    st.booleans(),
    st.sampled_from([1.0, 0.5]),
    st.integers(1, BLOCK),
    st.integers(0, 30),
)
def test_settle_lane(rows, fill, is_long_only, size, room, cut):
    codes, open_, close = (list(column) for column in zip(*rows, strict=True))
    n, cut, rng = len(rows), min(cut, len(rows)), np.random.default_rng(len(rows))
    held = np.exp(rng.normal(0.0, 0.01, n)).tolist()
    move, risk = rng.integers(-1, 2, n).astype(np.int8), rng.integers(0, 2, n).astype(np.uint8)
    returns, held_sums = np.empty(n), np.zeros((-(-n // BLOCK), 2))
    returns = returns[: kpis.simple_returns(np.array(held), 1.0, returns)]
    kpis_beside.sum_blocks(returns, BLOCK, held_sums)
    prices = np.array(open_, float), np.array(close, float)
    market = kernels.Market(*prices, move, risk, returns, held_sums, Financing(*(np.empty(0),) * 3))
    terms, state, own = (fill, 0.001, 0.0002, size, is_long_only), fresh_state(), Sums(*(np.empty(0),) * 3)
    sums = kpis_beside.Sums(own.run, own.pairs, own.low, own.high, own.bars, np.zeros(13), np.zeros(8, np.int64))
    sums.trades[[kpis.BEST, kpis.WORST_TRADE, kpis.GROWTH]] = -math.inf, math.inf, 1.0
    sums.decisions[[kpis.LAST_ACTION, kpis.LAST_ALERT]] = -1
    rooms = np.empty(room, np.int8), np.empty(room, np.int8), np.empty(room, np.uint8), np.empty(room)
    space = kernels.Room(*rooms, np.empty(room, np.int8), np.empty((room + 3, 8)))
    new, at = np.zeros(1, np.int64), (market, kernels.AccountRules(*terms), state, sums)
    for first, stop in ((0, cut), (cut, n)):
        assert kernels.settle_lane(np.array(codes[:stop], np.uint8), first, *at, new, space) == max(first, stop)
    if n % BLOCK:
        kpis_beside.end_block_beside(
            own.run, returns[n // BLOCK * BLOCK :], *held_sums[-1], own.pairs, own.low, own.high
        )
    expected = oracle.settle_lane(codes, (open_, close), (move, risk), held, terms)
    assert new[0] == expected.new
    assert sums.decisions[:6].tolist() == list(expected.decisions)
    assert sums.trades[kpis.TRADES] == expected.trades.closed
    assert own.bars.tolist() == [n, expected.bars.exposed]
    # The account rounds: some ten operations a trade, and a return has what the equities on both sides lose.
    assert_allclose(own.run.path[kpis.LAST], float(expected.account.equity[-1]), rtol=1e-12)
    assert_allclose(own.lows, expected.bars.returns, rtol=0, atol=1e-13)
    assert_allclose(sums.trades[kpis.WON] - sums.trades[kpis.LOST], _profit(expected.trades), rtol=0, atol=1e-12)
    assert_allclose(own.run.moments[1:3], [float(value) for value in expected.bars.moments[0][1:3]], atol=1e-12)
    assert_allclose(own.pairs[4], float(expected.bars.pairs[4]), rtol=0, atol=1e-12)


def _profit(trades) -> float:
    return float(trades.won - trades.lost)


def test_an_account_of_infinite_worth_is_told():
    n = 5
    close, flags = np.array([1.0, 1.0, 1e300, 1e-300, 1e300]), np.zeros(n, np.uint8)
    market = kernels.Market(
        close, close, flags.view(np.int8), flags, np.zeros(n), np.zeros((2, 2)), Financing(*(np.empty(0),) * 3)
    )
    own, rooms = Sums(*(np.empty(0),) * 3), (np.empty(n, np.int8), np.empty(n, np.int8), np.empty(n, np.uint8))
    sums = kpis_beside.Sums(own.run, own.pairs, own.low, own.high, own.bars, np.zeros(13), np.zeros(8, np.int64))
    space = kernels.Room(*rooms, np.empty(n), np.empty(n, np.int8), np.empty((n + 3, 8)))
    codes = np.array([2, 2, 1, 2, 2], np.uint8)  # long from 1 to 1e300, and from 1e-300 on
    terms = kernels.AccountRules(SAME_CLOSE, 0.0, 0.0, 1.0, False)
    assert kernels.settle_lane(codes, 0, market, terms, fresh_state(), sums, np.zeros(1, np.int64), space) < 0


@given(st.lists(st.tuples(eighths(1), eighths(1)), min_size=1, max_size=30))
def test_sums_beside(pairs):
    x, y = np.array(pairs).T.copy()
    made = kpis_beside.sums_beside(x, y, x.mean(), y.mean())
    assert_rounded(made, twin.sums_beside(x.tolist(), y.tolist()), [4, 8, 16, 4], len(pairs))


@given(st.lists(eighths(1), max_size=3 * BLOCK))
def test_sum_blocks(returns):
    sums = np.zeros((-(-len(returns) // BLOCK), 2))
    kpis_beside.sum_blocks(np.array(returns), BLOCK, sums)
    for made, expected in zip(sums, twin.sum_blocks(returns, BLOCK), strict=True):
        assert_rounded(made, expected, [1, 4], BLOCK)


class Beside(Sums):
    """The same sums beside a holding whose own are known."""

    def __init__(self, equity, position, held, chunks=(10**9,)):
        super().__init__(equity[:0], position[:0], held[:0])
        returns = np.empty(held.size)
        returns = returns[: kpis.simple_returns(held, 1.0, returns)]
        sums = np.zeros((-(-held.size // BLOCK), 2))
        kpis_beside.sum_blocks(returns, BLOCK, sums)
        own = self.run, self.pairs, self.low, self.high
        for piece in pieces(equity.size, list(chunks)):
            given = equity[piece], position[piece], returns, sums
            assert kpis_beside.push_bars_beside(*given, *own, self.bars) == piece.stop - piece.start
        if equity.size % BLOCK:
            kpis_beside.end_block_beside(own[0], returns[equity.size // BLOCK * BLOCK :], *sums[-1], *own[1:])


@given(runs(), CHUNKS)
def test_push_bars_beside_a_holding_gives_the_same_bits(run, chunks):
    made, alone = Beside(*run, chunks), Sums(*run)
    for name in ("path", "moments", "signed"):
        assert_array_equal(getattr(made.run, name), getattr(alone.run, name), strict=True)
    for name in ("pairs", "bars", "lows", "highs"):
        assert_array_equal(getattr(made, name), getattr(alone, name), strict=True)
    expected = twin.push_bars_beside(*run)
    assert_moments(made.run.moments, expected.returns)
    assert made.bars[kpis.EXPOSED] == expected.exposed


@given(runs())
def test_end_block_beside(run):
    x, y = (values[:BLOCK].tolist() for values in (run[0], run[2]))
    sums, block = np.zeros((1, 2)), Sums(run[0][:0], run[1][:0], run[2][:0])
    kpis_beside.sum_blocks(np.array(y), BLOCK, sums)
    block.run.block[: len(x)], block.run.filled[0] = x, len(x)
    kpis_beside.end_block_beside(block.run, np.array(y), *sums[0], block.pairs, block.low, block.high)
    moments, signed, _ = twin.end_block_beside(x, y)
    assert block.run.moments[kpis.COUNT] == moments[0]
    assert block.run.signed[kpis.UP] == signed.up
    assert_moments(block.run.moments, x)
    assert_signed(block.run.signed, x)
    assert_pairs(block.pairs, x, y)
    assert block.low.state[tails.LIMIT] == math.inf
