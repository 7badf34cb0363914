"""Bars made a block at a time against the same by definition."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, eighths, pieces
from numpy.testing import assert_allclose, assert_array_equal

from idi_fast.environments.features import Bars
from idi_fast.kernels import encoding as kernels
from idi_fast.kernels.features import TRANSFORMS, Features
from oracle import encoding as oracle

# Transforms whose results are exact, so that no value lies on the wrong side of an edge by rounding.
EXACT = st.tuples(st.sampled_from(["log_return", "drawdown", "level"]), st.integers(1, 12))
EDGES = st.lists(eighths(), max_size=5, unique=True).map(sorted)


@given(
    series=st.lists(st.tuples(*[eighths()] * 6, st.floats(-0.2, 0.2)), min_size=1, max_size=60),
    transforms=st.tuples(*[EXACT] * 6),
    edges=st.tuples(*[EDGES] * 4),
    regime_edges=st.tuples(*[eighths()] * 3),
    typical=st.floats(1e-3, 2.0),
    window=st.integers(0, 40),
    fills=st.booleans(),
    block=st.integers(1, 70),
    chunks=CHUNKS,
)
def test_encode_bars(series, transforms, edges, regime_edges, typical, window, fills, block, chunks):
    columns, log_close = np.array(series)[:, :6].T.copy(), np.array(series)[:, 0] / 50
    log_fill = log_close + np.array(series)[:, 6] if fills else np.empty(0)
    n, fee_rate = len(series), 5e-4
    features = Features(
        kinds=np.array([TRANSFORMS.index(name) for name, _ in transforms]),
        same=np.arange(6),
        rings=tuple(np.zeros(window) for _, window in transforms),
        moments=tuple(np.zeros(4) for _ in range(6)),
        seen=tuple(np.zeros(1, np.int64) for _ in range(6)),
    )
    sizes = np.array([len(inner) + 1 for inner in edges])
    encoding = kernels.Encoding(
        tuple(np.array(inner, np.float64) for inner in edges), sizes, np.array(regime_edges), typical, window, fee_rate
    )
    carry = kernels.Carry(np.full(2, np.nan), np.full(1, -1), np.zeros(1, np.int64))
    bars = Bars(
        np.full(n, -1, np.int32),
        np.full(n, 9, np.uint8),
        *np.full((4, n), np.nan),
        np.full(n, 9, np.int8),
        np.full(n, 9, np.uint8),
    )
    for piece in pieces(n, chunks):
        kernels.encode_bars(
            tuple(values[piece].copy() for values in columns),
            log_close[piece].copy(),
            log_fill[piece].copy(),
            features,
            encoding,
            carry,
            np.empty(6 * block),
            np.empty(4 * block, np.int32),
            Bars(*(array[piece] for array in bars)),
        )
    rows = [(name, values.tolist(), window) for (name, window), values in zip(transforms, columns, strict=True)]
    expected = oracle.encode_bars(rows, log_close, log_fill, edges, regime_edges, typical, window, fee_rate)
    assert_array_equal(bars.observation, expected.observation)
    assert_array_equal(bars.regime, expected.regime)
    assert_array_equal(bars.scarcity, expected.scarcity)
    returns = np.array(expected.returns, np.float64).T
    # As of `bar_returns` alone, and a rounding of a tenth of the typical volatility.
    for name, values in zip(("gap", "change", "cost"), returns, strict=False):
        assert_allclose(getattr(bars, name), values, rtol=2e-15, atol=1e-30)
    assert_array_equal(bars.move, returns[3])
    assert_array_equal(bars.risk, returns[4])
