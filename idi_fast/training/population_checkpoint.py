"""Checkpoints of a population: those of each lane in a folder of its own, and the summary rows of lanes that lost."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from idi_fast.config.settings import TrainingConfig
from idi_fast.data.panel import TrainingBars
from idi_fast.errors import ArtifactError, InputError
from idi_fast.storage.files import write_json
from idi_fast.storage.syncing import sync_file, sync_folder
from idi_fast.training.checkpoint import POPULATION, REWARDS, ROW, Checkpoints, Every, checkpoint_paths, discard
from idi_fast.training.run_description import check_same_run, describe_run


class PopulationCheckpoints:
    """What an interrupted population resumes from, so that no lane is trained twice.

    A finished lane is its last checkpoint. Once another is better, and unless all are kept (`keep` "all"), its tables
    are deleted and its summary row replaces them: the disk holds lanes in training and the best so far.
    folder, every, resume and note: as for `Checkpoints`.
    """

    def __init__(
        self,
        folder: Path,
        every: Every | None = None,
        *,
        resume: bool = True,
        keep: str = "best",
        note: Callable[[str], None] = lambda text: None,
    ):
        self._folder = folder
        self._every = every
        self._resume = resume
        self._keep = keep
        self._note = note

    def begin(self, config: TrainingConfig, seeds: Sequence[int], history: TrainingBars | None) -> dict[int, dict]:
        """The summary rows of lanes that have already lost, by seed; InputError if this is another population."""
        run = {**describe_run(config, seeds[0], history), "seed": [str(seed) for seed in seeds], "keep": self._keep}
        path = self._folder / POPULATION
        if not self._resume:
            discard(self._folder)
        elif path.exists():
            check_same_run(run, _read_population(path), path)
        elif checkpoint_paths(self._folder):
            raise InputError(f"{self._folder} holds the checkpoints of a single run; resume it without `seeds`")
        else:
            self._note("there is no checkpoint yet; training starts from the beginning")
            # Lanes without their population's description are remains of one that was being discarded.
            discard(self._folder)
        _write_whole(path, run)
        rows = {seed: _read_row(self._lane(seed) / ROW, seed) for seed in seeds}
        return {seed: row for seed, row in rows.items() if row is not None}

    def lane(self, seed: int) -> Checkpoints:
        """The checkpoints of a lane."""
        folder = self._lane(seed)
        return Checkpoints(folder, self._every, resume=bool(checkpoint_paths(folder)), note=self._note)

    def lost(self, seed: int, row: dict) -> None:
        """Replace a finished lane's tables by its summary row."""
        if self._keep == "all":
            return
        folder = self._lane(seed)
        _write_whole(folder / ROW, {"row": row, "sha256": _digest(row)})
        for path in (*checkpoint_paths(folder), folder / REWARDS):
            path.unlink()

    def _lane(self, seed: int) -> Path:
        return self._folder / f"seed_{seed}"


def _write_whole(path: Path, data: dict) -> None:
    temporary = path.with_name(f".{path.name}")
    write_json(temporary, data)
    sync_file(temporary)
    os.replace(temporary, path)
    sync_folder(path.parent)


def _read_population(path: Path) -> dict:
    try:
        about = json.loads(path.read_bytes())
    except ValueError:
        about = None
    if not isinstance(about, dict):
        raise ArtifactError(
            f"{path} is damaged; `force=True` without `resume` discards these checkpoints and starts anew"
        )
    return about


def _read_row(path: Path, seed: int) -> dict | None:
    # A lane whose row is damaged is trained again.
    try:
        about = json.loads(path.read_bytes())
        row = about["row"]
        return row if about["sha256"] == _digest(row) and row["seed"] == str(seed) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _digest(row: dict) -> str:
    return hashlib.sha256(json.dumps(row).encode()).hexdigest()
