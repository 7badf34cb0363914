"""How many examples a property test tries: IDI_FAST_EXAMPLES times as many as it names, fewer where each is slow."""

import os

SCALE = float(os.environ.get("IDI_FAST_EXAMPLES", "1"))


def examples(n: int) -> int:
    """The scaled number, at least 1."""
    return max(1, round(n * SCALE))
