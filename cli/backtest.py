"""`idi-fast backtest`."""

from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from idi_fast.cli import console
from idi_fast.cli.option_groups import Account, Bars, Costs, Reading
from idi_fast.cli.options import Compat, Force, Json, Out, compat_name, required_out
from idi_fast.config.money import without_idle_terms
from idi_fast.errors import IdiFastError, InputError

COUNTS = ("bars", "dropped_rows")
POOLED_COUNTS = ("symbols", "symbols_without_bars")
"""Counts among a result's assumptions that conditions may name as well, the latter of many symbols only."""
POPULATION_COUNTS = ("policies", *COUNTS)
"""The same of a population."""


def backtest(
    data: Annotated[str, typer.Argument(help="Price history: CSV or Parquet file, glob or folder.")],
    policy: Annotated[Path | None, typer.Option(help="Artifact of `idi-fast train`, or its policy.parquet.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Backtest all policies of the population, or sweep, that --policy names.")
    ] = False,
    out: Out = None,
    slippage_bps: Annotated[
        float | None, typer.Option(help="Basis points by which each fill is worse than the price [default: 0].")
    ] = None,
    long_only: Annotated[
        bool | None,
        typer.Option("--long-only/--allow-short", help="Whether the account stays flat where the agent is short."),
    ] = None,
    initial_position: Annotated[
        int | None, typer.Option(help="Position before the first bar: -1, 0 or 1 [default: 0].")
    ] = None,
    risk_col: Annotated[
        str | None, typer.Option(help="Risk event column, 0 or 1, to score alerts by [default: large moves].")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(help="Threads: symbols at a time [default: usable cores + 1], or lanes of --all.")
    ] = None,
    trace: Annotated[bool, typer.Option("--trace/--no-trace", help="Write the tables per bar, or KPIs only.")] = True,
    check_lookahead: Annotated[
        bool,
        typer.Option(
            "--check-lookahead", help="First rerun on altered futures; exit 1 if anything depends on later bars."
        ),
    ] = False,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(metavar="CONDITION", help="Exit 1 if this holds, as 'max_drawdown < -0.3'; may be repeated."),
    ] = None,
    compat: Compat = None,
    calibrate_only: Annotated[
        bool, typer.Option("--calibrate-only", help="Print drift and volatility of the data and stop.")
    ] = False,
    force: Force = False,
    json: Json = False,
    *,
    bars: Bars,
    costs: Costs,
    account: Account,
    reading: Reading,
) -> None:
    """Replay a policy over a price history and keep its account.

    A decision uses its own bar and earlier ones; costs and fills are printed with the result.

    Example: idi-fast backtest bars.parquet --policy my_agent --out my_backtest
    """
    columns = reading if risk_col is None else {**reading, "risk": risk_col}
    terms = {"slippage_bps": slippage_bps, "long_only": long_only, "initial_position": initial_position}
    symbol_col, symbol_files = (bars.pop(name, None) for name in ("symbol_col", "symbol_files"))
    assumed = {**{name: value for name, value in terms.items() if value is not None}, **bars, **costs, **account}
    many = {"symbol_col": symbol_col, "symbol_files": symbol_files, "jobs": jobs}
    other = {
        "open_col": reading.get("open"),
        "no_trace": True if not trace else None,
        "check_lookahead": check_lookahead or None,
    }
    if calibrate_only:
        given = {
            "policy": policy,
            "all": every or None,
            "out": out,
            "fail_if": fail_if or None,
            "compat": compat,
            "force": force or None,
        }
        _refuse({**given, **assumed, **other, **many, "open_col": None}, "with --calibrate-only")
        _calibrate(data, columns, json)
        return
    if policy is None:
        raise InputError(
            "--policy is missing; train one first: idi-fast train --env history --data DATA --out my_agent, "
            "then idi-fast backtest DATA --policy my_agent --out my_backtest"
        )
    is_compat = compat_name(compat) is not None
    if is_compat:
        given = {"all": every or None, "fail_if": fail_if or None, "fee_bps": None}
        _refuse({**assumed, **other, **many, **given}, "under --compat")
    is_pooled = symbol_files is not None or symbol_col is not None
    if symbol_files is not None and symbol_col is not None:
        raise InputError("--symbol-files and --symbol-col exclude each other")
    if is_pooled and check_lookahead:
        raise InputError("--check-lookahead does not go with many symbols; check one of them")
    if every:
        _refuse({**other, **many, "jobs": None, "open_col": None}, "with --all")
    source = Source(data, policy, columns, required_out(out), force)
    conditions = _conditions(fail_if or [], _condition_names(is_pooled, every))
    console.tell_of_compilation(() if is_compat else ("account", "decisions"))
    with console.interruptible(source.out):
        if is_compat:
            result = _compat(source, costs.get("fee_bps"))
        elif every:
            result = _population(source, assumed, jobs)
        elif is_pooled:
            result = _symbols(source, assumed, trace, symbol_col, jobs)
        else:
            _refuse({"jobs": jobs}, "for a single history")
            result = _backtest(source, assumed, trace, check_lookahead)
    _report(source.out, result, json)
    figures, reasons = _figures(result), result.get("undefined")
    failures = [text for condition in conditions if (text := condition.failure(figures, reasons)) is not None]
    for text in failures:
        console.message(f"failed: {text}")
    if failures:
        raise typer.Exit(1)


