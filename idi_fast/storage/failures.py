"""Errors in writing, as errors of ours."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from idi_fast.errors import IdiFastError, OutputError, WriteError
from idi_fast.storage.hidden import CHECKPOINT, NAME

OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""A disk that is full (for this user, or for a file of this length) or broken."""


@contextmanager
def explained(target: Path) -> Iterator[None]:
    """Turn an OSError in writing, also one that polars tells of, into an error about `target`; one about a file that
    was read stays as it is.

    WriteError if the disk is full or broken, else OutputError.
    """
    try:
        yield
    except Exception as error:
        cause = error if isinstance(error, OSError) else _of_full_disk(error)
        if cause is None or isinstance(error, IdiFastError):
            raise
        if cause.filename and not _is_written(cause.filename, target):
            raise
        raise failure(target, cause, "nothing there was changed") from error


def _of_full_disk(error: Exception) -> OSError | None:
    """The OSError of a full disk that an exception of polars tells of in its text alone, else None.

    Of a broken disk (EIO) the text does not say whether it was in reading or in writing.
    """
    told = re.search(r"\(os error (\d+)\)", str(error)) if type(error).__module__.startswith("polars") else None
    if told is None or (number := int(told[1])) not in OF_THE_DISK - {errno.EIO}:
        return None
    return OSError(number, os.strerror(number))


def _is_written(path: str | bytes, target: Path) -> bool:
    """Whether a path is written to for a target: on the way to it, in it, or in a folder of ours."""
    named, target = Path(os.path.abspath(os.fsdecode(path))), Path(os.path.abspath(target))
    if target.is_relative_to(named) or named.is_relative_to(target):
        return True
    checkpoints = target.parent / f"{target.name}{CHECKPOINT}"
    return named.is_relative_to(checkpoints) or any(map(NAME.fullmatch, named.parts))


def failure(target: Path, error: BaseException, left: str) -> IdiFastError:
    """The error that says why writing `target` failed, and what is left there."""
    kind = WriteError if isinstance(error, OSError) and error.errno in OF_THE_DISK else OutputError
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return kind(f"cannot write {target}: {reason}; {left}")
