"""The reference's formats of evidence against their twins and recorded bytes, and strict reading of all that comes."""

import contextlib
import json
import struct
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idi_fast.errors import EvidenceError
from idi_fast.evidence.reference import (
    EXTRAS,
    MAX_RECEIPT,
    PolicyTree,
    Receipt,
    artifact_digest,
    check_manifest,
    leaf,
    manifest_text,
    read_commit,
    state_key,
    verify_path,
)
from idi_fast.evidence.strict_json import parse_object
from oracle import evidence as oracle

STREAM_FILES = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), st.binary(max_size=40))
VALUE = st.integers(-(2**31), 2**31 - 1)
ENTRIES = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), st.tuples(VALUE, VALUE, VALUE))
TABLE = {"state_0": (0.0, 0.5, -0.25), "state_1": (1.0, 0.0, 2.0), "state_10": (-1.0, -1.0, -2.0)}
FIXED = {key: tuple(map(oracle.fixed_point, row)) for key, row in TABLE.items()}


def test_recorded_bytes_of_the_reference():
    assert leaf("state_0", (0, 32768, -16384)).hex() == (
        "bd01c189de0e09ddc38938e8892a2490a2c678d7bfe451ab0ac4f6fb895d921e"
    )
    root = "e984945bdc8b1d68fb26503ce0c515eec7ba031a9f2bffbbd3024a6a2b4dafc9"
    assert PolicyTree(FIXED).root.hex() == oracle.root_and_paths(FIXED)[0].hex() == root
    digest = "b257bc8199a00853929649ee751c9314830a423e8946681a21ee238607ef1433"
    assert artifact_digest(b"{}", {"action.in": b"1\n"}) == oracle.artifact_digest(b"{}", {"action.in": b"1\n"}, {})
    assert artifact_digest(b"{}", {"action.in": b"1\n"}) == digest
    digest = "f96639ff4c2ae2b6cfcbc4e38c3fca4fb8e761c28005b4fead754e914756b5cc"
    assert artifact_digest(b"{}", {}, {"policy_root": b"\1" * 32}) == digest


@given(manifest=st.binary(max_size=40), streams=STREAM_FILES, extras=STREAM_FILES)
def test_the_digest_is_that_of_the_twin(manifest, streams, extras):
    assert artifact_digest(manifest, streams, extras) == oracle.artifact_digest(manifest, streams, extras)


@given(entries=ENTRIES)
def test_the_policy_tree_is_that_of_the_twin(entries):
    tree = PolicyTree(entries)
    root, paths = oracle.root_and_paths(entries)
    assert tree.root == root
    assert {key: tree.path(key) for key in tree.keys} == paths
    assert json.loads(tree.paths_text()) == {key: [[n.hex(), r] for n, r in path] for key, path in paths.items()}
    assert tree.commit_text().decode() == (
        f'{{\n  "root": "{root.hex()}",\n  "leaf_encoding": "qtable_entry_v1",\n  "q_scale": 65536,\n'
        f'  "size": {len(entries)}\n}}'
    )
    assert read_commit(tree.commit_text()) == (root, len(entries))
    for key in tree.keys:
        verify_path(root, key, entries[key], tree.path(key))


def test_an_odd_last_node_is_paired_with_itself_and_two_tables_share_a_root():
    entries = {"a": (1, 2, 3), "b": (4, 5, 6), "c": (7, 8, 9)}
    tree = PolicyTree(entries)
    a, b, c = (leaf(key, entries[key]) for key in "abc")
    pairs = [sha256(a + b).digest(), sha256(c + c).digest()]
    assert tree.root == sha256(b"".join(pairs)).digest()
    assert tree.path("c") == [(c, True), (pairs[0], False)]
    assert PolicyTree({"a": (1, 2, 3)}).root == a
    assert PolicyTree({}).root == sha256(b"").digest()


