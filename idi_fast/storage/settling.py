"""Unfinished operations on a disk, so that the next command completes them or rolls them back.

An operation makes its files in hidden folders and notes these in a record of the user's state folder. With a journal
it is completed, without one it is rolled back. A held lock means that its process is still at work.

Every command follows only the user's own records. A folder without a record may be somebody else's: only a command that
writes that very output settles it, and folders and journals must be owned by the user, and must not be links.
"""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from idi_fast.file_lock import lock
from idi_fast.storage import exchange, hidden, journal, records
from idi_fast.storage.syncing import sync_folder

Say = Callable[[str], None]


def settle(say: Say) -> None:
    """Complete or roll back the unfinished operations of processes that are gone, by their records.

    say: is called with a sentence for each.
    """
    for path in records.found():
        _settle_record(path, say)


def _settle_record(path: Path, say: Say) -> None:
    try:
        if not hidden.owned(path):
            return
        handle = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return
    if not lock(handle):
        os.close(handle)
        return
    found: dict[str, list] = {}
    try:
        for line in os.read(handle, journal.MOST).splitlines():
            with suppress(ValueError):  # the last line of a process that was killed while writing it
                kind, *values = json.loads(line)
                found.setdefault(kind, []).append(values)
        folders = [Path(folder) for (folder,) in found.get("folder", ())]
        command = found.get("command", [["process"]])[0][0]
        steps = [journal.Step.from_json(values) for values in found.get("step", ())]
        others = [parent for (parent,) in found.get("parent of others", ())]
        parents = [parent for (parent,) in found.get("parent", ()) if parent not in others]
    except (OSError, ValueError, TypeError, IndexError):  # no record of ours: it must not block any command
        os.close(handle)
        return
    there = [folder for folder in folders if os.path.lexists(folder)]
    # An operation that was completed, or rolled back by its own process, left nothing but its hidden folders.
    ended = [step.place for step in steps] if "done" in found else [] if "undone" in found else None
    if _settle_folders(there, command, say, record=handle, steps=steps, ended=ended):
        for parent in reversed(parents):
            with suppress(OSError):  # it is not empty
                os.rmdir(parent)
        records.remove_locked(path, handle)
    else:
        os.close(handle)


def settle_beside(folder: Path, place: Path | None = None, say: Say | None = None) -> None:
    """The same for hidden folders in a folder that is about to be written to, whether or not a record names them.

    place: the output beside which they lie, and only its own are settled; None if the folder is the output. say: by
    default a warning of the logger "idi_fast".
    """
    for path in hidden.within(folder):
        with suppress(OSError):
            if place is None or place.name in (names := _names(path)) or not names:
                _settle_folders([path], None, say or _log, place=place)


def is_begun(folder: Path) -> bool:
    """Whether a folder holds a journal of an operation that has not ended, or may not have."""
    return any(os.path.lexists(path / hidden.JOURNAL) for path in hidden.within(folder))


def _names(folder: Path) -> set[str]:
    """The names that the content of a hidden folder has, or will have."""
    parts = [folder / part for part in (hidden.NEW, hidden.OLD)]
    names = {name for part in parts if os.path.isdir(part) and not os.path.islink(part) for name in os.listdir(part)}
    if os.path.lexists(folder / hidden.JOURNAL):
        with suppress(ValueError):
            names |= {step.place.name for step in journal.read(folder, None)[0]}
    return names


def _log(text: str) -> None:
    import logging

    logging.getLogger("idi_fast").warning("note: %s", text)


def _settle_folders(
    folders: list[Path],
    command: str | None,
    say: Say,
    *,
    record: int | None = None,
    steps: Sequence[journal.Step] = (),
    ended: list[Path] | None = None,
    place: Path | None = None,
) -> bool:
    """Complete or roll back the operation that made these hidden folders; False if it is still running or not ours.

    record: the descriptor of its record, if it has one; steps: those in the record; ended: the places of an operation
    that has been completed except for its hidden folders; place: as for `settle_beside`.
    """
    if not all(hidden.is_ours(folder) for folder in folders):
        return False
    locks: list[int] = []
    try:
        for folder in folders:
            if os.path.lexists(folder / hidden.LOCK):
                locks.append(os.open(folder / hidden.LOCK, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)))
                if not lock(locks[-1]) or not os.path.lexists(folder / hidden.LOCK):
                    return False
            elif not os.listdir(folder):  # one that is just being made or removed, or was at a kill
                os.rmdir(folder)
            elif record is None:
                _return_old(folder, place)
        folders = [folder for folder in folders if os.path.lexists(folder)]
        notes: list[str] = []
        if ended is None:
            ended, notes, command = _end(folders, command, steps, is_recorded=record is not None)
            for note in notes:
                say(note)
            if record is not None:
                with suppress(OSError):  # a full disk must not keep anything from being removed
                    os.write(record, b'["done"]\n' if ended else b'["undone"]\n')
        if hidden.OPEN_STAYS:
            _let_go(locks)
        for folder in folders:
            hidden.remove(folder)
        if folders and (ended or not notes):
            what = f"what an interrupted `{command}` had begun" if command else "what an interrupted run had begun"
            say(f"completed {what}: {_several(ended)}" if ended else f"took back {what} in {folders[0].parent}")
    except (OSError, ValueError):
        return False
    finally:
        _let_go(locks)
    return True


def _end(
    folders: list[Path], command: str | None, steps: Sequence[journal.Step], *, is_recorded: bool
) -> tuple[list[Path], list[str], str | None]:
    """Complete what has been begun; return the places that have their new content, messages for the user about the
    others, and the owner of all this."""
    journals = [folder for folder in folders if os.path.lexists(folder / hidden.JOURNAL)]
    if not journals:
        steps = [step for step in steps if step.folder in folders and hidden.identity(step.made) != step.new]
    elif is_recorded:
        steps, command = journal.read(journals[0], folders)
    else:
        steps, command = journal.read(journals[0], None)
        if any(step.new not in (hidden.identity(step.place), hidden.identity(step.made)) for step in steps):
            raise ValueError(f"{journals[0]} was copied: its journal names other files")
    notes = {step.place: journal.complete(step) for step in steps}
    for parent in filter(os.path.isdir, {step.place.parent for step in steps}):
        sync_folder(parent)
    for folder in journals:
        os.unlink(folder / hidden.JOURNAL)
    return [place for place, note in notes.items() if note is None], list(filter(None, notes.values())), command


def _let_go(locks: list[int]) -> None:
    while locks:
        os.close(locks.pop())


def _several(places: list[Path]) -> str:
    if len(places) == 1:
        return str(places[0])
    parents = sorted({str(place.parent) for place in places})
    return f"{len(places)} files and folders in {', '.join(parents)}"


def _return_old(folder: Path, place: Path | None) -> None:
    """Put back what earlier versions, which renamed without a journal, had moved aside, if its place is free."""
    old = folder / hidden.OLD
    if os.path.isdir(old) and not os.path.islink(old):
        for name in os.listdir(old):
            if place is not None and name != place.name:
                raise FileExistsError(f"{old / name} is of another output")
            with suppress(FileExistsError):
                exchange.rename_new(old / name, folder.parent / name)
