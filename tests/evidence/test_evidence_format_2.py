"""What version 2 wrote is read and verified, and the verdict says what it does not bind.

tests/golden/evidence_2 was written by the last version that wrote format 2: two folders of one training, one with a
zero-knowledge proof and one with a digest, and two commitments with an opening of state 5 each.
"""

import json
import shutil
from pathlib import Path

import pytest
from cli_helpers import assert_mentions, one_object, run, succeed
from evidence_runs import failed
from forgers import remake

from idi_fast.evidence.provers import ProverOptions
from idi_fast.evidence.verify import verify_folder

OLD = Path(__file__).parents[1] / "golden/evidence_2"


@pytest.mark.parametrize("form", ["plain", "salted"])
def test_openings_of_format_2(form):
    outcome = succeed("verify-opening", OLD / f"{form}.json", OLD / f"{form}.opening.json")
    assert_mentions(outcome.stdout, form, "NOT CHECKED that it binds them: format 2 does not bind")
    found = one_object(run("verify-opening", OLD / f"{form}.json", OLD / f"{form}.opening.json", "--json").stdout)
    assert (found["ok"], found["state"]) == (True, 5)
    assert "does not bind" in found["unbound"]


def test_a_proof_of_format_2_holds_and_shows_less():
    outcome = succeed("verify", OLD / "zk")
    assert_mentions(
        outcome.stdout, "16 actions greedy on the table of root", "format 2 does not bind", "partly checked"
    )
    root = json.loads((OLD / "zk/commitment.json").read_text())["root"]
    found = {claim.name: claim.result for claim in verify_folder(OLD / "zk", options=ProverOptions(root=root)).claims}
    assert {name for name, result in found.items() if result == "holds"} == {"manifest", "streams"}
    assert "fails" not in found.values()
    assert_mentions(failed("verify", OLD / "zk", "--require", "zk", "--root", root), "--require zk: not checked")
    assert "--data cannot be used" in failed("verify", OLD / "zk", "--data", __file__)


def test_a_proof_of_format_2_that_was_changed_fails(tmp_path):
    folder = Path(shutil.copytree(OLD / "zk", tmp_path / "zk"))
    proof = bytearray((folder / "proof/proof.bin").read_bytes())
    proof[-40] ^= 1
    (folder / "proof/proof.bin").write_bytes(proof)
    remake(folder)
    assert "does not hold" in failed("verify", folder)


def test_formats_do_not_mix(tmp_path):
    folder = Path(shutil.copytree(OLD / "zk", tmp_path / "zk"))
    fields = json.loads((folder / "commitment.json").read_text())
    fields = {"format": "idi-fast-commitment-3", "form": "pedersen", **{k: fields[k] for k in list(fields)[1:]}}
    (folder / "commitment.json").write_text(json.dumps(fields))
    remake(folder)
    assert "proof/statement.json is missing" in failed("verify", folder)


def test_a_digest_of_format_2():
    outcome = succeed("verify", OLD / "digest")
    assert_mentions(
        outcome.stdout, "integrity, not a proof", "format 2 does not bind", "with a digest, which is no proof"
    )
