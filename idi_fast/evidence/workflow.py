"""From a config to a published folder that others can verify: train, manifest, proof, specification, verification."""

import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from idi_fast.config.settings import TrainingConfig
from idi_fast.errors import IdiFastError, InputError
from idi_fast.evidence.manifest import Manifest, check_files, rebuilt
from idi_fast.evidence.private import BLINDING, private_folder, secret_seed
from idi_fast.evidence.provers import CLAIM, ProverOptions, find_prover
from idi_fast.evidence.publish import ZK, has_proof, open_folder, prove_folder, update_manifest
from idi_fast.evidence.published import TRACE, Published
from idi_fast.evidence.reference import MANIFEST_FILE
from idi_fast.evidence.spec_check import ABOUT
from idi_fast.evidence.strict_json import parse_object
from idi_fast.evidence.verify import PROOF_REQUIRABLE, Verification, verify_folder
from idi_fast.storage.files import MANIFEST, check_replaceable, digest, new_directory, read_manifest
from idi_fast.storage.settling import settle_beside
from idi_fast.storage.staging import Staging
from idi_fast.tau.check import SPEC_FOLDER
from idi_fast.tau.contract import find_contract
from idi_fast.tau.spec_folder import write_spec
from idi_fast.training.artifact import finished_run, write_training
from idi_fast.training.checkpoint import Checkpoints, Every, discard
from idi_fast.training.checkpoint_folder import checkpoint_folder
from idi_fast.training.trainer import Progress, create_trainer

CHECKPOINT_SECONDS = 30.0
ARTIFACT = "artifact"
"""In the private folder: the training, if its policy must stay hidden."""
STEPS = ("train", "manifest", "proof", "spec", "verify")


@dataclass
class WorkflowResult:
    """The result of a workflow.

    success: whether every step succeeded and verification found nothing wrong; paths: of the outputs, by name; steps:
    whether each one that took place was "done" or "there" already; errors: what went wrong, a sentence each; failure:
    the exception that ended it, if any.
    """

    success: bool = False
    paths: dict[str, Path] = field(default_factory=dict)
    steps: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    verification: Verification | None = None
    failure: IdiFastError | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "schema_version": 1,
            "success": self.success,
            "steps": self.steps,
            "paths": {name: str(path) for name, path in self.paths.items()},
            "errors": self.errors,
            "verification": None if self.verification is None else self.verification.as_dict(),
        }


