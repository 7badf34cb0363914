"""`idi-fast spec`."""

import re
from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.export import Columns, Source, Streams
from idi_fast.cli.options import Force, Json, Kind, Out, required_out


def spec(
    artifact: Source,
    kind: Kind,
    out: Out = None,
    name_prefix: Annotated[str, typer.Option(help="Put before the names of all streams and their files.")] = "",
    no_emotes: Annotated[
        bool, typer.Option("--no-emotes", help="Leave out the inputs q_emote_…, and all that needs them.")
    ] = False,
    streams: Streams = None,
    columns: Columns = None,
    start: Annotated[
        str, typer.Option(help="First tick of the trace to hand over, by its number or its time, ISO 8601.")
    ] = "0",
    end: Annotated[str | None, typer.Option(help="Time of the first tick excluded, ISO 8601.")] = None,
    ticks: Annotated[int | None, typer.Option(help="Number of ticks to hand over [default: all].")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a Tau specification, its inputs and outputs.

    The folder has the inputs from a trace, and the outputs to expect.

    Example: idi-fast spec my_backtest --kind v38 --out my_spec
    """
    place = required_out(out)
    from idi_fast.tau.export import stream_columns
    from idi_fast.tau.spec_folder import write_spec

    console.tell_of_compilation()
    with console.interruptible(place):
        report = write_spec(
            artifact,
            place,
            kind,
            streams=stream_columns(streams or ()),
            columns=columns,
            name_prefix=name_prefix,
            emotes=not no_emotes,
            start=int(start) if re.fullmatch("-?[0-9]{1,18}", start) else start,
            end=end,
            ticks=ticks,
            force=force,
        )
    if json:
        console.print_json({"folder": str(place), **report})
        return
    console.print_rows([("folder", str(place)), ("kind", kind), ("ticks", report["ticks"])])
    typer.echo()
    console.print_columns(
        ("input", "type", "column"), [(each["name"], each["type"], each["column"]) for each in report["inputs"]]
    )
    typer.echo()
    own = [each for each in report["outputs"] if each["mirrors"] is None]
    console.print_columns(
        ("output", "type", "ticks not 0"), [(each["name"], each["type"], each["ticks_not_0"]) for each in own]
    )
    if unused := [each["name"] for each in own if each["ticks_not_0"] == 0]:
        console.note(
            f"0 at every tick: {', '.join(unused)}; the agent acts by the equations of its contract, of which the "
            "table's actions are inputs"
        )
