"""Whether a specification reads its inputs in step: each from time 0 on, and in every step."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeGuard

from idi_fast.tau.check_files import tidy
from idi_fast.tau.check_findings import NOT_MODELLED, REFUSED, Finding, Severity, several
from idi_fast.tau.check_text import Reading
from idi_fast.tau.fix_clauses import corrected
from idi_fast.tau.formula import At, NotModelled, values_of
from idi_fast.tau.model import Model
from idi_fast.tau.parts import Unsatisfiable
from idi_fast.tau.reading import Unclear
from idi_fast.tau.simulation import NOTHING_READ, Simulation, simulate
from idi_fast.tau.spec import Spec


def first_read(spec: Spec) -> dict[str, int]:
    """The time at which each used input is first read, if its value there matters.

    With L the largest lookback: L less the largest lookback of the input, or a fixed index at which it is used.
    """
    found: dict[str, int] = {}

    def take(value: At, time: int) -> None:
        if value.name.startswith("i"):
            found[value.name] = min(time, found.get(value.name, time))

    for value in spec.values:
        take(value, spec.lookback - value.lookback if value.index is None else value.index)
    try:
        model = Model.of(spec)
    except (NotModelled, Unsatisfiable):
        return {stream.name: found[stream.name] for stream in spec.inputs if stream.name in found}
    found.clear()
    for part in model.parts:
        for definition in part.definitions():
            for value in values_of(definition.term):
                take(value, value.time)
        for clause in part.clauses:
            for value in values_of(clause.term):
                take(value, model.lookback - value.lookback if value.index is None else value.index)
    return {stream.name: found[stream.name] for stream in spec.inputs if stream.name in found}


def unmirrored(spec: Spec) -> list[str]:
    """Used inputs that no output equals, so that a step need not read them."""
    whole = {clause.term.name for clause in spec.clauses if _is_whole(clause.term) and clause.target.index is None}
    return [name for name in first_read(spec) if name not in whole]


def _is_whole(term: object) -> TypeGuard[At]:
    return isinstance(term, At) and term.index is None


def free_first_values(model: Model) -> list[str]:
    """Outputs that no clause defines at some time before the lookback."""
    there = {(clause.target.name, clause.target.index) for clauses in model.first for clause in clauses}
    targets = dict.fromkeys(clause.target.name for clause in model.spec.clauses if clause.target.index is None)
    return [name for name in targets if any((name, index) not in there for index in range(model.lookback))]


def check_clauses(spec: Spec, reading: Reading, files: Mapping[str, bytes]) -> tuple[list[Finding], Simulation | None]:
    """What is wrong with how a specification reads, and the run over its files if it can be predicted.

    files: the input files there are, by their paths in the specification.
    """
    check = _Check(spec, reading)
    try:
        check.model = Model.of(spec)
    except Unsatisfiable as error:
        check.say("error", "unsatisfiable", str(error), REFUSED, "change or remove one of these clauses", fixable=False)
        return check.findings, None
    except NotModelled as error:
        check.say(
            "warning",
            "not-modelled",
            str(error),
            NOT_MODELLED,
            "correct it by hand",
            fixable=False,
        )
        return check.findings, None
    run = check.all(files)
    if not any(finding.fixable for finding in check.findings):
        return check.findings, run
    fixed = _Check(corrected(spec)[0], reading)
    fixed.model = Model.of(fixed.spec)
    fixed.all({path: tidy(data) for path, data in files.items()})
    left = {(finding.code, finding.stream) for finding in fixed.findings}
    return [replace(f, fixable=f.fixable and (f.code, f.stream) not in left) for f in check.findings], run


class _Check:
    """Findings about one specification."""

    def __init__(self, spec: Spec, reading: Reading):
        self.spec, self.reading = spec, reading
        self.first = first_read(spec)
        self.findings: list[Finding] = []
        self.unclear: Unclear | None = None
        self.model: Model

    def all(self, files: Mapping[str, bytes]) -> Simulation | None:
        """Find everything; the run over the files if it can be predicted."""
        self.alignment()
        run = self.simulated(files)
        self.mirrors(run)
        self.unused()
        return run

    def say(
        self,
        severity: Severity,
        code: str,
        found: str,
        effect: str,
        remedy: str,
        *,
        stream: str = "",
        step: int | None = None,
        fixable: bool = True,
    ) -> None:
        """Add a finding at the declaration of the stream."""
        line, column = self.reading.places.get(stream, (None, None))
        self.findings.append(
            Finding(
                severity=severity,
                code=code,
                found=found,
                effect=effect,
                remedy=remedy,
                file=self.reading.file,
                line=line,
                column=column,
                stream=stream,
                step=step,
                fixable=fixable,
            )
        )

    def alignment(self) -> None:
        """Inputs that are first read at different times, or all too late; first values that are not fixed."""
        spec, first, lookback = self.spec, self.first, self.model.lookback
        earliest = min(first, key=first.__getitem__, default="")
        for name, time in first.items():
            lag = time - first[earliest]
            if lag:
                mine, other = spec.streams[name].path, spec.streams[earliest].path
                self.say(
                    "error",
                    "misaligned",
                    f"{name} is first read at step {time}, {earliest} at step {first[earliest]}",
                    f"the file {mine} lags {lag} step{'s' * (lag > 1)} behind {other}: results are wrong, silently",
                    f"fix the first values, so that all are read from step 0 on: {self._anchors()}",
                    stream=name,
                    step=first[earliest],
                )
        late = min(first.values(), default=0)
        if late:
            self.say(
                "warning",
                "late-start",
                f"no input is read before step {late}, since clauses look {lookback} back",
                f"the outputs have {late} line{'s' * (late > 1)} more than the inputs: line n belongs to input line "
                f"n - {late}",
                f"fix the first values: {self._anchors()}",
                step=0,
            )
        if free := free_first_values(self.model):
            steps = "step 0" if lookback == 1 else f"steps 0 to {lookback - 1}"
            self.say(
                "warning",
                "free-first-values",
                f"no clause says what these outputs are at {steps}: {several(free)}",
                "the interpreter chooses: 0 in every run on record, but nothing promises it",
                f"fix the first values: {self._anchors()}",
                step=0,
            )

    def _anchors(self) -> str:
        free = free_first_values(self.model)
        return f"a clause ({free[0]}[0] = ...) and so on for every output" if free else "a clause for each fixed index"

    def simulated(self, files: Mapping[str, bytes]) -> Simulation | None:
        """The run over the files, None if it cannot be predicted."""
        try:
            run = simulate(self.spec, files)
        except Unclear as error:
            self.unclear = error
            return None
        except NotModelled as error:
            self.say(
                "warning", "not-modelled", str(error), NOT_MODELLED, "define the outputs by equations", fixable=False
            )
            return None
        if run.stop.reason == NOTHING_READ:
            self.say(
                "warning",
                "nothing-read",
                f"no line is read at step {run.steps - 1}",
                "the run ends with that step: the interpreter would go on by hand",
                "mirror an input",
                step=run.steps - 1,
            )
        return run

    def mirrors(self, run: Simulation | None) -> None:
        """Inputs that some step does not read, or need not read."""
        missing = unmirrored(self.spec)
        for name in self.first:
            skipped = self._first_skipped(name, run)
            if name in missing or skipped is not None:
                self._say_unmirrored(name, skipped, run)

    def _first_skipped(self, name: str, run: Simulation | None) -> int | None:
        if run is None or run.steps <= self.first[name]:
            return None
        begun = run.first_read[name]
        return self.first[name] if begun is None or begun > self.first[name] else run.skipped[name]

    def _say_unmirrored(self, name: str, skipped: int | None, run: Simulation | None) -> None:
        severity, step = "warning", skipped
        if skipped is not None:
            severity = "error"
            effect = f"step {skipped} reads no line of it: from there on its lines come too late, silently"
        elif self.unclear is not None:
            severity, step = "error", self.unclear.time
            effect = f"it may drift: at step {step} it is unclear whether a line of {self.unclear.stream} is read"
        elif self.model.lookback == 0 and run is not None:
            severity = "note"
            effect = "none: nothing depends on earlier steps, so every step reads it"
        elif run is None:
            effect = "it may drift: a step in which it does not matter reads no line of it"
        else:
            effect = "none in this run; with other values a step in which it does not matter reads no line of it"
        found = "is not mirrored" if name in unmirrored(self.spec) else f"is not read at step {step}"
        self.say(
            severity,
            "unmirrored",
            f"{name} ({self.spec.streams[name].path}) {found}",
            effect,
            f"declare an output of its own and write (oX[t] = {name}[t])",
            stream=name,
            step=step,
        )

    def unused(self) -> None:
        """Declared streams that no clause uses."""
        used = {value.name for value in self.spec.values}
        for name, stream in self.spec.streams.items():
            if name not in used:
                effect = "its file is never read" if stream.is_input else "nothing is written to its file"
                self.say(
                    "note",
                    "unused",
                    f"no clause uses {name} ({stream.path})",
                    effect,
                    "mirror it, or remove its declaration" if stream.is_input else "remove its declaration",
                    stream=name,
                    fixable=False,
                )
