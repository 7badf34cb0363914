"""`idi-fast walkforward`."""

from pathlib import Path
from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.option_groups import Account, Bars, Costs, Reading
from idi_fast.cli.options import (
    FLAGS,
    Edges,
    Force,
    Json,
    Out,
    Set,
    edges_of,
    required_out,
    resolve_config,
)
from idi_fast.config.money import without_idle_terms


def walkforward(
    data: Annotated[str, typer.Argument(help="Price history: CSV or Parquet file, glob or folder.")],
    config: Annotated[Path | None, typer.Option(help="JSON config file.")] = None,
    out: Out = None,
    train_bars: Annotated[int | None, typer.Option(help="Bars per training [default: half].")] = None,
    test_bars: Annotated[int | None, typer.Option(help="Bars per test [default: a tenth].")] = None,
    step: Annotated[
        int | None, typer.Option(help="Bars from one window to the next [default: those of a test].")
    ] = None,
    anchored: Annotated[bool, typer.Option("--anchored", help="Begin every training with the first bar.")] = False,
    warm: Annotated[bool, typer.Option("--warm", help="Start from the tables of the previous window.")] = False,
    seeds: Annotated[str, typer.Option(help="Seeds, as for train: 0:5, 1,5,9.")] = "0",
    jobs: Annotated[int | None, typer.Option(help="Windows at a time [default: usable cores].")] = None,
    episodes: Annotated[int | None, typer.Option(help="Training episodes in each window.")] = None,
    episode_length: Annotated[int | None, typer.Option(help="Steps per episode.")] = None,
    set_: Set = None,
    force: Force = False,
    json: Json = False,
    edges: Edges = None,
    *,
    bars: Bars,
    costs: Costs,
    account: Account,
    reading: Reading,
) -> None:
    """Train on windows of a history and test on the bars after.

    Example: idi-fast walkforward bars.parquet --config agent.json --seeds 0:5 --out walk
    """
    columns = {"path": data, **bars, **edges_of(edges), **reading}
    flags = {f"environment.data.{name}": value for name, value in columns.items()}
    flags |= {"environment.kind": "history", "episodes": episodes, "episode_length": episode_length}
    names = {**FLAGS, "environment.data.path": "DATA", "environment.kind": "DATA"}
    settings, target = resolve_config(config, set_ or [], flags, names), required_out(out)
    how = {
        "train_bars": train_bars,
        "test_bars": test_bars,
        "step": step,
        "anchored": anchored,
        "warm": warm,
        "jobs": jobs,
        **costs,
        **account,
    }
    console.tell_of_compilation(("account", *console.learning_jobs(settings)))
    with console.interruptible(target):
        result = _run(settings, target, seeds, how, force)
    found = result.to_dict()
    console.print_notes(found["notes"])
    if json:
        console.print_json({"out": str(target), **found})
    else:
        _report(target, found, result.symbols)


def _run(settings, out: Path, seeds: str, how: dict, force: bool):
    from idi_fast.backtesting.account import account_columns
    from idi_fast.config.seeds import parse_seeds
    from idi_fast.data.config_bars import load_config_bars
    from idi_fast.selection.walk_forward import walk_forward
    from idi_fast.storage.files import new_directory

    inputs = (settings.environment.data.path,)
    with new_directory(out, force=force, inputs=inputs) as folder, console.counted_progress("runs") as progress:
        named = account_columns(settings, how.get("funding"), how.get("risk_free", 0.0))
        history = load_config_bars(settings, extra=named)
        result = walk_forward(settings, history, seeds=parse_seeds(seeds), progress=progress, **how)
        result.write(folder)
    return result


def _report(out: Path, result: dict, symbols) -> None:
    from idi_fast.backtesting.kpi_units import shown_kpi, shown_row

    about = {"walk-forward": str(out), **result["assumptions"]}
    about["seeds"] = len(about["seeds"])
    about = without_idle_terms(about)
    console.print_rows([(name.replace("_", " "), value) for name, value in about.items() if value is not None])
    typer.echo()
    held = result["buy_and_hold"]
    rows = [
        shown_row(name, *(spread[label] for label in ("min", "median", "max")), held[name])
        for name, spread in result["over_seeds"].items()
    ]
    console.print_columns(("", "min of seeds", "median", "max", "buy and hold"), rows)
    typer.echo()
    if symbols is not None:
        import polars as pl

        names = ["total_return", "sharpe_annualised", "max_drawdown", "buy_and_hold"]
        rows = symbols.group_by("symbol", maintain_order=True).agg(pl.col(names).median()).rows()
        shown = [(symbol, *map(shown_kpi, names, values)) for symbol, *values in rows]
        console.print_symbols(("symbol", *(name.replace("_", " ") for name in names)), shown)
    console.print_verdict(result["verdict"])
