"""Challenges from everything said before (Fiat & Shamir 1986), and secrets that no two proofs share."""

import hashlib
import hmac
import secrets

from idi_fast.evidence.zk.curve import Point, Scalar, wide_scalar


class Transcript:
    """Everything that prover and verifier have both seen, as a running SHA-512.

    Every part follows its label, and both follow their lengths, so that no two transcripts are the same bytes.
    """

    def __init__(self, protocol: bytes):
        self._hash = hashlib.sha512()
        self.absorb(b"protocol", protocol)

    def absorb(self, label: bytes, data: bytes) -> None:
        """Add a message."""
        self._hash.update(len(label).to_bytes(8, "little") + label + len(data).to_bytes(8, "little") + data)

    def absorb_points(self, label: bytes, *points: Point) -> bytes:
        """Add points in compressed form; returns their bytes, to be sent."""
        data = b"".join(point.to_compressed_bytes() for point in points)
        self.absorb(label, data)
        return data

    def fork(self, label: bytes, data: bytes) -> "Transcript":
        """A transcript that begins like this one and then continues separately."""
        copy = Transcript.__new__(Transcript)
        copy._hash = self._hash.copy()
        copy.absorb(label, data)
        return copy

    def digest(self) -> bytes:
        """SHA-512 of everything absorbed."""
        return self._hash.digest()

    def challenge(self, label: bytes) -> Scalar:
        """A number that nobody could know before; never 0, by which some steps divide."""
        while True:
            self.absorb(b"challenge", label)
            number = wide_scalar(self.digest())
            if not number.is_zero():
                return number


class Secrets:
    """The prover's random numbers: HMAC-SHA-512 (RFC 2104) of seed, statement, the private values and fresh randomness.

    Any one of them keeps the numbers distinct if the others fail: no number blinds twice, which would reveal what it
    blinds, even if the system's generator repeats itself (as RFC 6979 derives nonces), and nobody can predict them
    even if seed and statement are the same.
    """

    def __init__(self, seed: bytes, statement: bytes):
        self._key = hmac.digest(seed, b"idi-fast zk nonces 3" + secrets.token_bytes(64) + statement, "sha512")

    def hedged(self, values: bytes) -> "Secrets":
        """Numbers that depend on the private values too."""
        other = Secrets.__new__(Secrets)
        other._key = hmac.digest(self._key, b"values" + values, "sha512")
        return other

    def scalar(self, name: bytes, i: int = 0) -> Scalar:
        """The secret number i of a name."""
        return wide_scalar(hmac.digest(self._key, i.to_bytes(8, "little") + name, "sha512"))

    def vector(self, name: bytes, n: int) -> list[Scalar]:
        """The first n secret numbers of a name."""
        return [self.scalar(name, i) for i in range(n)]