class Source(NamedTuple):
    """The data of a backtest and where its results go; columns: those given for the data."""

    data: str
    policy: Path
    columns: dict
    out: Path
    force: bool


def _refuse(options: dict, where: str) -> None:
    idle = [console.as_flags(f"`{name}`") for name, value in options.items() if value is not None]
    if idle:
        raise InputError(f"{', '.join(idle)}: not {where}")


def _condition_names(is_pooled: bool, is_population: bool) -> list[str]:
    from idi_fast.backtesting.calibration import NAMES as CALIBRATION
    from idi_fast.backtesting.engine import kpi_names
    from idi_fast.backtesting.populations import STATISTICS

    if not is_population:
        return [*kpi_names(is_pooled=is_pooled), *CALIBRATION, *COUNTS, *(POOLED_COUNTS if is_pooled else ())]
    figures, held = (
        [name for name in kpi_names() if name.startswith("buy_and_hold.") is of_held] for of_held in (False, True)
    )
    return [*(f"{kind}.{name}" for kind in STATISTICS for name in figures), *held, *POPULATION_COUNTS]


def _conditions(texts: list[str], names: list[str]) -> list:
    from idi_fast.backtesting.conditions import parse_condition

    conditions = [parse_condition(text, names) for text in texts]
    for condition in conditions:
        if not condition.names:
            raise InputError(f"--fail-if {condition.text!r} names no figure; expected one, such as in 'trades < 10'")
    return conditions


def _calibrate(data: str, columns: dict, json: bool) -> None:
    from idi_fast.backtesting.backtest import calibrate
    from idi_fast.data.loading import load_history

    figures = calibrate(load_history(data, **columns, optional=("time",)))
    if json:
        console.print_json({"schema_version": 1, **figures})
    else:
        console.print_rows(list(figures.items()))


def _backtest(source: Source, assumed: dict, trace: bool, lookahead: bool) -> dict:

    from idi_fast.agents.policy import Policy
    from idi_fast.backtesting.backtest import write_backtest
    from idi_fast.data.config_history import open_config_history
    from idi_fast.storage.files import new_directory

    policy, risk = Policy.load(source.policy), source.columns.pop("risk", None)
    data = _named(policy, source, assumed)
    rate = assumed.get("risk_free")
    with new_directory(source.out, force=source.force, inputs=(source.policy, source.data)) as folder:
        history = open_config_history(policy.config, data, risk=risk, extra=[rate] if isinstance(rate, str) else [])
        if lookahead:
            _check_lookahead(policy, history, assumed.get("initial_position", 0), assumed.get("funding"))
        return write_backtest(folder, policy, history, trace=trace, **assumed)


def _named(policy, source: Source, assumed: dict):
    """The data, with the columns that the policy was trained on where no others are given."""
    from dataclasses import replace

    data = policy.config.environment.data
    funding = assumed.get("funding", data.funding)
    return replace(data, path=source.data, start=None, end=None, funding=funding, **source.columns)


def _symbols(source: Source, assumed: dict, trace: bool, column: str | None, jobs: int | None) -> dict:
    from tempfile import TemporaryDirectory

    from idi_fast.agents.policy import Policy
    from idi_fast.backtesting.symbols import write_symbol_backtest
    from idi_fast.data.sources import find_files
    from idi_fast.data.symbols import open_symbols
    from idi_fast.storage.files import new_directory

    policy, risk = Policy.load(source.policy), source.columns.pop("risk", None)
    data = _named(policy, source, assumed)
    with (
        new_directory(source.out, force=source.force, inputs=(source.policy, source.data)) as folder,
        TemporaryDirectory(dir=folder.parent, prefix=".idi-fast-") as scratch,
        console.counted_progress("symbols") as progress,
    ):
        histories = open_symbols(policy.config, data, Path(scratch), column=column, risk=risk)
        files = find_files(Path(source.data))
        return write_symbol_backtest(
            folder, policy, histories, files, trace=trace, jobs=jobs, progress=progress, **assumed
        )


