"""Zero-knowledge proofs of honest provers, what refuses to be proven, and two other ways to check them."""

import hashlib
import hmac
from itertools import product

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from idi_fast.errors import EvidenceError
from idi_fast.evidence import merkle, zk
from idi_fast.evidence.merkle import PEDERSEN, Commitment
from idi_fast.evidence.zk import proof as proofs
from idi_fast.evidence.zk import statement
from idi_fast.evidence.zk.curve import GENERATORS_SHA256, ORDER
from idi_fast.evidence.zk.range_proof import proof_size
from idi_fast.evidence.zk.statement import Claims, CommittedValues, comparisons
from oracle import merkle as merkle_oracle
from oracle import range_proof as oracle

SEED = bytes(range(32))
TRIPLES = np.array(list(product((-1, 0, 1), repeat=3)), np.int32)
"""All orders and ties of three values."""


def first_best(row) -> int:
    """Hold before buy before sell."""
    hold, buy, sell = row
    if hold >= buy and hold >= sell:
        return 0
    return 1 if buy >= sell else 2


EXTREMES = st.sampled_from([-(2**31), -(2**31) + 1, -1, 0, 1, 2**31 - 1]) | st.integers(-(2**31), 2**31 - 1)


@settings(max_examples=examples(8))
@given(st.lists(st.tuples(EXTREMES, EXTREMES, EXTREMES), min_size=1, max_size=9), st.data())
def test_round_trip(rows, data):
    table = np.array(rows, np.int32)
    states = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=12)))
    actions = np.array([first_best(rows[state]) for state in states])
    commitment = zk.commit_table(table, SEED)
    assert commitment == Commitment.from_json(commitment.to_json())
    assert (commitment.size, commitment.actions, commitment.form) == (len(rows), 3, PEDERSEN)
    made = zk.prove(table, SEED, states, actions, context=b"files")
    zk.verify(commitment, states, actions, made, b"files")
    arguments = commitment.root, len(rows), states.tolist(), actions.tolist(), made, GENERATORS_SHA256
    assert oracle.verify(*arguments, context=b"files")
    assert not oracle.verify(*arguments)


def test_all_orders_and_ties_in_one_proof():
    states = np.arange(27)
    actions = np.array([first_best(row) for row in TRIPLES])
    made = zk.prove(TRIPLES, SEED, states, actions)
    zk.verify(zk.commit_table(TRIPLES, SEED), states, actions, made)


@pytest.mark.parametrize("state", range(27))
def test_the_other_two_claims_are_refused_by_the_prover(state):
    best = first_best(TRIPLES[state])
    for action in {0, 1, 2} - {best}:
        reason = f"takes action {action} in state {state}; the table's greedy action there is {best}"
        with pytest.raises(EvidenceError, match=reason):
            zk.prove(TRIPLES, SEED, np.array([state]), np.array([action]))


def test_the_commitments_are_those_of_the_description():
    table = np.array([[5, -7, 0], [-(2**31), 2**31 - 1, 1]], np.int32)
    digest = hashlib.sha512(b"".join(n.to_bytes(8, "little") for n in table.shape) + table.tobytes()).digest()
    key = hmac.new(SEED, b"idi-fast zk blinding 1" + digest, "sha512").digest()
    leaves = []
    for state, row in enumerate(table.tolist()):
        leaf = b"idi-fast zk leaf" + state.to_bytes(8, "little")
        for action, value in enumerate(row):
            name = state.to_bytes(8, "little") + bytes([action])
            blinding = int.from_bytes(hmac.new(key, name, "sha512").digest(), "little") % ORDER
            leaf += oracle.commit(value, blinding).to_compressed_bytes()
        leaves.append(leaf)
    root = merkle_oracle.bound_root(merkle_oracle.tree_hash(leaves), 2, 3, "pedersen")
    assert zk.commit_table(table, SEED).root == root


def test_each_difference_is_one_that_the_oracle_proves():
    """What the aggregated proof shows of 54 differences at once is what one proof a bit shows of each."""
    values = CommittedValues(TRIPLES, SEED)
    states, best = np.arange(27), TRIPLES.argmax(axis=1)
    numbers, blindings = values.differences(TRIPLES, states, best)
    encoded = values.rows.tobytes()
    commitments = [oracle.G1Point.from_compressed_bytes(encoded[at : at + 48]) for at in range(0, len(encoded), 48)]
    places, least = comparisons(best.tolist())
    seen = set()
    for number, blinding, (i, j), offset in zip(numbers, blindings, places, least, strict=True):
        whole = commitments[i] - commitments[j] - oracle.times(oracle.base("value"), offset)
        assert whole == oracle.commit(number, int(blinding))
        if number not in seen:  # the others are the same proof with another blinding
            assert oracle.check_range(whole, oracle.prove_range(number, int(blinding)))
        seen.add(number)
    assert seen == {0, 1, 2}


def test_comparisons_are_those_of_training():
    for row in TRIPLES:
        for action in range(3):
            places, least = comparisons([action])
            numbers = [row[i] - row[j] - offset for (i, j), offset in zip(places, least, strict=True)]
            assert (min(numbers) >= 0) == (action == first_best(row))
            assert len(places) == 2


