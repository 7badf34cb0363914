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

from idi_fast.errors import InputError
from idi_fast.streams import stream_text
from idi_fast.tau.formula import At, values_of
from idi_fast.tau.lines import BAD, END, FORMULA, Lines, line_text, read_input, read_lines, refusal
from idi_fast.tau.model import Model
from idi_fast.tau.reading import Reader
from idi_fast.tau.spec import Spec

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

    steps: lines in every output file; values: of each output that a clause defines, uint8 (steps,) for sbf, uint32 for
    bitvectors; stop: why it is over; errors: what is wrong, a sentence each, none for a sound run; lines: lines of each
    used input up to the one that ends it; read: how many of them were read; first_read: the time of the first, None if
    there was none; skipped: the first time after that at which no line was read, None if there was none; products: the
    products of free variables that an sbf value of 2 or more stands for, from 2 on.
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
    products: tuple[str, ...] = ()

    def files(self) -> dict[str, bytes]:
        """The output files by their names in the specification: a value a line, bitvectors in decimal."""
        return {self.spec.streams[name].path: self._text(values) for name, values in self.values.items()}

    def _text(self, values: np.ndarray) -> bytes:
        if self.products or values.max(initial=0) > 99:
            said = dict(enumerate(self.products, 2)) if values.dtype == np.uint8 else {}
            return "".join(f"{said.get(value, value)}\n" for value in values.tolist()).encode()
        return stream_text(values)


class _Run:
    """Where a run stands.

    streams uint32 (n_streams, n): the values up to now, a column a time; the rest as in a Simulation.
    """

    def __init__(self, model: Model, lines: dict[str, Lines]):
        self.model, self.lines = model, lines
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
                self.streams[model.rows[name], time] = self.lines[name].values[self.read[name]]
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
    products: list[str] = []
    lines = {name: _lines(model, name, files.get(spec.streams[name].path), products) for name in model.inputs}
    run, reader = _Run(model, lines), Reader(model)
    regular = bool(model.inputs) and reader.every_step
    while run.stop is None and not (regular and run.time == model.settled):
        run.step(reader.names(run.time, run.streams))
    values = {name: run.streams[model.rows[name], : run.time] for name in model.outputs}
    if run.stop is None:
        values = _run_regular(run)
    types = {name: np.uint8 if spec.streams[name].width is None else np.uint32 for name in model.outputs}
    return Simulation(
        spec, run.time, {name: values[name].astype(types[name]) for name in model.outputs}, run.stop,
        tuple(_errors(run, products, files)), {name: lines[name].values.size for name in model.inputs}, run.read,
        run.first_read, run.skipped, tuple(products),
    )  # fmt: skip


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


def _lines(model: Model, name: str, data: str | bytes | None, products: list[str]) -> Lines:
    if data is None:
        return Lines(np.empty(0, np.uint32), 0, missing=True)
    data = data.encode() if isinstance(data, str) else data
    lines = read_lines(data, model.spec.streams[name].width, products)
    if lines.free < lines.values.size and not _only_mirrored(model.spec, name):
        return lines.before_free(line_text(data, lines.free))
    return lines


def _only_mirrored(spec: Spec, name: str) -> bool:
    """Whether an input goes nowhere but, as it is, into outputs that nothing hangs on."""
    used = {value.name for clause in spec.clauses for value in values_of(clause.term)}
    return all(
        isinstance(clause.term, At) and clause.target.name not in used
        for clause in spec.clauses
        if any(value.name == name for value in values_of(clause.term))
    )


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
            window[model.rows[name], back : back + n] = run.lines[name].values[first : first + n]
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


def _errors(run: _Run, products: list[str], files: Mapping[str, str | bytes]) -> list[str]:
    streams, stop = run.model.spec.streams, run.stop
    found = [f"{streams[n].path} is missing, the file of {n}" for n in run.model.inputs if run.lines[n].missing]
    for name in run.model.inputs:
        lines = run.lines[name]
        if lines.free < run.read[name]:
            product = products[lines.values[lines.free] - 2]
            found.append(
                f"{streams[name].path}, line {lines.free + 1}: not 0 or 1; the interpreter takes the letters for free "
                f"variables and writes their product, {product!r}"
            )
    if stop.reason in (REASONS[BAD], REASONS[FORMULA]):
        what = refusal(run.lines[stop.stream], streams[stop.stream].width)
        found.append(f"{streams[stop.stream].path}, line {stop.line}: {what}")
    return found
