"""`idi-fast run`."""

from pathlib import Path
from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.option_groups import Account, Bars, Costs, Reading
from idi_fast.cli.options import FLAGS, Edges, Force, Json, Kind, Out, Set, draft_config, edges_of, required_out


def run(
    data: Annotated[str, typer.Argument(help="Price history: CSV or Parquet file, glob or folder.")],
    out: Out = None,
    config: Annotated[
        Path | None, typer.Option(help="JSON config file in place of the settings for a first run.")
    ] = None,
    set_: Set = None,
    split: Annotated[
        str | None,
        typer.Option(help="Where the test begins: a time, ISO 8601, or a share of the bars [default: 70%]."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed, 0 or more.")] = 0,
    kind: Kind = "v38",
    force: Force = False,
    json: Json = False,
    edges: Edges = None,
    *,
    bars: Bars,
    costs: Costs,
    account: Account,
    reading: Reading,
) -> None:
    """Plan an agent and test it, with report and specification.

    The agent is planned on the earlier bars and tested on the later ones, beside buying and holding. A step that is
    there already, from the same inputs, is not made again.

    Example: idi-fast run bars.parquet --out my_run
    """
    from idi_fast.backtesting.backtest import BacktestOptions
    from idi_fast.complete.first_config import first_config
    from idi_fast.config.draft import Draft
    from idi_fast.config.settings import TrainingConfig

    columns = {
        "path": data,
        "split": split,
        "funding": costs.pop("funding", None),
        **bars,
        **edges_of(edges),
        **reading,
    }
    flags = {f"environment.data.{name}": value for name, value in columns.items()}
    flags |= {"environment.kind": "history", **{f"environment.market.{name}": value for name, value in costs.items()}}
    names = {**FLAGS, "environment.data.path": "DATA", "environment.kind": "DATA"}
    # Read once, so that what is said of it is said once.
    named = None if config is None else TrainingConfig.draft(config, note=console.note)

    def make_config(bars: int | None) -> TrainingConfig:
        base = Draft.of(first_config(bars)) if named is None else named.copy()
        return draft_config(base, set_ or [], flags, names).build()

    settings, place = make_config(None), required_out(out)
    from idi_fast.complete.run import complete

    console.tell_of_compilation(("account", *console.learning_jobs(settings)))
    steps = settings.drawn_episodes * settings.episode_length
    with (
        console.interruptible(place, unchanged=lambda: "the same command continues from here"),
        console.training_progress(steps) as progress,
    ):
        done = complete(
            make_config,
            None,
            place,
            seed,
            BacktestOptions(**{"fill": None, "year_days": None, **account}),
            kind,
            force=force,
            progress=progress,
        )
    console.print_notes(done.summary["notes"])
    if json:
        console.print_json({"out": str(place), "steps": done.steps, **done.summary})
        return
    _report(place, done)


def _report(out: Path, done) -> None:
    from idi_fast.complete.summary import facts, figures

    summary = done.summary
    console.print_rows([("run", out), *facts(summary)])
    typer.echo()
    console.print_columns(("", "policy", "buy and hold"), figures(summary))
    console.print_sparkline("equity", out / "backtest" / "equity.parquet", "equity")
    typer.echo()
    console.print_rows([("verdict", summary["verdict"]), ("what to do", summary["advice"])])
    typer.echo()
    console.print_rows([(state, str(out / name)) for name, state in done.steps.items() if state != "left out"])
