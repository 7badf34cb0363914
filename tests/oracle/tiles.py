"""Tiles by turning wheels."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import product


def tile_codes(
    digits: Sequence[Sequence[int]], sizes: Sequence[int], offsets: Sequence[int], n_tilings: int
) -> list[list[int]]:
    """Each tiling as a wheel of tiles per dimension, turned by its offset; a state's tile is where its digits point."""
    combinations = product(*(range(size) for size in reversed(sizes)))  # the first dimension runs fastest
    place = {tuple(reversed(combination)): k for k, combination in enumerate(combinations)}
    codes = []
    for state in digits:
        row = []
        for tiling in range(n_tilings):
            tile = []
            for digit, size, offset in zip(state, sizes, offsets, strict=True):
                wheel = deque(range(size))
                wheel.rotate(-(int(offset) + tiling))
                tile.append(wheel[int(digit) % size])
            row.append(place[tuple(tile)])
        codes.append(row)
    return codes
