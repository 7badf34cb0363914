"""The kernels of planning against their definitions, over bars cut anywhere."""

from itertools import pairwise

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from idi_fast.config.settings import TrainingConfig
from idi_fast.environments.features import Bars, Encoder, empty_bars
from idi_fast.environments.rewards import RewardRule
from idi_fast.kernels import planning as kernels
from idi_fast.planning.counts import TransitionCounts, count, count_parts, each_left_out
from idi_fast.planning.hierarchy import Hierarchy, Nodes
from idi_fast.planning.rewards import by_move, overlapping
from idi_fast.planning.solution import blending
from oracle import planning as oracle


def rule_of(objective: str) -> RewardRule:
    rewards = {"objective": objective, "scarcity_alignment": 0.3, "ethics_bonus": 0.1, "risk_aversion": 3.0}
    config = TrainingConfig.from_dict({"environment": {"kind": "crypto"}, "rewards": rewards})
    return RewardRule(config, Encoder({}, (), np.zeros(3), typical_volatility=0.05))


RULES = {objective: rule_of(objective) for objective in ("volatility_units", "log", "downside")}
WEIGHTS = RULES["log"].weights
OBJECTIVES = st.sampled_from(list(RULES))
SEEDS = st.integers(0, 2**32 - 1)
COLUMNS = ("observation", "gap", "change", "cost", "scarcity", "risk")


def bars_of(n: int, observations: int, seed: int, *, charged: bool = False) -> Bars:
    bars, rng = empty_bars(n, charged=charged), np.random.default_rng(seed)
    bars.observation[:] = rng.integers(0, observations, n)
    for column in (bars.gap, bars.change):
        column[:] = rng.normal(0.0, 0.6, n)
    bars.cost[:], bars.scarcity[:] = rng.uniform(0.0, 0.2, n), rng.normal(0.0, 0.1, n)
    bars.risk[:] = rng.random(n) < 0.2
    bars.hold[:] = rng.normal(0.0, 0.1, bars.hold.shape)
    return bars


def rows_of(bars: Bars, rule: RewardRule | None = None) -> list[oracle.Bar]:
    """rule: makes rewards by move, where they are no sums."""
    rewards = [()] * bars.observation.size if rule is None else by_move(rule, bars).tolist() or [()] * len(bars.gap)
    return [oracle.Bar(*row) for row in zip(*(getattr(bars, name).tolist() for name in COLUMNS), rewards, strict=True)]


def cut(bars: Bars, *places: int) -> list[Bars]:
    bounds = sorted({0, bars.observation.size, *(place % (bars.observation.size + 1) for place in places)})
    return [bars.rows(slice(start, stop)) for start, stop in pairwise(bounds)]


@given(
    SEEDS,
    st.integers(1, 400),
    st.booleans(),
    st.tuples(st.integers(0, 400), st.integers(0, 400)),
    OBJECTIVES,
    st.booleans(),
)
@settings(max_examples=examples(40))
def test_counts(seed, n, by_mood, places, objective, charged):
    rule = RULES[objective]
    bars, times = bars_of(n, 40, seed, charged=charged), np.random.default_rng(seed).integers(0, 3, n).astype(np.int32)
    totals, edges, rises, falls = oracle.count_transitions(rows_of(bars, rule), WEIGHTS.tolist(), times.tolist(), -1)
    counted, before, start = TransitionCounts(40, rule, by_mood=by_mood), np.full(1, -1), 0
    for part in cut(bars, *places):
        stop = start + part.observation.size
        counted.add(part, times[start:stop], before)
        start = stop
    made = counted.totals()
    pairs = list(zip(made.here.tolist(), made.following.tolist(), strict=True))
    assert pairs == sorted(pair for pair, many in edges.items() if many)
    assert made.bars.tolist() == [edges[pair] for pair in pairs]
    for here, row in totals.items():
        assert [made.counts.bars[here], made.counts.alerts[here], *made.counts.sums[here]] == row
    if by_mood:
        assert made.rises.tolist() == [[rises[*pair, move] for move in range(9)] for pair in pairs]
        assert made.falls.tolist() == [[falls[*pair, move] for move in range(9)] for pair in pairs]


