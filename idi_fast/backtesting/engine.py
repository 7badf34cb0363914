"""The engine of a backtest: a policy over a history, a segment of bars at a time, in bounded memory."""

import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace

import numpy as np

from idi_fast.agents.policy import Policy
from idi_fast.agents.rollout import HistoryRollout, Observations
from idi_fast.agents.trace import Steps, Trace
from idi_fast.backtesting.account import AccountSimulator, TradingAssumptions
from idi_fast.backtesting.calibration import calibration_of, with_calibration
from idi_fast.backtesting.kpi_accumulator import KpiAccumulator
from idi_fast.backtesting.kpi_definitions import Activity, Decisions, Market, Returns, Tails, Totals, Trades, names
from idi_fast.backtesting.risk_free import RiskFree
from idi_fast.data.bar_frequency import BarFrequency, BarTimes
from idi_fast.data.bounds import Bounds
from idi_fast.data.history import History
from idi_fast.data.in_sample import InSampleDetector
from idi_fast.data.loading import HistoryFiles
from idi_fast.data.spikes import SpikeDetector
from idi_fast.errors import InputError
from idi_fast.evaluation.alerts import AlertCounts
from idi_fast.parallel import pipeline


@dataclass(frozen=True)
class Segment:
    """Consecutive bars of a backtest: observations, decisions, and the accounts of the policy and of buy and hold.

    first: number of the first bar; next_reward: the reward of the last decision, NaN for the last of all; equity,
    held_equity float64, position int8 (n,); trades float64 (m, 8): those that ended, as in `kernels.backtest.account`;
    open_trade float64 (0 or 1, 8): the one that is open at the end.
    """

    first: int
    seen: Observations
    steps: Steps
    next_reward: float
    equity: np.ndarray
    position: np.ndarray
    trades: np.ndarray
    open_trade: np.ndarray
    held_equity: np.ndarray


SEGMENT_BARS = 65_536
"""Bars of a history in memory that are processed at a time: what lies between its columns and the account is then small
enough for the cache, and a thread can look ahead."""


class NoBars(InputError):
    """No bar lies between start and end."""


