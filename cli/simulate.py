"""`idi-fast simulate`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from idi_fast.cli import console
from idi_fast.cli.option_groups import Market
from idi_fast.cli.options import Json, Set, resolve_config
from idi_fast.errors import InputError


def simulate(
    out: Annotated[Path | None, typer.Option("--out", help="File to write, .parquet or .csv.")] = None,
    bars: Annotated[int, typer.Option(help="Number of bars.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed, 0 or more.")] = 0,
    paths: Annotated[int, typer.Option(help="Number of paths, of this seed and those after it.")] = 1,
    plot: Annotated[
        Path | None, typer.Option(help="Page (.html) or picture (.png) to draw them on; --out may then be left out.")
    ] = None,
    start: Annotated[str, typer.Option(help="Time of the first bar, ISO 8601, UTC.")] = "2020-01-01",
    interval: Annotated[str, typer.Option(help="Time between bars: 30s, 5m, 2h, 1d.")] = "1h",
    config: Annotated[Path | None, typer.Option(help="JSON config file with the market to simulate.")] = None,
    set_: Set = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    json: Json = False,
    *,
    market: Market,
) -> None:
    """Write a price history of the simulated crypto market.

    Columns: time, open, close, volume, regime (0 bull, 1 bear, 2 chop, 3 panic) and risk. The bars are those that
    `idi-fast train --env crypto` shows an agent with the same settings and seed. Several paths share a file, each row
    with its seed in the column path (--symbol-col path).

    Example: idi-fast simulate --bars 20000 --seed 1 --out bars.parquet --plot bars.html
    """
    if out is None and plot is None:
        raise InputError("--out is missing; name the file to write, for example --out bars.parquet")
    flags = {f"environment.market.{name}": value for name, value in market.items()}
    settings = resolve_config(config, set_ or [], flags)
    console.tell_of_compilation()
    report: dict[str, Any] = {}
    with console.interruptible(out, plot):
        if plot is not None:
            from idi_fast.reporting.simulations import check_plot

            check_plot(plot, force)
        if out is not None:
            from idi_fast.environments.simulation import simulate_history

            options = {"seed": seed, "paths": paths, "start": start, "interval": interval, "force": force}
            report = simulate_history(settings, bars, out, **options)
        if plot is not None:
            from idi_fast.reporting.simulations import plot_simulation

            report |= plot_simulation(settings, bars, plot, seed=seed, paths=paths, force=force)
    if json:
        console.print_json({"schema_version": 1, **report})
        return
    console.print_rows([*([] if out is None else _bars(report)), *([] if plot is None else [("plot", report["plot"])])])


def _bars(report: dict[str, Any]) -> list[tuple[str, object]]:
    regimes = ", ".join(f"{name} {count:,}" for name, count in report["regimes"].items())
    closes = report.get("last_closes", [report["last_close"]])
    spread = closes[0] if len(closes) == 1 else f"{min(closes):.6g} to {max(closes):.6g}"
    return [
        ("file", report["file"]),
        *([] if len(closes) == 1 else [("paths", len(closes))]),
        ("bars", report["bars"]),
        ("from, to", f"{report['first']}, {report['last']}"),
        ("last close", spread),
        ("bars by regime", regimes),
        ("risk events", report["risk_events"]),
    ]
