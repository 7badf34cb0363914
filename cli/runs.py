"""`idi-fast runs`."""

from pathlib import Path
from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.options import Json


def runs(
    folder: Annotated[Path, typer.Argument(help="Folder whose runs are listed, with its subfolders.")],
    sort: Annotated[
        str, typer.Option(help="Column to sort by: name, kind, seed, a figure as total_return, or a config key.")
    ] = "name",
    json: Json = False,
) -> None:
    """List the runs in a folder, with their figures.

    Of their settings it tells those that most of the others have not.

    Example: idi-fast runs my_runs --sort sharpe_annualised
    """
    from idi_fast.reporting.run_table import list_runs

    found = list_runs(folder, sort=sort)
    console.print_notes(f"{name}: {problem}" for name, problem in found.unreadable.items())
    if json:
        console.print_json(found.to_dict())
    elif found.runs:
        heads, rows = found.short_table()
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        texts = (0, 1, len(heads) - 1)
        for row in (heads, *rows):
            cells = (f"{cell:{'<' if k in texts else '>'}{widths[k]}}" for k, cell in enumerate(row))
            typer.echo("  ".join(cells).rstrip())
    else:
        typer.echo(f"no runs in {folder}")
