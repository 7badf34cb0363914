"""The sums of runs beside one holding: those of `kpis`, which work out both at once."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from . import kpis


def sums_beside(x: Sequence[float], y: Sequence[float]) -> list[Fraction]:
    """Sums of the powers 2 to 4 of x, and of the products of both."""
    sums = kpis.central_sums(x, y)
    return [*sums[:3], sums[6]]


def end_block_beside(x: Sequence[float], y: Sequence[float]) -> tuple[list[Fraction], kpis.Signed, list[Fraction]]:
    """Moments and signed sums of x, and sums of the pairs."""
    moments, signed, pairs = kpis.end_block(x, y)
    return moments[0], signed[0], pairs


def sum_blocks(returns: Sequence[float], size: int) -> list[tuple[Fraction, Fraction]]:
    """Mean and sum of squares of each block."""
    blocks = [returns[first : first + size] for first in range(0, len(returns), size)]
    return [(kpis.mean(block), kpis.central_sums(block, block)[0]) for block in blocks]


def push_bars_beside(equity: Sequence[float], position: Sequence[int], held: Sequence[float]) -> kpis.Bars:
    """All sums of whole equities."""
    return kpis.push_bars(equity, position, held)
