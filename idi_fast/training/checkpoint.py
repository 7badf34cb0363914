"""Checkpoints: everything a training run resumes from, kept beside its output until that exists."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import BinaryIO, NamedTuple

import numpy as np

from idi_fast.errors import ArtifactError, InputError
from idi_fast.storage.syncing import sync_folder
from idi_fast.training.episode_log import EpisodeRewards
from idi_fast.training.run_description import check_same_run

FORMAT = "idi-fast-checkpoint-1"
REWARDS = "rewards.f8"
POPULATION = "population.json"
ROW = "row.json"
KEPT = 2
DIGEST_BYTES = 32


SAVING_RUNS: set["Checkpoints"] = set()
"""The checkpoints of runs in training: these save themselves when cancelled, so whoever ends this process must wait."""


@dataclass(frozen=True)
class Every:
    """How often to save: after this many seconds or after this many episodes; the other is None."""

    seconds: float | None = None
    episodes: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Every":
        """From text: a time as 30s, 5m or 2h, or a plain number of episodes; InputError for anything else."""
        match = re.fullmatch(r"([0-9]{1,9})([smh]?)", text)
        if match is None or not int(match[1]):
            raise InputError(
                f"`checkpoint_every` is {text!r}; expected a time such as 30s, 5m or 2h, or a number of "
                "episodes, from 1 to 999999999"
            )
        number = int(match[1])
        if not match[2]:
            return cls(episodes=number)
        return cls(seconds=number * {"s": 1.0, "m": 60.0, "h": 3600.0}[match[2]])


class Position(NamedTuple):
    """How far a run is: tape rows learnt from, episodes ended, seconds spent in training."""

    rows: int = 0
    episodes: int = 0
    seconds: float = 0.0


class Checkpoints:
    """The two latest checkpoints of one run and its log of episode rewards, in a folder; a context manager.

    folder: created if necessary; nobody else may write there meanwhile (see `checkpoint_folder`). every: when a
    checkpoint is due (None: never). resume: whether to continue from what is there rather than begin anew. note: called
    with what the user should know.
    """

    def __init__(
        self,
        folder: Path,
        every: Every | None = None,
        *,
        resume: bool = True,
        note: Callable[[str], None] = lambda text: None,
    ):
        self._folder = folder
        self._every = Every() if every is None else every
        self._resume = resume
        self._note = note
        self._run: dict = {}

    def __enter__(self) -> "Checkpoints":
        if self._resume and (self._folder / POPULATION).exists():
            raise InputError(f"{self._folder} holds the checkpoints of a population; resume it with its `seeds`")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = open(self._folder / REWARDS, "a+b")
        self.rewards = EpisodeRewards(self._file)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @contextmanager
    def saving(self) -> Iterator[None]:
        """During the block the run is one of `SAVING_RUNS`."""
        SAVING_RUNS.add(self)
        try:
            yield
        finally:
            SAVING_RUNS.discard(self)

    def restore(self, run: dict, state: dict[str, np.ndarray]) -> Position:
        """Copy the newest sound checkpoint into the arrays of `state` and return its position; without one that of row
        0.

        run: see `describe_run`. Raises InputError if the checkpoint is of another run, ArtifactError if there are
        checkpoints, but none that is sound.
        """
        self._run = run
        paths, position = checkpoint_paths(self._folder), Position()
        if not self._resume:
            discard(self._folder)
        elif paths:
            position = self._restore(paths, state)
        else:
            self._note("there is no checkpoint yet; training starts from the beginning")
        self.rewards.truncate(position.episodes)
        self._saved, self._saved_at = position, monotonic()
        return position

    def _restore(self, paths: list[Path], state: dict[str, np.ndarray]) -> Position:
        for number, path in enumerate(paths):
            try:
                with open(path, "rb") as file:
                    header = _read_header(file, path)
                    check_same_run(self._run, header["run"], path)
                    position = Position(**header["position"])
                    if not self.rewards.begins_with(position.episodes, header["rewards_crc32"]):
                        raise _Damaged(f"{REWARDS} beside it was changed")
                    _read_arrays(file, header["arrays"], state, path)
            except _Damaged as damage:
                older = "going on from the one before" if path != paths[-1] else "there is no other"
                self._note(f"the checkpoint {path} is damaged ({damage}); {older}")
            else:
                _remove(paths[:number])
                return position
        raise ArtifactError(
            f"no checkpoint in {self._folder} is sound; `force=True` without `resume` discards them and starts anew"
        )

    def due(self, episodes: int) -> bool:
        """Whether a checkpoint is due after this many episodes."""
        every = self._every
        if every.seconds is not None:
            return monotonic() - self._saved_at >= every.seconds
        return every.episodes is not None and episodes - self._saved.episodes >= every.episodes

    def save(self, position: Position, state: dict[str, np.ndarray]) -> None:
        """Save `state` unless that has been done at this row; it appears whole or not at all. Raises OSError."""
        if position.rows == self._saved.rows:
            return
        self.rewards.sync()
        header = {
            "format": FORMAT,
            "run": self._run,
            "position": position._asdict(),
            "rewards_crc32": self.rewards.checksum(),
            "arrays": [[name, array.dtype.str, list(array.shape)] for name, array in state.items()],
        }
        temporary = self._folder / ".checkpoint"
        with open(temporary, "wb") as file:
            _write(file, header, state)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._folder / f"checkpoint_{position.rows:018d}")
        sync_folder(self._folder)
        _remove(checkpoint_paths(self._folder)[KEPT:])
        self._saved, self._saved_at = position, monotonic()


class _Damaged(Exception):
    """A checkpoint differs from what was written."""


def checkpoint_paths(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the newest first."""
    return sorted(folder.glob("checkpoint_*"), reverse=True)


