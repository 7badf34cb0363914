"""From bars to tape rows: returns in units of volatility, regimes, bucket codes, rewards by position."""

import math

import numpy as np

from idi_fast.kernels._jit import kernel


@kernel
def bar_returns(log_close, log_fill, volatility, floor, fee_rate, carry, gap, change, cost, move, risk):
    """What each bar earns per unit of position, in units of the volatility known before it.

    The position held into bar t earns `gap` from the last close to the fill, the one chosen on bar t − 1 earns
    `change` from the fill to the close; changing it costs `cost` per unit of exposure traded. `log_fill` may be
    empty: the fill is the last close. volatility float64 (n,), as log return per bar, is never taken below `floor`.
    carry float64 (2,): log close and volatility of the bar before the first, NaN where there is none (that first
    bar earns nothing). move int8 (n,): sign of the close's change; risk uint8 (n,): a move beyond 2.5 volatilities.
    Mutates: carry, gap, change, cost, move, risk.
    """
    last_close, last_volatility = carry[0], carry[1]
    for t in range(log_close.size):
        if math.isnan(last_close):
            gap[t], change[t], cost[t], move[t], risk[t] = 0.0, 0.0, 0.0, 0, 0
        else:
            fill = log_fill[t] if log_fill.size else last_close
            scale = max(last_volatility, floor)
            gap[t] = math.expm1(fill - last_close) / scale
            change[t] = math.expm1(log_close[t] - fill) / scale
            cost[t] = fee_rate / scale
            difference = log_close[t] - last_close
            move[t] = np.int8(difference > 0.0) - np.int8(difference < 0.0)
            risk[t] = abs(difference) > 2.5 * scale
        last_close, last_volatility = log_close[t], volatility[t]
    carry[0], carry[1] = last_close, last_volatility


@kernel
def market_rows(gap, change, cost, scarcity, weights, base):
    """The reward before the mood term for each pair of old and new position.

    scarcity float64 (n,): change of the scarcity bucket as a share of its range; weights float64 (3,): pnl, scarcity
    alignment, ethics. base float64 (n, 9): old and new position, row-major, each −1, 0, 1. Mutates: base.
    """
    w_pnl, w_scarcity, ethics = weights[0], weights[1], weights[2]
    for t in range(gap.size):
        for before in range(3):
            for after in range(3):
                pnl = (before - 1) * gap[t] + (after - 1) * change[t] - abs(after - before) * cost[t]
                base[t, before * 3 + after] = (
                    pnl * w_pnl + scarcity[t] * w_scarcity + (ethics if after >= 1 else -ethics)
                )


@kernel
def regimes(volatility, trend, edges, regime):
    """Regime of each bar from its features: panic 3 above the volatility edge, else bull 0, bear 1 or chop 2 by trend.

    edges float64 (3,): volatility of a panic, trend of a bear (at or below), trend of a bull (at or above); fitted on
    the training data. regime uint8 (n,). Mutates: regime.
    """
    for t in range(regime.size):
        if volatility[t] > edges[0]:
            regime[t] = 3
        elif trend[t] >= edges[2]:
            regime[t] = 0
        elif trend[t] <= edges[1]:
            regime[t] = 1
        else:
            regime[t] = 2


@kernel
def quantize(values, edges, bucket):
    """Bucket of each value: how many edges lie at or below it. bucket int32 (n,). Mutates: bucket."""
    # Counting a few edges is branch-free and beats bisection, which is mispredicted; many are bisected.
    for t in range(values.size):
        low, high = 0, edges.size
        while high - low > 32:
            middle = (low + high) // 2
            if edges[middle] <= values[t]:
                low = middle + 1
            else:
                high = middle
        count = low
        for k in range(low, high):
            count += edges[k] <= values[t]
        bucket[t] = count


@kernel
def bucket_changes(bucket, size, last, out):
    """Change of the bucket from bar to bar as a share of its range; 0 on the first bar. last int64 (1,): the bucket
    before the first, −1 where there is none. out float64 (n,). Mutates: last, out."""
    before = last[0]
    for t in range(bucket.size):
        out[t] = (bucket[t] - before) / max(1, size - 1) if before >= 0 else 0.0
        before = bucket[t]
    last[0] = before


@kernel
def mixed_radix(digits, sizes, code):
    """Index of each column of digits int32 (k, n), the first digit most significant. code int32 (n,). Mutates: code."""
    for t in range(code.size):
        value = 0
        for k in range(sizes.size):
            value = value * sizes[k] + digits[k, t]
        code[t] = value
