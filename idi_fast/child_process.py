"""What is common to processes that this one starts for itself: interpreter, where it imports from, signals."""

import os
import subprocess
import sys
from typing import Any

from idi_fast.errors import IdiFastError

PYTHON = "IDI_FAST_PYTHON"
"""Environment variable: the interpreter to start if `sys.executable` is none, as in programs that embed Python."""
IMPORTS = "sys.path += [p for p in a.pop('path') if p not in sys.path]; "
"""Python source: import from where the parent does; a: a dict of `path`, see `import_path`."""
OWN_GROUP: dict[str, Any] = (
    {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    if sys.platform == "win32"
    else {"process_group": 0}
)
"""Options of `subprocess.Popen`: Ctrl-C is for this process, which ends the other."""


def interpreter(purpose: str) -> str:
    """The Python to start; IdiFastError, which says what for, where there is none."""
    chosen = os.environ.get(PYTHON) or ("" if getattr(sys, "frozen", False) else sys.executable)
    if not chosen:
        raise IdiFastError(
            f"{purpose} in a process of their own, and this program has no Python to start one; "
            f"set {PYTHON} to an interpreter that has idi-fast"
        )
    return chosen


def import_path() -> list[str]:
    """Where this process imports from, but for its working directory, perhaps a stranger's folder."""
    return [place for place in sys.path if isinstance(place, str) and os.path.isabs(place)]
