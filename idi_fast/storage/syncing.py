"""What has been written is on the disk, not in the system's memory alone, where a power failure takes it."""

import os
import stat
from pathlib import Path

from idi_fast.storage.failures import OF_THE_DISK


def sync_file(path: Path) -> None:
    """Have the bytes of a file on the disk; links and what is no file are left out. Raises OSError."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        return
    # Windows syncs only what may be written to, and elsewhere a file may be read-only.
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where the system and the disk can do that for folders. Raises OSError.

    A rename lasts through a power failure only once its folder is there.
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
