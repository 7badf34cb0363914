"""What is begun on a disk and not yet ended, so that the next command completes it or takes it back.

An operation makes its files in hidden folders and notes these in a record of the user's state folder. Several places
are renamed one after the other: before the first, a journal in the first hidden folder says which. Once that is there
the operation will be completed, without it it is taken back. A held lock says that its process is still at work.

Nobody's journal is followed blindly: one that no record of the user's names may speak of places beside its own folder
alone, and folders, records and journals have to be the user's own, and no links.
"""

import json
import os
import stat
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from idi_fast.storage import exchange, hidden
from idi_fast.storage.failures import OF_THE_DISK

FORMAT = "idi-fast-journal-1"
CHECKPOINT = ".checkpoint"
"""How the folder of an output's checkpoints ends, in which the output may be made."""
MOST = 1 << 24
"""Bytes of a record or journal that are read."""


class Step(NamedTuple):
    """A place; the hidden folder with what is to stand there; the identity of that; and how looked what stood there."""

    place: Path
    folder: Path
    new: hidden.Identity
    old: tuple | None

    @property
    def made(self) -> Path:
        """Where the new one is until it is put in place, and the old one after an exchange."""
        return self.folder / hidden.NEW / self.place.name

    @property
    def aside(self) -> Path:
        """Where the old one steps aside where there is no exchange."""
        return self.folder / hidden.OLD / self.place.name


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


class Record:
    """A line of JSON for each thing that an operation makes, written before it is made; `close` removes it.

    Where it cannot be written it is done without: the hidden folders are then found beside what they are for.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._handle = -1
        for folder in state_folders():
            try:
                if not os.path.isdir(folder):
                    os.makedirs(folder, mode=0o700, exist_ok=True)
                if not _is_private(folder):
                    continue
                while self._handle < 0:
                    self._open(folder / f"{hidden.free_path(folder).name[1:]}.jsonl")
                break
            except OSError:
                continue
        self.add("command", _command())

    def _open(self, path: Path) -> None:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        if hidden.lock(handle) is not False and os.path.lexists(path):
            self._path, self._handle = path, handle
        else:  # another command took it for an orphan before it was locked
            os.close(handle)

    def add(self, kind: str, *values: object) -> None:
        """Append a line. On a state folder that has become full the record ends there."""
        if self._handle >= 0:
            with suppress(OSError):
                os.write(self._handle, json.dumps([kind, *values]).encode("ascii") + b"\n")

    def close(self) -> None:
        """The operation has ended, and nothing is left of it."""
        if self._path is not None:
            handle, self._handle = self._handle, -1
            _remove_locked(self._path, handle)

    def leave(self) -> None:
        """The operation has ended, and the next command is to see to what is left of it."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _remove_locked(path: Path, handle: int) -> None:
    if os.name == "nt":  # where nothing is removed that is open
        os.close(handle)
        handle = -1
    with suppress(OSError):  # the next command sees to it
        os.unlink(path)
    if handle >= 0:
        os.close(handle)


def _is_private(folder: Path) -> bool:
    """Whether a folder is this user's own, and nobody else may write to it."""
    return hidden.owned(folder, stat.S_ISDIR) and (os.name == "nt" or not os.lstat(folder).st_mode & 0o022)


def _command() -> str:
    """What a user will know this process by."""
    program = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "python"
    if program in ("idi-fast", "idi-fast.exe", "__main__.py"):
        return " ".join(["idi-fast", *[argument for argument in sys.argv[1:2] if not argument.startswith("-")]])
    return program


def write(folder: Path, steps: Iterable[Step]) -> None:
    """Put the journal of an operation into its first hidden folder: from here on it will be completed."""
    about = {
        "format": FORMAT,
        "command": _command(),
        "steps": [[str(step.place), str(step.folder), step.new, step.old] for step in steps],
    }
    temporary = folder / f"{hidden.JOURNAL}.tmp"
    with open(temporary, "x", encoding="ascii") as file:
        json.dump(about, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, folder / hidden.JOURNAL)
    sync_folder(folder)


