"""Tile coding: which tile of each tiling a state lies in."""

from typing import NamedTuple

import numpy as np

from idi_fast.kernels._jit import index, kernel
from idi_fast.kernels.tape_words import below


class Tiling(NamedTuple):
    """How an observation is laid over several tilings, each with rows of its own in one table.

    sizes int64 (d,): values of each digit of the observation, most significant first; share int64 (n_tilings, d,
    largest size): what a digit adds to the number of the tile that it lies in; groups int64: groups of rows in a
    tiling, of per_group int64 rows each; is_hashed bool: whether there are more tiles than groups.
    """

    sizes: np.ndarray
    share: np.ndarray
    groups: int
    per_group: int
    is_hashed: bool


@kernel
def tile_codes(digits, sizes, offsets, codes):
    """Tile of each state in each tiling, as the reference encodes it.

    digits int32 (n, d): the state; sizes, offsets int64 (d,); codes int64 (n, n_tilings): tiling k shifts dimension d
    by offsets[d] + k, wraps it at sizes[d] and reads the result as a number, the first dimension least significant.
    Mutates: codes.
    """
    for row in range(digits.shape[0]):
        for tiling in range(codes.shape[1]):
            value, weight = 0, 1
            for d in range(sizes.size):
                shift = (offsets[d] + tiling) % sizes[d]
                value += (digits[row, d] + shift) % sizes[d] * weight
                weight *= sizes[d]
            codes[row, tiling] = value


@kernel(inline=True)
def mix64(value):
    """A uint64 whose every bit depends on all of another's: the last steps of SplitMix64 (Steele, Lea & Flood 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@kernel
def tile_rows(observation, tiling, rows, owners, lookups):
    """The first row of each observation's group in each tiling.

    observation int32 (n,); rows int32 (n, n_tilings). owners int64 (n_tilings * groups,), −1 where no tile came yet:
    the first tile that was looked up in each group, and lookups int64 (2,): how often one was, and how often by another
    tile than its owner; owners of no size: nothing is counted. Mutates: rows, owners, lookups.
    """
    # What is usual is compiled once more with a constant number of digits, whose loops then unroll.
    if tiling.sizes.size == 4:
        _tile_rows(observation, tiling, rows, owners, lookups, 4)
    else:
        _tile_rows(observation, tiling, rows, owners, lookups, tiling.sizes.size)


@kernel(inline=True)
def _tile_rows(observation, tiling, rows, owners, lookups, n_digits):
    n_tilings, largest = tiling.share.shape[0], tiling.share.shape[2]
    share, groups = tiling.share.reshape(-1), tiling.groups
    places = np.empty(n_digits, np.int64)
    # A quotient of integers below 2**31 from the reciprocal: half a step off the edge, rounding does not cross it.
    reciprocals = 1.0 / tiling.sizes
    for row in range(observation.size):
        rest = np.int64(observation[index(row)])
        for d in range(n_digits - 1, -1, -1):
            quotient = np.int64((rest + 0.5) * reciprocals[index(d)])
            places[index(d)] = d * largest + rest - quotient * tiling.sizes[index(d)]
            rest = quotient
        for k in range(n_tilings):
            tile, first = np.int64(0), k * n_digits * largest
            for d in range(n_digits):
                tile += share[index(first + places[index(d)])]
            group = tile
            if tiling.is_hashed:
                # Each tiling hashes otherwise, or tiles that meet in one would meet in all.
                group = below(mix64(np.uint64(tile) + np.uint64(k + 1) * np.uint64(0x9E3779B97F4A7C15)), groups)
            group += k * groups
            rows[index(row), index(k)] = group * tiling.per_group
            if owners.size > 0:
                if owners[group] < 0:
                    owners[group] = tile
                lookups[0] += 1
                lookups[1] += owners[group] != tile
