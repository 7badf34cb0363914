"""The kernel of calibration against its definition."""

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kernels_planning import OBJECTIVES, RULES, SEEDS, bars_of, rows_of

from idi_fast.kernels.calibration import realised_advantages
from idi_fast.kernels.learn import Rules
from oracle import calibration as oracle
from oracle.planning import Setting


@given(SEEDS, st.integers(2, 40), st.sampled_from([1, 3]), OBJECTIVES, st.booleans(), st.booleans())
@settings(max_examples=examples(40))
def test_realised_advantages(seed, n, n_moods, objective, charged, short):
    rule, rng = RULES[objective], np.random.default_rng(seed)
    bars = bars_of(n, 4, seed, charged=charged)
    q, mood = rng.normal(size=(4, n_moods, 3, 3)), rng.integers(0, n_moods, n).astype(np.int32)
    moves = np.array([0, 2, 0, 1, 2, 0, 2, 2, 0] if short else [1, 2, 1, 1, 2, 1, 2, 2, 1])
    rules = Rules(moves, np.array([3 * n_moods, 3, 1]), n_moods, 0.2, np.zeros((2, 1)))
    table, made = q.reshape(-1, 3), np.empty(n - 1)
    after = moves[np.arange(len(table)) % 3 * 3 + table.argmax(axis=1)].astype(np.int8)
    tape = rule.tape(bars, np.empty((n, 9)))
    realised_advantages(tape, rules, after, table.max(axis=1), 0.9, mood, made)
    setting = Setting(tuple(rule.weights.tolist()), tuple(moves.tolist()), n_moods, 0.2, 0.9)
    # The same rewards, for moods depend on which side of a bound they are; sums of them are made from the other end.
    rows = [bar._replace(rewards=row) for bar, row in zip(rows_of(bars), tape.reward_by_position.tolist(), strict=True)]
    assert made == pytest.approx(oracle.realised_advantages(rows, mood.tolist(), q, setting), abs=1e-11)
