"""Tables of resampled bars: what other bars of the same market might have said."""

from collections.abc import Iterator, Sequence

import numpy as np

from idi_fast.environments.features import Bars
from idi_fast.environments.rng import Generator
from idi_fast.kernels.doubt import resample
from idi_fast.planning.doubt import block_length


def resamples(series: Sequence[Bars], generator: Generator, n: int) -> Iterator[np.ndarray]:
    """The numbers of the bars of n resamples, each int64 (bars,), by the stationary bootstrap (Politis & Romano 1994).

    Bars are numbered over all series, and blocks are of the mean length of `block_length`.
    """
    bars = sum(each.observation.size for each in series)
    ends_below = np.uint64((2**64 - 1) // block_length(bars))
    words, chosen = np.empty((2, bars), np.uint64), np.empty(bars, np.int64)
    for _ in range(n):
        generator.words64(words)
        resample(words, ends_below, bars, chosen)
        yield chosen


def occurrences(chosen: np.ndarray) -> np.ndarray:
    """How often each bar was drawn, int32 (bars,)."""
    return np.bincount(chosen, minlength=chosen.size).astype(np.int32)
