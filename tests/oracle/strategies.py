"""What Hypothesis draws for the kernel tests."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import numpy as np
from hypothesis import strategies as st

SEEDS = st.integers(0, 2**32 - 1)
WORDS_32 = st.integers(0, 2**32 - 1)
WORDS_64 = st.integers(0, 2**64 - 1)
CHUNKS = st.lists(st.integers(0, 30), min_size=1, max_size=5).filter(any)
"""Lengths to cut a series into, gone round again and again; some are empty."""


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
