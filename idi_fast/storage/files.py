"""Outputs appear whole or not at all: folders are made under a temporary name and renamed."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from idi_fast.errors import ArtifactError, OutputError
from idi_fast.storage import hidden
from idi_fast.storage.failures import explained
from idi_fast.storage.json_files import json_text, load_json, open_regular
from idi_fast.storage.own_files import foreign_file
from idi_fast.storage.staging import Staging

MANIFEST = "manifest.json"
TIMINGS = "timings.json"
"""The only file in which two equal runs may differ; no manifest lists it."""
LATER = "later"
"""In a manifest: files that the user's tools make in the folder; replacing the folder deletes them."""
BEST = "best"
"""The folder of a population's best agent."""
COMBINED = "combined"
"""That of the policy made of all of them."""


@contextmanager
def new_directory(
    target: str | Path, *, force: bool = False, inputs: Iterable[str | Path] = (), within: Path | None = None
) -> Iterator[Path]:
    """A folder to fill, which becomes `target` when the block ends well; after an exception nothing is left of it.

    It is made beside the target or, so that the remains of a killed process are found again, `within` a folder on the
    same disk. An existing target is refused before the block runs, unless it is an empty folder or, with `force`, an
    earlier output of idi-fast that holds none of the `inputs`. Raises OutputError; an OSError in writing becomes one,
    or a WriteError, as does a target that has changed by the end: see `Staging.swap`.
    """
    named, target = target, Path(os.path.abspath(output_path(target)))
    with Staging(within) as staging:
        staging.watch(target)
        with explained(target):
            check_place(named)
            check_kept(target, inputs)
            check_replaceable(target, force)
            folder = staging.reserve(target)
            folder.mkdir()
            yield folder
        staging.swap([target])


def output_path(place: object) -> Path:
    """A place to write to as a Path. Raises OutputError where it is none."""
    if not isinstance(place, str | Path):
        raise OutputError(f"the output is of the type {type(place).__name__}; expected a path")
    return Path(place)


def check_kept(target: Path, inputs: Iterable[str | Path]) -> None:
    """Raise OutputError if an output would replace something that is being read."""
    for path in inputs:
        if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(target)):
            raise OutputError(f"the output {target} would replace {path}, which is read; choose another name")


def check_place(place: str | Path) -> None:
    """Raise OutputError where no output may be: no name, the working directory, a root, within another output.

    Every output that a user can name is checked; what a command adds to an output of ours, such as a proof, is not, nor
    what is made in a hidden folder.
    """
    place = Path(place)
    absolute = Path(os.path.abspath(place))
    if absolute == absolute.parent or (os.path.exists(place) and os.path.samefile(place, ".")):
        found = "empty or the working directory" if place == Path() else f"{place}, the working directory or a root"
        raise OutputError(f"the output is {found}; expected a place of its own, for example my_agent")
    for parent in absolute.parents:
        if hidden.NAME.fullmatch(parent.name):
            return
        if read_manifest(parent) is not None:
            raise OutputError(
                f"the output {place} would lie in {parent}, an output of idi-fast that holds nothing but its own "
                "files; choose a place outside"
            )


def check_replaceable(target: Path, force: bool) -> None:
    """Raise OutputError if an output may not replace the target: see `new_directory`."""
    if not target.exists() and not target.is_symlink():
        return
    if not target.is_dir() or target.is_symlink():
        raise OutputError(f"the output {target} exists and is not a folder; choose another name")
    if not any(target.iterdir()):
        return
    # Whether it could be replaced is looked at first: a way out is only named where it leads somewhere.
    manifest = read_manifest(target)
    there = target if force else f"the output {target} already exists and"
    if manifest is None:
        remedy = "`force=True` will not replace it" if force else "choose another name"
        raise OutputError(f"{there} holds something other than an output of idi-fast; {remedy}")
    names = [name for name in list_files(target) if name != MANIFEST]
    foreign = foreign_file(target, names, manifest)
    if foreign is not None:
        raise OutputError(f"{there} holds {foreign}; move it away first")
    if not force:
        raise OutputError(f"the output {target} already exists; `force=True` replaces it")


def check_replaceable_file(target: Path, force: bool, what: str = "output") -> None:
    """Raise OutputError if a file may not replace the target: it replaces only files, and these only with `force`.
    what: its name in errors."""
    if not os.path.lexists(target):
        return
    if not os.path.isfile(target) or os.path.islink(target):
        raise OutputError(f"the {what} {target} exists and is not a file; choose another name")
    if not force:
        raise OutputError(f"the {what} {target} already exists; `force=True` replaces it")


def read_manifest(folder: Path) -> dict | None:
    """The manifest of one of our outputs, None if there is none."""
    try:
        manifest = load_json(folder / MANIFEST)
    except (OSError, ValueError):
        return None
    ours = isinstance(manifest, dict) and "config_sha256" in manifest and isinstance(manifest.get("files"), dict)
    return manifest if ours else None


def list_files(folder: Path) -> list[str]:
    """All files and links below a folder, except those in hidden folders of ours, as sorted relative paths with forward
    slashes. Raises OSError, also for a folder that cannot be listed."""
    found = [path for path in hidden.content(folder) if os.path.islink(path) or not os.path.isdir(path)]
    return sorted(os.path.relpath(path, folder).replace(os.sep, "/") for path in found)


def refuse_population(folder: Path) -> None:
    """Raise ArtifactError if a folder holds a population, whose agents have folders of their own."""
    # os.path, since a Path's own tests raise where a name is too long.
    if os.path.isfile(folder / "summary.parquet") and os.path.isfile(folder / BEST / MANIFEST):
        raise ArtifactError(f"{folder} is a population of agents; give one of them, such as its best, {folder / BEST}")


def check_digest(path: Path) -> None:
    """Raise ArtifactError if a manifest beside the file has another digest for it; without a manifest nothing is
    checked."""
    manifest = read_manifest(path.parent)
    if manifest is None or path.name not in manifest["files"]:
        return
    try:
        found = digest(path)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror}") from error
    if found != manifest["files"][path.name]:
        raise ArtifactError(f"{path} is not the file that {MANIFEST} beside it describes: it was changed or damaged")


def write_json(path: Path, data: object) -> None:
    """Write JSON into a folder under construction; `staging.install` puts a file into a folder of the user."""
    path.write_bytes(json_text(data).encode())


def digest(path: Path) -> dict[str, object]:
    """SHA-256 and length of a regular file, read in pieces. Raises OSError."""
    sha256 = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            sha256.update(block)
        return {"sha256": sha256.hexdigest(), "bytes": file.tell()}
