"""`idi-fast data show`, `check` and `convert`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from idi_fast.cli import console
from idi_fast.cli.option_groups import Bars, Reading
from idi_fast.cli.options import Json, add_command
from idi_fast.display import levels
from idi_fast.errors import InputError

SPARKS = 48
"""Characters of the closes as a sparkline."""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Look at price data, check and convert them.\n\nExample: idi-fast data show bars.csv",
)

Files = Annotated[list[str], typer.Argument(help="Price histories: files, globs or folders.")]


def show(files: Files, json: Json = False, *, bars: Bars, reading: Reading) -> None:
    """Say what price files hold and how they are read, of many symbols each one.

    Rows with missing values and copies of the row before are counted, not refused.

    Example: idi-fast data show bars.csv
    """
    with console.interruptible():
        reports = [report for file in files for report in _overviews(file, bars, reading)]
    if json:
        console.print_json({"schema_version": 1, "histories": [report for report, _ in reports]})
        return
    for number, (report, line) in enumerate(reports):
        if number:
            typer.echo()
        _print(report, line)


def check(files: Files, json: Json = False, *, bars: Bars, reading: Reading) -> None:
    """Find what is wrong with price files.

    Gaps, missing values, repeated rows, prices outside high and low, jumps, a volume that is 0 throughout, and what
    cannot be read at all. Exit code 1 if anything is found.

    Example: idi-fast data check bars.csv
    """
    from idi_fast.errors import DataError

    found = []
    with console.interruptible():
        for file in files:
            try:
                reports = [report for report, _ in _overviews(file, bars, reading)]
            except DataError as error:
                reports = [{"path": file, "problems": [str(error)]}]
            found += [{name: each[name] for name in ("path", "symbol", "problems") if name in each} for each in reports]
    if json:
        console.print_json({"schema_version": 1, "histories": found})
    else:
        for each in found:
            whose = f"{each['path']}, {each['symbol']}" if "symbol" in each else each["path"]
            typer.echo(f"{whose}: {'nothing found' if not each['problems'] else ''}".rstrip())
            for problem in each["problems"]:
                typer.echo(f"  {console.as_flags(problem)}")
    if any(each["problems"] for each in found):
        raise typer.Exit(1)


def convert(
    files: Files,
    to: Annotated[Path | None, typer.Option("--to", help="File to write: .parquet, .csv, .csv.gz, .feather.")] = None,
    resample: Annotated[str | None, typer.Option(help="Length of the bars: 30s, 5m, 1h, 1d, 1w, 1mo.")] = None,
    keep: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="A further column to keep; may be repeated.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    json: Json = False,
    *,
    bars: Bars,
    reading: Reading,
) -> None:
    """Write price files as one file, with longer bars if wanted.

    Columns: time, open, high, low, close, volume, as far as there are any; with many symbols also symbol. A longer bar
    begins at a multiple of its length, by the clock of --tz.

    Example: idi-fast data convert 2023.csv 2024.csv --to bars.parquet --resample 1h
    """
    if to is None:
        raise InputError("--to is missing; name the file to write, for example --to bars.parquet")
    from idi_fast.data.conversion import convert_files

    with console.interruptible(to):
        report = convert_files(
            files,
            to,
            resample=resample,
            keep=keep or (),
            **bars,
            reading=reading,
            force=force,
        )
    console.print_notes(report["notes"])
    if json:
        console.print_json({"schema_version": 1, **report})
        return
    del report["notes"]
    console.print_rows([(name.replace("_", " "), value) for name, value in report.items() if value is not None])


def _overviews(file: str, bars: dict[str, Any], reading: dict[str, Any]) -> list[tuple[dict, str]]:
    """What a history holds, or that of each symbol, and its closes as a sparkline."""
    from idi_fast.config.environment_settings import DataConfig
    from idi_fast.config.settings import TrainingConfig
    from idi_fast.data.config_bars import load_config_bars
    from idi_fast.data.loading import load_history
    from idi_fast.data.overview import overview
    from idi_fast.data.panel import members

    reading = {"nan": "drop", "duplicates": "drop", **reading, **bars}
    if {"symbol_col", "symbol_files"} & set(bars):
        histories = members(load_config_bars(TrainingConfig(), DataConfig(path=file, **reading)))
    else:
        histories = [(None, load_history(file, **reading))]
    return [
        ({"path": file, **({} if symbol is None else {"symbol": symbol}), **overview(each)}, levels(each.close, SPARKS))
        for symbol, each in histories
    ]


def _print(report: dict[str, Any], line: str) -> None:
    per_year, days = report["bars_per_year"], report["days_per_year"]
    named = {name: column or "(a column without a name)" for name, column in report["columns"].items()}
    columns = ", ".join(name if name == column else f"{name}: {column}" for name, column in named.items())
    spacing = None if report["spacing_seconds"] is None else _length(report["spacing_seconds"])
    regular = None if report["regular"] is None else f"({report['regular']:.0%} of them)"
    rows = [
        ("history", report["path"]),
        ("symbol", report.get("symbol")),
        ("bars", report["bars"]),
        ("columns", columns),
        ("from, to", None if report["first"] is None else f"{report['first']}, {report['last']}"),
        ("spacing", None if spacing is None else f"{spacing} {regular}"),
        ("bars per year", None if per_year is None else f"{per_year:,.0f}"),
        ("days per year", None if days is None else f"{days:.0f}"),
        ("close", f"{report['low']:.6g} to {report['high']:.6g}"),
        ("", line),
        ("zero volumes", report["zero_volumes"] or None),
        ("rows dropped", report["dropped_rows"] or None),
    ]
    console.print_rows([(name, value) for name, value in rows if value is not None])
    for text in (*report["notes"], *report["problems"]):
        typer.echo(f"- {text}")


def _length(seconds: float) -> str:
    """A length of time in its largest whole unit: 5 minutes."""
    if 28 * 86_400 <= seconds <= 31 * 86_400:
        return "1 month"
    for name, unit in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= unit and seconds % unit == 0:
            count = round(seconds / unit)
            return f"{count:,} {name}{'s' * (count != 1)}"
    return f"{seconds:g} seconds"


for command in (show, check, convert):
    add_command(app, command)
