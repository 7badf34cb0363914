"""Lanes against policies followed one by one, and their sums against those of runs with a holding of their own."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, eighths, pieces
from numpy.testing import assert_array_equal
from test_kernels_kpis import BLOCK, Sums, assert_moments, assert_pairs, assert_rounded, assert_signed, new_lowest, runs

from idi_fast.kernels import kpis, kpis_beside
from idi_fast.kernels import lanes as kernels
from idi_fast.kernels.learn import POSITION, Rules
from idi_fast.kernels.rollout import BEFORE
from oracle import kpis_beside as twin
from oracle import lanes as oracle

OBSERVATIONS, POSITIONS = 5, 3
BARS = st.builds(oracle.Bar, st.integers(0, OBSERVATIONS - 1), eighths(4), eighths(4), eighths(1), eighths(1))


@given(
    st.lists(BARS, max_size=40),
    st.integers(1, 4),
    st.sampled_from([4, 8]),
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
    agents, sums = np.zeros((lanes, 4), np.int64), np.zeros(lanes)
    agents[:, [POSITION, BEFORE]] = position + 1
    codes = np.zeros((lanes, len(bars)), np.uint8)
    room = np.empty(9 * kernels.BLOCK), np.empty(kernels.BLOCK, np.int64)
    columns = np.array(bars, float).reshape(-1, 5).T
    observation = columns[0].astype(np.int32)
    for piece in pieces(len(bars), chunks):
        earning = [np.ascontiguousarray(column[piece]) for column in columns[1:]]
        lanes_of = tables.astype(np.uint8), agents, sums
        kernels.rollout_lanes(observation[piece], *earning, weights, rules, *lanes_of, *room, codes[:, piece])
    said, totals = oracle.rollout_lanes(bars, tables.tolist(), weights, (moods, POSITIONS), clarity, position)
    assert_array_equal(codes, np.array(said).reshape(codes.shape))
    assert_array_equal(sums, totals)


@given(st.lists(st.builds(lambda position, rest: position + 4 * rest, st.integers(0, 2), st.integers(0, 15))))
def test_read_codes(codes):
    n = len(codes)
    target, action, alert = np.empty(n, np.int8), np.empty(n, np.int8), np.empty(n, np.uint8)
    new = kernels.read_codes(np.array(codes, np.uint8), target, action, alert)
    assert (target.tolist(), action.tolist(), alert.tolist(), new) == oracle.read_codes(codes)


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


@given(st.lists(eighths(2), max_size=30), eighths(2), eighths(2))
def test_keep_tails(values, below, above):
    low, high = new_lowest(len(values) + 1, below), new_lowest(len(values) + 1, above)
    kpis_beside.keep_tails(np.array(values, float), low, high)
    made = tuple(tail.values[: int(tail.state[kpis.KEPT])].tolist() for tail in (low, high))
    assert made == twin.keep_tails(values, below, above)


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
            start = piece.start
            while start < piece.stop:
                part = slice(start, piece.stop)
                done = kpis_beside.push_bars_beside(equity[part], position[part], returns, sums, *own, self.bars)
                assert done > 0
                start += done
                self.empty()
        if equity.size % BLOCK:
            kpis_beside.end_block_beside(own[0], returns[equity.size // BLOCK * BLOCK :], *sums[-1], *own[1:])
        self.empty()


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
    assert block.low.state[kpis.LIMIT] == math.inf
