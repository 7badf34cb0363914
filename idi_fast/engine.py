"""The engine of a backtest: a policy over a history, a stretch of bars at a time, in bounded memory."""

import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace

import numpy as np

from idi_fast import pipeline
from idi_fast.account import Bookkeeper, Terms
from idi_fast.alerts import AlertCounts
from idi_fast.clock import Clock
from idi_fast.errors import InputError
from idi_fast.history import History, HistoryFiles
from idi_fast.kpi_definitions import Activity, Decisions, Market, Returns, Tails, Totals, Trades, names
from idi_fast.policy import Policy
from idi_fast.provenance import Witness
from idi_fast.replay import Replay, Seen
from idi_fast.spikes import SpikeDetector
from idi_fast.tallies import Tally
from idi_fast.trace import Steps, Trace


@dataclass(frozen=True)
class Stretch:
    """Consecutive bars of a backtest: what was seen and decided, and the accounts of the policy and of holding.

    first: number of the first bar; next_reward: what the last decision brought, NaN for the last of all; equity,
    held_equity float64, position int8 (n,); trades float64 (m, 8): those that ended, as of `kernels.backtest.account`.
    """

    first: int
    seen: Seen
    steps: Steps
    next_reward: float
    equity: np.ndarray
    position: np.ndarray
    trades: np.ndarray
    held_equity: np.ndarray


class NoBars(InputError):
    """None of the bars is wanted."""


