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

MANIFEST = "manifest.json"
TIMINGS = "timings.json"
"""The one file that two equal runs may differ in; no manifest lists it."""


@contextmanager
def new_directory(target: str | Path, *, force: bool = False, inputs: Iterable[str | Path] = ()) -> Iterator[Path]:
    """A folder to fill, which becomes `target` when the block ends well; on any exception nothing is left of it.

    An existing target is refused before the block runs, unless it is an empty folder or, with `force`, an earlier
    output of idi-fast that holds none of the `inputs`. Raises OutputError; an OSError in writing becomes one.
    """
    target = Path(os.path.abspath(target))
    with _explained(target):
        for path in inputs:
            if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(target)):
                raise OutputError(f"the output {target} would replace {path}, which is read; choose another name")
        _check_replaceable(target, force)
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        with _explained(target):
            yield folder
            folder.chmod(0o777 & ~_umask())
            _swap(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_replaceable(target: Path, force: bool) -> None:
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
    foreign = set(list_files(target)) - set(manifest["files"]) - {MANIFEST, TIMINGS}
    if foreign:
        raise OutputError(f"{target} holds {min(foreign)}, which idi-fast did not write; move it away first")


def read_manifest(folder: Path) -> dict | None:
    """The manifest of one of our outputs, None where there is none."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None
    ours = isinstance(manifest, dict) and "config_sha256" in manifest and isinstance(manifest.get("files"), dict)
    return manifest if ours else None


def list_files(folder: Path) -> list[str]:
    """All files below a folder, as sorted paths relative to it with forward slashes."""
    paths = (os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names)
    return sorted(os.path.relpath(path, folder).replace(os.sep, "/") for path in paths)


def check_digest(path: Path) -> None:
    """Raise ArtifactError if a manifest beside the file says that it was another; without one it is taken as it is."""
    manifest = read_manifest(path.parent)
    if manifest is not None and path.name in manifest["files"] and digest(path) != manifest["files"][path.name]:
        raise ArtifactError(f"{path} is not the file that {MANIFEST} beside it describes: it was changed or damaged")


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.filename and not os.path.abspath(error.filename).startswith(str(target.parent)):
            raise  # about something that was read
        raise OutputError(f"cannot write {target}: {error.strerror or error}; nothing there was changed") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _swap(folder: Path, target: Path) -> None:
    if not target.exists():
        os.rename(folder, target)
        return
    # A non-empty folder cannot be renamed over; the old one steps aside and comes back if the new one cannot follow.
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    old = aside / "old"
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
