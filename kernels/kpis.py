"""The sums that the KPIs of a backtest are made of, carried from one segment of bars to the next.

Returns are summed block by block, in two passes over each, and the moments of the blocks are merged (Pébay 2008). A
block ends at the same bars whatever segments these come in, so the sums are the same to the last bit, and their
rounding hardly grows with the length of the series.
"""

import math
from typing import NamedTuple

import numpy as np

from idi_fast.kernels._jit import index, kernel
from idi_fast.kernels.tails import LANES, is_full, keep_tails

COUNT, MEAN, M2, M3, M4 = range(5)
"""Moments: how many values, their mean, sums of the powers 2 to 4 of their differences from it."""

MEAN_X, MEAN_Y, SQUARES, PRODUCTS = range(1, 5)
"""Pairs of values, after their COUNT: both means, sums of the squares of y − mean and of its products with x − mean."""

GAINS, LOSSES, DOWNSIDE, UP, DOWN = range(5)
"""Sums of the values above 0, of those below, as a positive number, and of the squares of the latter; how many are
above and below."""

LAST, PEAK, PEAK_BAR, LOW, WORST, WORST_BARS, LONGEST = range(7)
"""An equity so far: the last, the highest, the last bar at that, the lowest since; of the drawdowns that are over, the
depth of the deepest, its length and that of the longest, in bars."""

BARS, EXPOSED = range(2)
"""Bars so far, and those that closed with a position."""

TRADES, WINNERS, LOSERS, WON, LOST, BEST, WORST_TRADE, GROWTH, EXPONENT, HELD, LONGEST_HELD, WON_REST, LOST_REST = (
    range(13)
)
"""Closed trades: how many, with a profit and with a loss; sums of the profits and of the losses; the highest and lowest
profit; the product of 1 + profit, which is GROWTH · 2^EXPONENT; bars held in all and at most; what rounding took from
both sums."""

ACTIONS, MOVES, HITS, ALERTS, RISKS, WARNINGS, LAST_ACTION, LAST_ALERT = range(8)
"""Decisions that a bar followed: buys and sells, bars that moved, and those of the right side; alerts, risk events, and
alerts before one; the action and alert that still wait for their bar, −1 where there was no decision yet."""


class Curve(NamedTuple):
    """What is kept of an equity: path float64 (7,), moments and signed float64 (5,) of its returns up to the current
    block, block float64 (n,) its returns in this, filled int64 (1,) their number."""

    path: np.ndarray
    moments: np.ndarray
    signed: np.ndarray
    block: np.ndarray
    filled: np.ndarray


@kernel
def simple_returns(equity, before, out):
    """Return of each bar on the equity before it, up to the bar at which that comes to 0, where it must stay.

    equity float64 (n,) at each close; before float64: at the close before them; out float64 (n or more,). Returns how
    many returns there are, or −1 − t where equity[t] is not finite, below 0, or above it after a 0. Mutates: out.
    """
    count, alive = 0, before > 0.0
    for t in range(equity.size):
        count += (equity[t] > 0.0) & (equity[t] < np.inf)
    if count < equity.size or not alive:  # seldom: the loop above is a vector one, this is not
        count = 0
        for t in range(equity.size):
            if not (0.0 <= equity[t] < np.inf) or (equity[t] > 0.0 and not alive):
                return -1 - t
            count += alive
            alive = equity[t] > 0.0
    if count > 0:
        out[0] = equity[0] / before - 1.0
    for t in range(1, count):
        out[t] = equity[t] / equity[t - 1] - 1.0
    return count


