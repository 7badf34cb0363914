"""The sums of `kernels.kpis` for many runs beside one holding, whose own sums are the same for all of them."""

from typing import NamedTuple

import numpy as np

from idi_fast.kernels._jit import index, kernel
from idi_fast.kernels.kpis import (
    BARS,
    Curve,
    central_sums,
    end_bars,
    merge_moments,
    merge_products,
    push_curve,
    signed_sums,
)
from idi_fast.kernels.tails import LANES, Lowest, keep_tails


class Sums(NamedTuple):
    """Those of a run, but for its holding's: `end_block_beside` says what the first four are; bars int64 (2,), trades
    float64 (13,), decisions int64 (8,) as in `kernels.kpis`."""

    run: Curve
    pairs: np.ndarray
    low: Lowest
    high: Lowest
    bars: np.ndarray
    trades: np.ndarray
    decisions: np.ndarray


@kernel
def sums_beside(x, y, mean_x, mean_y):
    """Those of `central_sums` that do not follow from y alone: of x, and of the products of both."""
    sums = np.zeros((4, LANES))
    for start in range(0, x.size, LANES):
        stop = min(x.size, start + LANES)
        part_x, part_y = x[start:stop], y[start:stop]
        for lane in range(part_x.size):
            k = index(lane)
            from_x = part_x[k] - mean_x
            square = from_x * from_x
            sums[0, k] += square
            sums[1, k] += square * from_x
            sums[2, k] += square * square
            sums[3, k] += from_x * (part_y[k] - mean_y)
    return sums[0].sum(), sums[1].sum(), sums[2].sum(), sums[3].sum()


@kernel
def end_block_beside(run, held, mean, squares, pairs, low, high):
    """Add the current block of a curve to its sums, as `end_block`, beside a holding whose sums were worked out before.

    held float64 (n,): returns of the holding at the bars of the block; mean, squares: theirs, as of `central_sums`.
    Mutates: run, pairs, low, high.
    """
    x = run.block[: run.filled[0]]
    both = min(x.size, held.size)
    if both > 0:
        y = held[:both]
        if both < held.size:  # the run came to 0 within this block
            mean = signed_sums(y, np.zeros(5))
            squares = central_sums(y, y, mean, mean)[0]
        mean_x = signed_sums(x[:both], run.signed)
        x2, x3, x4, xy = sums_beside(x[:both], y, mean_x, mean)
        merge_moments(run.moments, both, mean_x, x2, x3, x4)
        merge_products(pairs, both, mean_x, mean, squares, xy)
    rest = x[both:]
    if rest.size > 0:
        mean_x = signed_sums(rest, run.signed)
        m2, m3, m4, _ = sums_beside(rest, rest, mean_x, mean_x)
        merge_moments(run.moments, rest.size, mean_x, m2, m3, m4)
    keep_tails(x, low, high)
    run.filled[0] = 0


@kernel
def sum_blocks(returns, size, sums):
    """Mean and sum of squares of each block of returns float64 (n,). sums float64 (blocks, 2). Mutates: sums."""
    for block in range(sums.shape[0]):
        y = returns[block * size : min(returns.size, block * size + size)]
        if y.size > 0:
            sums[block, 0] = signed_sums(y, np.zeros(5))
            sums[block, 1] = central_sums(y, y, sums[block, 0], sums[block, 0])[0]


@kernel
def push_bars_beside(equity, position, held, sums, run, pairs, low, high, bars):
    """Add bars as `push_bars`, beside a holding that many runs share.

    held float64 (m,): its returns at all bars of the run, or fewer if it came to 0; sums float64 (blocks, 2): of
    `sum_blocks`. They end at most one block, for which `low` and `high` have room. Returns n, or −1 − t where
    equity[t] is no equity. Mutates: run, pairs, low, high, bars.
    """
    size, start = run.block.size, 0
    while start < equity.size:
        first = bars[BARS] // size * size
        stop = min(equity.size, start + first + size - bars[BARS])
        count = push_curve(equity[start:stop], bars[BARS], run)
        if count < 0:
            return count - start
        end_bars(position[start:stop], bars)
        if bars[BARS] == first + size:
            block = first // size
            end_block_beside(run, held[first : first + size], sums[block, 0], sums[block, 1], pairs, low, high)
        start = stop
    return start
