"""The two generators, as arrays: CPython's Mersenne Twister (`Mt`) and sixteen of NumPy's SFC64 (`Sfc`)."""

import math
from typing import NamedTuple

import numpy as np

from idi_fast.kernels._jit import index, kernel

MT_SIZE = 624
# Draws by rejection take an unknown number of words. A row that starts with this many left runs out of them with a
# probability below 2**-100: each try succeeds at least every other time.
MT_MARGIN = 256


class Mt(NamedTuple):
    """A Mersenne Twister.

    key uint32 (624,): its state; words uint32 (at least 2 * 624 + 1,): outputs made ahead; cursor int64 (2,): the next
    of them and their end; spare float64 (2,): the second variate of a normal pair, and whether there is one.
    """

    key: np.ndarray
    words: np.ndarray
    cursor: np.ndarray
    spare: np.ndarray


# Enough for two vectors of eight words, whose dependent operations then overlap.
SFC_LANES = 16


class Sfc(NamedTuple):
    """SFC64 generators whose words are taken in turn.

    state uint64 (4, 16): a, b, c and counter of each; spare uint64 (16,): the round of words made last, of which the
    last left[0], int64 (1,), have not been given yet.
    """

    state: np.ndarray
    spare: np.ndarray
    left: np.ndarray


class Stream(NamedTuple):
    """Either generator, so that a kernel takes both; the arrays of the other have no size."""

    mt: Mt
    sfc: Sfc


@kernel(inline=True)
def _twist(upper, lower, shifted):
    y = (upper & np.uint32(0x80000000)) | (lower & np.uint32(0x7FFFFFFF))
    return shifted ^ (y >> np.uint32(1)) ^ ((y & np.uint32(1)) * np.uint32(0x9908B0DF))


@kernel
def mt_generation(key):
    """Advance the whole state by one generation (Matsumoto & Nishimura 1998). Mutates: key."""
    # Three loops whose reads never meet a write of the same pass, so that each vectorises.
    for i in range(227):
        key[i] = _twist(key[i], key[i + 1], key[i + 397])
    for i in range(227, 623):
        key[i] = _twist(key[i], key[i + 1], key[i - 227])
    key[623] = _twist(key[623], key[0], key[396])


@kernel
def mt_temper(key, out):
    """Write the outputs of state words key uint32 (n,) to out uint32 (≥ n,). Mutates: out."""
    # Both indexed by the loop variable alone: with an offset in the index LLVM does not vectorise (2.1 ns, not 0.2).
    for i in range(key.size):
        y = key[i]
        y ^= y >> np.uint32(11)
        y ^= (y << np.uint32(7)) & np.uint32(0x9D2C5680)
        y ^= (y << np.uint32(15)) & np.uint32(0xEFC60000)
        out[i] = y ^ (y >> np.uint32(18))


@kernel
def mt_extend(mt):
    """Move the unread words to the front and make as many new ones as fit, but for one place. Mutates: mt."""
    # Words are made in bulk and not where they are drawn: a conditional call on arrays inside a loop makes numba
    # count references there, which cost 8 ns a word where the draw itself takes 1.
    left = mt.cursor[1] - mt.cursor[0]
    for i in range(left):
        mt.words[i] = mt.words[mt.cursor[0] + i]
    while left + MT_SIZE < mt.words.size:
        mt_generation(mt.key)
        mt_temper(mt.key, mt.words[left:])
        left += MT_SIZE
    mt.cursor[0] = 0
    mt.cursor[1] = left


@kernel(inline=True)
def mt_shift(n):
    """How far `mt_below` shifts a word: 32 minus the bit length of n, for n in 1 … 2**31."""
    shift = 32
    while n >> (32 - shift):
        shift -= 1
    return shift


@kernel
def mt_accepted(words, end, n, out):
    """For each word before `end` the first from there on that `mt_below` accepts for n, `end` if there is none.

    out int32 (≥ end + 1,). Mutates: out.
    """
    # Found for all words at once, a draw by rejection is one load; its loop would be mispredicted every other time.
    shift = mt_shift(n)
    accepted = end
    out[end] = end
    for i in range(end - 1, -1, -1):
        accepted = i if np.int64(words[i]) >> shift < n else accepted
        out[i] = accepted


