"""SHA-256 (FIPS 180-4) of many messages of one length, sixteen side by side, so that LLVM makes vectors of them."""

import math

import numpy as np

from idi_fast.kernels._jit import index, kernel

LANES = 16
BLOCK = 64
PRIMES = [n for n in range(2, 312) if all(n % d for d in range(2, math.isqrt(n) + 1))]


def _cube_root_bits(n: int) -> int:
    """The first 32 bits of the fraction of a cube root, in whole numbers: libm's last bits are its own affair."""
    scaled = n << 96
    root = 1 << (scaled.bit_length() + 2) // 3
    while root**3 > scaled:
        root = (2 * root + scaled // (root * root)) // 3
    return root & 0xFFFFFFFF


START = np.array([math.isqrt(p << 64) & 0xFFFFFFFF for p in PRIMES[:8]], np.uint32)
"""The hash before the first block: 32 bits of the fraction of the first primes' square roots (FIPS 180-4, 5.3.3)."""
ROUND_CONSTANTS = np.array([_cube_root_bits(p) for p in PRIMES], np.uint32)
"""One a round: 32 bits of the fraction of the first 64 primes' cube roots (FIPS 180-4, 4.2.2)."""


@kernel(inline=True)
def _rotated(x, n):
    """A uint32 turned right by n bits, 0 < n < 32 (ROTR of FIPS 180-4, 3.2)."""
    return np.uint32((x >> np.uint32(n)) | (x << np.uint32(32 - n)))


@kernel(inline=True)
def _one_round(a, b, c, d, e, f, g, h, word):
    """The two words that a round changes, which become a and e of the next; word: w + k (FIPS 180-4, 6.2.2)."""
    first = h + (_rotated(e, 6) ^ _rotated(e, 11) ^ _rotated(e, 25)) + (g ^ (e & (f ^ g))) + word
    second = (_rotated(a, 2) ^ _rotated(a, 13) ^ _rotated(a, 22)) + ((a & b) | (c & (a | b)))
    return np.uint32(first + second), np.uint32(d + first)


@kernel
def _load_block(messages, first, begin, words):
    """The padded block that begins at byte `begin` of sixteen messages from row `first` on, as big-endian words.

    messages uint8 (n, length): beyond the last one its bytes are taken again; words uint32 (64, 16): a row holds a word
    of all lanes. Mutates: the first sixteen rows of words.
    """
    length = messages.shape[1]
    bits = np.uint64(8 * length)
    for lane in range(LANES):
        row = index(min(first + lane, messages.shape[0] - 1))
        for k in range(16):
            word = np.uint32(0)
            for at in range(begin + 4 * k, begin + 4 * k + 4):
                byte = np.uint32(0)
                if at < length:
                    byte = np.uint32(messages[row, index(at)])
                elif at == length:
                    byte = np.uint32(0x80)
                word = np.uint32((word << np.uint32(8)) | byte)
            words[index(k), index(lane)] = word
        if begin + BLOCK >= length + 9:
            words[14, index(lane)] = np.uint32(bits >> np.uint64(32))
            words[15, index(lane)] = np.uint32(bits & np.uint64(0xFFFFFFFF))


@kernel
def _compress(words, hashes, work):
    """One block into the hashes of sixteen lanes (FIPS 180-4, 6.2.2).

    words uint32 (64, 16): the block's words in the first sixteen rows; hashes uint32 (8, 16); work uint32 (8, 16):
    scratch. Mutates: words (which becomes the message schedule), hashes, work.
    """
    for t in range(16, 64):
        for lane in range(LANES):
            i = index(lane)
            near, far = words[index(t - 2), i], words[index(t - 15), i]
            mixed = _rotated(far, 7) ^ _rotated(far, 18) ^ (far >> np.uint32(3))
            mixed += _rotated(near, 17) ^ _rotated(near, 19) ^ (near >> np.uint32(10))
            words[index(t), i] = words[index(t - 16), i] + mixed + words[index(t - 7), i]
    for k in range(8):
        for lane in range(LANES):
            work[index(k), index(lane)] = hashes[index(k), index(lane)]
    # Eight rounds a pass, after which every word is back in its place: nothing has to be moved from name to name.
    for t in range(0, 64, 8):
        constants, w = ROUND_CONSTANTS[t : t + 8], words[t : t + 8]
        for lane in range(LANES):
            i = index(lane)
            a, b, c, d = work[0, i], work[1, i], work[2, i], work[3, i]
            e, f, g, h = work[4, i], work[5, i], work[6, i], work[7, i]
            h, d = _one_round(a, b, c, d, e, f, g, h, w[0, i] + constants[0])
            g, c = _one_round(h, a, b, c, d, e, f, g, w[1, i] + constants[1])
            f, b = _one_round(g, h, a, b, c, d, e, f, w[2, i] + constants[2])
            e, a = _one_round(f, g, h, a, b, c, d, e, w[3, i] + constants[3])
            d, h = _one_round(e, f, g, h, a, b, c, d, w[4, i] + constants[4])
            c, g = _one_round(d, e, f, g, h, a, b, c, w[5, i] + constants[5])
            b, f = _one_round(c, d, e, f, g, h, a, b, w[6, i] + constants[6])
            a, e = _one_round(b, c, d, e, f, g, h, a, w[7, i] + constants[7])
            work[0, i], work[1, i], work[2, i], work[3, i] = a, b, c, d
            work[4, i], work[5, i], work[6, i], work[7, i] = e, f, g, h
    for k in range(8):
        for lane in range(LANES):
            hashes[index(k), index(lane)] += work[index(k), index(lane)]


@kernel
def sha256_rows(messages, out):
    """The SHA-256 of every row.

    messages uint8 (n, length), n > 0; out uint8 (n, 32). Mutates: out.
    """
    n, length = messages.shape
    words = np.empty((64, LANES), np.uint32)
    hashes, work = np.empty((8, LANES), np.uint32), np.empty((8, LANES), np.uint32)
    for first in range(0, n, LANES):
        for k in range(8):
            for lane in range(LANES):
                hashes[index(k), index(lane)] = START[index(k)]
        for begin in range(0, length + 9, BLOCK):
            _load_block(messages, first, begin, words)
            _compress(words, hashes, work)
        for lane in range(min(LANES, n - first)):
            for at in range(32):
                word = hashes[index(at // 4), index(lane)]
                out[index(first + lane), index(at)] = np.uint8((word >> np.uint32(24 - at % 4 * 8)) & np.uint32(255))