@kernel
def drawdowns(equity, first_bar, path):
    """Follow an equity float64 (n,), whose first value is that of bar `first_bar`. Mutates: path.

    A drawdown begins at the last bar at the peak and ends at the first that is not below it. Its depth is worked out
    there, once: the peak has not changed within it.
    """
    peak, peak_bar, low = path[PEAK], path[PEAK_BAR], path[LOW]
    lows, is_low_known = np.empty(LANES), True
    for start in range(0, equity.size, LANES):
        part, reached = equity[start : min(equity.size, start + LANES)], 0
        for lane in range(part.size):
            reached += part[index(lane)] >= peak
        if reached == 0 and part.size == LANES:
            # Most bars are of this kind: what is lowest is asked for once, when the drawdown ends.
            for lane in range(part.size):
                k = index(lane)
                lows[k] = part[k] if is_low_known else min(lows[k], part[k])
            is_low_known = False
            continue
        if not is_low_known:
            low, is_low_known = min(low, _lowest(lows)), True
        for lane in range(part.size):
            if part[lane] < peak:
                low = min(low, part[lane])
            else:
                bar = float(first_bar + start + lane)
                if low < peak:
                    depth = low / peak - 1.0
                    if depth < path[WORST]:
                        path[WORST], path[WORST_BARS] = depth, bar - peak_bar
                    path[LONGEST] = max(path[LONGEST], bar - peak_bar)
                peak, peak_bar, low = part[lane], bar, part[lane]
    if not is_low_known:
        low = min(low, _lowest(lows))
    path[PEAK], path[PEAK_BAR], path[LOW] = peak, peak_bar, low
    if equity.size > 0:
        path[LAST] = equity[equity.size - 1]


@kernel(inline=True)
def _lowest(values):
    lowest = values[0]
    for k in range(1, values.size):
        lowest = min(lowest, values[k])
    return lowest


@kernel
def signed_sums(values, signed):
    """Add values float64 (n,), n above 0, to sums by their sign; return their mean. Mutates: signed."""
    up, down, first, sums = 0, 0, values[0], np.zeros((4, LANES))
    for start in range(0, values.size, LANES):
        part = values[start : min(values.size, start + LANES)]
        for lane in range(part.size):
            k = index(lane)
            gain = max(part[k], 0.0)
            loss = gain - part[k]
            sums[0, k] += gain
            sums[1, k] += loss
            sums[2, k] += loss * loss
            sums[3, k] += part[k] - first  # so that the mean of equal values is exactly these
    for t in range(values.size):
        up += values[t] > 0.0
        down += values[t] < 0.0
    signed[GAINS] += sums[0].sum()
    signed[LOSSES] += sums[1].sum()
    signed[DOWNSIDE] += sums[2].sum()
    signed[UP] += up
    signed[DOWN] += down
    return first + sums[3].sum() / values.size


@kernel
def central_sums(x, y, mean_x, mean_y):
    """Of two series float64 (n,) and their means: sums of the powers 2 to 4 of x − mean, the same of y, and of the
    products of both."""
    sums = np.zeros((7, LANES))
    for start in range(0, x.size, LANES):
        stop = min(x.size, start + LANES)
        part_x, part_y = x[start:stop], y[start:stop]
        for lane in range(part_x.size):
            k = index(lane)
            from_x, from_y = part_x[k] - mean_x, part_y[k] - mean_y
            square_x, square_y = from_x * from_x, from_y * from_y
            sums[0, k] += square_x
            sums[1, k] += square_x * from_x
            sums[2, k] += square_x * square_x
            sums[3, k] += square_y
            sums[4, k] += square_y * from_y
            sums[5, k] += square_y * square_y
            sums[6, k] += from_x * from_y
    of_x, of_y = (sums[0].sum(), sums[1].sum(), sums[2].sum()), (sums[3].sum(), sums[4].sum(), sums[5].sum())
    return *of_x, *of_y, sums[6].sum()


@kernel
def merge_moments(moments, n, mean, m2, m3, m4):
    """Add n values, at least one, of known mean and central sums (Pébay 2008). Mutates: moments."""
    before, b = moments[COUNT], float(n)
    count = before + b
    delta = mean - moments[MEAN]
    share = delta / count
    cross = before * b
    moments[M4] += (
        m4
        + delta * share * share * share * cross * (before * before - cross + b * b)
        + 6.0 * share * share * (before * before * m2 + b * b * moments[M2])
        + 4.0 * share * (before * m3 - b * moments[M3])
    )
    moments[M3] += m3 + delta * share * share * cross * (before - b) + 3.0 * share * (before * m2 - b * moments[M2])
    moments[M2] += m2 + delta * share * cross
    moments[MEAN] += share * b
    moments[COUNT] = count


@kernel
def merge_products(pairs, n, mean_x, mean_y, squares, products):
    """The same for n pairs: of y the squares, with x the products (Pébay 2008). Mutates: pairs."""
    count = pairs[COUNT] + n
    delta_x, delta_y = mean_x - pairs[MEAN_X], mean_y - pairs[MEAN_Y]
    weight = pairs[COUNT] * n / count
    pairs[PRODUCTS] += products + delta_x * delta_y * weight
    pairs[SQUARES] += squares + delta_y * delta_y * weight
    pairs[MEAN_X] += delta_x * (n / count)
    pairs[MEAN_Y] += delta_y * (n / count)
    pairs[COUNT] = count


