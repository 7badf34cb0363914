"""Range proofs in two other ways: each bit by itself, and Bulletproofs checked as the paper states them.

The first shares nothing with Bulletproofs: a commitment a bit, and of each that it holds 0 or 1, a disjunction of two
Schnorr proofs (Cramer, Damgård & Schoenmakers 1994). The second reads a whole proof of `idi_fast.evidence.zk` from the
description of its bytes and checks one equation after another, with generators folded one by one (Bünz et al. 2018,
protocol 2).
"""

from __future__ import annotations

import hashlib
import random
from functools import cache
from typing import NamedTuple

from py_arkworks_bls12381 import G1Point, Scalar

from . import merkle

ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
DOMAIN = b"IDI-FAST-V01-with-BLS12381G1_XMD:SHA-256_SSWU_RO_"


@cache
def base(name: str) -> G1Point:
    """A generator."""
    return G1Point.hash_to_curve(name.encode(), DOMAIN)


def times(point: G1Point, number: int) -> G1Point:
    return point * Scalar(number % ORDER)


def total(points) -> G1Point:
    return sum(points, G1Point.identity())


def commit(value: int, blinding: int) -> G1Point:
    """A Pedersen commitment."""
    return times(base("value"), value) + times(base("blinding"), blinding)


def fiat_shamir(*points: G1Point) -> int:
    data = b"".join(point.to_compressed_bytes() for point in points)
    return int.from_bytes(hashlib.sha512(b"bits" + data).digest(), "big") % ORDER


class BitProof(NamedTuple):
    """A commitment, and for each case, 0 and 1, a challenge and a response."""

    commitment: G1Point
    challenges: tuple[int, int]
    responses: tuple[int, int]


def prove_bit(bit: int, blinding: int, context: G1Point, dice: random.Random) -> BitProof:
    """That a commitment holds 0 or 1; whoever commits to another number gets a proof that does not hold."""
    h = base("blinding")
    point = commit(bit, blinding)
    targets = (point, point - base("value"))
    true = bit & 1
    challenges, responses, said = [0, 0], [0, 0], [G1Point.identity()] * 2
    challenges[1 - true], responses[1 - true] = dice.randrange(ORDER), dice.randrange(ORDER)
    said[1 - true] = times(h, responses[1 - true]) - times(targets[1 - true], challenges[1 - true])
    nonce = dice.randrange(ORDER)
    said[true] = times(h, nonce)
    challenges[true] = (fiat_shamir(context, point, *said) - challenges[1 - true]) % ORDER
    responses[true] = (nonce + challenges[true] * blinding) % ORDER
    return BitProof(point, (challenges[0], challenges[1]), (responses[0], responses[1]))


def check_bit(proof: BitProof, context: G1Point) -> bool:
    h = base("blinding")
    targets = (proof.commitment, proof.commitment - base("value"))
    said = [
        times(h, response) - times(target, challenge)
        for response, target, challenge in zip(proof.responses, targets, proof.challenges, strict=True)
    ]
    return fiat_shamir(context, proof.commitment, *said) == sum(proof.challenges) % ORDER


def prove_range(number: int, blinding: int, bits: int = 32, seed: int = 0) -> list[BitProof]:
    """That the commitment to a number holds one of so many bits. Of a number outside, what is over goes into the last
    bit's commitment: the best that a cheat can do."""
    dice = random.Random(seed)
    digits = [number >> k & 1 for k in range(bits - 1)]
    digits.append((number - sum(digit << k for k, digit in enumerate(digits))) * pow(2, 1 - bits, ORDER) % ORDER)
    blindings = [dice.randrange(ORDER) for _ in range(bits - 1)]
    rest = blinding - sum(r << k for k, r in enumerate(blindings))
    blindings.append(rest * pow(2, 1 - bits, ORDER) % ORDER)
    whole = commit(number, blinding)
    return [prove_bit(digit, r, whole, dice) for digit, r in zip(digits, blindings, strict=True)]


