"""Merkle commitments: against RFC 9162 followed word by word, Certificate Transparency's numbers, and liars."""

import hashlib
import hmac
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idi_fast.errors import EvidenceError
from idi_fast.evidence import merkle
from idi_fast.evidence.merkle import PEDERSEN, PLAIN, SALTED, Commitment, Opening, commit, verify_opening
from oracle import merkle as oracle

SEED = bytes(range(32))
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""Leaves of the tests of Certificate Transparency's own implementation, and the roots of the first 0 to 8 of them."""


def leaf_rows(data: list[bytes]) -> np.ndarray:
    """Leaf hashes of data of any lengths."""
    hashes = [merkle.hash_leaves(np.frombuffer(leaf, np.uint8)[None]) for leaf in data]
    return np.concatenate(hashes) if hashes else np.empty((0, 32), np.uint8)


@pytest.mark.parametrize("n", range(9))
def test_certificate_transparencys_roots(n):
    data = [bytes.fromhex(leaf) for leaf in LEAVES[:n]]
    assert merkle.root_of(merkle.tree(leaf_rows(data))).hex() == ROOTS[n] == oracle.tree_hash(data).hex()


@given(st.integers(1, 70), st.data())
def test_audit_nodes(n, data):
    leaves = [k.to_bytes(2, "big") for k in range(n)]
    wanted = sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1)))
    levels = merkle.tree(leaf_rows(leaves))
    root = merkle.root_of(levels)
    assert root == oracle.tree_hash(leaves)

    m = wanted[0]
    path = merkle.audit_nodes(levels, np.array([m]))
    assert path == oracle.inclusion_path(m, leaves)
    assert oracle.root_of_path(m, n, oracle.leaf_hash(leaves[m]), path) == root

    nodes = merkle.audit_nodes(levels, np.array(wanted))
    assert nodes == [digest for _, _, digest in oracle.multiproof(set(wanted), leaves)]
    assert len(nodes) == merkle.count_audit_nodes(n, np.array(wanted))
    assert merkle.root_from(n, np.array(wanted), levels[0][wanted], nodes) == root


@given(st.integers(2, 40), st.data())
def test_other_leaves_and_nodes_lead_elsewhere(n, data):
    levels = merkle.tree(leaf_rows([bytes([k]) for k in range(n)]))
    wanted = np.array(sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1, max_size=n - 1))))
    nodes, root = merkle.audit_nodes(levels, wanted), merkle.root_of(levels)
    k = data.draw(st.integers(0, len(nodes) - 1))
    flipped = bytes([nodes[k][0] ^ 1]) + nodes[k][1:]
    assert merkle.root_from(n, wanted, levels[0][wanted], [*nodes[:k], flipped, *nodes[k + 1 :]]) != root
    leaves = levels[0][wanted]
    leaves[-1, 31] ^= 1
    assert merkle.root_from(n, wanted, leaves, nodes) != root
    for wrong in ([*nodes, nodes[k]], nodes[:-1], [*nodes[:k], nodes[k][:31], *nodes[k + 1 :]]):
        with pytest.raises(EvidenceError, match="hashes; expected"):
            merkle.root_from(n, wanted, levels[0][wanted], wrong)


def test_the_last_leaf_is_not_doubled():
    data = [b"a", b"b", b"c"]
    roots = {merkle.root_of(merkle.tree(leaf_rows(leaves))) for leaves in (data, [*data, b"c"])}
    assert len(roots) == 2


TABLES = st.lists(st.tuples(*[st.integers(-(2**31), 2**31 - 1)] * 3), min_size=1, max_size=20).map(
    lambda rows: np.array(rows, np.int32)
)


def leaf_data(state: int, row: list[int], salt: bytes) -> bytes:
    """The bytes that the docstring of `leaf_bytes` describes."""
    numbers = [len(row).to_bytes(4, "little"), len(salt).to_bytes(4, "little"), state.to_bytes(8, "little")]
    values = [value.to_bytes(4, "little", signed=True) for value in row]
    return b"".join([b"idi-fast q row 1", *numbers, *values, salt])


