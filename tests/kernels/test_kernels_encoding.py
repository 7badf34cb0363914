"""Bars made a block at a time against the same by definition."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, eighths, pieces
from numpy.testing import assert_allclose, assert_array_equal

from idi_fast.environments.features import Bars
from idi_fast.kernels import encoding as kernels
from idi_fast.kernels.features import LEVEL, Windows
from oracle import encoding as oracle

EDGES = st.lists(eighths(), max_size=5, unique=True).map(sorted)


@st.composite
def features(draw):
    """Edges of 1 to 7 features, which row each stands in, and which of them is the scarcity."""
    edges = draw(st.lists(EDGES, min_size=1, max_size=7))
    rows = draw(st.lists(st.integers(0, 7), min_size=len(edges) + 2, max_size=len(edges) + 2))
    return edges, rows, draw(st.none() | st.integers(0, len(edges) - 1))


@given(
    series=st.lists(st.tuples(*[eighths()] * 9, st.floats(-0.2, 0.2)), min_size=1, max_size=60),
    features=features(),
    regime_edges=st.tuples(*[eighths()] * 3),
    typical=st.floats(1e-3, 2.0),
    window=st.integers(0, 40),
    fills=st.booleans(),
    by_kernel=st.just([True] * 8) | st.lists(st.booleans(), min_size=8, max_size=8),
    chunks=CHUNKS,
)
def test_encode_bars(series, features, regime_edges, typical, window, fills, by_kernel, chunks):
    (edges, rows, scarcity), numbers = features, np.array(series).T.copy()
    given, log_close = numbers[:8], numbers[8] / 50
    log_fill = log_close + numbers[9] if fills else np.empty(0)
    n, fee_rate = len(series), 5e-4
    encoding = kernels.Encoding(
        n_rows=8,
        rows=np.array(rows),
        edges=np.array([edge for inner in edges for edge in inner], np.float64),
        first_edge=np.cumsum([0, *map(len, edges)]),
        sizes=np.array([len(inner) + 1 for inner in edges]),
        scarcity=-1 if scarcity is None else scarcity,
        regime_edges=np.array(regime_edges),
        typical=typical,
        window=window,
        fee_rate=fee_rate,
    )
    carry = kernels.Carry(np.full(2, np.nan), np.full(1, -1), np.zeros(1, np.int64))
    bars = Bars(
        np.full(n, -1, np.int32),
        np.full(n, 9, np.uint8),
        *np.full((4, n), np.nan),
        np.full(n, 9, np.int8),
        np.full(n, 9, np.uint8),
    )
    # Some of the rows are computed by the kernel, which takes levels as they are; others are there beforehand.
    kinds = np.where(by_kernel, LEVEL, -1)
    windows = Windows(kinds, np.arange(8), np.zeros(0), np.zeros(9, np.int64), np.zeros((8, 4)), np.zeros((8, 1), int))
    block = 7 if all(by_kernel) else n
    room, values = np.empty(len(edges) * block, np.int32), np.empty(8 * block)
    for piece in pieces(n, chunks):
        size = len(log_close[piece])
        if not all(by_kernel):
            values[: 8 * size] = np.where(np.array(by_kernel)[:, np.newaxis], np.nan, given[:, piece]).reshape(-1)
        stop = piece.start + size
        columns = tuple(given)
        own = encoding, carry, room, bars
        kernels.encode_bars(columns, windows, values, piece.start, stop, log_close, log_fill, *own)
    wanted = [given[row].tolist() for row in rows]
    expected = oracle.encode_bars(wanted, log_close, log_fill, edges, scarcity, regime_edges, typical, window, fee_rate)
    assert_array_equal(bars.observation, expected.observation)
    assert_array_equal(bars.regime, expected.regime)
    assert_array_equal(bars.scarcity, expected.scarcity)
    returns = np.array(expected.returns, np.float64).T
    # As of `bar_returns` alone, and a rounding of a tenth of the typical volatility.
    for name, values in zip(("gap", "change", "cost"), returns, strict=False):
        assert_allclose(getattr(bars, name), values, rtol=2e-15, atol=1e-30)
    assert_array_equal(bars.move, returns[3])
    assert_array_equal(bars.risk, returns[4])
