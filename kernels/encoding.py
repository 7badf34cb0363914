"""From features to bars as an agent sees them: buckets, regimes, and what a position earns."""

from typing import NamedTuple

import numpy as np

from idi_fast.kernels._jit import kernel
from idi_fast.kernels.features import push_series
from idi_fast.kernels.market import bar_returns, bucket_changes, mixed_radix, quantize, regimes


class Encoding(NamedTuple):
    """How features are read, and what bars are measured by, for k features.

    n_rows int64: series that are computed; rows int64 (k + 2,): which of them is that of each feature, then the
    volatility that bars are measured in and the regime's trend; edges float64: the inner bucket edges of all features,
    one behind the other, and first_edge int64 (k + 1,): where those of each begin, and their number; sizes int64 (k,):
    their buckets; scarcity int64: the feature whose changes are rewarded, −1 for none; regime_edges float64 (3,);
    typical float64: the volatility taken at least for the first `window` bars, and a tenth of it for all others;
    fee_rate float64.
    """

    n_rows: int
    rows: np.ndarray
    edges: np.ndarray
    first_edge: np.ndarray
    sizes: np.ndarray
    scarcity: int
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
def encode_bars(columns, windows, values, start, stop, log_close, log_fill, encoding, carry, buckets, bars):
    """The bars [start, stop), a block at a time, so that what lies between columns and bars stays in the second-level
    cache.

    columns, windows: as of `push_series`; values float64 (rows · m,): room for blocks of m bars, rows int64 being
    encoding.n_rows; of a single block the first rows · (stop − start) hold what is computed elsewhere, by rows.
    log_close float64 (n,); log_fill float64 (n,), or empty for the last close; buckets int32 (k · m,): room; bars:
    arrays (n,), see `idi_fast.environments.features.Bars`. One call, since between calls a thread waits for the
    interpreter's lock. Mutates: windows, values, carry, buckets, bars.
    """
    n_rows, k = encoding.n_rows, encoding.sizes.size
    block = values.size // n_rows
    for first in range(start, stop, block):
        size = min(block, stop - first)
        matrix, digits = values[: n_rows * size].reshape(n_rows, size), buckets[: k * size].reshape(k, size)
        push_series(columns, first, windows, matrix)
        _encode_block(matrix, first, log_close, log_fill, encoding, carry, digits, bars)


@kernel(splice=True)
def _encode_block(values, start, log_close, log_fill, encoding, carry, digits, bars):
    """The bars from number `start` on, of values float64 (rows, m) and with room digits int32 (k, m).
    Mutates: values, carry, digits, bars."""
    size, k = values.shape[1], encoding.sizes.size
    stop = start + size
    for feature in range(k):
        edges = encoding.edges[encoding.first_edge[feature] : encoding.first_edge[feature + 1]]
        quantize(values[encoding.rows[feature]], edges, digits[feature])
    if encoding.scarcity >= 0:
        of_scarcity = digits[encoding.scarcity]
        bucket_changes(of_scarcity, encoding.sizes[encoding.scarcity], carry.scarcity, bars.scarcity[start:stop])
    else:
        for t in range(start, stop):
            bars.scarcity[t] = 0.0
    mixed_radix(digits, encoding.sizes, bars.observation[start:stop])
    volatility = values[encoding.rows[k]]
    regimes(volatility, values[encoding.rows[k + 1]], encoding.regime_edges, bars.regime[start:stop])
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
