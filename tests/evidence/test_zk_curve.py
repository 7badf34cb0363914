"""Points, scalars and generators: read strictly, and never trusted to a cache."""

import random
import subprocess
import sys
import warnings

import pytest
from py_arkworks_bls12381 import G1Point, Scalar

from idi_fast.errors import EvidenceError, InputError
from idi_fast.evidence.zk import curve
from idi_fast.evidence.zk import transcript as transcripts
from idi_fast.evidence.zk.transcript import Secrets, Transcript
from oracle.range_proof import part

DICE = random.Random(5)


def on_the_curve_outside_the_group() -> bytes:
    """The first such point that there is, by its x coordinate: nearly all points of the curve lie outside."""
    for x in range(1, 100):
        encoded = bytes([0x80]) + x.to_bytes(47, "big")
        try:
            point = G1Point.from_compressed_bytes_unchecked(encoded)
        except ValueError:
            continue
        assert not point.is_in_subgroup()
        return encoded
    raise AssertionError("no point found")


NOT_POINTS = {
    "identity": G1Point.identity().to_compressed_bytes(),
    "all ones": b"\xff" * 48,
    "identity with another sign": b"\xe0" + bytes(47),
    "identity with bits set": b"\xc0" + bytes(46) + b"\1",
    "without the flag of compression": bytes([G1Point().to_compressed_bytes()[0] & 0x7F]) + bytes(47),
    "no point of the curve": b"\x80" + bytes(46) + b"\1",
    "outside the group": on_the_curve_outside_the_group(),
    "too short": G1Point().to_compressed_bytes()[:47],
    "too long": G1Point().to_compressed_bytes() + b"\0",
    "empty": b"",
}
FIELD = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB


@pytest.mark.parametrize("kind", NOT_POINTS)
def test_what_is_no_point_is_refused(kind):
    with pytest.raises(EvidenceError, match="the thing is"):
        curve.read_point(NOT_POINTS[kind], "the thing")


def test_a_coordinate_is_below_the_fields_order():
    """x and x + p are the same number; only one of them is written."""
    for factor in range(1, 200):
        encoded = (G1Point() * Scalar(factor)).to_compressed_bytes()
        x = int.from_bytes(encoded, "big") & (1 << 381) - 1
        if x + FIELD < 1 << 381:
            break
    assert curve.read_point(encoded, "it") == G1Point() * Scalar(factor)
    with pytest.raises(EvidenceError):
        curve.read_point((int.from_bytes(encoded, "big") + FIELD).to_bytes(48, "big"), "it")


def test_a_point_has_one_encoding_even_if_the_library_reads_two(monkeypatch):
    class Lenient:
        identity = G1Point.identity

        @staticmethod
        def from_compressed_bytes(data: bytes) -> G1Point:
            return G1Point()

    monkeypatch.setattr(curve, "Point", Lenient)
    assert curve.read_point(G1Point().to_compressed_bytes(), "it") == G1Point()
    with pytest.raises(EvidenceError, match="canonical"):
        curve.read_point((-G1Point()).to_compressed_bytes(), "it")


@pytest.mark.parametrize("number", [curve.ORDER, curve.ORDER + 1, 2**256 - 1])
def test_scalars_are_below_the_order(number):
    with pytest.raises(EvidenceError, match="it is not below"):
        curve.read_scalar(number.to_bytes(32, "little"), "it")


@pytest.mark.parametrize("number", [0, 1, curve.ORDER - 1])
def test_scalars_are_read(number):
    assert int(curve.read_scalar(number.to_bytes(32, "little"), "it")) == number
    with pytest.raises(EvidenceError):
        curve.read_scalar(number.to_bytes(33, "little"), "it")


def test_scalars_are_remainders():
    for number in (-1, -(2**32), curve.ORDER, 3 * curve.ORDER + 2, 0):
        assert int(curve.scalar(number)) == number % curve.ORDER
    digest = DICE.randbytes(64)
    assert int(curve.wide_scalar(digest)) == int.from_bytes(digest, "little") % curve.ORDER


def test_multiples_by_a_table():
    point = G1Point.hash_to_curve(b"some", b"where")
    base = curve.FixedBase(point)
    for factor in (0, 1, 255, 256, 2**31, curve.ORDER - 1, DICE.randrange(curve.ORDER)):
        assert base.times(factor) == point * Scalar(factor)


def test_combinations():
    points = [G1Point.hash_to_curve(bytes([k]), b"x") for k in range(5)]
    factors = [DICE.randrange(curve.ORDER) for _ in points]
    expected = sum((p * Scalar(f) for p, f in zip(points, factors, strict=True)), G1Point.identity())
    assert curve.combination(points, [Scalar(f) for f in factors]) == expected
    assert curve.combination([], []) == G1Point.identity()
    with pytest.raises(ValueError, match="5 points and 4"):
        curve.combination(points, [Scalar(1)] * 4)


