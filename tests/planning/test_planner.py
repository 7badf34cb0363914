"""Planned tables against the definition: every bar's weight, dense equations, all policies."""

from itertools import product

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from idi_fast.config.settings import TrainingConfig
from idi_fast.environments.features import Bars, Encoder, empty_bars
from idi_fast.environments.rewards import RewardRule
from idi_fast.environments.rng import make_generators
from idi_fast.environments.state_space import StateSpace, make_rules
from idi_fast.planning.planner import Plan, Planner, lost_share, optimism_share
from idi_fast.planning.shrinkage import follow_table
from oracle import planning as oracle
from oracle.utility import utility_rows

UNIT = 0.05
CHARGED = (0.0, 0.1), (0.1, 0.0)


def config(
    buckets=(2, 1, 3, 1),
    moods=2,
    *,
    clarity=0.2,
    short=True,
    regime=False,
    discount=0.9,
    objective="volatility_units",
    **learning,
) -> TrainingConfig:
    names = ("price", "volume", "trend", "scarcity")
    return TrainingConfig.from_dict(
        {
            "discount": discount,
            "quantizer": {**{f"{n}_buckets": b for n, b in zip(names, buckets, strict=True)}, "mood_buckets": moods},
            "rewards": {
                "communication_clarity": clarity,
                "ethics_bonus": 0.1,
                "scarcity_alignment": 0.3,
                "objective": objective,
                "risk_aversion": 3.0,
            },
            "environment": {"kind": "crypto", "allow_short": short, "observe_regime": regime},
            "learning": {"algorithm": "value_iteration", "shrinkage": 0.0, **learning},
        }
    )


def random_bars(setup: TrainingConfig, n: int, seed: int, charges: tuple[float, float] | None = None) -> Bars:
    """charges: deviations of what the old and the new position pay for being held."""
    space, rng = StateSpace.of(setup), np.random.default_rng(seed)
    bars = empty_bars(n, charged=charges is not None)
    observations = space.n_states // (3 * space.size("mood"))
    bars.observation[:] = rng.integers(0, observations, n)
    for column in (bars.gap, bars.change):
        column[:] = rng.normal(0.0, 0.6, n)
    bars.cost[:], bars.scarcity[:] = rng.uniform(0.0, 0.2, n), rng.normal(0.0, 0.1, n)
    bars.risk[:] = rng.random(n) < 0.2
    if charges is not None:
        bars.hold[:] = rng.normal(0.0, 1.0, (n, 2)) * charges
    return bars


def planned(setup: TrainingConfig, series: list[Bars], seed: int = 0) -> Plan:
    space = StateSpace.of(setup)
    generators = make_generators(setup.engine, seed)
    rewards = RewardRule(setup, Encoder({}, (), np.zeros(3), typical_volatility=UNIT))
    return Planner(setup, space, make_rules(setup, space), rewards, generators.agent).plan(series)


def moves_of(setup: TrainingConfig, bars: Bars) -> list[tuple[float, ...]]:
    """The rewards before the mood term of each bar by move, from the definition; empty if they are plain sums."""
    rewards, earned = setup.rewards, []
    hold = bars.hold.tolist() or [(0.0, 0.0)] * bars.gap.size
    for gap, change, cost, paid in zip(bars.gap, bars.change, bars.cost, hold, strict=True):
        moves = product((-1, 0, 1), repeat=2)
        earned.append(
            [
                float(old * gap + new * change - abs(new - old) * cost) - abs(old) * paid[0] - abs(new) * paid[1]
                for old, new in moves
            ]
        )
    weights, scarcity = (rewards.pnl, rewards.scarcity_alignment, rewards.ethics_bonus), bars.scarcity.tolist()
    if rewards.objective in ("log", "mean_variance", "downside"):
        rows = utility_rows(rewards.objective, rewards.risk_aversion, UNIT, scarcity, weights, earned)
    else:
        rows = [
            [weights[0] * each + weights[1] * s + (weights[2] if k % 3 else -weights[2]) for k, each in enumerate(row)]
            for row, s in zip(earned, scarcity, strict=True)
        ]
    return [tuple(row) for row in rows]


