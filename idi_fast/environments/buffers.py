"""Work arrays for blocks of rows."""

import numpy as np


class Buffers:
    """Arrays allocated once and cut to the rows needed."""

    def __init__(self, **layouts: tuple[type, int]):
        self._layouts = layouts
        self._rows = -1
        self._arrays: dict[str, np.ndarray] = {}

    def rows(self, n: int) -> dict[str, np.ndarray]:
        """Each array's first n rows; the arrays grow to the largest n requested."""
        if n > self._rows:
            self._rows = n
            self._arrays = {
                name: np.zeros((n, width) if width > 1 else n, dtype) for name, (dtype, width) in self._layouts.items()
            }
        return {name: array[:n] for name, array in self._arrays.items()}
