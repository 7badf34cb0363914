"""Episode rewards: an append-only log, in memory or in a file, that is read a block at a time."""

import io
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

BLOCK_EPISODES = 131_072
"""Episodes read or written at a time: a megabyte per column."""

_REWARD = np.dtype("<f8")


class EpisodeRewards:
    """The reward of each episode, in order, stored as raw little-endian float64.

    file: open for reading and writing in binary, its content is the beginning of the log; None: in memory. Whoever
    opened it closes it. A full disk is an OSError of `append`, or of the first reading after it.
    """

    def __init__(self, file: BinaryIO | None = None):
        self._file = io.BytesIO() if file is None else file
        self._length = self._file.seek(0, os.SEEK_END) // _REWARD.itemsize
        self._summed, self._crc = 0, 0

    def __len__(self) -> int:
        return self._length

    def append(self, rewards: np.ndarray) -> None:
        """Add rewards float64 (n,) at the end."""
        self._file.write(rewards.astype(_REWARD, copy=False).data)
        self._length += rewards.size

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Rewards number `start` up to `stop` (None: all), float64, at most BLOCK_EPISODES per array."""
        stop = len(self) if stop is None else stop
        for first in range(start, stop, BLOCK_EPISODES):
            self._file.seek(first * _REWARD.itemsize)
            data = self._file.read(min(BLOCK_EPISODES, stop - first) * _REWARD.itemsize)
            self._file.seek(0, os.SEEK_END)
            yield np.frombuffer(data, _REWARD)

    def array(self) -> np.ndarray:
        """All rewards, float64 (episodes,)."""
        return np.concatenate([np.zeros(0), *self.blocks()])

    def mean(self, start: int = 0, stop: int | None = None) -> float:
        """Mean reward of the episodes from number `start` up to `stop` (None: all), 0.0 if there are none.

        It is infinite or NaN if one of these rewards is.
        """
        total, stop = 0.0, len(self) if stop is None else stop
        with np.errstate(over="ignore", invalid="ignore"):
            for block in self.blocks(start, stop):
                # np.add.accumulate adds from left to right, as the reference does; np.sum adds in pairs.
                total = float(np.add.accumulate(np.concatenate([[total], block]))[-1])
        return total / (stop - start) if stop > start else 0.0

    def last_tenth_mean(self) -> float:
        """Mean reward of the last tenth of the episodes, at least one; 0.0 if there are none."""
        return self.mean(len(self) - max(1, len(self) // 10)) if len(self) else 0.0

    def checksum(self) -> int:
        """CRC-32 of the log; only what was added since the last call is read."""
        for block in self.blocks(self._summed):
            self._crc = zlib.crc32(block.data, self._crc)
        self._summed = len(self)
        return self._crc

    def begins_with(self, length: int, checksum: int) -> bool:
        """Whether the log has at least `length` rewards, the first of which have this `checksum`."""
        crc = 0
        for block in self.blocks(0, min(length, len(self))):
            crc = zlib.crc32(block.data, crc)
        return length <= len(self) and crc == checksum

    def truncate(self, length: int) -> None:
        """Drop all but the first `length` rewards."""
        self._file.truncate(length * _REWARD.itemsize)
        self._length = self._file.seek(0, os.SEEK_END) // _REWARD.itemsize
        self._summed, self._crc = 0, 0

    def sync(self) -> None:
        """Flush the log to the disk; for logs in files."""
        self._file.flush()
        os.fsync(self._file.fileno())


@contextmanager
def temporary_log(folder: Path) -> Iterator[EpisodeRewards]:
    """A log in an unnamed file on the disk of `folder`: nothing of it is left, however the process ends."""
    with tempfile.TemporaryFile(dir=folder) as file:
        yield EpisodeRewards(file)