def test_a_wrong_value_does_not_lead_to_the_root():
    tree = PolicyTree(FIXED)
    with pytest.raises(EvidenceError, match="state_1 does not lead"):
        verify_path(tree.root, "state_1", (65536, 0, 131073), tree.path("state_1"))
    with pytest.raises(EvidenceError, match="no state state_2"):
        tree.path("state_2")


def test_states_are_called_as_python_writes_tuples():
    assert [state_key([1, 2, 0, 3, 1]), state_key([7])] == ["(1, 2, 0, 3, 1)", "(7,)"]


LINES = st.dictionaries(st.sampled_from("ab é🙂"), st.lists(st.integers(0, 31), max_size=5))


@given(streams=LINES, newline=st.booleans())
def test_the_manifest_is_that_of_the_twin(streams, newline):
    texts = {f"{name}.in": ("\n".join(map(str, lines)) + "\n" * newline).encode() for name, lines in streams.items()}
    text = manifest_text("run.json", b"{}", texts, {"owner": "é"}, 1700000000.25)
    assert text.decode() == oracle.manifest_text("run.json", b"{}", texts, {"owner": "é"}, 1700000000.25)
    check_manifest(text, "run.json", b"{}", texts)
    with pytest.raises(EvidenceError, match="streams is not that of the files"):
        check_manifest(text, "run.json", b"{}", {**texts, "z.in": b"1\n"})
    with pytest.raises(EvidenceError, match="config_sha256 is not that"):
        check_manifest(text, "run.json", b"{ }", texts)
    with pytest.raises(EvidenceError, match="not written as the reference"):
        check_manifest(text + b"\n", "run.json", b"{}", texts)


EXTRA = st.dictionaries(st.sampled_from(EXTRAS), st.binary(min_size=1, max_size=32))


@given(extras=EXTRA, timestamp=st.floats(0, 2e9))
def test_a_receipt_is_read_as_it_was_written(extras, timestamp):
    receipt = Receipt(timestamp, "0" * 64, "stub", "artifact_manifest.json", "streams", "proof/proof.bin", extras)
    fields = json.loads(receipt.text())
    assert list(fields) == [
        "timestamp",
        "manifest",
        "streams",
        "proof",
        "digest",
        "prover",
        *(name for name in EXTRAS if name in extras),
    ]
    assert Receipt.read(receipt.text()) == receipt


RECEIPT = Receipt(1.0, "0" * 64, "stub", "m", "s", "p", {"tx_hash": b"\1"}).text()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "is not JSON"),
        (b"[]", "expected an object"),
        (b'{"digest": 1, "digest": 2}', "occurs twice"),
        (b"\xff", "not UTF-8"),
        (RECEIPT + b" " * MAX_RECEIPT, "bytes; expected at most 524,288"),
        (RECEIPT.replace(b'"prover"', b'"proofer"'), "prover is missing"),
        (RECEIPT.replace(b'"01"', b'"0g"'), "tx_hash is '0g'"),
        (RECEIPT.replace(b'"01"', b"1"), "tx_hash is 1; expected text"),
        (RECEIPT.replace(b'"tx_hash"', b'"tx_hsh"'), "Did you mean 'tx_hash'"),
        (RECEIPT.replace(b"1.0", b"true"), "timestamp is True; expected a number"),
        (RECEIPT.replace(b"1.0", b"NaN"), "NaN is not JSON"),
        (RECEIPT + b"\n", "not written as the reference writes it"),
        (b'{"a":' * 100_000, "nested too deep"),
    ],
)
def test_what_is_no_receipt_is_refused(text, reason):
    with pytest.raises(EvidenceError, match=reason):
        Receipt.read(text)


@given(text=st.binary(max_size=60))
def test_json_from_others_is_an_object_or_refused(text):
    with contextlib.suppress(EvidenceError):
        assert isinstance(parse_object(text, "it"), dict)


def test_leaves_hold_little_endian_values():
    expected = sha256(b"qtable_entry" + b"(1,)" + struct.pack("<3i", -1, 2**31 - 1, -(2**31))).digest()
    assert leaf("(1,)", (-1, 2**31 - 1, -(2**31))) == expected
