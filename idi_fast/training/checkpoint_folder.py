"""The folder of checkpoints beside a run's output: who may use it, and when it goes."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from idi_fast.errors import NumericalError, OutputError
from idi_fast.file_lock import lock
from idi_fast.storage import hidden
from idi_fast.storage.files import explained, list_files
from idi_fast.storage.settling import settle_beside
from idi_fast.storage.unfinished import removing
from idi_fast.training.checkpoint import discard

LOCK = "lock"
OURS = r"(seed_[^/]+/)?(checkpoint_\d+|rewards\.f8|lock|\.checkpoint|\.?(population|row)\.json)"
"""The files of a checkpoint folder; in that of a population each lane has a folder seed_<seed>."""


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
