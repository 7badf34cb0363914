"""`idi-fast workflow`: a folder that others can verify, from a config alone; steps that are done are left out."""

import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import pytest
from cli_helpers import assert_mentions, bars, one_object, refused, run, snapshot, succeed

from idi_fast.errors import InputError
from idi_fast.evidence import workflow
from idi_fast.evidence.claims import Claim
from idi_fast.evidence.provers import ProverOptions
from idi_fast.evidence.verify import Verification
from idi_fast.evidence.workflow import run_training_to_proof_workflow

SMALL = {"episodes": 4, "episode_length": 16}
STEPS = ["train", "manifest", "proof", "spec", "verify"]


@pytest.fixture
def config(tmp_path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(SMALL))
    return path


def test_a_workflow_s_folder_is_accepted_elsewhere(config, tmp_path):
    outcome = succeed("workflow", config, "--out", tmp_path / "run")
    assert_mentions(outcome.stdout, *STEPS, "sound, with a proof by replay")
    config.unlink()
    moved = shutil.move(tmp_path / "run", tmp_path / "elsewhere")
    succeed("verify", moved, "--require", "replay")
    assert succeed("tau", "check", moved).stdout == succeed("tau", "check", moved / "spec").stdout
    succeed("manifest", moved, "--check")
    # What the interpreter leaves in the folder is no part of what was published.
    (moved / "spec/outputs/mirror_price.out").write_text("0\n")
    succeed("verify", moved, "--require", "replay")


def test_the_same_line_twice_does_nothing_twice(config, tmp_path):
    arguments = "workflow", config, "--out", tmp_path / "run", "--json"
    first = one_object(succeed(*arguments).stdout)
    before = snapshot(tmp_path / "run")
    second = one_object(succeed(*arguments).stdout)
    assert list(first["steps"].values()) == ["done"] * 5
    assert second["steps"] == {**dict.fromkeys(STEPS, "there"), "verify": "done"}
    assert first["success"] is second["success"] is True
    assert snapshot(tmp_path / "run") == before