def _population(source: Source, assumed: dict, jobs: int | None) -> dict:
    from dataclasses import replace

    from idi_fast.agents.policy import Policy
    from idi_fast.backtesting.populations import backtest_population
    from idi_fast.data.config_history import open_config_history
    from idi_fast.storage.files import new_directory
    from idi_fast.training.population_artifact import load_policies, policy_files

    files, risk = policy_files(source.policy), source.columns.pop("risk", None)
    first = Policy.load(files[0])
    data = replace(first.config.environment.data, path=source.data, start=None, end=None, **source.columns)
    with (
        new_directory(source.out, force=source.force, inputs=(source.policy, source.data)) as folder,
        console.counted_progress("policies") as progress,
    ):
        history = open_config_history(first.config, data, risk=risk).load()
        tests = backtest_population(load_policies(files), history, jobs=jobs, progress=progress, **assumed)
        return tests.write(folder)


def _check_lookahead(policy, history, position: int, funding: str | None) -> None:
    from functools import partial

    from idi_fast.agents.rollout import rollout_history
    from idi_fast.backtesting.lookahead import check_lookahead

    found = check_lookahead(policy, history.load(), replay=partial(rollout_history, position=position, funding=funding))
    if found is not None:
        raise IdiFastError(str(found))
    console.note("no look-ahead found")


def _compat(source: Source, fee_bps: float | None) -> dict:
    from idi_fast.agents.policy import Policy
    from idi_fast.backtesting.compat import compat_backtest
    from idi_fast.data.loading import load_history
    from idi_fast.storage.files import new_directory

    policy = Policy.load(source.policy)
    with new_directory(source.out, force=source.force, inputs=(source.policy, source.data)) as folder:
        # The reference reads a volume only when it is named, and no open and no times.
        history = load_history(source.data, **source.columns, optional=())
        result = compat_backtest(policy, history, fee_bps=fee_bps or 0.0)
        result.write(folder)
    return result.to_dict()


def _figures(result: dict) -> dict:
    from idi_fast.backtesting.calibration import NAMES as CALIBRATION

    held, assumptions = result.get("buy_and_hold", {}), result["assumptions"]
    known = (*COUNTS, *POOLED_COUNTS, *POPULATION_COUNTS)
    counts = {name: assumptions[name] for name in known if name in assumptions}
    own = result.get("kpis") or {f"{kind}.{n}": row[kind] for n, row in result["spread"].items() for kind in row}
    # Of a table that was learnt they are undefined.
    return {
        **dict.fromkeys(CALIBRATION),
        **counts,
        **own,
        **{f"buy_and_hold.{name}": value for name, value in held.items()},
    }


def _report(out: Path, result: dict, json: bool) -> None:
    assumptions, held = result["assumptions"], result.get("buy_and_hold")
    figures = result.get("kpis", {})
    if assumptions.get("in_sample"):
        console.note_in_sample(assumptions.get("optimism"))
    if figures.get("unvisited_states", 0.0) > 0.1:
        share = f"{figures['unvisited_states']:.0%}"
        console.note(f"{share} of the bars are in states, or with a tile coder tiles, that training never visited")
    console.print_notes(result.get("notes", ()))
    if json:
        console.print_json({"out": str(out), **result})
        return
    from idi_fast.backtesting.kpi_units import shown_row
    from idi_fast.config.money import EARNED_AND_PAID

    known = without_idle_terms({"backtest": str(out), **assumptions})
    console.print_rows([(name.replace("_", " "), value) for name, value in known.items() if value is not None])
    typer.echo()
    if "spread" in result:
        _print_spread(result)
        return
    heads = ("", "policy", "buy and hold") if held else ("", "policy")
    idle = {"liquidated_at": None, **dict.fromkeys(EARNED_AND_PAID, 0.0)}
    figures = {name: value for name, value in figures.items() if name not in idle or value != idle[name]}
    both = [figures, held] if held else [figures]
    console.print_columns(heads, [shown_row(name, *(kpis.get(name, "") for kpis in both)) for name in figures])
    _say_why(result.get("undefined", {}))
    console.print_sparkline("equity", out / "equity.parquet", "equity")


def _print_spread(result: dict) -> None:
    from idi_fast.backtesting.kpi_units import shown_row
    from idi_fast.backtesting.populations import STATISTICS

    heads = ("over the policies", *(kind.replace("_", " ") for kind in STATISTICS), "buy and hold")
    held = result["buy_and_hold"]
    spread = {name: row for name, row in result["spread"].items() if row["policies"] or name != "liquidated_at"}
    rows = [(name, *(row[kind] for kind in STATISTICS), held.get(name, "")) for name, row in spread.items()]
    console.print_columns(heads, [shown_row(*row) for row in rows])
    _say_why(result["undefined"])


def _say_why(undefined: dict[str, str]) -> None:
    """The reasons for the dashes in the table, each once."""
    if undefined:
        typer.echo()
    for reason in dict.fromkeys(undefined.values()):
        names = [name for name, why in undefined.items() if why == reason and not name.startswith("buy_and_hold.")]
        if names:
            typer.echo(f"–  {', '.join(names).replace('_', ' ')}: {reason}")
