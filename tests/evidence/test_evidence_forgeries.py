"""What a hostile publisher makes by the library's own parts: a verdict says "fails" or "not checked", never more."""

import json
from dataclasses import replace
from hashlib import sha256

import numpy as np
import polars as pl
import pytest
from cli_helpers import assert_mentions, one_object, refused, run, succeed
from evidence_runs import failed
from forgers import SEED, consistent, copied, edited, not_held, remake, rows, said_of, zk_folder

from idi_fast.agents.policy import Policy
from idi_fast.environments.state_space import StateSpace
from idi_fast.errors import EvidenceError
from idi_fast.evidence import merkle
from idi_fast.evidence.manifest import Manifest
from idi_fast.evidence.merkle import FORMS, PEDERSEN, PLAIN, Commitment, Opening, verify_opening
from idi_fast.evidence.provers import ProverOptions
from idi_fast.evidence.publish import prove_folder
from idi_fast.evidence.published import Published, fixed_table
from idi_fast.evidence.verify import verify_folder


@pytest.fixture(scope="module")
def public(evidence, tmp_path_factory):
    """The folders that hide the tables of an agent on a history and of one on noise."""
    place = tmp_path_factory.mktemp("public")
    for name in ("agent", "synthetic"):
        prove_folder(evidence / name, "zk", ProverOptions(private=place / "secrets"), out=place / name)
    return place


@pytest.fixture
def data(evidence) -> ProverOptions:
    return ProverOptions(data=str(evidence / "bars.csv"))


def test_what_an_honest_folder_shows(public, data):
    found = rows(public / "agent", options=data)
    assert {name for name, result in found.items() if result == "holds"} == {
        "manifest",
        "streams",
        "actions",
        "signals",
        "states",
        "figures",
        "zk",
    }
    assert {name for name, result in found.items() if result == "not checked"} == {"config", "communications", "root"}
    assert rows(public / "agent")["states"] == rows(public / "synthetic")["states"] == "not checked"
    root = json.loads((public / "agent/commitment.json").read_text())["root"]
    assert verify_folder(public / "agent", require="zk,root,states", options=replace(data, root=root)).ok
    outcome = succeed("verify", public / "agent", "--require", "zk")
    assert_mentions(outcome.stdout, "states", "NOT CHECKED, they are the publisher's word", "partly checked")
    value = one_object(run("verify", public / "agent", "--json").stdout)
    assert (value["ok"], value["verdict"]) == (True, "partly checked")
    assert {"name", "claim", "against", "trusted", "result", "found"} == set(value["claims"][0])
    assert "states" in failed("verify", public / "agent", "--require", "zk,states")
    assert "claims do not hold" in failed("verify", public / "agent", "--require", "all")


# --- one root, two tables


def two_openings(version: int, root: bytes | None = None) -> list[tuple[Commitment, Opening]]:
    """State 4 in two rows: of five states, where it is the last, and of nine, where that leaf is the ninth."""

    def leaf(state: int, row: list[int]) -> bytes:
        none = np.empty((1, 0), np.uint8)
        return merkle.hash_leaves(merkle.leaf_bytes(np.array([state]), np.array([row], np.int32), none)).tobytes()

    def node(*pair: bytes) -> bytes:
        return sha256(b"\1" + b"".join(pair)).digest()

    rows = [[7, 0, 0], [0, 7, 0]]
    rest, ours = [bytes([k]) * 32 for k in range(3)], leaf(4, rows[1])
    left = node(rest[2], node(node(ours, rest[0]), rest[1]))
    last = leaf(4, rows[0])
    tree_root = node(left, last)
    paths = [(left,), (rest[0], rest[1], rest[2], last)]
    sizes = [5, 9]
    made = []
    for row, path, size in zip(rows, paths, sizes, strict=True):
        commitment = Commitment.of(tree_root, size, 3, PLAIN, version)
        commitment = commitment if root is None else replace(commitment, root=root)
        made.append((commitment, Opening(4, tuple(row), b"", path)))
    return made


