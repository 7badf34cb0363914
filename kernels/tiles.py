"""Tile coding: which tile of each tiling a state lies in."""

from idi_fast.kernels._jit import kernel


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
