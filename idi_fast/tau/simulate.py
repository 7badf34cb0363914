"""What the Tau interpreter makes of a specification and its input files, line for line.

With L the largest lookback, the clauses hold from time L on. An output at an earlier time is what a clause for that
fixed index says, else 0. Each step is a time from 0 on: of every input that matters (`reading`) the next line is read,
in the order of the names; if one has none left, the run is over before anything is written, else a line goes to every
output. A step from L on in which nothing is read is the last one too: the interpreter would go on by hand.

The exit code of such a run is 0 whatever happens; `errors` says what is wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from idi_fast.agents.streams import stream_text
from idi_fast.errors import InputError
from idi_fast.tau.lines import BAD, END, FORMULA, Formula, Lines, formula_text, read_input, read_lines, refusal
from idi_fast.tau.model import KERNEL_BITS, Model
from idi_fast.tau.reading import Reader
from idi_fast.tau.spec import CONSOLE, Spec

BLOCK = 16_384
"""Steps that are worked out at a time; a v38 agent's streams of that length fit the second-level cache."""

NOTHING_READ = "nothing read"
REASONS = {END: "end of input", BAD: "bad line", FORMULA: "formula"}


@dataclass(frozen=True)
class Stop:
    """Why a run is over.

    reason: "end of input", "missing file", "bad line", "formula" or "nothing read"; time: of the step that did
    not take place, or for "nothing read" the time after the last; stream: the input that had no line; line: the number
    of the line that was wanted, from 1; text: that line where it is a bad one or a formula.
    """

    reason: str
    time: int
    stream: str = ""
    line: int = 0
    text: str = ""


@dataclass(frozen=True)
class Simulation:
    """A simulated run.

    steps: lines in every output file; values: of each output that a clause names, uint8 (steps,) for sbf, uint32 for
    bitvectors, Python's integers for those wider than 32 bits; stop: why it is over; errors: what is wrong, a sentence
    each, none for a sound run; lines: lines of each used input up to the one that ends it; read: how many of them were
    read; first_read: the time of the first, None if there was none; skipped: the first time after that at which no line
    was read, None if there was none; formulas: what an sbf value of 2 or more stands for, from 2 on: formulas of free
    variables as the interpreter writes them.
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

    def files(self) -> dict[str, bytes]:
        """The output files by their names in the specification: a value a line, bitvectors in decimal."""
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
    """Where a run stands.

    streams uint32 or object (n_streams, n): the values up to now, a column a time; tables: what a line of an sbf stands
    for, from 0 on; the rest as in a Simulation.
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
        """The values of some lines of an input; of an sbf truth tables."""
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
        """Work out the outputs of a time that a fixed index bears upon."""
        rows = self.model.rows
        chosen = self.model.choices.at(
            time, lambda value: int(self.streams[rows[value.name], value.index]), 1 << self.model.letters
        )
        for name, value in chosen.items():
            self.streams[rows[name], time] = value
        self.model.runner(time).run(self.streams, time, time + 1)


def simulate(spec: Spec, files: Mapping[str, str | bytes]) -> Simulation:
    """What the interpreter makes of a specification and its input files, by their names in it; one left out is missing.

    Raises NotModelled where it cannot be told: clauses that do not define their outputs one by one, or inputs that are
    not mirrored and that may be read or not.
    """
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
        spec, run.time, written, stop, tuple(_errors(run, stop, list(formulas))),
        {name: lines[name].values.size for name in model.inputs}, run.read, run.first_read, run.skipped,
        tuple(texts.values()),
    )  # fmt: skip


def _written(
    values: np.ndarray, width: int | None, model: Model, letters: list[str], texts: dict[int, str]
) -> np.ndarray:
    """The values of an output as a simulation has them; adds the texts of further truth tables."""
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

    Raises InputError where a file cannot be read, or where a folder for an output is missing: the interpreter makes
    none and can write nothing.
    """
    folder = Path(folder)
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
    if path == CONSOLE:  # where nobody answers: the end of the input
        return read_lines(b"")
    data = files.get(path)
    if data is None:
        return Lines(np.empty(0, np.uint32), 0, missing=True)
    return read_lines(data.encode() if isinstance(data, str) else data, spec.streams[name].width, formulas)


def _run_regular(run: _Run) -> dict[str, np.ndarray]:
    """Run on from `settled`, every input being read in every step, until the first has no more lines."""
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
                f"{streams[name].path}, line {lines.free + 1}: not 0 or 1; the interpreter takes the letters for free "
                f"variables, {formula_text(formula.table, formula.letters)!r}, and outputs become formulas of them"
            )
    if stop.reason in (REASONS[BAD], REASONS[FORMULA]):
        what = refusal(run.lines[stop.stream], streams[stop.stream].width)
        found.append(f"{streams[stop.stream].path}, line {stop.line}: {what}")
    return found
