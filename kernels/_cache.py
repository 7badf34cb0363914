"""Where the machine code of kernels is kept between runs, and what of it is believed.

Numba's own cache looks only at the file of the function that is called, so it goes on serving stale code when a
helper in another file has changed. Here the cache folder is named by a hash over all kernel sources instead. Numba also
unpickles and runs whatever its files hold: a cut file fails in every run from then on, a flipped bit can abort the
process. Here every file begins with a digest; what does not fit is compiled anew.
"""

import errno
import hashlib
import io
import os
import pickle
import stat
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import llvmlite
import numba
import numpy as np
from numba.core import config as numba_config
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, _CacheLocator
from numba.core.runtime.nrt import rtsys

from idi_fast.errors import CacheWarning
from idi_fast.file_lock import lock

PATIENCE = 60.0
"""Seconds to wait for another process that compiles a kernel, which takes some ten; it may have been stopped."""
DIGEST_BYTES = 32
ADVICE = "set IDI_FAST_CACHE_DIR to choose a folder"


def _user_cache_root() -> Path | None:
    """The folder of the user's caches; None where the user has no home."""
    if chosen := os.environ.get("IDI_FAST_CACHE_DIR") or os.environ.get("NUMBA_CACHE_DIR"):
        return Path(os.path.abspath(chosen))
    try:
        if sys.platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # HOME is not set and the user is not in the password file
        return None
    return base / "idi-fast"


