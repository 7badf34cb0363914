"""Plain-Python twins of the kernels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

Column = Sequence[Any] | np.ndarray
"""Numbers, or rows of them: a list in a test, an array in a benchmark, which compares with a twin too."""
