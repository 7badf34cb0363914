"""The one decorator of all kernels, and where their machine code is cached.

Numba's own cache looks only at the file of the function that is called, so it goes on serving stale code when a
helper in another file has changed. Here the cache folder is named by a hash over all kernel sources instead.
"""

import hashlib
import os
import sys
import tempfile
import warnings
from pathlib import Path

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from idi_fast.kernels import naming_variables

index = np.uint64
"""Makes an index known not to be negative: numba then spares the three instructions that wrap a negative one round,
in an inner loop of many arrays a quarter of its time."""


def _user_cache_root() -> Path:
    if chosen := os.environ.get("IDI_FAST_CACHE_DIR") or os.environ.get("NUMBA_CACHE_DIR"):
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "idi-fast"


def _sources_hash() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _usable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _cache_folder() -> Path:
    name = f"kernels-{_sources_hash()}"
    folder = _user_cache_root() / name
    if _usable(folder):
        return folder
    fallback = Path(tempfile.gettempdir()) / f"idi-fast-{name}"
    warnings.warn(
        f"cannot write the kernel cache {folder}; compiled kernels go to {fallback} instead "
        "(set IDI_FAST_CACHE_DIR to choose a folder)",
        RuntimeWarning,
        stacklevel=2,
    )
    fallback.mkdir(parents=True, exist_ok=True)
    return fallback


CACHE_FOLDER = _cache_folder()


def cache_is_cold() -> bool:
    """Whether no kernel has been compiled into the cache yet, so that the first call will take seconds."""
    return next(CACHE_FOLDER.rglob("*.nbi"), None) is None


@naming_variables()
def kernel(function=None, *, inline=False, splice=False):
    """Compile `function` without the GIL and without fast-math; its machine code is cached between runs.

    `inline` forces a small leaf into its callers, whatever LLVM thinks of its size. `splice` puts the source of a
    function that does nothing but call others into its callers: Numba else compiles all that it calls once more for it.
    """
    if function is None:
        return lambda wrapped: kernel(wrapped, inline=inline, splice=splice)
    # The folder is read when the dispatcher is made; other numba users in this process keep their own setting.
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(CACHE_FOLDER)
    try:
        return numba.njit(
            cache=True, nogil=True, error_model="numpy", fastmath=False, forceinline=inline,
            inline="always" if splice else "never",
        )(function)  # fmt: skip
    finally:
        numba.config.CACHE_DIR = before


def prefetch(array, at):
    """Ask for the cache line of array[at], so that it is there when it is needed; `at` may lie beyond the end."""


def _prefetch(typing_context, array, at):
    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        place = builder.gep(data, [arguments[1]])
        number = ir.IntType(32)
        hint = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", (place.type,), hint)
        for_writing, keep, of_data = number(1), number(3), number(1)
        builder.call(function, [place, for_writing, keep, of_data])
        return context.get_dummy_value()

    return types.void(array, at), generate


if not numba.config.DISABLE_JIT:
    prefetch = intrinsic(_prefetch)
