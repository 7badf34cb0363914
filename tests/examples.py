"""How many examples a property test tries: IDI_FAST_EXAMPLES times as many as it names, fewer where each is slow."""

import os
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")
SCALE = float(os.environ.get("IDI_FAST_EXAMPLES", "1"))


def examples(n: int) -> int:
    """The scaled number, at least 1."""
    return max(1, round(n * SCALE))


def some(items: Sequence[Item]) -> Sequence[Item]:
    """The scaled share of many cases that are alike, evenly spread; all of them at a scale of 1 or more."""
    return items[:: max(1, round(1.0 / SCALE))]
