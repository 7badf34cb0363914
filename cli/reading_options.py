"""The options of how price data are read, which all commands share that read some."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, get_args

import typer

from idi_fast.cli.completion import choices
from idi_fast.config.read_options import FORMATS

PANEL = "How the data are read"
TEXT, NUMBER, SWITCH = str | None, int | None, bool
REFUSE_OR_DROP = ("refuse", "drop")


def _option(kind: Any, help: str, *flags: str, names: tuple[str, ...] = ()) -> Any:
    """An option in a group of its own in `--help`."""
    completion = choices(*names) if names else None
    return Annotated[kind, typer.Option(*flags, help=help, rich_help_panel=PANEL, autocompletion=completion)]


READING = {
    "price_col": ("price", _option(TEXT, "Close price column [default: close, price … in any case].")),
    "time_col": ("time", _option(TEXT, "Time column; none: the bars have no times [default: time, date …].")),
    "open_col": ("open", _option(TEXT, "Opening price column [default: open, if there is one].")),
    "volume_col": ("volume", _option(TEXT, "Volume column [default: volume, if there is one].")),
    "nan": ("nan", _option(TEXT, "Rows with missing values: refuse or drop.", names=REFUSE_OR_DROP)),
    "format": ("format", _option(TEXT, f"Files of a vendor: {', '.join(FORMATS)}.", names=tuple(FORMATS))),
    "sep": ("sep", _option(TEXT, "Sign between the fields of text, or tab.")),
    "decimal": ("decimal", _option(TEXT, "Decimal mark: . or ,", names=(".", ","))),
    "thousands": ("thousands", _option(TEXT, "Sign between thousands.")),
    "time_format": (
        "time_format",
        _option(TEXT, "Form of the times, as '%d.%m.%Y %H:%M'; s, ms, us or ns: epochs; excel: serial days."),
    ),
    "tz": ("tz", _option(TEXT, "Zone of times that name none, as Europe/Berlin [default: UTC].")),
    "no_header": ("no_header", _option(SWITCH, "The first row is one of values, not names.", "--no-header")),
    "encoding": ("encoding", _option(TEXT, "Encoding of text, as cp1252.")),
    "skip_rows": ("skip_rows", _option(NUMBER, "Lines before the table.")),
    "sort": ("sort", _option(SWITCH, "Sort the rows by time.", "--sort")),
    "duplicates": (
        "duplicates",
        _option(TEXT, "Rows that repeat the one before: refuse or drop.", names=REFUSE_OR_DROP),
    ),
}
"""The parameters, with the key of `environment.data` that each sets. What is not given is found out."""
Reading = dict[str, Any]
"""In a command's signature: those of these options that were given, by key."""


def with_reading_options(function: Callable) -> Callable:
    """The function with these options in place of its parameter `reading`."""
    signature = inspect.signature(function)
    if "reading" not in signature.parameters:
        return function
    parameters = []
    for name, parameter in signature.parameters.items():
        if name != "reading":
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        for flag, (_, kind) in READING.items():
            default = False if get_args(kind)[0] is SWITCH else None
            parameters.append(inspect.Parameter(flag, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind))

    @wraps(function)
    def command(**given: Any) -> Any:
        reading = {key: given.pop(flag) for flag, (key, _) in READING.items()}
        # A switch that is off is one that was not given.
        return function(**given, reading={key: value for key, value in reading.items() if value not in (None, False)})

    setattr(command, "__signature__", signature.replace(parameters=parameters))  # noqa: B010 -- typer reads it
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command