def oracle_process(setup: TrainingConfig, series: list[Bars], kappa: float) -> oracle.Process:
    space = StateSpace.of(setup)
    rules, weights = make_rules(setup, space), setup.rewards
    rows = [
        [
            oracle.Bar(*row)
            for row in zip(
                *(
                    getattr(bars, name).tolist()
                    for name in ("observation", "gap", "change", "cost", "scarcity", "risk")
                ),
                moves_of(setup, bars),
                strict=True,
            )
        ]
        for bars in series
    ]
    transitions = [(rows[k][t - 1].observation, rows[k][t]) for k in range(len(rows)) for t in range(1, len(rows[k]))]
    setting = oracle.Setting(
        (weights.pnl, weights.scarcity_alignment, weights.ethics_bonus),
        tuple(rules.next_position.tolist()),
        rules.n_moods,
        rules.clarity,
        setup.discount,
    )
    sizes = [space.size(name) for name in space.observed]
    return oracle.Process(transitions, sizes, [name != "regime" for name in space.observed], kappa, setting)


CASES = {
    "moods": {},
    "no moods": {"moods": 1},
    "moods without effect": {"clarity": 0.0},
    "no short": {"short": False},
    "regime": {"buckets": (3, 1, 1, 1), "regime": True, "moods": 1},
    "far-sighted": {"discount": 0.999},
}


@pytest.mark.parametrize("kappa", [0.0, 7.0])
@pytest.mark.parametrize("case", CASES)
def test_the_table_solves_the_empirical_process(case, kappa):
    setup = config(**CASES[case], shrinkage=kappa)
    check_solved(setup, [random_bars(setup, n, seed) for seed, n in enumerate((30, 2, 1, 25))])


@pytest.mark.parametrize("charges", [None, *CHARGED])
@pytest.mark.parametrize("objective", ["volatility_units", "simple", "log", "mean_variance", "downside"])
@pytest.mark.parametrize("moods", [1, 2])
def test_of_every_objective_and_charge(moods, objective, charges):
    setup = config(moods=moods, objective=objective, shrinkage=3.0)
    check_solved(setup, [random_bars(setup, n, seed, charges) for seed, n in enumerate((30, 25))])


def check_solved(setup: TrainingConfig, series: list[Bars]) -> None:
    process = oracle_process(setup, series, float(setup.learning.shrinkage))
    expected = process.best_table()
    plan = planned(setup, series)
    # Values are sums of 1 / (1 - discount) rewards; of short positions that cannot be there is none.
    reached = slice(None) if setup.environment.allow_short else slice(1, None)
    made = plan.tables.q.reshape(-1, 3, 3)[:, reached]
    assert_allclose(
        made, expected.reshape(-1, 3, 3)[:, reached], atol=1e-10 * max(1.0, 0.01 / (1.0 - setup.discount)), rtol=0
    )
    if not setup.environment.allow_short:
        assert not plan.tables.q.reshape(-1, 3, 3)[:, 0].any()


@pytest.mark.parametrize("kappa", [0.0, 7.0])
def test_what_is_said_is_solved_given_the_actions(kappa):
    setup = config(shrinkage=kappa)
    series = [random_bars(setup, 40, 3)]
    plan, process = planned(setup, series), oracle_process(setup, series, kappa)
    bonuses = make_rules(setup, StateSpace.of(setup)).comm_bonus
    alerts = {o: float(weight @ [bar.risk for _, bar in process.transitions]) for o, weight in process.weights.items()}
    said = {o: share * bonuses[1] + (1.0 - share) * bonuses[0] for o, share in alerts.items()}
    actions = plan.tables.q.argmax(axis=1).tolist()
    values = process.values(actions, {o: bonus.max() for o, bonus in said.items()})
    of_acting = process.action_values(values)[np.arange(len(actions)), actions]
    expected = [value + said[state[0]] for value, state in zip(of_acting, process.states, strict=True)]
    assert_allclose(plan.tables.comm_q, expected, atol=1e-10, rtol=0)


def test_no_stationary_policy_is_better_in_any_state():
    setup = config((2, 1, 1, 1), moods=1)
    series = [random_bars(setup, 20, 5)]
    process = oracle_process(setup, series, 0.0)
    best = planned(setup, series).tables.q.max(axis=1)
    for actions in product(range(3), repeat=len(process.states)):
        assert np.all(process.values(actions) <= best + 1e-9)


@given(st.integers(0, 2**32), st.sampled_from([0.0, 3.0, 50.0]), st.booleans())
@settings(max_examples=examples(15))
def test_of_any_bars(seed, kappa, by_mood):
    setup = config((2, 1, 2, 1), moods=3, clarity=0.3 if by_mood else 0.0, shrinkage=kappa)
    series = [random_bars(setup, 12, seed), random_bars(setup, 6, seed + 1)]
    expected = oracle_process(setup, series, kappa).best_table()
    assert_allclose(planned(setup, series).tables.q, expected, atol=1e-10, rtol=0)


