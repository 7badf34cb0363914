"""`idi-fast export`."""

from pathlib import Path
from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.options import Json, choices

Source = Annotated[Path, typer.Argument(help="Folder that `idi-fast train` or `backtest` wrote, or its trace.parquet.")]
Streams = Annotated[
    list[str] | None,
    typer.Option("--stream", help="NAME=COLUMN: take a stream from another column; may be repeated."),
]
Columns = Annotated[
    Path | None, typer.Option(help="CSV or Parquet file with columns of your own for --stream, a row per tick.")
]


def export(
    artifact: Source,
    to: Annotated[Path, typer.Option("--to", help="The inputs folder of a Tau specification.")],
    kind: Annotated[
        str,
        typer.Option(
            help="Which streams: v38, layered, all, or those of a contract, FILE.json.",
            autocompletion=choices("v38", "layered", "all"),
        ),
    ] = "all",
    streams: Streams = None,
    columns: Columns = None,
    json: Json = False,
) -> None:
    """Write the streams of a trace for a Tau specification.

    All of them are written or none. Streams of the same name are replaced, other files are left alone.

    Example: idi-fast export my_agent --to agent/inputs --kind v38
    """
    from idi_fast.tau.export import export_streams, stream_columns

    with console.interruptible(to):
        report = export_streams(artifact, to, kind, streams=stream_columns(streams or ()), columns=columns)
    if report["left_behind"]:
        names = ", ".join(report["left_behind"])
        console.note(f"left from an earlier export, perhaps with another length: {names}")
    if json:
        console.print_json({"schema_version": 1, **report})
    else:
        console.print_rows([("folder", report["folder"]), ("ticks", report["ticks"]), ("kind", kind)])
        console.print_rows([(f"  {name}", width) for name, width in report["streams"].items()])