@kernel
def end_block(run, holding, pairs, low, high):
    """Add the current block of both curves to all sums, and begin the next.

    run, holding: `Curve`s; pairs float64 (5,), of their returns at the same bars; low, high: `Lowest` of the run's
    returns and of these times −1, with room for a block. A curve that came to 0 has fewer returns than the other, or
    none. Mutates: all.
    """
    x, y = run.block[: run.filled[0]], holding.block[: holding.filled[0]]
    both = min(x.size, y.size)
    if both > 0:
        mean_x, mean_y = signed_sums(x[:both], run.signed), signed_sums(y[:both], holding.signed)
        x2, x3, x4, y2, y3, y4, xy = central_sums(x[:both], y[:both], mean_x, mean_y)
        merge_moments(run.moments, both, mean_x, x2, x3, x4)
        merge_moments(holding.moments, both, mean_y, y2, y3, y4)
        merge_products(pairs, both, mean_x, mean_y, y2, xy)
    for curve, rest in ((run, x[both:]), (holding, y[both:])):
        if rest.size > 0:
            mean = signed_sums(rest, curve.signed)
            m2, m3, m4, _, _, _, _ = central_sums(rest, rest, mean, mean)
            merge_moments(curve.moments, rest.size, mean, m2, m3, m4)
    keep_tails(x, low, high)
    run.filled[0] = holding.filled[0] = 0


@kernel(splice=True)
def push_curve(equity, bar, curve):
    """Add equities float64 (n,), of which the first is that of bar number `bar`, to a `Curve` with room for their
    returns in its block. Returns −1 − t where equity[t] is none, else 0 or more. Mutates: curve."""
    count = simple_returns(equity, curve.path[LAST], curve.block[curve.filled[0] :])
    if count >= 0:
        curve.filled[0] += count
        drawdowns(equity, bar, curve.path)
    return count


@kernel
def push_bars(equity, position, held, run, holding, pairs, low, high, bars):
    """Add bars, up to the end of a block that leaves `low` or `high` no room for another.

    equity, held float64 (n,): of the run and of buying and holding, at each close; position int8 (n,) held at the
    close; bars int64 (2,); the rest as in `end_block`. Returns how many bars were added, or −1 − t where equity[t] or
    held[t] is no equity. Mutates: run, holding, pairs, low, high, bars.
    """
    size, start = run.block.size, 0
    while start < equity.size and not is_full(low, high):
        place = bars[BARS] % size
        stop = min(equity.size, start + size - place)
        for values, curve in ((equity, run), (held, holding)):
            count = push_curve(values[start:stop], bars[BARS], curve)
            if count < 0:
                return count - start
        end_bars(position[start:stop], bars)
        if bars[BARS] % size == 0:
            end_block(run, holding, pairs, low, high)
        start = stop
    return start


@kernel(splice=True)
def end_bars(position, bars):
    """Count bars, and those with a position int8 (n,). Mutates: bars."""
    exposed = 0
    for t in range(position.size):
        exposed += position[t] != 0
    bars[EXPOSED] += exposed
    bars[BARS] += position.size


TINY = 2.0**-500
"""Products of trades are brought near 1 again where they leave what lies between this and its inverse."""


@kernel(inline=True)
def add_compensated(sums, place, rest, value):
    """Add to sums[place], and what rounding takes from it to sums[rest] (Knuth 1997, 4.2.2, theorem B). Mutates:
    sums."""
    before = sums[place]
    after = before + value
    taken = after - before
    sums[place] = after
    sums[rest] += (before - (after - taken)) + (value - taken)


