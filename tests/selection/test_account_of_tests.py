"""The one account over the tests of a walk-forward analysis."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from market_data import history as prices
from market_data import random_walk
from numpy.testing import assert_allclose, assert_array_equal

from idi_fast.backtesting.account import FILLS, TradingAssumptions, keep_account
from idi_fast.selection.windows import Window, account_of_tests

FEE = 0.01
COSTS = {"fill": "next_close", "fee_bps": 1e4 * FEE}


def windows_of(lengths, gap: int = 0) -> list[Window]:
    """Windows whose tests have so many bars, and so many between them."""
    windows, start = [], 0
    for length in lengths:
        windows.append(Window(0, 0, start, start + length))
        start += length + gap
    return windows


def bounds_of(windows):
    return [window.tested for window in windows]


TARGETS = st.lists(st.lists(st.sampled_from([-1, 0, 1]), min_size=3, max_size=9), min_size=1, max_size=5)
TERMS = st.builds(TradingAssumptions, st.sampled_from(list(FILLS)), st.sampled_from([0.0, 30.0]))


@given(TARGETS, TERMS)
def test_one_account_goes_through_tests_that_follow_one_another(targets, terms):
    windows = windows_of(map(len, targets))
    history = random_walk(windows[-1].test_stop)
    equity, parts = account_of_tests(
        [np.array(target, np.int8) for target in targets], history, bounds_of(windows), terms
    )
    whole = keep_account(np.concatenate(targets).astype(np.int8), history, terms)
    assert_array_equal(equity, whole.equity)
    assert_array_equal(np.concatenate([part.position for part in parts]), whole.position)
    ended = [part.trades[part.trades[:, 1] >= 0] for part in parts]
    assert_array_equal(np.concatenate(ended), whole.trades[whole.trades[:, 1] >= 0])
    fees, traded, before = 0.0, 0.0, 1.0
    for part, window, trades in zip(parts, windows, ended, strict=True):
        assert ((trades[:, 1] >= window.test_start) & (trades[:, 1] < window.test_stop)).all()
        assert len(part.trades) - len(trades) == (part.position[-1] != 0)
        assert_allclose(part.equity * before, equity[window.test_start : window.test_stop])
        fees, traded, before = fees + part.fees * before, traded + part.traded * before, before * part.equity[-1]
    assert_allclose((fees, traded), (whole.fees, whole.traded))


@given(TARGETS, TERMS, st.integers(1, 4))
def test_a_gap_parts_one_account_from_the_next(targets, terms, gap):
    targets = [np.array(target, np.int8) for target in targets]
    windows = windows_of(map(len, targets), gap)
    history = random_walk(windows[-1].test_stop)
    equity, parts = account_of_tests(targets, history, bounds_of(windows), terms)
    made = []
    for target, window, part in zip(targets, windows, parts, strict=True):
        if window is not windows[-1]:
            target[-2:] = 0
            assert part.position[-1] == 0
        alone = keep_account(target, history.slice(window.test_start, window.test_stop), terms)
        assert_allclose(part.equity, alone.equity)
        assert_allclose((part.fees, part.traded), (alone.fees, alone.traded), atol=1e-12)
        made.append(alone.equity * (made[-1][-1] if made else 1.0))
    assert_allclose(equity, np.concatenate(made))


def test_what_is_bought_once_pays_once_and_what_is_left_before_a_gap_pays_for_that():
    history = prices(np.full(60, 50.0))
    long = [np.ones(6, np.int8)] * 4
    equity, parts = account_of_tests(long, history, bounds_of(windows_of([6] * 4)), TradingAssumptions(**COSTS))
    assert_allclose(equity[-1], 1.0 / (1.0 + FEE))
    assert [part.traded > 0.0 for part in parts] == [True, False, False, False]
    equity, parts = account_of_tests(long, history, bounds_of(windows_of([6] * 4, gap=2)), TradingAssumptions(**COSTS))
    left = (1.0 - FEE) / (1.0 + FEE)
    assert_allclose([part.equity[-1] for part in parts], [left, left, left, 1.0 / (1.0 + FEE)])
    assert_allclose(equity[-1], left**3 / (1.0 + FEE))
    assert [len(part.trades) for part in parts] == [1] * 4
    assert [part.position.tolist() for part in parts[-2:]] == [[0, 1, 1, 1, 1, 0], [0, 1, 1, 1, 1, 1]]


def test_nothing_is_earned_or_lost_after_a_liquidation():
    history = prices(np.r_[np.full(6, 50.0), np.full(20, 150.0)])
    short = [np.full(6, -1, np.int8)] * 3
    equity, parts = account_of_tests(short, history, bounds_of(windows_of([6] * 3)), TradingAssumptions(**COSTS))
    assert equity[6:].tolist() == [0.0] * 12
    assert [part.equity[-1] for part in parts] == [parts[0].equity[-1], 0.0, 1.0]
    assert (parts[2].fees, parts[2].traded, len(parts[2].trades)) == (0.0, 0.0, 0)
