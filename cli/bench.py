"""`idi-fast bench`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from idi_fast.bench import DEFAULT_SUITES
from idi_fast.cli import console
from idi_fast.cli.completion import choices
from idi_fast.cli.options import Json
from idi_fast.errors import IdiFastError, InputError


def bench(
    suite: Annotated[
        list[str] | None,
        typer.Option(
            help="kernels, train, backtest, export, startup, memory, scaling or all [default: train and startup].",
            autocompletion=choices("kernels", "train", "backtest", "export", "startup", "memory", "scaling", "all"),
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(min=5, help="Timed repeats of each case.")] = 7,
    reference: Annotated[
        Path | None, typer.Option(help="Folder with the original package idi_iann, to time it too.")
    ] = None,
    bars: Annotated[
        int | None,
        typer.Option(min=1000, help="Bars of the file of the suites backtest and memory [default: 10,000,000]."),
    ] = None,
    policies: Annotated[
        int | None, typer.Option(min=2, help="Policies that the suite backtest runs in one pass [default: 65].")
    ] = None,
    ticks: Annotated[
        int | None, typer.Option(min=100, help="Ticks of the specification of the suite memory [default: 1,000,000].")
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(help="File with the --json output of an earlier run, to compare with.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Picture of the suite scaling to write, such as scaling.svg.")
    ] = None,
    json: Json = False,
) -> None:
    """Time idi-fast, after checking each case for correctness.

    A case whose result differs from its plain-Python oracle is refused, not timed.

    Example: idi-fast bench --suite train --json
    """
    from idi_fast.bench import comparison
    from idi_fast.bench import plot as plotting
    from idi_fast.bench.suites import chosen_suites, run

    suites = chosen_suites(suite or DEFAULT_SUITES)
    old = None if compare is None else comparison.read_results(compare)
    if plot is not None:
        if "scaling" not in suites:
            raise InputError("--plot draws the suite scaling; add --suite scaling")
        plotting.check_picture(plot)
    console.tell_of_compilation()
    say = console.message if sys.stderr.isatty() else lambda text: None
    results = run(suites, repeats, reference=reference, bars=bars, policies=policies, ticks=ticks, say=say)
    if old is not None:
        results["comparison"] = comparison.compare(old, results)
    _print(results, json)
    if plot is not None:
        plotting.plot(results, plot)
    if results["refused"]:
        raise IdiFastError(f"not timed, since not equal to the oracle: {'; '.join(results['refused'])}")


def _print(results: dict, json: bool) -> None:
    from idi_fast.bench.report import report

    if json:
        console.print_json(results)
    else:
        typer.echo(report(results))
