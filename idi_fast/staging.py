"""Outputs in several places that appear together or not at all: made beside these, and renamed at the end."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from idi_fast.errors import OutputError
from idi_fast.files import explained


class Staging:
    """Files and folders in the making, each in a hidden folder beside its place; a context.

    When it ends nothing is left but what has taken its place: neither hidden folders nor parents made for nothing.
    """

    def __init__(self) -> None:
        self._hidden: dict[Path, Path] = {}
        self._parents: list[Path] = []
        self._kept: set[Path] = set()

    def __enter__(self) -> Self:
        return self

    def reserve(self, place: Path) -> Path:
        """Where to make what is to stand at `place`; nothing is there yet. Raises OutputError."""
        parent = place.parent
        if parent not in self._hidden:
            with explained(place):
                missing = [folder for folder in (parent, *parent.parents) if not folder.exists()]
                self._parents += reversed(missing)
                parent.mkdir(parents=True, exist_ok=True)
                self._hidden[parent] = Path(tempfile.mkdtemp(prefix=".idi-fast-", dir=parent))
                for name in ("new", "old"):
                    (self._hidden[parent] / name).mkdir()
        return self._hidden[parent] / "new" / place.name

    def swap(self, places: Iterable[Path]) -> None:
        """Put what was made for these reserved places there; what stood there goes.

        If one cannot be put there, or on an interrupt, all are taken back, and what stood there stands there again.
        Raises OutputError.
        """
        places, begun = list(places), []
        for place in places:
            if not os.path.lexists(self._sides(place)[0]):
                raise OutputError(f"cannot write {place}: what was made for it is gone; nothing was changed")
        try:
            for place in places:
                begun.append(place)
                new, old = self._sides(place)
                if os.path.lexists(place):
                    os.rename(place, old)
                os.rename(new, place)
        except BaseException as error:
            stranded = [place for place in reversed(begun) if not self._take_back(place)]
            if isinstance(error, OSError) or stranded:
                reason = getattr(error, "strerror", None) or type(error).__name__
                raise OutputError(f"cannot write {begun[-1]}: {reason}; {self._what_is_left(stranded)}") from error
            raise

    def _sides(self, place: Path) -> tuple[Path, Path]:
        hidden = self._hidden[place.parent]
        return hidden / "new" / place.name, hidden / "old" / place.name

    def _take_back(self, place: Path) -> bool:
        """Whether all is at `place` as it was."""
        # Where an interrupt fell between two renamings shows from what lies where.
        new, old = self._sides(place)
        try:
            if not os.path.lexists(new):
                os.rename(place, new)
            if os.path.lexists(old):
                os.rename(old, place)
        except OSError:
            return False
        return True

    def _what_is_left(self, stranded: list[Path]) -> str:
        if not stranded:
            return "everything is as it was"
        parents = {place.parent for place in stranded}
        self._kept |= parents
        places, hidden = (", ".join(map(str, paths)) for paths in (stranded, [self._hidden[path] for path in parents]))
        return f"everything is as it was but for {places}; what stood there is in {hidden}"

    def __exit__(self, *error: object) -> None:
        for parent, hidden in self._hidden.items():
            if parent not in self._kept:
                shutil.rmtree(hidden, ignore_errors=True)
        for folder in reversed(self._parents):
            with suppress(OSError):  # it is not empty: something took its place there
                folder.rmdir()


def install(files: Mapping[Path, bytes]) -> None:
    """Put files in their places, all or none; what lies beside them is left alone.

    Raises OutputError, also where a folder stands in a file's place: it would go with all that it holds.
    """
    with Staging() as staging:
        for place, data in files.items():
            with explained(place):
                if place.is_dir():
                    raise OutputError(f"{place} is a folder where a file is to stand; nothing was changed")
                # Synced, so that a full disk shows before anything is replaced.
                with open(staging.reserve(place), "xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
        staging.swap(files)
