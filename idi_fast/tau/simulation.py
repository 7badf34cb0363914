"""What the Tau interpreter makes of a specification and its input files, line for line.

With L the largest lookback, the clauses hold from time L on. An output at an earlier time is what a clause for that
fixed index says, else 0. Each step is a time from 0 on: of every input that matters (`reading`) the next line is read,
in the order of the names; if one has none left, the run is over before anything is written, else a line goes to every
output. A step from L on in which nothing is read is the last one too: the interpreter would go on by hand.

The exit code of such a run is 0 whatever happens; `errors` says what is wrong.
"""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from idi_fast import display
from idi_fast.agents.streams import stream_text
from idi_fast.config.arguments import check_path, described
from idi_fast.errors import InputError
from idi_fast.tau.declarations import CONSOLE
from idi_fast.tau.lines import BAD, END, FORMULA, Formula, Lines, formula_text, read_input, read_lines, refusal
from idi_fast.tau.model import KERNEL_BITS, Model
from idi_fast.tau.reading import Reader
from idi_fast.tau.spec import Spec

BLOCK = 16_384
"""Steps computed at a time; a v38 agent's streams of that length fit the second-level cache."""

NOTHING_READ = "nothing read"
REASONS = {END: "end of input", BAD: "bad line", FORMULA: "formula"}


@dataclass(frozen=True)
class Stop:
    """Why a run ended.

    Attributes
    ----------
    reason : str
        "end of input", "missing file", "bad line", "formula" or "nothing read".
    time : int
        Of the step that did not take place, or for "nothing read" the time after the last.
    stream : str
        The input without a line.
    line : int
        The number of the missing line, from 1.
    text : str
        That line if it is bad or a formula.
    """

    reason: str
    time: int
    stream: str = ""
    line: int = 0
    text: str = ""


@dataclass(frozen=True)
class Simulation:
    """A simulated run; made by `simulate`.

    Attributes
    ----------
    steps : int
        Lines in every output file.
    values : dict of str to numpy.ndarray
        Of each output that a clause names: uint8 (steps,) for sbf, uint32 for bitvectors, Python's integers for those
        wider than 32 bits.
    stop : Stop
        Why it ended.
    errors : tuple of str
        What is wrong, a sentence each; none for a sound run.
    lines : dict of str to int
        Lines of each used input up to the one that ends it.
    read : dict of str to int
        How many of them were read.
    first_read : dict of str to int or None
        The time of the first, None if none was read.
    skipped : dict of str to int or None
        The first time after that at which no line was read, None if there was none.
    formulas : tuple of str
        What an sbf value of 2 or more stands for, from 2 on: formulas of free variables as the interpreter writes them.
    spec : Spec
    """

    spec: Spec
    steps: int
    values: dict[str, np.ndarray]
    stop: Stop
    errors: tuple[str, ...]
    lines: dict[str, int]
    read: dict[str, int]
    first_read: dict[str, int | None]
    skipped: dict[str, int | None]
    formulas: tuple[str, ...] = ()

    def __repr__(self) -> str:
        rows: list[tuple[str, object]] = [
            ("outputs", textwrap.shorten(", ".join(self.values), 80, placeholder=" …")),
            ("stop", self.stop.reason),
        ]
        if self.errors:
            rows.append(("errors", len(self.errors)))
        return display.as_text(f"Simulation of {self.steps:,} steps", rows)

    def files(self) -> dict[str, bytes]:
        """The output files by their names in the specification: a value per line, bitvectors in decimal."""
        streams = self.spec.streams
        return {
            streams[name].path: self._text(values, streams[name].width)
            for name, values in self.values.items()
            if streams[name].path != CONSOLE
        }

    def _text(self, values: np.ndarray, width: int | None) -> bytes:
        if self.formulas or values.max(initial=0) > 99:
            said = dict(enumerate(self.formulas, 2)) if width is None else {}
            return "".join(f"{said.get(value, value)}\n" for value in values.tolist()).encode()
        return stream_text(values)


