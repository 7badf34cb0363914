"""The group G1 of BLS12-381: points and scalars as bytes, read strictly, and the generators of all commitments.

The arithmetic is py_arkworks_bls12381's, which is not constant time. It reads some encodings that it would not write,
and takes integers modulo the group order: input from outside passes through `read_point` and `read_scalar`.
"""

import hashlib
import os
import tempfile
import warnings
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from idi_fast.errors import CacheWarning, EvidenceError, InputError
from idi_fast.kernels._jit import CACHE_FOLDER

try:
    from py_arkworks_bls12381 import G1Point as Point
    from py_arkworks_bls12381 import Scalar
except ImportError:
    raise InputError(
        "a zero-knowledge proof needs py_arkworks_bls12381; install it with: pip install 'idi-fast[zk]'"
    ) from None

ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
"""Number of points of the group, a prime (draft-irtf-cfrg-pairing-friendly-curves, section 4.2.1)."""
POINT, SCALAR, XY = 48, 32, 96
VECTOR = 4096
"""Generators of each kind: 32 bits of 128 numbers are proven at once."""
DOMAIN = b"IDI-FAST-V01-with-BLS12381G1_XMD:SHA-256_SSWU_RO_"
GENERATORS_SHA256 = "3062d33771998f76abcb547d4d065abb2f277fcddd219b2155d62aacd3af5aa2"
"""Digest of all generators in the order of the cache. With it a cache, which anybody may have written, need not be
trusted, and a version of the library that hashes differently is noticed."""


FILE = "bls12381-generators.bin"


class Generators(NamedTuple):
    """Points with no known relation to each other, since each is the hash of a text (RFC 9380).

    value, blinding: of Pedersen commitments; inner: of inner products; left, right: of the entries of two vectors.
    """

    value: Point
    blinding: Point
    inner: Point
    left: list[Point]
    right: list[Point]


@cache
def generators() -> Generators:
    """All generators: from the cache folder of the kernels or, the first time, in some two seconds.

    Raises InputError if the curve library hashes to other points than it should.
    """
    data = _kept()
    if hashlib.sha256(data).hexdigest() != GENERATORS_SHA256:
        data = derived_generators()
        if hashlib.sha256(data).hexdigest() != GENERATORS_SHA256:
            raise InputError("py_arkworks_bls12381 does not hash to the curve as expected; install another version")
        _keep(data)
    # Their digest was compared, so neither curve nor subgroup need be checked.
    points = [Point.from_xy_bytes_unchecked_be(data[at : at + XY]) for at in range(0, len(data), XY)]
    value, blinding, inner, *entries = points
    return Generators(value, blinding, inner, entries[:VECTOR], entries[VECTOR:])


def derived_generators() -> bytes:
    """The coordinates of all generators, 96 bytes each, by hashing their names to the curve."""
    names = ["value", "blinding", "inner"]
    names += [f"{side} {i}" for side in ("left", "right") for i in range(VECTOR)]
    return b"".join(Point.hash_to_curve(name.encode(), DOMAIN).to_xy_bytes_be() for name in names)


def _kept() -> bytes:
    """The content of the cache; empty if that cannot be read."""
    try:
        return (CACHE_FOLDER / FILE).read_bytes() if CACHE_FOLDER and (CACHE_FOLDER / FILE).is_file() else b""
    except OSError:
        return b""


def _keep(data: bytes) -> None:
    if CACHE_FOLDER is None:
        return
    try:
        descriptor, path = tempfile.mkstemp(dir=CACHE_FOLDER)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
            os.replace(path, CACHE_FOLDER / FILE)
        except OSError:
            os.unlink(path)
            raise
    except OSError as error:
        warnings.warn(
            f"cannot keep the generators in {CACHE_FOLDER} ({error.strerror}); they are derived anew each time",
            CacheWarning,
            stacklevel=2,
        )


def read_point(data: bytes, name: str) -> Point:
    """A point from its compressed form of 48 bytes.

    Raises EvidenceError unless it lies on the curve and in the subgroup, is not the identity, which no honest prover
    ever writes, and is encoded as the library itself would encode it.
    """
    try:
        point = Point.from_compressed_bytes(data)
    except ValueError:
        raise EvidenceError(f"{name} is not a point of the group") from None
    if point == Point.identity() or point.to_compressed_bytes() != data:
        raise EvidenceError(f"{name} is the identity, or not in its canonical encoding")
    return point


def read_scalar(data: bytes, name: str) -> Scalar:
    """A scalar from 32 bytes, little-endian; EvidenceError unless it is below the group's order."""
    if len(data) != SCALAR or int.from_bytes(data, "little") >= ORDER:
        raise EvidenceError(f"{name} is not below the order of the group")
    return Scalar.from_le_bytes(data)


def scalar(number: int) -> Scalar:
    """An integer, possibly negative, modulo the group's order. Ten times as fast as the library's own way."""
    return Scalar.from_le_bytes((number % ORDER).to_bytes(SCALAR, "little"))


def wide_scalar(digest: bytes) -> Scalar:
    """64 bytes as a scalar: enough for the remainder to be almost uniform."""
    return scalar(int.from_bytes(digest, "little"))


def powers(base: Scalar, n: int) -> list[Scalar]:
    """base⁰ to baseⁿ⁻¹."""
    result = [Scalar(1)]
    while len(result) < n:
        result.append(result[-1] * base)
    return result[:n]


def dot(left: Sequence[Scalar], right: Sequence[Scalar]) -> Scalar:
    """The inner product of two vectors."""
    return sum((a * b for a, b in zip(left, right, strict=True)), Scalar(0))


def combination(points: list[Point], scalars: list[Scalar]) -> Point:
    """The sum of scalars[i] * points[i]; it runs without the GIL."""
    if len(points) != len(scalars):  # the library would drop the excess
        raise ValueError(f"{len(points)} points and {len(scalars)} scalars")
    return Point.multiexp_unchecked(points, scalars)


class FixedBase:
    """Multiples of one point with a table of 32 times 255 of them: 30 microseconds where the library takes 170."""

    def __init__(self, point: Point):
        self._multiples = []
        for _ in range(SCALAR):
            row = [Point.identity()]
            for _ in range(255):
                row.append(row[-1] + point)
            self._multiples.append(row)
            point = row[-1] + point

    def times(self, factor: int) -> Point:
        """factor * point, 0 <= factor < 2²⁵⁶."""
        digits = factor.to_bytes(SCALAR, "little")
        found = (row[digit] for row, digit in zip(self._multiples, digits, strict=True) if digit)
        return sum(found, Point.identity())
