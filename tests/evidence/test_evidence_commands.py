"""`idi-fast manifest`, `commit`, `open` and `verify-opening` as their users see them."""

import json
import os
import stat
from pathlib import Path

import cli_helpers as cli
import jsonschema
import numpy as np
import polars as pl
import pytest
from cli_helpers import assert_mentions, one_object, refused, run, snapshot, succeed
from evidence_runs import failed
from places import ROOT

from idi_fast.agents.policy import Policy
from idi_fast.errors import EvidenceError
from idi_fast.evidence.manifest import Manifest
from oracle import evidence as oracle

SCHEMA = json.loads((ROOT / "idi_fast/schemas/manifest.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


# --- manifest


@pytest.mark.parametrize("name", ["agent", "synthetic", "compat_crypto", "backtest", "population", "warm"])
def test_every_manifest_is_of_the_schema_and_made_anew_the_same(evidence, tmp_path, name):
    folder = cli.copy_of(evidence / name, tmp_path / name)
    before = (folder / "manifest.json").read_bytes()
    VALIDATOR.validate(json.loads(before))
    succeed("manifest", folder, "--check")
    succeed("manifest", folder)
    assert json.loads((folder / "manifest.json").read_bytes()) == json.loads(before)


def test_a_manifest_names_the_data_that_was_read(evidence):
    for name, files in {
        "agent": ["bars.csv"],
        "backtest": ["later.parquet"],
        "synthetic": [],
        "warm": ["bars.csv"],
    }.items():
        inputs = json.loads((evidence / name / "manifest.json").read_text())["inputs"]
        assert [Path(path).name for path in inputs] == files
        for path, about in inputs.items():
            assert about["bytes"] == Path(path).stat().st_size


BREAKAGES = {
    "a version to come": lambda m: m.update(schema_version=4),
    "no version": lambda m: m.pop("schema_version"),
    "a text for a version": lambda m: m.update(schema_version="3"),
    "no files": lambda m: m.pop("files"),
    "files as a list": lambda m: m.update(files=[]),
    "no inputs": lambda m: m.pop("inputs"),
    "an unknown key": lambda m: m.update(proof_polcy={}),
    "an unknown prover": lambda m: m["proof_policy"].update(prover="zkk"),
    "no truth": lambda m: m["proof_policy"].update(require_proof=1),
    "half a policy": lambda m: m.update(proof_policy={"prover": "zk"}),
    "a short hash": lambda m: m.update(config_sha256="ab"),
    "an upper-case hash": lambda m: m.update(config_sha256="A" * 64),
    "a file without a length": lambda m: m["files"].update(x={"sha256": "0" * 64}),
    "a negative length": lambda m: m["files"].update(x={"sha256": "0" * 64, "bytes": -1}),
    "half a byte": lambda m: m["files"].update(x={"sha256": "0" * 64, "bytes": 0.5}),
    "a path out": lambda m: m["files"].update({"../x": {"sha256": "0" * 64, "bytes": 1}}),
    "an absolute path": lambda m: m["files"].update({"/x": {"sha256": "0" * 64, "bytes": 1}}),
    "a dot": lambda m: m["files"].update({"a/./x": {"sha256": "0" * 64, "bytes": 1}}),
    "metadata of numbers": lambda m: m.update(metadata={"a": 1}),
    "training of texts": lambda m: m.update(training={"seed": "1"}),
    "unknown training": lambda m: m.update(training={"sed": 1}),
    "later as a text": lambda m: m.update(later="x"),
    "a table that comes later": lambda m: m.update(later=["policy.parquet"]),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_what_the_schema_refuses_is_refused(synthetic, name):
    manifest = json.loads((synthetic / "manifest.json").read_text())
    BREAKAGES[name](manifest)
    assert not VALIDATOR.is_valid(manifest)
    with pytest.raises(EvidenceError, match=r"^manifest\.json"):
        Manifest.read(json.dumps(manifest).encode())
    (synthetic / "manifest.json").write_text(json.dumps(manifest))
    assert "manifest.json" in failed("manifest", synthetic, "--check")


def test_a_manifest_of_the_first_version_is_read(synthetic):
    manifest = json.loads((synthetic / "manifest.json").read_text())
    del manifest["inputs"], manifest["proof_policy"]
    (synthetic / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 1}))
    assert_mentions(succeed("verify", synthetic).stdout, "format 1 does not bind", "partly checked")
    succeed("manifest", synthetic)
    assert json.loads((synthetic / "manifest.json").read_text())["schema_version"] == 3


def test_check_names_what_is_wrong_and_writes_nothing(synthetic):
    (synthetic / "streams/q_buy.in").unlink()
    (synthetic / "more.txt").write_text("more")
    before = snapshot(synthetic)
    message = failed("manifest", synthetic, "--check")
    assert_mentions(message, "streams/q_buy.in is missing", "more.txt is not listed in manifest.json")
    value = one_object(run("manifest", synthetic, "--check", "--json").stdout)
    assert (value["ok"], len(value["wrong"])) == (False, 2)
    assert snapshot(synthetic) == before
    succeed("manifest", synthetic)
    succeed("manifest", synthetic, "--check")


def test_the_reference_s_manifest_and_a_proof_policy(synthetic):
    succeed("manifest", synthetic, "--idi-manifest", "--proof-policy", "replay")
    text = (synthetic / "artifact_manifest.json").read_text()
    streams = {path.name: path.read_bytes() for path in (synthetic / "streams").glob("*.in")}
    made = json.loads(text)["generated_at"]
    assert text == oracle.manifest_text("run.json", (synthetic / "run.json").read_bytes(), streams, {}, made)
    assert "proof: there is none, but the manifest says replay" in failed("verify", synthetic)


def test_what_manifest_refuses(synthetic, tmp_path):
    assert_mentions(refused(tmp_path, "manifest", synthetic, "--check", "--idi-manifest"), "--check writes nothing")
    assert_mentions(refused(tmp_path, "manifest", synthetic, "--proof-policy", "zkk"), "Did you mean 'zk'?")
    assert_mentions(refused(tmp_path, "manifest", tmp_path / "none"), "is not a folder")
    (tmp_path / "empty").mkdir()
    assert_mentions(refused(tmp_path, "manifest", tmp_path / "empty"), "no output of idi-fast")
    (synthetic / "run.json").write_text('{"kind": "train"}')
    assert_mentions(refused(tmp_path, "manifest", synthetic), "run.json")


# --- commit, open, verify-opening

COMMITMENTS = {"plain": (), "salted": ("--private", "secrets"), "idi": ("--form", "idi")}


@pytest.mark.parametrize("kind", COMMITMENTS)
def test_a_state_is_opened_and_its_opening_checked(synthetic, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    options = COMMITMENTS[kind]
    report = one_object(succeed("commit", synthetic, "--out", "public", *options, "--json").stdout)
    policy = Policy.load(synthetic)
    state = int(np.flatnonzero(policy.visits)[3])
    digits = ",".join(map(str, policy.space.digits(np.array([state]))[0]))
    expected = [oracle.fixed_point(value) for value in policy.q[state]]
    succeed("open", synthetic, digits, "--out", "opening.json", *options)
    assert json.loads(Path("opening.json").read_text()) == json.loads(run("open", synthetic, state, *options).stdout)
    found = one_object(succeed("verify-opening", "public", "opening.json", "--json").stdout)
    assert (found["ok"], found["values"], found["form"]) == (
        True,
        expected,
        {"idi": "qtable_entry_v1"}.get(kind, report["form"]),
    )
    assert report["differing_states"] == 0
    text = Path("opening.json").read_text()
    Path("opening.json").write_text(text.replace(str(expected[0]), str(expected[0] + 1), 1))
    assert "does not lead to the commitment's root" in failed("verify-opening", "public", "opening.json")
    other = failed("verify-opening", "public", "public/manifest.json")
    assert_mentions(other, "opening")
    message = failed("verify-opening", "public", "opening.json", "--root", "00" * 32)
    assert_mentions(message, "does not lead to the commitment's root")


def test_the_reference_s_commitment_is_that_of_the_twin(synthetic, tmp_path):
    succeed("commit", synthetic, "--out", tmp_path / "public", "--form", "idi")
    frame = pl.read_parquet(synthetic / "policy.parquet").filter(pl.col("visits") > 0)
    names = Policy.load(synthetic).space.names
    entries = {
        str(tuple(row[name] for name in names)): tuple(
            oracle.fixed_point(row[f"q_{a}"]) for a in ("hold", "buy", "sell")
        )
        for row in frame.iter_rows(named=True)
    }
    root, paths = oracle.root_and_paths(entries)
    commit = json.loads((tmp_path / "public/qtable.commit.json").read_text())
    assert commit == {"root": root.hex(), "leaf_encoding": "qtable_entry_v1", "q_scale": 65536, "size": len(entries)}
    written = json.loads((tmp_path / "public/qtable.proofs.json").read_text())
    assert written == {key: [[node.hex(), right] for node, right in paths[key]] for key in sorted(entries)}


def test_states_that_fixed_point_decides_otherwise_are_counted(synthetic, tmp_path):
    def columns(frame):
        return frame.with_columns(q_buy=pl.col("q_hold") + 1e-9, q_sell=pl.col("q_hold") - 1.0)

    cli.rewritten(synthetic / "policy.parquet", synthetic / "p.parquet", columns=columns)
    policy = Policy.load(synthetic / "p.parquet")
    expected = sum(
        int(np.argmax(row)) != max(range(3), key=lambda k: (oracle.fixed_point(row[k]), -k)) for row in policy.q
    )
    report = one_object(succeed("commit", synthetic / "p.parquet", "--out", tmp_path / "c", "--json").stdout)
    assert report["differing_states"] == expected > 10


def test_secrets_are_kept_apart_and_to_their_owner(synthetic, tmp_path):
    private = tmp_path / "secrets"
    succeed("commit", synthetic, "--out", tmp_path / "one", "--private", private)
    modes = [stat.S_IMODE(os.stat(path).st_mode) for path in (private, private / "salt.seed")]
    assert modes == [0o700, 0o600]
    succeed("commit", synthetic, "--out", tmp_path / "two", "--private", private)
    assert (tmp_path / "one/commitment.json").read_bytes() == (tmp_path / "two/commitment.json").read_bytes()
    for name in ("one", "one/secrets"):
        message = refused(
            tmp_path, "commit", synthetic, "--out", tmp_path / "one", "--private", tmp_path / name, "--force"
        )
        assert_mentions(message, "expected folders apart from each other")
    message = refused(tmp_path, "commit", synthetic, "--out", private / "x", "--private", private)
    assert_mentions(message, "expected folders apart")
    message = refused(tmp_path, "commit", synthetic, "--out", tmp_path / "x", "--private", synthetic / "s")
    assert_mentions(message, "an artifact holds nothing but its own files")
    private.chmod(0o755)
    message = refused(tmp_path, "commit", synthetic, "--out", tmp_path / "x", "--private", private)
    assert_mentions(message, "mode is 755; expected 700")
    message = refused(tmp_path, "open", synthetic, 0, "--private", tmp_path / "nowhere")
    assert_mentions(message, "no secret seed")
    for args in (("--form", "idi", "--private", private), ("--form", "ours")):
        refused(tmp_path, "commit", synthetic, "--out", tmp_path / "x", *args)


@pytest.mark.parametrize("state", ["9999999", "1,2", "9,9,9,9,9", "-1", "a", "1,,2"])
def test_states_that_there_are_not(synthetic, tmp_path, state):
    assert_mentions(refused(tmp_path, "open", synthetic, "--", state), "state")
