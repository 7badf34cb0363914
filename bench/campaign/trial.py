"""A trial's verdict, and the criteria for how a command may end."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from idi_fast.bench.campaign.worker import Outcome
from idi_fast.storage.files import MANIFEST, TIMINGS

OK, REFUSED, FAILED = "ok", "refused", "failed"
"""The command did its work; it refused its input (exit code 2); it said that the work failed (exit code 1)."""
LOST, MIXED, TRACEBACK, HANG, WRONG = "lost", "mixed", "traceback", "hang", "wrong"
"""A file is gone; an output is half old and half new; a traceback, "internal error" or a crash; over the time limit;
another exit code, other streams or another result than documented, or something damaged taken for whole."""
FAULTS = (LOST, MIXED, TRACEBACK, HANG, WRONG)
VERDICTS = (OK, REFUSED, FAILED, *FAULTS)

CRASHES = ("Traceback (most recent call last)", "internal error", "panicked at", "Fatal Python error", "LLVM ERROR")
NOTICES = ("note: ", "compiling kernels")
"""Prefixes of the lines on stderr of a successful command."""

OF_A_TIME = ("artifact_manifest.json", "receipt.json", "proof.bin")
"""Files that hold the time, or a digest of one that does."""

Tree = Mapping[str, bytes | None]
"""Everything below a folder: bytes of files, None for folders, b"-> …" for links."""


@dataclass
class Trial:
    """A trial, filled in step by step; kind: of command or disturbance; what: the disturbance itself."""

    part: str
    number: int
    kind: str = ""
    what: str = ""
    verdict: str = ""
    detail: str = ""

    @property
    def is_fault(self) -> bool:
        """Whether idi-fast is to blame."""
        return self.verdict in FAULTS


class Exhausted(Exception):
    """A part has no further trials."""


class Fault(Exception):
    """Ends a trial with a verdict that is a fault."""

    def __init__(self, verdict: str, detail: str) -> None:
        super().__init__(detail)
        self.verdict, self.detail = verdict, detail


def expect(holds: bool, verdict: str, detail: str) -> None:
    """Raise Fault unless it holds."""
    if not holds:
        raise Fault(verdict, detail)


def verdict_on(outcome: Outcome, *, silent_failure: bool = False) -> str:
    """The verdict on how a command ended: OK, REFUSED or FAILED. Raises Fault.

    silent_failure: exit code 1 is a result on stdout, as of a comparison, and needs no line on stderr.
    """
    about = describe(outcome)
    status = outcome.status
    if status is None:
        raise Fault(HANG, f"no end within the limit: {about}")
    crash = next((text for text in CRASHES if text in outcome.stderr), None)
    expect(crash is None, TRACEBACK, about)
    expect(status >= 0, TRACEBACK, f"ended by signal {-status}: {about}")
    lines = [line for line in outcome.stderr.split("\n") if line and not line.startswith(NOTICES)]
    if outcome.status == 0:
        expect(not lines, WRONG, f"exit code 0 with a message: {about}")
        if "--json" in outcome.argv or "--print-config" in outcome.argv:
            expect(_is_json(outcome.stdout), WRONG, f"stdout is not one JSON object: {about}")
        return OK
    if outcome.status == 2:
        expect(len(lines) == 1 and lines[0].startswith("error: "), WRONG, f"not one line of error: {about}")
        expect(outcome.stdout == "", WRONG, f"refused with something on stdout: {about}")
        return REFUSED
    expect(outcome.status == 1, WRONG, f"exit code {outcome.status}: {about}")
    said = [line for line in lines if line.startswith(("error: ", "failed: "))]
    expect(bool(said) or silent_failure, WRONG, f"exit code 1 and nothing said: {about}")
    return FAILED


def describe(outcome: Outcome, most: int = 600) -> str:
    """A command and its outcome, for a reader: the end of stderr, or of stdout if that is empty."""
    said = (outcome.stderr or outcome.stdout).strip()
    ended = "hung" if outcome.status is None else f"exit code {outcome.status}"
    return f"idi-fast {' '.join(outcome.argv)[:300]} -- {ended}: …{said[-most:]!r}"


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, including hidden files, except files that record how long something took."""
    found: dict[str, bytes | None] = {}
    for path in sorted(folder.rglob("*")):
        if path.name != TIMINGS:
            found[path.relative_to(folder).as_posix()] = _content(path)
    return found


def timeless(found: Tree) -> dict[str, bytes | None]:
    """A tree that is the same after two equal runs: without the content of the reference's files that contain a time.

    Their names stay; what manifests say about them is removed too.
    """
    kept = dict(found)
    for name, data in found.items():
        last = name.rpartition("/")[2]
        if last in OF_A_TIME:
            kept[name] = b"of a time"
        elif last == MANIFEST and data is not None and any(of_a_time.encode() in data for of_a_time in OF_A_TIME):
            manifest = json.loads(data)
            files = {path: about for path, about in manifest["files"].items() if not path.endswith(OF_A_TIME)}
            kept[name] = json.dumps({**manifest, "files": files}).encode()
    return kept


def difference(found: Tree, expected: Tree, most: int = 4) -> str:
    """Where two trees differ, in a few words; empty if they are equal."""
    kinds: Sequence[tuple[str, set[str]]] = (
        ("gone", set(expected) - set(found)),
        ("new", set(found) - set(expected)),
        ("changed", {name for name in set(found) & set(expected) if found[name] != expected[name]}),
    )
    parts = [
        f"{kind}: {', '.join(sorted(names)[:most])}{f' and {len(names) - most} more' if len(names) > most else ''}"
        for kind, names in kinds
        if names
    ]
    return "; ".join(parts)


def _content(path: Path) -> bytes | None:
    if path.is_symlink():
        return f"-> {path.readlink()}".encode()
    if path.is_file():
        return path.read_bytes()
    return None if path.is_dir() else b"neither a file nor a folder"


def _is_json(text: str) -> bool:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        return isinstance(json.loads(text, parse_constant=refuse), dict)
    except ValueError:
        return False
