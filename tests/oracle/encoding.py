"""Bars by definition, the whole series at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .market import BarReturn, bar_returns, bucket_changes, mixed_radix, quantize, regimes


class Encoded(NamedTuple):
    """What is seen of each bar, and what it earns."""

    observation: list[int]
    regime: list[int]
    scarcity: list[float]
    returns: list[BarReturn]


def encode_bars(
    values: Sequence[Sequence[float]],
    log_close: Sequence[float],
    log_fill: Sequence[float],
    edges: Sequence[Sequence[float]],
    scarcity: int | None,
    regime_edges: Sequence[float],
    typical: float,
    window: int,
    fee_rate: float,
) -> Encoded:
    """values: of each feature, by its edges, then the scale and the trend of the regime; scarcity: which is it."""
    *features, scale, course = values
    buckets = [quantize(*pair) for pair in zip(features, edges, strict=True)]
    sizes = [len(inner) + 1 for inner in edges]
    known = [max(value, typical) if t < window else value for t, value in enumerate(scale)]
    changes = [0.0] * len(log_close) if scarcity is None else bucket_changes(buckets[scarcity], sizes[scarcity])
    return Encoded(
        mixed_radix(buckets, sizes),
        regimes(scale, course, regime_edges),
        changes,
        bar_returns(log_close, log_fill, known, typical / 10, fee_rate),
    )
