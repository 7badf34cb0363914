"""`idi-fast compare`."""

from pathlib import Path
from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.options import Json
from idi_fast.display import format_value

MOST_KEYS = 12
LONGEST_CELL = 48
UNITS = {"stream": "ticks", "text": "lines", "table": "rows", "policy": "states"}


def compare(
    a: Annotated[
        Path, typer.Argument(help="Folder of streams, artifact, backtest, trace.parquet, trace.json, or any such file.")
    ],
    b: Annotated[Path, typer.Argument(help="The other one.")],
    context: Annotated[int, typer.Option(help="Ticks to show before and after the first difference.")] = 3,
    json: Json = False,
) -> None:
    """Show where two runs, folders of streams or traces differ.

    Exit code 0 if nowhere, else 1.

    Example: idi-fast compare my_agent other_agent
    """
    from idi_fast.compare import compare

    with console.interruptible(unchanged=lambda: "the comparison is not complete"):
        report = compare(a, b, context)
    if json:
        console.print_json(report)
    else:
        _report(report)
    if not report["equal"]:
        raise typer.Exit(1)


def _report(report: dict) -> None:
    console.print_rows([("A", report["a"]), ("B", report["b"])])
    typer.echo()
    rows = []
    for file in report["files"]:
        sizes = file.get("lines") or file.get("rows") or (None, None)
        digests = [sha256[:12] for sha256 in file["sha256"]]
        rows.append((file["name"], "equal" if file["equal"] else "different", *sizes, *digests))
    for side in ("a", "b"):
        rows += [(name, f"only in {side.upper()}", *[None] * 4) for name in report[f"only_in_{side}"]]
    console.print_columns(("file", "", "size of A", "of B", "SHA-256 of A", "of B"), rows)
    for file in report["files"]:
        _report_file(file)
    typer.echo()
    different = sum(verdict != "equal" for _, verdict, *_ in rows)
    typer.echo(f"different: {different} of {len(rows)} files" if different else f"equal: {len(rows)} files")


def _report_file(file: dict) -> None:
    if file["equal"] and not file["notes"]:
        return
    typer.echo()
    typer.echo(file["name"])
    for note in file["notes"]:
        typer.echo(f"note: {note}")
    kind = file["kind"]
    if kind in ("stream", "text") and not file["equal"]:
        _report_lengths(UNITS[kind], file["lines"], file["differing"])
        _print_first(UNITS[kind][:-1], file["first"])
    for side in ("a", "b"):
        _report_missing(file, side)
    if kind == "table" and not file["equal"]:
        _report_lengths(UNITS[kind], file["rows"], None)
    if file.get("columns"):
        _report_columns(file["columns"], kind)
    if file.get("keys"):
        _report_keys(file["keys"])


def _report_lengths(units: str, sizes: list[int], differing: int | None) -> None:
    if differing:
        typer.echo(f"{units} that differ: {differing:,}")
    more = abs(sizes[1] - sizes[0])
    if more:
        typer.echo(f"{'AB'[sizes[1] > sizes[0]]} is longer by {more:,} {units if more > 1 else units[:-1]}")


def _report_missing(file: dict, side: str) -> None:
    names, states = file.get(f"columns_only_in_{side}"), file.get(f"states_only_in_{side}")
    if names:
        typer.echo(f"columns only in {side.upper()}: {', '.join(names)}")
    if states and states["count"]:
        typer.echo(f"{states['count']:,} states only in {side.upper()}, the first: {_state(states['first'])}")


def _report_columns(columns: list[dict], kind: str) -> None:
    units, rows = UNITS[kind], [(column["name"], column["differing"], column["largest"]) for column in columns]
    console.print_columns(("column", f"{units} that differ", "by at most"), rows)
    if kind == "policy":
        name, first = columns[0]["name"], columns[0]["first"]
        values = f"{_cell(first['a'])} in A, {_cell(first['b'])} in B"
        typer.echo(f"{name} differs first in {_state(first['state'])}: {values}")
    else:
        earliest = min(columns, key=lambda column: column["first"]["at"])
        typer.echo(f"the first that differs is in {earliest['name']}")
        _print_first(units[:-1], earliest["first"])


def _report_keys(keys: list[dict]) -> None:
    # What a run was asked for explains what came of it, so it goes first.
    keys = sorted(keys, key=lambda found: not found["key"].startswith("config."))
    rows = [(found["key"], *(_cell(found.get(side)) for side in ("a", "b"))) for found in keys[:MOST_KEYS]]
    console.print_columns(("key", "A", "B"), rows)
    if len(keys) > MOST_KEYS:
        typer.echo(f"and {len(keys) - MOST_KEYS:,} more keys, which --json lists")


def _print_first(unit: str, first: dict) -> None:
    numbers = range(first["from"], first["from"] + len(first["a"]))
    cells = [[_cell(value) for value in first[side]] for side in ("a", "b")]
    marks = ["" if one == other else "≠" for one, other in zip(*cells, strict=True)]
    if unit == "line":  # long ones, so that they stand below one another
        console.print_columns((unit, "A", "B", ""), list(zip(map(str, numbers), *cells, marks, strict=True)))
        return
    rows = [("A", *cells[0]), ("B", *cells[1]), ("", *marks)]
    console.print_columns((unit, *map(format_value, numbers)), rows)


def _cell(value: object) -> str:
    """A value with all its digits, or a dash."""
    text = "–" if value is None else str(value)
    return text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 1]}…"


def _state(state: dict) -> str:
    return ", ".join(f"{name} {value}" for name, value in state.items())
