"""Q-tables as integers, so that a commitment means the same on every machine."""

import numpy as np

from idi_fast.errors import EvidenceError

SCALE = 65536
"""A Q-value of 1 in Q16.16: sixteen bits before the binary point, including the sign, and sixteen after it."""
LIMIT = 32768


def to_fixed_point(q: np.ndarray) -> np.ndarray:
    """A Q-table in Q16.16, truncated toward zero.

    q float64 (n_states, n_actions), expected discounted reward; returns int32 (n_states, n_actions), in 1/65536. Raises
    EvidenceError naming the first state with a value outside [-32768, 32768).
    """
    q = np.asarray(q, np.float64)
    if q.ndim != 2:
        raise EvidenceError(f"a Q-table has the shape (states, actions); found {q.shape}")
    outside = ~((q >= -LIMIT) & (q < LIMIT))  # which NaN is too
    if outside.any():
        state, action = np.argwhere(outside)[0].tolist()
        value = float(q[state, action])
        raise EvidenceError(
            f"the value of action {action} in state {state} is {value}; fixed point holds -{LIMIT} to below {LIMIT}"
        )
    # Exact: a product with a power of two, which cannot overflow for values in range.
    return np.trunc(q * SCALE).astype(np.int32)


def differing_states(q: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The states whose greedy action differs in fixed point, in ascending order, int64 (n,).

    q float64 (n_states, n_actions); table int32 of that shape, from `to_fixed_point`. Values that differ by less than
    1/65536 may become equal; ties go to the first action, hold before buy before sell, as in training. Raises
    EvidenceError if the shapes differ.
    """
    if q.shape != table.shape:
        raise EvidenceError(f"a Q-table of shape {q.shape} has none of shape {table.shape} in fixed point")
    return np.flatnonzero(q.argmax(axis=1) != table.argmax(axis=1))