def take_step(step: Step, *, at_once: bool = False) -> None:
    """Put the new one in its place: at once, or in two renames with the old one aside.

    at_once: raise Unsupported where that takes more than one step. Raises FileExistsError where something else stands
    there, OSError; what stood there is then in `step.made` or `step.aside`, if not in its place.
    """
    if step.old is None:
        exchange.rename_new(step.made, step.place, at_once=at_once)
        return
    displaced = step.made
    try:
        exchange.exchange(step.made, step.place)
    except exchange.Unsupported:
        if at_once:
            raise
        displaced = step.aside
        os.rename(step.place, displaced)
        exchange.rename_new(step.made, step.place)
    if hidden.appearance(displaced) != step.old:
        raise FileExistsError(f"{step.place} was changed meanwhile")


def take_back(step: Step) -> bool:
    """Whether all is at the place as it was, wherever the step was interrupted."""
    stands = hidden.identity(step.place)
    try:
        if stands == step.new:
            if os.path.lexists(step.made):  # what was exchanged for it
                exchange.exchange(step.made, step.place)
            else:
                os.rename(step.place, step.made)
        if os.path.lexists(step.aside):
            exchange.rename_new(step.aside, step.place)
    except OSError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where the system and the disk can do that for folders."""
    if os.name != "posix":  # Windows cannot open folders
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # one may write there, but not list
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno in OF_THE_DISK:
            raise
    finally:
        os.close(handle)


def settle(say: Callable[[str], None]) -> None:
    """Complete or take back what processes that are gone had begun, by the user's records; `say` it, a sentence each.

    Cheap where there is nothing to do, which is nearly always.
    """
    for folder in state_folders():
        try:
            if not _is_private(folder):
                continue
            records = [Path(entry.path) for entry in os.scandir(folder) if entry.name.endswith(".jsonl")]
        except OSError:
            continue
        for path in sorted(records):
            _settle_record(path, say)


def _settle_record(path: Path, say: Callable[[str], None]) -> None:
    try:
        if not hidden.owned(path):
            return
        handle = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return
    if not hidden.lock(handle):
        os.close(handle)
        return
    found: dict[str, list] = {}
    try:
        for line in os.read(handle, MOST).splitlines():
            with suppress(ValueError):  # the last line of a process that was killed while writing it
                kind, *values = json.loads(line)
                found.setdefault(kind, []).append(values)
        folders = [Path(folder) for (folder,) in found.get("folder", ())]
        command = found.get("command", [["process"]])[0][0]
        placed = [Path(place) for place, new in found.get("place", ()) if hidden.identity(Path(place)) == tuple(new)]
    except (OSError, ValueError, TypeError, IndexError):  # no record of ours: it must not stand in any command's way
        os.close(handle)
        return
    there = [folder for folder in folders if os.path.lexists(folder)]
    if settle_folders(there, command, say, recorded=True, placed=placed):
        for (parent,) in reversed(found.get("parent", ())):
            with suppress(OSError):  # it is not empty
                os.rmdir(parent)
        _remove_locked(path, handle)
    else:
        os.close(handle)


def settle_beside(folder: Path, say: Callable[[str], None] | None = None) -> None:
    """The same for hidden folders in a folder that is about to be read or written, whether or not a record names them.

    say: by default a warning of the logger "idi_fast".
    """
    for path in hidden.within(folder):
        settle_folders([path], None, say or _log)


def _log(text: str) -> None:
    import logging

    logging.getLogger("idi_fast").warning("note: %s", text)


def settle_folders(
    folders: list[Path], command: str | None, say: Callable[[str], None], *, recorded: bool = False,
    placed: Iterable[Path] = (),
) -> bool:  # fmt: skip
    """Complete or take back the operation that made these hidden folders; False where it goes on or is not ours."""
    if not all(hidden.is_ours(folder) for folder in folders):
        return False
    locks: list[int] = []
    try:
        for folder in folders:
            if os.path.lexists(folder / hidden.LOCK):
                locks.append(os.open(folder / hidden.LOCK, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)))
                if not hidden.lock(locks[-1]) or not os.path.lexists(folder / hidden.LOCK):
                    return False
            elif not os.listdir(folder):  # one that is just being made or removed, or was at a kill
                os.rmdir(folder)
            elif not recorded:
                _return_old(folder)
        folders = [folder for folder in folders if os.path.lexists(folder)]
        journals = [folder for folder in folders if os.path.lexists(folder / hidden.JOURNAL)]
        done = list(placed)
        for folder in journals:
            steps, command = _read(folder, folders if recorded else None)
            kept = [_complete(step) for step in steps]
            done += [step.place for step, other in zip(steps, kept, strict=True) if other is None]
            for step, other in zip(steps, kept, strict=True):
                if other is not None:
                    say(f"{step.place} was changed after an interrupt; what was to stand there is now {other}")
            for parent in {step.place.parent for step in steps}:
                sync_folder(parent)
            os.unlink(folder / hidden.JOURNAL)
        for folder in folders:
            hidden.remove(folder)
        if folders:
            begun = f"what an interrupted `{command}` had begun" if command else "what an interrupted run had begun"
            said = (
                f"completed {begun}: {_several(list(dict.fromkeys(done)))}"
                if done
                else f"took back {begun} in {folders[0].parent}"
            )
            say(said)
    except (OSError, ValueError):
        return False
    finally:
        for handle in locks:
            os.close(handle)
    return True


def _several(places: list[Path]) -> str:
    if len(places) == 1:
        return str(places[0])
    parents = sorted({str(place.parent) for place in places})
    return f"{len(places)} files and folders in {', '.join(parents)}"


def _read(folder: Path, folders: list[Path] | None) -> tuple[list[Step], str]:
    """The steps of a journal and whose they are. Raises ValueError where it is none that may be followed.

    folders: hidden ones of the user's record; None where there is no record, and then only names beside the journal's
    own folder count, wherever that has been moved.
    """
    path = folder / hidden.JOURNAL
    if not hidden.owned(path) or os.path.getsize(path) > MOST:
        raise ValueError(f"{path} is no journal")
    try:
        about = json.loads(path.read_bytes())
        steps = [
            Step(Path(place), Path(owner), tuple(new), None if old is None else tuple(old))
            for place, owner, new, old in about["steps"]
        ]
        if about["format"] != FORMAT:
            raise ValueError(f"{path} is of another version")
        command = str(about["command"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is no journal") from error
    if folders is None:
        if any(step.folder.name != folder.name for step in steps):
            raise ValueError(f"{path} speaks of other folders, and no record of this user does")
        folders, steps = (
            [folder],
            [step._replace(place=folder.parent / step.place.name, folder=folder) for step in steps],
        )
    for step in steps:
        home, name = step.folder.parent, step.place.name
        beside = home in (step.place.parent, step.place.with_name(f"{name}{CHECKPOINT}"))
        if step.folder not in folders or not beside or name in ("", "..") or hidden.NAME.fullmatch(name):
            raise ValueError(f"{path} speaks of places that are not beside it")
    return steps, command


def _complete(step: Step) -> Path | None:
    """Take a step if that has not been done; return where the new one is now if something else stands in its place."""
    stands, made = hidden.identity(step.place), hidden.identity(step.made)
    if stands == step.new:
        return None
    if made != step.new:
        raise ValueError(f"what was made for {step.place} is gone")
    if stands is None or (step.old is None and _is_empty(step.place)):
        if stands is not None:
            os.rmdir(step.place)
        exchange.rename_new(step.made, step.place)
        return None
    if hidden.appearance(step.place) == step.old:
        take_step(step)
        return None
    return keep(step.made, step.place)


def _is_empty(path: Path) -> bool:
    return os.path.isdir(path) and not os.path.islink(path) and not os.listdir(path)


def keep(made: Path, place: Path) -> Path:
    """Put what was made for a place that another process took under a free name beside it. Raises OSError."""
    number = 2
    while True:
        stem, suffix = (place.name, "") if made.is_dir() else (place.stem, place.suffix)
        free = place.with_name(f"{stem}-{number}{suffix}")
        try:
            exchange.rename_new(made, free)
            return free
        except FileExistsError:
            number += 1


def _return_old(folder: Path) -> None:
    """What earlier versions had put aside, which renamed without a journal, goes back to its place if that is free."""
    old = folder / hidden.OLD
    if os.path.isdir(old) and not os.path.islink(old):
        for name in os.listdir(old):
            with suppress(FileExistsError):
                exchange.rename_new(old / name, folder.parent / name)
