"""`idi-fast prove` and `idi-fast verify` as their users see them, with each prover."""

import json
import shutil
import sys

import cli_helpers as cli
import polars as pl
import pytest
from cli_helpers import assert_mentions, one_object, refused, run, snapshot, succeed
from evidence_runs import failed

from idi_fast.agents.policy import Policy
from idi_fast.evidence.published import Published, fixed_table
from oracle import evidence as oracle


def test_a_folder_without_a_proof_is_sound_as_far_as_it_goes(agent):
    outcome = succeed("verify", agent)
    assert_mentions(
        outcome.stdout,
        "without any proof",
        "all 16 ticks",
        "to be trusted",
        "streams of 16 ticks",
    )
    value = one_object(run("verify", agent, "--json").stdout)
    assert (value["ok"], value["prover"]) == (True, "none")
    assert "--require zk: the folder has no proof; `idi-fast prove --prover zk` adds one" in failed(
        "verify", agent, "--require", "zk"
    )


def test_a_digest_through_the_command_line(synthetic):
    succeed("prove", synthetic, "--prover", "digest", "--bind", "policy_root", "--tx-hash", "0xabcd")
    receipt = json.loads((synthetic / "proof/receipt.json").read_text())
    streams = {path.name: path.read_bytes() for path in (synthetic / "streams").glob("*.in")}
    extras = {"policy_root": bytes.fromhex(receipt["policy_root"]), "tx_hash": b"\xab\xcd"}
    manifest = (synthetic / "artifact_manifest.json").read_bytes()
    assert receipt["digest"] == oracle.artifact_digest(manifest, streams, extras)
    assert (synthetic / "proof/proof.bin").read_text() == receipt["digest"]
    outcome = succeed("verify", synthetic)
    assert_mentions(outcome.stdout, "integrity, not a proof", "with a digest, which is no proof")


@pytest.mark.parametrize("name", ["synthetic", "compat_crypto", "agent"])
def test_replay_through_the_command_line(evidence, tmp_path, name):
    folder = cli.copy_of(evidence / name, tmp_path / name)
    succeed("prove", folder, "--prover", "replay")
    data = ["--data", evidence / "bars.csv"] if name == "agent" else []
    outcome = succeed("verify", folder, "--require", "replay", *data)
    assert_mentions(
        outcome.stdout, "64 steps trained again" if name != "agent" else "960 steps trained again", "byte for byte"
    )


def test_replay_with_the_reader_s_copy_of_the_data(agent, evidence, tmp_path):
    succeed("prove", agent, "--prover", "replay")
    elsewhere = shutil.copy(evidence / "bars.csv", tmp_path / "mine.csv")
    succeed("verify", agent, "--require", "replay", "--data", elsewhere)
    # The file that the folder names is still where it was, and is not looked at.
    assert_mentions(succeed("verify", agent).stdout, "no path out of the folder is followed", "partly checked")
    assert "--require replay: not checked: training again needs your copy" in failed(
        "verify", agent, "--require", "replay"
    )
    for option in ("--data", "--policy", "--init-policy", "--private"):
        message = refused(tmp_path, "verify", agent, option, tmp_path / "nowhere.csv")
        assert f"{option}: there is nothing at {tmp_path / 'nowhere.csv'}" in message
    synthetic = cli.copy_of(evidence / "synthetic", tmp_path / "s")
    succeed("prove", synthetic, "--prover", "replay")
    assert "has no use for --data" in failed("verify", synthetic, "--data", elsewhere)


@pytest.mark.parametrize("row", [0, 34, 119])
def test_another_row_of_the_data_is_named(agent, evidence, tmp_path, row):
    succeed("prove", agent, "--prover", "replay")
    frame = pl.read_csv(evidence / "bars.csv", infer_schema_length=None)
    close = frame["close"].to_list()
    close[row] += 0.5
    frame.with_columns(close=pl.Series(close)).write_csv(tmp_path / "mine.csv")
    message = failed("verify", agent, "--require", "replay", "--data", tmp_path / "mine.csv")
    assert_mentions(message, "mine.csv is not what was trained on", "bars.csv", "--require replay: it does not hold")
    sampled = row % 2 == 0 or 103 <= row < 119  # every second bar, and those of the trace
    assert (f"bar {row} (" in message) is sampled
    frame.head(100).write_csv(tmp_path / "short.csv")
    assert "it has 100 bars, where 120 were" in failed("verify", agent, "--data", tmp_path / "short.csv")


