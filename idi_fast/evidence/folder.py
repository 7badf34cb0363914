"""Folders from others: no links are followed, nothing is run or unpickled; and files written to ours together."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from idi_fast.errors import EvidenceError, InputError, OutputError
from idi_fast.storage import hidden
from idi_fast.storage.failures import explained
from idi_fast.storage.files import MANIFEST
from idi_fast.storage.json_files import MAX_JSON, UnfitFile, read_regular
from idi_fast.storage.staging import Staging

MAX_FILES = 100_000
MAX_DEPTH = 16


def existing(folder: str | Path) -> Path:
    """The path of an existing folder. Raises InputError."""
    if not os.path.isdir(folder):
        raise InputError(f"{folder} is not a folder; expected an output of idi-fast")
    folder = Path(folder)
    if os.path.isdir(folder / MANIFEST):
        raise InputError(f"{folder / MANIFEST} is a folder; expected the manifest of an output of idi-fast")
    return folder


def safe_files(folder: Path) -> dict[str, int]:
    """All files below a folder by their paths with forward slashes, sorted, and their lengths in bytes.

    Hidden folders in which idi-fast is at work are left out. Raises EvidenceError for any link, for anything that is
    neither file nor folder, and for more than MAX_FILES.
    """
    found: dict[str, int] = {}
    waiting = [""]
    while waiting:
        parent = waiting.pop()
        if parent.count("/") > MAX_DEPTH:
            raise EvidenceError(f"{parent} is nested too deep; expected at most {MAX_DEPTH} folders in one another")
        with os.scandir(folder / parent) as entries:
            for entry in entries:
                name = f"{parent}{entry.name}"
                check_name(name, "the folder")
                mode = entry.stat(follow_symlinks=False)
                if stat.S_ISLNK(mode.st_mode):
                    raise EvidenceError(f"{name} is a link; links are not followed")
                if stat.S_ISDIR(mode.st_mode):
                    if hidden.is_ours(folder / name):
                        continue
                    waiting.append(f"{name}/")
                elif stat.S_ISREG(mode.st_mode):
                    found[name] = mode.st_size
                else:
                    raise EvidenceError(f"{name} is neither a file nor a folder")
                if len(found) > MAX_FILES:
                    raise EvidenceError(f"the folder holds more than {MAX_FILES:,} files")
    return dict(sorted(found.items()))


def left_out(folder: Path) -> list[str]:
    """The hidden folders that `safe_files` leaves out, by their paths with a trailing slash."""
    found = []
    for parent, folders, _ in os.walk(folder):
        ours = [name for name in folders if hidden.is_ours(Path(parent, name))]
        found += [f"{os.path.relpath(os.path.join(parent, name), folder).replace(os.sep, '/')}/" for name in ours]
        folders[:] = [name for name in folders if name not in ours]
    return sorted(found)


def check_name(name: str, where: str) -> None:
    """Raise EvidenceError unless a path stays in its folder and is written canonically."""
    parts = PurePosixPath(name).parts
    plain = "/".join(parts) == name and name not in ("", ".") and ".." not in parts and not name.startswith("/")
    foreign = "\\" in name or "\0" in name or name[1:2] == ":" or any("\ud800" <= letter <= "\udfff" for letter in name)
    if not plain or foreign:
        raise EvidenceError(f"{where} names {name[:80]!r}, which is no path within the folder")


def read_file(folder: Path, name: str, limit: int = MAX_JSON) -> bytes:
    """The bytes of a file; EvidenceError if it is missing, a link, or longer than `limit` bytes."""
    try:
        return read_regular(folder / name, limit, follow=False)
    except FileNotFoundError:
        raise EvidenceError(f"{name} is missing") from None
    except UnfitFile as error:
        raise EvidenceError(f"{name} {error.strerror}") from None
    except OSError as error:
        raise EvidenceError(f"{name} cannot be read: {error.strerror or error}") from error


def put_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put files into a folder, all or none.

    A top-level entry of the folder that contains one of the files is replaced as a whole. Raises OutputError.
    """
    for name in files:
        if os.path.isdir(folder / name):  # it would be deleted with its content
            raise OutputError(f"{folder / name} is a folder where a file must go; nothing was changed")
    with Staging(together=True) as staging:
        places = [folder / top for top in dict.fromkeys(PurePosixPath(name).parts[0] for name in files)]
        for place in places:
            staging.watch(place)
        for name, data in files.items():
            with explained(folder / name):
                top, *rest = PurePosixPath(name).parts
                made = staging.reserve(folder / top).joinpath(*rest)
                made.parent.mkdir(parents=True, exist_ok=True)
                made.write_bytes(data)
        staging.swap(places)