def test_visits_count_the_bars_that_follow_an_observation():
    setup = config(moods=1)
    bars = random_bars(setup, 50, 1)
    plan = planned(setup, [bars])
    expected = np.bincount(bars.observation[:-1], minlength=6)
    assert_array_equal(plan.tables.visits.reshape(6, 3), np.repeat(expected[:, np.newaxis], 3, axis=1))


def test_standard_errors_of_independent_bars():
    """A single observation, blocks of one bar: the error of a mean of independent numbers."""
    setup = config((1, 1, 1, 1), moods=1)
    bars = random_bars(setup, 400, 2)
    plan = planned(setup, [bars])
    # Of a position that changes nothing there is no doubt; buying from short earns two changes and pays two costs.
    buys = plan.certainty.errors.reshape(3, 2)[:, 0]
    assert buys[2] == 0.0
    gains = 2.0 * bars.change[1:] - 2.0 * bars.cost[1:]
    assert buys[0] == pytest.approx(gains.std(ddof=1) / np.sqrt(gains.size), rel=0.25)
    assert_allclose(plan.certainty.bars, 399.0)


def test_an_action_must_convince():
    setup = config((2, 1, 2, 1), moods=1)
    series = [random_bars(setup, 300, 4)]
    free, sure = planned(setup, series), planned(config((2, 1, 2, 1), moods=1, confidence=3.0), series)
    assert np.count_nonzero(free.tables.q.argmax(axis=1)) > 0
    unsure = sure.tables.q[:, 1:] - sure.tables.q[:, :1] < 3.0 * sure.certainty.errors
    assert np.all(unsure | (sure.tables.q[:, 1:] > sure.tables.q[:, :1]) | (sure.certainty.errors == 0.0))
    never = planned(config((2, 1, 2, 1), moods=1, confidence=1e6), series)
    moves = never.tables.q.argmax(axis=1)
    assert not moves.any()


def test_resamples():
    setup = config((2, 1, 2, 1), moods=1, bootstrap=9, min_agreement=1.0)
    series = [random_bars(setup, 300, 4)]
    plan, again, other = planned(setup, series), planned(setup, series), planned(setup, series, seed=1)
    assert_array_equal(plan.tables.q, again.tables.q)
    assert (plan.tables.q != other.tables.q).any()
    agreement = plan.certainty.agreement
    assert agreement.min() >= 0.0
    assert agreement.max() == 1.0
    assert not plan.tables.q.argmax(axis=1)[agreement < 1.0].any()
    low, middle, high = plan.about["expected_reward"]
    assert low <= middle <= high
    assert plan.about["in_sample_reward"] > 0.0
    assert plan.certainty.optimism == plan.about["optimism_share"]


def test_the_share_of_optimism_by_hand():
    assert [lost_share(2.0, left_out) for left_out in (3.0, 2.0, 1.5, 0.0, -1.0)] == [0.0, 0.0, 0.25, 1.0, 1.0]
    assert lost_share(0.0, 1.0) is None
    assert [optimism_share(lost) for lost in (None, 0.0, 1.0)] == [None, 0.0, 1.0]
    # Half is lost: the weight of the bars left out is 0.632 / (1 - 0.368 / 2).
    assert optimism_share(0.5) == pytest.approx(0.632 / 0.816 * 0.5)


@pytest.mark.parametrize("objective", ["volatility_units", "downside"])
@pytest.mark.parametrize("moods", [1, 3])
def test_following_a_table(moods, objective):
    setup = config((2, 1, 2, 1), moods=moods, objective=objective)
    bars, space = random_bars(setup, 60, 9), StateSpace.of(setup)
    rules, out = make_rules(setup, space), np.full(60, np.nan)
    q = np.random.default_rng(1).normal(size=(space.n_states, 3))
    follow_table(bars, q, rules, RewardRule(setup, Encoder({}, (), np.zeros(3), typical_volatility=UNIT)), out)
    moves, position, mood, expected = moves_of(setup, bars), 1, 0, [0.0]
    for t in range(1, 60):
        state = (int(bars.observation[t - 1]) * moods + mood) * 3 + position
        old, position = position, int(rules.next_position[position * 3 + q[state].argmax()])
        expected.append(moves[t][old * 3 + position])
        mood = oracle.mood_after(mood, expected[-1], moods)
    assert_allclose(out, expected, atol=1e-13, rtol=0)
