"""Records in the user's state folder: what each operation makes and where, so that the next command can settle it."""

import json
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

from idi_fast.file_lock import lock
from idi_fast.storage import hidden


def state_folders() -> list[Path]:
    """Where records are kept: the first of these that can be written to."""
    home = Path(os.path.expanduser("~"))
    if chosen := os.environ.get("IDI_FAST_STATE_DIR"):
        base = Path(chosen)
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "idi-fast" / "state"
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support" / "idi-fast"
    else:
        base = Path(os.environ.get("XDG_STATE_HOME") or home / ".local" / "state") / "idi-fast"
    # Not `tempfile.gettempdir`, which writes a file to find out, and fails on a full disk.
    temporary = os.environ.get("TMPDIR") or os.environ.get("TEMP") or "/tmp"
    user = os.environ.get("USERNAME", "user") if os.name == "nt" else os.geteuid()
    return [Path(os.path.abspath(base)) / "open", Path(temporary) / f"idi-fast-state-{user}"]


def found() -> list[Path]:
    """The records of processes that are at work or were killed."""
    paths: list[Path] = []
    for folder in state_folders():
        with suppress(OSError):
            if is_private(folder):
                paths += sorted(Path(entry.path) for entry in os.scandir(folder) if entry.name.endswith(".jsonl"))
    return paths


class Record:
    """A line of JSON for each thing that an operation makes, written before it is made; `close` removes it.

    If it cannot be written the operation does without: the hidden folders are then found beside their outputs.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._handle = -1
        for folder in state_folders():
            try:
                if not os.path.isdir(folder):
                    os.makedirs(folder, mode=0o700, exist_ok=True)
                if not is_private(folder):
                    continue
                while self._handle < 0:
                    self._open(folder / f"{hidden.free_path(folder).name[1:]}.jsonl")
                break
            except OSError:
                continue
        self.add("command", command())

    def _open(self, path: Path) -> None:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        if lock(handle) is not False and os.path.lexists(path):
            self._path, self._handle = path, handle
        else:  # another command considered it an orphan before it was locked
            os.close(handle)

    def add(self, kind: str, *values: object) -> None:
        """Append a line. If the state folder is full the record ends there."""
        if self._handle >= 0:
            with suppress(OSError):
                os.write(self._handle, json.dumps([kind, *values]).encode("ascii") + b"\n")

    def close(self) -> None:
        """The operation has ended, and nothing is left of it."""
        if self._path is not None:
            handle, self._handle = self._handle, -1
            remove_locked(self._path, handle)

    def leave(self) -> None:
        """The operation has ended, and the next command must settle what is left of it."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def remove_locked(path: Path, handle: int) -> None:
    """Remove a record whose lock is held, and release the lock."""
    if hidden.OPEN_STAYS:
        os.close(handle)
        handle = -1
    with suppress(OSError):  # the next command settles it
        os.unlink(path)
    if handle >= 0:
        os.close(handle)


def is_private(folder: Path) -> bool:
    """Whether a folder is owned by this user, and nobody else may write to it."""
    return hidden.owned(folder, stat.S_ISDIR) and (os.name == "nt" or not os.lstat(folder).st_mode & 0o022)


def command() -> str:
    """This process as the user knows it."""
    program = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "python"
    if program in ("idi-fast", "idi-fast.exe", "__main__.py"):
        return " ".join(["idi-fast", *[argument for argument in sys.argv[1:2] if not argument.startswith("-")]])
    return program
