"""Which input files specifications read, however little of their text is understood."""

import os
import re
from pathlib import Path

from idi_fast.storage.json_files import read_regular

# The first match counts: a path may contain a #, and #x1f is a number.
_PIECES = re.compile(rb"\b(?:in\s+file|ifile)\s*\(\s*\"([^\"\n]*)\"|\"[^\"\n]*\"|#(?:x[0-9a-fA-F]+|b[01]+)\b|#[^\n]*")


def declared_inputs(text: bytes) -> list[str]:
    """The paths of the files that a specification declares as inputs, in any syntax there has been."""
    return [found[1].decode("utf-8", "replace") for found in _PIECES.finditer(text) if found[1] is not None]


def read_from(folder: Path) -> dict[str, Path]:
    """The names of the files in a folder of inputs that specifications read, each with the first that does.

    Specifications are the `.tau` files in the folder and in those above it, which run where they lie.
    """
    real = os.path.realpath(folder)
    found: dict[str, Path] = {}
    for place in (Path(real), *Path(real).parents):
        try:
            specifications = sorted(path for path in place.glob("*.tau") if path.is_file())
        except OSError:
            continue  # a folder that cannot be listed holds no specification that this user runs
        for specification in specifications:
            try:
                inputs = declared_inputs(read_regular(specification))
            except OSError:
                continue  # nor could the interpreter read it
            for path in inputs:
                parent, name = os.path.split(os.path.realpath(place / path) if "\0" not in path else "")
                if parent == real:
                    found.setdefault(name, specification)
    return found