@pytest.mark.parametrize("step", ["_train", "_manifest", "_prove", "_specify", "verify_folder"])
def test_a_workflow_goes_on_after_an_interrupt(config, tmp_path, step):
    whole = run_training_to_proof_workflow(config_path=config, artifact_dir=tmp_path / "whole")
    with mock.patch.object(workflow, step, side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        run_training_to_proof_workflow(config_path=config, artifact_dir=tmp_path / "run")
    result = run_training_to_proof_workflow(config_path=config, artifact_dir=tmp_path / "run")
    assert result.success
    done = [name for name, state in result.steps.items() if state == "done"]
    assert done == STEPS[["_train", "_manifest", "_prove", "_specify", "verify_folder"].index(step) :]
    names = {"policy.parquet", "trace.parquet", "run.json", "episodes.parquet", "spec/agent.tau", "proof/proof.json"}
    one, other = snapshot(tmp_path / "whole"), snapshot(tmp_path / "run")
    assert {name: one[name] for name in names} == {name: other[name] for name in names}
    assert whole.verification.claims == result.verification.claims


@pytest.mark.parametrize("prover", ["replay", "zk"])
def test_of_two_workflows_in_one_folder_one_is_refused_at_every_step(config, tmp_path, prover):
    refusals = []

    def beside(name):
        step = getattr(workflow, name)

        def rivalled(*arguments, **named):
            # Of zk the policies may lie in different folders, and of one policy the published folders.
            for out, private in (("run", "elsewhere"), ("other", "private"))[: 2 if prover == "zk" else 1]:
                rival = run_training_to_proof_workflow(
                    config_path=config,
                    artifact_dir=tmp_path / out,
                    seed=1,
                    prover=prover,
                    options=ProverOptions(private=tmp_path / private),
                    force=True,
                )
                refusals.extend(rival.errors)
            return step(*arguments, **named)

        return mock.patch.object(workflow, name, side_effect=rivalled)

    steps = ("create_trainer", "write_training", "update_manifest", "prove_folder", "write_spec", "verify_folder")
    with ExitStack() as patched:
        for name in steps:
            patched.enter_context(beside(name))
        result = run_training_to_proof_workflow(
            config_path=config,
            artifact_dir=tmp_path / "run",
            prover=prover,
            options=ProverOptions(private=tmp_path / "private"),
        )
    assert result.success
    assert len(refusals) == len(steps) * (2 if prover == "zk" else 1)
    assert all("another process is at work in" in refusal for refusal in refusals)
    expected = {"config.json", "run"} | ({"private", "elsewhere"} if prover == "zk" else set())
    assert {path.name for path in tmp_path.iterdir()} == expected
    assert not list(tmp_path.glob("**/*.checkpoint"))


def test_checkpoints_of_another_run_beside_a_published_folder_are_no_workflow_s(config, tmp_path):
    cut = ["train", "--config", config, "--out", tmp_path / "run", "--checkpoint-every", 1]
    with mock.patch("idi_fast.training.artifact.write_training", side_effect=OSError(28, "No space left on device")):
        assert run(*cut).status == 1
    kept = snapshot(tmp_path / "run.checkpoint")
    assert kept
    private = ["--prover", "zk", "--private", tmp_path / "private"]
    (tmp_path / "private").mkdir(mode=0o700)
    line = refused(tmp_path, "workflow", config, "--out", tmp_path / "run", *private)
    assert_mentions(line, "run.checkpoint holds the checkpoints of an unfinished run")
    assert snapshot(tmp_path / "run.checkpoint") == kept


@pytest.mark.parametrize("written", [False, True])
def test_a_specification_that_a_kill_left_unlisted(config, tmp_path, written):
    with mock.patch.object(workflow, "write_spec", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        run_training_to_proof_workflow(config_path=config, artifact_dir=tmp_path / "run")
    if written:  # as an earlier version did before it wrote the manifest
        workflow.write_spec(tmp_path / "run", tmp_path / "spec", "v38")
        shutil.move(tmp_path / "spec", tmp_path / "run/spec")
    (tmp_path / "run/.spec-x1").mkdir()
    (tmp_path / "run/.spec-x1/agent.tau").write_text("half")
    result = run_training_to_proof_workflow(config_path=config, artifact_dir=tmp_path / "run")
    assert (result.success, list(result.steps.values())) == (True, ["there"] * 3 + ["done"] * 2)
    assert not (tmp_path / "run/.spec-x1").exists()


def test_another_run_is_not_overwritten_without_force(config, tmp_path):
    arguments = "workflow", config, "--out", tmp_path / "run"
    succeed(*arguments)
    assert_mentions(refused(tmp_path, *arguments, "--seed", 1), "already exists; --force replaces it")
    succeed(*arguments, "--seed", 1, "--force")
    assert json.loads((tmp_path / "run/run.json").read_text())["seed"] == 1
    succeed(*arguments, "--seed", 1, "--kind", "layered")
    assert json.loads((tmp_path / "run/spec/spec.json").read_text())["kind"] == "layered"


def test_a_workflow_that_hides_its_table(config, tmp_path):
    arguments = "workflow", config, "--out", tmp_path / "public", "--prover", "zk", "--private", tmp_path / "secrets"
    outcome = succeed(*arguments)
    assert_mentions(
        outcome.stdout, "partly checked, with a proof by zk", "NOT CHECKED, they are the publisher's word", "unaudited"
    )
    assert {"policy.parquet", "run.json", "episodes.parquet"}.isdisjoint(snapshot(tmp_path / "public"))
    assert {"artifact", "blinding.seed", "artifact/policy.parquet"} <= set(snapshot(tmp_path / "secrets"))
    again = one_object(succeed(*arguments, "--json").stdout)
    assert again["steps"]["proof"] == "there"
    shutil.rmtree(tmp_path / "secrets")
    succeed("verify", tmp_path / "public", "--require", "zk")
    succeed("tau", "check", tmp_path / "public/spec")


def test_a_workflow_on_data_is_verified_with_the_reader_s_copy(config, tmp_path):
    bars().write_csv(tmp_path / "bars.csv")
    succeed("workflow", config, "--out", tmp_path / "run", "--data", tmp_path / "bars.csv", "--prover", "replay")
    mine = shutil.move(tmp_path / "bars.csv", tmp_path / "mine.csv")
    outcome = succeed("verify", tmp_path / "run")
    assert_mentions(outcome.stdout, "replay", "training again needs your copy of the price history", ": --data PATH")
    assert "NOT CHECKED: config, states, figures, replay" in outcome.stdout
    succeed("verify", tmp_path / "run", "--data", mine, "--require", "replay")


def test_what_a_workflow_refuses(config, tmp_path):
    for args, what in {
        ("--prover", "zz"): "no prover 'zz'",
        ("--prover", "zk"): "--private is missing",
        ("--prover", "command"): "--command is missing",
        ("--kind", "v83"): "no kind 'v83'",
        ("--set", "episode=3"): "Did you mean 'episodes'?",
    }.items():
        outcome = run("workflow", config, "--out", tmp_path / f"run{args[1]}", *args)
        assert (outcome.status, outcome.stdout) == (2, ""), outcome
        assert_mentions(outcome.stderr, what)
    assert_mentions(refused(tmp_path, "workflow", config), "--out is missing")
    assert_mentions(refused(tmp_path, "workflow", tmp_path / "none.json", "--out", tmp_path / "x"), "none.json")


def test_from_python(config, tmp_path):
    result = run_training_to_proof_workflow(config_path=config, artifact_dir=tmp_path / "run", prover="digest")
    assert (result.success, result.errors, result.failure) == (True, [], None)
    assert {name for name, path in result.paths.items() if path.exists()} == {
        "artifact",
        "folder",
        "manifest",
        "proof",
        "streams",
        "spec",
    }
    result = run_training_to_proof_workflow(config_path=tmp_path / "none", artifact_dir=tmp_path / "x")
    assert (result.success, len(result.errors), isinstance(result.failure, InputError)) == (False, 1, True)
    result = run_training_to_proof_workflow(
        config_path=config, artifact_dir=tmp_path / "y", prover="zk", options=ProverOptions()
    )
    assert_mentions(result.errors[0], "`private` is missing")


def test_what_verification_finds_fails_the_workflow(config, tmp_path):
    found = Verification(tmp_path, "digest", (Claim("proof", "it", "fails", "it does not hold"),))
    with mock.patch.object(workflow, "verify_folder", return_value=found):
        outcome = run("workflow", config, "--out", tmp_path / "run", "--prover", "digest")
    assert (outcome.status, outcome.stderr) == (1, "failed: proof: it does not hold\n")


def test_a_folder_that_was_changed_is_not_replaced(config, tmp_path):
    succeed("workflow", config, "--out", tmp_path / "run", "--prover", "digest")
    (tmp_path / "run/spec/README.md").write_text("changed")
    # --force would not help, and is not named.
    message = refused(tmp_path, "workflow", config, "--out", tmp_path / "run", "--prover", "digest")
    assert_mentions(message, "already exists and holds spec/README.md, which", "move it away first")
