"""Which files of a folder `--force` may delete: those that idi-fast wrote there. A manifest alone does not say so,
since anybody can write one that names the files of others."""

import json
import os
import re
import stat
from collections.abc import Collection, Iterable
from hashlib import sha256
from pathlib import Path

DIGESTED_BYTES = 2**26
"""Of longer files only the name and the length are compared: to read them again would take longer than the run."""
MOST_TIMINGS = 2**16
LOOKED_AT = 2**16
"""Bytes of a changed file by which its form is told."""

_RUN = r"(run|kpis|walkforward|sweep|population|config|timings|manifest|artifact_manifest)\.json"
_TABLES = r"(policy|episodes|trace|equity|trades|symbols|windows|points|trials|summary|\d+)\.parquet"
_EVIDENCE = r"proof/(proof\.json|proof\.bin|receipt\.json)|(commitment|qtable\.commit|qtable\.proofs|row)\.json"
_STREAMS = r"(streams|inputs)/[^/]+\.in|(streams|inputs)/streams\.json|(expected|outputs)/[^/]+\.out"
_SPECIFICATION = r"agent\.tau|spec\.json|README\.md"
_PARENTS = r"((seeds/[^/]+|best|policies|spec|artifact)/)*"
KNOWN = re.compile(f"{_PARENTS}({_RUN}|{_TABLES}|{_EVIDENCE}|{_STREAMS}|{_SPECIFICATION}|returns\\.csv|[a-z-]+\\.png)")
"""Names that files in an output may have."""
MADE_LATER = re.compile(f"{_PARENTS}outputs/[^/]+\\.out")
"""Names of files that the user's interpreter makes in one, of whose content nothing is known."""


def foreign_file(folder: Path, names: Iterable[str], listed: dict, later: Collection[str]) -> str | None:
    """The first file that idi-fast did not write, with the reason in brackets; None where it wrote all.

    names: the files of the folder, but its own manifest.json; listed: the manifest's entries of them; later: those that
    it says the user's tools make.
    """
    for name in names:
        is_made_later = name in later and name not in listed and MADE_LATER.fullmatch(name)
        # What a link leads to is not looked at, and a pipe would wait for somebody to write to it.
        if not is_made_later and not stat.S_ISREG(os.lstat(folder / name).st_mode):
            return f"{name}, which idi-fast did not write: it is no regular file"
        if name in listed:
            if not KNOWN.fullmatch(name):
                return f"{name}, which idi-fast did not write"
            if not (_is_as_listed(folder / name, listed[name]) or _has_our_form(folder / name)):
                return f"{name}, which was changed since idi-fast wrote it, or never was its own"
        elif not (is_made_later or (name not in later and _is_timings(folder / name, name, listed))):
            return f"{name}, which idi-fast did not write"
    return None


def _is_as_listed(path: Path, entry: object) -> bool:
    if not isinstance(entry, dict) or entry.get("bytes") != path.stat().st_size:
        return False
    if entry["bytes"] > DIGESTED_BYTES:
        return True
    return entry.get("sha256") == sha256(path.read_bytes()).hexdigest()


def _has_our_form(path: Path) -> bool:
    """Whether a file that was changed still shows what it was: a stream, a table with our metadata, JSON of ours."""
    with open(path, "rb") as file:
        if path.suffix in (".in", ".out"):
            return not file.read(LOOKED_AT).strip(b"0123456789\r\n")
        if path.suffix == ".json":
            return b'"schema_version"' in file.read(LOOKED_AT)
        file.seek(max(0, path.stat().st_size - LOOKED_AT))
        return path.suffix == ".parquet" and b"idi-fast-" in file.read()


def _is_timings(path: Path, name: str, listed: dict) -> bool:
    """Whether a file is the timings.json beside a manifest: seconds by name."""
    parent, _, last = name.rpartition("/")
    if last != "timings.json" or (parent and f"{parent}/manifest.json" not in listed):
        return False
    try:
        found = json.loads(path.read_bytes()) if path.stat().st_size <= MOST_TIMINGS else None
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and all(isinstance(value, int | float) for value in found.values())
