"""What Hypothesis draws for the kernel tests, and how a kernel is told of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import cycle

import numpy as np
from hypothesis import strategies as st

from idi_fast.kernels.crypto import Market, Stress
from oracle.reference import MARKET_DEFAULTS, REGIMES, STRESS

SEEDS = st.integers(0, 2**32 - 1)
WORDS_32 = st.integers(0, 2**32 - 1)
WORDS_64 = st.integers(0, 2**64 - 1)
CHUNKS = st.lists(st.integers(0, 30), min_size=1, max_size=5).filter(any)
"""Lengths to cut a series into, gone round again and again; some are empty."""
MARKETS = st.fixed_dictionaries(
    {
        "stress_scenario": st.sampled_from(sorted(STRESS)),
        "drift_bear": st.integers(-100, 100).map(lambda n: n / 1e4),
        "vol_base": st.just(0.2) | st.integers(0, 200).map(lambda n: n / 1e4),
        "shock_prob": st.sampled_from([0.0, 0.02, 0.9]),
        "fee_bps": st.floats(0, 50),
    }
).map(lambda chosen: {**MARKET_DEFAULTS, **chosen})
"""Markets as the reference's config has them."""


def pieces(n: int, chunks: list[int]) -> Iterator[slice]:
    """Slices that cover range(n) in order, their lengths those of `chunks`."""
    start = 0
    lengths = cycle(chunks)
    while start < n:
        stop = min(n, start + next(lengths))
        yield slice(start, stop)
        start = stop


def eighths(largest: int = 8) -> st.SearchStrategy[float]:
    """Multiples of 1/8 up to ±largest: sums and products of a few of them are exact, in whatever order."""
    return st.integers(-8 * largest, 8 * largest).map(lambda n: n / 8)


def uint64_rows(words: list[int], width: int) -> np.ndarray:
    """Words as rows of `width`, what is left over dropped."""
    n = len(words) // width
    return np.array(words[: n * width], np.uint64).reshape(n, width)


def market_and_stress(market: dict) -> tuple[Market, Stress]:
    """A market's parameters and its stress scenario as the kernels take them."""
    names = ("drift_bull", "drift_bear", "drift_chop", "vol_base", "vol_panic", "shock_prob", "shock_scale", "fee_bps")
    stress = STRESS[market["stress_scenario"]]
    drift, shock_prob = (math.nan if value is None else value for value in (stress.drift, stress.shock_prob))
    regime = -1.0 if stress.regime is None else REGIMES.index(stress.regime)
    scenario = (drift, stress.vol_multiplier, shock_prob, stress.fee_multiplier, regime)
    return Market(*(float(market[name]) for name in names)), Stress(*map(float, scenario))


@st.composite
def states(draw, n_digits: int, slack: int = 0):
    """Sizes, and rows of digits below them (up to `slack` above)."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=n_digits))
    row = st.tuples(*(st.integers(0, size - 1 + slack) for size in sizes))
    return sizes, draw(st.lists(row, min_size=1, max_size=10))