def test_a_training_that_began_with_another_policy(evidence, tmp_path):
    folder = cli.copy_of(evidence / "warm", tmp_path / "warm")
    succeed("prove", folder, "--prover", "replay")
    assert "; the policy whose values training began with: --init-policy ARTIFACT" in succeed("verify", folder).stdout
    assert "its identity differs" in failed("verify", folder, "--init-policy", evidence / "synthetic")
    options = "--init-policy", evidence / "agent", "--data", evidence / "bars.csv"
    succeed("verify", folder, "--require", "replay", *options)


def test_a_backtest_s_trace_against_its_policy(evidence, tmp_path):
    folder = cli.copy_of(evidence / "backtest", tmp_path / "backtest")
    outcome = succeed("verify", folder)
    assert_mentions(outcome.stdout, "the policy is not in the folder")
    outcome = succeed("verify", folder, "--policy", evidence / "agent")
    assert_mentions(outcome.stdout, "all 120 ticks")
    assert "the policy is" in failed("verify", folder, "--policy", evidence / "warm")
    message = refused(tmp_path, "prove", folder, "--prover", "replay")
    assert_mentions(message, "only a training can be replayed")


def test_a_zero_knowledge_proof_through_the_command_line(evidence, tmp_path):
    public, private = tmp_path / "public", tmp_path / "secrets"
    outcome = succeed("prove", evidence / "synthetic", "--prover", "zk", "--out", public, "--private", private)
    assert_mentions(outcome.stderr, "unaudited cryptography, not constant time", "seed of 128 random bits")
    assert_mentions(outcome.stdout, "unaudited, not constant time")
    assert {"policy.parquet", "run.json", "episodes.parquet"}.isdisjoint(snapshot(public))
    assert "training" not in json.loads((public / "manifest.json").read_text())
    shutil.rmtree(private)
    root = json.loads((public / "commitment.json").read_text())["root"]
    succeed("verify", public, "--require", "zk", "--root", root)
    message = failed("verify", public, "--root", "0" * 64)
    assert_mentions(message, f"its root is {root}")
    assert "the folder's proof is zk" in failed("verify", public, "--require", "replay")
    published = Published(public)
    table = fixed_table(Policy.load(evidence / "synthetic"))
    assert (table[published.decisions[0]].argmax(axis=1) == published.decisions[1]).all()
    proof = bytearray((public / "proof/proof.bin").read_bytes())
    proof[-40] ^= 1
    (public / "proof/proof.bin").write_bytes(proof)
    succeed("manifest", public)
    assert "does not hold" in failed("verify", public, "--require", "zk")


def test_a_seed_that_can_be_guessed_is_named(evidence, tmp_path):
    out = ("--prover", "zk", "--out", tmp_path / "p", "--private", tmp_path / "s", "--force")
    assert_mentions(
        succeed("prove", evidence / "synthetic", *out).stderr, "the seed can be guessed: it has 0 bits", "is simulated"
    )
    stderr = succeed("prove", evidence / "agent", *out).stderr
    assert "seed can be guessed" in stderr
    assert "is simulated" not in stderr
    strong = 2**127 + 12345
    succeed("train", "--seed", strong, "--out", tmp_path / "a", "--data", evidence / "bars.csv", *cli.QUICK)
    assert "guessed" not in succeed("prove", tmp_path / "a", *out).stderr.replace("knows or guesses", "")
    public = snapshot(tmp_path / "p")
    assert not any(str(strong).encode() in (data or b"") for data in public.values())
    fingerprint = json.loads((tmp_path / "a/manifest.json").read_text())["config_sha256"].encode()
    assert not any(fingerprint in (data or b"") for data in public.values())


def test_what_zk_needs(evidence, tmp_path):
    for args, what in {
        (): "--out is missing",
        ("--out", tmp_path / "x"): "--private is missing",
        ("--out", tmp_path / "x", "--private", tmp_path / "x/s"): "folders apart",
    }.items():
        assert_mentions(refused(tmp_path, "prove", evidence / "synthetic", "--prover", "zk", *args), what)
    message = refused(
        tmp_path, "prove", evidence / "backtest", "--prover", "zk", "--out", tmp_path / "x", "--private", tmp_path / "s"
    )
    assert_mentions(message, "--policy ARTIFACT")


PROGRAM = """
import hashlib, json, pathlib, sys
what, manifest, streams, proof, receipt = sys.argv[1:]
made = hashlib.sha256(pathlib.Path(manifest).read_bytes() + pathlib.Path(streams, "q_buy.in").read_bytes()).digest()
if what == "prove":
    pathlib.Path(proof).write_bytes(made)
    pathlib.Path(receipt).write_text(json.dumps({"prover": "mine"}))
if what == "verify":
    sys.exit(0 if pathlib.Path(proof).read_bytes() == made else "it is not so")
if what == "sleep":
    import time; time.sleep(60)
if what == "talk":
    pathlib.Path(proof).write_bytes(made)
    pathlib.Path(receipt).write_text(json.dumps({"a": "x" * 600_000}))
if what == "fail":
    sys.exit("no luck")
"""


