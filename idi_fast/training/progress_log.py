"""The course of a training for other programs: a CSV file, TensorBoard's event files."""

import csv
import math
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self, TextIO

from idi_fast.config.arguments import check_path, refuse
from idi_fast.errors import InputError, OutputError
from idi_fast.storage.failures import explained
from idi_fast.training.trainer import Progress

COLUMNS = (
    "time/episodes",
    "time/fps",
    "time/time_elapsed",
    "time/total_timesteps",
    "rollout/ep_rew_mean",
    "rollout/exploration_rate",
)
"""The names that stable-baselines3's loggers use."""


class ProgressLog:
    """Write the progress of a training to a CSV file, to TensorBoard's event files, or both, as it goes on.

    Give it to `train` as `progress`, in a `with` statement. There is a row about every `seconds`, and one at the end,
    with the columns that stable-baselines3 writes: time/episodes, time/fps (steps a second), time/time_elapsed (s),
    time/total_timesteps, rollout/ep_rew_mean (over the episodes since the row before) and rollout/exploration_rate.
    An earlier log of the same name is continued.

    Attributes
    ----------
    csv_file, tensorboard : Path or None
        Where it is written.

    Parameters
    ----------
    csv_file
        A CSV file, created or continued.
    tensorboard
        A folder for event files; needs the extra `tensorboard`.
    seconds
        Least time between two rows, in seconds.

    Raises
    ------
    InputError
        If neither is given, or TensorBoard's writer is not installed.
    OutputError
        If a file cannot be written.

    Examples
    --------
    >>> import idi_fast as idi
    >>> with idi.ProgressLog("progress.csv") as log:
    ...     run = idi.train(idi.TrainingConfig(episodes=16), progress=log)
    """

    def __init__(
        self,
        csv_file: str | Path | None = None,
        tensorboard: str | Path | None = None,
        *,
        seconds: float = 1.0,
    ):
        if csv_file is None and tensorboard is None:
            raise InputError("a progress log needs a CSV file or a folder for TensorBoard; neither was given")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0.0:
            raise refuse("seconds", seconds, "a number of 0 or more")
        self.csv_file = None if csv_file is None else check_path("csv_file", csv_file)
        self.tensorboard = None if tensorboard is None else check_path("tensorboard", tensorboard)
        self._seconds = seconds
        self._file: TextIO | None = None
        self._events: Any = None
        self._last: Progress | None = None

    def __enter__(self) -> Self:
        if self.tensorboard is not None:
            self._events = _event_writer(self.tensorboard)
        if self.csv_file is not None:
            with explained(self.csv_file):
                self.csv_file.parent.mkdir(parents=True, exist_ok=True)
                self._check_own()
                self._file = self.csv_file.open("a", newline="", encoding="utf-8")
                if self._file.tell() == 0:
                    csv.writer(self._file).writerow(COLUMNS)
        self._began = self._written_at = monotonic()
        self._first: Progress | None = None
        self._episodes, self._total = 0, 0.0
        return self

    def _check_own(self) -> None:
        """Raise OutputError for a file that is no such log: a row must not be added to a table of prices."""
        assert self.csv_file is not None
        if not self.csv_file.is_file() or self.csv_file.stat().st_size == 0:
            return
        with self.csv_file.open("rb") as file:
            if file.readline(1024).rstrip(b"\r\n") != ",".join(COLUMNS).encode():
                raise OutputError(f"{self.csv_file} is no log of a training; choose another file")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._write()
        if self._file is not None:
            self._file.close()
        if self._events is not None:
            self._events.close()

    def __call__(self, progress: Progress) -> None:
        """Take note of the progress of a training."""
        if self._first is None:
            self._first = progress
        ended = progress.episodes - (self._last.episodes if self._last else 0)
        if not math.isnan(progress.mean_reward):
            self._episodes += ended
            self._total += ended * progress.mean_reward
        self._last = progress
        if monotonic() - self._written_at >= self._seconds:
            self._write()

    def _write(self) -> None:
        if self._last is None or self._first is None or not self._episodes:
            return
        self._written_at = monotonic()
        elapsed = self._written_at - self._began
        # A resumed run's first steps were not of these seconds.
        steps = self._last.steps - self._first.steps
        row = dict(
            zip(
                COLUMNS,
                (
                    self._last.episodes,
                    steps / elapsed if elapsed > 0.0 else math.nan,
                    elapsed,
                    self._last.steps,
                    self._total / self._episodes,
                    self._last.exploration,
                ),
                strict=True,
            )
        )
        self._episodes, self._total = 0, 0.0
        if self._file is not None and self.csv_file is not None:
            with explained(self.csv_file):
                csv.writer(self._file).writerow(["" if value != value else value for value in row.values()])
                self._file.flush()
        if self._events is not None:
            for name, value in row.items():
                if value == value:
                    self._events.add_scalar(name, value, self._last.steps)
            self._events.flush()


def _event_writer(folder: Path) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise InputError(
            "TensorBoard's event files need tensorboardX; install it with: pip install 'idi-fast[tensorboard]'"
        ) from None
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return SummaryWriter(str(folder))
