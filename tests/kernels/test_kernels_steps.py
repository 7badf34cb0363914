"""Functions of a bar and a state, in machine code and in Python."""

from functools import cache

import numpy as np
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_strategies import eighths
from numpy.testing import assert_array_equal

from idi_fast.environments.own_steps import compiled_step
from idi_fast.kernels import steps as kernels
from oracle import steps as oracle


def ring_mean(state, values, window):
    """The sum of the last values times a second one, over the window."""
    at = 1 + int(state[0]) % window
    state[0] += 1.0
    state[at] = values[0]
    total = 0.0
    for k in range(1, window + 1):
        total += state[k]
    return total * values[1] / window


compiled = cache(compiled_step)


@given(st.lists(st.tuples(eighths(), eighths()), max_size=30), st.integers(1, 8))
@settings(max_examples=examples(30))
def test_run_steps(rows, window):
    columns, out = np.array(rows).reshape(-1, 2).T, np.empty(len(rows))
    state, expected_state = np.zeros(window + 1), np.zeros(window + 1)
    kernels.run_steps(compiled(ring_mean), columns.copy(), window, np.full(2, 7.0), state, out)
    assert_array_equal(out, oracle.run_steps(ring_mean, columns.tolist(), window, expected_state))
    assert_array_equal(state, expected_state)
