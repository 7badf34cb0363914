"""The probability of backtest overfitting, and how many independent trials correlated ones amount to."""

from itertools import combinations
from statistics import fmean, median, stdev

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from idi_fast.backtesting.kpis import deflated_sharpe_ratio, sharpe_ratio
from idi_fast.selection.overfitting import effective_trials, probability_of_overfitting


def score(values: list[float], is_sharpe: bool) -> float:
    if not is_sharpe:
        return fmean(values)
    return fmean(values) / stdev(values) if stdev(values) > 0.0 else 0.0


def by_definition(earned: list[list[float]], blocks: int, is_sharpe: bool) -> tuple[float, float, float, int]:
    """Split by split, of lists."""
    length = len(earned[0]) // blocks
    ranks, scores = [], []
    for chosen in combinations(range(blocks), blocks // 2):
        here = [k * length + i for k in chosen for i in range(length)]
        there = [k * length + i for k in range(blocks) if k not in chosen for i in range(length)]
        best = max(range(len(earned)), key=lambda config: score([earned[config][t] for t in here], is_sharpe))
        others = sorted(score([row[t] for t in there], is_sharpe) for row in earned)
        own = score([earned[best][t] for t in there], is_sharpe)
        places = [place for place, other in enumerate(others, 1) if other == pytest.approx(own, rel=1e-12, abs=1e-15)]
        ranks.append(fmean(places) / (len(earned) + 1))
        scores.append(own)
    return (
        fmean(rank <= 0.5 for rank in ranks),
        fmean(own < 0.0 for own in scores),
        median(ranks),
        len(ranks),
    )


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(2, 5), st.sampled_from([2, 4, 6]), st.booleans())
@settings(max_examples=examples(40))
def test_it_is_what_its_definition_says(seed, configs, length, blocks, is_sharpe):
    drawn = np.random.default_rng(seed)
    earned = drawn.normal(drawn.normal(size=(configs, 1)), 1.0, (configs, length * blocks + 1))
    found = probability_of_overfitting(earned, is_sharpe=is_sharpe, blocks=blocks)
    # Sums over blocks are rounded otherwise, so that no two scores that are near must change places: they do not here.
    assert found == pytest.approx(by_definition(earned.tolist(), blocks, is_sharpe), rel=1e-12)


def test_noise_is_overfitted_and_skill_is_not():
    drawn = np.random.default_rng(7)
    noise = drawn.normal(size=(50, 1600))
    # Of independent noise the best of one half is any of the other.
    assert np.mean(
        [probability_of_overfitting(drawn.normal(size=(20, 320))).probability for _ in range(20)]
    ) == pytest.approx(0.5, abs=0.1)
    skilled = np.concatenate([noise, drawn.normal(0.3, 1.0, (1, 1600))])
    found = probability_of_overfitting(skilled)
    assert found.probability < 0.01
    assert found.median_rank > 0.95
    assert found.splits == 12_870


def test_what_is_best_in_one_half_only_is_overfitted():
    """Each config earns in its own block and loses elsewhere: the more of a config is chosen by, the less is left."""
    earned = np.full((16, 160), -0.01) + np.random.default_rng(1).normal(0.0, 1e-4, (16, 160))
    for k in range(16):
        earned[k, 10 * k : 10 * k + 10] += 1.0
    found = probability_of_overfitting(earned)
    assert found.probability == 1.0
    assert found.probability_of_loss == 1.0


def test_of_configs_that_earn_the_same_none_can_be_overfitted():
    assert probability_of_overfitting(np.zeros((3, 64))) is None
    same = np.tile(np.random.default_rng(2).normal(size=64), (3, 1))
    assert probability_of_overfitting(same) is None
    same[1, 5] += 0.1
    assert probability_of_overfitting(same) is not None


@pytest.mark.parametrize("shape", [(1, 320), (5, 31)])
def test_without_a_choice_there_is_none(shape):
    assert probability_of_overfitting(np.ones(shape)) is None


def test_effective_trials_of_groups():
    drawn = np.random.default_rng(3)
    waves = np.cos(2.0 * np.pi * np.outer(np.arange(1, 5), np.arange(64)) / 64)  # without correlation
    assert effective_trials(waves) == pytest.approx(4.0)
    groups = np.repeat(waves, 25, axis=0) * drawn.uniform(0.5, 2.0, (100, 1)) + drawn.normal(size=(100, 1))
    assert effective_trials(groups) == pytest.approx(4.0)  # scale and level do not count
    assert 4.0 < effective_trials(np.concatenate([groups, np.zeros((25, 64))])) <= 5.0
    assert effective_trials(waves[:1]) == effective_trials(np.repeat(waves[1:2], 9, axis=0)) == 1.0
    assert effective_trials(np.zeros((9, 64))) == effective_trials(np.full((9, 64), 0.1)) == 1.0
    assert effective_trials(np.concatenate([waves[:1], -waves[:1]])) == pytest.approx(2.0)
    noise = drawn.normal(size=(20, 5000))  # over spans of five bars: a little less than 20
    assert 18.0 < effective_trials(noise) <= 20.0
    assert 18.0 < effective_trials(noise + 3.0 * drawn.normal(size=5000)) <= 20.0  # what all share is no likeness


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(3, 30))
@settings(max_examples=examples(50))
def test_effective_trials_are_those_of_the_eigenvalues(seed, configs, n):
    earned = np.random.default_rng(seed).normal(size=(configs, n))
    standard = (earned - earned.mean(axis=1, keepdims=True)) / earned.std(axis=1, keepdims=True)
    values = np.linalg.eigvalsh(np.cov(standard.T, bias=True))
    expected = min(configs, 1.0 + values.sum() ** 2 / (values**2).sum())
    assert effective_trials(earned) == pytest.approx(expected, rel=1e-9)  # summed otherwise


@pytest.mark.parametrize("shared", [0.0, 3.0])
def test_worthless_configs_are_called_lucky_whatever_they_have_in_common(shared):
    """The best of thirty is called more than luck in one case of twenty, or less, as a test at 95 % has to."""
    drawn, called = np.random.default_rng(11), 0
    for _ in range(200):
        earned = drawn.normal(size=(30, 250)) + shared * drawn.normal(size=250)
        sharpes = [sharpe_ratio(each) for each in earned]
        deflated = deflated_sharpe_ratio(earned[np.argmax(sharpes)], sharpes, effective_trials(earned))
        called += deflated >= 0.95
    assert called <= 20
