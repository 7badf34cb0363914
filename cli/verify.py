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
        str | None,
        typer.Option(
            help="Fail unless these claims hold: replay, zk, all, or rows such as states, separated by commas."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Your copy of the price history, from which states are recomputed; no other is read."),
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="The policy of a backtest.")] = None,
    private: Annotated[
        Path | None, typer.Option(help="For your own folders: the secrets by which a commitment hides its table.")
    ] = None,
    init_policy: Annotated[Path | None, typer.Option(help="The policy that training started from.")] = None,
    root: Annotated[
        str | None, typer.Option(help="The commitment's root as known from elsewhere, hexadecimal.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(help="Compare this many random ticks with the policy instead of training again.")
    ] = None,
    command: Annotated[
        str | None,
        typer.Option(
            help="Your verifier of an outside proof and its arguments, with {manifest} {streams} {proof} {receipt}."
        ),
    ] = None,
    timeout: Timeout = 300.0,
    json: Json = False,
) -> None:
    """Check a published folder claim by claim.

    The table says what each claim was checked against, who must be trusted, and whether it holds. Exit code 0 if no
    claim fails, even if some are not checked; 1 if one fails, or one that --require names does not hold.

    Example: idi-fast verify published --require replay
    """
    from idi_fast.evidence.provers import ProverOptions
    from idi_fast.evidence.verify import verify_folder

    options = ProverOptions(
        private=private, data=data, initial=init_policy, root=root, verify_command=command, timeout=timeout
    )
    console.tell_of_compilation()
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
    rows = [("claim", "result", "checked against", "to be trusted")]
    rows += [(claim.name, claim.result, claim.against, claim.trusted) for claim in result.claims]
    notes = [("", "")] + [(claim.claim, claim.found) for claim in result.claims]
    _print_left(rows, notes)
    typer.echo()
    no_proof = {"none": "without any proof", "digest": "with a digest, which is no proof"}
    shown = no_proof.get(result.prover, f"with a proof by {result.prover}")
    if result.verdict == "ok":
        typer.echo(f"sound, {shown}")
    elif result.ok:
        typer.echo(f"partly checked, {shown}; NOT CHECKED: {', '.join(result.unchecked)}")
    else:
        typer.echo(
            f"failed: {', '.join(dict.fromkeys(c.name for c in result.claims if c.result == 'fails')) or '--require'}"
        )


def _print_left(rows: list[tuple[str, ...]], notes: list[tuple[str, str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row, (claim, found) in zip(rows, notes, strict=True):
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        typer.echo(console.as_flags("  ".join([*cells, row[-1]]).rstrip()))
        if claim:
            typer.echo(console.as_flags(f"    {claim}{': ' if found else ''}{found}"))