def test_many_edges_outgrow_the_table():
    bars = bars_of(60_000, 3_000, 0)
    made = count([bars], 3_000, RULES["volatility_units"], by_mood=False)
    keys, many = np.unique(bars.observation[:-1].astype(np.int64) * 3_000 + bars.observation[1:], return_counts=True)
    assert_array_equal(made.here * 3_000 + made.following, keys)
    assert_array_equal(made.bars, many)


def test_copy_edges():
    narrow, wide = (kernels.Edges(np.full(n, -1), np.zeros(n, np.int32), np.zeros(1, np.int64)) for n in (4, 64))
    narrow.key[[0, 3]], narrow.bars[[0, 3]], narrow.used[0] = [70, 8], [2, 5], 2
    kernels.copy_edges(narrow, wide)
    expected: dict[int, list[int]] = {}
    oracle.copy_edges({70: [2], 8: [5]}, expected)
    taken = wide.key >= 0
    assert {
        key: [many] for key, many in zip(wide.key[taken].tolist(), wide.bars[taken].tolist(), strict=True)
    } == expected
    assert wide.used[0] == 2


@given(SEEDS, st.integers(20, 200), st.integers(2, 5), OBJECTIVES)
@settings(max_examples=examples(15))
def test_parts_left_out(seed, n, k, objective):
    series, rule = cut(bars_of(n, 9, seed), seed), RULES[objective]
    bounds = np.linspace(0, n, k + 1).astype(int).tolist()
    for number, made in enumerate(each_left_out(count_parts(series, bounds, 9, rule))):
        times = np.ones(n, np.int32)
        times[bounds[number] : bounds[number + 1]] = 0
        expected = count(series, 9, rule, by_mood=False, times=times)
        for name in ("here", "following", "bars"):
            assert_array_equal(getattr(made, name), getattr(expected, name))
        assert_array_equal(made.counts.bars, expected.counts.bars)
        assert_allclose(made.counts.sums, expected.counts.sums, atol=1e-12)  # added in another order