def test_one_root_opens_to_one_row_of_a_state(tmp_path):
    old = two_openings(2)
    assert old[0][0].root == old[1][0].root
    for commitment, opening in old:
        verify_opening(commitment, opening)  # which is why format 2 is said not to bind them
        (tmp_path / "commitment.json").write_text(commitment.to_json())
        (tmp_path / "opening.json").write_text(opening.to_json())
        outcome = succeed("verify-opening", tmp_path / "commitment.json", tmp_path / "opening.json")
        assert_mentions(outcome.stdout, "NOT CHECKED that it binds them", "format 2 does not bind")
    new = two_openings(3)
    assert new[0][0].root != new[1][0].root
    for published in (new[0][0].root, new[1][0].root, old[0][0].root):
        accepted = 0
        for commitment, opening in two_openings(3, published):
            try:
                verify_opening(commitment, opening)
                accepted += 1
            except EvidenceError:
                pass
        assert accepted <= 1


def test_a_root_is_compared_with_form_size_and_actions(tmp_path, synthetic):
    succeed("commit", synthetic, "--out", tmp_path / "c")
    root = json.loads((tmp_path / "c/commitment.json").read_text())["root"]
    for change in (
        {"size": 2049},
        {"size": 6144},
        {"actions": 4},
        *({"form": form} for form in FORMS if form != PLAIN),
        {"format": "idi-fast-table-1", "form": None},
    ):
        fields = json.loads((tmp_path / "c/commitment.json").read_text()) | change
        fields = {key: value for key, value in fields.items() if value is not None}
        (synthetic / "commitment.json").write_text(json.dumps(fields))
        remake(synthetic)
        assert fields["root"] == root
        found = rows(synthetic, options=ProverOptions(root=root))
        assert found["commitment"] != "holds"
        assert verify_folder(synthetic, require="commitment", options=ProverOptions(root=root)).ok is False
    (synthetic / "commitment.json").write_bytes((tmp_path / "c/commitment.json").read_bytes())
    remake(synthetic)
    found = rows(synthetic, options=ProverOptions(root=root))
    assert (found["commitment"], found["root"]) == ("holds", "holds")


def test_a_folder_of_a_root_of_another_size_fails(public, tmp_path):
    folder = copied(public / "agent", tmp_path / "forged")
    edited(folder / "commitment.json", lambda fields: fields.update(size=fields["size"] + 1))
    remake(folder)
    assert "the commitment is to" in failed("verify", folder, "--require", "zk")


# --- any stream from an honest-looking table


def hindsight(public, evidence, *, everywhere: bool):
    """A table of few states, and the states chosen by what the price does next; everywhere: what is published fits."""
    said = said_of(evidence / "agent")
    frame = Published(public / "agent").trace[0]
    space = StateSpace.of(said.config)
    table = np.zeros((space.n_states, 3), np.int32)
    # Of each position one state in which to buy and one in which to sell.
    table[:3, 1], table[3:6, 2] = 5, 5
    rises = np.append(np.diff(frame["close"].to_numpy()), 0.0) > 0
    actions = np.where(rises, 1, 2)
    position = {1: 2, 2: 0 if said.config.environment.allow_short else 1}
    held = [1, *(position[int(action)] for action in actions[:-1])]
    states = np.array(held) + np.where(rises, 0, 3)
    assert len(set(states.tolist())) <= 6
    forged = consistent(said, frame, states, actions)
    if not everywhere:
        kept = [name for name in frame.columns if name.endswith("_bucket")]
        forged = forged.with_columns(frame[name] for name in kept)
    return said, forged, table


