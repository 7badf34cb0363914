"""`idi-fast lab`."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from idi_fast.cli import console


def lab(
    folder: Annotated[Path, typer.Argument(help="Folder of runs and price histories; new runs go there.")] = Path("."),
    port: Annotated[int, typer.Option(help="Port of 127.0.0.1; 0: any that is free.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Simulate, train and compare in the browser.

    The lab has a market to play with, trainings in the background, policies and the runs of a folder.

    It needs no network, answers this machine only, and goes on until Ctrl-C.

    Example: idi-fast lab my_runs
    """
    console.tell_of_compilation()
    from idi_fast.lab.server import serve_lab

    def ready(address: str) -> None:
        typer.echo(address)
        console.note("the lab is ready; Ctrl-C ends it and its trainings")
        if browser:
            webbrowser.open(address)

    with console.interruptible(unchanged=lambda: "the lab has ended"):
        serve_lab(folder, port=port, ready=ready)