class _Run:
    """The state of a run.

    streams uint32 or object (n_streams, n): the values so far, a column per time; tables: the truth table of each line
    of an sbf, from 0 on; the rest as in a Simulation.
    """

    def __init__(self, model: Model, lines: dict[str, Lines], tables: np.ndarray):
        self.model, self.lines, self._tables = model, lines, tables
        self.streams = np.zeros((len(model.rows), max(model.settled, 1)), model.dtype)
        self.program = model.runner()
        self.time = 0
        self.stop: Stop | None = None
        self.read = dict.fromkeys(model.inputs, 0)
        self.first_read: dict[str, int | None] = dict.fromkeys(model.inputs)
        self.skipped: dict[str, int | None] = dict.fromkeys(model.inputs)

    def left(self, name: str) -> int:
        """Lines of an input that are not read yet."""
        return self.lines[name].values.size - self.read[name]

    def values(self, name: str, first: int, n: int) -> np.ndarray:
        """The values of some lines of an input; for an sbf truth tables."""
        values = self.lines[name].values[first : first + n]
        return self._tables[values] if self.model.spec.streams[name].width is None else values

    def end_at(self, name: str) -> Stop:
        """Why the run is over now that an input has no more lines."""
        lines = self.lines[name]
        reason = "missing file" if lines.missing else REASONS[lines.end]
        return Stop(reason, self.time, name, self.read[name] + 1, lines.text)

    def step(self, names: tuple[str, ...]) -> None:
        """Take a step in which these inputs are read, or stop."""
        model, time = self.model, self.time
        for name in names:
            if self.left(name) == 0:
                self.stop = self.end_at(name)
                return
        if time == self.streams.shape[1]:
            self.streams = np.concatenate([self.streams, np.zeros_like(self.streams)], axis=1)
        for name in model.inputs:
            if name in names:
                self.streams[model.rows[name], time] = self.values(name, self.read[name], 1)[0]
                self.read[name] += 1
                self.first_read[name] = time if self.first_read[name] is None else self.first_read[name]
            elif self.first_read[name] is not None and self.skipped[name] is None:
                self.skipped[name] = time
        if time < model.settled:
            self._first(time)
        else:
            self.program.run(self.streams, time, time + 1)
        self.time += 1
        if not names and time >= max(model.lookback, model.last_time):
            self.stop = Stop(NOTHING_READ, self.time)

    def _first(self, time: int) -> None:
        """Compute the outputs of a time that fixed indices affect."""
        rows = self.model.rows
        chosen = self.model.choices.at(
            time, lambda value: int(self.streams[rows[value.name], value.index]), 1 << self.model.letters
        )
        for name, value in chosen.items():
            self.streams[rows[name], time] = value
        self.model.runner(time).run(self.streams, time, time + 1)


def simulate(spec: Spec, files: Mapping[str, str | bytes]) -> Simulation:
    """Compute what the interpreter makes of a specification and its input files.

    Parameters
    ----------
    spec
        As for `parse_spec` or `load_spec`.
    files
        The text of each input file by its name in the specification, a value per line; one left out is missing.

    Returns
    -------
    Simulation
        The outputs' values, and why the run ended.

    Raises
    ------
    NotModelled
        If the result cannot be predicted: clauses that do not define their outputs one by one, or inputs that are not
        mirrored and may or may not be read.
    InputError
        If `spec` or `files` is something else.

    Examples
    --------
    >>> from idi_fast.tau import parse_spec, simulate
    >>> text = 'i1:sbf := in file("a.in").  o1:sbf := out file("a.out").  (o1[t] = i1[t])'
    >>> run = simulate(parse_spec(text), {"a.in": "1\\n0\\n1\\n"})
    >>> run.files()
    {'a.out': b'1\\n0\\n1\\n'}
    """
    if not isinstance(spec, Spec):
        how = "parse_spec(…)" if isinstance(spec, str) else "parse_spec or load_spec"
        raise InputError(f"spec is {described(spec)}; expected a Spec, as of {how}")
    if not isinstance(files, Mapping) or not all(isinstance(text, str | bytes) for text in files.values()):
        raise InputError(f"files is {described(files)}; expected a dict of texts by the names of files")
    model = Model.of(spec)
    formulas: dict[Formula, int] = {}
    lines = {name: _lines(spec, name, files, formulas) for name in model.inputs}
    letters = sorted({letter for formula in formulas for letter in formula.letters})
    if letters:
        model = Model.of(spec, len(letters))
    tables = [0, model.truth, *(formula.over(letters) for formula in formulas)]
    run, reader = _Run(model, lines, np.array(tables, model.dtype)), Reader(model)
    regular = bool(model.inputs) and reader.every_step
    while run.stop is None and not (regular and run.time == model.settled):
        run.step(reader.names(run.time, run.streams))
    values = {name: run.streams[model.rows[name], : run.time] for name in model.outputs}
    if run.stop is None:
        values = _run_regular(run)
    stop = run.stop
    assert stop is not None  # a run ends no other way
    texts: dict[int, str] = {}
    written = {name: _written(values[name], spec.streams[name].width, model, letters, texts) for name in model.outputs}
    return Simulation(
        spec,
        run.time,
        written,
        stop,
        tuple(_errors(run, stop, list(formulas))),
        {name: lines[name].values.size for name in model.inputs},
        run.read,
        run.first_read,
        run.skipped,
        tuple(texts.values()),
    )