@given(TABLES, st.booleans(), st.data())
def test_commit_and_open(table, salted, data):
    committed = commit(table, SEED if salted else None)
    commitment = committed.commitment
    assert (commitment.size, commitment.actions) == table.shape
    assert commitment.form == (SALTED if salted else PLAIN)

    salts = [b""] * len(table)
    if salted:
        digest = hashlib.sha512(b"".join(n.to_bytes(8, "little") for n in table.shape) + table.tobytes()).digest()
        key = hmac.new(SEED, b"idi-fast merkle salt 1" + digest, "sha512").digest()[:32]
        salts = [hashlib.sha256(key + state.to_bytes(8, "little")).digest() for state in range(len(table))]
    leaves = [leaf_data(k, row, salt) for k, (row, salt) in enumerate(zip(table.tolist(), salts, strict=True))]
    assert commitment.root == oracle.bound_root(oracle.tree_hash(leaves), *table.shape, commitment.form)

    state = data.draw(st.integers(0, len(table) - 1))
    opening = committed.open(state)
    assert opening == Opening(state, tuple(table[state].tolist()), salts[state], opening.path)
    assert list(opening.path) == oracle.inclusion_path(state, leaves)
    assert Commitment.from_json(commitment.to_json()) == commitment
    assert Opening.from_json(opening.to_json().encode()) == opening
    verify_opening(commitment, opening)


@given(TABLES, st.booleans(), st.data())
def test_version_2_is_opened_still(table, salted, data):
    committed = commit(table, SEED if salted else None, 2)
    commitment = committed.commitment
    text = json.loads(commitment.to_json())
    assert list(text) == ["format", "root", "size", "actions", "q_scale"]
    assert text["format"] == ("idi-fast-salted-table-1" if salted else "idi-fast-table-1")
    assert Commitment.from_json(commitment.to_json()) == commitment
    verify_opening(commitment, committed.open(data.draw(st.integers(0, len(table) - 1))))
    with pytest.raises(EvidenceError, match="does not lead"):
        verify_opening(replace(commitment, version=3), committed.open(0))


def test_a_root_is_that_of_one_size_form_and_number_of_actions():
    """In version 2 the paths of some states lead to one root in trees of several sizes: 4 of 5, and 4 of 6 to 8."""
    tree_root, numbers = bytes(32), [(5, 3, PLAIN), (9, 3, PLAIN), (5, 4, PLAIN), (5, 3, SALTED), (5, 3, PEDERSEN)]
    roots = {Commitment.of(tree_root, *each).root for each in numbers} | {
        merkle.bound_root(tree_root, 5, 3, "reference")
    }
    assert len(roots) == 6
    assert {Commitment.of(tree_root, *each, 2).root for each in numbers} == {tree_root}


@given(TABLES, st.booleans(), st.data())
def test_whatever_is_changed_in_an_opening_is_refused(table, salted, data):
    committed = commit(table, SEED if salted else None)
    commitment = committed.commitment
    opening = committed.open(data.draw(st.integers(0, len(table) - 1)))
    values, path, salt = opening.values, opening.path, opening.salt
    other = values[0] + 1 if values[0] < 2**31 - 1 else 0
    changed = [
        replace(opening, values=(other, *values[1:])),
        replace(opening, values=values[:2]),
        replace(opening, values=(*values, 0)),
        replace(opening, state=(opening.state + 1) % commitment.size if commitment.size > 1 else 1),
        replace(opening, state=commitment.size),
        replace(opening, salt=b"" if salted else bytes(32)),
        replace(opening, path=(*path, bytes(32))),
    ]
    if salted:
        changed.append(replace(opening, salt=bytes([salt[0] ^ 1]) + salt[1:]))
    if path:
        changed += [replace(opening, path=path[:-1]), replace(opening, path=(*path[:-1], bytes(32)))]
    for wrong in changed:
        with pytest.raises(EvidenceError):
            verify_opening(commitment, wrong)
    for wrong in (
        replace(commitment, root=bytes(32)),
        replace(commitment, actions=4),
        replace(commitment, form=PLAIN if salted else SALTED),
        replace(commitment, form=PEDERSEN),
        replace(commitment, size=commitment.size + 1),
        replace(commitment, version=2),
    ):
        with pytest.raises(EvidenceError):
            verify_opening(wrong, opening)


