"""Logarithm, exponential, sine and cosine by series, of what is rounded alike everywhere: sums, products and quotients.

So a simulated market's log prices are the same to the bit on every machine. There is neither a call nor a branch, so
that a loop over many values becomes vectors: a pair of normal variates takes 8 ns, and more than 40 by libm.
"""

import math

import numpy as np

from idi_fast.kernels._jit import kernel

EXPONENT_BITS = np.uint64(52)
MANTISSA = np.uint64((1 << 52) - 1)
BITS_OF_ONE = np.uint64(0x3FF0000000000000)
SQRT_2 = math.sqrt(2.0)
LN_2_HIGH, LN_2_LOW = 3048493539143 * 2.0**-42, 5.497923018708371e-14
"""ln 2 in two parts, the first so short that its product with an exponent is exact."""
PER_LN_2 = 1.4426950408889634
TURN = 2.0 * math.pi / 2.0**32


@kernel(inline=True)
def float_of(bits):
    """The float64 of these bits, uint64."""
    return np.uint64(bits).view(np.float64)


@kernel(inline=True)
def natural_log(x):
    """ln x of a normal float64 above 0, within 1.5 units in the last place."""
    # With x = m 2ᵉ and m within a factor √2 of 1: ln m = 2 artanh s, s = (m − 1) / (m + 1), whose series is broken off
    # behind s²¹: the rest is below 2⁻⁵⁶ of the sum.
    bits = np.float64(x).view(np.uint64)
    m = float_of((bits & MANTISSA) | BITS_OF_ONE)
    is_upper = m > SQRT_2
    m = m * 0.5 if is_upper else m
    exponent = np.float64(np.int32(bits >> EXPONENT_BITS) - np.int32(1023) + np.int32(is_upper))
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    rest = 1.0 / 15.0 + z * (1.0 / 17.0 + z * (1.0 / 19.0 + z * (1.0 / 21.0)))
    rest = 1.0 / 7.0 + z * (1.0 / 9.0 + z * (1.0 / 11.0 + z * (1.0 / 13.0 + z * rest)))
    series = z * (1.0 / 3.0 + z * (1.0 / 5.0 + z * rest))
    return exponent * LN_2_HIGH + (exponent * LN_2_LOW + 2.0 * (s + s * series))


@kernel(inline=True)
def log_of_one_more(x):
    """ln(1 + x) for x above −1, also where 1 + x rounds x away (Kahan; Higham 2002, 1.14.1)."""
    one_more = 1.0 + x
    return x if one_more == 1.0 else natural_log(one_more) * (x / (one_more - 1.0))


@kernel(inline=True)
def exponential_less_one(x):
    """eˣ − 1 for x from 0 to 700, within 2 units in the last place."""
    # With x = k ln 2 + r, |r| at most ln 2 / 2: 2ᵏ (eʳ − 1) + (2ᵏ − 1), the series broken off behind r¹³.
    k = np.int64(x * PER_LN_2 + 0.5)
    exponent = np.float64(k)
    r = (x - exponent * LN_2_HIGH) - exponent * LN_2_LOW
    rest = 1.0 / 39916800.0 + r * (1.0 / 479001600.0 + r * (1.0 / 6227020800.0))
    rest = 1.0 / 40320.0 + r * (1.0 / 362880.0 + r * (1.0 / 3628800.0 + r * rest))
    rest = 1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0 + r * rest))
    rest = 1.0 / 2.0 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * rest))
    scale = float_of(np.uint64(k + 1023) << EXPONENT_BITS)
    return scale * (r + r * r * rest) + (scale - 1.0)


@kernel(inline=True)
def sine_and_cosine(turn):
    """sin and cos of a 2³²th of a full turn times int64 `turn`, in [0, 2³²), within a unit in the last place of 1."""
    # Of an eighth of a turn at most; their series are broken off behind t¹⁵ and t¹⁶, the rest is below 2⁻⁵⁴.
    quadrant = (turn + (1 << 29)) >> 30
    t = np.float64(np.int32(turn - (quadrant << 30))) * TURN
    z = t * t
    rest = -1.0 / 39916800.0 + z * (1.0 / 6227020800.0 + z * (-1.0 / 1307674368000.0))
    rest = 1.0 / 120.0 + z * (-1.0 / 5040.0 + z * (1.0 / 362880.0 + z * rest))
    sine = t + t * z * (-1.0 / 6.0 + z * rest)
    rest = 1.0 / 479001600.0 + z * (-1.0 / 87178291200.0 + z * (1.0 / 20922789888000.0))
    rest = -1.0 / 720.0 + z * (1.0 / 40320.0 + z * (-1.0 / 3628800.0 + z * rest))
    cosine = 1.0 + z * (-1.0 / 2.0 + z * (1.0 / 24.0 + z * rest))
    is_odd = quadrant & 1 != 0
    first, second = (cosine if is_odd else sine), (sine if is_odd else cosine)
    return (-first if quadrant & 2 != 0 else first), (-second if (quadrant + 1) & 2 != 0 else second)
