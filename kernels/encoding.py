"""From market columns to bars as an agent sees them: features, their buckets, and what a position earns."""

from typing import NamedTuple

import numpy as np

from idi_fast.kernels._jit import kernel
from idi_fast.kernels.features import push_features
from idi_fast.kernels.market import bar_returns, bucket_changes, mixed_radix, quantize, regimes


class Encoding(NamedTuple):
    """How features are read, and what bars are measured by.

    edges: float64 arrays of inner bucket edges, all of one layout, for each of the four features, which come first
    among the rows of features, before the volatility that bars are measured in and the regime's trend; sizes int64
    (4,): their buckets; regime_edges float64 (3,); typical float64: the volatility taken at least for the first
    `window` bars, and a tenth of it for all others; fee_rate float64.
    """

    edges: tuple[np.ndarray, ...]
    sizes: np.ndarray
    regime_edges: np.ndarray
    typical: float
    window: int
    fee_rate: float


class Carry(NamedTuple):
    """What goes from bar to bar: bar float64 (2,) and scarcity int64 (1,) as in `bar_returns` and `bucket_changes`,
    seen int64 (1,) bars so far."""

    bar: np.ndarray
    scarcity: np.ndarray
    seen: np.ndarray


@kernel
def encode_bars(columns, log_close, log_fill, features, encoding, carry, values, buckets, bars):
    """The next bars, a block at a time, so that what lies between columns and bars stays in the second-level cache.

    columns: the six of `push_features`, float64 (n,); log_close float64 (n,); log_fill float64 (n,), or empty for the
    last close; values float64 (6 m,), buckets int32 (4 m,): room for blocks of m bars; bars: arrays (n,), see
    `idi_fast.environments.features.Bars`. One call, since between calls a thread waits for the interpreter's lock.
    Mutates: features, carry, values, buckets, bars.
    """
    n, block, same = log_close.size, values.size // 6, features.same
    for start in range(0, n, block):
        stop = min(n, start + block)
        size = stop - start
        matrix, digits = values[: 6 * size].reshape(6, size), buckets[: 4 * size].reshape(4, size)
        push_features(columns, start, features, matrix)
        for k in range(4):
            quantize(matrix[same[k]], encoding.edges[k], digits[k])
        bucket_changes(digits[3], encoding.sizes[3], carry.scarcity, bars.scarcity[start:stop])
        mixed_radix(digits, encoding.sizes, bars.observation[start:stop])
        volatility = matrix[same[4]]
        regimes(volatility, matrix[same[5]], encoding.regime_edges, bars.regime[start:stop])
        # A quiet stretch must not blow rewards up, and the first bars have no volatility of their own yet. This changes
        # what features and regimes may be made of, so it comes after them.
        for t in range(min(size, max(0, encoding.window - carry.seen[0]))):
            volatility[t] = max(volatility[t], encoding.typical)
        carry.seen[0] += size
        bar_returns(
            log_close[start:stop],
            log_fill[start:stop],
            volatility,
            0.1 * encoding.typical,
            encoding.fee_rate,
            carry.bar,
            bars.gap[start:stop],
            bars.change[start:stop],
            bars.cost[start:stop],
            bars.move[start:stop],
            bars.risk[start:stop],
        )