def test_more_states_than_one_range_proof_holds(monkeypatch):
    rng = np.random.default_rng(1)
    table = rng.integers(-(2**31), 2**31, (70, 3)).astype(np.int32)
    states = rng.permutation(70)[:66]
    actions = table[states].argmax(axis=1)
    said = []
    made = zk.prove(table, SEED, states, actions, jobs=2, progress=lambda done, total: said.append((done, total)))
    assert said[-1] == (66, 66)
    assert said == sorted(said)
    commitment = zk.commit_table(table, SEED)
    zk.verify(commitment, states, actions, made)
    alone = zk.prove(table, SEED, states, actions, jobs=1)
    zk.verify(commitment, states, actions, alone)
    head = len(made) - proof_size(128) - proof_size(4)
    assert made[:head] == alone[:head]  # commitments and path; the nonces are never the same

    # Small ones, of which the slow check can follow all: two, two and one.
    monkeypatch.setattr(statement, "STATES_AT_ONCE", 2)
    states, actions = states[:5], actions[:5]
    made = zk.prove(table, SEED, states, actions)
    zk.verify(commitment, states, actions, made)
    arguments = (commitment.root, 70, states.tolist(), actions.tolist(), made, GENERATORS_SHA256, 2)
    assert oracle.verify(*arguments)
    changed = bytearray(made)
    changed[-40] ^= 1
    assert not oracle.verify(*arguments[:4], bytes(changed), *arguments[5:])


def test_states_that_are_proven_are_not_proven_again():
    table = TRIPLES[:4]
    short, long = np.array([1, 3]), np.array([1, 3] * 500)
    sizes = [len(zk.prove(table, SEED, states, table[states].argmax(axis=1))) for states in (short, long)]
    assert sizes[0] == sizes[1]


def test_the_generators_of_the_oracle_are_the_same():
    assert oracle.generators_sha256() == GENERATORS_SHA256


def test_another_seed_another_table_or_another_stream_share_no_secret():
    """Neither blinding nor nonce: what is equal in two proofs is what is equal in public."""
    states = np.array([0, 1])
    table = np.array([[3, 2, 1], [1, 2, 3], [0, 0, 0]], np.int32)
    other = table.copy()
    other[2, 0] = 1
    actions = np.array([0, 2])
    made = [
        zk.prove(table, SEED, states, actions),
        zk.prove(table, bytes(32), states, actions),
        zk.prove(other, SEED, states, actions),
        zk.prove(table, SEED, states[::-1], actions[::-1]),
        zk.prove(table, SEED, states, actions),
    ]
    pieces = [{piece[at : at + 48] for piece in [one] for at in range(16, 16 + 2 * 144, 48)} for one in made]
    assert pieces[0] == pieces[3] == pieces[4]
    assert not pieces[0] & pieces[1]
    assert not pieces[0] & pieces[2]
    # A and S, of which A is the same where bits and blinding are: then two proofs would give away both.
    begins = [len(one) - proof_size(4) for one in made]
    points = [one[at + k : at + k + 48] for one, at in zip(made, begins, strict=True) for k in (0, 48)]
    assert len(set(points)) == 10


def test_a_proof_needs_the_right_sort_of_table_and_seed():
    for table, reason in (
        (np.zeros((2, 2), np.int32), "3 actions"),
        (np.zeros((2**16 + 1, 3), np.int32), "65536 states"),
        (np.zeros((2, 3)), "fixed-point table"),
    ):
        with pytest.raises(EvidenceError, match=reason):
            zk.commit_table(table, SEED)
    with pytest.raises(EvidenceError, match="at least 32 bytes"):
        zk.commit_table(TRIPLES, b"short")


@pytest.mark.parametrize(
    ("states", "actions", "reason"),
    [
        ([], [], "states are"),
        ([[0]], [[0]], "states are"),
        ([0.0], [0], "states are float64"),
        ([0, 27], [0, 0], "the state of tick 1 is 27; expected 0 to 26"),
        ([0, -1], [0, 0], "tick 1 is -1"),
        ([0, 1], [0, 3], "the action of tick 1 is 3; expected 0 to 2"),
        ([0, 1], [0], "2 states, but 1 actions"),
        ([4, 5, 4], [0, 1, 2], "two actions in state 4: 0 in tick 0, 2 in tick 2"),
        ([2**63], [0], "tick 0 is 9223372036854775808"),
    ],
)
def test_streams_are_refused_by_name(states, actions, reason):
    with pytest.raises(EvidenceError, match=reason):
        Claims.of(np.array(states), np.array(actions), 27)


def test_only_commitments_of_this_form_are_proven_of():
    plain = merkle.commit(TRIPLES).commitment
    for commitment in (
        plain,
        Commitment(plain.root, 27, 4, PEDERSEN),
        Commitment(plain.root, 2**16 + 1, 3, PEDERSEN),
    ):
        with pytest.raises(EvidenceError, match="nothing can be proven of a commitment"):
            zk.verify(commitment, np.array([0]), np.array([0]), b"")


def test_a_length_is_compared_before_anything_is_worked_out(monkeypatch):
    monkeypatch.setattr(proofs, "hashed_rows", lambda *arguments: pytest.fail("hashed"))
    monkeypatch.setattr(proofs, "read_point", lambda *arguments: pytest.fail("read"))
    states = np.arange(2**16)
    with pytest.raises(EvidenceError, match="the proof has 3 bytes; for this stream"):
        zk.verify(Commitment(bytes(32), 2**16, 3, PEDERSEN), states, states * 0, b"abc")
