"""Compiled kernels: numbers in, numbers out; no I/O, no objects, no allocation in a loop over ticks."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from idi_fast.errors import InputError


@contextmanager
def naming_variables() -> Iterator[None]:
    """Raise InputError where Numba fails for the value of one of its environment variables, and name it."""
    try:
        yield
    except Exception as error:
        text = str(error)
        named = set(re.findall(r"NUMBA_\w+", text))
        # "Number of threads specified must be > 0." is all that Numba says of this one.
        if "number of threads" in text.lower():
            named.add("NUMBA_NUM_THREADS")
        given = sorted(named & os.environ.keys())
        if not given:
            raise
        reason = text.partition("\n")[0].rstrip(".")
        shown = " or ".join(f"{name} ({os.environ[name]!r})" for name in given)
        raise InputError(f"Numba cannot be used: {reason}; correct or unset {shown}") from error


# SVML replaces libm's exp, log and cos where it is installed and differs from it in the last bit: results would
# depend on an optional package. Numba reads this variable when it is imported, hence here and above the import.
os.environ.setdefault("NUMBA_DISABLE_INTEL_SVML", "1")

with naming_variables():
    import numba  # noqa: F401 -- here, before any module of the package imports it