def check_range(whole: G1Point, proof: list[BitProof], bits: int = 32) -> bool:
    """Whether the proof shows that the commitment `whole` holds a number of so many bits."""
    weighted = total(times(bit.commitment, 1 << k) for k, bit in enumerate(proof))
    return len(proof) == bits and weighted == whole and all(check_bit(bit, whole) for bit in proof)


def part(label: bytes, data: bytes) -> bytes:
    """A part of a transcript."""
    return len(label).to_bytes(8, "little") + label + len(data).to_bytes(8, "little") + data


def u64(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(8, "little") for number in numbers)


class Reader:
    """Bytes from first to last."""

    def __init__(self, data: bytes):
        self.data = data

    def take(self, n: int) -> bytes:
        if n > len(self.data):
            raise ValueError("too short")
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    def point(self) -> tuple[G1Point, bytes]:
        encoded = self.take(48)
        point = G1Point.from_compressed_bytes(encoded)
        if point.to_compressed_bytes() != encoded or point == G1Point.identity():
            raise ValueError("not canonical")
        return point, encoded

    def scalar(self) -> tuple[int, bytes]:
        encoded = self.take(32)
        if (number := int.from_bytes(encoded, "little")) >= ORDER:
            raise ValueError("not canonical")
        return number, encoded


def generators_sha256(per_side: int = 4096) -> str:
    names = ["value", "blinding", "inner"]
    names += [f"{side} {i}" for side in ("left", "right") for i in range(per_side)]
    return hashlib.sha256(b"".join(base(name).to_xy_bytes_be() for name in names)).hexdigest()


def verify(
    root: bytes,
    size: int,
    states: list[int],
    actions: list[int],
    proof: bytes,
    generators: str,
    at_once: int = 64,
    context: bytes = b"",
) -> bool:
    """Whether a proof holds that the actions in the states are greedy on the table committed to by a root.

    root: as it is published; generators: SHA-256 of the coordinates of all generators; at_once: states of one range
    proof; context: what the proof was bound to.
    """
    try:
        reader = Reader(proof)
        if reader.take(16) != b"idi-fast zk 3\0\0\0" or not root_holds(root, size, states, reader):
            return False
        chosen = dict(zip(states, actions, strict=True))
        if any(chosen[state] != action for state, action in zip(states, actions, strict=True)):
            return False
        distinct = sorted(chosen)
        rows = proof[16 : 16 + 144 * len(distinct)]
        path = proof[16 + len(rows) : len(proof) - len(reader.data)]
        statement = part(b"protocol", b"idi-fast zk: greedy actions of a committed table, format 3")
        statement += part(b"generators", bytes.fromhex(generators))
        statement += part(b"version, bits, states at once, scale", u64(3, 32, at_once, 65536))
        statement += part(b"form", b"pedersen") + part(b"context", context) + part(b"root", root)
        statement += part(b"size, actions", u64(size, 3)) + part(b"states", u64(*states))
        statement += part(b"actions", u64(*actions)) + part(b"commitments", rows) + part(b"path", path)
        chunks = [distinct[at : at + at_once] for at in range(0, len(distinct), at_once)]
        source = Reader(rows)
        for number, chunk in enumerate(chunks):
            numbers = []
            for state in chunk:
                values = [source.point()[0] for _ in range(3)]
                for other in {0, 1, 2} - {chosen[state]}:
                    strict = base("value") if other < chosen[state] else G1Point.identity()
                    numbers.append(values[chosen[state]] - values[other] - strict)
            own = part(b"range proof", u64(number, len(chunks)))
            own += part(b"states, actions", u64(*chunk, *(chosen[state] for state in chunk)))
            if not bulletproof_holds(numbers, statement + own, reader):
                return False
        return not reader.data
    except ValueError:
        return False


