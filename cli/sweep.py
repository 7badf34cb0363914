"""`idi-fast sweep`."""

from pathlib import Path
from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.completion import choices
from idi_fast.cli.option_groups import Account, Bars, Costs, Reading
from idi_fast.cli.options import (
    FLAGS,
    Edges,
    Force,
    Json,
    Out,
    Set,
    draft_config,
    edges_of,
    required_out,
)
from idi_fast.config.money import without_idle_terms
from idi_fast.errors import InputError

SHOWN = 10
"""Configs of the grid that are printed, the best first."""


def sweep(
    data: Annotated[
        str | None, typer.Argument(help="Price history: CSV or Parquet file, glob or folder; implies --env history.")
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUES", help="Key and values, as learning_rate=0.05,0.1; may be repeated."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="JSON config file.")] = None,
    out: Out = None,
    env: Annotated[
        str | None,
        typer.Option(
            help="crypto, history, or a market of a --plugin [default: the config's].",
            autocompletion=choices("crypto", "history"),
        ),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds, as for train: 0:5, 1,5,9.")] = "0",
    jobs: Annotated[int | None, typer.Option(help="Runs at a time [default: usable cores].")] = None,
    validation_bars: Annotated[int | None, typer.Option(help="Bars to choose by [default: a fifth].")] = None,
    test_bars: Annotated[int | None, typer.Option(help="Last bars, to report on [default: a fifth].")] = None,
    evaluation_episodes: Annotated[
        int | None, typer.Option(help="Episodes of a simulated market to choose by, and to report on [default: 1000].")
    ] = None,
    episodes: Annotated[int | None, typer.Option(help="Training episodes.")] = None,
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
    """Train a grid of configs and report the best on test data.

    Every config is trained under every seed; validation data choose one, which is then tested on other data.

    Example: idi-fast sweep bars.parquet --grid discount=0.5,0.95 --seeds 0:5 --out my_sweep
    """
    if not grid:
        raise InputError("--grid is missing; name a key and its values, for example --grid learning_rate=0.05,0.1")
    columns = {"path": data, **bars, **edges_of(edges), **reading}
    flags = {f"environment.data.{name}": value for name, value in columns.items()}
    if data is not None and env not in (None, "history"):
        raise InputError(f"a price history was given, but --env is {env!r}; leave one of them out")
    kind = "history" if data is not None else env
    flags |= {"environment.kind": kind, "episodes": episodes, "episode_length": episode_length}
    names = {**FLAGS, "environment.data.path": "DATA", **({} if data is None else {"environment.kind": "DATA"})}
    draft, target = draft_config(config, set_ or [], flags, names), required_out(out)
    from idi_fast.selection.grid import make_points, parse_grid

    settings = make_points(draft, parse_grid(grid))[0].config
    idle = [name for name, value in columns.items() if value is not None]
    if idle and settings.environment.kind != "history":
        raise InputError(f"the {settings.environment.kind} environment has no use for {', '.join(idle)}")
    if settings.environment.kind == "synthetic":
        raise InputError("give DATA or --env crypto: there is nothing to learn in the synthetic environment")
    how = {
        "jobs": jobs,
        "validation_bars": validation_bars,
        "test_bars": test_bars,
        "evaluation_episodes": evaluation_episodes,
        **costs,
        **account,
    }
    console.tell_of_compilation(("account", *console.learning_jobs(settings)))
    with console.interruptible(target):
        result = _run(draft, settings.environment.data.path, target, grid, seeds, how, force)
    console.print_notes(result.summary["notes"])
    if json:
        console.print_json({"out": str(target), **result.summary})
    else:
        _report(target, result)


def _run(draft, data: str | None, out: Path, grid: list[str], seeds: str, how: dict, force: bool):
    from idi_fast.config.seeds import parse_seeds
    from idi_fast.selection.grid import parse_grid
    from idi_fast.selection.sweep import sweep
    from idi_fast.storage.files import new_directory

    inputs = [] if data is None else [data]
    with new_directory(out, force=force, inputs=inputs) as folder, console.counted_progress("runs") as progress:
        result = sweep(draft, parse_grid(grid), seeds=parse_seeds(seeds), progress=progress, **how)
        result.write(folder)
    return result


def _report(out: Path, result) -> None:
    from idi_fast.backtesting.kpi_units import shown_row

    summary = result.summary
    about = {"sweep": str(out), **summary["assumptions"]}
    about = without_idle_terms(about)
    about |= {"grid": ", ".join(about["grid"]), "seeds": len(about["seeds"])}
    console.print_rows([(name.replace("_", " "), _range(value)) for name, value in about.items()])
    typer.echo()
    best = result.points.sort("score", descending=True, maintain_order=True).drop("point").head(SHOWN)
    keys = list(summary["assumptions"]["grid"])
    rows = best.select("score", "min_seed", "max_seed", *keys).rows()
    console.print_columns(("score", "min of seeds", "max of seeds", *keys), rows)
    typer.echo()
    validation = summary["validation"]
    console.print_rows([shown_row(name, value) for name, value in validation.items()])
    typer.echo()
    (_of_bars if "book" in summary["test"] else _of_episodes)(summary["test"])
    typer.echo()
    if "by_symbol" in summary["test"]:
        _of_symbols(summary["test"]["by_symbol"])
    console.print_verdict(summary["verdict"])


def _range(value: object) -> object:
    return f"bars {value[0]:,} to {value[1] - 1:,}" if isinstance(value, list) else value


def _of_bars(test: dict) -> None:
    from idi_fast.backtesting.kpi_units import shown_row

    names = [name for name, value in test["buy_and_hold"].items() if not isinstance(value, list)]
    rows = [shown_row(name, test["book"][name], test["buy_and_hold"][name]) for name in names]
    console.print_columns(("test", "chosen config", "buy and hold"), rows)


def _of_symbols(by_symbol: dict) -> None:
    from idi_fast.backtesting.kpi_units import shown_kpi

    names = ("total_return", "sharpe_annualised", "max_drawdown", "buy_and_hold")
    rows = [(symbol, *(shown_kpi(name, of[name]) for name in names)) for symbol, of in by_symbol.items()]
    console.print_symbols(("symbol", *(name.replace("_", " ") for name in names)), rows)


def _of_episodes(test: dict) -> None:
    rows = []
    for seed, report in test["by_seed"].items():
        best = report["baselines"][report["best_baseline"]]
        above = best["difference"]
        rows.append((f"seed {seed}", report["mean"], above["mean"], above["standard_error"], report["best_baseline"]))
    console.print_columns(("test", "mean reward", "above the best baseline", "standard error", "which is"), rows)
