"""Liars: provers who leave out their own checks, proofs of something else, and proofs with anything in them changed."""

from dataclasses import replace

import numpy as np
import pytest
from examples import examples, some
from hypothesis import given, settings
from hypothesis import strategies as st
from test_zk import SEED, TRIPLES, first_best
from test_zk_curve import NOT_POINTS

from idi_fast.errors import EvidenceError
from idi_fast.evidence import zk
from idi_fast.evidence.merkle import Commitment
from idi_fast.evidence.zk import proof as proofs
from idi_fast.evidence.zk import range_proof, statement
from idi_fast.evidence.zk.curve import ORDER, Point, Scalar, dot, generators, scalar
from idi_fast.evidence.zk.range_proof import Batch, RangeProof, proof_size, prove_range
from idi_fast.evidence.zk.statement import Claims, CommittedValues
from idi_fast.evidence.zk.transcript import Secrets, Transcript
from oracle import range_proof as oracle

WHOLE = 2**32
WEIGHTS = Scalar(3), Scalar(5)
BLINDINGS = [scalar(7**90 + k) for k in range(4)]
TABLE = np.array([[5, 5, 4], [1, 2, 3], [0, 9, 9], [-8, -9, -8], [2**31 - 1, -(2**31), 0]], np.int32)
STATES = np.array([3, 1, 3, 2])
ACTIONS = TABLE.argmax(axis=1)[STATES]
COMMITMENT = zk.commit_table(TABLE, SEED)
PROOF = zk.prove(TABLE, SEED, STATES, ACTIONS)
RANGE = len(PROOF) - proof_size(6)
"""Where the range proof of the three states begins."""


def refused(reason: str, states, actions, proof: bytes, commitment=COMMITMENT) -> None:
    with pytest.raises(EvidenceError, match=reason):
        zk.verify(commitment, np.asarray(states), np.asarray(actions), proof)


def holds(numbers: list[int], proven: list[int], blindings=BLINDINGS, weights=WEIGHTS) -> bool:
    """Whether a verifier who sees commitments to some numbers accepts the proof that was made of others."""
    said = prove_range(Transcript(b"t"), Secrets(SEED, b"s"), proven, blindings[: len(proven)])
    assert len(said) == proof_size(len(proven))
    return accepted(numbers, said, Transcript(b"t"), blindings, weights)


def accepted(numbers, said, transcript, blindings=BLINDINGS, weights=WEIGHTS) -> bool:
    commitments = [oracle.commit(number, int(blinding)) for number, blinding in zip(numbers, blindings, strict=False)]
    places = [(k, len(commitments)) for k in range(len(commitments))]
    batch = Batch()
    read = RangeProof.read(transcript, said, "it")
    batch.add(read, [*commitments, Point.identity()], places, [0] * len(places), weights)
    return batch.holds()


@settings(max_examples=examples(30))
@given(st.lists(st.sampled_from([0, 1, 2**31, WHOLE - 1]) | st.integers(0, WHOLE - 1), min_size=1, max_size=4))
def test_numbers_of_32_bits_hold(numbers):
    assert holds(numbers, numbers)


