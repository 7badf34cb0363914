"""Running a specification's folder, in the interpreter if there is one, and comparing the outputs."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from posixpath import normpath

from idi_fast.config.arguments import check_path
from idi_fast.errors import InputError
from idi_fast.storage.files import explained
from idi_fast.storage.hidden import appearance
from idi_fast.storage.staging import Staging, install
from idi_fast.tau.check import check_folder, estimate, find_spec, read_spec
from idi_fast.tau.check_files import leaves
from idi_fast.tau.check_findings import Report, counted, several
from idi_fast.tau.declarations import CONSOLE, Declaration
from idi_fast.tau.fix import EXPECTED
from idi_fast.tau.formula import NotModelled
from idi_fast.tau.run_process import Outcome, find_interpreter, run_process
from idi_fast.tau.simulation import Simulation, simulate_folder
from idi_fast.tau.spec import load_spec

CONTEXT = 3
"""Lines shown on either side of the first difference."""

PATIENCE = 10
"""Default timeout, as a multiple of the expected duration."""


@dataclass(frozen=True)
class Difference:
    """The first difference of two outputs.

    line: from 1; step: from 0; begin: the number of the first line shown; found, expected: the lines around it,
    None if one has no such line.
    """

    line: int
    step: int
    begin: int
    found: tuple[str | None, ...]
    expected: tuple[str | None, ...]


@dataclass(frozen=True)
class Output:
    """An output file of a run: lines, and where it differs from the simulation and from ``expected``."""

    path: str
    stream: str
    lines: int
    from_simulation: Difference | None = None
    from_expected: Difference | None = None


@dataclass(frozen=True)
class Run:
    """What a run came to.

    Attributes
    ----------
    folder, spec : str
        The folder and the specification's file in it.
    by : str
        "interpreter", "simulation", or "nothing" where the check refused it.
    steps : int
        Lines of every output by the simulation, without one those of the longest.
    failures : tuple of str
        Why it is no run, a sentence each; the folder is then as it was.
    outputs : tuple of Output
        The files, and where they differ from the simulation and from ``expected``.
    compared : bool
        Whether there is a folder ``expected``.
    unmatched : tuple of str
        Files in it that are named like outputs but are those of none.
    check : Report or None
        None where it was not asked for.
    interpreter : str or None
        Its program.
    outcome : Outcome or None
        Of its process.
    simulated : bool
        Whether there is a simulation to compare with.
    """

    folder: str
    spec: str
    by: str
    steps: int
    failures: tuple[str, ...]
    outputs: tuple[Output, ...]
    compared: bool
    check: Report | None
    unmatched: tuple[str, ...] = ()
    interpreter: str | None = None
    outcome: Outcome | None = None
    simulated: bool = True

    @property
    def differences(self) -> tuple[Output, ...]:
        """The outputs that differ from the simulation or from ``expected``."""
        return tuple(output for output in self.outputs if output.from_simulation or output.from_expected)

    @property
    def ok(self) -> bool:
        """Whether the run took place and gave the right outputs."""
        return not self.failures and not self.differences and not self.unmatched

    def as_dict(self) -> dict:
        """The run as JSON values."""
        check = self.check.as_dict() if self.check else None
        return {"schema_version": 1, **asdict(self), "check": check, "ok": self.ok}


def run_folder(
    folder: str | Path,
    tau: str | None = None,
    *,
    timeout: float | None = None,
    check: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Run:
    """Run a specification's folder and put its outputs there, all or none, if the run was sound.

    The interpreter runs in a copy, so that no earlier output can be taken for one of this run. Its exit code 0 says
    nothing: a run is sound if it says no ``(Error)`` and writes as many lines to every output as the simulation; of a
    specification that is not modelled, as many lines to each.

    Parameters
    ----------
    folder
        The folder, or its .tau file.
    tau
        The interpreter, by default that of the variable TAU; without one the run is simulated.
    timeout
        Seconds, by default ten times what it should take.
    check
        Whether errors that `check_folder` finds refuse the run.
    progress
        Called with the steps done and all steps.

    Returns
    -------
    Run
        The outputs, and where they differ from what must come out.

    Raises
    ------
    InputError, SpecError
        Where it cannot be run at all.
    NotModelled
        Likewise, without an interpreter.
    OutputError
        Where outputs cannot be written.
    """
    folder = check_path("folder", folder)
    path, _ = find_spec(folder)
    root, program = path.parent, find_interpreter(tau)
    if timeout is not None and not timeout > 0:
        raise InputError(f"the timeout is {timeout}; expected seconds above 0")
    report = check_folder(path) if check else None
    if report and report.errors:
        n = counted(len(report.errors), "error")
        return Run(str(root), path.name, "nothing", 0, (f"the check finds {n}",), (), False, report)
    try:
        spec = load_spec(path)
        streams = (*spec.inputs, *spec.outputs)
        _stray(streams, root)
        simulation = simulate_folder(spec, root)
    except NotModelled:
        if program is None:
            raise
        # The interpreter may still accept it; its outputs are compared with expected/ only.
        simulation, streams = None, read_spec(path).declarations
        _stray(streams, root)
    streams = tuple(stream for stream in streams if stream.path != CONSOLE)
    simulated = simulation.files() if simulation else {}
    names = {s.path: s.name for s in streams if not s.is_input and (simulation is None or s.path in simulated)}
    about = {
        "folder": str(root),
        "spec": path.name,
        "compared": os.path.isdir(root / EXPECTED),
        "unmatched": _unmatched(root, names),
        "check": report,
        "simulated": simulation is not None,
    }
    before = {place: appearance(place) for place in _places(root, dict.fromkeys(names, b""))}
    if program is None:
        assert simulation is not None  # of what is not modelled it was raised
        failures = simulation.errors
        outputs = _outputs(root, names, simulated, simulated)
        if not failures:
            install(_places(root, simulated), before)
        return Run(by="simulation", steps=simulation.steps, failures=failures, outputs=outputs, **about)
    expected = simulation.steps if simulation else max(map(len, _input_lines(root, streams)), default=0)
    limit = timeout or PATIENCE * estimate(expected)[1]
    outcome, found = _interpret(program, path, streams, list(names), limit, expected, progress)
    failures = _failures(outcome, found, list(names), simulation, limit)
    outputs = _outputs(root, names, found, simulated if simulation else None)
    if not failures:
        install(_places(root, found), before)
    steps = simulation.steps if simulation else max((output.lines for output in outputs), default=0)
    return Run(
        by="interpreter",
        steps=steps,
        failures=failures,
        outputs=outputs,
        interpreter=str(program),
        outcome=outcome,
        **about,
    )


def _stray(streams: Iterable[Declaration], root: Path) -> None:
    """Raise where a path leads out of the folder."""
    for stream in streams:
        if leaves(stream.path):
            raise InputError(f"{stream.name} is {stream.path!r}; a run reads and writes within the folder {root} alone")


def _input_lines(root: Path, streams: Iterable[Declaration]) -> Iterator[list[bytes]]:
    for stream in streams:
        if stream.is_input and os.path.isfile(root / stream.path):
            yield (root / stream.path).read_bytes().splitlines()


def _interpret(
    program: Path,
    path: Path,
    streams: Iterable[Declaration],
    outputs: list[str],
    limit: float,
    steps: int,
    progress: Callable[[int, int], None],
) -> tuple[Outcome, dict[str, bytes]]:
    """Run the interpreter on a copy of the files it reads; its outcome, and the outputs."""
    root = path.parent
    with Staging() as staging:
        copy = staging.scratch(root)
        with explained(root / "."):
            work = copy / "run"
            work.mkdir()
            shutil.copyfile(path, work / path.name)
            for stream in streams:
                if os.path.isdir(root / os.path.dirname(stream.path)):
                    (work / stream.path).parent.mkdir(parents=True, exist_ok=True)
                if stream.is_input and os.path.isfile(root / stream.path):
                    shutil.copyfile(root / stream.path, work / stream.path)
        outcome = run_process(
            [str(program), path.name, "-q"],
            work,
            copy / "log",
            watched=work / outputs[0] if outputs else copy / "log",
            timeout=limit,
            progress=lambda done: progress(min(done, steps), steps),
        )
        found = {name: (work / name).read_bytes() for name in outputs if os.path.isfile(work / name)}
    return outcome, found


def _failures(
    outcome: Outcome, found: Mapping[str, bytes], outputs: list[str], simulation: Simulation | None, limit: float
) -> tuple[str, ...]:
    """Why a run failed, causes first."""
    # Errors of the simulation count whoever runs it: letters, for example, which the interpreter does not report.
    failures = list(simulation.errors) if simulation else []
    if outcome.timed_out:
        failures.append(
            f"the interpreter was stopped after {limit:,.0f} s, which is the timeout: it may need longer "
            "(`timeout=SECONDS`), or hang, as it does on some specifications"
        )
    failures += [f"the interpreter said: {line}" for line in outcome.errors]
    if outcome.code and not outcome.timed_out:
        how = f"was killed by signal {-outcome.code}" if outcome.code < 0 else f"ended with exit code {outcome.code}"
        failures.append(f"the interpreter {how}")
    if missing := [name for name in outputs if name not in found]:
        failures.append(f"{several(missing)} {'was' if len(missing) == 1 else 'were'} not written")
    lines = {name: len(_lines(data)) for name, data in found.items()}
    steps = simulation.steps if simulation else max(lines.values(), default=0)
    failures += [f"{name} has {counted(n, 'line')}; expected {steps:,}" for name, n in lines.items() if n != steps]
    return tuple(failures)


def _outputs(
    root: Path, names: Mapping[str, str], found: Mapping[str, bytes], simulated: Mapping[str, bytes] | None
) -> tuple[Output, ...]:
    outputs, there = [], os.path.isdir(root / EXPECTED)
    for path, name in names.items():
        if path not in found:
            continue
        lines = _lines(found[path])
        expected = _difference(lines, _expected(root, path)) if there else None
        difference = None if simulated is None else _difference(lines, _lines(simulated[path]))
        outputs.append(Output(path, name, len(lines), difference, expected))
    return tuple(outputs)


def _unmatched(root: Path, outputs: Iterable[str]) -> tuple[str, ...]:
    """Files in ``expected`` that end like outputs but have no output of their name: `diff -r` would report them too."""
    names = {os.path.basename(path) for path in outputs}
    endings = {os.path.splitext(name)[1] for name in names}
    there = sorted(os.listdir(root / EXPECTED)) if os.path.isdir(root / EXPECTED) else []
    return tuple(f"{EXPECTED}/{name}" for name in there if name not in names and os.path.splitext(name)[1] in endings)


def _expected(root: Path, path: str) -> list[str]:
    """The expected lines of an output; none if its file is missing."""
    place = root / EXPECTED / os.path.basename(path)
    try:
        return _lines(place.read_bytes())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"cannot read {place}: {error.strerror or error}") from error


def _lines(data: bytes) -> list[str]:
    lines = data.decode("utf-8", "backslashreplace").replace("\r\n", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def _difference(found: list[str], expected: list[str]) -> Difference | None:
    if found == expected:
        return None
    pairs = enumerate(zip(found, expected, strict=False))
    at = next((k for k, (one, other) in pairs if one != other), min(len(found), len(expected)))
    begin, stop = max(0, at - CONTEXT), min(at + CONTEXT + 1, max(len(found), len(expected)))
    shown = [tuple(lines[k] if k < len(lines) else None for k in range(begin, stop)) for lines in (found, expected)]
    return Difference(at + 1, at, begin + 1, *shown)


def _places(root: Path, files: Mapping[str, bytes]) -> dict[Path, bytes]:
    """Files by their places in a folder."""
    return {Path(os.path.abspath(root)) / normpath(name): data for name, data in files.items()}