@kernel(inline=True)
def mt_random(words, at):
    """A float64 in [0, 1) with 53 random bits from words[at] on, as `random.Random.random`, and the place after it."""
    high = words[index(at)] >> np.uint32(5)
    low = words[index(at + 1)] >> np.uint32(6)
    return (high * 67108864.0 + low) * (1.0 / 9007199254740992.0), at + 2


@kernel(inline=True)
def mt_below(words, at, end, n, shift):
    """An integer in [0, n) by rejection, as `random.Random._randbelow`, and the place after it."""
    value = np.int64(words[index(at)]) >> shift
    at += 1
    while value >= n and at < end:
        value = np.int64(words[index(at)]) >> shift
        at += 1
    return value, at


@kernel(inline=True)
def mt_gauss(words, at, kept, has_kept, mean, deviation):
    """A normal variate, as `random.Random.gauss`, and the place after it.

    They are made in pairs: the second is `kept` for the next call while `has_kept`; both are returned as well.
    """
    if has_kept:
        z, has_kept = kept, False
    else:
        u, at = mt_random(words, at)
        v, at = mt_random(words, at)
        angle = u * (2.0 * math.pi)
        radius = math.sqrt(-2.0 * math.log(1.0 - v))
        z = math.cos(angle) * radius
        kept, has_kept = math.sin(angle) * radius, True
    return mean + z * deviation, at, kept, has_kept


@kernel
def mt_words64(mt, out):
    """Fill `out` uint64 as `random.Random.getrandbits(64)` would. Mutates: mt, out."""
    cursor, words = mt.cursor, mt.words
    done = 0
    while done < out.size:
        if cursor[1] - cursor[0] < 2:
            mt_extend(mt)
        count = min(out.size - done, (cursor[1] - cursor[0]) // 2)
        for i in range(count):
            low = np.uint64(words[cursor[0] + 2 * i])
            high = np.uint64(words[cursor[0] + 2 * i + 1])
            out[done + i] = low | (high << np.uint64(32))
        cursor[0] += 2 * count
        done += count


@kernel
def sfc64_words64(sfc, out):
    """Fill `out` uint64 with the next words of SFC64 (Doty-Humphrey, PractRand), one of each generator in turn.

    Mutates: sfc, out.
    """
    # A copy, for the original may share a cache line with another lane's, which both cores would then fight over.
    # Copied by loops, because slices take numba seconds to compile.
    state, left = np.empty_like(sfc.state), sfc.left[0]
    before, after = sfc.state.reshape(-1), state.reshape(-1)
    for k in range(after.size):
        after[k] = before[k]
    done = 0
    while left > 0 and done < out.size:
        out[done] = sfc.spare[SFC_LANES - left]
        left -= 1
        done += 1
    rounds = (out.size - done) // SFC_LANES
    _sfc64_rounds(state, out[done : done + rounds * SFC_LANES].reshape(rounds, SFC_LANES))
    done += rounds * SFC_LANES
    if done < out.size:
        _sfc64_rounds(state, sfc.spare.reshape(1, SFC_LANES))
        left = SFC_LANES - (out.size - done)
        for k in range(out.size - done):
            out[done + k] = sfc.spare[k]
    # What was given away leaves no trace: the state does not tell in which portions the words were taken.
    for k in range(SFC_LANES - left):
        sfc.spare[k] = 0
    for k in range(after.size):
        before[k] = after[k]
    sfc.left[0] = left


@kernel
def _sfc64_rounds(state, out):
    # The inner loop is over neighbours in memory and each array has a name of its own, so that it becomes vectors.
    a, b, c, counter = state[0], state[1], state[2], state[3]
    for turn in range(out.shape[0]):
        words = out[turn]
        for k in range(SFC_LANES):
            word = a[k] + b[k] + counter[k]
            words[k] = word
            counter[k] += np.uint64(1)
            a[k] = b[k] ^ (b[k] >> np.uint64(11))
            b[k] = c[k] + (c[k] << np.uint64(3))
            c[k] = ((c[k] << np.uint64(24)) | (c[k] >> np.uint64(40))) + word
