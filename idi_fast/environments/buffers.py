"""Arrays that blocks of rows are worked out in."""

import numpy as np


class Buffers:
    """Arrays made once and cut to the rows asked for."""

    def __init__(self, **layouts: tuple[type, int]):
        self._layouts = layouts
        self._rows = -1
        self._arrays: dict[str, np.ndarray] = {}

    def rows(self, n: int) -> dict[str, np.ndarray]:
        """Each array's first n rows; the arrays grow to the largest n asked for."""
        if n > self._rows:
            self._rows = n
            self._arrays = {
                name: np.zeros((n, width) if width > 1 else n, dtype) for name, (dtype, width) in self._layouts.items()
            }
        return {name: array[:n] for name, array in self._arrays.items()}
