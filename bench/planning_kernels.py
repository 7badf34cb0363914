"""The kernels of planning that pass over bars, to be timed one by one."""

from collections.abc import Callable

import numpy as np

from idi_fast.bench.kernel import Kernel, Prepared
from idi_fast.bench.oracle import calibration as calibration_oracle
from idi_fast.bench.oracle import planning as oracle
from idi_fast.bench.yardsticks import SEED
from idi_fast.config.settings import TrainingConfig
from idi_fast.environments.features import Bars, Encoder, empty_bars
from idi_fast.environments.rewards import RewardRule
from idi_fast.kernels import calibration, planning
from idi_fast.kernels.learn import Rules
from idi_fast.planning.counts import ONCE, TransitionCounts
from idi_fast.planning.rewards import SUMS, by_move

OBSERVATIONS = 512
POLICIES = 6
NEXT_POSITION = np.array([0, 2, 0, 1, 2, 0, 2, 2, 0])
DISCOUNT = 0.95
SHOWN = 100
"""Bars whose advantages are compared with the twin's."""


def _rule(objective: str) -> RewardRule:
    rewards = {"objective": objective, "pnl": 1.0, "scarcity_alignment": 0.5, "ethics_bonus": 0.75}
    config = TrainingConfig.from_dict({"environment": {"kind": "crypto"}, "rewards": rewards})
    return RewardRule(config, Encoder({}, (), np.zeros(3), typical_volatility=0.01))


SUMMED, LOGARITHMIC = _rule("volatility_units"), _rule("log")
WEIGHTS = SUMMED.weights


def walk(n: int) -> Bars:
    """Bars whose observation seldom changes by much, as those of features do."""
    rng, bars = np.random.default_rng(SEED), empty_bars(n)
    bars.observation[:] = np.cumsum(rng.integers(-2, 3, n)) % OBSERVATIONS
    bars.gap[:], bars.change[:] = rng.normal(0.0, 0.3, n), rng.normal(0.0, 1.0, n)
    bars.cost[:], bars.scarcity[:] = rng.uniform(0.0, 0.1, n), rng.normal(0.0, 0.1, n)
    bars.risk[:] = rng.random(n) < 0.02
    return bars


def _rows(bars: Bars, rewards: np.ndarray = SUMS) -> list[oracle.Bar]:
    names = ("observation", "gap", "change", "cost", "scarcity", "risk")
    columns = [getattr(bars, name).tolist() for name in names]
    by_move = rewards.tolist() or [()] * bars.observation.size
    return [oracle.Bar(*row) for row in zip(*columns, by_move, strict=True)]


def _count(by_mood: bool, rule: RewardRule = SUMMED) -> Callable[[int], Prepared]:
    def prepare(n: int) -> Prepared:
        bars, counted = walk(n), TransitionCounts(OBSERVATIONS, rule, by_mood=by_mood)
        rewards = by_move(rule, bars)
        counted.make_room(n, rewards)

        def made() -> list:
            totals = counted.totals()
            return [totals.here, totals.following, totals.bars, totals.rises, totals.counts.alerts]

        def expected() -> list:
            every, edges, rises, _ = oracle.count_transitions(_rows(bars, rewards), WEIGHTS.tolist(), [1] * n, -1)
            pairs = sorted(edges)
            here, following = zip(*pairs, strict=True)
            raised = [[rises[*pair, move] for move in range(9)] for pair in pairs] if by_mood else np.zeros((0, 9))
            alerts = [every.get(observation, [0, 0])[1] for observation in range(OBSERVATIONS)]
            return [here, following, [edges[pair] for pair in pairs], np.array(raised), alerts]

        given = bars, WEIGHTS, rewards, ONCE
        return Prepared(
            lambda: planning.count_transitions(*given, np.full(1, -1), by_mood, counted.counts, counted.edges),
            made,
            expected,
        )

    return prepare


def _earn(n: int) -> Prepared:
    bars, targets = walk(n), np.random.default_rng(SEED).integers(0, 3, (POLICIES, 3 * OBSERVATIONS)).astype(np.uint8)
    earned = np.zeros(POLICIES)

    def call() -> None:
        earned[:] = 0.0
        planning.earn(bars.observation, bars, WEIGHTS, SUMS, targets, np.ones(POLICIES, np.int64), earned)

    def expected() -> list:
        moves = ({divmod(place, 3): int(new) for place, new in enumerate(target)} for target in targets)
        return [[oracle.earn(_rows(bars), WEIGHTS.tolist(), move) for move in moves]]

    return Prepared(call, lambda: [earned], expected)


def _realised(n: int) -> Prepared:
    bars, rng = walk(n), np.random.default_rng(SEED)
    q, out = rng.normal(size=(3 * OBSERVATIONS, 3)), np.empty(n - 1)
    rules = Rules(NEXT_POSITION, np.array([3, 3, 1]), 1, 0.0, np.zeros((2, 1)))
    after = NEXT_POSITION[np.arange(len(q)) % 3 * 3 + q.argmax(axis=1)].astype(np.int8)
    tape, mood = SUMMED.tape(bars, np.empty((n, 9))), np.zeros(n, np.int32)

    def expected() -> list:
        setting = oracle.Setting(tuple(WEIGHTS.tolist()), tuple(NEXT_POSITION.tolist()), 1, 0.0, DISCOUNT)
        rows = _rows(bars, tape.reward_by_position)
        # Of some starts only: the twin follows each to the end.
        return [calibration_oracle.realised_advantages(rows[-SHOWN:], [0] * SHOWN, q.reshape(-1, 1, 3, 3), setting)]

    return Prepared(
        lambda: calibration.realised_advantages(tape, rules, after, q.max(axis=1), DISCOUNT, mood, out),
        lambda: [out[1 - SHOWN :].round(9)],
        lambda: [np.round(each, 9) for each in expected()],
    )


KERNELS = (
    Kernel("planning.count_transitions", _count(False), unit="bar"),
    Kernel("planning.count_transitions, by mood", _count(True), unit="bar"),
    Kernel("planning.count_transitions, by mood, rewards by move", _count(True, LOGARITHMIC), unit="bar"),
    Kernel("calibration.realised_advantages", _realised, unit="bar"),
    Kernel("planning.earn, six policies", _earn, unit="bar"),
)
