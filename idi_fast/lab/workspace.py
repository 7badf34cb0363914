"""The folder of a lab: what may be read and written, and nothing outside it."""

import os
import re
from pathlib import Path

from idi_fast.data.history import History
from idi_fast.data.loading import load_history
from idi_fast.data.sources import KINDS
from idi_fast.errors import InputError
from idi_fast.reporting.run_table import RunTable, list_runs

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Of a new run: a folder right in the lab's."""
MOST_DEPTH = 3
"""Folders below the lab's in which price histories are looked for."""
PATTERN = frozenset("*?[]")
"""Signs by which a name would be read as a pattern of others."""


class Workspace:
    """The folder of a lab. Names are relative to it, with forward slashes; root: the folder itself, without links."""

    def __init__(self, folder: str | Path) -> None:
        if not os.path.isdir(folder):
            raise InputError(f"{folder} is no folder; name one that exists, in which runs are kept")
        self.root = Path(os.path.realpath(folder))

    def inside(self, name: str) -> Path:
        """The path of a name. Raises InputError unless it is in the folder and no part of it is a link."""
        parts = name.split("/") if isinstance(name, str) and name != "." else []
        if name != "." and (not parts or any(part in ("", ".", "..") or _is_odd(part) for part in parts)):
            raise InputError(f"{name!r} is no name of anything in the folder")
        path = self.root
        for part in parts:
            path = path / part
            if os.path.islink(path):
                raise InputError(f"{name} leads through a link; the lab follows none")
        if Path(os.path.realpath(path)) != path:
            raise InputError(f"{name} is not in the folder")
        return path

    def histories(self) -> list[str]:
        """The names of files that may hold prices: tables and text, but for those in runs and hidden folders."""
        found = []
        for parent, inner, files in os.walk(self.root):
            here = Path(parent)
            below = here.relative_to(self.root)
            is_run = "run.json" in files or "manifest.json" in files or "steps.json" in files
            if is_run or len(below.parts) >= MOST_DEPTH:
                inner.clear()
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            if not is_run:
                found += [(below / name).as_posix() for name in files if _is_table(here / name)]
        return sorted(found)

    def history(self, name: str) -> History:
        """The bars of a file. Raises InputError for one that is not among `histories`, DataError as `load_history`."""
        path = self.inside(name)
        if name not in self.histories():
            raise InputError(f"there is no price history {name!r} in the folder")
        return load_history(path)

    def runs(self, sort: str = "name") -> RunTable:
        """The runs in the folder."""
        return list_runs(self.root, sort=sort)

    def run(self, name: str) -> Path:
        """The folder of a run. Raises InputError where there is none, or where it holds a link."""
        path = self.inside(name)
        if not os.path.isfile(path / "run.json"):
            raise InputError(f"there is no run {name!r} in the folder")
        for parent, inner, files in os.walk(path):
            if any(os.path.islink(os.path.join(parent, entry)) for entry in (*inner, *files)):
                raise InputError(f"{name} holds links; the lab follows none")
        return path

    def new_run(self, name: str) -> Path:
        """Where a new run of this name goes. Raises InputError for a name that is none, or that is taken."""
        if not isinstance(name, str) or not NAME.fullmatch(name) or name.endswith("."):
            raise InputError(
                f"the name is {name!r}; expected letters, digits, dots, dashes and underscores, at most 64"
            )
        path = self.inside(name)
        if os.path.lexists(path):
            raise InputError(f"{name} is there already; choose another name")
        return path

    def free_name(self) -> str:
        """A name for a new run."""
        number = 1
        while os.path.lexists(self.root / f"run-{number}") or os.path.lexists(self.root / f"run-{number}.checkpoint"):
            number += 1
        return f"run-{number}"


def _is_odd(part: str) -> bool:
    return "\\" in part or "\0" in part or ":" in part or bool(PATTERN & set(part))


def _is_table(path: Path) -> bool:
    is_named = path.name.lower().endswith(tuple(KINDS)) and not _is_odd(path.name) and not path.name.startswith(".")
    return is_named and path.is_file() and not path.is_symlink()
