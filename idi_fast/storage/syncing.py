"""Flush what has been written to the disk, since a power failure loses the system's memory."""

import os
import stat
from pathlib import Path

from idi_fast.storage.failures import OF_THE_DISK


def sync_file(path: Path) -> None:
    """Flush the bytes of a file; links and what is no file are ignored. Raises OSError."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        return
    # Windows syncs only writable files, and elsewhere a file may be read-only.
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder, if the system and the disk can do that for folders. Raises OSError.

    A rename survives a power failure only once its folder is flushed.
    """
    if os.name != "posix":  # Windows cannot open folders
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # one may write there, but not list
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno in OF_THE_DISK:
            raise
    finally:
        os.close(handle)
