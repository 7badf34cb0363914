"""One Hypothesis profile for all tests."""

import os

from hypothesis import settings

# No deadline: the first call of a kernel compiles it. In CI the examples are the same in every run.
settings.register_profile("idi-fast", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("idi-fast")
