"""Many policies over one history: its bars are encoded once for all whose features are equal, and each policy is a lane
that is decided and accounted beside others, in memory that does not grow with their number."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from idi_fast.agents.policy import Policy
from idi_fast.agents.rollout import HistoryRollout
from idi_fast.backtesting.account import FILLS, AccountSimulator, TradingAssumptions
from idi_fast.backtesting.engine import Engine, own_figures, run_totals
from idi_fast.backtesting.kpi_accumulator import BLOCK, Holding, KpiAccumulator
from idi_fast.data.history import History
from idi_fast.data.in_sample import InSampleDetector
from idi_fast.environments.features import Bars, empty_bars
from idi_fast.environments.rewards import is_linear, reward_weights
from idi_fast.environments.state_space import make_rules
from idi_fast.errors import Cancelled, InputError
from idi_fast.kernels import lanes as kernels
from idi_fast.kernels.backtest import Financing
from idi_fast.kernels.learn import Rules
from idi_fast.parallel.worker_pool import WorkerPool

LANES = 32
"""That a thread follows at a time, with a byte a bar for what each does. Decisions wait for those before, but not for
other lanes': a bar takes as long for 8 lanes as for 16, and for 32 a third longer than for these."""
SEGMENT_BARS = 32_768
"""That all lanes pass before the next: few enough for the second-level cache to hold them."""
CACHE_LINE = 64
"""Bytes by which rows are apart beyond a power of two: else they would take the same places of the cache."""


@dataclass(frozen=True)
class Finished:
    """A policy's backtest: its figures as of `Engine.summary`, and what is assumed."""

    kpis: dict[str, Any]
    undefined: dict[str, str]
    in_sample: bool | None


class Group:
    """Policies that see the same in the same bars, and earn the same by the same decisions."""

    def __init__(self, first: Policy, columns: Mapping[str, str]):
        HistoryRollout(first, columns)  # which refuses a policy that does not fit
        self.first, self._rules = first, make_rules(first.config, first.space)
        self._tables: list[np.ndarray | Policy] = []
        self.numbers: list[int] = []
        self.trained_on: list[str] = []

    def add(self, number: int, policy: Policy) -> None:
        """A policy, by its number among all; of one with a table of states a byte per state is kept."""
        self.numbers.append(number)
        self.trained_on.append(json.dumps(policy.trained_on))
        if policy.layout.tiling is None:
            self._tables.append(_codes(policy, np.arange(policy.space.n_states), self._rules))
        else:
            self._tables.append(policy)

    def codes(self, lanes: Sequence[int], states: np.ndarray) -> np.ndarray:
        """The tables of lanes as of `kernels.Lanes`, the last one again up to a number that the kernel takes.

        states int64 (n_states,): those that a tile coder's tables are made of.
        """
        chosen = [*lanes, *[lanes[-1]] * (-len(lanes) % kernels.SIDE_BY_SIDE)]
        tables = [self._tables[lane] for lane in chosen]
        codes = [_codes(table, states, self._rules) if isinstance(table, Policy) else table for table in tables]
        of_observation = self._rules.strides[0]
        return np.stack([table.reshape(-1, of_observation) for table in codes], axis=1)


def _codes(policy: Policy, states: np.ndarray, rules: Rules) -> np.ndarray:
    """What a policy does in each of the states, uint8 (n_states,): see `kernels.lanes`."""
    layout, names = policy.layout, policy.comm_actions
    action = np.argmax(layout.values(policy.q, states), axis=1)
    comm = np.argmax(layout.values(policy.comm_q, states), axis=1)
    alert = comm == names.index("alert") if "alert" in names else np.zeros(states.size, bool)
    code = rules.next_position[policy.space.digit(states, "position") * 3 + action]
    code |= action << kernels.ACTION_BIT | alert << kernels.ALERT_BIT
    return (code | ~policy.visited(states) << kernels.UNVISITED_BIT).astype(np.uint8)


