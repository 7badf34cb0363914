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

from idi_fast.agents.policy import Policy
from idi_fast.config.feature_columns import given_features
from idi_fast.config.plugins import plugin_hashes
from idi_fast.config.settings import TrainingConfig
from idi_fast.data.history import History
from idi_fast.data.in_sample import describe_history, versions
from idi_fast.data.panel import Panel, TrainingBars
from idi_fast.errors import ArtifactError, InputError, NumericalError, OutputError
from idi_fast.file_lock import lock
from idi_fast.kernels._jit import SOURCES_HASH
from idi_fast.storage import hidden
from idi_fast.storage.files import explained, list_files
from idi_fast.storage.settling import settle_beside
from idi_fast.storage.syncing import sync_folder
from idi_fast.storage.unfinished import removing
from idi_fast.training.episode_log import EpisodeRewards

FORMAT = "idi-fast-checkpoint-1"
REWARDS = "rewards.f8"
LOCK = "lock"
POPULATION = "population.json"
ROW = "row.json"
OURS = r"(seed_[^/]+/)?(checkpoint_\d+|rewards\.f8|lock|\.checkpoint|\.?(population|row)\.json)"
"""The files of a checkpoint folder; in that of a population each lane has a folder seed_<seed>."""
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


@contextmanager
def checkpoint_folder(out: str | Path, *, wanted: bool, resume: bool, force: bool) -> Iterator[Path | None]:
    """The folder `<out>.checkpoint`, locked against other processes (on POSIX); None if no checkpoints are `wanted`.

    It is removed when the block ends well, after a NumericalError, which the same run would only repeat, and after
    another exception if there is no checkpoint in it. An existing one is refused without `resume` or `force`; what a
    killed process left in it of its output is removed. Raises OutputError.
    """
    out = Path(os.path.abspath(out))
    folder = _folder_of(out)
    with explained(out):
        stands = os.path.lexists(folder)
        if stands:
            _check_ours(folder, out)
        elif wanted:
            folder.mkdir(parents=True)
    if not (stands or wanted):
        yield None
        return
    with _lock(folder):
        # Without a checkpoint: the run was killed before its first.
        if can_resume(out) and not (resume or force):
            raise OutputError(
                f"{folder} holds the checkpoints of an unfinished run; `resume=True` continues it, `force=True` "
                "discards it"
            )
        with explained(out):
            _clear_up(folder, out)

        def remove_unless_kept() -> None:
            # A hidden folder that is still there may hold the old content of `out`.
            if not can_resume(out) and not hidden.within(folder):
                shutil.rmtree(folder, ignore_errors=True)

        try:
            with removing(remove_unless_kept):
                yield folder if wanted else None
        except BaseException as error:
            if isinstance(error, NumericalError):
                discard(folder)
            remove_unless_kept()
            raise
        shutil.rmtree(folder, ignore_errors=True)


def can_resume(out: str | Path) -> bool:
    """Whether there is a checkpoint of a run, or of a lane, that was to write `out`."""
    return any(_folder_of(out).glob("**/checkpoint_*"))


def _folder_of(out: str | Path) -> Path:
    out = Path(os.path.abspath(out))
    return out.with_name(f"{out.name}{hidden.CHECKPOINT}")


def _check_ours(folder: Path, out: Path) -> None:
    if folder.is_symlink() or not folder.is_dir():
        raise OutputError(
            f"{folder} exists and is not a folder, but checkpoints go there; choose another name for `out`"
        )
    ours = re.compile(rf"{OURS}|{re.escape(_earlier_prefix(out))}[^/]+/.*")
    foreign = [name for name in list_files(folder) if not ours.fullmatch(name)]
    if foreign:
        raise OutputError(f"{folder} holds {foreign[0]}, which idi-fast did not write; move it away first")


def _clear_up(folder: Path, out: Path) -> None:
    """Remove what a killed process left in a folder of checkpoints besides these."""
    settle_beside(folder, out)
    for path in folder.glob(".*"):
        if path.is_file():
            path.unlink()
        elif path.name.startswith(_earlier_prefix(out)):
            # From an earlier version, which moved a replaced output there.
            if (path / hidden.OLD).exists() and not out.exists():
                os.rename(path / hidden.OLD, out)
            shutil.rmtree(path)


def _earlier_prefix(out: Path) -> str:
    """The prefix of the hidden folders of earlier versions."""
    return f".{out.name}-"


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Lock a folder of checkpoints against other processes, if the system has locks. Raises OutputError."""
    if hidden.OPEN_STAYS:  # the folder is removed while it is locked
        yield
        return
    with explained(folder):
        file = open(folder / LOCK, "ab")  # noqa: SIM115 -- closed below
    with file:
        # The lock ends with the process, however that ends.
        if lock(file.fileno()) is False:
            raise OutputError(f"another process is at work in {folder}; wait for it or choose another `out`")
        if not os.path.exists(folder / LOCK):
            raise OutputError(f"another process has just ended its work in {folder}; try again")
        yield


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


def describe_run(
    config: TrainingConfig, seed: int, history: TrainingBars | None, initial: Policy | None = None
) -> dict:
    """Everything that determines the numbers of a run, as JSON values: two runs that agree in it give the same
    results."""
    about = {
        "config": config.to_dict(),
        "seed": str(seed),
        "versions": versions(),
        "kernels": SOURCES_HASH,
        "initial_policy": None if initial is None else initial.identity(),
        "data": None if history is None else _described(history),
        **({"plugins": plugins} if (plugins := plugin_hashes(given_features(config).values())) else {}),
    }
    return json.loads(json.dumps(about))


def _described(bars: TrainingBars) -> dict:
    if not isinstance(bars, Panel):
        return {**describe_history(bars), "sha256": _digest(bars)}
    described = {symbol: _described(history) for symbol, history in bars.histories.items()}
    return {symbol: {key: about[key] for key in about if key != "sample"} for symbol, about in described.items()}


def _digest(history: History) -> str:
    columns = {name: getattr(history, name) for name in ("time", "close", "open", "high", "low", "volume", "risk")}
    sha256 = hashlib.sha256()
    for name, column in sorted({**columns, "after_gap": history.after_gap, **history.extra}.items()):
        if column is not None:
            sha256.update(name.encode() + b"\0" + np.ascontiguousarray(column).tobytes())
    return sha256.hexdigest()


def check_same_run(here: dict, there: dict, path: Path) -> None:
    """Raise InputError that names every difference of two descriptions of a run."""
    ours, theirs = dict(_leaves(here)), dict(_leaves(there))
    differences = [
        f"{name} is {_shown(ours, name)} here and {_shown(theirs, name)} in the checkpoint"
        for name in [*ours, *(name for name in theirs if name not in ours)]
        if name not in ours or name not in theirs or ours[name] != theirs[name]
    ]
    if differences:
        raise InputError(
            f"{path} is of another run: {'; '.join(differences)}. Resume that run as it was begun, or discard it: "
            "`force=True` without `resume`"
        )


def _leaves(value: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for name, part in value.items():
            # Config keys are named as --set takes them; the sample adds nothing to data.sha256.
            if (prefix, name) != ("data", "sample"):
                yield from _leaves(part, name if prefix in ("", "config") else f"{prefix}.{name}")
    else:
        yield prefix, value


def _shown(leaves: dict[str, object], name: str) -> str:
    if name not in leaves:
        return "not set"
    return str(leaves[name]) if name == "seed" else json.dumps(leaves[name], ensure_ascii=False)


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
