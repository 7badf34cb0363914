"""The one decorator of all kernels."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numba
import numpy as np
from llvmlite import ir
from numba.core import event, types
from numba.extending import intrinsic

from idi_fast.kernels import naming_variables
from idi_fast.kernels._cache import CACHE_FOLDER as CACHE_FOLDER
from idi_fast.kernels._cache import IS_COMPILED, KernelCache
from idi_fast.kernels._cache import SOURCES_HASH as SOURCES_HASH

index = np.uint64
"""Makes an index known not to be negative: numba then spares the three instructions that wrap a negative one round,
in an inner loop of many arrays a quarter of its time."""


Function = TypeVar("Function", bound=Callable[..., Any])


@overload
def kernel(function: Function) -> Function: ...
@overload
def kernel(*, inline: bool = False, splice: bool = False) -> Callable[[Function], Function]: ...
def kernel(function=None, *, inline=False, splice=False):
    """Compile `function` without the GIL and without fast-math; its machine code is cached between runs.

    Arrays are written element by element: for `a[:] = b` numba compiles an error that formats both shapes, which takes
    five seconds, and for `a.max()` three.

    `inline` forces a small leaf into its callers, whatever LLVM thinks of its size. `splice` puts the source of a
    function into its callers, where branches on constants are dropped before types are inferred; and of one that does
    nothing but call others Numba else compiles all that it calls once more.
    """
    if function is None:
        return lambda wrapped: _compiled(wrapped, inline, splice)
    return _compiled(function, inline, splice)


@naming_variables()
def _compiled(function: Callable[..., Any], inline: bool, splice: bool) -> Any:
    if not IS_COMPILED:
        # What machine code does without a word: generators wrap round, quotients are infinite.
        return np.errstate(all="ignore")(function)
    compiled: Any = numba.njit(
        nogil=True, error_model="numpy", fastmath=False, forceinline=inline, inline="always" if splice else "never"
    )(function)
    if CACHE_FOLDER is not None:
        # In the place of what cache=True puts there, which is numba's own cache.
        compiled._cache = KernelCache(function)
    return compiled


def variant(function: Function, *kind: int) -> Function:
    """`kernel` of one of the functions that a factory makes, whose free variables are constants of its kind.

    Each has a name of its own, and so a file and a lock of its own in the cache.
    """
    function.__qualname__ = "_".join([function.__name__, *(str(int(each)) for each in kind)])
    return kernel(function)


class _Compilations(event.Listener):
    """Calls `tell` when a kernel is compiled, once; and lets other processes compile a kernel whose compilation has
    failed, or was interrupted, here."""

    tell: Callable[[], None] | None = None

    def on_start(self, event) -> None:
        tell, self.tell = self.tell, None
        if tell is not None:
            tell()

    def on_end(self, event) -> None:
        cache = event.data["dispatcher"]._cache
        # Numba's own `is_failed` never is. A turn that has not failed ends when the kernel is in the cache.
        if sys.exc_info()[0] is not None and isinstance(cache, KernelCache):
            cache.end_turn()


_compilations = _Compilations()
event.register("numba:compile", _compilations)


def on_compilation(tell: Callable[[], None]) -> None:
    """Call `tell` as soon as a kernel is compiled, if one is that is not in the cache."""
    _compilations.tell = tell


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


def _lowest_bit(typing_context, bits):
    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.uint64(types.uint64), generate


if TYPE_CHECKING or not IS_COMPILED:

    def prefetch(array, at) -> None:
        """Ask for the cache line of array[at], so that it is there when it is needed; `at` may lie beyond the end."""

    def lowest_bit(bits) -> np.uint64:
        """The place of the lowest 1 among the bits of a uint64 that is not 0."""
        return np.uint64((int(bits) & -int(bits)).bit_length() - 1)
else:
    prefetch, lowest_bit = intrinsic(_prefetch), intrinsic(_lowest_bit)
