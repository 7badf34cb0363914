"""manifest.json: the files of a folder, what they were made from, and their proof.

`idi_fast/schemas/manifest.schema.json` is the same for other tools.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from idi_fast.errors import EvidenceError, InputError, nearest
from idi_fast.evidence.folder import check_name, read_file, safe_files
from idi_fast.evidence.strict_json import integer, parse_object, take
from idi_fast.storage.files import LATER, MANIFEST, TIMINGS, digest
from idi_fast.storage.json_files import json_text
from idi_fast.storage.manifests import MANIFEST_VERSION, NO_PROOF, named_inputs
from idi_fast.storage.settling import is_begun

PROVERS = ("none", "digest", "replay", "zk", "command")
REQUIRED = {
    1: ("schema_version", "config_sha256", "files"),
    2: ("schema_version", "config_sha256", "inputs", "proof_policy", "files"),
    3: ("schema_version", "config_sha256", "inputs", "proof_policy", "files"),
}
"""The keys of each version; 1 had no inputs and proofs."""
OPTIONAL = ("training", "metadata", LATER)
MAX_FILE = 2**63 - 1
LATER_PLACES = re.compile(r"((spec/)?outputs/[^/]+|timings\.json)")
"""Files that may come later: outputs of the Tau interpreter, and timings. Earlier versions allowed any name, so that a
manifest that listed nothing fitted any files."""

Digests = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Manifest:
    """The content of a manifest.

    config_sha256: the config's fingerprint, hexadecimal; files: SHA-256 and length of each file, by its path with
    forward slashes; inputs: the same for the price histories that were read, by their paths; training: seed
    or seeds and episodes; proof_policy: `prover`, one of PROVERS, and `require_proof`; later: files that the user's
    tools make in the folder; version: the version it was read from.
    """

    config_sha256: str
    files: Digests
    inputs: Digests = field(default_factory=dict)
    proof_policy: Mapping[str, Any] = field(default_factory=lambda: dict(NO_PROOF))
    training: Mapping[str, Any] | None = None
    metadata: Mapping[str, str] | None = None
    later: tuple[str, ...] = ()
    version: int = MANIFEST_VERSION

    @classmethod
    def read(cls, text: bytes) -> "Manifest":
        """The manifest in the bytes of a manifest.json, of this version or an earlier one; otherwise EvidenceError."""
        fields = parse_object(text, MANIFEST)
        version = integer(fields.get("schema_version"), 0, 2**31, f"{MANIFEST}: schema_version")
        if version not in REQUIRED:
            hint = "a newer idi-fast wrote it" if version > MANIFEST_VERSION else "there is no such version"
            raise EvidenceError(f"{MANIFEST}: schema_version is {version}; expected 1 to {MANIFEST_VERSION}: {hint}")
        known = (*REQUIRED[version], *OPTIONAL)
        for key in fields:
            if key not in known:
                raise EvidenceError(f"{MANIFEST}: {key[:80]!r} is not a known key.{nearest(key, known)}")
        inputs = _digests(take(fields, "inputs", dict, MANIFEST), "inputs") if version > 1 else {}
        files = _digests(take(fields, "files", dict, MANIFEST), "files")
        for name in files:
            check_name(name, f"{MANIFEST}: files")
        later = take(fields, LATER, list, MANIFEST) if LATER in fields else []
        for name in later:
            if not isinstance(name, str):
                raise EvidenceError(f"{MANIFEST}: {LATER} holds {name!r}; expected names of files")
            check_name(name, f"{MANIFEST}: {LATER}")
            if name in files or not LATER_PLACES.fullmatch(name):
                where = "spec/outputs/* and timings.json may come later, and no file that is listed"
                raise EvidenceError(f"{MANIFEST}: {LATER} names {name[:80]!r}; only {where}")
        metadata = take(fields, "metadata", dict, MANIFEST) if "metadata" in fields else None
        if metadata is not None and not all(isinstance(value, str) for value in metadata.values()):
            raise EvidenceError(f"{MANIFEST}: metadata must hold texts")
        return cls(
            config_sha256=_hash(fields, "config_sha256", MANIFEST),
            files=files,
            inputs=inputs,
            proof_policy=_proof_policy(fields) if version > 1 else dict(NO_PROOF),
            training=_training(fields) if "training" in fields else None,
            metadata=metadata,
            later=tuple(later),
            version=version,
        )

    @classmethod
    def of(cls, folder: Path) -> "Manifest":
        """The manifest of a folder; EvidenceError if it is missing or invalid."""
        return cls.read(read_file(folder, MANIFEST))

    def text(self) -> bytes:
        """As JSON, of this version."""
        fields: dict[str, Any] = {"schema_version": MANIFEST_VERSION, "config_sha256": self.config_sha256}
        given = {"training": self.training, "metadata": self.metadata, LATER: list(self.later) or None}
        fields |= {key: value for key, value in given.items() if value is not None}
        fields |= {"inputs": self.inputs, "proof_policy": self.proof_policy}
        return json_text({**fields, "files": dict(sorted(self.files.items()))}).encode()

    def with_proof(self, prover: str) -> "Manifest":
        """The manifest of a folder that carries a proof and requires it."""
        return replace(self, proof_policy={"prover": prover, "require_proof": prover != "none"})


def _digests(entries: dict[str, Any], key: str) -> Digests:
    for name, entry in entries.items():
        where = f"{MANIFEST}: {key}[{name[:80]!r}]"
        if not isinstance(entry, dict) or set(entry) != {"sha256", "bytes"}:
            raise EvidenceError(f"{where} must hold sha256 and bytes")
        _hash(entry, "sha256", where)
        integer(entry["bytes"], 0, MAX_FILE, f"{where}: bytes")
    return entries


def _hash(fields: dict[str, Any], key: str, where: str) -> str:
    value = take(fields, key, str, where)
    if not re.fullmatch("[0-9a-f]{64}", value):
        raise EvidenceError(f"{where}: {key} is {value[:80]!r}; expected 64 lower-case hexadecimal digits")
    return value


def _proof_policy(fields: dict[str, Any]) -> dict[str, Any]:
    policy = take(fields, "proof_policy", dict, MANIFEST)
    where = f"{MANIFEST}: proof_policy"
    if set(policy) != {"prover", "require_proof"}:
        raise EvidenceError(f"{where} must hold prover and require_proof")
    if (prover := take(policy, "prover", str, where)) not in PROVERS:
        raise EvidenceError(
            f"{where}: prover is {prover[:80]!r}; expected one of {', '.join(PROVERS)}.{nearest(prover, PROVERS)}"
        )
    take(policy, "require_proof", bool, where)
    return policy


def _training(fields: dict[str, Any]) -> dict[str, Any]:
    training, where = take(fields, "training", dict, MANIFEST), f"{MANIFEST}: training"
    for key, value in training.items():
        if key == "seeds":
            if not isinstance(value, list) or not all(_is_integer(seed) for seed in value):
                raise EvidenceError(f"{where}: seeds must be a list of whole numbers")
        elif key not in ("seed", "episodes"):
            raise EvidenceError(f"{where}: {key[:80]!r} is not a known key; expected seed, seeds, episodes")
        elif not _is_integer(value):
            raise EvidenceError(f"{where}: {key} must be a whole number")
    return training


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_files(folder: Path, manifest: Manifest) -> list[str]:
    """What is wrong with the files of a folder, a sentence each: missing, unlisted, different.

    timings.json beside a manifest, which is never listed, and later files may be there. Raises EvidenceError
    if the folder holds a link or anything that is not a file.
    """
    there = safe_files(folder)
    allowed = {MANIFEST, *manifest.files, *manifest.later}
    wrong = [f"{name} is missing" for name in manifest.files if name not in there]
    others = [name for name in there if name not in allowed and not _is_timings(name, allowed)]
    wrong += [f"{name} is not listed in {MANIFEST}" for name in others]
    for name, listed in manifest.files.items():
        if name in there:
            # The length first: comparing it costs nothing, however long the file is.
            if there[name] != listed["bytes"]:
                wrong.append(f"{name} has {there[name]:,} bytes; {MANIFEST} lists {listed['bytes']:,}")
            elif digest(folder / name)["sha256"] != listed["sha256"]:
                wrong.append(f"{name} is not the file that {MANIFEST} lists: its SHA-256 differs")
    if wrong and is_begun(folder):
        wrong[0] += f" (an interrupted command left its work in the folder; idi-fast manifest {folder} ends it)"
    return wrong


def _is_timings(name: str, allowed: set[str]) -> bool:
    """Whether a file is the timings.json beside a manifest, which no manifest lists."""
    parent, _, last = name.rpartition("/")
    return last == TIMINGS and (f"{parent}/{MANIFEST}" if parent else MANIFEST) in allowed


def rebuilt(folder: Path, proof_policy: Mapping[str, Any] | None = None) -> Manifest:
    """The manifest that a folder of ours should have, from its current files.

    What no file says – metadata, later files – is taken from the existing manifest. Raises InputError if nothing in the
    folder tells its config, EvidenceError if run.json is invalid.
    """
    there = safe_files(folder)
    before = Manifest.of(folder) if MANIFEST in there else None
    if "run.json" not in there and before is None:
        raise InputError(f"{folder} is no output of idi-fast: it has neither {MANIFEST} nor a run.json")
    later = () if before is None else before.later
    names = [name for name in there if name not in (MANIFEST, *later) and name.rpartition("/")[2] != TIMINGS]
    try:
        about = _of_run(folder) if "run.json" in there else {}
    except (KeyError, TypeError, AttributeError):
        raise EvidenceError("run.json does not say what a run of ours says") from None
    made = replace(
        Manifest("", {}) if before is None else before, files={name: digest(folder / name) for name in names}, **about
    )
    if proof_policy is not None:
        made = replace(made, proof_policy=proof_policy)
    return Manifest.read(made.text())


def _of_run(folder: Path) -> dict[str, Any]:
    """The fields of a manifest that follow from the run.json of a folder."""
    return of_run(parse_object(read_file(folder, "run.json"), "run.json"))


def of_run(run: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a manifest that follow from a run.json. Raises KeyError, TypeError or AttributeError for an invalid
    one."""
    about = {"config_sha256": run.get("fingerprint") or run["policy"]["fingerprint"], "inputs": named_inputs(run)}
    if run["kind"] == "train":
        about["training"] = {"seed": run["seed"], "episodes": run["summary"]["episodes"]}
    elif "policy" in run:
        about["training"] = {"seed": run["policy"]["seed"]}
    return about
