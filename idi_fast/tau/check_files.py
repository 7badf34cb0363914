"""The files of a specification's folder: inputs that end a run early, outputs that cannot be written."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from posixpath import isabs, normpath

import numpy as np

from idi_fast.tau.check_findings import Finding, counted, several
from idi_fast.tau.declarations import Declaration
from idi_fast.tau.formula import largest, type_name
from idi_fast.tau.lines import BAD, BLANKS, END, FORMULA, line_codes, line_text, read_input
from idi_fast.tau.simulation import Simulation

BOM = b"\xef\xbb\xbf"
UNTIDY = re.compile(rb"[ \t\r\v\f](?:\n|\Z)|(?:\A|\n)[ \t\r\v\f]|\n\n\Z")


@dataclass(frozen=True)
class InputFile:
    """The content of an input's file.

    data: its bytes, None if no file can be read; total: lines up to the last that is not empty.
    """

    data: bytes | None
    total: int


def tidy(data: bytes) -> bytes:
    """The same lines without what is not part of a value: a byte order mark, blanks, CR, empty lines at the end."""
    if not _is_untidy(data):
        return data
    lines = [line.strip(BLANKS) for line in data.removeprefix(BOM).split(b"\n")]
    text = b"\n".join(lines).rstrip(b"\n")
    return text + b"\n" if text else b""


def _is_untidy(data: bytes) -> bool:
    return data.startswith(BOM) or UNTIDY.search(data) is not None


def _is_fixable(data: bytes, width: int | None) -> bool:
    """Whether only what `tidy` removes ends the file before its last line."""
    codes = line_codes(tidy(data), width)
    return bool(np.all(codes[: _total(codes)] >= 0))


def _total(codes: np.ndarray) -> int:
    """Lines up to the last that is not empty."""
    said = np.flatnonzero(codes != END)
    return int(said[-1]) + 1 if said.size else 0


def leaves(path: str) -> bool:
    """Whether a path of a specification leads out of its folder."""
    return isabs(path) or normpath(path).split("/")[0] == ".."


def check_input(folder: Path, stream: Declaration, first: int | None) -> tuple[InputFile, list[Finding]]:
    """The content of an input's file, and what is wrong with it.

    first: the time at which its first line is read, None if no clause uses the input.
    """
    path = folder / stream.path
    try:
        data = read_input(path)
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        found = "the file is missing" if missing else f"it cannot be read ({getattr(error, 'strerror', None) or error})"
        finding = Finding(
            severity="note" if first is None else "error",
            code="missing-input",
            found=f"{found}, of {stream.name}",
            effect="no clause uses the stream"
            if first is None
            else f"the run ends at step {first}, before {stream.name} is read, and the exit code is still 0",
            remedy=f"put the values of {stream.name} there, one per line",
            file=stream.path,
            stream=stream.name,
            step=first,
        )
        return InputFile(None, 0), [finding]
    return (InputFile(data, 0), []) if first is None else _check_lines(data, stream, first)


def _check_lines(data: bytes, stream: Declaration, first: int) -> tuple[InputFile, list[Finding]]:
    codes = line_codes(data, stream.width)
    total = _total(codes)
    codes = codes[:total]
    file, findings = InputFile(data, total), []
    if total == 0:
        findings.append(_empty_file(stream, first))
    for code, of_kind in ((END, _empty_line), (BAD, _bad_line), (FORMULA, _formula)):
        where = np.flatnonzero(codes == code)
        if where.size:
            findings.append(of_kind(data, stream, first, where, file))
    products = np.flatnonzero(codes > 1)
    if stream.width is None and products.size:
        findings.append(_letters(data, stream, first, products))
    if _is_untidy(data) and not data.startswith(BOM):
        findings.append(
            Finding(
                severity="note",
                code="padding",
                found="blanks, CR or empty lines beside the values",
                effect="none, the interpreter leaves them out",
                remedy="write the value alone, and LF",
                file=stream.path,
                stream=stream.name,
                fixable=True,
            )
        )
    return file, findings


def _empty_file(stream: Declaration, first: int) -> Finding:
    return Finding(
        severity="error",
        code="empty-file",
        found="the file has no lines",
        effect=f"the run ends at step {first} without a message",
        remedy=f"put the values of {stream.name} there",
        file=stream.path,
        stream=stream.name,
        step=first,
    )


def _empty_line(data: bytes, stream: Declaration, first: int, where: np.ndarray, file: InputFile) -> Finding:
    line = int(where[0])
    return Finding(
        severity="error",
        code="empty-line",
        found=f"an empty line{_more(where)}",
        effect=f"the input ends there without a message, at step {first + line}: "
        f"{counted(file.total - line - 1, 'line')} behind it {_are(file.total - line - 1)} never read",
        remedy="write a value there, or remove the line",
        file=stream.path,
        line=line + 1,
        stream=stream.name,
        step=first + line,
    )


def _bad_line(data: bytes, stream: Declaration, first: int, where: np.ndarray, file: InputFile) -> Finding:
    line = int(where[0])
    mark = line == 0 and data.startswith(BOM)
    text = "a byte order mark" if mark else f"{line_text(data, line)!r}{_more(where)}"
    fixed = _is_fixable(data, stream.width)
    return Finding(
        severity="error",
        code="bad-line",
        found=f"found {text}; {stream.name} is {stream.type}, which takes 0 to {largest(stream.width)}",
        effect=f"the run ends at step {first + line} with an (Error), and the exit code is still 0",
        remedy="take it out" if fixed else f"write a value of {type_name(stream.width)}",
        file=stream.path,
        line=line + 1,
        stream=stream.name,
        step=first + line,
        fixable=fixed,
    )


def _formula(data: bytes, stream: Declaration, first: int, where: np.ndarray, file: InputFile) -> Finding:
    line = int(where[0])
    return Finding(
        severity="error",
        code="formula",
        found=f"{line_text(data, line)!r}{_more(where)} is a formula, not 0 or 1",
        effect=f"the interpreter evaluates it at step {first + line}, letters being free variables, without an error",
        remedy="write 0 or 1",
        file=stream.path,
        line=line + 1,
        stream=stream.name,
        step=first + line,
    )


def _letters(data: bytes, stream: Declaration, first: int, where: np.ndarray) -> Finding:
    line = int(where[0])
    return Finding(
        severity="error",
        code="letters",
        found=f"{line_text(data, line)!r}{_more(where)} is not 0 or 1",
        effect=f"at step {first + line} the interpreter treats the letters as free variables, without a message, and "
        "outputs are formulas of them",
        remedy="write 0 or 1",
        file=stream.path,
        line=line + 1,
        stream=stream.name,
        step=first + line,
    )


def _more(where: np.ndarray) -> str:
    return f" and {where.size - 1:,} more such" if where.size > 1 else ""


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def check_lengths(
    files: dict[str, InputFile], streams: dict[str, Declaration], first: dict[str, int], run: Simulation | None
) -> list[Finding]:
    """Inputs that end before others do.

    files: of the used inputs, by stream; first: when each is first read; run: the simulation, if there is one.
    """
    totals = {name: file.total for name, file in files.items() if file.data is not None and file.total}
    if len(set(totals.values())) < 2:
        return []
    longest = max(totals, key=totals.__getitem__)
    shortest = min(totals, key=lambda name: (totals[name] + first[name], name))
    step = totals[shortest] + first[shortest]
    unread = {name: totals[name] - (step - first[name]) for name in sorted(totals)}
    if run and run.stop.stream in totals and totals[run.stop.stream] < totals[longest]:
        shortest, step = run.stop.stream, run.stop.time
        unread = {name: totals[name] - run.read[name] for name in sorted(totals)}
    many = [f"{n:,} of {streams[name].path}" for name, n in unread.items() if n > 0]
    if not many:
        return []
    return [
        Finding(
            severity="error",
            code="unequal-lengths",
            found=f"{counted(totals[shortest], 'line')}, where {streams[longest].path} has {totals[longest]:,}",
            effect=f"the run ends at step {step} without a message; lines never read: {several(many)}",
            remedy="give all inputs as many lines",
            file=streams[shortest].path,
            stream=shortest,
            step=step,
        )
    ]


def check_outputs(folder: Path, outputs: Iterable[Declaration]) -> list[Finding]:
    """Outputs without a folder, or whose files already exist."""
    findings, there, missing = [], [], {}
    for stream in outputs:
        path = folder / stream.path
        if not os.path.isdir(path.parent):
            missing.setdefault(str(Path(stream.path).parent), []).append(stream.name)
        elif os.path.isdir(path):
            findings.append(
                Finding(
                    severity="error",
                    code="output-folder",
                    found=f"a folder, where {stream.name} should be written",
                    effect="the interpreter writes nothing there, and the exit code is still 0",
                    remedy="remove it",
                    file=stream.path,
                    stream=stream.name,
                )
            )
        elif os.path.lexists(path):
            there.append(stream)
    for parent, names in missing.items():
        findings.append(
            Finding(
                severity="error",
                code="output-folder",
                found=f"the folder of {several(names)} is missing",
                effect="the interpreter makes none and writes nothing, and the exit code is still 0",
                remedy="make the folder",
                file=parent,
                stream=names[0] if len(names) == 1 else "",
                fixable=not leaves(parent) and not os.path.lexists(folder / parent),
            )
        )
    if there:
        findings.append(
            Finding(
                severity="note",
                code="overwritten",
                found="there is an output of an earlier run"
                if len(there) == 1
                else f"there are {len(there)} outputs of an earlier run: {several(s.path for s in there)}",
                effect="a run overwrites it" if len(there) == 1 else "a run overwrites them",
                remedy="move what you want to keep away",
                file=there[0].path,
                stream=there[0].name if len(there) == 1 else "",
            )
        )
    return findings


def check_places(streams: Iterable[Declaration], file: str, places: dict[str, tuple[int, int]]) -> list[Finding]:
    """Paths that lead out of the folder."""
    return [
        Finding(
            severity="warning",
            code="path",
            found=f"{stream.name} is {stream.path!r}, which is not within the folder",
            effect="the folder is not whole by itself; elsewhere, or run from another place, it is another file",
            remedy="name a file within the folder",
            file=file,
            line=places[stream.name][0],
            column=places[stream.name][1],
            stream=stream.name,
        )
        for stream in streams
        if leaves(stream.path)
    ]


def check_strays(folder: Path, inputs: Iterable[Declaration]) -> list[Finding]:
    """Files beside the inputs, of the same kind by their names, that no stream reads."""
    paths = [normpath(stream.path) for stream in inputs if not leaves(stream.path)]
    suffixes = {Path(path).suffix for path in paths} - {""}
    strays = []
    for parent in sorted({str(Path(path).parent) for path in paths}):
        if os.path.isdir(folder / parent):
            there = sorted(path for path in (folder / parent).iterdir() if path.is_file() and path.suffix in suffixes)
            strays += [name for path in there if (name := normpath(f"{parent}/{path.name}")) not in paths]
    return [
        Finding(
            severity="note",
            code="unread-file",
            found="no stream reads this file",
            effect="none on the run",
            remedy="declare a stream for it, or remove it",
            file=stray,
        )
        for stray in strays
    ]
