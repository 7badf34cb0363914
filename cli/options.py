"""Options that several commands share, and how a config is merged from file, --set and flags."""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer
from typer.core import TyperCommand

from idi_fast.cli import console
from idi_fast.cli.completion import choices
from idi_fast.cli.option_groups import with_option_groups
from idi_fast.config.draft import Draft, assigned
from idi_fast.config.settings import TrainingConfig
from idi_fast.errors import InputError, nearest

Out = Annotated[Path | None, typer.Option("--out", help="Folder to write; it appears whole or not at all.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an earlier output of idi-fast, unfinished ones too.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Config value, as quantizer.price_buckets=8; may be repeated."),
]
Edges = Annotated[
    str | None,
    typer.Option(
        help="Bucket edges of many symbols: pooled or per-symbol [default: pooled].",
        autocompletion=choices("pooled", "per-symbol"),
    ),
]
Kind = Annotated[
    str,
    typer.Option(
        help="The agent: v38, layered, or a contract of your own, FILE.json.", autocompletion=choices("v38", "layered")
    ),
]
Compat = Annotated[
    str | None,
    typer.Option(help="Reproduce another trainer bit for bit: idi-iann.", autocompletion=choices("idi-iann")),
]

LOAD_PLUGINS = (
    *("run", "simulate", "train", "evaluate", "backtest", "report", "walkforward", "sweep", "export", "spec", "layers"),
    *("commit", "open", "verify_opening", "prove", "verify", "workflow"),
)
"""The commands that read a config or a policy, which may need functions of the user's."""
Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE",
        help="Python file with functions of your own, which is run; may be repeated.",
    ),
]


def with_plugins(function: Callable) -> Callable:
    """The function with the option --plugin if it is one of LOAD_PLUGINS; the files are loaded before it runs."""
    if function.__name__ not in LOAD_PLUGINS or function.__module__.endswith(".tau"):  # `tau run` reads no config
        return function
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(function).parameters.values()
    ]
    option = inspect.Parameter("plugin", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Plugins)

    @wraps(function)
    def command(*, plugin: list[Path] | None = None, **given: Any) -> Any:
        if plugin:
            from idi_fast.config.plugins import load_plugin

            for path in plugin:
                load_plugin(path)
        return function(**given)

    setattr(command, "__signature__", inspect.Signature([*own, option]))  # noqa: B010 -- typer reads it
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, option)}
    return command


def add_command(app: typer.Typer, function: Callable) -> Callable:
    """Register a command under its function's name; an empty text for a path is a usage error."""
    function = with_plugins(with_option_groups(function))
    hints = get_type_hints(function)
    paths = {name for name, hint in hints.items() if Path in (hint, *get_args(hint)) or name == "data"}

    class Command(TyperCommand):
        def format_options(self, ctx, formatter):
            # The options of a group under their own heading, behind the others.
            sections = {"Arguments": [], "Options": []}
            for parameter in self.get_params(ctx):
                if (record := parameter.get_help_record(ctx)) is not None:
                    is_argument = parameter.param_type_name == "argument"
                    panel = "Arguments" if is_argument else getattr(parameter, "rich_help_panel", None) or "Options"
                    sections.setdefault(panel, []).append(record)
            for panel, records in sections.items():
                if records:
                    with formatter.section(panel):
                        formatter.write_dl(records)

        def parse_args(self, ctx, args):
            # As paths they would be the working directory.
            given, *_ = self.make_parser(ctx).parse_args(args=list(args))
            for parameter in self.params:
                value = given.get(parameter.name)
                if parameter.name in paths and "" in (value if isinstance(value, list) else [value]):
                    option = parameter.opts[-1]
                    name = option if option.startswith("-") else parameter.metavar or parameter.name.upper()
                    raise InputError(f"{name} is empty; expected a path")
            return super().parse_args(ctx, args)

    return app.command(cls=Command)(function)


def edges_of(edges: str | None) -> dict[str, str]:
    """What --edges sets of `environment.data`."""
    return {} if edges is None else {"edges": edges.replace("-", "_")}


def compat_name(value: str | None) -> str | None:
    """The config's spelling of a --compat value."""
    if value is None or value.replace("-", "_") == "idi_iann":
        return value and "idi_iann"
    raise InputError(f"--compat is {value!r}; expected 'idi-iann'.{nearest(value, ['idi-iann'])}")


def required_out(out: Path | None) -> Path:
    """The --out folder; InputError if it is missing or not allowed (`files.check_place`)."""
    if out is None:
        raise InputError("--out is missing; name the folder to write, for example --out my_agent")
    from idi_fast.storage.files import check_place

    check_place(out)
    return out


FLAGS = {
    "environment.kind": "--env",
    "environment.data.path": "--data",
    "environment.data.price": "--price-col",
    "environment.data.time": "--time-col",
    "environment.data.open": "--open-col",
    "environment.data.volume": "--volume-col",
    "environment.data.funding": "--funding-col",
    "environment.market.stress_scenario": "--stress",
}
"""How the flags of some keys are called."""


def resolve_config(
    base: Path | Draft[TrainingConfig] | None,
    assignments: list[str],
    flags: dict[str, Any],
    names: Mapping[str, str] = FLAGS,
) -> TrainingConfig:
    """The config from defaults < file < --set < flags, checked after merging; see `draft_config`."""
    return draft_config(base, assignments, flags, names).build()


def draft_config(
    base: Path | Draft[TrainingConfig] | None,
    assignments: list[str],
    flags: dict[str, Any],
    names: Mapping[str, str] = FLAGS,
) -> Draft[TrainingConfig]:
    """Defaults < file < --set < flags by key, not yet checked; a flag that is None was not given.

    base: the file, or what stands in its place; names: the flags of keys whose flag is not the last part of the key.
    """
    draft = base if isinstance(base, Draft) else TrainingConfig.draft(base, note=console.note)
    draft.override(assigned(assignments), "--set")
    for key, value in flags.items():
        if value is not None:
            draft.override({key: value}, names.get(key, f"--{key.rpartition('.')[2].replace('_', '-')}"))
    return draft
