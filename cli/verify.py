"""`idi-fast verify`."""

from pathlib import Path
from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.options import Json
from idi_fast.cli.prove import Timeout


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that somebody published.")],
    require: Annotated[
        str | None, typer.Option(help="Fail unless there is such a proof and it holds: replay or zk.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Your copy of the price history: a path that the folder names is not followed.")
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="Where the policy of a backtest is.")] = None,
    init_policy: Annotated[Path | None, typer.Option(help="The policy that training began with.")] = None,
    root: Annotated[str | None, typer.Option(help="Root that the commitment is known to have, hexadecimal.")] = None,
    sample: Annotated[
        int | None, typer.Option(help="Compare so many random ticks with the policy, and do not train again.")
    ] = None,
    command: Annotated[
        str | None,
        typer.Option(help="Line of your verifier of an outside proof, with {manifest} {streams} {proof} {receipt}."),
    ] = None,
    timeout: Timeout = 300.0,
    json: Json = False,
) -> None:
    """Check a published folder: what was checked, against what, and what had to be trusted. Exit code 1 if it fails."""
    from idi_fast.evidence.provers import ProverOptions
    from idi_fast.evidence.verify import verify_folder

    options = ProverOptions(data=data, initial=init_policy, root=root, verify_command=command, timeout=timeout)
    console.warn_of_compilation()
    with console.interruptible(unchanged=lambda: "nothing was decided"):
        result = verify_folder(folder, require=require, policy=policy, sample=sample, options=options)
    if json:
        console.print_json(result.as_dict())
    else:
        report(result)
    for failure in result.failures:
        console.message(f"failed: {failure}")
    if not result.ok:
        raise typer.Exit(1)


def report(result) -> None:
    """Print a verification as a table, on stdout."""
    rows = [("checked", "against", "result", "found")]
    rows += [(check.what, check.against, check.outcome, check.found) for check in result.checks]
    _print_left(rows)
    typer.echo()
    trusted = [(f"  {check.what}", check.trusted) for check in result.checks if check.trusted and check.outcome == "ok"]
    if trusted:
        _print_left([("to be trusted", ""), *trusted])
        typer.echo()
    shown = f"with a proof by {result.prover}" if result.prover != "none" else "without any proof"
    typer.echo(f"sound, {shown}" if result.ok else f"failed: {len(result.failures)} of {len(result.checks)} checks")


def _print_left(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        typer.echo("  ".join([*cells, row[-1]]).rstrip())
