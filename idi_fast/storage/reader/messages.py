"""The messages of a process and its reader: JSON followed by arrays, on pipes.

If the system has anonymous memory files (Linux), arrays travel through these: a pipe copies them twice.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # at run time where it is needed: the reader starts before the rest is imported
    import numpy as np

VERSION = 1
SLOTS = 12
"""Memory files of a reader: as many chunks as a backtest has under way from the file to its tables. When none is free
the pipe is used."""
KEPT_BYTES = 2**24
"""Longer memory files are emptied after use: a chunk of a backtest is shorter, one of a history loaded as a whole is
not."""
ALIGNMENT = 64


def make_slots() -> list[int]:
    """Descriptors of empty memory files, none if the system has no such files."""
    made: list[int] = []
    try:
        made += [os.memfd_create("idi-fast-reader") for _ in range(SLOTS)]
    except (AttributeError, OSError):
        for slot in made:
            os.close(slot)
        return []
    return made


def write_message(descriptor: int, head: dict[str, Any], arrays: Sequence[np.ndarray] = ()) -> None:
    """Write a message, and after it the bytes of contiguous arrays. Raises OSError."""
    data = json.dumps(head).encode()
    for part in (memoryview(len(data).to_bytes(4, "little") + data), *(array.data for array in arrays)):
        rest = part.cast("B") if len(part) else memoryview(b"")
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def read_message(descriptor: int) -> dict[str, Any]:
    """The next message. Raises EOFError, OSError."""
    return json.loads(_exactly(descriptor, int.from_bytes(_exactly(descriptor, 4), "little")))


def read_array(descriptor: int, dtype: str, n: int) -> np.ndarray:
    """An array that follows a message. Raises EOFError, OSError."""
    import numpy as np

    array = np.empty(n, dtype)
    _fill(descriptor, array.view(np.uint8).data)
    return array


def _exactly(descriptor: int, n: int) -> bytearray:
    data = bytearray(n)
    _fill(descriptor, memoryview(data))
    return data


def _fill(descriptor: int, rest: memoryview) -> None:
    while rest:
        n = os.readv(descriptor, [rest]) if hasattr(os, "readv") else _read_into(descriptor, rest)
        if n == 0:
            raise EOFError("the pipe was closed")
        rest = rest[n:]


def _read_into(descriptor: int, rest: memoryview) -> int:
    data = os.read(descriptor, min(len(rest), 1 << 20))
    rest[: len(data)] = data
    return len(data)


class Slot:
    """A memory file as one of the two processes has it mapped."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        self._map: mmap.mmap | None = None

    def _mapped(self, size: int) -> mmap.mmap:
        if self._map is None or len(self._map) < size:
            # An earlier mapping lives as long as there are arrays in it.
            self._map = mmap.mmap(self._descriptor, os.fstat(self._descriptor).st_size)
        return self._map

    def write(self, arrays: Sequence[np.ndarray]) -> list[int]:
        """Copy contiguous arrays into the file, which grows as needed; return where each begins."""
        import numpy as np

        places, size = [], 0
        for array in arrays:
            places.append(size)
            size += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        if size > os.fstat(self._descriptor).st_size:
            os.ftruncate(self._descriptor, size)
        for array, place in zip(arrays, places, strict=True):
            if len(array):
                np.frombuffer(self._mapped(size), array.dtype, len(array), place)[:] = array
        return places

    def trim(self) -> None:
        """Release the memory of a long file in which there are no arrays and none are being written."""
        if os.fstat(self._descriptor).st_size > KEPT_BYTES:
            self._map = None
            os.ftruncate(self._descriptor, 0)

    def read(self, layout: Sequence[tuple[str, int, int]], free: Callable[[], None]) -> list[np.ndarray]:
        """Arrays of (dtype, length, beginning) in place, writable; `free` is called when all of them are gone."""
        import numpy as np

        lease = _Lease(free)
        size = max((place + np.dtype(dtype).itemsize * n for dtype, n, place in layout), default=0)
        return [
            np.asarray(_Part(lease, self._mapped(size), dtype, n, place)) if n else np.empty(0, dtype)
            for dtype, n, place in layout
        ]


class _Lease:
    def __init__(self, free: Callable[[], None]):
        self._free = free

    def __del__(self) -> None:
        self._free()


class _Part:
    """The owner of an array in a slot and of all its views."""

    def __init__(self, lease: _Lease, mapped: mmap.mmap, dtype: str, n: int, place: int):
        import numpy as np

        self._lease, self._mapped = lease, mapped
        # By its address: NumPy keeps the buffer of an array alive, but not the owner of the buffer.
        address, _ = np.frombuffer(mapped, np.uint8).__array_interface__["data"]
        self.__array_interface__ = {
            "version": 3,
            "typestr": dtype,
            "shape": (n,),
            "data": (address + place, False),
            "strides": None,
        }
