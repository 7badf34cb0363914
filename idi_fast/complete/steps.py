"""Steps whose outputs lie side by side in a folder, each made once from the same inputs."""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from idi_fast.errors import ArtifactError, OutputError
from idi_fast.storage.failures import explained
from idi_fast.storage.files import MANIFEST, check_place, digest, output_path, read_manifest
from idi_fast.storage.json_files import json_text, load_json
from idi_fast.storage.manifests import SCHEMA_VERSION
from idi_fast.storage.staging import install

STEPS = "steps.json"
"""Of each finished step the digest of what it was made from, and of what it made."""
SUMMARY = ("summary.json", "summary.md")


@dataclass(frozen=True)
class Step:
    """A step of a run.

    name: of its folder or file; inputs: what its output follows from, as JSON values; make: writes the output to a
    path.
    """

    name: str
    inputs: Mapping[str, object]
    make: Callable[[Path], object]

    @property
    def key(self) -> str:
        """The digest of its inputs."""
        return hashlib.sha256(json_text(self.inputs).encode()).hexdigest()


class StepFolder:
    """The folder of a run.

    force: whether outputs of other inputs, and finished ones, are replaced. Raises OutputError, before anything is
    written, where the folder holds what no run has written.
    """

    def __init__(self, place: str | Path, *, force: bool):
        self.place, self._force = output_path(place), force
        check_place(self.place)
        self._done = self._recorded()

    def _recorded(self) -> dict[str, dict]:
        if not os.path.lexists(self.place):
            return {}
        with explained(self.place):
            if not self.place.is_dir():
                raise OutputError(f"the output {self.place} exists and is not a folder; choose another name")
            names = {path.name for path in self.place.iterdir() if not path.name.startswith(".")}
        if not names:
            return {}
        try:
            recorded = load_json(self.place / STEPS)["steps"]
            return {name: {key: each[key] for key in ("inputs", "made", "replaces")} for name, each in recorded.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise OutputError(
                f"the output {self.place} holds something other than a run of idi-fast; choose another name"
            ) from None

    def check(self, steps: list[Step]) -> None:
        """Raise OutputError if a step's output is there, but of other inputs or changed, and is not to be replaced."""
        for step in steps:
            if not self._force and os.path.lexists(self.place / step.name) and not self.is_done(step):
                raise OutputError(
                    f"{self.place / step.name} is of other data, settings or version, or was changed; "
                    "`force=True` makes the run anew"
                )

    def is_done(self, step: Step) -> bool:
        """Whether a step's output is there, whole, and made from the same inputs."""
        recorded, output = self._done.get(step.name), self.place / step.name
        if recorded is None or recorded["inputs"] != step.key:
            return False
        try:
            manifest = read_manifest(output) if output.is_dir() else {"files": {}}
            whole = manifest is not None and all(
                digest(output / name) == file for name, file in manifest["files"].items()
            )
            # One that a kill kept from being recorded is there, unless what is there is what it was to replace.
            made, here = recorded["made"], _identity(output)
            return whole and (here == made if made is not None else here != recorded["replaces"])
        except (OSError, ValueError):
            return False

    def run(self, step: Step) -> bool:
        """Make a step's output, unless it is done; returns whether it was made."""
        if not self._force and self.is_done(step):
            return False
        with explained(self.place):
            self.place.mkdir(parents=True, exist_ok=True)
        output = self.place / step.name
        self._record(step, None, _identity(output) if os.path.lexists(output) else None)
        try:
            step.make(output)
        except BaseException:
            # All that would be left of a run whose first step failed.
            if {path.name for path in self.place.iterdir()} == {STEPS}:
                (self.place / STEPS).unlink()
                self.place.rmdir()
            raise
        self._record(step, _identity(output), None)
        return True

    def _record(self, step: Step, made: str | None, replaces: str | None) -> None:
        self._done[step.name] = {"inputs": step.key, "made": made, "replaces": replaces}
        install({self.place / STEPS: json_text({"schema_version": SCHEMA_VERSION, "steps": self._done}).encode()})

    def summarise(self, summary: dict, text: str) -> None:
        """Write summary.json and summary.md."""
        contents = json_text(summary), text
        install({self.place / name: content.encode() for name, content in zip(SUMMARY, contents, strict=True)})


def _identity(output: Path) -> str:
    """The digest of a file, or of the manifest of a folder. Raises OSError."""
    file = output / MANIFEST if output.is_dir() else output
    return str(digest(file)["sha256"])


def read_output(path: Path) -> dict:
    """A JSON file of a step's output. Raises ArtifactError."""
    try:
        return load_json(path)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be read: {error}") from error