@pytest.mark.parametrize("everywhere", [False, True])
def test_states_chosen_in_hindsight(public, evidence, tmp_path, data, everywhere):
    folder = zk_folder(tmp_path / "forged", *hindsight(public, evidence, everywhere=everywhere))
    found = rows(folder)
    assert found["states"] == ("not checked" if everywhere else "fails")
    not_held(folder, "states", "config", "figures")
    assert rows(folder, options=data)["states"] == "fails"
    assert not verify_folder(folder, require="zk", options=data).ok
    message = failed("verify", folder, "--data", data.data)
    assert_mentions(message, "states: trace.parquet:", "from these bars comes" if everywhere else "not the state's")


def test_data_that_cannot_be_used_is_an_error(public, evidence, tmp_path, data):
    assert "has no use for --data" in failed("verify", public / "synthetic", "--data", data.data)
    message = refused(tmp_path, "verify", public / "agent", "--data", tmp_path / "none.csv")
    assert "--data: there is nothing at" in message
    assert "is not the data" in failed("verify", public / "agent", "--data", evidence / "later.parquet")


def test_edges_that_no_training_fits(public, evidence, tmp_path, data):
    said = said_of(evidence / "agent")
    edges = (said.encoder.edges[0] + 1e-3, *said.encoder.edges[1:])
    said = replace(said, encoder=replace(said.encoder, edges=edges))
    table = fixed_table(Policy.load(evidence / "agent"))
    folder = zk_folder(tmp_path / "forged", said, Published(public / "agent").trace[0], table)
    assert rows(folder)["zk"] == "holds"
    assert "bucket edges are not those" in failed("verify", folder, "--data", data.data)


# --- what the proof has to bind


