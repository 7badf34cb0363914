"""`idi-fast report`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.options import Json


def report(
    run: Annotated[
        Path, typer.Argument(help="Folder that `idi-fast train`, `backtest`, `walkforward` or `sweep` wrote.")
    ],
    against: Annotated[
        Path | None, typer.Argument(help="Folder of another run of the same kind, to compare with.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="HTML file to write [default: RUN.html beside the folder, or RUN-AGAINST.html].")
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Folder for the figures as PNG files.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier report and its pictures.")] = False,
    json: Json = False,
) -> None:
    """Write the figures and tables of a run as one HTML file.

    Of two runs it compares them. The file needs no network.

    Example: idi-fast report my_backtest
    """
    from idi_fast.reporting import write_report

    name = os.path.abspath(run) if against is None else f"{os.path.abspath(run)}-{against.name}"
    with console.interruptible(out or Path(f"{name}.html")):
        result = write_report(run, out, against=against, png=png, force=force)
    if json:
        console.print_json(result)
        return
    pictures = [] if png is None else [("pictures", result["png"])]
    console.print_rows([("report", result["out"]), ("figures", len(result["figures"])), *pictures])
