"""The folder of a run: its kind, and its files, each compared with the manifest before it is read."""

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import polars as pl

from idi_fast.errors import ArtifactError, InputError, nearest
from idi_fast.reporting.formats import day, plural
from idi_fast.storage.files import check_digest
from idi_fast.storage.json_files import describe_unfit, load_json
from idi_fast.storage.tables import FrameTable, Table


@dataclass(frozen=True)
class ReportedRun:
    """A folder that idi-fast wrote, with a run.json."""

    folder: Path

    @classmethod
    def open(cls, folder: str | Path) -> "ReportedRun":
        """The run in a folder; ArtifactError if there is none."""
        folder = Path(folder)
        # os.path, since a Path's own tests raise where a name is too long.
        if os.path.isfile(folder):
            raise ArtifactError(f"{folder} is a file; expected the folder that a run wrote")
        if not os.path.isdir(folder):
            parent = folder.parent
            beside = [entry.name for entry in os.scandir(parent)] if os.path.isdir(parent) else []
            raise ArtifactError(
                f"no run at {folder}; expected a folder that `idi-fast train`, backtest or walkforward wrote."
                f"{nearest(folder.name, beside)}"
            )
        if not os.path.isfile(folder / "run.json"):
            _refuse_unfit(folder / "run.json")
            raise ArtifactError(f"{folder} holds no run.json; expected a folder that idi-fast wrote")
        return cls(folder)

    @property
    def name(self) -> str:
        """The folder's name, without its path."""
        return self.folder.resolve().name

    @cached_property
    def about(self) -> dict:
        """run.json."""
        return self.json("run.json")

    @property
    def kind(self) -> str:
        """The kind according to run.json."""
        return str(self.about.get("kind"))

    def has(self, name: str) -> bool:
        """Whether there is such a file. Raises ArtifactError if there is something else of this name."""
        if os.path.isfile(self.folder / name):
            return True
        _refuse_unfit(self.folder / name)
        return False

    def json(self, name: str) -> dict:
        """A JSON object; ArtifactError if it is missing, damaged or something else."""
        path = self._checked(name)
        try:
            found = load_json(path)
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{path} is damaged: {error}") from error
        if not isinstance(found, dict):
            raise ArtifactError(f"{path} holds {type(found).__name__} in place of an object")
        return found

    def table(self, name: str, columns: Collection[str], *, may_be_empty: bool = False) -> Table:
        """A table with rows and these columns; ArtifactError for anything else."""
        path = self.folder / name
        if not os.path.isfile(path):
            raise self._missing(name)
        table = Table.open(path)
        missing = [column for column in columns if column not in table.columns]
        if missing:
            raise ArtifactError(f"{path} has no column {missing[0]!r}; it has {', '.join(table.columns)}")
        if table.rows == 0 and not may_be_empty:
            raise ArtifactError(f"{path} has no rows; there is nothing to report")
        return table

    def _missing(self, name: str) -> ArtifactError:
        _refuse_unfit(self.folder / name)
        return ArtifactError(f"{self.folder} holds no {name}; the run is not whole")

    def _checked(self, name: str) -> Path:
        path = self.folder / name
        if not os.path.isfile(path):
            raise self._missing(name)
        check_digest(path)
        return path


@dataclass(frozen=True)
class ResultRun(ReportedRun):
    """A result in memory, as the run that its `save` would write; its tables are made when they are asked for.

    folder: a name, for errors; frames, texts: what makes the content of a file, by the file's name.
    """

    frames: Mapping[str, Callable[[], pl.DataFrame]] = field(default_factory=dict)
    texts: Mapping[str, Callable[[], dict]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the result is called."""
        return self.folder.name

    def has(self, name: str) -> bool:
        """Whether there would be such a file."""
        return name in self.frames or name in self.texts

    def json(self, name: str) -> dict:
        """The content of a JSON file."""
        return self.texts[name]()

    def table(self, name: str, columns: Collection[str], *, may_be_empty: bool = False) -> Table:
        """The rows of a table; InputError if there are none."""
        table = FrameTable.of(self.frames[name](), name)
        if table.rows == 0 and not may_be_empty:
            raise InputError(f"{self.name} has no rows of {name}; there is nothing to draw")
        return table


def _refuse_unfit(path: Path) -> None:
    """Raise ArtifactError for anything that is not a file."""
    if os.path.lexists(path):
        raise ArtifactError(f"{path} {describe_unfit(path)}")


def describe_training(about: dict) -> list[str]:
    """The bars of a training run, from its run.json, none for a simulated market; without those of an initial
    policy."""
    return [text for data in about["trained_on"][:1] for text in describe_data(data)]


def describe_data(data: dict) -> list[str]:
    """The data of a run, from `describe_history`: names of files, number of bars, first and last day."""
    names = sorted(Path(name).name for name in data["files"])
    files = [", ".join(names) if len(names) <= 3 else plural(len(names), "file")] if names else []
    days = [] if data["first_time"] is None else [f"{day(data['first_time'])} – {day(data['last_time'])}"]
    return [*files, plural(data["bars"], "bar"), *days]


def policy_of(run: ReportedRun) -> str:
    """The policy of a backtest, for the footer of a page."""
    policy = run.about["policy"]
    return f"Policy {policy['fingerprint'][:12]}, seed {policy['seed']}."


def made_by(run: ReportedRun) -> str:
    """The versions behind the numbers, for the footer of a page."""
    versions = run.about["versions"]
    others = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "idi_fast")
    return f"The run was made by idi-fast {versions['idi_fast']} with {others}."
