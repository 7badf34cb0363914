"""The series, a term after the other."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

LN_2_HIGH, LN_2_LOW = 3048493539143 / 2**42, 5.497923018708371e-14


def float_of(bits: int) -> float:
    """The float64 of these bits."""
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def polynomial(z: float, coefficients: Sequence[float]) -> float:
    """Coefficients of rising powers, by Horner's rule."""
    value = 0.0
    for coefficient in reversed(coefficients):
        value = coefficient + z * value
    return value


def natural_log(x: float) -> float:
    """By twice the inverse hyperbolic tangent."""
    mantissa, exponent = math.frexp(x)
    if 2.0 * mantissa <= math.sqrt(2.0):
        mantissa, exponent = 2.0 * mantissa, exponent - 1
    s = (mantissa - 1.0) / (mantissa + 1.0)
    series = s * s * polynomial(s * s, [1 / n for n in range(3, 23, 2)])
    return exponent * LN_2_HIGH + (exponent * LN_2_LOW + 2.0 * (s + s * series))


def log_of_one_more(x: float) -> float:
    """As Kahan does it."""
    return x if 1.0 + x == 1.0 else natural_log(1.0 + x) * (x / ((1.0 + x) - 1.0))


def exponential_less_one(x: float) -> float:
    """A power of two times the exponential of what is left."""
    k = math.floor(x * (1.0 / math.log(2.0)) + 0.5)
    r = (x - k * LN_2_HIGH) - k * LN_2_LOW
    return 2.0**k * (r + r * r * polynomial(r, [1 / math.factorial(n) for n in range(2, 14)])) + (2.0**k - 1.0)


def sine_and_cosine(turn: int) -> tuple[float, float]:
    """Of the nearest quarter of a turn, and what is left."""
    quadrant = (turn + 2**29) // 2**30
    t = float(turn - quadrant * 2**30) * (2.0 * math.pi / 2.0**32)
    z = t * t
    sine = t + t * z * polynomial(z, [(-1) ** k / math.factorial(2 * k + 1) for k in range(1, 8)])
    cosine = 1.0 + z * polynomial(z, [(-1) ** k / math.factorial(2 * k) for k in range(1, 9)])
    return [(sine, cosine), (cosine, -sine), (-sine, -cosine), (-cosine, sine)][quadrant % 4]