def tree(seed: int) -> tuple[Nodes, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    hierarchy = Hierarchy((5, 3), (True, True))
    observations = np.flatnonzero(rng.random(15) < 0.6)
    nodes = Nodes(hierarchy, observations if observations.size else np.array([0]))
    bars = nodes.totals(rng.integers(0, 9, nodes.observations.size))
    bars[-1] = max(bars[-1], 1)
    return nodes, *blending(bars, nodes.level, np.full(hierarchy.levels, rng.choice([0.0, 4.0])))


@given(SEEDS)
@settings(max_examples=examples(25))
def test_blend(seed):
    nodes, own, inherited = tree(seed)
    table = np.zeros((nodes.size, 2))
    table[: nodes.observations.size] = np.random.default_rng(seed).normal(size=(nodes.observations.size, 2))
    expected = [
        oracle.blend(nodes.parent.tolist(), own.tolist(), inherited.tolist(), column.tolist()) for column in table.T
    ]
    kernels.blend(nodes.parent, own, inherited, table)
    assert_allclose(table.T, expected, rtol=1e-12, atol=1e-14)  # sums of members in another order


def simple_model(seed: int, n_moods: int, m: int = 4) -> tuple[kernels.Model, list, np.ndarray]:
    """A process without groups, its edges for the twin, and values."""
    rng, pairs = np.random.default_rng(seed), []
    for here in range(m):
        pairs += [(here, int(following)) for following in np.flatnonzero(rng.random(m) < 0.7)] or [(here, here)]
    many = rng.integers(1, 6, len(pairs)).astype(np.int32)
    rises = np.minimum(rng.integers(0, 3, (len(pairs), 9)), many[:, np.newaxis]).astype(np.int32)
    falls = np.minimum(rng.integers(0, 3, (len(pairs), 9)), many[:, np.newaxis] - rises).astype(np.int32)
    here = np.array([pair[0] for pair in pairs])
    bars = np.bincount(here, many, m)
    model = kernels.Model(
        first=np.searchsorted(here, np.arange(m + 1)),
        following=np.array([pair[1] for pair in pairs], np.int32),
        bars=many,
        rises=rises if n_moods > 1 else np.zeros((0, 9), np.int32),
        falls=falls if n_moods > 1 else np.zeros((0, 9), np.int32),
        parent=np.append(np.full(m, m), m),
        own=np.append(1.0 / bars, 1.0 / bars.sum()),
        inherited=np.zeros(m + 1),
        reward=rng.normal(size=(m + 1, 9)),
        next_position=np.array([0, 2, 0, 1, 2, 0, 2, 2, 0]),
        n_moods=n_moods,
        clarity=0.3 if n_moods > 1 else 0.0,
        discount=0.9,
    )
    edges = [
        (*pair, n, up.tolist(), down.tolist())
        for pair, n, up, down in zip(pairs, many.tolist(), rises, falls, strict=True)
    ]
    return model, edges, rng.normal(size=(m, 3 * n_moods))


@pytest.mark.parametrize("n_moods", [1, 3])
@given(seed=SEEDS)
@settings(max_examples=examples(10))
def test_continuations_and_back_up(n_moods, seed):
    model, edges, values = simple_model(seed, n_moods)
    m = values.shape[0]
    setting = oracle.Setting(
        (1.0, 0.0, 0.0), tuple(model.next_position.tolist()), n_moods, model.clarity, model.discount
    )
    if n_moods == 1:
        edges = [(*edge[:3], [0] * 9, [0] * 9) for edge in edges]
    expected = (
        oracle.continuations(edges, values.reshape(m, 3, n_moods), setting) * model.own[:m, np.newaxis, np.newaxis]
    )
    made, worth = np.empty((m + 1, 9 * n_moods if n_moods > 1 else 3)), np.empty_like(values)
    kernels.continuations(model, values, worth, made)
    of_moves = made[:m].reshape(m, 9, n_moods) if n_moods > 1 else made[:m, np.arange(9) % 3][:, :, np.newaxis]
    assert_allclose(of_moves, expected, rtol=1e-12, atol=1e-13)
    bonus, out = np.arange(m) / 10.0, np.empty_like(values)
    allowed = np.random.default_rng(seed).integers(1, 8, values.shape).astype(np.uint8)
    kernels.back_up(model, bonus, allowed, values, worth, made, out)
    for (here, place), value in np.ndenumerate(out):
        position, mood = divmod(place, n_moods)
        moves = [
            position * 3 + model.next_position[position * 3 + a] for a in range(3) if (allowed[here, place] >> a) & 1
        ]
        best = max(model.reward[here, move] + expected[here, move, mood] for move in moves)
        assert value == pytest.approx(bonus[here] + best, abs=1e-12)


@pytest.mark.parametrize("n_moods", [1, 3])
def test_iterate_values_converges_faster_than_sweeps(n_moods):
    model, _, values = simple_model(7, n_moods, m=12)
    start, worth = np.zeros_like(values), np.empty_like(values)
    following = np.empty((13, 9 * n_moods if n_moods > 1 else 3))
    allowed, bonus = np.full(values.shape, 7, np.uint8), np.zeros(12)
    swept, out = start.copy(), np.empty_like(values)
    for _ in range(600):
        kernels.back_up(model, bonus, allowed, swept, worth, following, out)
        swept[:] = out
    made = start.copy()
    change = kernels.iterate_values(model, bonus, allowed, made, worth, following, 40, 1e-12)
    assert change <= 1e-12
    assert_allclose(made, swept, atol=1e-10)


@given(SEEDS, st.integers(1, 5))
@settings(max_examples=examples(25))
def test_combine(seed, held):
    residuals = np.random.default_rng(seed).normal(size=(held, 20)) * 10.0 ** -np.arange(held)[:, np.newaxis]
    shares = np.zeros(8)
    kernels.combine(residuals @ residuals.T, held, shares)
    # The ridge, and the squares of the products, leave half the digits.
    assert_allclose(shares[:held], oracle.combine(residuals), atol=1e-6)


@given(SEEDS, st.integers(1, 50), OBJECTIVES, st.booleans(), st.integers(1, 20))
@settings(max_examples=examples(25))
def test_earn(seed, n, objective, charged, size):
    bars, rule, rng = bars_of(n, 4, seed, charged=charged), RULES[objective], np.random.default_rng(seed)
    targets, earned, position = rng.integers(0, 3, (2, 12)).astype(np.uint8), np.zeros(2), np.ones(2, np.int64)
    for _, part in overlapping(bars, size):
        kernels.earn(part.observation, part, WEIGHTS, by_move(rule, part), targets, position, earned)
    for target, total in zip(targets, earned, strict=True):
        new = {divmod(place, 3): int(position) for place, position in enumerate(target)}
        assert total == oracle.earn(rows_of(bars, rule), WEIGHTS.tolist(), new)
