"""`idi-fast commit`, `idi-fast open` and `idi-fast verify-opening`."""

from pathlib import Path
from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.completion import choices
from idi_fast.cli.options import Force, Json, required_out

Artifact = Annotated[Path, typer.Argument(help="Artifact of `idi-fast train`, or its policy.parquet.")]
Private = Annotated[
    Path | None, typer.Option(help="Folder of the secret seed that salts the leaves; created with mode 700.")
]
Form = Annotated[
    str,
    typer.Option(
        help="idi-fast (RFC 9162, salted with --private) or idi (the reference's).",
        autocompletion=choices("idi-fast", "idi"),
    ),
]


def commit(
    artifact: Artifact,
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write the commitment to.")] = None,
    form: Form = "idi-fast",
    private: Private = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Commit to a policy's table of values in one hash.

    The commitment can later be opened state by state.

    Example: idi-fast commit my_agent --out commitment
    """
    place = required_out(out)
    from idi_fast.evidence.openings import write_commitment

    console.tell_of_compilation()
    with console.interruptible(place):
        report = write_commitment(artifact, place, form, private=private, force=force)
    if json:
        console.print_json({"schema_version": 1, **report})
        return
    differing = report["differing_states"]
    console.print_rows(
        [
            ("folder", report["folder"]),
            ("form", report["form"]),
            ("root", report["root"]),
            ("states", report["states"]),
            ("greedy action differs in fixed point", f"{differing:,} of {report['compared']:,} states"),
        ]
    )


def open(
    artifact: Artifact,
    state: Annotated[str, typer.Argument(help="Index of the state, or its digits: 1,2,0,3,1.")],
    out: Annotated[Path | None, typer.Option("--out", help="File to write the opening to [default: stdout].")] = None,
    form: Form = "idi-fast",
    private: Private = None,
) -> None:
    """Open one state of a commitment.

    The opening holds the state's values, and the hashes that lead from them to the root.

    Example: idi-fast open my_agent 17 --out opening.json
    """
    from idi_fast.evidence.openings import open_state

    text = open_state(artifact, state, form, private=private)
    if out is None:
        typer.echo(text.decode())
        return
    from idi_fast.evidence.openings import write_opening

    with console.interruptible(out):
        write_opening(out, text)
    console.print_rows([("opening", str(out))])


def verify_opening(
    commitment: Annotated[Path, typer.Argument(help="commitment.json, qtable.commit.json, or its folder.")],
    opening: Annotated[Path, typer.Argument(help="File that `idi-fast open` wrote.")],
    root: Annotated[str | None, typer.Option(help="The root as known from elsewhere, hexadecimal.")] = None,
    json: Json = False,
) -> None:
    """Check that a commitment binds the values of an opening.

    Exit code 1 if it does not. Commitments of the reference's form and of format 2 do not bind them: NOT CHECKED says
    what is left open.

    Example: idi-fast verify-opening commitment opening.json
    """
    from idi_fast.errors import EvidenceError
    from idi_fast.evidence.openings import verify_opened

    try:
        found, failure = verify_opened(commitment, opening, root), None
    except EvidenceError as error:
        found, failure = {}, str(error)
    if json:
        console.print_json({"schema_version": 1, "ok": failure is None, **found, "failure": failure})
    elif failure is None:
        unbound = found.pop("unbound")
        console.print_rows([(name.replace("_", " "), str(value)) for name, value in found.items()])
        bound = "the commitment binds these values"
        typer.echo(
            bound if unbound is None else f"the values lead to the root; NOT CHECKED that it binds them: {unbound}"
        )
    if failure is not None:
        console.message(f"failed: {failure}")
        raise typer.Exit(1)