class Engine:
    """One policy over one history, from the first wanted bar to the last; made for a single run over `stretches`.

    start, end: times in ns UTC of the first bar wanted and of the first no longer wanted; bars before the start only
    fill the features' windows. Raises ArtifactError where policy and history do not fit, InputError for a bad option.
    """

    def __init__(
        self, policy: Policy, source: History | HistoryFiles, terms: Terms, *, start: int | None = None,
        end: int | None = None, year_days: int | None = None, has_risk: bool = False,
    ):  # fmt: skip
        if (start is not None or end is not None) and "time" not in source.columns:
            raise InputError("a start or an end was given, but the history has no times; name their column")
        if terms.initial_position < 0 and not policy.config.environment.allow_short:
            raise InputError("initial_position is -1, but the policy was trained without allow_short")
        self._policy, self._source, self._terms = policy, source, terms
        self._start, self._end = start, end
        self.replay = Replay(policy, source.columns, terms.initial_position)
        self.keeper = Bookkeeper(terms)
        self._holder = Bookkeeper(replace(terms, initial_position=0))
        self.tally, self._clock = Tally(source.most_bars), Clock(year_days)
        self._alerts = AlertCounts(policy.space, policy.comm_actions)
        self._witness, self._spikes = Witness(policy.trained_on), SpikeDetector()
        self._unvisited, self._bars = 0, 0

    def stretches(self, *, ahead: bool = True) -> Iterator[Stretch]:
        """The run, a chunk of bars at a time; ahead: whether threads read and see the next while one is decided on.
        Raises DataError, NoBars."""
        waiting = None
        with ExitStack() as stack:
            for seen, steps in self._decided(stack if ahead else None):
                if waiting is not None:
                    yield self._settle(*waiting, steps.reward[0])
                waiting = seen, steps
        if waiting is None:
            raise NoBars("no bar of the history lies between the start and the end")
        yield self._settle(*waiting, np.nan)

    def _decided(self, stack: ExitStack | None) -> Iterator[tuple[Seen, Steps]]:
        chunks = [self._source] if isinstance(self._source, History) else self._source.chunks()
        if stack is None or isinstance(self._source, History):
            return self._decide(self._look(chunks))
        # Reading, seeing, deciding and settling go on side by side.
        seen = self._look(stack.enter_context(pipeline.ahead(chunks)))
        return stack.enter_context(pipeline.ahead(self._decide(stack.enter_context(pipeline.ahead(seen)))))

    def _decide(self, seen: Iterable[Seen]) -> Iterator[tuple[Seen, Steps]]:
        for bars in seen:
            yield bars, self.replay.decide(bars)

    def _look(self, chunks: Iterable[History]) -> Iterator[Seen]:
        for chunk in chunks:
            if self._end is not None:
                chunk = chunk.slice(None, int(np.searchsorted(chunk.time, self._end)))
            if not len(chunk):
                return
            seen = self.replay.see(chunk)
            if self._start is not None:
                first = int(np.searchsorted(chunk.time, self._start))
                if first == len(chunk):
                    continue
                seen = seen.from_bar(first)
            self._witness.push(seen.history)
            self._spikes.push(seen.history)
            yield seen

    def _settle(self, seen: Seen, steps: Steps, next_reward: float) -> Stretch:
        history, bars = seen.history, seen.bars
        equity, position, trades = self.keeper.push(steps.position, history)
        held_equity, _, _ = self._holder.push(np.ones(len(history), np.int8), history)
        risk = bars.risk if history.risk is None else history.risk
        said = steps.comm == self._alerts.alert
        self.tally.push(equity, position, held_equity)
        self.tally.push_trades(trades)
        self.tally.push_decisions(steps.action, bars.move, said.view(np.uint8), risk)
        self._alerts.push(steps.state, steps.comm, bars.regime, risk)
        self._unvisited += self._policy.count_unvisited(steps.state)
        if history.time is not None:
            self._clock.push(history.time)
        first, self._bars = self._bars, self._bars + len(history)
        return Stretch(first, seen, steps, next_reward, equity, position, trades, held_equity)

    def trace(self, stretch: Stretch) -> Trace:
        """The trace of a stretch; of all of them in their order, or of none."""
        reward = np.append(stretch.steps.reward[1:], stretch.next_reward)
        return self.replay.trace(stretch.seen, stretch.steps, reward)

    def describe_data(self) -> dict:
        """Which bars were run over, once all were."""
        return self._witness.describe(self._source.digests)

    def spike_note(self) -> str | None:
        """What to say of bars that jump and come back, once all stretches were run over: see `SpikeDetector`."""
        return self._spikes.note()

    def summary(self) -> dict:
        """What kpis.json holds, once all stretches were run over; undefined values are null."""
        about, pace, bars = self.describe_data(), self._clock.pace(), self._bars
        totals = self.keeper.totals
        liquidated_at = totals.pop("liquidated_at")
        mean_reward = self.replay.total_reward / (bars - 1) if bars > 1 else math.nan
        result = self.tally.result(pace, Totals(len(self.keeper.open_trade), **totals, mean_reward=mean_reward))
        assumptions = {
            **asdict(self._terms),
            "bars": bars,
            "first_time": about["first_time"],
            "last_time": about["last_time"],
            "in_sample": self._witness.saw(self._source.digests),
            "periods_per_year": pace.periods_per_year,
            "dropped_rows": self._source.dropped,
        }
        own = {
            "unvisited_states": self._unvisited / bars,
            "liquidated_at": None if liquidated_at < 0 else liquidated_at,
        }
        return {
            "assumptions": assumptions, "kpis": {**result.kpis, **own}, "undefined": result.undefined,
            "buy_and_hold": result.buy_and_hold, "alerts": self._alerts.by(),
            "notes": [note for note in (self.spike_note(), pace.caution) if note is not None],
        }  # fmt: skip


def kpi_names(*, is_pooled: bool = False) -> list[str]:
    """What `Engine.summary` has of KPIs, or a pooled summary of many symbols; those of holding with `buy_and_hold.`."""
    groups = (Returns, Tails, Market, Trades, Activity, Decisions)
    own = [name for group in groups for name in names(group)]
    own += ["unvisited_states", "liquidated_symbols" if is_pooled else "liquidated_at"]
    return [*own, *(f"buy_and_hold.{name}" for name in names(Returns))]
