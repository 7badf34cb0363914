"""`idi-fast tau check` and `idi-fast tau run`."""

from pathlib import Path
from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.options import Json, add_command

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Check and run the folder of a Tau specification.\n\nExample: idi-fast tau check my_spec",
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a Tau specification, or its .tau file.")]


def check(
    folder: Folder,
    fix: Annotated[
        Path | None, typer.Option("--fix", metavar="OUT", help="Write a corrected copy of the folder to OUT.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="With --fix DIR: fix the folder itself.")] = False,
    json: Json = False,
) -> None:
    """Predict what goes wrong when Tau runs a specification.

    Each finding gives the step at which it matters and how to fix it. Exit code 1 if there are errors, with --fix if
    errors are left, 2 if nothing can be written.

    Example: idi-fast tau check my_spec --fix fixed
    """
    from idi_fast.errors import InputError
    from idi_fast.tau.check import check_folder
    from idi_fast.tau.fix import fix_folder

    if force and fix is None:
        raise InputError("--force goes with --fix; it fixes a folder in place")
    with console.interruptible(fix):
        fixed = fix_folder(folder, fix, force=force) if fix else None
        report = fixed.before if fixed else check_folder(folder)
    if fixed and fixed.refused:
        raise InputError(f"nothing was written: {fixed.refused}")
    if json:
        console.print_json(fixed.as_dict() if fixed else report.as_dict())
    else:
        _report(report, hint=fixed is None)
        if fixed:
            _report_fixed(fixed)
    if fixed.left if fixed else report.errors:
        raise typer.Exit(1)


def run(
    folder: Folder,
    tau: Annotated[
        str | None,
        typer.Option(
            "--tau",
            metavar="PATH",
            help="The interpreter [default: the variable TAU; without it the run is simulated].",
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(help="Seconds until the interpreter is killed [default: ten times the expected time]."),
    ] = None,
    no_check: Annotated[bool, typer.Option("--no-check", help="Run the folder without checking it first.")] = False,
    json: Json = False,
) -> None:
    """Run a specification in Tau and check its outputs.

    They are compared with the simulation and with expected/. Without an interpreter the run is simulated. Exit code 1
    if the run fails or anything differs.

    Example: idi-fast tau run my_spec --tau ~/bin/tau
    """
    from idi_fast.tau.run import run_folder

    console.tell_of_compilation()
    with (
        console.interruptible(unchanged=lambda: "the outputs are unchanged"),
        console.counted_progress("steps") as progress,
    ):
        result = run_folder(folder, tau, timeout=timeout, check=not no_check, progress=progress)
    if json:
        console.print_json(result.as_dict())
    else:
        _report_run(result)
    if not result.ok:
        for failure in result.failures:
            console.message(f"error: {failure}")
        raise typer.Exit(1)


for command in (check, run):
    add_command(app, command)


def _report(report, *, hint: bool) -> None:
    for finding in report.findings:
        _print_finding(finding)
    if not report.errors:
        from idi_fast.tau.check import span

        outputs = "1 output" if len(report.outputs) == 1 else f"each of {len(report.outputs)} outputs"
        lines = None if report.steps is None else f"{report.steps:,} in {outputs}"
        time = None if report.seconds is None else f"{span(report.seconds)} by the interpreter"
        console.print_rows(
            [
                ("folder", report.folder),
                ("specification", report.spec),
                ("inputs", len(report.inputs)),
                ("steps", report.steps),
                ("lines", lines),
                ("time", time),
            ]
        )
    typer.echo(_summary(report, hint))


def _print_finding(finding) -> None:
    typer.echo(f"{finding.severity:<7}  {finding}  [{finding.code}]")
    typer.echo(f"         {finding.effect}")
    typer.echo(f"         {finding.remedy}{' (--fix does)' if finding.fixable else ''}")
    typer.echo()


def _summary(report, hint: bool) -> str:
    said = [f"{n} {severity}{'s' * (n != 1)}" for severity, n in report.counts().items() if n]
    fixable = sum(finding.fixable for finding in report.findings)
    more = f"; --fix OUT fixes {fixable}" if fixable and hint else ""
    return ("nothing found" if not said else ", ".join(said)) + more


def _report_fixed(fixed) -> None:
    typer.echo()
    if not fixed.changes:
        typer.echo(f"nothing was changed; copied to {fixed.folder}")
    else:
        typer.echo(f"{'corrected as far as possible' if fixed.left else 'fixed'} in {fixed.folder}")
    for change in fixed.changes:
        typer.echo(f"  {change}")
    if fixed.left:
        typer.echo()
        typer.echo("left:")
    for finding in fixed.left:
        typer.echo(f"  {finding}: {finding.remedy}")


def _report_run(result) -> None:
    if result.by == "nothing":
        for finding in result.check.errors:
            _print_finding(finding)
        return
    by = result.interpreter or "the simulation: no interpreter is given (--tau PATH or TAU)"
    rows = [("folder", result.folder), ("specification", result.spec), ("run by", by), ("steps", result.steps)]
    if result.outcome:
        rows.append(("seconds", round(result.outcome.seconds, 1)))
    console.print_rows(rows)
    typer.echo()
    with_simulation, with_expected = result.by == "interpreter" and result.simulated, result.compared
    heads = ["output", "lines", *["simulation"] * with_simulation, *["expected/"] * with_expected]
    cells = []
    for output in result.outputs:
        verdicts = [*[output.from_simulation] * with_simulation, *[output.from_expected] * with_expected]
        cells.append((output.path, output.lines, *map(_verdict, verdicts)))
    console.print_columns(heads, cells)
    for output in result.outputs:
        for name, difference in (("simulation", output.from_simulation), ("expected/", output.from_expected)):
            if difference:
                _print_difference(output.path, name, difference)
    if result.unmatched:
        typer.echo()
        typer.echo(f"no output is {', '.join(result.unmatched)}")
    if result.failures and result.outcome:
        for line in result.outcome.said:
            console.message(f"tau: {line}")
    typer.echo()
    if not result.simulated:
        typer.echo("not simulated: the specification is not modelled (tau check says why)")
    typer.echo(_run_summary(result))


def _verdict(difference) -> str:
    return "equal" if difference is None else f"differs from line {difference.line:,}"


def _print_difference(path: str, name: str, difference) -> None:
    typer.echo()
    typer.echo(f"{path} and {name} differ first at step {difference.step:,}")
    rows = []
    for k, pair in enumerate(zip(difference.found, difference.expected, strict=True)):
        rows.append((f"{difference.begin + k:,}", *pair, "" if pair[0] == pair[1] else "≠"))
    console.print_columns(("line", "found", name, ""), rows)


def _run_summary(result) -> str:
    if result.failures:
        return "failed; the outputs in the folder are unchanged"
    n = len(result.differences)
    if n:
        return f"different: {n} of {len(result.outputs)} outputs"
    if result.unmatched:
        return "different: expected/ holds files of no output"
    n = len(result.outputs)
    written = f"{n} output{'s' * (n != 1)} written"
    compared = [
        *["the simulation"] * (result.by == "interpreter" and result.simulated),
        *["expected/"] * result.compared,
    ]
    return f"{written}, equal to {' and '.join(compared)}" if compared else written
