"""The command line: parse, call the library, print, exit code. Heavy imports stand inside the commands."""

import gc
import io
import os
import signal
import sys
import traceback
from typing import Annotated

import typer

from idi_fast import __version__
from idi_fast.cli import (
    backtest,
    bench,
    commit,
    compare,
    console,
    evaluate,
    export,
    layers,
    manifest,
    prove,
    report,
    spec,
    sweep,
    tau,
    train,
    verify,
    walkforward,
    workflow,
)
from idi_fast.cli.options import add_command
from idi_fast.errors import Cancelled, IdiFastError, InputError

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
    train.train, evaluate.evaluate, backtest.backtest, report.report, walkforward.walkforward, sweep.sweep,
    export.export, spec.spec, layers.layers, compare.compare, manifest.manifest, commit.commit, commit.open,
    commit.verify_opening, prove.prove, verify.verify, workflow.workflow, bench.bench,
):  # fmt: skip
    add_command(app, command)
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
    """Train lookup-table agents for the Tau language, backtest them on price histories, write their input streams.

    Exit codes: 0 ok; 1 the work ran and failed; 2 usage, config or input error; 130 interrupted; 143 terminated.
    """


def main() -> None:
    """Run the command line; the one place where exceptions become exit codes."""
    # Half a million objects live on from imports alone; looking through them for cycles again and again, as by default
    # every 700 objects, is a tenth of the time of a short command.
    gc.set_threshold(1_000_000)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a dash or an emoji gets a question mark, not an error.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    # A polite kill unwinds like Ctrl-C, so that no temporary folder is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        _settle()
        app(prog_name="idi-fast")
    except Exception as error:  # noqa: BLE001 -- the outermost place: every error becomes one line and an exit code
        if "--debug" in sys.argv:
            traceback.print_exc()
        typer.echo(f"error: {_describe(error)}", err=True)
        sys.exit(_exit_code(error))


def _settle() -> None:
    """Complete or take back what commands had begun that were killed, before anything else is done."""
    from idi_fast.storage.journal import settle

    if "_IDI_FAST_COMPLETE" not in os.environ:  # the shell's completion, which is to print nothing else
        settle(console.note)


def _describe(error: Exception) -> str:
    if isinstance(error, IdiFastError):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory for the tables (buckets, episodic.k), the rewards (episodes) or the data"
    if isinstance(error, OSError):
        return f"{error.filename or 'standard output'}: {error.strerror or error}"
    return f"internal error ({type(error).__name__}: {error}); idi-fast --debug … shows where"


def _exit_code(error: Exception) -> int:
    if isinstance(error, Cancelled):
        return 130
    return 2 if isinstance(error, InputError) else 1
