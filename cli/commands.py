"""All commands and the global options."""

from typing import Annotated

import typer
from typer.main import get_command

from idi_fast import __version__
from idi_fast.cli import (
    backtest,
    bench,
    commit,
    compare,
    data,
    evaluate,
    export,
    lab,
    layers,
    manifest,
    prove,
    report,
    run,
    runs,
    schema,
    simulate,
    spec,
    sweep,
    tau,
    train,
    verify,
    walkforward,
    warmup,
    workflow,
)
from idi_fast.cli.options import add_command

app = typer.Typer(
    name="idi-fast",
    no_args_is_help=True,
    add_completion=True,
    # Plain help takes a tenth of a second; drawn by rich it takes three times that.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for command in (
    run.run,
    simulate.simulate,
    train.train,
    evaluate.evaluate,
    backtest.backtest,
    report.report,
    runs.runs,
    lab.lab,
    walkforward.walkforward,
    sweep.sweep,
    export.export,
    spec.spec,
    layers.layers,
    compare.compare,
    manifest.manifest,
    commit.commit,
    commit.open,
    commit.verify_opening,
    prove.prove,
    verify.verify,
    workflow.workflow,
    schema.schema,
    warmup.warmup,
    bench.bench,
):
    add_command(app, command)
app.add_typer(data.app, name="data")
app.add_typer(tau.app, name="tau")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"idi-fast {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Train lookup-table agents for Tau, backtest them, and write their input streams.

    Exit codes: 0 ok; 1 the work ran and failed; 2 usage, config or input error; 129 hung up;
    130 interrupted; 143 terminated.

    Example: idi-fast train --out my_agent
    """


entry = get_command(app)
"""All of it as click runs it, put together once: a tenth of a second, of every call where `app` is called."""
