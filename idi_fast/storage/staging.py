"""Outputs that appear together or not at all: made in hidden folders beside their places, and renamed at the end."""

import errno
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from idi_fast.errors import OutputError, WriteError
from idi_fast.file_lock import lock
from idi_fast.storage import hidden, journal
from idi_fast.storage.exchange import Unsupported
from idi_fast.storage.failures import explained, failure
from idi_fast.storage.records import Record
from idi_fast.storage.settling import settle_beside
from idi_fast.storage.syncing import sync_file, sync_folder
from idi_fast.storage.unfinished import removing

PATIENCE = 10.0
"""Seconds to wait for the renames of another process."""


class Staging:
    """Files and folders under construction, each in a hidden folder beside its place; a context.

    What is at a place is remembered when the place is first named, and only that is ever replaced. When the context
    ends nothing is left but what has taken its place; the next command settles what a kill leaves (`journal`).

    inside: a folder on the same disk to hold the hidden folder instead; together: whether files are parts of the folder
    they are in, so that what cannot be put there is kept as a folder beside it.
    """

    def __init__(self, inside: Path | None = None, *, together: bool = False) -> None:
        self._inside, self._together = inside, together
        self._record: Record | None = None
        self._hidden: dict[Path, Path] = {}
        self._noted: list[Path] = []
        self._locks: list[int] = []
        self._parents: list[Path] = []
        self._before: dict[Path, tuple | None] = {}
        self._is_left = False
        self._ending = ExitStack()

    def __enter__(self) -> Self:
        self._ending.enter_context(removing(self._remove))
        return self

    def watch(self, place: Path, *before: tuple | None) -> None:
        """Remember what is at a place, or was there `before`, unless that has been done."""
        if place not in self._before:
            with explained(place):
                self._before[place] = before[0] if before else hidden.appearance(place)

    def reserve(self, place: Path) -> Path:
        """Where to make the content of `place`; nothing is there yet. Raises OutputError."""
        self.watch(place)
        return self._folder(place.parent, place) / hidden.NEW / place.name

    def scratch(self, parent: Path) -> Path:
        """An empty folder in a folder, for files that are removed when the context ends. Raises OutputError."""
        folder = self._folder(parent, parent / ".") / hidden.SCRATCH
        with explained(parent / "."):
            folder.mkdir()
        return folder

    def _folder(self, parent: Path, place: Path) -> Path:
        """The hidden folder of a place's parent, made if there is none yet."""
        if parent not in self._hidden:
            with explained(place):
                record = self._record = self._record or Record()
                for missing in reversed([path for path in (parent, *parent.parents) if not path.exists()]):
                    record.add("parent", os.path.abspath(missing))
                    try:
                        missing.mkdir()
                    except FileExistsError:  # another process was faster: the folder is its
                        record.add("parent of others", os.path.abspath(missing))
                        continue
                    self._parents.append(missing)
                home = Path(os.path.abspath(self._inside or parent))
                settle_beside(home, None if self._together else place)
                while parent not in self._hidden:
                    folder = hidden.free_path(home)
                    record.add("folder", str(folder))
                    self._noted.append(folder)
                    if (handle := hidden.make(folder)) is not None:
                        self._hidden[parent] = folder
                        self._locks.append(handle)
                for name in (hidden.NEW, hidden.OLD):
                    (self._hidden[parent] / name).mkdir()
        return self._hidden[parent]

    def swap(self, places: Iterable[Path]) -> None:
        """Put what was made for these reserved places there; the old content is removed.

        If one cannot be put there, or on an interrupt, all are rolled back, and the old content is back in its place.
        Raises OutputError; WriteError if the disk is full, or if a place has changed since it was first named: what was
        made is then kept under a free name, which the error tells.
        """
        places = list(places)
        for place in places:
            if not os.path.lexists(self._made(place)):
                raise OutputError(f"cannot write {place}: what was made for it is gone; nothing was changed")
        if not places:
            return
        self._ending.close()  # from here on the hidden folders may hold the old content
        at, begun = places[0], []
        try:
            for place in places:
                _clear(self._made(place))
            self._sync(places)
            with _held({place.parent for place in places}):
                steps = [self._step(place) for place in places]
                for step in steps:
                    self._note("step", *step.to_json())
                # Until all is done, or rolled back, the hidden folders may hold the old content, whatever interrupts.
                self._is_left = True
                is_alone = len(steps) == 1 and self._in_one_step(steps[0], begun)
                if not is_alone:
                    # From here on it will be completed, whatever happens to this process.
                    journal.write(steps[0].folder, steps)
                    for step in steps:
                        at = step.place
                        begun.append(step)
                        journal.take_step(step)
        except BaseException as error:
            before = self._take_back(begun, error)
            if isinstance(error, FileExistsError):
                raise self._overtaken(places, before) from error
            if isinstance(error, BlockingIOError):
                raise WriteError(f"{error.strerror}; {self._keep(places)}") from error
            if isinstance(error, OSError):
                raise failure(at, error, "everything is unchanged") from error
            raise
        for parent in {place.parent for place in places}:
            sync_folder(parent)
        (steps[0].folder / hidden.JOURNAL).unlink(missing_ok=True)
        self._note("done")
        self._is_left = False

    def _note(self, kind: str, *values: object) -> None:
        if self._record is not None:
            self._record.add(kind, *values)

    def _made(self, place: Path) -> Path:
        return self._hidden[place.parent] / hidden.NEW / place.name

    def _sync(self, places: list[Path]) -> None:
        """Flush what was made to the disk, so that a full one is noticed before anything is replaced, and no power
        failure loses both the old and the new. A single new output replaces nothing, and is as durable as the system's
        writes."""
        if len(places) == 1 and self._before[places[0]] is None:
            return
        for place in places:
            made = self._made(place)
            if not made.is_dir() or made.is_symlink():
                sync_file(made)
                continue
            for parent, _, names in os.walk(made):
                for name in names:
                    sync_file(Path(parent, name))
                sync_folder(Path(parent))
        for folder in {self._hidden[place.parent] for place in places}:
            sync_folder(folder / hidden.NEW)

    def _step(self, place: Path) -> journal.Step:
        """The step to take at a place; FileExistsError if it has changed since the beginning."""
        stands = hidden.appearance(place)
        if stands is not None and stands != self._before[place]:
            raise FileExistsError(f"{place} was changed meanwhile")
        folder = self._hidden[place.parent]
        new = hidden.identity(folder / hidden.NEW / place.name)
        if new is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder / hidden.NEW / place.name))
        return journal.Step(Path(os.path.abspath(place)), folder, new, stands)

    @staticmethod
    def _in_one_step(step: journal.Step, begun: list[journal.Step]) -> bool:
        """Whether a step could be taken at once; `begun` holds it while it may have been."""
        begun.append(step)
        try:
            journal.take_step(step, at_once=True)
        except Unsupported:
            begun.clear()
            return False
        return True

    def _take_back(self, begun: list[journal.Step], error: BaseException) -> list[Path]:
        """Roll steps back; return where the old content is, if not in its place. Raises WriteError."""
        stranded, kept = [], []
        for step in reversed(begun):
            try:
                kept.append(journal.take_back(step))
            except OSError:
                stranded.append(step)
        if stranded:
            places = ", ".join(str(step.place) for step in stranded)
            left = f"everything is unchanged but for {places}, which the next command of idi-fast completes"
            raise failure(begun[-1].place, error, left) from error
        for step in begun[:1]:
            (step.folder / hidden.JOURNAL).unlink(missing_ok=True)
            self._note("undone")
        self._is_left = False
        return [path for path in kept if path is not None]

    def _overtaken(self, places: list[Path], before: list[Path]) -> WriteError:
        """Keep what was made under free names, and report them; before: those of the old content."""
        changed = [place for place in places if hidden.appearance(place) != self._before[place]] or places
        also = f", and the old content in {', '.join(map(str, before))}" if before else ""
        return WriteError(
            f"{changed[0]} was made or changed by another process meanwhile, and stays as it is; "
            f"{self._keep(places)}{also}"
        )

    def _keep(self, places: list[Path]) -> str:
        """Put what was made under free names beside its places, and report them."""
        kept = []
        for parent, hidden_folder in self._hidden.items():
            made = [place for place in places if place.parent == parent]
            if made and (self._together or len(made) > 1) and all(self._made(place).is_file() for place in made):
                kept.append(journal.keep(hidden_folder / hidden.NEW, Path(os.path.abspath(parent))))
            else:
                kept += [journal.keep(self._made(place), place) for place in made]
        return f"what was made here is in {', '.join(map(str, kept))}"

    def __exit__(self, *error: object) -> None:
        self._ending.close()
        self._remove()

    def _remove(self) -> None:
        if hidden.OPEN_STAYS:
            self._unlock()
        if not self._is_left:
            for folder in self._hidden.values():
                with suppress(OSError):  # the next command settles it
                    hidden.remove(folder)
        self._unlock()
        for folder in reversed(self._parents):
            with suppress(OSError):  # it is not empty: something has been put there
                folder.rmdir()
        if self._record is not None and any(map(os.path.lexists, self._noted)):
            self._record.leave()
        elif self._record is not None:
            self._record.close()

    def _unlock(self) -> None:
        while self._locks:
            os.close(self._locks.pop())


