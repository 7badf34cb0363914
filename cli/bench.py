"""`idi-fast bench`."""

from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.options import Json


def bench(
    repeats: Annotated[int, typer.Option(min=5, help="Timed repeats of each case.")] = 7,
    json: Json = False,
) -> None:
    """Time training; a case whose result differs from its plain-Python oracle is refused, not timed."""
    console.warn_of_compilation()
    from idi_fast.bench import report, run_suite

    results = run_suite(repeats)
    if json:
        console.print_json(results)
    else:
        typer.echo(report(results))
