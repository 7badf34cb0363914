"""One Hypothesis profile for all tests."""

import os

from hypothesis import settings

# No deadline: the first call of a kernel compiles it. In CI the examples are the same in every run.
settings.register_profile("idi-fast", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("idi-fast")


def pytest_configure(config):
    """Without the JIT (NUMBA_DISABLE_JIT=1) the generators wrap around in NumPy scalars, which warn of it."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        config.addinivalue_line("filterwarnings", "ignore:overflow encountered in scalar:RuntimeWarning")
