"""`idi-fast simulate`."""

from pathlib import Path
from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.option_groups import Market
from idi_fast.cli.options import Json, Set, resolve_config
from idi_fast.errors import InputError


def simulate(
    out: Annotated[Path | None, typer.Option("--out", help="File to write, .parquet or .csv.")] = None,
    bars: Annotated[int, typer.Option(help="Number of bars.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed, 0 or more.")] = 0,
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
    `idi-fast train --env crypto` shows an agent with the same settings and seed.

    Example: idi-fast simulate --bars 20000 --seed 1 --out bars.parquet
    """
    if out is None:
        raise InputError("--out is missing; name the file to write, for example --out bars.parquet")
    flags = {f"environment.market.{name}": value for name, value in market.items()}
    settings = resolve_config(config, set_ or [], flags)
    console.tell_of_compilation()
    from idi_fast.environments.simulation import simulate_history

    with console.interruptible(out):
        report = simulate_history(settings, bars, out, seed=seed, start=start, interval=interval, force=force)
    if json:
        console.print_json({"schema_version": 1, **report})
        return
    regimes = ", ".join(f"{name} {count:,}" for name, count in report["regimes"].items())
    console.print_rows(
        [
            ("file", report["file"]),
            ("bars", report["bars"]),
            ("from, to", f"{report['first']}, {report['last']}"),
            ("last close", report["last_close"]),
            ("bars by regime", regimes),
            ("risk events", report["risk_events"]),
        ]
    )
