"""Outside provers and verifiers: programs named by the user, run without a shell on copies of the files."""

import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from idi_fast.errors import EvidenceError, InputError
from idi_fast.evidence.folder import read_file
from idi_fast.evidence.reference import MANIFEST_FILE, MAX_RECEIPT, STREAMS_FOLDER
from idi_fast.evidence.strict_json import parse_object
from idi_fast.tau.run_process import run_process

TIMEOUT = 300.0
"""Time limit of a program in seconds, as in the reference."""
MAX_OUTSIDE_PROOF = 64 * 1024 * 1024
PLACES = ("manifest", "streams", "proof", "receipt")


class ProverOutput(NamedTuple):
    """The output of a program: the bytes of its proof and its receipt, None if it left none."""

    proof: bytes | None
    receipt: dict[str, Any] | None


def run_outside(
    line: str,
    manifest: bytes,
    streams: Mapping[str, bytes],
    timeout: float,
    proof: bytes | None = None,
    receipt: bytes | None = None,
) -> ProverOutput:
    """Run a program on a manifest and streams, and on a proof and its receipt if there are any.

    line: the program and its arguments, with {manifest}, {streams}, {proof} and {receipt} in place of the paths of
    copies, in a temporary folder. No shell is involved. Raises InputError for a line that cannot be run, EvidenceError
    if the program does not end with exit code 0 in time, or writes too much.
    """
    if timeout <= 0:
        raise InputError(f"the time limit is {timeout}; expected seconds above 0")
    with tempfile.TemporaryDirectory(prefix="idi-fast-outside-") as scratch:
        folder = Path(scratch) / "work"
        places = {
            "manifest": folder / MANIFEST_FILE,
            "streams": folder / STREAMS_FOLDER,
            "proof": folder / "proof.bin",
            "receipt": folder / "receipt.json",
        }
        places["streams"].mkdir(parents=True)
        places["manifest"].write_bytes(manifest)
        for name, data in streams.items():
            (places["streams"] / name).write_bytes(data)
        for name, data in (("proof", proof), ("receipt", receipt)):
            if data is not None:
                places[name].write_bytes(data)
        outcome = run_process(
            command_of(line, places),
            folder,
            Path(scratch) / "log",
            watched=places["proof"],
            timeout=timeout,
            progress=lambda lines: None,
        )
        if outcome.timed_out:
            raise EvidenceError(f"the program did not end within {timeout:g} s and was stopped")
        if outcome.code != 0:
            last = f"; it said: {outcome.said[-1][:200]}" if outcome.said else ""
            raise EvidenceError(f"the program ended with exit code {outcome.code}{last}")
        left = places["proof"].exists(), places["receipt"].exists()
        return ProverOutput(
            read_file(folder, "proof.bin", MAX_OUTSIDE_PROOF) if left[0] else None,
            parse_object(read_file(folder, "receipt.json", MAX_RECEIPT), "the program's receipt", MAX_RECEIPT)
            if left[1]
            else None,
        )


def command_of(line: str, places: Mapping[str, Path]) -> list[str]:
    """The arguments of a line, split as by a shell, with paths substituted. Raises InputError."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise InputError(f"`command` is {line!r}: {error}") from None
    if not words:
        raise InputError("`command` is empty; expected a program and its arguments")
    # After splitting, so that a path with a blank stays one argument.
    for name in PLACES:
        words = [word.replace(f"{{{name}}}", str(places[name])) for word in words]
    return words
