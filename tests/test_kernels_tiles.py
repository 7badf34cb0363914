"""Tile codes against turning wheels and the reference's table keys."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from kernel_strategies import states
from numpy.testing import assert_array_equal

from idi_fast.kernels import tiles as kernels
from oracle import tiles as oracle
from oracle.reference import table_key


@given(states(5, slack=4), st.integers(1, 4), st.data())
def test_tile_codes(case, n_tilings, data):
    sizes, rows = case
    offsets = data.draw(st.lists(st.integers(-3, 9), min_size=len(sizes), max_size=len(sizes)))
    codes = np.full((len(rows), n_tilings), -1, np.int64)
    kernels.tile_codes(np.array(rows, np.int32), np.array(sizes, np.int64), np.array(offsets, np.int64), codes)
    assert_array_equal(codes, oracle.tile_codes(rows, sizes, offsets, n_tilings))
    coder = {"num_tilings": n_tilings, "tile_sizes": sizes, "offsets": offsets}
    assert [(*row, *code) for row, code in zip(rows, codes.tolist(), strict=True)] == [
        table_key(row, coder) for row in rows
    ]
