"""`idi-fast export`."""

from pathlib import Path
from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.completion import choices
from idi_fast.cli.options import Json

Source = Annotated[
    Path,
    typer.Argument(
        help="Folder that `idi-fast train` or `backtest` wrote, or its trace.parquet; or from the reference a folder "
        "of streams, a trace.json or an artifact_manifest.json."
    ),
]
Streams = Annotated[
    list[str] | None,
    typer.Option(
        "--stream",
        help="NAME=COLUMN or NAME=feature:FEATURE: take a stream from another column, or a feature's bucket; may be "
        "repeated.",
    ),
]
Columns = Annotated[
    Path | None, typer.Option(help="CSV or Parquet file with columns of your own for --stream, a row per tick.")
]


def export(
    context: typer.Context,
    artifact: Source,
    to: Annotated[Path | None, typer.Option("--to", help="The inputs folder of a Tau specification.")] = None,
    kind: Annotated[
        str,
        typer.Option(
            help="Which streams: v38, layered, all, or those of a contract, FILE.json.",
            autocompletion=choices("v38", "layered", "all"),
        ),
    ] = "all",
    streams: Streams = None,
    columns: Columns = None,
    trace_json: Annotated[
        Path | None, typer.Option("--trace-json", help="File for the trace in the reference's format, trace.json.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file of --trace-json.")] = False,
    json: Json = False,
) -> None:
    """Write the streams of a trace for a Tau specification.

    All of them are written or none. Streams of the same name are replaced, other files are left alone.

    Example: idi-fast export my_agent --to agent/inputs --kind v38
    """
    if to is None and trace_json is None:
        context.fail("Missing option '--to', the folder for the streams, or '--trace-json', a file.")
    from idi_fast.tau.export import export_streams, stream_columns

    with console.interruptible(to, trace_json):
        report = export_streams(
            artifact,
            to,
            kind,
            streams=stream_columns(streams or ()),
            columns=columns,
            trace_json=trace_json,
            force=force,
        )
    if report["left_behind"]:
        names = ", ".join(report["left_behind"])
        console.note(f"left from an earlier export, perhaps with another length: {names}")
    if json:
        console.print_json({"schema_version": 1, **report})
    else:
        places = [(name, report[key]) for name, key in (("folder", "folder"), ("trace.json", "trace_json"))]
        rows = [(name, place) for name, place in places if place is not None]
        console.print_rows([*rows, ("ticks", report["ticks"]), ("kind", kind)])
        console.print_rows([(f"  {name}", width) for name, width in report["streams"].items()])
