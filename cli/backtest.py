"""`idi-fast backtest`."""

from pathlib import Path
from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.options import (
    Compat,
    Force,
    Json,
    Nan,
    OpenColumn,
    Out,
    PriceColumn,
    TimeColumn,
    VolumeColumn,
    compat_name,
    required_out,
)  # fmt: skip
from idi_fast.errors import InputError


def backtest(
    data: Annotated[str, typer.Argument(help="Price history: CSV or Parquet file, glob or folder.")],
    policy: Annotated[Path | None, typer.Option(help="Artifact of `idi-fast train`, or its policy.parquet.")] = None,
    out: Out = None,
    fill: Annotated[
        str | None,
        typer.Option(help="Where a decision is filled: next-open, next-close or same-close [default: next-open]."),
    ] = None,
    fee_bps: Annotated[
        float | None,
        typer.Option(help="Fee per side in basis points of the traded notional [default: the policy's; compat: 0]."),
    ] = None,
    price_col: PriceColumn = None,
    time_col: TimeColumn = None,
    open_col: OpenColumn = None,
    volume_col: VolumeColumn = None,
    risk_col: Annotated[str | None, typer.Option(help="Risk event column, 0 or 1 (compat).")] = None,
    nan: Nan = None,
    compat: Compat = None,
    calibrate_only: Annotated[
        bool, typer.Option("--calibrate-only", help="Print drift and volatility of the data and stop.")
    ] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Replay a policy over a price history, causally, and keep its account."""
    columns = {"time": time_col, "price": price_col, "open": open_col, "volume": volume_col, "nan": nan}
    columns = {name: value for name, value in columns.items() if value is not None}
    if calibrate_only:
        _calibrate(data, columns, json)
        return
    if policy is None:
        raise InputError(
            "--policy is missing; train one first: idi-fast train --env history --data DATA --out my_agent, "
            "then idi-fast backtest DATA --policy my_agent --out my_backtest"
        )
    console.warn_of_compilation()
    with console.interruptible():
        if compat_name(compat):
            if fill or open_col:
                raise InputError(
                    "--fill and --open-col mean nothing under --compat, which fills at the decision's close"
                )
            _compat(data, policy, columns, risk_col, fee_bps, required_out(out), force, json)
        else:
            if risk_col:
                raise InputError("--risk-col is read under --compat idi-iann only")
            _backtest(data, policy, columns, fill, fee_bps, required_out(out), force, json)


def _calibrate(data: str, columns: dict, json: bool) -> None:
    from idi_fast.backtest import calibrate
    from idi_fast.history import load_history

    figures = calibrate(load_history(data, **columns, optional=("time",)))
    if json:
        console.print_json({"schema_version": 1, **figures})
    else:
        console.print_rows(list(figures.items()))


def _backtest(
    data: str, path: Path, columns: dict, fill: str | None, fee_bps: float | None, out: Path, force: bool, json: bool
):
    from dataclasses import replace

    from idi_fast.backtest import backtest as run
    from idi_fast.files import new_directory
    from idi_fast.policy import Policy
    from idi_fast.trainer import load_config_history

    policy = Policy.load(path)
    source = replace(policy.config.environment.data, path=data, **columns)
    with new_directory(out, force=force, inputs=(path, data)) as folder:
        result = run(policy, load_config_history(policy.config, source), fill=fill, fee_bps=fee_bps)
        result.write(folder)
    _report(out, result.to_dict(), json)


def _compat(
    data: str,
    path: Path,
    columns: dict,
    risk_col: str | None,
    fee_bps: float | None,
    out: Path,
    force: bool,
    json: bool,
):
    from idi_fast.compat_backtest import compat_backtest
    from idi_fast.files import new_directory
    from idi_fast.history import load_history
    from idi_fast.policy import Policy

    policy = Policy.load(path)
    with new_directory(out, force=force, inputs=(path, data)) as folder:
        # The reference reads a volume only when it is named, and no open and no times.
        history = load_history(data, risk=risk_col, **columns, optional=())
        result = compat_backtest(policy, history, fee_bps=fee_bps or 0.0)
        result.write(folder)
    _report(out, result.to_dict(), json)


def _report(out: Path, result: dict, json: bool) -> None:
    assumptions, figures, held = result["assumptions"], result["kpis"], result.get("buy_and_hold")
    if assumptions.get("in_sample"):
        console.note_in_sample()
    if figures.get("unvisited_states", 0.0) > 0.1:
        share = f"{figures['unvisited_states']:.0%}"
        console.message(f"note: {share} of the bars are in states that training never visited, where the agent holds")
    if json:
        console.print_json({"out": str(out), **result})
        return
    known = {"backtest": str(out), **assumptions}
    console.print_rows([(name.replace("_", " "), value) for name, value in known.items() if value is not None])
    typer.echo()
    heads = ("", "policy", "buy and hold") if held else ("", "policy")
    figures = {name: value for name, value in figures.items() if name != "liquidated_at" or value is not None}
    rows = [(name, figures[name], held.get(name, "")) if held else (name, figures[name]) for name in figures]
    console.print_columns(heads, [(name.replace("_", " "), *values) for name, *values in rows])