def _clear(made: Path) -> None:
    """Remove the hidden folders in what was made: a failing disk may have left those in which its parts were made.

    Raises OSError.
    """
    for parent, names, _ in os.walk(made) if not made.is_symlink() else ():
        for folder in filter(hidden.is_ours, (Path(parent, name) for name in names)):
            hidden.remove(folder)


@contextmanager
def _held(folders: Iterable[Path]) -> Iterator[None]:
    """Lock folders against other processes that put outputs there, for the short time it takes.

    Raises BlockingIOError after PATIENCE. Systems and disks without such locks do without.
    """
    handles: list[int] = []
    try:
        # A folder with two names would wait for itself; a fixed order keeps two processes from waiting for each other.
        found = {(about.st_dev, about.st_ino): folder for folder in folders for about in [os.stat(folder)]}
        for _, folder in sorted(found.items()) if os.name == "posix" else ():
            if not os.access(folder, os.R_OK):  # one may write there, but not list
                break
            handles.append(os.open(folder, os.O_RDONLY))
            patience = time.monotonic() + PATIENCE
            while (free := lock(handles[-1])) is False:
                if time.monotonic() > patience:
                    raise BlockingIOError(errno.EWOULDBLOCK, f"another process holds {folder} and keeps it locked")
                time.sleep(0.01)
            if free is None:
                break
        yield
    finally:
        for handle in handles:
            os.close(handle)


def install(files: Mapping[Path, bytes], before: Mapping[Path, tuple | None] | None = None) -> None:
    """Put files in their places, all or none; other files there are left alone.

    before: what was there when the work began, as `hidden.appearance` says; by default what is there now. Raises
    OutputError, also if a folder is in a file's place, since it would be deleted with its content; WriteError.
    """
    with Staging(together=True) as staging:
        for place in files:
            staging.watch(place, *([before[place]] if before else []))
        for place, data in files.items():
            with explained(place):
                if place.is_dir():
                    raise OutputError(f"{place} is a folder where a file must go; nothing was changed")
                with open(staging.reserve(place), "xb") as file:
                    file.write(data)
        staging.swap(files)