def with_column(name: str, change):
    def forge(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(change(pl.col(name)).cast(frame.schema[name]).alias(name))

    return forge


NONSENSE = {
    "close": with_column("close", lambda c: c * 3),
    "reward": with_column("reward", lambda c: c + 1),
    "comm_action": with_column("comm_action", lambda c: pl.lit("positive")),
    "risk_event": with_column("risk_event", lambda c: 1 - c),
    "price_up": with_column("price_up", lambda c: 1 - c),
    "time": with_column("time", lambda c: c + pl.duration(days=1)),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_in_a_trace_after_and_before_its_proof(public, evidence, tmp_path, data, name):
    said, frame = said_of(evidence / "agent"), NONSENSE[name](Published(public / "agent").trace[0])
    table = fixed_table(Policy.load(evidence / "agent"))
    made = zk_folder(tmp_path / "made", said, frame, table)
    late = copied(public / "agent", tmp_path / "late")
    about = pl.read_parquet_metadata(late / "trace.parquet")["idi_fast"]
    frame.write_parquet(late / "trace.parquet", metadata={"idi_fast": about})
    for stream in (made / "streams").glob("*.in"):
        (late / "streams" / stream.name).write_bytes(stream.read_bytes())
    remake(late)
    not_held(late, "zk", "actions", "states", "figures")
    assert rows(late).get("zk") != "holds"
    not_held(made, "states", "figures", "communications")
    found = rows(made, options=data)
    assert "fails" in found.values(), found


@pytest.mark.parametrize(
    "key", ["config_sha256", "inputs", "training", "metadata", "statement", "commitment", "streams.json"]
)
def test_what_was_not_proven_together_is_not_accepted_together(public, tmp_path, key):
    folder = copied(public / "synthetic", tmp_path / "forged")
    if key == "statement":
        edited(folder / "proof/statement.json", lambda fields: fields["config"].update(discount=0.5))
    elif key == "commitment":
        text = (folder / "commitment.json").read_text()
        (folder / "commitment.json").write_text(text.replace('"q_scale"', ' "q_scale"'))
    elif key == "streams.json":
        (folder / "streams/streams.json").write_bytes((folder / "streams/streams.json").read_bytes() + b"\n")
    remake(folder)
    changes = {
        "config_sha256": "0" * 64,
        "inputs": {"nasdaq.csv": {"sha256": "0" * 64, "bytes": 5}},
        "training": {"seed": 7, "episodes": 10**9},
        "metadata": {"audited by": "somebody famous"},
    }
    if key in changes:
        edited(folder / "manifest.json", lambda manifest: manifest.update({key: changes[key]}))
    not_held(folder, "zk", "actions")
    assert failed("verify", folder)


def test_an_invented_run_is_not_vouched_for(public, tmp_path):
    folder = copied(public / "synthetic", tmp_path / "forged")
    manifest = Manifest.of(folder)
    invented = {"kind": "backtest", "policy": {"fingerprint": manifest.config_sha256, "seed": 1}, "sharpe": 9.9}
    (folder / "run.json").write_text(json.dumps(invented))
    remake(folder)
    not_held(folder, "figures", "config")
    manifest = replace(Manifest.of(folder), training=None)
    (folder / "manifest.json").write_bytes(manifest.text())
    not_held(folder, "figures", "config")


# --- commitments beside a policy


@pytest.mark.parametrize("form", ["salted", "pedersen"])
def test_a_commitment_beside_a_policy_is_compared_or_not_checked(synthetic, tmp_path, form):
    random = merkle.bound_root(bytes(range(32)), 5, 3, form)
    for size, result in ((5, "fails"), (64, "not checked")):
        (synthetic / "commitment.json").write_text(Commitment(random, size, 3, form).to_json())
        remake(synthetic)
        assert rows(synthetic)["commitment"] == result
        not_held(synthetic, "commitment", "root")
    private = tmp_path / "secrets"
    private.mkdir(mode=0o700)
    for name in ("salt.seed", "blinding.seed"):
        (private / name).write_bytes(SEED)
    assert "it is not that of the policy" in failed("verify", synthetic, "--private", private)
    table = fixed_table(Policy.load(synthetic))
    if form == PEDERSEN:
        from idi_fast.evidence import zk

        made = zk.commit_table(table, SEED)
    else:
        made = merkle.commit(table, SEED).commitment
    (synthetic / "commitment.json").write_text(made.to_json())
    remake(synthetic)
    assert rows(synthetic, options=ProverOptions(private=private))["commitment"] == "holds"


# --- what replay did not make


@pytest.mark.parametrize(
    "change",
    [
        {"initial_position": 1},
        {"encoder": None},
        {"data": None},
        {"kind": "walkforward"},
        {"more": 1},
        {"schema_version": True},
    ],
)
def test_statements_that_no_run_makes(public, tmp_path, change):
    folder = copied(public / "agent", tmp_path / "forged")
    edited(folder / "proof/statement.json", lambda fields: fields.update(change))
    remake(folder)
    not_held(folder, "zk", "states", "actions")
    assert failed("verify", folder)


def test_nothing_is_proven_again_where_something_fails(synthetic, public, tmp_path, monkeypatch):
    prove_folder(synthetic, "replay", ProverOptions())
    (synthetic / "streams/q_buy.in").write_text("1\n" * 16)
    remake(synthetic)
    monkeypatch.setattr("idi_fast.evidence.provers.replay", lambda *arguments: pytest.fail("trained"))
    assert rows(synthetic)["replay"] == "not checked"
    assert "--require replay: not checked" in failed("verify", synthetic, "--require", "replay")


@pytest.mark.parametrize(
    "data", [b'\xef\xbb\xbf{"a": 1}', b'{"a": "\\ud800"}', b'{"a": 1e999}', '{"a": 1}'.encode("utf-16")]
)
def test_json_is_strict_utf_8_everywhere(synthetic, data, tmp_path):
    from idi_fast.evidence.statement import Statement
    from idi_fast.evidence.strict_json import parse_object

    for read in (
        lambda d: parse_object(d, "it"),
        Commitment.from_json,
        Opening.from_json,
        Manifest.read,
        Statement.read,
    ):
        with pytest.raises(EvidenceError, match=r"UTF-8|not JSON|no double"):
            read(data)