def run_training_to_proof_workflow(
    *,
    config_path: str | Path | None = None,
    artifact_dir: str | Path,
    config: TrainingConfig | None = None,
    seed: int = 0,
    prover: str = "replay",
    kind: str | Path = "v38",
    streams: Mapping[str, str] | None = None,
    options: ProverOptions | None = None,
    force: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> WorkflowResult:
    """Train by a config, prove, write the specification's folder and verify it all, in `artifact_dir`.

    A step whose output is already there, complete and of the same config, seed, data and prover, is skipped; an
    interrupted training continues from its last checkpoint. So the same call can be repeated as often as needed.

    config_path: the JSON config, or `config` itself; kind, streams: the agent that reads the streams, and what each is
    taken from, as for `write_spec`; prover, options: as for `prove_folder`; with "zk" the artifact goes to `artifact`
    in the private folder, and `artifact_dir` gets nothing that reveals the policy; force: replaces an earlier output of
    another run. Failures are in the result's `errors`; only exceptions that are not errors of idi-fast, such as an
    interrupt, are raised.
    """
    result, options = WorkflowResult(), options or ProverOptions()
    try:
        if config is None and config_path is not None:
            config = TrainingConfig.from_json(config_path)
        elif config is None or config_path is not None:
            raise InputError("expected either config_path or config")
        find_prover(prover)
        find_contract(kind)
        out = Path(artifact_dir)
        artifact = out if prover != ZK else _hidden(options, out) / ARTIFACT
        result.paths["artifact"] = artifact
        # Of two workflows in one folder, the one that begins later is refused, whatever step the other is at.
        with ExitStack() as locks:
            if out != artifact:
                locks.enter_context(checkpoint_folder(out, wanted=True, resume=False, force=force))
            kept = locks.enter_context(checkpoint_folder(artifact, wanted=True, resume=not force, force=force))
            assert kept is not None  # as it is wanted
            _clear_up(out)
            result.steps["train"] = _train(config, seed, artifact, kept, force, progress)
            result.steps["manifest"] = _manifest(artifact)
            result.paths |= {"folder": out, "manifest": out / MANIFEST}
            result.steps["proof"] = _prove(artifact, out, prover, options, force)
            result.paths |= {"proof": out / CLAIM, "streams": out / "streams"}
            result.steps["spec"] = _specify(out, kind, streams or {})
            result.paths["spec"] = out / SPEC_FOLDER
            require = prover if prover in PROOF_REQUIRABLE else None
            if config.environment.kind == "history" and options.data is None:
                options = replace(options, data=config.environment.data.path)
            if prover != "zk":  # the others make no secrets, and there need be no folder for them
                options = replace(options, private=None)
            result.verification = verify_folder(out, require=require, options=options)
            result.steps["verify"] = "done"
        result.errors += result.verification.failures
        result.success = result.verification.ok
    except IdiFastError as error:
        result.failure = error
        result.errors.append(str(error))
    return result


def _hidden(options: ProverOptions, out: Path) -> Path:
    if options.private is None:
        raise InputError("`private` is missing; name the folder for policy and secret seed: `private='secrets'`")
    return private_folder(options.private, (out,))


def _train(
    config: TrainingConfig,
    seed: int,
    place: Path,
    kept: Path,
    force: bool,
    progress: Callable[[Progress], None] | None,
) -> str:
    if not force and finished_run(place, config, seed) is not None:
        return "there"
    check_replaceable(place, force)
    data = config.environment.data.path
    with (
        new_directory(place, force=force, inputs=() if data is None else (data,), within=kept) as folder,
        Checkpoints(kept, Every(seconds=CHECKPOINT_SECONDS), resume=not force) as checkpoints,
    ):
        trainer = create_trainer(config, seed)
        trainer.compile()
        # What is planned is done in a moment, and has none.
        trainer.train(progress, checkpoints=None if config.learning.plans else checkpoints)
        policy, trace = trainer.rollout()
        write_training(folder, trainer, policy, trace, {"training_seconds": trainer.training_seconds})
    discard(kept)  # a later step that fails has nothing to resume
    return "done"


def _clear_up(out: Path) -> None:
    """Settle what a kill has left in the folder, also from an earlier version, which wrote a specification first."""
    settle_beside(out)
    for left in out.glob(f".{SPEC_FOLDER}-*"):
        shutil.rmtree(left)
    place, manifest = out / SPEC_FOLDER, read_manifest(out)
    if place.exists() and manifest and not any(name.startswith(f"{SPEC_FOLDER}/") for name in manifest["files"]):
        check_replaceable(place, force=True)
        shutil.rmtree(place)


def _manifest(artifact: Path) -> str:
    """The reference's manifest beside ours."""
    if (artifact / MANIFEST_FILE).is_file() and not check_files(artifact, Manifest.of(artifact)):
        return "there"
    update_manifest(artifact, reference=True)
    return "done"


def _prove(artifact: Path, out: Path, prover: str, options: ProverOptions, force: bool) -> str:
    if has_proof(out, prover) and _of_the_same_trace(out, artifact, prover, options):
        return "there"
    prove_folder(artifact, prover, options, out=out if prover == ZK else None, force=force)
    return "done"


def _of_the_same_trace(out: Path, artifact: Path, prover: str, options: ProverOptions) -> bool:
    one, other = Manifest.of(out), Manifest.of(artifact)
    if prover != ZK:
        return one.config_sha256 == other.config_sha256 and one.files[TRACE] == other.files[TRACE]
    # A folder that hides the table has another fingerprint, salted by the secret seed and the whole trace.
    said, private = Published(artifact).statement, options.private
    if said is None or private is None or not (private / BLINDING).is_file():
        return False
    seed = secret_seed(private, BLINDING, make=False)
    return one.config_sha256 == said.salted(seed, (artifact / TRACE).read_bytes()).fingerprint


def _specify(out: Path, kind: str | Path, streams: Mapping[str, str]) -> str:
    place = out / SPEC_FOLDER
    if place.exists() and _is_spec(out, kind, streams):
        return "there"
    with Staging(together=True) as staging:
        staging.watch(place)
        staging.watch(out / MANIFEST)
        check_replaceable(place, force=True)
        made = staging.reserve(place)
        write_spec(out, made, kind, streams=streams)
        manifest, spec = rebuilt(out), Manifest.of(made)
        files = {name: about for name, about in manifest.files.items() if not name.startswith(f"{SPEC_FOLDER}/")}
        listed = [*spec.files, MANIFEST]
        files |= {f"{SPEC_FOLDER}/{name}": digest(made / name) for name in listed}
        later = tuple(f"{SPEC_FOLDER}/{name}" for name in spec.later)
        manifest = replace(manifest, later=later, files=dict(sorted(files.items())))
        staging.reserve(out / MANIFEST).write_bytes(manifest.text())
        staging.swap([place, out / MANIFEST])
    return "done"


def _is_spec(out: Path, kind: str | Path, streams: Mapping[str, str]) -> bool:
    """Whether the specification in a folder is complete, of this kind and these streams, and in the folder's
    manifest."""
    try:
        published = open_folder(out)
        about = parse_object(published.data(f"{SPEC_FOLDER}/{ABOUT}"), ABOUT)
    except InputError:
        return False
    taken = {each["name"].removeprefix("i_"): each["column"] for each in about["inputs"]}
    return about.get("kind") == str(kind) and all(taken[name] == streams.get(name, name) for name in taken)
