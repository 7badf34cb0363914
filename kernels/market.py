"""From bars to tape rows: returns in units of volatility, regimes, bucket codes, rewards by position."""

import math

import numpy as np

from idi_fast.kernels._jit import index, kernel

MANY_EDGES = 256
"""Bucket edges from which on bisection is faster than counting."""


NEAR = 2.0**-6
"""Log return up to which the series of eˣ − 1 is broken off behind x⁷: the rest is below 2⁻⁵⁶ of the sum."""


@kernel(inline=True)
def _near_return(x):
    """eˣ − 1 for |x| up to NEAR, within a unit in the last place; without a call, so that loops are vectorised."""
    rest = 1.0 / 120.0 + x * (1.0 / 720.0 + x * (1.0 / 5040.0))
    return x + x * x * (1.0 / 2.0 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * rest)))


@kernel
def simple_returns(log_from, log_to, out):
    """Simple returns between log prices, all float64 (n,). Mutates: out."""
    far = 0
    for t in range(out.size):
        change = log_to[t] - log_from[t]
        out[t] = _near_return(change)
        far += not abs(change) <= NEAR
    # Their places first: a branch on how far a price moves cannot be predicted, and took as long as the calls.
    places, count = np.empty(far + 1, np.int64), 0
    for t in range(out.size if far else 0):
        places[index(count)] = t
        count += not abs(log_to[t] - log_from[t]) <= NEAR
    for k in range(count):
        t = index(places[index(k)])
        out[t] = math.expm1(log_to[t] - log_from[t])


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
    n = log_close.size
    if n == 0:
        return
    # Loops of few arrays each, so that they become vectors.
    scale = cost  # until the last loop
    scale[0] = max(carry[1], floor)
    for t in range(1, n):
        scale[t] = max(volatility[t - 1], floor)
    difference = log_close[0] - carry[0]
    move[0], risk[0] = np.int8(difference > 0.0) - np.int8(difference < 0.0), abs(difference) > 2.5 * scale[0]
    for t in range(1, n):
        difference = log_close[t] - log_close[t - 1]
        move[t] = np.int8(difference > 0.0) - np.int8(difference < 0.0)
        risk[t] = abs(difference) > 2.5 * scale[t]
    if log_fill.size:
        simple_returns(carry[:1], log_fill[:1], gap[:1])
        simple_returns(log_close[: n - 1], log_fill[1:], gap[1:])
        simple_returns(log_fill, log_close, change)
        for t in range(n):
            gap[t] /= scale[t]
    else:
        simple_returns(carry[:1], log_close[:1], change[:1])
        simple_returns(log_close[: n - 1], log_close[1:], change[1:])
        for t in range(n):
            gap[t] = 0.0
    for t in range(n):
        change[t] /= scale[t]
        cost[t] = fee_rate / scale[t]
    if math.isnan(carry[0]):
        gap[0], change[0], cost[0], move[0], risk[0] = 0.0, 0.0, 0.0, 0, 0
    carry[0], carry[1] = log_close[n - 1], volatility[n - 1]


@kernel
def in_units(unit, gap, change, cost):
    """Measure bars by a fixed unit instead of their own volatility.

    unit float64: log return per bar; cost float64 (n,) comes with 1 / volatility, 0 on the first bar of all, and
    becomes 1 / unit; gap, change float64 (n,): as in `bar_returns`. Mutates: gap, change, cost.
    """
    for t in range(cost.size):
        if cost[t] > 0.0:
            scale = cost[t] * unit
            gap[t], change[t], cost[t] = gap[t] / scale, change[t] / scale, 1.0 / unit


@kernel
def charge_held(long, short, fee_rate, is_new, gap, change, cost, hold):
    """Take what a position held at the last close pays for the time up to a bar's own from what it earns.

    long, short float64 (n,): paid by a long and by a short, per unit of notional, negative if received; is_new: 1 if
    such a position is a bar's new one, filled at the last close, 0 if it is the old one. cost float64 (n,) comes with
    1 / volatility, 0 on the first bar of all, and becomes that of changing a position; gap, change float64 (n,): as in
    `bar_returns`; hold float64 (n, 2): what the old and the new position pay whatever their side.
    Mutates: gap, change, cost, hold.
    """
    earned = change if is_new else gap
    for t in range(cost.size):
        per_unit = cost[t]
        # A charge on either side is one of any position, and one with a sign, which changes what is earned.
        earned[t] -= 0.5 * (long[t] - short[t]) * per_unit
        hold[t, 0], hold[t, 1] = 0.0, 0.0
        hold[t, is_new] = 0.5 * (long[t] + short[t]) * per_unit
        cost[t] = fee_rate * per_unit


@kernel
def charge_rows(hold, chosen, weight, reward_by_position):
    """Take what positions pay for being held from the rewards of rows.

    hold float64 (m, 2): of m bars, see `charge_held`; chosen int64 (n,): of which bar each row is; weight: that of PnL;
    reward_by_position float64 (n, 9): as in `market_rows`. Mutates: reward_by_position.
    """
    rewards = reward_by_position.reshape(-1)
    for t in range(chosen.size):
        old, new = weight * hold[index(chosen[t]), 0], weight * hold[index(chosen[t]), 1]
        for before in range(3):
            for after in range(3):
                rewards[index(t * 9 + before * 3 + after)] -= abs(before - 1) * old + abs(after - 1) * new


