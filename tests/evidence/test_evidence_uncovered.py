"""What is published beside what a claim covers is named, and nothing written in a folder makes a verdict say more."""

import json
from hashlib import sha256

import polars as pl
import pytest
from cli_helpers import assert_mentions, refused, run, succeed
from evidence_runs import failed
from forgers import copied, edited, not_held, remake, rows

from idi_fast.data.in_sample import versions
from idi_fast.errors import EvidenceError
from idi_fast.evidence import reference
from idi_fast.evidence.claims import Claim
from idi_fast.evidence.provers import ProverOptions
from idi_fast.evidence.publish import prove_folder
from idi_fast.evidence.verify import verify_folder
from idi_fast.tau.spec_folder import write_spec


@pytest.mark.parametrize(
    "name",
    [
        "kpis.json",
        "report.html",
        "streams/Q_BUY.in",
        "streams/q_buy.IN",
        "streams/q_buy.in.txt",
        "spec/notes.txt",
        "policy.parquet.bak",
        "proof/proof.bin",
        "proof/statement2.json",
        ".hidden",
        "x\ny",
    ],
)
def test_replay_vouches_for_what_it_makes(synthetic, name):
    prove_folder(synthetic, "replay", ProverOptions())
    assert verify_folder(synthetic, require="replay,all").ok
    (synthetic / name).parent.mkdir(exist_ok=True)
    (synthetic / name).write_bytes(b"1\n")
    remake(synthetic)
    assert not verify_folder(synthetic, require="all").ok
    found = {claim.name: claim for claim in verify_folder(synthetic).claims}
    shown = name.replace("\n", "\\n")
    named = [claim for claim in found.values() if claim.result != "holds" and shown in claim.found]
    assert named or found["streams"].result == "fails", found


def test_false_inputs_and_metadata_are_named(synthetic):
    prove_folder(synthetic, "replay", ProverOptions())
    edited(synthetic / "manifest.json", lambda m: m.update(metadata={"audited": "yes"}))
    assert rows(synthetic)["others"] == "not checked"
    edited(synthetic / "manifest.json", lambda m: m.update(inputs={"nasdaq.csv": {"sha256": "0" * 64, "bytes": 1}}))
    assert "inputs is" in failed("verify", synthetic, "--require", "replay")


def test_invented_versions_do_not_pass_for_bytes(synthetic):
    prove_folder(synthetic, "replay", ProverOptions())
    edited(synthetic / "run.json", lambda run: run.update(versions={**versions(), "numpy": "99.0"}))
    streams = synthetic / "streams"
    made = reference.manifest_text(
        "run.json", (synthetic / "run.json").read_bytes(), {p.name: p.read_bytes() for p in streams.glob("*.in")}, {}, 1
    )
    (synthetic / "artifact_manifest.json").write_bytes(made)
    remake(synthetic)
    found = verify_folder(synthetic, require="replay")
    assert (found.ok, found.verdict) == (True, "partly checked")
    assert "run.json" in next(claim.found for claim in found.claims if claim.name == "others")
    assert not verify_folder(synthetic, require="all").ok


# --- what may come later


@pytest.mark.parametrize("version", [2, 3])
def test_only_outputs_and_timings_come_later(synthetic, version):
    names = [path.relative_to(synthetic).as_posix() for path in synthetic.rglob("*") if path.is_file()]
    for later in (names, ["run.json"], ["streams/q_buy.in"], ["more/x"], ["outputs/x"], ["spec/outputs/a/b"], ["spec"]):
        change = {
            "files": {},
            "later": later,
            "schema_version": version,
            "proof_policy": {"prover": "none", "require_proof": False},
        }
        edited(synthetic / "manifest.json", lambda manifest, change=change: manifest.update(change))
        assert_mentions(failed("verify", synthetic), "spec/outputs/*", "timings.json")


def test_outputs_that_came_later_are_named(synthetic):
    edited(synthetic / "manifest.json", lambda manifest: manifest.update(later=["spec/outputs/x.out"]))
    (synthetic / "spec/outputs").mkdir(parents=True)
    (synthetic / "spec/outputs/x.out").write_text("1\n")
    found = {claim.name: claim.found for claim in verify_folder(synthetic).claims}
    assert "spec/outputs/x.out" in found["others"]


# --- the reference's form


