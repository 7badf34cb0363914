"""Tiles by turning wheels."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from itertools import count, islice, product
from math import floor, gcd


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


def mix64(value: int) -> int:
    """The last steps of SplitMix64, in integers without end, cut to 64 bits."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = (value ^ (value >> shift)) * factor % 2**64
    return value ^ (value >> 31)


def tile_rows(tiles: Sequence[int], tilings: int, groups: int, per_group: int, hashed: bool) -> list[int]:
    """The first row of each of the tiles that one observation lies in, a tile a tiling."""
    rows = []
    for tiling, tile in enumerate(tiles):
        group = tile
        if hashed:
            mixed = mix64((tile + (tiling + 1) * 0x9E3779B97F4A7C15) % 2**64)
            group = floor(Fraction(mixed, 2**64) * groups)
        rows.append((tiling * groups + group) * per_group)
    return rows


def displaced_tiles(digits: Sequence[int], sizes: Sequence[int], wanted: Sequence[int], tilings: int) -> list[tuple]:
    """Where rulers lie under a point: each tiling's rulers, of tiles as wide as they must be for `wanted` of them to
    cover a feature, begin before the first bucket by parts of a tile, as many as a number that shares no factor with
    that of the tilings."""
    found = []
    coprime = (n for n in count(1) if gcd(n, tilings) == 1)
    steps = list(islice(coprime, len(digits)))
    for tiling in range(tilings):
        tile = []
        for d, (digit, size, many) in enumerate(zip(digits, sizes, wanted, strict=True)):
            width = -(-size // many)
            begins = -floor(Fraction(tiling * steps[d] % tilings, tilings) * width)
            marks = range(begins, size + width, width)
            tile.append(sum(mark <= digit for mark in marks) - 1)
        found.append(tuple(tile))
    return found
