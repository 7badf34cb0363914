"""Renames that never replace anything unseen: to an unused name, and an atomic exchange of two paths.

Linux and macOS do either in one system call. Elsewhere, and on disks that cannot, the first is done in steps that never
replace anything, and the second is refused: `staging` then keeps a journal. Every call raises an audit event of ours.
"""

import ctypes
import errno
import os
import platform
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

RENAMEAT2 = {
    "x86_64": 316,
    "i386": 353,
    "i686": 353,
    "armv6l": 382,
    "armv7l": 382,
    "aarch64": 276,
    "riscv64": 276,
    "loongarch64": 276,
    "ppc64": 357,
    "ppc64le": 357,
    "s390x": 347,
}
"""Number of Linux's system call, for C libraries without a function of that name (glibc before 2.28, old musl)."""
AT_FDCWD = -100
CANNOT = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}
"""Errors of systems, disks and sandboxes that lack the call or one of its flags."""


class Unsupported(OSError):
    """The system or the disk cannot do this in one step."""


def rename_new(source: Path, target: Path, *, at_once: bool = False) -> None:
    """Rename to an unused name. Raises FileExistsError if it is used, and then changes nothing.

    at_once: raise Unsupported if that takes more than one step.
    """
    sys.audit("idi_fast.storage.rename_new", os.fspath(source), os.fspath(target))
    try:
        _call(source, target, exchanged=False)
    except Unsupported:
        if at_once:
            raise
        _rename_in_steps(source, target)


def exchange(source: Path, target: Path) -> None:
    """Exchange what two paths on one disk stand for. Raises Unsupported if that takes more than one step."""
    sys.audit("idi_fast.storage.exchange", os.fspath(source), os.fspath(target))
    _call(source, target, exchanged=True)


def _rename_in_steps(source: Path, target: Path) -> None:
    if os.name == "nt":  # here a rename replaces nothing
        os.rename(source, target)
    elif os.path.isdir(source) and not os.path.islink(source):
        os.mkdir(target)
        try:
            os.rename(source, target)  # replaces an empty folder, and nothing else
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                os.rmdir(target)
                raise
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(target)) from None
    else:
        try:
            os.link(source, target, follow_symlinks=False)
        except (OSError, NotImplementedError) as error:
            if getattr(error, "errno", errno.ENOSYS) not in CANNOT | {errno.EACCES, errno.EMLINK}:
                raise
            # A disk without hard links: check and rename are two steps.
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(target)) from None
            os.rename(source, target)
        else:
            os.unlink(source)


def _call(source: Path, target: Path, *, exchanged: bool) -> None:
    native = _native()
    if native is None:
        raise Unsupported(errno.ENOSYS, os.strerror(errno.ENOSYS), os.fspath(target))
    code = native(os.fsencode(source), os.fsencode(target), exchanged)
    if code in CANNOT:
        raise Unsupported(code, os.strerror(code), os.fspath(target))
    if code:
        raise OSError(code, os.strerror(code), os.fspath(target))


@cache
def _native() -> Callable[[bytes, bytes, bool], int] | None:
    """The system's call, which returns an errno or 0; None if there is none."""
    if sys.platform == "linux":
        return _linux()
    return _darwin() if sys.platform == "darwin" else None


def _linux() -> Callable[[bytes, bytes, bool], int] | None:
    library = ctypes.CDLL(None, use_errno=True)
    number = RENAMEAT2.get(platform.machine())
    if hasattr(library, "renameat2"):
        function, first = library.renameat2, ()
    elif number is not None and (sys.maxsize > 2**32) == (number not in (353, 382)):
        function, first = library.syscall, (ctypes.c_long(number),)
    else:
        return None

    def call(source: bytes, target: bytes, exchanged: bool) -> int:
        here, flags = ctypes.c_int(AT_FDCWD), ctypes.c_uint(2 if exchanged else 1)
        failed = function(*first, here, ctypes.c_char_p(source), here, ctypes.c_char_p(target), flags)
        return ctypes.get_errno() if failed else 0

    return call


def _darwin() -> Callable[[bytes, bytes, bool], int] | None:
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renamex_np"):
        return None

    def call(source: bytes, target: bytes, exchanged: bool) -> int:
        flags = ctypes.c_uint(2 if exchanged else 4)
        failed = library.renamex_np(ctypes.c_char_p(source), ctypes.c_char_p(target), flags)
        return ctypes.get_errno() if failed else 0

    return call
