"""Bars by definition, the whole series at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .features import push_features
from .market import BarReturn, bar_returns, bucket_changes, mixed_radix, quantize, regimes


class Encoded(NamedTuple):
    """What is seen of each bar, and what it earns."""

    observation: list[int]
    regime: list[int]
    scarcity: list[float]
    returns: list[BarReturn]


def encode_bars(
    rows: Sequence[tuple[str, Sequence[float], int]],
    log_close: Sequence[float],
    log_fill: Sequence[float],
    edges: Sequence[Sequence[float]],
    regime_edges: Sequence[float],
    typical: float,
    window: int,
    fee_rate: float,
) -> Encoded:
    """Six rows as of `push_features`: four features with their edges, the scale, the trend of the regime."""
    *features, scale, course = push_features(rows)
    buckets = [quantize(*pair) for pair in zip(features, edges, strict=True)]
    sizes = [len(inner) + 1 for inner in edges]
    known = [max(value, typical) if t < window else value for t, value in enumerate(scale)]
    return Encoded(
        mixed_radix(buckets, sizes),
        regimes(scale, course, regime_edges),
        bucket_changes(buckets[-1], sizes[-1]),
        bar_returns(log_close, log_fill, known, typical / 10, fee_rate),
    )
