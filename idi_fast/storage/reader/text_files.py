"""What a text file must not contain, found without parsing it."""

import os
from contextlib import suppress
from pathlib import Path

TEXT_BEGINNING = 65_536
"""Bytes of a file that are checked."""

PACKED = (".gz", ".zst", ".zip")


def nul_in_text(file: Path, *, is_wide: bool = False) -> str | None:
    """Say where a text file holds NUL bytes, from its beginning and from the holes that the file system knows of.

    is_wide: whether it is text of two or four bytes a letter, which holds some.

    A text file that ends in a hole of many gigabytes takes next to nothing on the disk, but long to parse.
    """
    if file.suffix.lower() in PACKED:
        return None
    with open(file, "rb") as opened:
        at = -1 if is_wide else opened.read(TEXT_BEGINNING).find(b"\0")
        if at < 0 and hasattr(os, "SEEK_HOLE"):
            size = opened.seek(0, os.SEEK_END)
            with suppress(OSError):  # a file system that cannot tell
                hole = opened.seek(0, os.SEEK_HOLE)
                at = hole if hole < size else -1
    if at < 0:
        return None
    likely = "as in UTF-16 text or a download that was cut short"
    return f"byte {at + 1:,} is NUL, {likely}; expected UTF-8 text: write it again"