def group(policies: Iterable[Policy], columns: Mapping[str, str], *, together: bool = True) -> list[Group]:
    """The policies by what they see; their numbers are their places in the order given.

    Alone is each policy whose rewards are not sums of what positions earn, and unless `together` every one: lanes know
    neither such rewards nor risk-free rates. columns: those of the history. Raises ArtifactError if a policy does not
    fit it.
    """
    groups: dict[str, Group] = {}
    for number, policy in enumerate(policies):
        key = _key(policy) if together and is_linear(policy.config) else str(number)
        if key not in groups:
            groups[key] = Group(policy, columns)
        groups[key].add(number, policy)
    return [*groups.values()]


def _key(policy: Policy) -> str:
    config = policy.config
    blocks = [config.environment, config.quantizer, config.rewards, config.tile_coder]
    seen = None if policy.encoder is None else policy.encoder.to_dict()
    return json.dumps([None if block is None else asdict(block) for block in blocks] + [seen], sort_keys=True)


_SEEN = [name for name in Bars._fields if name != "hold"]
"""What lanes are followed by; they know no charges."""


class Course:
    """The bars of a backtest as a policy's engine saw them, encoded, and what its lanes share."""

    def __init__(self, engine: Engine, history: History):
        self.assumed = engine.assumed
        room, held, count = empty_bars(len(history)), np.empty(len(history)), 0
        for segment in engine.segments():
            rows = slice(count, count := count + segment.held_equity.size)
            for name in _SEEN:
                getattr(room, name)[rows] = getattr(segment.seen.bars, name)
            held[rows] = segment.held_equity
        self.bars, self.holding = room.rows(slice(count)), Holding(held[:count])
        first = engine.first_bar
        self.history = history if count == len(history) else history.slice(first, first + count)
        self.frequency = engine.frequency
        self.terms = _terms(engine.assumed)
        risk = self.bars.risk if self.history.risk is None else self.history.risk
        self._risk = np.require(risk, np.uint8, ["C", "W"])
        self._financing = AccountSimulator(self.assumed).financing(self.history)

    def market(self, rows: slice) -> kernels.Market:
        """The bars that lanes trade on."""
        history = self.history
        open_ = history.close if history.open is None else history.open
        financing = Financing(*(rates[rows] for rates in self._financing))
        prices, facts = (open_[rows], history.close[rows]), (self.bars.move[rows], self._risk[rows])
        return kernels.Market(*prices, *facts, self.holding.returns, self.holding.sums, financing)

    def __len__(self) -> int:
        return self.holding.bars


def _terms(assumed: TradingAssumptions) -> kernels.AccountRules:
    rates = assumed.fee_bps / 1e4, assumed.slippage_bps / 1e4
    return kernels.AccountRules(FILLS[assumed.fill], *rates, float(assumed.size), assumed.long_only)


