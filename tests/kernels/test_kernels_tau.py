"""Compiled clauses against the same clauses followed value by value."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, pieces
from numpy.testing import assert_array_equal
from tau_specs import systems

from idi_fast.kernels import tau as kernels
from idi_fast.tau.formula import NotModelled
from idi_fast.tau.model import Model
from idi_fast.tau.parts import Unsatisfiable
from oracle import tau as oracle

TICKS = 12


@given(systems(mirrored=True, widths=(None, 1, 5, 32)), CHUNKS, st.randoms(use_true_random=False))
def test_run_clauses(system, chunks, random):
    spec = system.spec
    try:
        model = Model.of(spec)
    except (NotModelled, Unsatisfiable):
        return
    masks = {name: 1 if width is None else 2**width - 1 for name, width in system.widths.items()}
    back = spec.lookback
    values = {(name, t): random.randint(0, masks[name]) for name in masks for t in range(back)}
    inputs = [stream.name for stream in spec.inputs]
    values |= {(name, t): random.randint(0, masks[name]) for name in inputs for t in range(back, back + TICKS)}
    streams = np.zeros((len(model.rows), back + TICKS), np.uint32)
    for (name, t), value in values.items():
        if name in model.rows:  # the others have no effect
            streams[model.rows[name], t] = value
    for piece in pieces(TICKS, chunks):
        model.runner().run(streams, back + piece.start, back + piece.stop)
    oracle.run_clauses(system.clauses, masks, values, back, back + TICKS)
    for name in model.outputs:
        assert_array_equal(streams[model.rows[name]], [values[name, t] for t in range(back + TICKS)])


@pytest.mark.parametrize(
    ("operation", "expected"),
    [(kernels.AND, [0b1000, 0, 0b1010]), (kernels.OR, [0b1110, 0b1111, 0b1010]), (kernels.XOR, [0b0110, 0b1111, 0])],
)
def test_a_program_worked_by_hand(operation, expected):
    program = np.array(
        [
            (kernels.LOAD, 0, 0, 0),
            (kernels.LOAD, 1, 1, 0),
            (operation, 0, 1, 0),
            (kernels.STORE, 2, 0, 0),
            (kernels.CONSTANT, 1, 7, 0),
            (kernels.STORE, 3, 1, 0),
            (kernels.LOAD, 1, 2, 1),
            (kernels.FLIP, 1, 2**32 - 1, 0),
            (kernels.STORE, 4, 1, 0),
        ],
        np.int64,
    )
    streams = np.zeros((5, 4), np.uint32)
    streams[:2, 1:] = [[0b1100, 0b1111, 0b1010], [0b1010, 0, 0b1010]]
    kernels.run_clauses(program, streams, np.zeros(2, np.uint32), 1, 4)
    assert_array_equal(streams[2, 1:], expected)
    assert_array_equal(streams[3, 1:], 7)
    assert_array_equal(streams[4, 1:], 2**32 - 1 - np.array([0, *expected[:2]]))
    assert_array_equal(streams[2:, 0], 0)


def test_one_signature():
    if not hasattr(kernels.run_clauses, "signatures"):
        return
    program, streams = np.array([(kernels.CONSTANT, 0, 1, 0), (kernels.STORE, 0, 0, 0)]), np.zeros((1, 3), np.uint32)
    kernels.run_clauses(program, streams, np.zeros(1, np.uint32), 0, 3)
    assert_array_equal(streams, 1)
    assert len(kernels.run_clauses.signatures) == 1
