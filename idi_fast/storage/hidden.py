"""Hidden folders beside the places of outputs, and locks that show whether a live process is using one."""

import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from idi_fast.file_lock import lock

NAME = re.compile(r"\.idi-fast-[0-9a-z_]{8,12}")
"""Names of the folders; in earlier versions they ended in eight letters."""
LOCK, NEW, OLD, JOURNAL, SCRATCH = "lock", "new", "old", "journal.json", "scratch"
PARTS = {LOCK, NEW, OLD, JOURNAL, f"{JOURNAL}.tmp", SCRATCH, "run", "log"}
"""Everything that may be in one; the last two are of earlier versions."""

CHECKPOINT = ".checkpoint"
"""Suffix of the folder of an output's checkpoints, in which the output may be made."""
OPEN_STAYS = os.name == "nt"
"""Whether open files cannot be removed."""

Identity = tuple[int, int]
"""Device and number of a file or folder, which stay through renames."""


def free_path(parent: Path) -> Path:
    """The path of a hidden folder that does not exist yet."""
    return parent / f".idi-fast-{os.urandom(6).hex()}"


def make(path: Path) -> int | None:
    """Make a hidden folder; return the descriptor that holds its lock, None if it had to be removed at once.

    Raises OSError.
    """
    os.mkdir(path, 0o700)
    try:
        handle = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        # A process that cleans up treats a folder without a held lock as an orphan.
        if lock(handle) is not False and os.path.lexists(path / LOCK):
            return handle
        os.close(handle)
    except FileNotFoundError:
        pass
    except OSError:  # a full disk accepts a folder but no file
        os.rmdir(path)
        raise
    return None


def remove(path: Path) -> None:
    """Remove a hidden folder, its lock last. Raises OSError."""
    for name in os.listdir(path):
        if name != LOCK:
            part = path / name
            shutil.rmtree(part) if part.is_dir() and not part.is_symlink() else part.unlink()
    (path / LOCK).unlink(missing_ok=True)
    path.rmdir()


def is_ours(path: Path) -> bool:
    """Whether a folder is one of ours by name, owner and content; links are not."""
    try:
        if not NAME.fullmatch(path.name) or not owned(path, stat.S_ISDIR):
            return False
        return set(os.listdir(path)) <= PARTS
    except OSError:
        return False


def owned(path: Path, kind=stat.S_ISREG) -> bool:
    """Whether a path is a file (or `kind`) of this user, and no link. Raises OSError."""
    about = os.lstat(path)
    return kind(about.st_mode) and (os.name == "nt" or about.st_uid == os.geteuid())


def within(folder: Path) -> list[Path]:
    """The folders in a folder whose names are those of hidden folders."""
    try:
        with os.scandir(folder) as entries:
            return [
                folder / entry.name
                for entry in entries
                if NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            ]
    except OSError:
        return []


def identity(path: Path) -> Identity | None:
    """What is at a path, None if nothing is."""
    about = _stat(path)
    return None if about is None else (about.st_dev, about.st_ino)


def appearance(path: Path) -> tuple | None:
    """What is at a path, with marks of all its content: a difference at the end means that it was changed."""
    about = _stat(path)
    if about is None:
        return None
    if not stat.S_ISDIR(about.st_mode):
        return about.st_dev, *_marks(about)
    import hashlib  # here, since most commands do not need it

    # Not the bytes of files: they may be of any length, or block until there is a writer.
    marks = hashlib.sha256()
    for part in sorted(content(path)):
        inner = _stat(part)
        seen = None if inner is None else inner.st_ino if stat.S_ISDIR(inner.st_mode) else _marks(inner)
        marks.update(f"{os.path.relpath(part, path)!r} {seen}\n".encode("utf-8", "surrogateescape"))
    return about.st_dev, about.st_ino, marks.hexdigest()


def content(folder: str | Path) -> Iterator[str]:
    """The paths of all files, links and folders below a folder, except hidden folders of ours.

    What disappears meanwhile is left out. Raises OSError, also for a folder that cannot be listed.
    """
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder and is_ours(Path(entry.path)):
                continue
            yield entry.path
            if is_folder:
                yield from content(entry.path)


def _marks(about: os.stat_result) -> tuple[int, int, int]:
    return about.st_ino, about.st_size, about.st_mtime_ns


def _stat(path: str | Path) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
