"""The steps of an operation that puts several things in their places: a journal lists them before the first is taken.

Once the journal exists the operation will be completed, without it it is rolled back (`settling`).
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Self

from idi_fast.storage import exchange, hidden
from idi_fast.storage.records import command
from idi_fast.storage.syncing import sync_folder

FORMAT = "idi-fast-journal-1"
MOST = 1 << 24
"""Bytes of a record or journal that are read."""


class Step(NamedTuple):
    """A place; the hidden folder of its new content; the identity of that; and the appearance of what was there."""

    place: Path
    folder: Path
    new: hidden.Identity
    old: tuple | None

    @property
    def made(self) -> Path:
        """Where the new content is until it is put in place, and the old one after an exchange."""
        return self.folder / hidden.NEW / self.place.name

    @property
    def aside(self) -> Path:
        """Where the old content is moved if there is no exchange."""
        return self.folder / hidden.OLD / self.place.name

    def to_json(self) -> list:
        """As values of JSON."""
        return [str(self.place), str(self.folder), self.new, self.old]

    @classmethod
    def from_json(cls, values: list) -> Self:
        """Raises ValueError, TypeError."""
        place, folder, new, old = values
        return cls(Path(place), Path(folder), tuple(new), None if old is None else tuple(old))


def write(folder: Path, steps: Iterable[Step]) -> None:
    """Put the journal of an operation into its first hidden folder: from here on it will be completed."""
    about = {"format": FORMAT, "command": command(), "steps": [step.to_json() for step in steps]}
    temporary = folder / f"{hidden.JOURNAL}.tmp"
    with open(temporary, "x", encoding="ascii") as file:
        json.dump(about, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, folder / hidden.JOURNAL)
    sync_folder(folder)


def read(folder: Path, folders: list[Path] | None) -> tuple[list[Step], str]:
    """The steps of the journal in a hidden folder and their owner; ValueError if it must not be followed.

    folders: hidden ones of the user's record; None if there is no record, and then only names beside the journal's
    own folder count, wherever that has been moved.
    """
    path = folder / hidden.JOURNAL
    if not hidden.owned(path) or os.path.getsize(path) > MOST:
        raise ValueError(f"{path} is not a journal")
    try:
        about = json.loads(path.read_bytes())
        steps = [Step.from_json(values) for values in about["steps"]]
        if about["format"] != FORMAT:
            raise ValueError(f"{path} is of another version")
        whose = str(about["command"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a journal") from error
    if folders is None:
        if any(step.folder.name != folder.name for step in steps):
            raise ValueError(f"{path} names other folders, and no record of this user does")
        folders, steps = [folder], [_moved(step, folder) for step in steps]
    for step in steps:
        name = step.place.name
        is_beside = step.folder.parent in (step.place.parent, _checkpoints(step.place))
        if step.folder not in folders or not is_beside or name in ("", "..") or hidden.NAME.fullmatch(name):
            raise ValueError(f"{path} names places that are not beside it")
    return steps, whose


def _checkpoints(place: Path) -> Path:
    return place.parent / f"{place.name}{hidden.CHECKPOINT}"


def _moved(step: Step, folder: Path) -> Step:
    """A step whose hidden folder was moved together with everything beside it.

    A folder of checkpoints under another name no longer belongs to the step's output, as `read` will find.
    """
    home = folder.parent.parent if step.folder.parent == _checkpoints(step.place) else folder.parent
    return step._replace(place=home / step.place.name, folder=folder)


def take_step(step: Step, *, at_once: bool = False) -> None:
    """Put the new content in its place: in one step, or in two renames with the old one aside.

    at_once: raise Unsupported if that takes more than one step. Raises FileExistsError if something else is there,
    OSError; the old content is then in `step.made` or `step.aside`, if not in its place.
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


def take_back(step: Step) -> Path | None:
    """Restore a place, wherever the step was interrupted. Raises OSError.

    If another process has taken the place meanwhile, the old content is kept under a free name, which is returned.
    """
    if hidden.identity(step.place) == step.new:
        if os.path.lexists(step.made):  # what was exchanged for it
            exchange.exchange(step.made, step.place)
        else:
            exchange.rename_new(step.place, step.made)
    old = _displaced(step)
    if old is None:
        return None
    try:
        exchange.rename_new(old, step.place)
    except FileExistsError:
        return keep(old, step.place)
    return None


def _displaced(step: Step) -> Path | None:
    """Where in the hidden folder the old content is, None if it is not there."""
    there = [path for path in (step.aside, step.made) if hidden.identity(path) not in (None, step.new)]
    return there[0] if there else None


def complete(step: Step) -> str | None:
    """Take a step unless that has been done; return a message for the user if it failed. Raises OSError."""
    place, stands = step.place, hidden.identity(step.place)
    if stands == step.new:
        return _keep_changed(step)
    if hidden.identity(step.made) != step.new:
        old = _displaced(step)
        kept = take_back(step)
        found = f"the old content is {kept or 'there again'}" if old else "there was no old content"
        return f"what an interrupted run had put at {place} was moved away; {found}"
    try:
        if stands is not None and step.old is None and _is_empty(place):
            os.rmdir(place)
            stands = None
        if stands is None:
            exchange.rename_new(step.made, place)
        elif hidden.appearance(place) == step.old:
            take_step(step)
        else:
            raise FileExistsError
    except FileExistsError:
        old, new = take_back(step), keep(step.made, place)
        before = f", and the old content is {old}" if old else ""
        return f"{place} was changed after an interrupt; the new content is now {new}{before}"
    return None


def _keep_changed(step: Step) -> str | None:
    """After a step: keep the old content if it was changed in the last moment."""
    old = _displaced(step)
    if old is None or step.old is None or hidden.appearance(old) == step.old:
        return None
    kept = keep(old, step.place)
    return f"{step.place} was changed in the moment in which it was replaced; what stood there is now {kept}"


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
