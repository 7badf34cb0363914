"""A backtest's KPIs from its bars, in segments of any size, in one pass and bounded memory."""

import math
from typing import NamedTuple

import numpy as np

from idi_fast.backtesting import kpi_definitions as definitions
from idi_fast.data.bar_frequency import BarFrequency
from idi_fast.errors import InputError
from idi_fast.kernels import kpis as kernels
from idi_fast.kernels import kpis_beside, tails

BLOCK = 4_096  # returns: with those of buy and hold 64 KiB, which fit the second-level cache
TAIL = 0.05


class Result(NamedTuple):
    """KPIs by name, those of buy and hold, NaN if undefined; and why, by name, with `buy_and_hold.` before the latter
    names."""

    kpis: dict[str, float]
    buy_and_hold: dict[str, float]
    undefined: dict[str, str]


class _Excess:
    """Returns less the risk-free ones, of one equity: their moments and signed sums, in blocks as those of the returns.

    before: the equity at the last close.
    """

    def __init__(self) -> None:
        self._block, self._filled, self._before = np.empty(BLOCK), 0, 1.0
        self.moments, self.signed = np.zeros(5), np.zeros(5)

    def push(self, equity: np.ndarray, risk_free: np.ndarray) -> None:
        """The next bars; after an equity of 0 there are no returns."""
        if not equity.size:
            return
        returns = np.empty(equity.size)
        count = kernels.simple_returns(equity, self._before, returns)
        self._before = float(equity[-1])
        values = returns[:count] - risk_free[:count]
        while values.size:
            taken = min(values.size, BLOCK - self._filled)
            self._block[self._filled : self._filled + taken] = values[:taken]
            self._filled, values = self._filled + taken, values[taken:]
            if self._filled == BLOCK:
                self.end()

    def end(self) -> None:
        """Add what is left in the block."""
        _add_block(self.moments, self.signed, self._block[: self._filled])
        self._filled = 0