def twice(tmp_path) -> tuple[dict[str, list], list[dict]]:
    """A tree with two rows of one state, its paths by name, and openings of both rows."""
    keys = ["(0,)", "(1,)", "(1,)", "(2,)"]
    values = [(1, 0, 0), (2, 0, 0), (0, 2, 0), (3, 0, 0)]
    leaves = [reference.leaf(key, row) for key, row in zip(keys, values, strict=True)]
    pairs = [sha256(leaves[k] + leaves[k + 1]).digest() for k in (0, 2)]
    root = sha256(b"".join(pairs)).digest()
    paths = [[(leaves[k ^ 1].hex(), k % 2 == 0), (pairs[1 - k // 2].hex(), k < 2)] for k in range(4)]
    commit = {"root": root.hex(), "leaf_encoding": "qtable_entry_v1", "q_scale": 65536, "size": 4}
    (tmp_path / "qtable.commit.json").write_text(json.dumps(commit))
    openings = [
        {"format": "qtable_entry_opening_v1", "state": keys[k], "values": values[k], "path": paths[k]} for k in (1, 2)
    ]
    return dict(zip(("a", "b", "c", "d"), paths, strict=True)), openings


def test_a_state_twice_is_refused_or_not_checked(tmp_path):
    named, openings = twice(tmp_path)
    for opening in openings:
        (tmp_path / "opening.json").write_text(json.dumps(opening))
        outcome = succeed("verify-opening", tmp_path / "qtable.commit.json", tmp_path / "opening.json")
        assert_mentions(outcome.stdout, "NOT CHECKED that it binds them", "nor a state to one row")
    text = ", ".join(
        f"{json.dumps(key)}: {json.dumps(path)}"
        for key, path in zip(["(0,)", "(1,)", "(1,)", "(2,)"], named.values(), strict=True)
    )
    paths = tmp_path / "qtable.proofs.json"
    accepted = {}
    for kind, content in {
        "twice": f"{{{text}}}",
        "once": json.dumps({"(0,)": named["a"], "(1,)": named["b"], "(2,)": named["d"]}),
        "another name": json.dumps({"(0,)": named["a"], "(1,)": named["b"], "(1,1)": named["c"], "(2,)": named["d"]}),
        "before": json.dumps({"(0,)": named["a"], "(0,1)": named["b"], "(1,)": named["c"], "(2,)": named["d"]}),
        "swapped": json.dumps({"(0,)": named["a"], "(1,)": named["c"], "(1,1)": named["b"], "(2,)": named["d"]}),
    }.items():
        paths.write_text(content)
        outcomes = []
        for opening in openings:
            (tmp_path / "opening.json").write_text(json.dumps(opening))
            outcomes.append(run("verify-opening", tmp_path, tmp_path / "opening.json").status)
        accepted[kind] = outcomes.count(0)
    assert accepted == {"twice": 0, "once": 0, "another name": 1, "before": 1, "swapped": 0}


def test_a_state_twice_is_not_written():
    class Twice(dict):
        def __iter__(self):
            return iter(["(1,)", "(1,)"])

    with pytest.raises(EvidenceError, match="has a state twice"):
        reference.PolicyTree(Twice({"(1,)": (1, 2, 3)}))


# --- hostile contents


@pytest.mark.parametrize("key", ["audited", "outputs", "trace", "ticks"])
def test_a_specification_says_what_is_worked_out_anew_and_no_more(synthetic, key):
    prove_folder(synthetic, "replay", ProverOptions())
    write_spec(synthetic, synthetic.parent / "spec", "v38")
    copied(synthetic.parent / "spec", synthetic / "spec")
    remake(synthetic)
    assert verify_folder(synthetic, require="spec,replay").ok
    change = {"audited": "yes", "outputs": [], "trace": {"sha256": "0" * 64, "bytes": 1}, "ticks": 15}
    edited(synthetic / "spec/spec.json", lambda about: about.update({key: change[key]}))
    remake(synthetic)
    not_held(synthetic, "spec")


@pytest.mark.parametrize("what", ["name", "kind", "action"])
def test_no_text_breaks_out_of_its_row(synthetic, tmp_path, what):
    row = "x\nstates  holds  everything\u202e"
    if what == "name":
        (synthetic / row).write_text("")
    elif what == "kind":
        edited(synthetic / "run.json", lambda run: run.update(kind=row))
    else:
        about = pl.read_parquet_metadata(synthetic / "trace.parquet")["idi_fast"]
        frame = pl.read_parquet(synthetic / "trace.parquet").with_columns(pl.lit(row).alias("comm_action"))
        frame.write_parquet(synthetic / "trace.parquet", metadata={"idi_fast": about})
    remake(synthetic)
    outcome = run("verify", synthetic)
    assert "x\\nstates" in outcome.stdout + outcome.stderr
    for line in (outcome.stdout + outcome.stderr).splitlines():
        assert not line.startswith("states  holds")
        assert "\u202e" not in line


def test_hidden_folders_are_named(synthetic):
    """Those in which idi-fast is at work are no part of an output, and anybody can make one."""
    prove_folder(synthetic, "replay", ProverOptions())
    hidden = synthetic / ".idi-fast-0123456789ab"
    (hidden / "new").mkdir(parents=True)
    found = {claim.name: claim for claim in verify_folder(synthetic, require="replay").claims}
    assert f"{hidden.name}/" in found["others"].found
    assert not verify_folder(synthetic, require="all").ok


def test_numbers_beyond_all_types_end_in_a_verdict(synthetic, evidence, tmp_path):
    for name, source in (("edges", evidence / "agent"), ("typical_volatility", evidence / "agent")):
        folder = copied(source, tmp_path / name)
        about = json.loads(pl.read_parquet_metadata(folder / "policy.parquet")["idi_fast"])
        huge = 10**400
        if name == "edges":
            about["encoder"]["edges"]["price"][0] = huge
        else:
            about["encoder"][name] = huge
        frame = pl.read_parquet(folder / "policy.parquet")
        frame.write_parquet(folder / "policy.parquet", metadata={"idi_fast": json.dumps(about)})
        remake(folder)
        assert "finite numbers" in failed("verify", folder)


@pytest.mark.parametrize("name", ["streams/q_buy.in", "streams/q_more.in", "spec/inputs/x.in"])
def test_a_stream_that_is_a_folder_ends_in_a_verdict(synthetic, name):
    prove_folder(synthetic, "digest", ProverOptions())
    if (synthetic / name).exists():
        (synthetic / name).unlink()
    (synthetic / name).mkdir(parents=True)
    (synthetic / name / "x.in").write_text("1\n")
    remake(synthetic)
    found = verify_folder(synthetic)
    assert found.verdict != "ok"
    assert not any("cannot be checked" in claim.found for claim in found.claims)


def test_names_of_claims_that_there_are_not(synthetic, tmp_path):
    message = refused(tmp_path, "verify", synthetic, "--require", "stats")
    assert_mentions(message, "expected one of replay, zk, all", "Did you mean 'states'")
    assert "the folder makes no such claim" in failed("verify", synthetic, "--require", "spec")


@pytest.mark.parametrize("form", ["idi-fast", "idi"])
def test_a_commitment_is_to_values_in_steps(synthetic, tmp_path, form):
    # What is nearer than 1/65536 has one root, whose actions may be others: the verdict says so.
    def commitment() -> Claim:
        return next(claim for claim in verify_folder(synthetic).claims if claim.name == "commitment")

    def change(by: float) -> None:
        changed = policy.with_columns(q_buy=pl.when(is_moved).then(0.25 + by).otherwise("q_buy"))
        changed.write_parquet(synthetic / "policy.parquet", metadata=metadata)
        remake(synthetic)

    policy = pl.read_parquet(synthetic / "policy.parquet")
    metadata = pl.read_parquet_metadata(synthetic / "policy.parquet")
    metadata.pop("ARROW:schema")
    is_moved = pl.int_range(pl.len()) == policy["visits"].arg_max()
    policy = policy.with_columns(q_hold=pl.when(is_moved).then(0.25).otherwise("q_hold"))
    change(0.0)
    succeed("commit", synthetic, "--out", tmp_path / "public", "--form", form)
    for path in (tmp_path / "public").glob("[!m]*.json"):  # all but the manifest
        (synthetic / path.name).write_bytes(path.read_bytes())
    remake(synthetic)
    assert commitment().result == "holds"
    assert "another one" not in commitment().found
    change(0.5 / 65536)
    assert commitment().result == "holds"
    assert "the greedy action of 1 of them is another one than the policy's" in commitment().found
    change(1 / 65536)
    assert commitment().result == "fails"