@pytest.fixture
def line(tmp_path):
    program = tmp_path / "my program.py"
    program.write_text(PROGRAM)
    return lambda what: f'{sys.executable} "{program}" {what} {{manifest}} {{streams}} {{proof}} {{receipt}}'


def test_an_outside_program(synthetic, line):
    succeed("prove", synthetic, "--prover", "command", "--command", line("prove"))
    receipt = json.loads((synthetic / "proof/receipt.json").read_text())
    assert (receipt["prover"], receipt["prover_meta"]) == ("external", {"prover": "mine"})
    outcome = succeed("verify", synthetic, "--command", line("verify"))
    assert_mentions(outcome.stdout, "it succeeded on 32 bytes", "the outside program")
    assert "name its verifier: --command LINE" in failed("verify", synthetic)
    assert "exit code 1; it said: no luck" in failed("verify", synthetic, "--command", line("fail"))
    assert "within 0.3 s" in failed("verify", synthetic, "--command", line("sleep"), "--timeout", 0.3)
    proof = synthetic / "proof/proof.bin"
    proof.write_bytes(bytes(32))
    succeed("manifest", synthetic)
    assert "it is not so" in failed("verify", synthetic, "--command", line("verify"))


def test_outside_programs_that_are_refused(synthetic, tmp_path, line):
    prove = "prove", synthetic, "--prover", "command"
    for args, what in {
        (): "--command is missing",
        ("--command", line("fail")): "no luck",
        ("--command", line("talk")): "bytes; expected at most 524,288",
        ("--command", line("nothing")): "left no proof",
        ("--command", line("sleep"), "--timeout", 0.3): "within 0.3 s",
        ("--command", "'"): "--command is",
        ("--command", " "): "--command is empty",
        ("--command", tmp_path / "nowhere"): "cannot run",
        ("--command", line("prove"), "--timeout", 0): "expected seconds above 0",
    }.items():
        assert_mentions(refused(tmp_path, *prove, *args), what)


def test_no_shell_sees_the_line(synthetic, tmp_path):
    touched = tmp_path / "touched"
    refused(tmp_path, "prove", synthetic, "--prover", "command", "--command", f"false; touch {touched}")
    refused(tmp_path, "prove", synthetic, "--prover", "command", "--command", f"echo $(touch {touched})")
    assert not touched.exists()


def test_a_command_named_by_the_folder_is_not_run(synthetic, tmp_path, line):
    succeed("prove", synthetic, "--prover", "command", "--command", line("prove"))
    receipt = json.loads((synthetic / "proof/receipt.json").read_text())
    receipt["prover_meta"] = {"command": f"touch {tmp_path / 'touched'}"}
    (synthetic / "proof/receipt.json").write_text(json.dumps(receipt, indent=2))
    succeed("manifest", synthetic)
    failed("verify", synthetic)
    assert not (tmp_path / "touched").exists()


def test_what_prove_and_verify_refuse(synthetic, tmp_path):
    for args, what in {
        ("prove", synthetic, "--prover", "dygest"): "Did you mean 'digest'?",
        ("prove", synthetic, "--prover", "digest", "--out", tmp_path / "x"): "--out goes with --prover zk",
        ("prove", synthetic, "--prover", "digest", "--bind", "policy_rot"): "Did you mean 'policy_root'?",
        ("prove", synthetic, "--prover", "digest", "--bind", "spec_hash"): "no spec/agent.tau",
        ("prove", synthetic, "--prover", "digest", "--tx-hash", "0xg"): "--tx-hash",
        ("prove", tmp_path / "none", "--prover", "digest"): "is not a folder",
        ("verify", synthetic, "--require", "digest"): "which shows nothing: anybody can make one",
        ("verify", synthetic, "--sample", 0): "--sample is 0",
        ("verify", synthetic, "--sample", 4, "--require", "replay"): "does not go with --require replay",
        ("verify", tmp_path / "none"): "is not a folder",
    }.items():
        assert_mentions(refused(tmp_path, *args), what)
    (synthetic / "streams/q_buy.in").write_text("0\n" * 16)
    assert_mentions(
        refused(tmp_path, "prove", synthetic, "--prover", "digest"), "streams/q_buy.in", "idi-fast manifest"
    )
