"""Deviations by block and resamples, by their definitions."""

from __future__ import annotations

from collections.abc import Sequence


def deviations(
    advantages: Sequence[tuple[int, int, float]], member: Sequence[Sequence[int]], means: Sequence[float]
) -> tuple[list[float], list[int]]:
    """Squares, summed over blocks, of the summed deviations from a node's mean, and the number of its blocks.

    advantages: of each bar its block, observation and advantage; member: the nodes that each observation belongs to.
    """
    squares, blocks = [], []
    for node, mean in enumerate(means):
        sums: dict[int, float] = {}
        for block, observation, advantage in advantages:
            if node in member[observation]:
                sums[block] = sums.get(block, 0.0) + advantage - mean
        squares.append(sum(value**2 for value in sums.values()))
        blocks.append(len(sums))
    return squares, blocks


def close_block(
    advantages: Sequence[tuple[int, float]], member: Sequence[Sequence[int]], means: Sequence[float]
) -> tuple[list[float], list[int]]:
    """`deviations` of a single block: of each bar its observation and advantage."""
    return deviations([(0, *each) for each in advantages], member, means)


def resample(words: Sequence[tuple[int, int]], ends_below: int, n: int) -> list[int]:
    """The stationary bootstrap of the numbers of n bars."""
    bars: list[int] = []
    for ends, start in words:
        bars.append(start % n if not bars or ends < ends_below else (bars[-1] + 1) % n)
    return bars