def _sources_hash() -> str:
    digest = hashlib.sha256()
    # A link of an editable install outlives its file, as when another branch is checked out.
    for path in sorted(path for path in Path(__file__).parent.glob("*.py") if path.exists()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


SOURCES_HASH = _sources_hash()
NAME = f"kernels-{SOURCES_HASH}"


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _private_temporary_folder() -> Path | None:
    """A folder for temporary files that nobody else can write to: its files are run. None where there is none."""
    try:
        root = Path(tempfile.gettempdir())
        if os.name != "posix":  # Windows has a temporary folder for each user
            return root
        folder = root / f"idi-fast-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return folder if ours else None


def _cache_folder() -> Path | None:
    """The folder; None where kernels cannot be kept anywhere, of which the user is told."""
    root = _user_cache_root()
    folder = None if root is None else root / NAME
    # One that is full of kernels, but read-only, saves as much time as any.
    if folder is not None and (_writable(folder) or _holds_kernels(folder)):
        return folder
    found = "there is no home folder for the kernel cache" if folder is None else f"cannot write to {folder}"
    temporary = _private_temporary_folder()
    if temporary is not None and _writable(temporary / NAME):
        kept, place = f"are kept in {temporary / NAME}", temporary / NAME
    else:
        kept, place = "are not kept: every run compiles them anew", None
    warnings.warn(f"{found}; compiled kernels {kept} ({ADVICE})", CacheWarning, stacklevel=2)
    return place


def _holds_kernels(folder: Path) -> bool:
    return next(folder.rglob("*.nbi"), None) is not None


CACHE_FOLDER = _cache_folder()


IS_COMPILED = not vars(numba_config)["DISABLE_JIT"]
"""False under NUMBA_DISABLE_JIT=1, where kernels run as plain Python."""


class _Locator(_CacheLocator):
    """Says where a kernel's files are; unlike Numba's it does not write a file for every kernel to see if it can."""

    def __init__(self, py_func, py_file: str):
        assert CACHE_FOLDER is not None  # else kernels are not kept
        self._py_file, self._line = py_file, py_func.__code__.co_firstlineno  # the former is for Numba's own messages
        self._path = str(CACHE_FOLDER / self.get_suitable_cache_subpath(py_file))

    @classmethod
    def from_function(cls, py_func, py_file: str) -> Self:
        return cls(py_func, py_file)

    # Numba says nothing of the types of these: of a body without a return, pyright takes None for it.
    def get_cache_path(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._path

    def get_source_stamp(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return SOURCES_HASH

    def get_disambiguator(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return str(self._line)


class _CompiledKernels(CompileResultCacheImpl):
    _locator_classes = (_Locator,)


class _Damaged(OSError):
    """A file is not what was written; an OSError, as Numba then takes its data for missing."""


class _DigestedFiles(IndexDataCacheFile):
    """The files of one kernel: an index of its signatures, and one of machine code for each.

    A file is the SHA-256 of its own name and its payload, and the payload. With the name in it, a file that was
    put in another's place is not taken for that one.
    """

    def __init__(self, *, cache_path: str, filename_base: str, source_stamp: str):
        super().__init__(cache_path=cache_path, filename_base=filename_base, source_stamp=source_stamp)
        self._version = f"numba {numba.__version__} llvmlite {llvmlite.__version__} numpy {np.__version__}"

    def save(self, key, data) -> None:
        # Two processes that compile at once may give the same file name to two signatures: the key tells whose it is.
        super().save(key, (key, data))

    def load(self, key):
        found = super().load(key)
        return found[1] if found is not None and found[0] == key else None

    def _load_index(self) -> dict:
        try:
            payload = io.BytesIO(_payload(self._index_path))
        except OSError:
            return {}
        # The version stands first and by itself: the rest may not be readable for another one.
        if pickle.load(payload) != self._version:
            return {}
        stamp, overloads = pickle.load(payload)
        return overloads if stamp == self._source_stamp else {}

    def _load_data(self, name: str):
        return pickle.loads(_payload(self._data_path(name)))

    @contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[Any]:  # what is written with is Numba's affair
        content = io.BytesIO()
        yield content
        payload = content.getvalue()
        with super()._open_for_write(filepath) as file:
            file.write(_digest(filepath, payload) + payload)


def _digest(path: str, payload: bytes | memoryview) -> bytes:
    digest = hashlib.sha256(os.path.basename(path).encode() + b"\0")
    digest.update(payload)
    return digest.digest()


def _payload(path: str) -> memoryview:
    """The payload of a file of the cache; nothing of it has been unpickled. Raises OSError where it does not fit."""
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise _Damaged(errno.EINVAL, "not a file", path)
        content = memoryview(file.read())
    digest, payload = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if digest != _digest(path, payload):
        raise _Damaged(errno.EINVAL, "damaged", path)
    return payload


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe would wait for somebody to write


class _Turn:
    """The right to compile a kernel: another process waits for the result instead of making it as well.

    No two wait for each other: whoever compiles a kernel waits only for those that it calls.
    """

    def __init__(self, path: str):
        self._path = path
        self._handle: int | None = None

    def begin(self) -> None:
        """Take it, at the latest after PATIENCE."""
        if self._handle is not None:  # an exception has ended the compilation before
            return
        try:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:  # as where the cache is read-only
            return
        patience = time.monotonic() + PATIENCE
        while lock(self._handle) is False and time.monotonic() < patience:
            time.sleep(0.02)

    def end(self) -> None:
        """Let others take it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
            # Whoever holds the lock of a removed file holds it in vain: at worst a kernel is compiled twice.
            with suppress(OSError):
                os.unlink(self._path)


class KernelCache(FunctionCache):
    """The cache of one kernel, without which the kernel is compiled: no fault of the disk is one of the run."""

    _impl_class = _CompiledKernels
    _told = False

    def __init__(self, function):
        super().__init__(function)
        self._cache_file = _DigestedFiles(
            cache_path=self.cache_path, filename_base=self._impl.filename_base, source_stamp=SOURCES_HASH
        )
        self._turn = _Turn(os.path.join(self.cache_path, f"{self._impl.filename_base}.lock"))

    def load_overload(self, sig, target_context):
        found = self._load(sig, target_context)
        if found is None:
            self._turn.begin()
            found = self._load(sig, target_context)  # another process may have made it meanwhile
            if found is not None:
                self._turn.end()
        return found

    def end_turn(self) -> None:
        """Let others compile the kernel, if this process was about to."""
        self._turn.end()

    def _load(self, sig, target_context):
        # Numba's own loading first gives the target all it needs to compile, and imports SciPy where that is installed:
        # a sixth of the time of a short command. To compile does that anyway; to run takes the runtime alone.
        rtsys.initialize(target_context)
        try:
            with self._guard_against_spurious_io_errors():
                return self._load_overload(sig, target_context)
        except OSError:
            return None

    def save_overload(self, sig, data) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            if KernelCache._told:  # one warning will do for all kernels
                return
            KernelCache._told = True
            place, reason = error.filename2 or error.filename or CACHE_FOLDER, error.strerror or type(error).__name__
            warnings.warn(
                f"cannot keep a compiled kernel in {place}: {reason}; the next run compiles it anew ({ADVICE})",
                CacheWarning,
                stacklevel=2,
            )
        finally:
            self._turn.end()
