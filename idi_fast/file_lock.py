"""Locks of files, which end with the process that holds them, however that ends."""

import errno
import os


def lock(handle: int) -> bool | None:
    """Whether this process now holds a file's lock, which ends with the process, however that ends.

    False: another holds it; None: there are no locks on this system or disk.
    """
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    return True
