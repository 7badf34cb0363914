"""Tile codes against turning wheels and the reference's table keys; rows of tiles against rulers and plain integers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, WORDS_64, pieces, states
from numpy.testing import assert_array_equal

from idi_fast.agents.table_layout import Layout
from idi_fast.config.settings import TrainingConfig
from idi_fast.environments.state_space import StateSpace
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


@given(WORDS_64)
def test_mix64(value):
    assert int(kernels.mix64(np.uint64(value))) == oracle.mix64(value)


NAMES = ("price", "volume", "trend", "scarcity", "mood")


@given(
    st.lists(st.integers(1, 9), min_size=5, max_size=5),
    st.lists(st.integers(1, 5), min_size=5, max_size=5),
    st.integers(1, 4),
    st.sampled_from(["reference", "displaced"]),
    st.sampled_from([200, 5000]),
    st.booleans(),
    CHUNKS,
    st.randoms(use_true_random=False),
)
def test_tile_rows(buckets, wanted, tilings, tiling, table_size, observes, chunks, random):
    setup = TrainingConfig.from_dict(
        {
            "quantizer": {f"{name}_buckets": size for name, size in zip(NAMES, buckets, strict=True)},
            "tile_coder": {
                "num_tilings": tilings,
                "tile_sizes": wanted,
                "tiling": tiling,
                "table_size": table_size,
            },
            "environment": {"kind": "crypto", "observe_regime": observes},
        }
    )
    space = StateSpace.of(setup)
    layout = Layout.of(setup, space)
    assert layout.n_rows <= table_size
    states = np.array([random.randrange(space.n_states) for _ in range(40)])
    codes = layout.observation_of(states)
    first, owners = np.empty((40, tilings), np.int32), np.full(layout.n_rows // layout.tiling.per_group, -1)
    lookups = np.zeros(2, np.int64)
    for piece in pieces(40, chunks):
        layout.rows(codes[piece], first[piece], owners, lookups)

    met, collided = {}, 0
    for state, made, whole in zip(states.tolist(), first.tolist(), layout.state_rows(states).tolist(), strict=True):
        digits = dict(zip(space.names, space.digits(np.array([state]))[0].tolist(), strict=True))
        five = [digits[name] for name in NAMES]
        if tiling == "displaced":
            tiles = oracle.displaced_tiles(five, buckets, wanted, tilings)
        else:
            offsets = setup.tile_coder.offsets
            tiles = [
                tuple((digit + offset + k) % size for digit, offset, size in zip(five, offsets, wanted, strict=True))
                for k in range(tilings)
            ]
        sizes = [*layout_tiles(layout, setup, buckets)]
        numbers = []
        for tile in tiles:
            observed = [*tile[:4], digits["regime"]] if observes else list(tile[:4])
            numbers.append(int(np.ravel_multi_index(observed, [*sizes[:4], 4] if observes else sizes[:4])))
        groups = layout.tiling.groups
        assert made == oracle.tile_rows(numbers, tilings, groups, layout.tiling.per_group, layout.tiling.is_hashed)
        within = [tile[4] * 3 + digits["position"] for tile in tiles]
        assert whole == [row + place for row, place in zip(made, within, strict=True)]
        for row, number in zip(made, numbers, strict=True):
            collided += met.setdefault(row, number) != number
    assert lookups.tolist() == [40 * tilings, collided]
    if not layout.tiling.is_hashed:
        assert collided == 0


def layout_tiles(layout: Layout, setup: TrainingConfig, buckets: list[int]) -> list[int]:
    """Tiles along each feature, those that stick out at its end among them."""
    coder = setup.tile_coder
    if coder.tiling == "reference":
        return list(coder.tile_sizes)
    last = oracle.displaced_tiles([size - 1 for size in buckets], buckets, coder.tile_sizes, coder.num_tilings)
    return [max(tile[d] for tile in last) + 1 for d in range(5)]