class Engine:
    """One policy over one history, from the first bar included to the last; made for a single run over `segments`,
    after which `first_bar` is the number of the first bar in the history.

    start, end: times in ns UTC of the first bar included and of the first excluded; bars before the start only
    fill the features' windows; symbol: that of the bars, whose own edges a policy may have; whence: where the start
    comes from, as an error says it. Raises ArtifactError if policy and history do not fit, InputError for a bad option.
    """

    def __init__(
        self,
        policy: Policy,
        source: History | HistoryFiles,
        assumed: TradingAssumptions,
        *,
        start: int | None = None,
        end: int | None = None,
        year_days: int | None = None,
        has_risk: bool = False,
        symbol: str | None = None,
        whence: str = "",
    ):
        if (start is not None or end is not None) and "time" not in source.columns:
            raise InputError("a start or an end was given, but the history has no times; name their column")
        if assumed.initial_position < 0 and not policy.config.environment.allow_short:
            raise InputError("initial_position is -1, but the policy was trained without allow_short")
        self._policy, self._source, self.assumed = policy, source, assumed
        self._edges_note = _edges_note(policy, symbol)
        self._start, self._end, self._whence = start, end, whence
        self.rollout = HistoryRollout(policy, source.columns, assumed.initial_position, assumed.funding, symbol)
        self.keeper = AccountSimulator(assumed)
        self._holder = AccountSimulator(replace(assumed, initial_position=0))
        self.accumulator, self._bar_times = KpiAccumulator(source.most_bars), BarTimes(year_days)
        self._risk_free = RiskFree(assumed.risk_free)
        self._alerts = AlertCounts(policy.space, policy.comm_actions)
        self.calibration = calibration_of(policy, self.rollout.rule)
        self._in_sample, self._spikes = InSampleDetector(policy.trained_on), SpikeDetector()
        self._unvisited, self._bars, self.first_bar = 0, 0, 0
        self._span = 0, 0  # times of the first and the last bar that was read

    def segments(self, *, ahead: bool = True) -> Iterator[Segment]:
        """The run, a chunk of bars at a time; ahead: whether threads read and encode the next while one is decided on.
        Raises DataError, NoBars."""
        waiting = None
        with ExitStack() as stack:
            for seen, steps in self._decided(stack if ahead else None):
                if waiting is not None:
                    yield self._settle(*waiting, steps.reward[0])
                waiting = seen, steps
        if waiting is None:
            raise NoBars(Bounds(self._start, self._end).refusal(*self._span) + self._whence)
        yield self._settle(*waiting, np.nan)

    def _decided(self, stack: ExitStack | None) -> Iterator[tuple[Observations, Steps]]:
        source = self._source
        if isinstance(source, History):
            seen = self._look(source.slice(k, k + SEGMENT_BARS) for k in range(0, len(source), SEGMENT_BARS))
            # Two threads: more wait for each other, where nothing has to be read.
            if stack is not None and len(source) > SEGMENT_BARS:
                seen = stack.enter_context(pipeline.ahead(seen))
            return self._decide(seen)
        if stack is None:
            return self._decide(self._look(source.chunks()))
        # Reading, encoding, deciding and accounting run in parallel.
        seen = self._look(stack.enter_context(pipeline.ahead(source.chunks())))
        return stack.enter_context(pipeline.ahead(self._decide(stack.enter_context(pipeline.ahead(seen)))))

    def _decide(self, seen: Iterable[Observations]) -> Iterator[tuple[Observations, Steps]]:
        for bars in seen:
            yield bars, self.rollout.decide(bars)

    def _look(self, chunks: Iterable[History]) -> Iterator[Observations]:
        for chunk in chunks:
            if chunk.time is not None and len(chunk):
                self._span = self._span[0] if any(self._span) else int(chunk.time[0]), int(chunk.time[-1])
            if self._end is not None:
                chunk = chunk.slice(None, _bars_before(chunk, self._end))
            if not len(chunk):
                return
            seen = self.rollout.see(chunk)
            if self._start is not None:
                first = _bars_before(chunk, self._start)
                self.first_bar += first
                if first == len(chunk):
                    continue
                seen = seen.from_bar(first)
            self._in_sample.push(seen.history)
            self._spikes.push(seen.history)
            yield seen

    def _settle(self, seen: Observations, steps: Steps, next_reward: float) -> Segment:
        history, bars = seen.history, seen.bars
        equity, position, trades = self.keeper.push(steps.position, history)
        held_equity, _, _ = self._holder.push(np.ones(len(history), np.int8), history)
        risk = bars.risk if history.risk is None else history.risk
        said = steps.comm == self._alerts.alert
        self.accumulator.push(equity, position, held_equity, self._risk_free.push(history))
        self.accumulator.push_trades(trades)
        self.accumulator.push_decisions(steps.action, bars.move, said.view(np.uint8), risk)
        self._alerts.push(steps.state, steps.comm, bars.regime, risk)
        if self.calibration is not None:
            self.calibration.push(bars, steps.state)
        self._unvisited += self._policy.count_unvisited(steps.state)
        if history.time is not None:
            self._bar_times.push(history.time)
        first, self._bars = self._bars, self._bars + len(history)
        open_trade = self.keeper.open_trade.copy()
        return Segment(first, seen, steps, next_reward, equity, position, trades, open_trade, held_equity)

    def trace(self, segment: Segment) -> Trace:
        """The trace of a segment; call it for all of them in order, or for none."""
        reward = np.append(segment.steps.reward[1:], segment.next_reward)
        return self.rollout.trace(segment.seen, segment.steps, reward)

    def describe_data(self) -> dict:
        """The bars of the run, after all segments."""
        return self._in_sample.describe(self._source.digests)

    def spike_note(self) -> str | None:
        """A note on bars that jump and come back, after all segments: see `SpikeDetector`."""
        return self._spikes.note()

    @property
    def frequency(self) -> BarFrequency:
        """That of the bars, after all segments."""
        return self._bar_times.frequency()

    def summary(self) -> dict:
        """The content of kpis.json, after all segments; undefined values are null."""
        about, frequency, bars = self.describe_data(), self.frequency, self._bars
        in_sample, certainty = self._in_sample.is_in_sample(self._source.digests), self._policy.certainty
        optimism = certainty.optimism if in_sample and certainty is not None else None
        result = self.accumulator.result(frequency, run_totals(self.keeper, self.rollout.total_reward, bars))
        assumptions = {
            **asdict(self.assumed),
            "bars": bars,
            "first_time": about["first_time"],
            "last_time": about["last_time"],
            "in_sample": in_sample,
            **({} if optimism is None else {"optimism": optimism}),
            "periods_per_year": frequency.periods_per_year,
            "dropped_rows": self._source.dropped,
        }
        summary = {
            "assumptions": assumptions,
            "kpis": {**result.kpis, **own_figures(self.keeper, self._unvisited, bars)},
            "undefined": result.undefined,
            "buy_and_hold": result.buy_and_hold,
            "alerts": self._alerts.by(),
            "notes": [*self._source.notes, *filter(None, (self._edges_note, self.spike_note(), frequency.caution))],
        }
        return with_calibration(summary, self.calibration)


def run_totals(keeper: AccountSimulator, total_reward: float, bars: int) -> Totals:
    """The counts of a finished run for its KPIs."""
    account = keeper.totals
    return Totals(
        open_trades=len(keeper.open_trade),
        traded=account["traded"],
        fees=account["fees"],
        slippage=account["slippage"],
        interest=account["interest"],
        borrow=account["borrow"],
        funding=account["funding"],
        mean_reward=total_reward / (bars - 1) if bars > 1 else math.nan,
    )


def own_figures(keeper: AccountSimulator, unvisited: int, bars: int) -> dict[str, float | int | None]:
    """The KPIs that are of the run itself."""
    liquidated_at = keeper.totals["liquidated_at"]
    return {"unvisited_states": unvisited / bars, "liquidated_at": None if liquidated_at < 0 else liquidated_at}


def kpi_names(*, is_pooled: bool = False) -> list[str]:
    """The KPIs of `Engine.summary`, or of a pooled summary of many symbols; those of buy and hold begin with
    `buy_and_hold.`."""
    groups = (Returns, Tails, Market, Trades, Activity, Decisions)
    own = [name for group in groups for name in names(group)]
    own += ["unvisited_states", "liquidated_symbols" if is_pooled else "liquidated_at"]
    return [*own, *(f"buy_and_hold.{name}" for name in names(Returns))]


def _edges_note(policy: Policy, symbol: str | None) -> str | None:
    """A note where a policy with edges of symbols meets bars of which it does not know whose they are."""
    fitted = {} if policy.encoder is None else policy.encoder.by_symbol
    if symbol is not None or not fitted:
        return None
    return (
        f"the policy has edges of {len(fitted):,} symbols, but these bars are of none by name: those of all bars are "
        "used; symbol_files or symbol_col tell symbols by name"
    )


def _bars_before(history: History, time: int) -> int:
    """How many bars are before a time, ns UTC."""
    assert history.time is not None  # or there would be no such time to ask for
    return int(np.searchsorted(history.time, time))