@kernel(inline=True)
def market_reward(before, after, gap, change, cost, scarcity, weights):
    """The reward before the mood term of one row, of an old and a new position 0, 1 or 2: see `market_rows`."""
    pnl = (before - 1) * gap + (after - 1) * change - abs(after - before) * cost
    ethics = weights[2] if after >= 1 else -weights[2]
    return pnl * weights[0] + scarcity * weights[1] + ethics


@kernel(inline=True)
def _market_row(gap, change, cost, scarcity, weights, rewards, first):
    """Write `market_reward` of each old and new position of one row, row-major, from place `first` on."""
    # Of pnl = (before − 1) gap + (after − 1) change − |after − before| cost only what neither is 0 nor was worked out:
    # additions are what a row takes time for, 25 of them instead of 45.
    pnl, aligned, ethics = weights[0], scarcity * weights[1], weights[2]
    both, against, twice = (gap + change) * pnl, change - gap, cost + cost
    rewards[index(first)] = (aligned - both) - ethics
    rewards[index(first + 1)] = ((-gap - cost) * pnl + aligned) + ethics
    rewards[index(first + 2)] = ((against - twice) * pnl + aligned) + ethics
    rewards[index(first + 3)] = ((-change - cost) * pnl + aligned) - ethics
    rewards[index(first + 4)] = aligned + ethics
    rewards[index(first + 5)] = ((change - cost) * pnl + aligned) + ethics
    rewards[index(first + 6)] = ((-against - twice) * pnl + aligned) - ethics
    rewards[index(first + 7)] = ((gap - cost) * pnl + aligned) + ethics
    rewards[index(first + 8)] = (both + aligned) + ethics


@kernel
def market_rows(gap, change, cost, scarcity, weights, reward_by_position):
    """The reward before the mood term for each pair of old and new position.

    scarcity float64 (n,): change of the scarcity bucket as a share of its range; weights float64 (3,): pnl, scarcity
    alignment, ethics. reward_by_position float64 (n, 9): old and new position, row-major, each −1, 0, 1.
    Mutates: reward_by_position.
    """
    rewards = reward_by_position.reshape(-1)
    for t in range(gap.size):
        at = index(t)
        _market_row(gap[at], change[at], cost[at], scarcity[at], weights, rewards, t * 9)


@kernel
def chosen_rows(bars, chosen, weights, reward_by_position, observation, alert):
    """The tape of chosen bars: `market_rows`, and what an agent observes.

    bars: `idi_fast.environments.features.Bars` of m bars; chosen int64 (n,), of which bar each row is; observation
    int32, alert uint8 (n,), whether the bar is a risk event. Mutates: reward_by_position, observation, alert.
    """
    # Without arrays of the chosen bars between: a third of the time.
    rewards = reward_by_position.reshape(-1)
    for t in range(chosen.size):
        bar = index(chosen[t])
        observation[t], alert[t] = bars.observation[bar], bars.risk[bar]
        _market_row(bars.gap[bar], bars.change[bar], bars.cost[bar], bars.scarcity[bar], weights, rewards, t * 9)


@kernel
def regimes(volatility, trend, edges, regime):
    """Regime of each bar from its features: panic 3 above the volatility edge, else bull 0, bear 1 or chop 2 by trend.

    edges float64 (3,): volatility of a panic, trend of a bear (at or below), trend of a bull (at or above); fitted on
    the training data. regime uint8 (n,). Mutates: regime.
    """
    panic, bear, bull = edges[0], edges[1], edges[2]
    for t in range(regime.size):
        calm = 0 if trend[t] >= bull else (1 if trend[t] <= bear else 2)
        regime[t] = 3 if volatility[t] > panic else calm


@kernel
def quantize(values, edges, bucket):
    """Bucket of each value: how many edges lie at or below it. bucket int32 (n,). Mutates: bucket."""
    if edges.size > MANY_EDGES:
        for t in range(values.size):
            low, high = 0, edges.size
            while low < high:
                middle = (low + high) // 2
                if edges[middle] <= values[t]:
                    low = middle + 1
                else:
                    high = middle
            bucket[t] = low
        return
    # An edge takes less than 0.1 ns a value, for nothing depends on the data: bisection is mispredicted, 4 ns a level.
    odd = edges.size % 4
    for t in range(values.size):
        bucket[t] = 0
    for k in range(odd):
        edge = edges[k]
        for t in range(values.size):
            bucket[t] += edge <= values[t]
    for k in range(odd, edges.size, 4):
        first, second, third, fourth = edges[k], edges[k + 1], edges[k + 2], edges[k + 3]
        for t in range(values.size):
            value = values[t]
            bucket[t] += (
                np.int32(first <= value)
                + np.int32(second <= value)
                + np.int32(third <= value)
                + np.int32(fourth <= value)
            )


@kernel
def bucket_changes(bucket, size, last, out):
    """Change of the bucket from bar to bar as a share of its range; 0 on the first bar. last int64 (1,): the bucket
    before the first, −1 where there is none. out float64 (n,). Mutates: last, out."""
    for t in range(bucket.size):
        before = last[0] if t == 0 else bucket[t - 1]
        out[t] = (bucket[t] - before) / max(1, size - 1) if before >= 0 else 0.0
    if bucket.size:
        last[0] = bucket[bucket.size - 1]


@kernel
def mixed_radix(digits, sizes, code):
    """Index of each column of digits int32 (k, n), the first digit most significant. code int32 (n,). Mutates: code."""
    for k in range(sizes.size):
        for t in range(code.size):
            code[t] = digits[k, t] + (code[t] * sizes[k] if k > 0 else 0)