def discard(folder: Path) -> None:
    """Remove the checkpoints of a run or of a population from a folder; the log of rewards stays, since it is open."""
    _remove([*checkpoint_paths(folder), *folder.glob(POPULATION)])
    for path in folder.glob("seed_*"):
        shutil.rmtree(path)


def recorded_seed(folder: Path) -> int | None:
    """The seed of the newest sound checkpoint in a folder, None if there is none."""
    for path in checkpoint_paths(folder):
        try:
            with open(path, "rb") as file:
                return int(_read_header(file, path)["run"]["seed"])
        except _Damaged:
            continue
    return None


# A checkpoint is a line of JSON, the bytes of its arrays one after the other, and the SHA-256 of both.


def _write(file: BinaryIO, header: dict, state: dict[str, np.ndarray]) -> None:
    sha256 = hashlib.sha256()
    arrays = (np.ascontiguousarray(array).reshape(-1).view(np.uint8).data for array in state.values())
    for part in (json.dumps(header).encode() + b"\n", *arrays):
        sha256.update(part)
        file.write(part)
    file.write(sha256.digest())


def _read_header(file: BinaryIO, path: Path) -> dict:
    """The header of an undamaged checkpoint; the file is then positioned at its first array."""
    left, sha256 = os.fstat(file.fileno()).st_size - DIGEST_BYTES, hashlib.sha256()
    while left > 0 and (block := file.read(min(left, 1 << 20))):
        sha256.update(block)
        left -= len(block)
    if left or file.read() != sha256.digest():
        raise _Damaged("its checksum differs")
    file.seek(0)
    header = json.loads(file.readline())
    if header["format"] != FORMAT:
        raise InputError(f"{path} has the format {header['format']!r}; expected {FORMAT!r}")
    return header


def _read_arrays(file: BinaryIO, layout: list, state: dict[str, np.ndarray], path: Path) -> None:
    expected = [[name, array.dtype.str, list(array.shape)] for name, array in state.items()]
    if layout != expected:
        odd = next(one for one in [*layout, *expected] if one not in layout or one not in expected)
        raise ArtifactError(f"{path} does not fit this version: the array {odd[0]} differs")
    for array in state.values():
        array[...] = np.frombuffer(file.read(array.nbytes), array.dtype).reshape(array.shape)


def _remove(paths: list[Path]) -> None:
    for path in paths:
        path.unlink()
