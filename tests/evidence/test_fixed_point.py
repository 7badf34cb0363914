"""Q-values as whole numbers of 1/65536."""

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from idi_fast.errors import EvidenceError
from idi_fast.evidence.fixed_point import differing_states, to_fixed_point

VALUES = st.floats(-32768, 32768, exclude_max=True) | st.integers(-(2**19), 2**19).map(lambda n: n / 2**20)


@given(st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=20))
def test_truncated_toward_zero(rows):
    expected = []
    for row in rows:
        whole = [abs(Fraction(value) * 65536) // 1 for value in row]
        expected.append([-n if value < 0 else n for n, value in zip(whole, row, strict=True)])
    table = to_fixed_point(np.array(rows))
    assert table.dtype == np.int32
    assert table.tolist() == expected


def test_worked_by_hand():
    q = np.array([[0.0, 0.5, -0.25], [1e-5, -1e-5, 32767.99999], [-32768.0, 1.5 / 65536, -1.5 / 65536]])
    expected = [[0, 32768, -16384], [0, 0, 2**31 - 1], [-(2**31), 1, -1]]
    assert to_fixed_point(q).tolist() == expected


@pytest.mark.parametrize("value", [32768.0, -32768.1, 1e300, float("inf"), float("-inf"), float("nan")])
def test_what_does_not_fit_is_refused_by_name(value):
    q = np.zeros((5, 3))
    q[3, 1] = q[4, 2] = value
    with pytest.raises(EvidenceError, match=re.escape(f"action 1 in state 3 is {value};")):
        to_fixed_point(q)


def test_a_table_has_two_dimensions():
    with pytest.raises(EvidenceError, match="shape"):
        to_fixed_point(np.zeros(3))


@given(st.lists(st.tuples(*[st.integers(-6, 6)] * 3), min_size=1, max_size=20))
def test_differing_states(rows):
    # In quarters of the smallest step, so that many values become one.
    q = np.array(rows) / (4 * 65536)
    table = to_fixed_point(q)

    def best(row):
        return row.index(max(row))  # the first best, as in training

    whole = [[int(n / 4) for n in row] for row in rows]
    expected = [k for k, (row, fixed) in enumerate(zip(rows, whole, strict=True)) if best(row) != best(fixed)]
    assert_array_equal(differing_states(q, table), expected)


def test_only_tables_of_one_shape_are_compared():
    with pytest.raises(EvidenceError, match="shape"):
        differing_states(np.zeros((2, 3)), np.zeros((3, 3), np.int32))
