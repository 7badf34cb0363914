"""Verifying a published folder: what was checked, against what, and what had to be trusted."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from idi_fast.errors import EvidenceError, InputError, nearest
from idi_fast.evidence.checks import FAILED, NOT_CHECKED, Check, attempt
from idi_fast.evidence.content import check_content
from idi_fast.evidence.folder import existing
from idi_fast.evidence.manifest import check_files
from idi_fast.evidence.merkle import PLAIN, Commitment, commit
from idi_fast.evidence.provers import (
    CLAIM,
    COMMITMENT,
    MANIFEST_FILE,
    PROVERS,
    ProverOptions,
    check_reference_manifest,
    claim,
    find_prover,
)
from idi_fast.evidence.published import Published, fixed_table, reference_tree
from idi_fast.evidence.reference import COMMIT_FILE, PATHS_FILE
from idi_fast.evidence.spec_check import check_spec
from idi_fast.evidence.strict_json import parse_object, take

REQUIRABLE = ("replay", "zk")
"""Provers that a reader may insist on: a digest shows nothing, and what a command shows only its owner knows."""


@dataclass(frozen=True)
class Verification:
    """What a verification came to; prover: what the folder carries, "none" where it has no proof."""

    folder: Path
    prover: str
    checks: tuple[Check, ...]

    @property
    def failures(self) -> list[str]:
        """What failed, a sentence each."""
        failed = [check for check in self.checks if check.outcome == FAILED]
        return [c.found if c.found.startswith(c.what) else f"{c.what}: {c.found}" for c in failed]

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "schema_version": 1, "folder": str(self.folder), "prover": self.prover, "ok": self.ok,
            "checks": [check.as_dict() for check in self.checks], "failures": self.failures,
        }  # fmt: skip


def verify_folder(
    folder: str | Path, *, require: str | None = None, policy: Path | None = None, sample: int | None = None,
    options: ProverOptions | None = None,
) -> Verification:  # fmt: skip
    """Verify a folder that `idi-fast` wrote and somebody published.

    Its manifest, the run, streams, trace, commitments, proof and specification are checked in that order; with a
    manifest that does not fit the files nothing else is looked at. require: "replay" or "zk", without which it fails;
    policy: where the policy is that the folder does not hold; sample: compare so many ticks with the policy, drawn at
    random, and do not train again; means: data, root, command and more that the reader brings along. Raises InputError
    where there is no folder, and for options that cannot be used.
    """
    options = options or ProverOptions()
    if require is not None and require not in REQUIRABLE:
        raise InputError(
            f"--require is {require!r}; expected one of {', '.join(REQUIRABLE)}.{nearest(require, REQUIRABLE)}"
        )
    if sample is not None and sample < 1:
        raise InputError(f"--sample is {sample}; expected 1 or more ticks")
    if sample is not None and require == "replay":
        raise InputError("--sample does not train again; it does not go with --require replay")
    folder = existing(folder)
    published = Published(folder, policy)
    trusted = "where the folder is from: a manifest says only that its files belong together"
    checks = [attempt("manifest.json", "its schema and all files", lambda: _check_files(published), trusted)]
    if checks[0].outcome != FAILED:
        checks += _loaded(published)
    if checks[-1].outcome == FAILED:
        checks.append(Check("content and proof", "each other", NOT_CHECKED, "the files cannot be relied on"))
        return Verification(folder, "unknown", (*checks, *_required(require, "unknown", [])))
    if MANIFEST_FILE in published.files:
        checks.append(attempt(MANIFEST_FILE, "run.json and streams", lambda: check_reference_manifest(published)))
    checks += check_content(published, sample)
    checks += _check_commitments(published, options.root)
    prover, found = _check_proof(published, options, sample)
    checks += found
    checks += check_spec(published)
    return Verification(folder, prover, (*checks, *_required(require, prover, found)))


def _check_files(published: Published) -> str:
    wrong = check_files(published.folder, published.manifest)
    if wrong:
        raise EvidenceError("; ".join(wrong[:8]) + (f"; and {len(wrong) - 8} more" if len(wrong) > 8 else ""))
    return f"{len(published.manifest.files)} files"


def _loaded(published: Published) -> list[Check]:
    """The first file that cannot be read for what it is, none if all can."""
    for name in ("run", "config", "trace", "policy"):
        check = attempt("content", "what its files are", lambda name=name: str(getattr(published, name) is None))
        if check.outcome == FAILED:
            return [check]
    return []


def _check_commitments(published: Published, root: str | None) -> list[Check]:
    """The commitments of the folder against its policy, where it has one, and the root that the reader knows."""
    checks, policy = [], published.policy if "policy.parquet" in published.files else None
    if COMMITMENT in published.files:

        def ours() -> str:
            commitment = Commitment.from_json(published.data(COMMITMENT))
            if root is not None and commitment.root.hex() != root.lower():
                raise EvidenceError(f"its root is {commitment.root.hex()}; expected {root}")
            if policy is not None and commitment.form == PLAIN and commit(fixed_table(policy)).commitment != commitment:
                raise EvidenceError("it is not that of the policy in the folder")
            return f"root {commitment.root.hex()[:16]}… of {commitment.size:,} states"

        against = [*(["the root given"] if root else []), *(["the policy"] if policy else [])]
        trusted = "" if root or policy else "that this is the commitment meant (--root)"
        checks.append(attempt(COMMITMENT, " and ".join(against) or "its form", ours, trusted))
    elif root is not None:
        checks.append(Check("commitment", "the root given", FAILED, f"the folder has no {COMMITMENT}"))
    if COMMIT_FILE in published.files:

        def theirs() -> str:
            tree = reference_tree(policy)
            for name, text in ((COMMIT_FILE, tree.commit_text()), (PATHS_FILE, tree.paths_text())):
                if published.data(name, 2**40) != text:
                    raise EvidenceError(f"{name} is not that of the policy in the folder")
            return f"root {tree.root.hex()[:16]}… of {len(tree.keys):,} states"

        if policy is None:
            checks.append(Check(COMMIT_FILE, "the policy", NOT_CHECKED, "the policy is not in the folder"))
        else:
            checks.append(attempt(COMMIT_FILE, "the policy", theirs))
    return checks


def _check_proof(published: Published, options: ProverOptions, sample: int | None) -> tuple[str, list[Check]]:
    """The prover whose proof the folder carries, "none" without, and what came of it."""
    policy = published.manifest.proof_policy
    if CLAIM not in published.files:
        failed = policy["require_proof"] or policy["prover"] != "none"
        found = f"there is none, but the manifest says {policy['prover']}" if failed else "there is none"
        return "none", [Check("proof", "manifest", FAILED if failed else NOT_CHECKED, found)]
    try:
        fields = parse_object(published.data(CLAIM), CLAIM)
        name = take(fields, "prover", str, CLAIM)
        if name not in PROVERS:
            raise EvidenceError(f"{CLAIM}: there is no prover {name[:80]!r}; expected one of {', '.join(PROVERS)}")
        if name != policy["prover"]:
            raise EvidenceError(f"{CLAIM} is of the prover {name}; the manifest says {policy['prover']}")
        if published.data(CLAIM) != claim(find_prover(name)):
            raise EvidenceError(f"{CLAIM} does not say what the prover {name} proves and leaves to be trusted")
    except EvidenceError as error:
        return "unknown", [Check("proof", "its form", FAILED, str(error))]
    if name == "replay" and sample is not None:
        found = f"not trained again: --sample {sample}"
        return name, [Check("proof (replay)", "training and rollout", NOT_CHECKED, found)]
    return name, find_prover(name).verify(published, options)


def _required(require: str | None, prover: str, found: list[Check]) -> list[Check]:
    """Whether the proof that the reader insists on is there and holds; anything else fails."""
    if require is None:
        return []
    holds = prover == require and found and all(check.outcome == "ok" for check in found)
    if holds:
        return [Check(f"--require {require}", "the proof", "ok", "it is there and holds")]
    what = f"the folder's proof is {prover}" if prover != require else "it does not hold"
    return [Check(f"--require {require}", "the proof", FAILED, what)]
