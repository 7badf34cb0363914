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
        given = {name: value for name, value in os.environ.items() if name.startswith("NUMBA_")}
        text = str(error)
        words = set(re.findall(r"\w+", text.lower()))
        # "Number of threads specified must be > 0." is all that is said of NUMBA_NUM_THREADS.
        named = [name for name in given if name in text] or [
            name for name in given if words & set(name.lower().split("_")[1:])
        ]
        if not named:
            raise
        reason = text.partition("\n")[0].rstrip(".")
        shown = " or ".join(f"{name} ({given[name]!r})" for name in named)
        raise InputError(f"Numba cannot be used: {reason}; correct or unset {shown}") from error


# SVML replaces libm's exp, log and cos where it is installed and differs from it in the last bit: results would
# depend on an optional package. Numba reads this variable when it is imported, hence here and above the import.
os.environ.setdefault("NUMBA_DISABLE_INTEL_SVML", "1")

with naming_variables():
    import numba  # noqa: F401 -- here, before any module of the package imports it
