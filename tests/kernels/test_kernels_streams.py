"""What is said tick by tick, against the reference's emotion engine and exact profits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_strategies import eighths
from numpy.testing import assert_array_equal

from idi_fast.kernels import streams as kernels
from oracle import streams as oracle

MEANINGS = {"silent": 0, "positive": 1, "alert": 2, "persist": 3, "hum": 0}
TEXTS = {  # a mood's text, and whether it is positive, and alert
    "🙂 steady": (1, 0),
    "🚀 optimistic": (1, 0),
    "😐 cautious": (0, 1),
    "⚠️ alert": (0, 1),
    "calm": (0, 0),
    "🙂⚠️ torn": (1, 1),
}


def emote(moods: list[int], comm: list[str], texts: list[str], linger_ticks: int) -> np.ndarray:
    """The three cues of each tick as the kernel has them, one row a tick."""
    names = list(MEANINGS)
    out = np.full((3, len(moods)), 9, np.uint8)
    kernels.emote_bits(
        np.array(moods, np.int64),
        np.array([names.index(name) for name in comm], np.int16),
        np.array([TEXTS[text] for text in texts], np.uint8),
        np.array(list(MEANINGS.values()), np.int64),
        linger_ticks,
        np.zeros(1, np.int64),
        *out,
    )
    return out.T


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(list(MEANINGS))), min_size=1, max_size=30),
    st.lists(st.sampled_from(list(TEXTS)), min_size=4, max_size=4),
    st.integers(0, 4),
)
def test_emote_bits(ticks, texts, linger_ticks):
    moods, comm = map(list, zip(*ticks, strict=True))
    expected = oracle.emote_bits(moods, comm, dict(enumerate(texts)), linger_ticks)
    assert_array_equal(emote(moods, comm, texts, linger_ticks), expected)


@pytest.mark.parametrize(("linger_ticks", "lingers"), [(0, 0), (1, 1), (2, 2), (3, 3)])
def test_a_cue_lingers(linger_ticks, lingers):
    cues = emote([0] * 6, ["alert", *["silent"] * 5], ["calm"], linger_ticks)
    assert_array_equal(cues[:, 1], [1, 0, 0, 0, 0, 0])
    assert_array_equal(cues[:, 2], np.arange(6) < lingers)


def profits(position, entry, value, cost: float) -> np.ndarray:
    profit = np.full(len(position), 9, np.uint8)
    kernels.open_profit(np.array(position, np.int8), np.array(entry), np.array(value), cost, np.zeros(2), profit)
    return profit


@given(
    st.lists(st.tuples(st.integers(-1, 1), eighths(2), eighths(2)), min_size=1, max_size=30),
    st.integers(0, 16).map(lambda n: n / 8),
)
def test_open_profit(ticks, cost):
    position, entry, value = zip(*ticks, strict=True)
    # Equal, since differences of eighths are exact.
    assert_array_equal(profits(position, entry, value, cost), oracle.open_profit(position, entry, value, cost))


def test_open_profit_of_a_reversal_worked_by_hand():
    position, entry = [0, 1, 1, -1, -1, -1], [9.0, 1.0, 9.0, 2.0, 9.0, 9.0]
    value = [9.0, 1.5, 1.25, 2.0, 1.75, 1.625]
    assert_array_equal(profits(position, entry, value, 0.25), [0, 1, 0, 0, 0, 1])


@given(st.lists(st.tuples(st.integers(-1, 1), eighths(2), eighths(2)), min_size=2, max_size=20), eighths(2))
def test_open_profit_knows_nothing_of_later_ticks(ticks, other):
    position, entry, value = map(list, zip(*ticks, strict=True))
    changed = profits([*position[:-1], -position[-1]], [*entry[:-1], other], [*value[:-1], other], 0.25)
    assert_array_equal(changed[:-1], profits(position, entry, value, 0.25)[:-1])
