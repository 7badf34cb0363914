"""JSON files that users name: read from regular files only, up to a size, and written whole or not at all."""

import contextlib
import errno
import json
import math
import os
import stat
from collections import Counter
from collections.abc import Iterator
from io import BufferedReader
from typing import Any, overload

from idi_fast.errors import ConfigError, InputError

MAX_JSON = 64 * 1024 * 1024
"""Bytes of a JSON file: manifests of many thousand files and run.json of any training are far smaller."""
TOO_DEEP = "nested too deep: expected brackets within brackets some dozen times at most"

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


class UnfitFile(InputError, OSError):
    """A path does not lead to a regular file, or the file is too large; `strerror` says which."""

    def __str__(self) -> str:
        return f"{self.filename} {self.strerror}"


@contextlib.contextmanager
def open_regular(path: str | os.PathLike[str], *, follow: bool = True) -> Iterator[BufferedReader]:
    """A regular file, opened for reading.

    follow: whether a link is followed. Raises UnfitFile for anything else, since reading a pipe may block for ever and
    some devices never end; OSError.
    """
    # Without O_NONBLOCK, opening a pipe waits until somebody writes to it.
    names = ("O_NONBLOCK", "O_BINARY", *(() if follow else ("O_NOFOLLOW",)))
    handle = os.open(path, sum((getattr(os, name, 0) for name in names), os.O_RDONLY))
    try:
        about = os.fstat(handle)
        if stat.S_ISDIR(about.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if not stat.S_ISREG(about.st_mode):
            raise UnfitFile(errno.EINVAL, f"is {_kind(about.st_mode)}; expected a regular file", os.fspath(path))
        with os.fdopen(handle, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(handle)


def describe_unfit(path: str | os.PathLike[str]) -> str:
    """What is wrong with an existing path that does not lead to a regular file, as text after its name."""
    kind = "is a link to " if os.path.islink(path) else "is "
    if not os.path.exists(path):
        return "is a link that leads nowhere; expected a regular file"
    mode = os.stat(path).st_mode
    return f"{kind}{'a folder' if stat.S_ISDIR(mode) else _kind(mode)}; expected a regular file"


def _kind(mode: int) -> str:
    return _KINDS.get(stat.S_IFMT(mode), "something else")


def read_regular(path: str | os.PathLike[str], limit: int = MAX_JSON, *, follow: bool = True) -> bytes:
    """The bytes of a regular file of at most `limit` bytes. Raises UnfitFile for anything else (see `open_regular`)."""
    with open_regular(path, follow=follow) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise UnfitFile(errno.EINVAL, f"has {size:,} bytes; expected at most {limit:,}", os.fspath(path))
        return file.read(size)


def load_json(path: str | os.PathLike[str], limit: int = MAX_JSON) -> Any:
    """The value in a JSON file that a program wrote; OSError or ValueError if there is none."""
    return loads(read_regular(path, limit))


def loads(text: str | bytes, **options: Any) -> Any:
    """`json.loads`, with a ValueError for brackets that are nested too deeply."""
    try:
        return json.loads(text, **options)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value in a JSON file that a person may have written, in which no key occurs twice.

    Raises ConfigError, which names the file and, if known, the line and column.
    """
    try:
        return parse_json(read_regular(path).decode("utf-8-sig"))
    except UnfitFile as error:
        raise ConfigError(f"{path}: cannot be read: it {error.strerror}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (at byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (ConfigError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from None


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises ConfigError for a repeated key, ValueError."""
    return loads(text, object_pairs_hook=_without_duplicates)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for key, count in Counter(key for key, _ in pairs).items():
        if count > 1:
            raise ConfigError(f"the key {key!r} occurs {count} times in one object; expected it once")
    return dict(pairs)


def json_text(tree: Any) -> str:
    """Return the tree as the JSON text this package writes: indented, Unicode, newline-terminated."""
    return json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


@overload
def null_nan(value: dict[str, Any]) -> dict[str, Any]: ...
@overload
def null_nan(value: object) -> object: ...
def null_nan(value: object) -> object:
    """The same with None, JSON's null, for every float that is not finite."""
    if isinstance(value, dict):
        return {name: null_nan(part) for name, part in value.items()}
    if isinstance(value, list):
        return [null_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
