"""Outputs appear whole or not at all: folders are made under a temporary name and renamed."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from idi_fast.errors import OutputError

MANIFEST = "manifest.json"


@contextmanager
def new_directory(target: str | Path, *, force: bool = False) -> Iterator[Path]:
    """A folder to fill, which becomes `target` when the block ends well; on any exception nothing is left of it.

    An existing target is refused before the block runs, unless it is an empty folder or, with `force`, an earlier
    output of idi-fast. Raises OutputError; an OSError inside the block becomes one.
    """
    target = Path(os.path.abspath(target))
    _check_replaceable(target, force)
    with _explained(target):
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
    if not (target / MANIFEST).is_file():
        raise OutputError(f"{target} holds something other than an output of idi-fast; --force will not replace it")


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
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
    try:
        os.rename(target, aside / "old")
        try:
            os.rename(folder, target)
        except OSError:
            os.rename(aside / "old", target)
            raise
    finally:
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