class Holding:
    """Buy and hold over all bars of many runs; its sums are worked out once for all of them.

    equity float64 (n,): at each close. Raises InputError for an invalid one.
    """

    def __init__(self, equity: np.ndarray):
        (equity,) = _columns({"held_equity": (equity, np.float64)})
        self.bars = equity.size
        returns = np.empty(equity.size)
        count = kernels.simple_returns(equity, 1.0, returns)
        if count < 0:
            raise InputError(f"the equity of buying and holding is {equity[-1 - count]} at bar {-1 - count}")
        self.returns = returns[:count]
        self.sums = np.zeros((-(-equity.size // BLOCK), 2))
        kpis_beside.sum_blocks(self.returns, BLOCK, self.sums)


class KpiAccumulator:
    """Accumulates a run of at most `most_bars` bars and computes its KPIs, to the same bits for any segments.

    The percentiles are exact: a twentieth of the returns is kept at either end, in two buffers of 0.8 bytes per bar of
    `most_bars` each, of which only the used part takes memory. Not thread-safe. Raises InputError for invalid arrays.
    """

    def __init__(self, most_bars: int):
        if most_bars < 0:
            raise InputError(f"most_bars is {most_bars}; expected 0 or more")
        self._most_bars = most_bars
        self._run, self._holding = _new_curve(), _new_curve()
        self._pairs = np.zeros(5)
        self._low, self._high = _new_lowest(most_bars), _new_lowest(most_bars)
        self._bars = np.zeros(2, np.int64)
        self._trades = np.zeros(13)
        self._trades[[kernels.BEST, kernels.WORST_TRADE, kernels.GROWTH]] = -math.inf, math.inf, 1.0
        self._decisions = np.zeros(8, np.int64)
        self._decisions[[kernels.LAST_ACTION, kernels.LAST_ALERT]] = -1
        self._ended = False
        self._excess: tuple[_Excess, _Excess] | None = None

    def push(
        self,
        equity: np.ndarray,
        position: np.ndarray,
        held_equity: np.ndarray,
        risk_free: np.ndarray | None = None,
    ) -> None:
        """Add the next bars.

        equity float64 (n,): at each close, that before the first bar being 1; after a liquidation it stays at 0, and
        returns are counted up to there; position int8 (n,): held at the close, 0 none; held_equity float64 (n,): equity
        of buy and hold; risk_free float64 (n,): the riskless return over each bar; None, for all bars or none: 0.
        """
        equity, position, held = _columns(
            {"equity": (equity, np.float64), "position": (position, np.int8), "held_equity": (held_equity, np.float64)}
        )

        if self._ended:
            raise InputError("the result of this accumulator has been taken; more bars need a new one")
        bars = int(self._bars[kernels.BARS])
        if bars + equity.size > self._most_bars:
            raise InputError(f"{bars + equity.size} bars were pushed to an accumulator of at most {self._most_bars}")
        sums = self._run, self._holding, self._pairs, self._low, self._high, self._bars
        start = 0
        while start < equity.size:
            done = kernels.push_bars(equity[start:], position[start:], held[start:], *sums)
            if done < 0:
                t = start - 1 - done
                raise InputError(
                    f"the equity is {equity[t]} and that of buying and holding {held[t]} at bar {bars + t}; "
                    "expected finite numbers above 0, or 0 from some bar on"
                )
            start += done
            self.make_room()
        if risk_free is not None:
            (riskless,) = _columns({"risk_free": (risk_free, np.float64)})
            if riskless.size != equity.size:
                raise InputError(f"risk_free has {riskless.size} values; expected one per bar, {equity.size}")
            self._excess = self._excess or (_Excess(), _Excess())
            for excess, values in zip(self._excess, (equity, held), strict=True):
                excess.push(values, riskless)

    @property
    def beside(self) -> kpis_beside.Sums:
        """The sums as `kernels.lanes` takes them, which adds bars beside a holding that others share."""
        own = self._run, self._pairs, self._low, self._high, self._bars
        return kpis_beside.Sums(*own, self._trades, self._decisions)

    def make_room(self) -> None:
        """Drop what no percentile needs, where the kernels find no room for more."""
        for lowest in (self._low, self._high):
            if lowest.state[tails.KEPT] > 2 * lowest.least:
                _cut(lowest)

    def end_beside(self, holding: Holding) -> None:
        """Add what is left in the block, after the last bar of the holding."""
        first = holding.bars // BLOCK * BLOCK
        if first < holding.bars:
            mean, squares = holding.sums[-1].tolist()
            rest = holding.returns[first:]
            kpis_beside.end_block_beside(self._run, rest, mean, squares, self._pairs, self._low, self._high)

    def push_trades(self, trades: np.ndarray) -> None:
        """Add closed trades, in the order in which they were closed: float64 (m, 8), entry bar, exit bar, direction ±1,
        entry price, exit price, profit after costs as a share of the equity at entry, fees, slippage."""
        trades = np.require(trades, np.float64, ["C", "W"])
        if trades.ndim != 2 or trades.shape[1] < 6:
            raise InputError(f"trades have the shape {trades.shape}; expected (m, 8)")
        done = kernels.push_trades(trades, self._trades)
        if done < len(trades):
            raise InputError(
                f"a trade is {trades[done].tolist()}; expected its exit not before its entry, and a profit from −1 on"
            )

    def push_decisions(self, action: np.ndarray, move: np.ndarray, alert: np.ndarray, risk: np.ndarray) -> None:
        """Add the decisions at the closes of the next bars, which the bar after each confirms or refutes.

        action int8 (n,): 0 hold, 1 buy, 2 sell; move int8 (n,): sign of the change of the close from the bar before;
        alert uint8 (n,): 1 if "alert" was communicated, else 0; risk uint8 (n,): 1 if the bar is a risk event, else 0.
        """
        actions, moves, alerts, risks = _columns(
            {"action": (action, np.int8), "move": (move, np.int8), "alert": (alert, np.uint8), "risk": (risk, np.uint8)}
        )
        kernels.push_decisions(actions, moves, alerts, risks, self._decisions)

    def add_counts(self, other: "KpiAccumulator") -> None:
        """Add the trades and decisions of another accumulator, each decision scored by its own next bar."""
        own, others = self._trades, other._trades
        for total in (kernels.TRADES, kernels.WINNERS, kernels.LOSERS, kernels.HELD):
            own[total] += others[total]
        for total, rest in ((kernels.WON, kernels.WON_REST), (kernels.LOST, kernels.LOST_REST)):
            kernels.add_compensated(own, total, rest, others[total])
            own[rest] += others[rest]
        own[kernels.BEST] = max(own[kernels.BEST], others[kernels.BEST])
        own[kernels.WORST_TRADE] = min(own[kernels.WORST_TRADE], others[kernels.WORST_TRADE])
        own[kernels.LONGEST_HELD] = max(own[kernels.LONGEST_HELD], others[kernels.LONGEST_HELD])
        own[kernels.GROWTH], exponent = math.frexp(own[kernels.GROWTH] * others[kernels.GROWTH])
        own[kernels.EXPONENT] += exponent + others[kernels.EXPONENT]
        counted = np.ones(self._decisions.size, bool)
        counted[[kernels.LAST_ACTION, kernels.LAST_ALERT]] = False
        self._decisions[counted] += other._decisions[counted]

    def result(self, frequency: BarFrequency, totals: definitions.Totals = definitions.Totals()) -> Result:  # noqa: B008
        """The KPIs of everything pushed; no bars can be pushed afterwards.

        frequency: of the bars, see `BarTimes`; totals: counts of the run itself.
        """
        if not self._ended:
            kernels.end_block(self._run, self._holding, self._pairs, self._low, self._high)
            for excess in self._excess or ():
                excess.end()
            self._ended = True
        bars = int(self._bars[kernels.BARS])
        returns = int(self._run.moments[kernels.COUNT])
        of_run, of_holding = [(each.moments, each.signed) for each in self._excess or ()] or (None, None)
        run, reasons = definitions.evaluate(
            definitions.Returns(self._run, bars, frequency, of_run),
            definitions.Tails(_tail(self._low, returns), _tail(self._high, returns)),
            definitions.Market(self._pairs, frequency, self._mean_riskless()),
            definitions.Trades(self._trades),
            definitions.Activity(self._bars, totals),
            definitions.Decisions(self._decisions),
        )
        holding, why = definitions.evaluate(definitions.Returns(self._holding, bars, frequency, of_holding))
        return Result(run, holding, {**reasons, **{f"buy_and_hold.{name}": reason for name, reason in why.items()}})

    def _mean_riskless(self) -> float:
        """The mean riskless return of the bars for which both accounts have one."""
        if self._excess is None:
            return 0.0
        pairs = zip((self._run, self._holding), self._excess, strict=True)
        curve, excess = min(pairs, key=lambda pair: pair[0].moments[kernels.COUNT])
        return float(curve.moments[kernels.MEAN] - excess.moments[kernels.MEAN])


def moments_of(returns: np.ndarray) -> np.ndarray:
    """Moments float64 (5,) of `kernels.kpis` of returns float64 (n,), as in an accumulator, to the last bit."""
    returns = np.require(returns, np.float64, ["C", "W"])
    moments, signed = np.zeros(5), np.zeros(5)
    for start in range(0, returns.size, BLOCK):
        _add_block(moments, signed, returns[start : start + BLOCK])
    return moments


def _add_block(moments: np.ndarray, signed: np.ndarray, block: np.ndarray) -> None:
    """Add a block of returns to moments and signed sums, float64 (5,) each. Mutates both."""
    if block.size:
        mean = kernels.signed_sums(block, signed)
        kernels.merge_moments(moments, block.size, mean, *kernels.central_sums(block, block, mean, mean)[:3])


def _columns(given: dict[str, tuple[np.ndarray, type]]) -> list[np.ndarray]:
    """Arrays of these types, one-dimensional and of equal length, as the kernels take them."""
    arrays = [np.require(values, kind, ["C", "W"]) for values, kind in given.values()]
    shapes = {name: array.shape for name, array in zip(given, arrays, strict=True)}
    if len(set(shapes.values())) > 1 or arrays[0].ndim != 1:
        raise InputError(f"the shapes are {shapes}; expected one value per bar in each")
    return arrays


def _new_curve() -> kernels.Curve:
    path = np.zeros(7)
    path[[kernels.LAST, kernels.PEAK, kernels.LOW]] = 1.0
    path[kernels.PEAK_BAR] = -1.0
    return kernels.Curve(path, np.zeros(5), np.zeros(5), np.empty(BLOCK), np.zeros(1, np.int64))


def _new_lowest(most_bars: int) -> tails.Lowest:
    # Large arrays take memory when they are first written to, so the buffers need not grow.
    least = math.ceil(TAIL * most_bars) + 2
    return tails.Lowest(np.array([0.0, math.inf]), np.empty(2 * least + BLOCK), least)


def _cut(lowest: tails.Lowest) -> None:
    """Drop values, from more than 2 · least, that are not among the `least` lowest; the order of the others stays."""
    kept, least = lowest.values[: int(lowest.state[tails.KEPT])], lowest.least
    # A sample estimates a limit with slightly more than `least` values below, and counting verifies it.
    sample = kept[:: round(kept.size ** (1 / 3))]
    rank = int((least / kept.size + 2.0 / math.sqrt(sample.size)) * sample.size)
    limit = float(np.partition(sample, rank)[rank]) if rank < sample.size else math.inf
    below = np.count_nonzero(kept < limit)
    # With many equal values, such as returns without a position, few may lie below the limit, but enough not above.
    if below > 1.5 * least or (below < least and np.count_nonzero(kept <= limit) < least):
        limit = _at_rank(kept, least - 1)[0]
    lowest.state[:] = 0.0, limit
    tails.keep_lowest(kept, lowest)
    below = int(lowest.state[tails.KEPT])
    if below < least:
        lowest.values[below:least] = limit  # the others are equal to it
        lowest.state[tails.KEPT] = least


def _at_rank(values: np.ndarray, rank: int) -> tuple[float, float]:
    """The value of a rank, counted from 0 for the lowest, and the next one, if any.

    A sample estimates its place, counting the lower ones verifies it, and only the few near it are sorted
    (Floyd & Rivest 1975): 2 ns a value where NumPy's selection takes 10.
    """
    sample = values[:: round(values.size ** (1 / 3))]
    margin = 2.0 / math.sqrt(sample.size)  # four standard errors of a share of one half, more for other shares
    first, last = (int((rank / values.size + way * margin) * sample.size) for way in (-1, 1))
    first, last = max(first, 0), min(last + 1, sample.size - 1)
    floor, ceiling = np.partition(sample, [first, last])[[first, last]]
    near = np.empty(values.size + 1)
    below, count = tails.values_between(values, floor if first else -math.inf, ceiling, near)
    if not below <= rank < below + count - 1:
        below, near, count = 0, values, values.size
    places = [rank - below, min(rank - below + 1, count - 1)]
    return tuple(np.partition(near[:count], places)[places].tolist())


def _tail(lowest: tails.Lowest, n: int) -> definitions.Tail | None:
    """The tail of n values by their lowest."""
    if n == 0:
        return None
    kept = lowest.values[: int(lowest.state[tails.KEPT])]
    place = TAIL * (n - 1)
    rank = int(place)
    low, high = _at_rank(kept, rank)
    total, below = tails.sum_below(kept, low)
    return definitions.Tail(
        percentile=low + (high - low) * (place - rank), mean=(total + (rank + 1 - below) * low) / (rank + 1)
    )