@kernel
def push_trades(trades, sums):
    """Add closed trades float64 (m, 6 or more): entry bar, exit bar, direction, two prices, profit as a share of the
    equity at entry. sums float64 (13,), at first 0 but for BEST −inf, WORST_TRADE inf, GROWTH 1. Returns the number of
    rows before the first that is no closed trade. Mutates: sums.
    """
    growth, exponent, count = sums[GROWTH], sums[EXPONENT], trades.shape[0]
    for row in range(trades.shape[0]):
        bars, profit = trades[row, 1] - trades[row, 0], trades[row, 5]
        if not (bars >= 0.0 and -1.0 <= profit < np.inf):
            count = row
            break
        # No branches on the profit: which trade gains cannot be predicted.
        gain = max(profit, 0.0)
        sums[TRADES] += 1.0
        sums[WINNERS] += profit > 0.0
        sums[LOSERS] += profit < 0.0
        add_compensated(sums, WON, WON_REST, gain)
        add_compensated(sums, LOST, LOST_REST, gain - profit)
        sums[BEST], sums[WORST_TRADE] = max(sums[BEST], profit), min(sums[WORST_TRADE], profit)
        growth *= 1.0 + profit
        if not TINY < growth < 1.0 / TINY:  # a power of two taken out or not makes no other rounding
            growth, taken = math.frexp(growth)
            exponent += taken
        sums[HELD] += bars
        sums[LONGEST_HELD] = max(sums[LONGEST_HELD], bars)
    sums[GROWTH], taken = math.frexp(growth)
    sums[EXPONENT] = exponent + taken if growth > 0.0 else 0.0
    return count


ZERO = np.uint8(0)


@kernel
def push_decisions(action, move, alert, risk, counts):
    """Count what the decisions at each close are worth by the bar after it.

    action int8 (n,): 0 hold, 1 buy, 2 sell; move int8 (n,): sign of the change of the close from the bar before; alert,
    risk uint8 (n,): 1 where alert was said at the close, where the bar is a risk event, else 0. counts int64 (8,), the
    last two −1 at first. Mutates: counts.
    """
    n = action.size
    if n == 0:
        return
    if counts[LAST_ACTION] >= 0:  # no decision came before the first bar of all
        side, said = _side(counts[LAST_ACTION]), counts[LAST_ALERT]
        counts[ACTIONS] += side != 0
        counts[MOVES] += move[0] != 0
        counts[HITS] += (side != 0) & (side == move[0])
        counts[ALERTS] += said
        counts[RISKS] += risk[0]
        counts[WARNINGS] += said & risk[0]
    for first in range(1, n, 64):
        # Counters of a byte, 64 bars at a time: a vector has eight times as many of them as of 64 bits.
        actions, moves, hits, alerts, risks, warnings = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
        for t in range(first, min(n, first + 64)):
            k = index(t)
            side, said = _side(action[index(t - 1)]), alert[index(t - 1)]
            actions = np.uint8(actions + (side != 0))
            moves = np.uint8(moves + (move[k] != 0))
            hits = np.uint8(hits + ((side != 0) & (side == move[k])))
            alerts = np.uint8(alerts + said)
            risks = np.uint8(risks + risk[k])
            warnings = np.uint8(warnings + (said & risk[k]))
        counts[ACTIONS] += actions
        counts[MOVES] += moves
        counts[HITS] += hits
        counts[ALERTS] += alerts
        counts[RISKS] += risks
        counts[WARNINGS] += warnings
    counts[LAST_ACTION], counts[LAST_ALERT] = action[n - 1], alert[n - 1]


@kernel(splice=True)
def _side(action):
    """The position that an action asks for, 0 if none."""
    return np.int8(action == 1) - np.int8(action == 2)


DAY_NS = 86_400 * 10**9
FIRST_DAY = -106_752
"""The day, counted from 1970, in which the first nanosecond lies that an int64 can name."""


@kernel
def count_days(time, bars_a_day):
    """Count bars by their day in UTC. time int64 (n,): nanoseconds since 1970, increasing; bars_a_day int64 (213505,):
    of the day FIRST_DAY and of those after it. Mutates: bars_a_day."""
    t = 0
    while t < time.size:
        day = time[t] // DAY_NS
        midnight = day * DAY_NS
        # The distance to the day's last bar by doubling steps, and then by halves: a day of minutes takes 22 looks.
        begin, step = t, 1
        while t + step < time.size and 0 <= time[t + step] - midnight < DAY_NS:
            t, step = t + step, step * 2
        while step > 1:
            step //= 2
            if t + step < time.size and 0 <= time[t + step] - midnight < DAY_NS:
                t += step
        t += 1
        bars_a_day[day - FIRST_DAY] += t - begin
