"""Fixing a specification's folder: today's syntax, a mirror of every input, fixed first values, tidy inputs."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath

from idi_fast.config.arguments import check_path
from idi_fast.errors import OutputError
from idi_fast.storage.files import check_place, explained, output_path
from idi_fast.storage.staging import Staging
from idi_fast.tau.check import check_folder, find_spec, read_spec
from idi_fast.tau.check_files import leaves, tidy
from idi_fast.tau.check_findings import Finding, Report, counted, several
from idi_fast.tau.check_text import Reading
from idi_fast.tau.fix_clauses import corrected
from idi_fast.tau.fix_clauses import fix_spec as fix_spec
from idi_fast.tau.spec import Spec, parse_spec

EXPECTED = "expected"
"""The folder of the expected content of ``outputs``, under the same names."""


@dataclass(frozen=True)
class Fixed:
    """What fixing came to.

    Attributes
    ----------
    before : Report
        The check of the folder as it was.
    after : Report or None
        That of the fixed one, of which the findings are what is left; None if nothing was written.
    folder : str
        The fixed folder, empty if nothing was written.
    changes : tuple of str
        What was done, a sentence each.
    refused : str
        Why nothing was written.
    """

    before: Report
    after: Report | None
    folder: str
    changes: tuple[str, ...]
    refused: str = ""

    @property
    def left(self) -> tuple[Finding, ...]:
        """The errors that are left."""
        return (self.after or self.before).errors

    def as_dict(self) -> dict:
        """The result as JSON values."""
        after = self.after.as_dict() if self.after else None
        return {
            "schema_version": 1,
            "before": self.before.as_dict(),
            "after": after,
            "folder": self.folder or None,
            "changes": list(self.changes),
            "refused": self.refused or None,
            "ok": not self.left and not self.refused,
        }


@dataclass(frozen=True)
class _Plan:
    """Files to write, by their paths in the folder, folders to create, and a description of these changes."""

    files: dict[str, bytes]
    folders: tuple[str, ...]
    changes: tuple[str, ...]
    outdated: bool


def fix_folder(folder: str | Path, out: str | Path, *, force: bool = False) -> Fixed:
    """Write a corrected copy of a specification's folder to `out`, whole or not at all.

    Everything else in the folder goes along, but for the outputs of earlier runs and, where the clauses change,
    ``expected``. What cannot be fixed stays, and is in `Fixed.after`. If the specification's text cannot be read, or
    the interpreter would not start it, nothing is written.

    Parameters
    ----------
    folder
        What is corrected: a folder, or its .tau file.
    out
        The folder to write.
    force
        Replaces an earlier output; `out` may then be the folder itself, in which what is wrong is replaced.

    Returns
    -------
    Fixed
        What was done, and what is left.

    Raises
    ------
    InputError
        Where there is no specification.
    OutputError
        Where `out` cannot be written.
    """
    folder, out = check_path("folder", folder), output_path(out)
    path, _ = find_spec(folder)
    root, before = path.parent, check_folder(folder)
    given, out = str(out), Path(os.path.abspath(out))
    in_place = os.path.isdir(out) and os.path.samefile(out, root)
    _check_target(root, out, in_place, force)
    reading = read_spec(path)
    if reading.spec is None:
        return Fixed(before, None, "", (), _unread(reading))
    fixed, why = corrected(reading.spec)
    if why:
        return Fixed(before, None, "", (), why)
    plan = _plan(root, path.name, reading, reading.spec, fixed, in_place)
    with Staging(together=in_place) as staging:
        staging.watch(out)
        if in_place:
            _replace(staging, root, plan)
        else:
            _copy(staging, root, out, reading, plan)
    after = check_folder(out / path.name if Path(folder).suffix == ".tau" else out)
    return Fixed(before, after, given, plan.changes)


def _unread(reading: Reading) -> str:
    """Why a specification that was not read completely cannot be fixed."""
    # What is left after correcting older syntax; if nothing is written, no finding is called fixable any more.
    errors = [finding for finding in reading.findings if not finding.fixable]
    first = f": {errors[0]}" if errors else ""
    if errors and all(finding.code == "not-modelled" for finding in errors):
        return f"the interpreter may accept it, but it is not modelled here{first}"
    return f"the specification cannot be read{first}"


def _check_target(root: Path, out: Path, in_place: bool, force: bool) -> None:
    if in_place:
        if not force:
            raise OutputError(f"{out} is the folder itself; `force=True` fixes it in place")
        return
    check_place(out)
    if Path(os.path.realpath(out)).is_relative_to(os.path.realpath(root)):
        raise OutputError(f"{out} is within {root}, which is read; choose another place")
    if os.path.lexists(out) and (not os.path.isdir(out) or os.path.islink(out) or os.listdir(out)):
        raise OutputError(f"the output {out} already exists; choose another name")


def _plan(root: Path, name: str, reading: Reading, spec: Spec, fixed: Spec, in_place: bool) -> _Plan:
    changes: list[str] = []
    files: dict[str, bytes] = {}
    outdated = False
    if not reading.current:
        changes.append(f"{name} is written in today's syntax and in ASCII")
    if fixed != spec:
        outdated = True
        changes += _additions(spec, fixed)
        if os.path.isdir(root / EXPECTED):
            fate = "stays as it is" if in_place else "is left out"
            changes.append(f"{EXPECTED}/ {fate}: it is of the clauses as they were")
    if fixed != spec or not reading.current:
        files[name] = reading.text(fixed).encode()
        parse_spec(reading.text(fixed), name)  # what is written must be what is meant
    for stream in dict.fromkeys(spec.inputs):
        data = None if leaves(stream.path) else _read(root / stream.path)
        if data is not None and tidy(data) != data:
            files[normpath(stream.path)] = tidy(data)
            changes.append(f"{stream.path} has values and LF alone")
    parents = dict.fromkeys(os.path.dirname(normpath(s.path)) for s in fixed.outputs if not leaves(s.path))
    folders = tuple(parent for parent in parents if parent and not os.path.lexists(root / parent))
    changes += [f"the folder {folder} is made" for folder in folders]
    return _Plan(files, folders, tuple(changes), outdated)


def _additions(spec: Spec, fixed: Spec) -> Iterator[str]:
    known = {stream.name for stream in spec.outputs}
    mirrors = [stream.name for stream in fixed.outputs if stream.name not in known]
    if mirrors:
        yield f"{counted(len(mirrors), 'mirror')} added: {several(mirrors)}"
    before, after = (sum(clause.target.index is not None for clause in of.clauses) for of in (spec, fixed))
    if after != before:
        yield f"{counted(after - before, 'first value')} fixed, as if every value before step 0 were 0"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None  # the check says so


def _copy(staging: Staging, root: Path, out: Path, reading: Reading, plan: _Plan) -> None:
    """Copy the folder, with the changes of the plan.

    Files that the specification names are copied as files even if they are links or behind links, so that no change of
    the copy reaches the original; other links stay links.
    """
    made = staging.reserve(out)
    named = [stream for stream in reading.declarations if not leaves(stream.path)]
    old = {normpath(stream.path) for stream in named if not stream.is_input} | ({EXPECTED} if plan.outdated else set())
    read = [reading.file, *(normpath(stream.path) for stream in named if stream.is_input)]
    with explained(out):
        _copy_tree(root, made, old, {part for path in (*read, *old) for part in _ways(path)})
        for folder in {os.path.dirname(normpath(stream.path)) for stream in named}:
            if os.path.isdir(root / folder):
                (made / folder).mkdir(parents=True, exist_ok=True)
        for name in read:
            if os.path.isfile(root / name) and not os.path.lexists(made / name):
                shutil.copy2(root / name, made / name)
        for folder in plan.folders:
            (made / folder).mkdir(parents=True, exist_ok=True)
        for name, data in plan.files.items():
            (made / name).unlink(missing_ok=True)  # the copy of a file that may not be written to
            (made / name).write_bytes(data)
    staging.swap([out])


def _copy_tree(root: Path, made: Path, left_out: set[str], unlinked: set[str]) -> None:
    """Copy a folder except some paths in it, links to be left out, and .git; the new folders are writable."""

    def stop(error: OSError) -> None:
        raise error

    for parent, folders, names in os.walk(root, onerror=stop):
        inside = os.path.relpath(parent, root)
        (made / inside).mkdir()
        for name in [*folders, *names]:
            path = normpath(os.path.join(inside, name))
            link = os.path.islink(os.path.join(parent, name))
            if path in left_out or name == ".git" or (link and path in unlinked):
                if name in folders:
                    folders.remove(name)
            elif link or name in names:
                shutil.copy2(os.path.join(parent, name), made / path, follow_symlinks=False)


def _ways(path: str) -> list[str]:
    """A path and the folders on the way to it: ``a/b`` and ``a``."""
    parts = path.split("/")
    return ["/".join(parts[: k + 1]) for k in range(len(parts))]


def _replace(staging: Staging, root: Path, plan: _Plan) -> None:
    places: dict[Path, None] = {}
    for folder in plan.folders:
        missing = [root / folder, *(root / folder).parents]
        top = [path for path in missing if not os.path.lexists(path)][-1]
        (staging.reserve(top) / (root / folder).relative_to(top)).mkdir(parents=True, exist_ok=True)
        places[top] = None
    for name, data in plan.files.items():
        with explained(root / name):
            staging.reserve(root / name).write_bytes(data)
        places[root / name] = None
    staging.swap(places)