def test_salts_hide_equal_rows_and_do_not_come_again_for_another_table():
    table = np.zeros((4, 3), np.int32)
    plain, salted = commit(table), commit(table, SEED)
    assert len({salted.open(state).salt for state in range(4)}) == 4
    other = table.copy()
    other[3, 2] = 1
    assert commit(other, SEED).open(0).salt != salted.open(0).salt
    assert commit(table, SEED).commitment == salted.commitment != commit(table, bytes(32)).commitment
    assert plain.open(0).salt == b""


def test_a_table_larger_than_a_block_of_rows(monkeypatch):
    table = np.arange(300, dtype=np.int32).reshape(100, 3)
    whole = commit(table, SEED).commitment
    monkeypatch.setattr(merkle, "ROWS_AT_ONCE", 7)
    assert commit(table, SEED).commitment == whole


@pytest.mark.parametrize(
    "table", [np.zeros((3, 3)), np.zeros((3, 3), np.int64), np.zeros((0, 3), np.int32), np.zeros(3, np.int32)]
)
def test_what_is_no_table_is_refused(table):
    with pytest.raises(EvidenceError, match="fixed-point table"):
        commit(table)


def test_short_seeds_and_unknown_states_are_refused():
    table = np.zeros((3, 3), np.int32)
    with pytest.raises(EvidenceError, match="at least 32 bytes"):
        commit(table, b"secret")
    for state in (3, -1, True):
        with pytest.raises(EvidenceError, match="the state is"):
            commit(table).open(state)


COMMITTED = commit(np.arange(15, dtype=np.int32).reshape(5, 3), SEED)
COMMITMENT, OPENING = json.loads(COMMITTED.commitment.to_json()), json.loads(COMMITTED.open(2).to_json())
HUGE = '{"root": "' + "0" * 20000 + '"}'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (HUGE, "characters"),
        ("{", "not JSON"),
        ("[" * 9000, "not JSON"),
        (b"\xff", "not JSON"),
        ("[]", "keys"),
        (json.dumps({**COMMITMENT, "more": 1}), "keys"),
        (json.dumps({"root": COMMITMENT["root"]}), "keys"),
        (json.dumps(COMMITMENT)[:-1] + ', "size": 5}', "twice"),
        (json.dumps({**COMMITMENT, "size": 5.0}), "size"),
        (json.dumps({**COMMITMENT, "size": True}), "size"),
        (json.dumps({**COMMITMENT, "size": 0}), "size"),
        (json.dumps({**COMMITMENT, "size": 2**41}), "size"),
        (json.dumps({**COMMITMENT, "size": "5"}), "size"),
        (json.dumps({**COMMITMENT, "actions": 65}), "actions"),
        (json.dumps({**COMMITMENT, "q_scale": 1}), "q_scale"),
        (json.dumps({**COMMITMENT, "format": "x"}), "form"),
        (json.dumps({**COMMITMENT, "root": COMMITMENT["root"].upper()}), "root"),
        (json.dumps({**COMMITMENT, "root": COMMITMENT["root"][2:]}), "root"),
        (json.dumps({**COMMITMENT, "root": " " + COMMITMENT["root"][1:]}), "root"),
    ],
)
def test_commitments_are_read_strictly(text, reason):
    with pytest.raises(EvidenceError, match=reason):
        Commitment.from_json(text)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"more": 1}, "keys"),
        ({"format": "x"}, "format"),
        ({"state": -1}, "state"),
        ({"state": 2**40}, "state"),
        ({"values": [1, 2, 2**31]}, "value"),
        ({"values": [1, 2, 3.0]}, "value"),
        ({"values": "123"}, "values"),
        ({"salt": "00"}, "salt"),
        ({"salt": None}, "salt"),
        ({"path": [1]}, "path"),
        ({"path": ["00"]}, "path"),
        ({"path": {}}, "path"),
    ],
)
def test_openings_are_read_strictly(change, reason):
    with pytest.raises(EvidenceError, match=reason):
        Opening.from_json(json.dumps({**OPENING, **change}))