def _written(
    values: np.ndarray, width: int | None, model: Model, letters: list[str], texts: dict[int, str]
) -> np.ndarray:
    """The values of an output as in a simulation; adds the texts of further truth tables."""
    if width is not None:
        return values.astype(np.uint32 if width <= KERNEL_BITS else object)
    if not letters:
        return values.astype(np.uint8)
    for table in dict.fromkeys(values.tolist()):
        if table not in (0, model.truth):
            texts.setdefault(table, formula_text(table, letters))
    codes = {0: 0, model.truth: 1, **{table: code for code, table in enumerate(texts, 2)}}
    return np.array([codes[table] for table in values.tolist()], np.uint8 if len(codes) <= 256 else np.uint32)


def simulate_folder(spec: Spec, folder: str | Path) -> Simulation:
    """As `simulate`, with the input files that lie in the folder in which the interpreter runs.

    Parameters
    ----------
    spec
        As for `load_spec`.
    folder
        The folder of the input files.

    Returns
    -------
    Simulation
        Nothing is written.

    Raises
    ------
    InputError
        Where a file cannot be read, or where a folder for an output is missing: the interpreter makes none.
    NotModelled
        As for `simulate`.
    """
    folder = check_path("folder", folder)
    for stream in spec.outputs:
        if not (parent := (folder / stream.path).parent).is_dir():
            raise InputError(f"the folder {parent} of {stream.name} does not exist; the interpreter does not make it")
    files = {}
    for stream in spec.inputs:
        try:
            files[stream.path] = read_input(folder / stream.path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InputError(f"cannot read {folder / stream.path}: {error.strerror or error}") from error
    return simulate(spec, files)


def _lines(spec: Spec, name: str, files: Mapping[str, str | bytes], formulas: dict[Formula, int]) -> Lines:
    path = spec.streams[name].path
    if path == CONSOLE:  # nobody answers there: the end of the input
        return read_lines(b"")
    data = files.get(path)
    if data is None:
        return Lines(np.empty(0, np.uint32), 0, missing=True)
    return read_lines(data.encode() if isinstance(data, str) else data, spec.streams[name].width, formulas)


def _run_regular(run: _Run) -> dict[str, np.ndarray]:
    """Continue from `settled`, with every input read in every step, until the first has no more lines."""
    model, back = run.model, run.model.settled
    shortest = min(model.inputs, key=run.left)  # of several the first that is read
    steps = back + run.left(shortest)
    window = np.zeros((len(model.rows), back + BLOCK), model.dtype)
    values = {name: np.zeros(steps, model.dtype) for name in model.outputs}
    window[:, :back] = run.streams[:, :back]
    for name in model.outputs:
        values[name][:back] = window[model.rows[name], :back]
    for start in range(back, steps, BLOCK):
        n = min(BLOCK, steps - start)
        for name in model.inputs:
            first = run.read[name] + start - back
            window[model.rows[name], back : back + n] = run.values(name, first, n)
        run.program.run(window, back, back + n)
        for name in model.outputs:
            values[name][start : start + n] = window[model.rows[name], back : back + n]
        window[:, :back] = window[:, n : back + n]
    for name in model.inputs:
        if steps > back and run.first_read[name] is None:
            run.first_read[name] = back
        run.read[name] += steps - back
    run.time = steps
    run.stop = run.end_at(shortest)
    return values


def _errors(run: _Run, stop: Stop, formulas: list[Formula]) -> list[str]:
    streams = run.model.spec.streams
    found = [f"{streams[n].path} is missing, the file of {n}" for n in run.model.inputs if run.lines[n].missing]
    for name in run.model.inputs:
        lines = run.lines[name]
        if lines.free < run.read[name]:
            formula = formulas[lines.values[lines.free] - 2]
            found.append(
                f"{streams[name].path}, line {lines.free + 1}: not 0 or 1; the interpreter treats the letters as free "
                f"variables, {formula_text(formula.table, formula.letters)!r}, and outputs become formulas of them"
            )
    if stop.reason in (REASONS[BAD], REASONS[FORMULA]):
        what = refusal(run.lines[stop.stream], streams[stop.stream].width)
        found.append(f"{streams[stop.stream].path}, line {stop.line}: {what}")
    return found
