"""The inner-product argument of Bulletproofs (Bünz et al. 2018, section 3): shows that two vectors fit a commitment and
their inner product, with two points per halving. Not audited, not constant time."""

from idi_fast.evidence.zk.curve import Point, Scalar, combination, dot, powers
from idi_fast.evidence.zk.transcript import Transcript

ROUNDS_AT_ONCE = 4
"""Halvings after which the generators are recomputed. Until then the factors of the old ones are kept: the library sums
thousands of multiples at 20 microseconds each and sixteen at 60, but takes 170 for one alone."""


def prove_inner_product(
    transcript: Transcript,
    left: list[Point],
    right: list[Point],
    inner: Point,
    y_inverse: Scalar,
    a: list[Scalar],
    b: list[Scalar],
) -> tuple[bytes, Scalar, Scalar]:
    """Protocol 2, for the generators left[i], y⁻ⁱ·right[i] and `inner`, n a power of two.

    Returns the points L and R of all rounds in compressed form, and the final a and b.
    """
    scale_left, scale_right = [Scalar(1)] * len(a), powers(y_inverse, len(a))
    said, rounds = [], 0
    while len(a) > 1:
        if rounds == ROUNDS_AT_ONCE:
            left, scale_left = _folded(left, scale_left, len(a))
            right, scale_right = _folded(right, scale_right, len(a))
            rounds = 0
        half = len(a) // 2
        low, high = _halves(len(left), len(a))
        l_point = combination(
            [left[i] for i in high] + [right[i] for i in low] + [inner],
            [a[i % half] * scale_left[i] for i in high]
            + [b[i % half + half] * scale_right[i] for i in low]
            + [dot(a[:half], b[half:])],
        )
        r_point = combination(
            [left[i] for i in low] + [right[i] for i in high] + [inner],
            [a[i % half + half] * scale_left[i] for i in low]
            + [b[i % half] * scale_right[i] for i in high]
            + [dot(a[half:], b[:half])],
        )
        said.append(transcript.absorb_points(b"L R", l_point, r_point))
        u = transcript.challenge(b"u")
        v = u.inverse()
        a = [x * u + z * v for x, z in zip(a[:half], a[half:], strict=True)]
        b = [x * v + z * u for x, z in zip(b[:half], b[half:], strict=True)]
        for i in low:
            scale_left[i], scale_right[i] = scale_left[i] * v, scale_right[i] * u
        for i in high:
            scale_left[i], scale_right[i] = scale_left[i] * u, scale_right[i] * v
        rounds += 1
    return b"".join(said), a[0], b[0]


def _halves(n: int, length: int) -> tuple[list[int], list[int]]:
    """Which of n generators belong to the lower and upper half of the vectors that are folded next."""
    places = range(n)
    return [i for i in places if i % length < length // 2], [i for i in places if i % length >= length // 2]


def _folded(points: list[Point], scales: list[Scalar], length: int) -> tuple[list[Point], list[Scalar]]:
    folded = [combination(points[i::length], scales[i::length]) for i in range(length)]
    return folded, [Scalar(1)] * length


def final_scales(challenges: list[Scalar]) -> list[Scalar]:
    """The factor of each left generator once all are folded into one; from last to first those of the right ones.

    For challenges u₁ … u_k it is the product of u_j where bit k − j of the place is set and of 1 / u_j where it is not
    (section 3.1, where places are counted from 1).
    """
    scales = [Scalar(1)]
    for u in challenges:
        scales[0] *= u.inverse()
    for u in reversed(challenges):
        square = u.square()
        scales += [scale * square for scale in scales]
    return scales