def run_lanes(
    group: Group,
    course: Course,
    workers: WorkerPool,
    finished: Callable[[int, Finished], None],
    watch: Callable[[], None] = lambda: None,
) -> None:
    """Backtest all policies of a group but the first; `finished` is called with the number of each, in any order and
    in the threads that work, `watch` in this one, now and then."""
    observation, states = course.bars.observation, np.empty(0, np.int64)
    if group.first.layout.tiling is not None:
        # A table of the distinct observations, which the kernel uses like any other.
        distinct, observation = np.unique(observation, return_inverse=True)
        observation, states = observation.astype(np.int32), group.first.layout.states_of(distinct)
    known = _in_sample(group, course)

    def work(lanes: Sequence[int]) -> None:
        batch = _Batch(group, course, observation, group.codes(lanes, states), len(lanes))
        for lane, (kpis, undefined) in zip(lanes, batch.run(workers), strict=True):
            finished(group.numbers[lane], Finished(kpis, undefined, known[group.trained_on[lane]]))

    rest = range(1, len(group.numbers))
    # No thread without work where there are few.
    share = -(-len(rest) // workers.jobs)
    each = min(LANES, share + -share % kernels.SIDE_BY_SIDE)
    workers.each(work, (rest[first : first + each] for first in range(0, len(rest), each or 1)), watch)


def _in_sample(group: Group, course: Course) -> dict[str, bool | None]:
    """Whether the bars are among those of a training, by its description."""
    answers = {}
    for trained_on in dict.fromkeys(group.trained_on):
        detector = InSampleDetector(json.loads(trained_on))
        detector.push(course.history)
        answers[trained_on] = detector.is_in_sample(course.history.digests)
    return answers


class _Batch:
    """Lanes that one thread follows side by side."""

    def __init__(self, group: Group, course: Course, observation: np.ndarray, tables: np.ndarray, lanes: int):
        config, self._course = group.first.config, course
        self._observation = observation
        self._weights, self._rules = reward_weights(config), make_rules(config, group.first.space)
        position, n = course.assumed.initial_position, tables.shape[1]
        # The position before the first bar is what would have been decided there.
        said, before = np.full(n, position + 1, np.uint8), np.full(n, float(position))
        self._lanes = kernels.Lanes(tables, before, np.zeros(n), np.zeros(n), said, np.zeros(n, np.int32))
        self._keepers = [AccountSimulator(course.assumed) for _ in range(lanes)]
        self._figures = [KpiAccumulator(len(course)) for _ in range(lanes)]
        self._unvisited = np.zeros(lanes, np.int64)
        rows = np.empty(BLOCK, np.int8), np.empty(BLOCK, np.int8), np.empty(BLOCK, np.uint8)
        self._room = kernels.Room(*rows, np.empty(BLOCK), np.empty(BLOCK, np.int8), np.empty((BLOCK + 3, 8)))

    def run(self, workers: WorkerPool) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
        """KPIs of each lane, and why some are undefined."""
        course, bars = self._course, len(self._course)
        codes = np.empty((self._lanes.said.size, SEGMENT_BARS + CACHE_LINE), np.uint8)
        for first in range(0, bars, SEGMENT_BARS):
            if workers.stopped.is_set():
                raise Cancelled("another policy has failed")
            rows = slice(first, min(bars, first + SEGMENT_BARS))
            of_rows = codes[:, : rows.stop - first]
            self._follow(rows, of_rows)
            self._settle(rows, of_rows)
        for lane, (keeper, figures) in enumerate(zip(self._keepers, self._figures, strict=True)):
            figures.end_beside(course.holding)
            result = figures.result(course.frequency, run_totals(keeper, float(self._lanes.total[lane]), bars))
            yield {**result.kpis, **own_figures(keeper, int(self._unvisited[lane]), bars)}, result.undefined

    def _follow(self, rows: slice, codes: np.ndarray) -> None:
        bars = self._course.bars
        earning = bars.gap[rows], bars.change[rows], bars.cost[rows], bars.scarcity[rows], self._weights
        kernels.rollout_lanes(self._observation[rows], *earning, self._rules, self._lanes, rows.start == 0, codes)

    def _settle(self, rows: slice, codes: np.ndarray) -> None:
        market, terms = self._course.market(rows), self._course.terms
        for lane, (keeper, figures) in enumerate(zip(self._keepers, self._figures, strict=True)):
            own, unvisited = (keeper.state, figures.beside), self._unvisited[lane : lane + 1]
            done, of_lane = 0, codes[lane]
            while done < of_lane.size:
                done = kernels.settle_lane(of_lane, done, market, terms, *own, unvisited, self._room)
                if done < 0:
                    raise InputError(
                        f"a policy's equity, or the profit of a trade, is no finite number near bar "
                        f"{rows.start - 1 - done}; expected prices that are not so far apart"
                    )
                figures.make_room()