def test_the_library_hashes_to_the_curve_as_rfc_9380_does():
    """Appendix J.9.1, the empty message."""
    point = G1Point.hash_to_curve(b"", b"QUUX-V01-CS02-with-BLS12381G1_XMD:SHA-256_SSWU_RO_")
    assert point.to_xy_bytes_be().hex() == (
        "052926add2207b76ca4fa57a8734416c8dc95e24501772c814278700eed6d1e4e8cf62d9c09db0fac349612b759e79a1"
        "08ba738453bfed09cb546dbb0783dbb3a5f1f566ed67bb6be0e8c67e2e81a4cc68ee29813bb7994998f3eae0c9c6a265"
    )


@pytest.fixture
def no_generators_yet(monkeypatch, tmp_path):
    """A new cache folder, and nothing kept in memory."""
    monkeypatch.setattr(curve, "CACHE_FOLDER", tmp_path)
    curve.generators.cache_clear()
    yield tmp_path / "bls12381-generators.bin"
    curve.generators.cache_clear()


def test_generators_are_derived_once_and_a_damaged_cache_is_not_trusted(no_generators_yet, monkeypatch):
    first = curve.generators()
    whole = no_generators_yet.read_bytes()
    everything = [first.value, first.blinding, first.inner, *first.left, *first.right]
    assert len({point.to_compressed_bytes() for point in everything}) == len(everything) == 3 + 2 * curve.VECTOR
    assert first.right[7] == G1Point.hash_to_curve(b"right 7", curve.DOMAIN)

    # Two generators swapped: valid points, of which a forger might know too much.
    no_generators_yet.write_bytes(whole[96:192] + whole[:96] + whole[192:])
    derived = []
    monkeypatch.setattr(curve, "derived_generators", lambda: derived.append(1) or whole)
    for _ in range(2):
        curve.generators.cache_clear()
        assert curve.generators() == first
    assert derived == [1]
    assert no_generators_yet.read_bytes() == whole
    assert list(no_generators_yet.parent.iterdir()) == [no_generators_yet]


def test_a_cache_that_cannot_be_written_is_told_of(no_generators_yet, monkeypatch):
    data = b"".join(G1Point().to_xy_bytes_be() for _ in range(4))
    monkeypatch.setattr(curve, "derived_generators", lambda: data)
    monkeypatch.setattr(curve, "GENERATORS_SHA256", curve.hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(curve, "CACHE_FOLDER", no_generators_yet.parent / "nowhere")
    with pytest.warns(RuntimeWarning, match="cannot keep the generators"):
        assert curve.generators().value == G1Point()
    curve.generators.cache_clear()
    monkeypatch.setattr(curve, "CACHE_FOLDER", None)  # of which the user has been told already
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert curve.generators().value == G1Point()


def test_a_library_that_hashes_otherwise_is_refused(no_generators_yet, monkeypatch):
    monkeypatch.setattr(curve, "derived_generators", lambda: b"others")
    with pytest.raises(InputError, match="does not hash to the curve as expected"):
        curve.generators()
    assert not no_generators_yet.exists()


def test_without_the_extra_the_command_to_install_it_is_named():
    code = "import sys; sys.modules['py_arkworks_bls12381'] = None; import idi_fast.evidence.zk"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "InputError" in done.stderr
    assert "pip install 'idi-fast[zk]'" in done.stderr


def test_transcripts_tell_every_cut_apart():
    texts = [(b"a", b"bc"), (b"ab", b"c"), (b"abc", b""), (b"", b"abc")]
    digests = set()
    for label, data in texts:
        transcript = Transcript(b"p")
        transcript.absorb(label, data)
        assert transcript.digest() == curve.hashlib.sha512(part(b"protocol", b"p") + part(label, data)).digest()
        digests.add(transcript.digest())
    assert len(digests) == len(texts)


def test_challenges_and_forks():
    transcript = Transcript(b"p")
    fork = transcript.fork(b"way", b"1")
    numbers = [transcript.challenge(b"x"), transcript.challenge(b"x"), fork.challenge(b"x")]
    assert len({int(number) for number in numbers}) == 3
    again = Transcript(b"p")
    assert [again.challenge(b"x"), again.challenge(b"x")] == numbers[:2]


def test_secrets_differ_by_seed_statement_witness_name_and_number(monkeypatch):
    """Also where the system's generator repeats itself."""
    monkeypatch.setattr(transcripts.secrets, "token_bytes", lambda n: bytes(n))
    made = [
        Secrets(seed, statement).hedged(values).scalar(name, i)
        for seed in (bytes(32), b"1" * 32)
        for statement in (b"s", b"t")
        for values in (b"u", b"v")
        for name in (b"n", b"o")
        for i in (0, 1)
    ]
    assert len({int(number) for number in made}) == 32
    assert Secrets(bytes(32), b"s").hedged(b"u").vector(b"n", 2) == made[:2]


def test_secrets_of_one_seed_statement_and_witness_are_never_the_same():
    assert len({int(Secrets(bytes(32), b"s").hedged(b"u").scalar(b"n")) for _ in range(8)}) == 8
