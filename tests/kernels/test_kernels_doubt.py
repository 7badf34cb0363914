"""The kernels of doubt against their definitions."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from test_kernels_planning import OBJECTIVES, RULES, SEEDS, WEIGHTS, bars_of, rows_of, simple_model

from idi_fast.kernels import doubt as kernels
from idi_fast.planning.hierarchy import Hierarchy, Nodes
from idi_fast.planning.rewards import by_move, overlapping
from oracle import doubt as oracle
from oracle import planning


@given(SEEDS, st.integers(2, 60), st.integers(1, 9), st.integers(1, 9), OBJECTIVES)
@settings(max_examples=40)
def test_deviations_and_close_block(seed, n, length, blocks_of_part, objective):
    hierarchy, rule = Hierarchy((4,), (True,)), RULES[objective]
    bars, rng = bars_of(n, 4, seed), np.random.default_rng(seed)
    nodes = Nodes(hierarchy, np.arange(4))
    model, _, values = simple_model(seed, 1)
    worth, size = model.discount * values, nodes.size
    model = model._replace(parent=nodes.parent)
    means = rng.normal(size=(size, 6))
    blocks = kernels.Blocks(
        means, np.zeros((size, 6)), np.zeros(size, np.int64), np.zeros((size, 6)), np.zeros(size, np.int64)
    )
    ids = np.arange(4, dtype=np.int32)
    for _, part in overlapping(bars, blocks_of_part * length):
        kernels.deviations(part, WEIGHTS, by_move(rule, part), ids, model, worth, length, blocks)
    rows, member = rows_of(bars, rule), []
    for node in range(4):
        chain = [node]
        while nodes.parent[chain[-1]] != chain[-1]:
            chain.append(int(nodes.parent[chain[-1]]))
        member.append(chain)
    for column in range(6):
        old, action = divmod(column, 2)
        new, advantages = int(model.next_position[old * 3 + action + 1]), []
        for t in range(1, n):
            gain, hold = (planning.reward(rows[t], old, to, WEIGHTS.tolist()) for to in (new, old))
            more = worth[rows[t].observation, new] - worth[rows[t].observation, old]
            advantages.append(((t - 1) // length, rows[t - 1].observation, gain - hold + more))
        squares, number = oracle.deviations(advantages, member, means[:, column].tolist())
        assert_allclose(blocks.squares[:, column], squares, rtol=1e-9, atol=1e-12)
        assert blocks.number.tolist() == number
        if n - 1 <= length:
            single = oracle.close_block([each[1:] for each in advantages], member, means[:, column].tolist())
            assert_allclose(blocks.squares[:, column], single[0], rtol=1e-9, atol=1e-12)
    assert not blocks.bars.any()


@given(SEEDS, st.integers(1, 50))
@settings(max_examples=15)
def test_resample(seed, n):
    words, chosen = np.random.default_rng(seed).integers(0, 2**64, (2, n), np.uint64), np.empty(n, np.int64)
    kernels.resample(words, np.uint64(2**62), n, chosen)
    assert chosen.tolist() == oracle.resample(list(zip(*words.tolist(), strict=True)), 2**62, n)