def root_holds(root: bytes, size: int, states: list[int], reader: Reader) -> bool:
    """Whether the commitments and hashes that a reader gives lead to the root."""
    distinct = sorted(set(states))
    known = {}
    for state in distinct:
        known[0, state] = merkle.leaf_hash(b"idi-fast zk leaf" + u64(state) + reader.take(144))
    widths = [size]
    while widths[-1] > 1:
        widths.append((widths[-1] + 1) // 2)
    for level, width in enumerate(widths[:-1]):
        missing = {i ^ 1 for at, i in known if at == level} - {i for at, i in known if at == level}
        for i in sorted(missing):
            if i < width:
                known[level, i] = reader.take(32)
        for i in sorted({i for at, i in known if at == level and i % 2 == 0}):
            whole = i + 1 < width
            known[level + 1, i // 2] = (
                merkle.node_hash(known[level, i], known[level, i + 1]) if whole else known[level, i]
            )
    return merkle.bound_root(known[len(widths) - 1, 0], size, 3, "pedersen") == root


def bulletproof_holds(numbers: list[G1Point], transcript: bytes, reader: Reader) -> bool:
    """Whether the aggregated proof that a reader gives shows that all committed numbers have 32 bits."""
    g, h, q = base("value"), base("blinding"), base("inner")
    m = 1
    while m < len(numbers):
        m *= 2
    n = 32 * m
    numbers = numbers + [G1Point.identity()] * (m - len(numbers))

    def challenge(label: bytes) -> int:
        nonlocal transcript
        transcript += part(b"challenge", label)
        return int.from_bytes(hashlib.sha512(transcript).digest(), "little") % ORDER

    (a_point, a_bytes), (s_point, s_bytes) = reader.point(), reader.point()
    transcript += part(b"A S", a_bytes + s_bytes)
    y, z = challenge(b"y"), challenge(b"z")
    (t_1, t_1_bytes), (t_2, t_2_bytes) = reader.point(), reader.point()
    transcript += part(b"T", t_1_bytes + t_2_bytes)
    x = challenge(b"x")
    (tau, tau_bytes), (mu, mu_bytes), (t, t_bytes) = reader.scalar(), reader.scalar(), reader.scalar()
    transcript += part(b"tau mu t", tau_bytes + mu_bytes + t_bytes)
    w = challenge(b"w")

    # Sections 4.1 and 4.2, with m numbers: t is the value at x of a polynomial whose constant is the claim.
    delta = (z - z * z) * sum(pow(y, i, ORDER) for i in range(n))
    delta -= sum(pow(z, 3 + j, ORDER) * sum(2**k for k in range(32)) for j in range(m))
    claim = total(times(v, pow(z, 2 + j, ORDER)) for j, v in enumerate(numbers))
    if commit(t, tau) != claim + times(g, delta) + times(t_1, x) + times(t_2, x * x):
        return False

    # Section 4.1: a commitment to l(x) and r(x), with generators h' of their own.
    left = [base(f"left {i}") for i in range(n)]
    right = [times(base(f"right {i}"), pow(y, -i, ORDER)) for i in range(n)]
    p = a_point + times(s_point, x) - times(h, mu) - times(total(left), z)
    for i, point in enumerate(right):
        p = p + times(point, z * pow(y, i, ORDER) + pow(z, 2 + i // 32, ORDER) * 2 ** (i % 32))

    # Protocols 1 and 2: the inner product goes in with a generator of its own, then all is halved.
    q = times(q, w)
    p = p + times(q, t)
    while n > 1:
        n //= 2
        (l_point, l_bytes), (r_point, r_bytes) = reader.point(), reader.point()
        transcript += part(b"L R", l_bytes + r_bytes)
        u = challenge(b"u")
        v = pow(u, -1, ORDER)
        left = [times(low, v) + times(high, u) for low, high in zip(left[:n], left[n:], strict=True)]
        right = [times(low, u) + times(high, v) for low, high in zip(right[:n], right[n:], strict=True)]
        p = p + times(l_point, u * u) + times(r_point, v * v)
    (a, _), (b, _) = reader.scalar(), reader.scalar()
    return p == times(left[0], a) + times(right[0], b) + times(q, a * b)