OUTSIDE = [-1, WHOLE, WHOLE + 5, 2 * WHOLE, -WHOLE, ORDER - 1, ORDER // 2, 2**64]


@pytest.mark.parametrize("number", OUTSIDE)
def test_numbers_outside_do_not_hold(number):
    """The prover goes through with it: the bits are the lowest 32 of the number."""
    assert not holds([number], [number])
    assert not holds([3, number, 0], [3, number, 0])
    assert not oracle.check_range(oracle.commit(number, 5), oracle.prove_range(number, 5))


@pytest.mark.parametrize(
    ("numbers", "proven"), [([6], [5]), ([-1, 7], [0, 6]), ([1, 2], [2, 1]), ([5, 5, 5], [5, 5, 4]), ([0], [WHOLE - 1])]
)
def test_a_proof_of_other_numbers_does_not_hold(numbers, proven):
    assert not holds(numbers, proven)


def test_other_blindings_do_not_hold():
    said = prove_range(Transcript(b"t"), Secrets(SEED, b"s"), [4, 5], BLINDINGS[:2])
    assert accepted([4, 5], said, Transcript(b"t"))
    assert not accepted([4, 5], said, Transcript(b"t"), BLINDINGS[1:])
    assert not accepted([4, 5], said, Transcript(b"u"))


def test_the_oracle_proves_bits():
    for number in (0, WHOLE - 1, 12345):
        proof = oracle.prove_range(number, 99)
        assert oracle.check_range(oracle.commit(number, 99), proof)
        assert not oracle.check_range(oracle.commit(number, 98), proof)
        assert not oracle.check_range(oracle.commit(number, 99), proof[:-1])


class Overheard(Transcript):
    """A transcript that remembers its challenges."""

    heard: dict[bytes, Scalar]

    def challenge(self, label: bytes) -> Scalar:
        self.heard = {**getattr(self, "heard", {}), label: super().challenge(label)}
        return self.heard[label]


def test_each_of_the_two_equations_refuses_a_liar_of_its_own(monkeypatch):
    """A number that wraps round fails the first equation; with t fixed to fit that one, it fails the second."""
    number, first_only, second_only = -3, (Scalar(1), Scalar(0)), (Scalar(0), Scalar(1))
    assert holds([number], [number], weights=second_only)
    assert not holds([number], [number], weights=first_only)

    transcript, calls = Overheard(b"t"), []

    def fixed(left, right):
        value = dot(left, right)
        calls.append(len(left))
        if calls == [32, 32, 32, 1, 32]:  # two for t₁, one for t₂, one for τ, then that of l and r, which is t
            value += transcript.heard[b"z"].square() * scalar(number - number % WHOLE)
        return value

    monkeypatch.setattr(range_proof, "dot", fixed)
    said = prove_range(transcript, Secrets(SEED, b"s"), [number], BLINDINGS[:1])
    monkeypatch.undo()
    assert accepted([number], said, Transcript(b"t"), weights=first_only)
    assert not accepted([number], said, Transcript(b"t"), weights=second_only)
    assert not accepted([number], said, Transcript(b"t"))


WRONG = [(state, action) for state in range(27) for action in range(3) if action != first_best(TRIPLES[state])]


def test_forced_claims_are_rejected(monkeypatch):
    """Wrong claims, by a prover who does not look whether they are true: differences wrap round."""
    assert len(WRONG) == 54
    monkeypatch.setattr(Claims, "check_greedy", lambda *arguments: None)
    # All in one tree, which takes the most time.
    values = CommittedValues(TRIPLES, SEED)
    monkeypatch.setattr(proofs, "CommittedValues", lambda *arguments: values)
    commitment = zk.commit_table(TRIPLES, SEED)
    bits_hold = {}
    for state, action in some(WRONG):
        stream = np.array([state]), np.array([action])
        forged = zk.prove(TRIPLES, SEED, *stream)
        refused(f"nothing shows that the actions in the states {state} to {state}", *stream, forged, commitment)
        numbers, _ = values.differences(TRIPLES, *stream)
        for number in numbers:  # what the slow proofs say of the same two differences
            if number not in bits_hold:
                proof = oracle.prove_range(number, 11)
                bits_hold[number] = oracle.check_range(oracle.commit(number, 11), proof)
        assert not all(bits_hold[number] for number in numbers)
        honest = np.array([first_best(TRIPLES[state])])
        refused("does not hold", stream[0], honest, forged, commitment)
        refused("does not hold", *stream, zk.prove(TRIPLES, SEED, stream[0], honest), commitment)


def test_one_lie_among_many_is_found_and_named(monkeypatch):
    monkeypatch.setattr(statement, "STATES_AT_ONCE", 2)
    monkeypatch.setattr(Claims, "check_greedy", lambda *arguments: None)
    states = np.arange(27)[::-1]
    for lie in (0, 13, 26):
        actions = np.array([first_best(TRIPLES[state]) for state in states])
        actions[states == lie] = (actions[states == lie] + 1) % 3
        first = lie // 2 * 2
        reason = f"range proof {lie // 2 + 1} of 14 .* states {first} to {min(first + 1, 26)} are greedy"
        refused(reason, states, actions, zk.prove(TRIPLES, SEED, states, actions), zk.commit_table(TRIPLES, SEED))


@pytest.mark.parametrize(
    ("buy", "shown"),
    [(WHOLE - 1, [1]), (WHOLE, []), (-WHOLE, []), (1 - WHOLE, [0]), (ORDER // 2, []), (2**200, []), (ORDER - 5, [0])],
)
def test_values_beyond_fixed_point_gain_nothing(buy, shown, monkeypatch):
    """A prover who commits to any numbers he likes: no more than one action of a state can be shown."""
    row, values = [0, buy, 0], CommittedValues(np.zeros((1, 3), np.int32), SEED)
    blindings = [int(values.blinding(0, action)) for action in range(3)]
    encoded = [oracle.commit(v, b).to_compressed_bytes() for v, b in zip(row, blindings, strict=True)]
    values.rows = np.frombuffer(b"".join(encoded), np.uint8)[None]

    def differences(table, states, chosen):
        places, least = statement.comparisons(chosen.tolist())
        numbers = [(row[i] - row[j] - offset) % ORDER for (i, j), offset in zip(places, least, strict=True)]
        return numbers, [scalar(blindings[i] - blindings[j]) for i, j in places]

    values.differences = differences
    monkeypatch.setattr(proofs, "CommittedValues", lambda *arguments: values)
    monkeypatch.setattr(Claims, "check_greedy", lambda *arguments: None)
    anything = np.zeros((1, 3), np.int32)
    commitment = zk.commit_table(anything, SEED)
    for action in range(3):
        stream = np.array([0]), np.array([action])
        forged = zk.prove(anything, SEED, *stream)
        if action in shown:
            zk.verify(commitment, *stream, forged)
        else:
            refused("does not hold", *stream, forged, commitment)


def test_the_honest_proof_holds():
    zk.verify(COMMITMENT, STATES, ACTIONS, PROOF)


def test_other_streams_are_refused():
    refused("does not hold", STATES[::-1], ACTIONS[::-1], PROOF)
    refused("does not hold", [*STATES, 3], [*ACTIONS, ACTIONS[0]], PROOF)
    refused("does not hold", STATES[[0, 1, 3]], ACTIONS[[0, 1, 3]], PROOF)
    refused("does not hold", [*STATES, *STATES], [*ACTIONS, *ACTIONS], PROOF)
    refused("bytes; for this stream", STATES[:3], ACTIONS[:3], PROOF)
    refused("bytes; for this stream", [*STATES, 4], [*ACTIONS, 0], PROOF)
    others = np.where(STATES == 2, 0, STATES)
    refused("bytes; for this stream|root", others, ACTIONS, PROOF)
    wrong = np.where(STATES == 2, 2, ACTIONS)
    assert (wrong != ACTIONS).any()
    refused("does not hold", STATES, wrong, PROOF)
    refused("two actions in state 3", STATES, [0, 2, 1, 1], PROOF)


def test_other_commitments_are_refused(monkeypatch):
    refused("committed root", STATES, ACTIONS, PROOF, zk.commit_table(TABLE, bytes(32)))
    refused("committed root", STATES, ACTIONS, PROOF, replace(COMMITMENT, root=bytes(32)))
    refused("bytes; for this stream", STATES, ACTIONS, PROOF, replace(COMMITMENT, size=4))
    # These leaves have the same path in a tree of five leaves as in one of six: the published root tells them apart.
    refused("committed root", STATES, ACTIONS, PROOF, replace(COMMITMENT, size=6))
    refused("the state of tick 0 is 3", STATES, ACTIONS, PROOF, replace(COMMITMENT, size=3))
    # Size and root are part of the challenges too: without the tree nothing is gained.
    monkeypatch.setattr(Commitment, "binds", lambda *arguments: True)
    refused("does not hold", STATES, ACTIONS, PROOF, replace(COMMITMENT, size=6))
    refused("does not hold", STATES, ACTIONS, PROOF, replace(COMMITMENT, root=bytes(32)))


def test_a_proof_is_of_its_context_alone():
    made = zk.prove(TABLE, SEED, STATES, ACTIONS, context=b"these files")
    zk.verify(COMMITMENT, STATES, ACTIONS, made, b"these files")
    for context in (b"", b"these file", b"other files"):
        with pytest.raises(EvidenceError, match="was made for other files"):
            zk.verify(COMMITMENT, STATES, ACTIONS, made, context)


@pytest.mark.parametrize("constant", ["STATES_AT_ONCE", "BITS", "SCALE"])
def test_a_proof_is_of_its_constants_alone(monkeypatch, constant):
    """A version that changed one of them under the same label would prove something else by the same secrets."""
    before = proofs._statement(COMMITMENT, Claims.of(STATES, ACTIONS, 5), b"", b"", b"").digest()
    holder = statement if constant == "STATES_AT_ONCE" else proofs
    monkeypatch.setattr(holder, constant, 2 * getattr(holder, constant))
    assert proofs._statement(COMMITMENT, Claims.of(STATES, ACTIONS, 5), b"", b"", b"").digest() != before


def test_what_is_no_proof_is_refused_before_anything_is_multiplied(monkeypatch):
    monkeypatch.setattr(Batch, "add", lambda *arguments: pytest.fail("multiplied"))
    monkeypatch.setattr(statement, "STATES_AT_ONCE", 1)
    made = zk.prove(TABLE, SEED, STATES, ACTIONS)
    last = proof_size(2)
    for garbage in (b"\xff" * last, bytes(last)):
        refused("range proof 3 of 3 is", STATES, ACTIONS, made[:-last] + garbage)


def test_every_byte_counts():
    dice = np.random.default_rng(7)
    for at, bit in some(list(enumerate(dice.integers(0, 8, len(PROOF)).tolist()))):
        changed = bytearray(PROOF)
        changed[at] ^= 1 << bit
        refused(".", STATES, ACTIONS, bytes(changed))


def test_proofs_that_are_too_short_or_too_long_are_refused():
    for wrong in (PROOF[:-1], PROOF + b"\0", b"", PROOF[:RANGE], PROOF + PROOF[RANGE:], PROOF[:16]):
        refused("bytes; for this stream and this commitment it has", STATES, ACTIONS, wrong)
    # A hash of the tree more, at the cost of as many bytes elsewhere: the range proof begins too late.
    nodes_end = RANGE
    refused(".", STATES, ACTIONS, PROOF[:nodes_end] + bytes(32) + PROOF[nodes_end:-32])


def places(kind: str) -> list[int]:
    """Where the elements of a kind begin."""
    points = (proof_size(6) - 5 * 32) // 48
    scalars = [RANGE + 4 * 48 + 32 * k for k in range(3)] + [len(PROOF) - 64, len(PROOF) - 32]
    if kind == "scalar":
        return scalars
    if kind == "node":
        return list(range(16 + 3 * 144, RANGE, 32))
    if kind == "commitment":
        return list(range(16, 16 + 3 * 144, 48))
    return [RANGE + 48 * k if k < 4 else RANGE + 48 * k + 96 for k in range(points)]


def with_changed(at: int, data: bytes) -> bytes:
    return PROOF[:at] + data + PROOF[at + len(data) :]


@pytest.mark.parametrize("kind", ["scalar", "node", "commitment", "point"])
def test_each_element_in_exchange_for_another_good_one(kind):
    """Elements that can be read, so that only the equations and the tree can refuse them."""
    size = 48 if kind in ("point", "commitment") else 32
    reason = "does not hold" if kind in ("scalar", "point") else "do not lead to the committed root"
    wheres = places(kind)
    assert len(wheres) == {"scalar": 5, "node": 2, "commitment": 9, "point": 4 + 2 * 8}[kind]
    for k, at in enumerate(wheres):
        neighbour = wheres[k - 1]
        others = {PROOF[neighbour : neighbour + size], bytes([1]) + bytes(31), bytes(32)}
        if size == 48:
            own = Point.from_compressed_bytes(PROOF[at : at + 48])
            others = {PROOF[neighbour : neighbour + 48], (-own).to_compressed_bytes()}
            others.add((own + generators().blinding).to_compressed_bytes())
        for other in others:
            refused(reason, STATES, ACTIONS, with_changed(at, other))


@pytest.mark.parametrize("kind", sorted(set(NOT_POINTS) - {"too short", "too long", "empty"}))
def test_what_is_no_point_is_named(kind, monkeypatch):
    for at in (places("point")[0], places("point")[-1]):
        refused("point .* of range proof 1 of 1 is", STATES, ACTIONS, with_changed(at, NOT_POINTS[kind]))
    monkeypatch.setattr(Commitment, "binds", lambda *arguments: True)
    at = places("commitment")[4]
    refused("the commitment of action 1 in state 2 is", STATES, ACTIONS, with_changed(at, NOT_POINTS[kind]))


@pytest.mark.parametrize("k", range(5))
def test_scalars_not_below_the_order_are_named(k):
    at = places("scalar")[k]
    number = int.from_bytes(PROOF[at : at + 32], "little")
    for wrong in (ORDER, 2**256 - 1, number + ORDER):
        changed = with_changed(at, wrong.to_bytes(32, "little"))
        refused(f"scalar {k + 1} of 5 of range proof 1 of 1 is not below", STATES, ACTIONS, changed)


def test_range_proofs_do_not_change_places(monkeypatch):
    monkeypatch.setattr(statement, "STATES_AT_ONCE", 1)
    made = zk.prove(TABLE, SEED, STATES, ACTIONS)
    zk.verify(COMMITMENT, STATES, ACTIONS, made)
    size = proof_size(2)
    first, second, third = (made[len(made) - k * size :][:size] for k in (3, 2, 1))
    head = made[: len(made) - 3 * size]
    for order in ((second, first, third), (first, third, second), (first, first, third)):
        refused("range proof . of 3 does not hold", STATES, ACTIONS, head + b"".join(order))


def test_errors_of_two_range_proofs_do_not_cancel(monkeypatch):
    """τ of one a little more, of another as much less: with the same weight for both the sum would not change."""
    numbers, transcripts = [[4], [9]], [Transcript(b"1"), Transcript(b"2")]

    def sum_holds(weights):
        batch = Batch()
        for number, transcript, sign, weight in zip(numbers, transcripts, (1, -1), weights, strict=True):
            said = prove_range(transcript.fork(b"", b""), Secrets(SEED, b"s"), number, BLINDINGS[:1])
            read = RangeProof.read(transcript.fork(b"", b""), said, "it")
            commitments = [oracle.commit(number[0], int(BLINDINGS[0])), Point.identity()]
            batch.add(replace(read, tau=read.tau + scalar(sign)), commitments, [(0, 1)], [0], weight)
        return batch.holds()

    assert sum_holds([(Scalar(3), Scalar(5)), (Scalar(3), Scalar(5))])
    assert not sum_holds([(Scalar(3), Scalar(5)), (Scalar(4), Scalar(5))])

    drawn = []
    monkeypatch.setattr(statement, "STATES_AT_ONCE", 1)
    monkeypatch.setattr(Batch, "add", lambda *arguments: drawn.append(arguments[-1]))
    made = zk.prove(TABLE, SEED, STATES, ACTIONS)
    for proof in (made, made[:-32] + bytes([made[-32] ^ 1]) + made[-31:]):
        zk.verify(COMMITMENT, STATES, ACTIONS, proof)  # of nothing, since nothing is added up
    assert len({int(weight) for pair in drawn for weight in pair}) == 2 * 2 * 3
