"""Checking a specification's folder: what will go wrong when the interpreter runs it, at which step, and what to do."""

import os
from dataclasses import replace
from pathlib import Path

from idi_fast.config.arguments import check_path
from idi_fast.errors import InputError
from idi_fast.tau.check_clauses import check_clauses, first_read
from idi_fast.tau.check_files import (
    InputFile,
    check_input,
    check_lengths,
    check_outputs,
    check_places,
    check_strays,
    leaves,
)
from idi_fast.tau.check_findings import Finding, Report, in_order, several
from idi_fast.tau.check_text import Reading, read_text
from idi_fast.tau.fix_clauses import corrected

SPEC = "agent.tau"
SPEC_FOLDER = "spec"
"""The folder of a workflow's specification."""
"""The specification's file where a folder holds several."""

STARTUP = (3.0, 16.0)
STEP = (0.009, 0.018)
"""Seconds the interpreter takes to start, and per step, from and to: measured on specifications of 10 to 25 clauses."""


def find_spec(place: str | Path) -> tuple[Path, tuple[str, ...]]:
    """The specification file of a folder, or a .tau file itself, and the other .tau files beside it.

    The folder of a workflow has its specification in a folder `spec`. Raises InputError if there is none,
    or if there are several and none is called agent.tau.
    """
    place = Path(place)
    if not os.path.lexists(place):
        raise InputError(f"{place} does not exist; expected the folder of a Tau specification")
    if not os.path.isdir(place):
        if place.suffix != ".tau":
            raise InputError(f"{place} is not a folder; expected the folder of a Tau specification, or its .tau file")
        folder, wanted = place.parent, place.name
    else:
        folder, wanted = place, None
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".tau") and name != ".tau")
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror or error}") from error
    if wanted is None:
        if not names and os.path.isdir(folder / SPEC_FOLDER):
            return find_spec(folder / SPEC_FOLDER)
        if not names:
            raise InputError(f"{folder} holds no .tau file; expected the folder of a Tau specification")
        if len(names) > 1 and SPEC not in names:
            raise InputError(f"{folder} holds {several(names)}; give one of these files instead of the folder")
        wanted = SPEC if len(names) > 1 else names[0]
    return folder / wanted, tuple(name for name in names if name != wanted)


def read_spec(path: Path) -> Reading:
    """The text of a specification file, read as far as possible. Raises InputError if there is no such file."""
    try:
        return read_text(path.read_bytes(), path.name)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def check_folder(folder: str | Path) -> Report:
    """Find all that is wrong with a specification's folder, or with the folder of a .tau file.

    A text in older syntax is read as what it means today, so that everything else that is wrong shows as well.

    Parameters
    ----------
    folder
        The folder, or its .tau file.

    Returns
    -------
    Report
        The findings, errors first.

    Raises
    ------
    InputError
        Where there is no specification.
    """
    folder = check_path("folder", folder)
    path, others = find_spec(folder)
    root, reading = path.parent, read_spec(path)
    findings = [*reading.findings, *_other_specs(path, others)]
    spec = reading.spec
    inputs = [stream for stream in reading.declarations if stream.is_input]
    outputs = [stream for stream in reading.declarations if not stream.is_input]
    first = first_read(spec) if spec else dict.fromkeys((stream.name for stream in inputs), 0)
    files: dict[str, InputFile] = {}
    for stream in inputs:
        files[stream.name], found = check_input(root, stream, first.get(stream.name))
        findings += found
    run = None
    if spec:
        data = {stream.path: files[stream.name].data for stream in inputs}
        found, run = check_clauses(spec, reading, {path: text for path, text in data.items() if text is not None})
        findings += found
    used = {name: file for name, file in files.items() if name in first}
    findings += check_lengths(used, {stream.name: stream for stream in inputs}, first, run)
    findings += check_outputs(root, outputs)
    findings += check_places(reading.declarations, path.name, reading.places)
    findings += check_strays(root, inputs)
    written = spec is not None and not corrected(spec)[1]
    findings = [replace(f, fixable=f.fixable and written and not leaves(f.file)) for f in findings]
    return Report(
        str(root),
        path.name,
        in_order(findings),
        {s.path: files[s.name].total for s in inputs if s.name in used},
        tuple(sorted(run.files())) if run else (),
        run.steps if run else None,
        estimate(run.steps) if run else None,
    )


def estimate(steps: int) -> tuple[float, float]:
    """The approximate seconds that the interpreter takes for this many steps, from and to."""
    least, most = (round(begin + each * steps, 1) for begin, each in zip(STARTUP, STEP, strict=True))
    return least, most


def span(seconds: tuple[float, float]) -> str:
    """A range of durations for people: ``3 s to 16 s``."""
    low, high = map(_duration, seconds)
    return f"{low} to {high}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _other_specs(path: Path, others: tuple[str, ...]) -> list[Finding]:
    if not others:
        return []
    return [
        Finding(
            severity="note",
            code="several-specs",
            found=f"beside it there is {several(others)}",
            effect=f"{path.name} is the one that is checked",
            remedy="give the .tau file that you mean",
            file=path.name,
        )
    ]
