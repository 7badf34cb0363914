"""`idi-fast schema`."""

from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.options import Json


def _names(incomplete: str) -> list[str]:
    from idi_fast.schemas import schema_names

    return [name for name in schema_names() if name.startswith(incomplete)]


def schema(
    name: Annotated[
        str | None,
        typer.Argument(
            help="The file: config, manifest, trace, run, kpis … [default: list all].", autocompletion=_names
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Print the JSON Schema of a file of idi-fast.

    It is for editors and other programs.

    Example: idi-fast schema config
    """
    from idi_fast.schemas import load_schema, schema_names

    if name is not None:
        console.print_json(load_schema(name))
        return
    titles = {each: load_schema(each)["title"] for each in schema_names()}
    if json:
        console.print_json({"schema_version": 1, "schemas": titles})
    else:
        console.print_rows(list(titles.items()))
