"""Outputs appear whole or not at all: folders are made under a temporary name and renamed."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from idi_fast.errors import ArtifactError, OutputError
from idi_fast.json_files import load_json
from idi_fast.own_files import foreign_file

MANIFEST = "manifest.json"
TIMINGS = "timings.json"
"""The one file that two equal runs may differ in; no manifest lists it."""
LATER = "later"
"""In a manifest: files that the user's tools make in the folder; they go with it when it is replaced."""
REPLACED = "old"
"""Name of a replaced folder while it stands aside."""
BEST = "best"
"""The folder of a population's best agent."""


@contextmanager
def new_directory(
    target: str | Path, *, force: bool = False, inputs: Iterable[str | Path] = (), within: Path | None = None
) -> Iterator[Path]:
    """A folder to fill, which becomes `target` when the block ends well; on any exception nothing is left of it.

    It is made beside the target or, so that what a killed process leaves is found again, `within` a folder on the same
    disk; `clear_up` removes it.
    An existing target is refused before the block runs, unless it is an empty folder or, with `force`, an earlier
    output of idi-fast that holds none of the `inputs`. Raises OutputError; an OSError in writing becomes one.
    """
    target = Path(os.path.abspath(target))
    with explained(target):
        for path in inputs:
            if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(target)):
                raise OutputError(f"the output {target} would replace {path}, which is read; choose another name")
        check_replaceable(target, force)
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=unfinished_prefix(target), dir=within or target.parent))
    try:
        with explained(target):
            yield folder
            folder.chmod(0o777 & ~_umask())
            _swap(folder, target, within or target.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unfinished_prefix(target: Path) -> str:
    """How the name of a folder begins that is to become `target`."""
    return f".{target.name}-"


def check_replaceable(target: Path, force: bool) -> None:
    """Raise OutputError where an output may not take the target's place: see `new_directory`."""
    if not target.exists() and not target.is_symlink():
        return
    if not target.is_dir() or target.is_symlink():
        raise OutputError(f"the output {target} exists and is not a folder; choose another name")
    if not any(target.iterdir()):
        return
    if not force:
        raise OutputError(f"the output {target} already exists; --force replaces it")
    manifest = read_manifest(target)
    if manifest is None:
        raise OutputError(f"{target} holds something other than an output of idi-fast; --force will not replace it")
    names = [name for name in list_files(target) if name != MANIFEST]
    foreign = foreign_file(target, names, manifest["files"], manifest.get(LATER, ()))
    if foreign is not None:
        raise OutputError(f"{target} holds {foreign}; move it away first")


def read_manifest(folder: Path) -> dict | None:
    """The manifest of one of our outputs, None where there is none."""
    try:
        manifest = load_json(folder / MANIFEST)
    except (OSError, ValueError):
        return None
    ours = isinstance(manifest, dict) and "config_sha256" in manifest and isinstance(manifest.get("files"), dict)
    return manifest if ours else None


def list_files(folder: Path) -> list[str]:
    """All files below a folder, as sorted paths relative to it with forward slashes."""
    paths = (os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names)
    return sorted(os.path.relpath(path, folder).replace(os.sep, "/") for path in paths)


def refuse_population(folder: Path) -> None:
    """Raise ArtifactError if a folder holds a population, whose agents have folders of their own."""
    # os.path, since a Path's own tests raise where a name is too long.
    if os.path.isfile(folder / "summary.parquet") and os.path.isfile(folder / BEST / MANIFEST):
        raise ArtifactError(f"{folder} is a population of agents; give one of them, such as its best, {folder / BEST}")


def check_digest(path: Path) -> None:
    """Raise ArtifactError if a manifest beside the file says that it was another; without one it is taken as it is."""
    manifest = read_manifest(path.parent)
    if manifest is not None and path.name in manifest["files"] and digest(path) != manifest["files"][path.name]:
        raise ArtifactError(f"{path} is not the file that {MANIFEST} beside it describes: it was changed or damaged")


@contextmanager
def explained(target: Path) -> Iterator[None]:
    """Make an OSError in writing an OutputError about `target`; one about a file that was read stays as it is."""
    try:
        yield
    except OSError as error:
        if error.filename and not os.path.abspath(error.filename).startswith(os.path.abspath(target.parent)):
            raise
        raise OutputError(f"cannot write {target}: {error.strerror or error}; nothing there was changed") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _swap(folder: Path, target: Path, within: Path) -> None:
    if not target.exists():
        os.rename(folder, target)
        return
    # A non-empty folder cannot be renamed over; the old one steps aside and comes back if the new one cannot follow.
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=within))
    old = aside / REPLACED
    try:
        os.rename(target, old)
        os.rename(folder, target)
    except BaseException as error:
        if old.exists() and not target.exists():
            try:
                os.rename(old, target)
            except OSError:
                message = f"cannot write {target}: {error}; what stood there is now in {old}"
                raise OutputError(message) from error
        raise
    finally:
        if target.exists():
            shutil.rmtree(aside, ignore_errors=True)


def clear_up(folder: Path, target: Path) -> None:
    """Remove what a killed process left of `new_directory(target, within=folder)`; what it had replaced comes back."""
    for path in folder.glob(".*"):
        if (path / REPLACED).exists() and not target.exists():
            os.rename(path / REPLACED, target)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def write_json(path: Path, data: object) -> None:
    """Write JSON for people and tools: indent 2, a final newline, no NaN."""
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def digest(path: Path) -> dict[str, object]:
    """SHA-256 and length of a file, read in pieces."""
    sha256 = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            sha256.update(block)
        return {"sha256": sha256.hexdigest(), "bytes": file.tell()}
