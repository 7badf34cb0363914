"""Options that come in groups: a command's parameter of a group's type is a dict of those that were given."""

import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Annotated, Any, get_args

import typer

from idi_fast.cli.completion import choices
from idi_fast.config.environment_settings import StressScenario
from idi_fast.config.read_options import FORMATS

TEXT, NUMBER, SHARE, SWITCH = str | None, int | None, float | None, bool
REFUSE_OR_DROP = ("refuse", "drop")
SCENARIOS: tuple[str, ...] = get_args(StressScenario)


class OptionGroup:
    """Options that stand together in `--help`.

    options: by parameter the key that each sets, its type, and the rest of it, or just its help.
    """

    def __init__(self, panel: str, options: dict[str, tuple[str, Any, Any]]):
        self.keys = {name: key for name, (key, _, _) in options.items()}
        self.parameters = [self._parameter(panel, name, kind, rest) for name, (_, kind, rest) in options.items()]

    @staticmethod
    def _parameter(panel: str, name: str, kind: Any, rest: Any) -> inspect.Parameter:
        rest = {"help": rest} if isinstance(rest, str) else rest
        flags = (f"--{name.replace('_', '-')}",) if kind is SWITCH else ()
        option: Any = typer.Option  # its overloads fit no arguments by name
        hint = Annotated[kind, option(*flags, rich_help_panel=panel, **rest)]
        default = False if kind is SWITCH else None
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _one_of(help: str, *names: str) -> dict[str, Any]:
    return {"help": help, "autocompletion": choices(*names)}


def _rate_or_column(text: str) -> float | str:
    with suppress(ValueError):
        return float(text)
    return text


BARS = OptionGroup(
    "Which bars",
    {
        "start": ("start", TEXT, "Time of the first bar included, ISO 8601."),
        "end": ("end", TEXT, "Time of the first bar excluded, ISO 8601."),
        "symbol_col": (
            "symbol_col",
            TEXT,
            "Many symbols: the column, or key of key=value folders, with their names.",
        ),
        "symbol_files": ("symbol_files", SWITCH, "Many symbols: each file is one."),
    },
)
READING = OptionGroup(
    "How the data are read",
    {
        "price_col": ("price", TEXT, "Close price column [default: close, price … in any case]."),
        "time_col": ("time", TEXT, "Time column; none: the bars have no times [default: time, date …]."),
        "open_col": ("open", TEXT, "Opening price column [default: open, if there is one]."),
        "volume_col": ("volume", TEXT, "Volume column [default: volume, if there is one]."),
        "nan": ("nan", TEXT, _one_of("Rows with missing values: refuse or drop.", *REFUSE_OR_DROP)),
        "format": ("format", TEXT, _one_of(f"Files of a vendor: {', '.join(FORMATS)}.", *FORMATS)),
        "sep": ("sep", TEXT, "Sign between the fields of text, or tab."),
        "decimal": ("decimal", TEXT, _one_of("Decimal mark: . or ,", ".", ",")),
        "thousands": ("thousands", TEXT, "Sign between thousands."),
        "time_format": (
            "time_format",
            TEXT,
            "Form of the times, as '%d.%m.%Y %H:%M'; s, ms, us or ns: epochs; excel: serial days.",
        ),
        "tz": ("tz", TEXT, "Zone of times that name none, as Europe/Berlin [default: UTC]."),
        "no_header": ("no_header", SWITCH, "The first row is one of values, not names."),
        "encoding": ("encoding", TEXT, "Encoding of text, as cp1252."),
        "skip_rows": ("skip_rows", NUMBER, "Lines before the table."),
        "sort": ("sort", SWITCH, "Sort the rows by time."),
        "duplicates": (
            "duplicates",
            TEXT,
            _one_of("Rows that repeat the one before: refuse or drop.", *REFUSE_OR_DROP),
        ),
    },
)
"""What is not given is found out."""
MARKET = OptionGroup(
    "The simulated market",
    {
        "drift_bull": ("drift_bull", SHARE, "Bull drift, log return per bar."),
        "drift_bear": ("drift_bear", SHARE, "Bear drift, log return per bar."),
        "drift_chop": ("drift_chop", SHARE, "Chop drift, log return per bar."),
        "vol_base": ("vol_base", SHARE, "Volatility per bar outside panics."),
        "vol_panic": ("vol_panic", SHARE, "Volatility per bar in a panic."),
        "shock_prob": ("shock_prob", SHARE, "Probability of a shock per bar."),
        "shock_scale": ("shock_scale", SHARE, "Standard deviation of a shock."),
        "stress": (
            "stress_scenario",
            TEXT,
            _one_of(f"Stress scenario: {', '.join(SCENARIOS[:-1])} or {SCENARIOS[-1]}.", *SCENARIOS),
        ),
    },
)
"""By keys of `environment.market`."""
COSTS = OptionGroup(
    "Costs",
    {
        "fee_bps": (
            "fee_bps",
            SHARE,
            "Fee per side in basis points of the traded notional [default: the config's].",
        ),
        "borrow_bps": (
            "borrow_bps",
            SHARE,
            "Basis points a year of its notional that a short pays [default: the config's].",
        ),
        "cash_rate": (
            "cash_rate",
            SHARE,
            "Interest a year on idle cash, which a position forgoes, as 0.04 for 4% [default: the config's].",
        ),
        "funding_col": (
            "funding",
            TEXT,
            "Column of the funding rate that longs pay to shorts at each bar [default: the config's].",
        ),
    },
)
"""By the arguments of `backtest`; in a config `environment.data.funding`, and keys of `environment.market`."""
ACCOUNT = OptionGroup(
    "The account",
    {
        "fill": (
            "fill",
            TEXT,
            _one_of(
                "Fill price of a decision: next-open, next-close or same-close [default: next-open].",
                *("next-open", "next-close", "same-close"),
            ),
        ),
        "size": ("size", SHARE, "Share of the equity in a position at its entry; the rest is cash [default: 1]."),
        "risk_free": (
            "risk_free",
            Any,
            {
                "help": "Risk-free rate a year, as 0.04, or its column, for Sharpe, Sortino, alpha.",
                "parser": _rate_or_column,
                "metavar": "RATE|COLUMN",
            },
        ),
        "year_days": (
            "year_days",
            NUMBER,
            "Trading days per year, for annualised figures [default: 365 days of 24 hours].",
        ),
    },
)
Bars = Annotated[dict[str, Any], BARS]
Reading = Annotated[dict[str, Any], READING]
Market = Annotated[dict[str, Any], MARKET]
Costs = Annotated[dict[str, Any], COSTS]
Account = Annotated[dict[str, Any], ACCOUNT]


def with_option_groups(function: Callable) -> Callable:
    """The function with the options of a group in place of each parameter of its type."""
    signature, groups, parameters = inspect.signature(function), {}, []
    for name, parameter in signature.parameters.items():
        group = next((part for part in get_args(parameter.annotation) if isinstance(part, OptionGroup)), None)
        if group is None:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        else:
            groups[name] = group.keys
            parameters.extend(group.parameters)
    if not groups:
        return function

    @wraps(function)
    def command(**given: Any) -> Any:
        for name, keys in groups.items():
            values = {key: given.pop(flag) for flag, key in keys.items()}
            # A switch that is off is one that was not given.
            given[name] = {key: value for key, value in values.items() if value is not None and value is not False}
        return function(**given)

    setattr(command, "__signature__", signature.replace(parameters=parameters))  # noqa: B010 -- typer reads it
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command
