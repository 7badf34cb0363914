"""Aggregated range proofs (Bünz et al. 2018, Bulletproofs, section 4.2): numbers in Pedersen commitments lie in
[0, 2³²). Not audited, not constant time.

The numbers, padded with zeros in commitments without blinding to a power of two, are proven all at once. A verifier
reduces a proof to one sum of multiples of points that must be the identity; sums of many proofs, each times a random
number, are checked as one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from idi_fast.evidence.zk.curve import (
    POINT,
    SCALAR,
    VECTOR,
    Point,
    Scalar,
    combination,
    dot,
    generators,
    powers,
    read_point,
    read_scalar,
)
from idi_fast.evidence.zk.inner_product import final_scales, prove_inner_product
from idi_fast.evidence.zk.transcript import Secrets, Transcript

BITS = 32
MAX_NUMBERS = VECTOR // BITS


def padded(n: int) -> int:
    """The power of two to which n numbers are padded."""
    return 1 << (n - 1).bit_length()


def proof_size(n: int) -> int:
    """Bytes of a proof for n numbers: A, S, T₁, T₂, τ, μ, t, an L and R for each halving, and the last a and b."""
    halvings = (BITS * padded(n) - 1).bit_length()
    return (4 + 2 * halvings) * POINT + 5 * SCALAR


def prove_range(transcript: Transcript, secrets: Secrets, numbers: Sequence[int], blindings: list[Scalar]) -> bytes:
    """The proof that numbers in [0, 2³²) lie there; the transcript must already contain their commitments, in some
    form.

    numbers: at most 128; blindings: of their commitments. A proof for a number outside is not accepted.
    """
    bases = generators()
    m = padded(len(numbers))
    n = BITS * m
    left, right = bases.left[:n], bases.right[:n]
    values = b"".join(number.to_bytes(64, "little", signed=True) for number in numbers)
    secrets = secrets.hedged(values + b"".join(blinding.to_le_bytes() for blinding in blindings))
    bits = [number >> k & 1 for number in [*numbers, *[0] * (m - len(numbers))] for k in range(BITS)]
    alpha, rho, tau_1, tau_2 = secrets.vector(b"alpha, rho, tau", 4)
    s_left, s_right = secrets.vector(b"left", n), secrets.vector(b"right", n)

    a_point = bases.blinding * alpha
    for bit, g, h in zip(bits, left, right, strict=True):
        a_point = a_point + g if bit else a_point - h
    s_point = combination([bases.blinding, *left, *right], [rho, *s_left, *s_right])
    said = transcript.absorb_points(b"A S", a_point, s_point)
    y, z = transcript.challenge(b"y"), transcript.challenge(b"z")

    # l(X) and r(X), of which t(X) is the inner product: constant and linear coefficients.
    y_powers = powers(y, n)
    one = Scalar(1)
    l_0 = [one - z if bit else -z for bit in bits]
    r_0 = [y_i * (z if bit else z - one) + shift for bit, y_i, shift in zip(bits, y_powers, _shifts(z, m), strict=True)]
    r_1 = [y_i * s for y_i, s in zip(y_powers, s_right, strict=True)]
    t_1, t_2 = dot(l_0, r_1) + dot(s_left, r_0), dot(s_left, r_1)
    pair = [bases.value, bases.blinding]
    said += transcript.absorb_points(b"T", combination(pair, [t_1, tau_1]), combination(pair, [t_2, tau_2]))
    x = transcript.challenge(b"x")

    a = [c + s * x for c, s in zip(l_0, s_left, strict=True)]
    b = [c + s * x for c, s in zip(r_0, r_1, strict=True)]
    tau = (tau_2 * x + tau_1) * x + z.square() * dot(powers(z, len(blindings)), blindings)
    ends = tau.to_le_bytes() + (alpha + rho * x).to_le_bytes() + dot(a, b).to_le_bytes()
    transcript.absorb(b"tau mu t", ends)
    inner = bases.inner * transcript.challenge(b"w")
    points, a_last, b_last = prove_inner_product(transcript, left, right, inner, y.inverse(), a, b)
    return said + ends + points + a_last.to_le_bytes() + b_last.to_le_bytes()


def _shifts(z: Scalar, m: int) -> list[Scalar]:
    """z²⁺ʲ·2ᵏ for bit k of number j."""
    twos = powers(Scalar(2), BITS)
    return [factor * two for factor in powers(z, m + 2)[2:] for two in twos]


@dataclass(frozen=True)
class RangeProof:
    """A proof as read, with the challenges that it leads to; see `prove_range` for its parts."""

    points: list[Point]
    tau: Scalar
    mu: Scalar
    t: Scalar
    a: Scalar
    b: Scalar
    y: Scalar
    z: Scalar
    x: Scalar
    w: Scalar
    u: list[Scalar]

    @classmethod
    def read(cls, transcript: Transcript, data: bytes, name: str) -> "RangeProof":
        """A proof from its bytes, as many as `proof_size` says; EvidenceError for an invalid point or scalar."""
        n_points = (len(data) - 5 * SCALAR) // POINT
        middle = 4 * POINT + 3 * SCALAR
        folds, last = data[middle : -2 * SCALAR], data[-2 * SCALAR :]
        encoded = data[: 4 * POINT] + folds
        points = [
            read_point(encoded[k * POINT : (k + 1) * POINT], f"point {k + 1} of {n_points} of {name}")
            for k in range(n_points)
        ]
        scalars = data[4 * POINT : middle] + last
        tau, mu, t, a, b = (
            read_scalar(scalars[k * SCALAR : (k + 1) * SCALAR], f"scalar {k + 1} of 5 of {name}") for k in range(5)
        )
        transcript.absorb(b"A S", data[: 2 * POINT])
        y, z = transcript.challenge(b"y"), transcript.challenge(b"z")
        transcript.absorb(b"T", data[2 * POINT : 4 * POINT])
        x = transcript.challenge(b"x")
        transcript.absorb(b"tau mu t", data[4 * POINT : middle])
        w = transcript.challenge(b"w")
        u = []
        for at in range(0, len(folds), 2 * POINT):
            transcript.absorb(b"L R", folds[at : at + 2 * POINT])
            u.append(transcript.challenge(b"u"))
        return cls(points, tau, mu, t, a, b, y, z, x, w, u)


class Batch:
    """The sum over any number of proofs that must be the identity."""

    def __init__(self):
        self._left: list[Scalar] = []
        self._right: list[Scalar] = []
        self._value = self._blinding = self._inner = Scalar(0)
        self._rest = Point.identity()

    def add(
        self,
        proof: RangeProof,
        commitments: list[Point],
        places: list[tuple[int, int]],
        least: list[int],
        weights: tuple[Scalar, Scalar],
    ) -> None:
        """Add a proof, its two equations times their weights.

        Number j is the value of commitments[i] less that of commitments[k] and less least[j], (i, k) = places[j]. The
        first equation says that t is t(x), which contains the numbers (sections 4.1 and 4.2); the second that t is
        the inner product of the vectors in A and S, by the argument of section 3 written as one sum (section 6.2).
        """
        first, second = weights
        y, z, x, w = proof.y, proof.z, proof.x, proof.w
        n = 1 << len(proof.u)
        for factors in (self._left, self._right):
            factors += [Scalar(0)] * (n - len(factors))
        y_inverses = powers(y.inverse(), n)
        z_powers = powers(z, n // BITS + 3)
        y_sum, all_bits = sum(powers(y, n), Scalar(0)), Scalar(2**BITS - 1)
        delta = (z - z_powers[2]) * y_sum - sum(z_powers[3:], Scalar(0)) * all_bits

        factors = [Scalar(0)] * len(commitments)
        shift = Scalar(0)
        for (i, k), offset, power in zip(places, least, z_powers[2:], strict=False):
            factors[i] -= power
            factors[k] += power
            shift += power * Scalar(offset)
        self._value += first * (proof.t - delta + shift)
        self._blinding += first * proof.tau - second * proof.mu
        self._inner += second * w * (proof.t - proof.a * proof.b)

        scales = final_scales(proof.u)
        minus_z, a = -second * z, second * proof.a
        for i, scale in enumerate(scales):
            self._left[i] += minus_z - a * scale
        plus_z, b = second * z, second * proof.b
        terms = zip(y_inverses, _shifts(z, n // BITS), reversed(scales), strict=True)
        for i, (y_i, bit, scale) in enumerate(terms):
            self._right[i] += plus_z + y_i * (second * bit - b * scale)

        folds = [second * factor for u in proof.u for factor in (u.square(), u.inverse().square())]
        own = [second, second * x, -first * x, -first * x.square(), *folds]
        self._rest += combination([*proof.points, *commitments], [*own, *(first * factor for factor in factors)])

    def holds(self) -> bool:
        """Whether the sum is the identity."""
        bases = generators()
        n = len(self._left)
        points = [bases.value, bases.blinding, bases.inner, *bases.left[:n], *bases.right[:n]]
        scalars = [self._value, self._blinding, self._inner, *self._left, *self._right]
        return combination(points, scalars) + self._rest == Point.identity()
