"""`idi-fast export`."""

from pathlib import Path
from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.options import Json


def export(
    artifact: Annotated[Path, typer.Argument(help="Folder that `idi-fast train` or `backtest` wrote.")],
    to: Annotated[Path, typer.Option("--to", help="The inputs folder of a Tau specification.")],
    contract: Annotated[str, typer.Option(help="Streams the specification reads: v38, layered or all.")] = "all",
    json: Json = False,
) -> None:
    """Write the input streams of a trace into a Tau specification's folder: all of them or none.

    Other files there are left alone; streams of the same name are replaced.
    """
    from idi_fast.export import export_streams

    report = export_streams(artifact, to, contract)
    if report["left_behind"]:
        names = ", ".join(report["left_behind"])
        console.message(f"note: of an earlier export, and perhaps of another length: {names}")
    if json:
        console.print_json({"schema_version": 1, **report})
    else:
        console.print_rows([("folder", report["folder"]), ("ticks", report["ticks"]), ("contract", contract)])
        console.print_rows([(f"  {name}", kind) for name, kind in report["streams"].items()])
