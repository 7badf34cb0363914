"""Errors in writing, as errors of ours."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from idi_fast.errors import IdiFastError, OutputError, WriteError
from idi_fast.storage.hidden import CHECKPOINT, NAME

OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""A disk that is full (for this user, or for a file of this length) or broken."""


@contextmanager
def explained(target: Path) -> Iterator[None]:
    """Turn an OSError in writing into an error about `target`; one about a file that was read stays as it is.

    WriteError if the disk is full or broken, else OutputError.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, IdiFastError) or (error.filename and not _is_written(error.filename, target)):
            raise
        raise failure(target, error, "nothing there was changed") from error


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
