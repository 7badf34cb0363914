"""The manifest of a folder: digests of all that it holds, and of the price histories that it was made from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from idi_fast.storage.files import LATER, MANIFEST, TIMINGS, digest, list_files, write_json
from idi_fast.storage.json_files import load_json

SCHEMA_VERSION = 1
"""Version of run.json and of the other JSON files of results."""
MANIFEST_VERSION = 3
"""Version of manifest.json; 1 had no inputs and proofs, 2 let any file come `later`."""
NO_PROOF = {"prover": "none", "require_proof": False}
"""The proof policy of a folder that does not mention proofs."""


def write_manifest(folder: Path, *, proof_policy: dict = NO_PROOF, **about: Any) -> None:
    """Write manifest.json: digests of every file but timings.json, the only file in which two equal runs may differ,
    and of the price histories that the run.json beside it names.

    proof_policy: the folder's proof, and whether it is required. The artifacts in a population's
    folder have manifests and timings of their own: these manifests are listed.
    """
    later = about.get(LATER, ())
    names = [name for name in list_files(folder) if name != MANIFEST and Path(name).name != TIMINGS]
    about = {"schema_version": MANIFEST_VERSION, **about, "inputs": inputs_of(folder), "proof_policy": proof_policy}
    files = {name: digest(folder / name) for name in names if name not in later}
    write_json(folder / MANIFEST, {**about, "files": files})


def inputs_of(folder: Path) -> dict[str, dict]:
    """Digests of the price histories that the run.json of a folder names, by their paths; none without it."""
    if not (folder / "run.json").is_file():
        return {}
    return named_inputs(load_json(folder / "run.json"))


def named_inputs(run: Mapping[str, Any]) -> dict[str, dict]:
    """Digests of the price histories that a run.json names, by their paths."""
    described = [*run.get("trained_on", ()), *([run["data"]] if run.get("data") else ())]
    return {path: file for history in described for path, file in history["files"].items()}
