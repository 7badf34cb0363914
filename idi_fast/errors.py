"""The exceptions of this package, one class per kind; the command line maps them to exit codes in one place."""

import difflib
from collections.abc import Iterable


class IdiFastError(Exception):
    """Any failure this package raises on purpose; the text is one sentence for the user."""


class InputError(IdiFastError):
    """A config, option, path or table that the user gave cannot be used (exit code 2)."""


class ConfigError(InputError):
    """A config key or value is wrong; the text names the key, what was found and what was expected."""


class DataError(InputError):
    """A price history is wrong; the text names the file, the row, the column and the value."""


class ArtifactError(InputError):
    """A training artifact, policy or trace cannot be read, or does not fit what it is used with."""


class OutputError(InputError):
    """An output cannot be written; whatever was there before is untouched."""


class WriteError(IdiFastError):
    """The work ran, but the disk is full or broken, or another process took the output's place (exit code 1)."""


class NumericalError(IdiFastError):
    """Values overflowed, as they would again; checkpoints of the run are removed (exit code 1)."""


class EvidenceError(InputError):
    """A commitment, an opening or a proof cannot be made from what was given, or does not hold."""


class Cancelled(IdiFastError):
    """The work was cancelled and left nothing behind except its checkpoints, if any (exit code 130)."""


class CacheWarning(RuntimeWarning):
    """A cache cannot be kept; the work continues without it and takes longer."""


def nearest(name: str, known: Iterable[str], likeness: float = 0.5) -> str:
    """Return `` Did you mean 'x'?`` for the known name closest to `name`, else an empty string.

    likeness: the similarity it needs, from 0 to 1 (difflib's ratio).
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=likeness)
    return f" Did you mean {close[0]!r}?" if close else ""


def printable(text: str) -> str:
    """A text with escapes for what does not print, such as line ends or marks that change the writing direction."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
