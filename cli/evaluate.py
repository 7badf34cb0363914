"""`idi-fast evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.option_groups import Bars, Reading
from idi_fast.cli.options import Json
from idi_fast.display import format_value


def evaluate(
    artifact: Annotated[Path, typer.Argument(help="Artifact of `idi-fast train`, or its policy.parquet.")],
    episodes: Annotated[
        int, typer.Option(help="Number of episodes; on a history at most as many windows as there are.")
    ] = 1000,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the evaluation episodes [default: the policy's seed].")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Held-out price history: CSV or Parquet file, glob or folder.")
    ] = None,
    json: Json = False,
    *,
    bars: Bars,
    reading: Reading,
) -> None:
    """Compare a policy with baselines on unseen episodes.

    The baselines need no learning: random actions; always hold, buy or sell; the regime rule.

    Example: idi-fast evaluate my_agent --data new_bars.parquet
    """
    from dataclasses import replace

    from idi_fast.agents.policy import Policy, shown_share
    from idi_fast.data.config_bars import load_config_bars
    from idi_fast.environments.splits import split_history
    from idi_fast.errors import InputError
    from idi_fast.evaluation.baselines import evaluate

    columns = {"path": data, **bars, **reading}
    given = {name: value for name, value in columns.items() if value is not None}
    console.tell_of_compilation()
    with console.interruptible():
        policy = Policy.load(artifact)
        history, environment = None, policy.config.environment
        if environment.kind == "history":
            if data is not None:  # the range of the training is one of the training's bars
                given = {"start": None, "end": None, **given}
            history = load_config_bars(policy.config, replace(environment.data, **given))
            if not {"path", "start", "end"} & {name for name, value in given.items() if value is not None}:
                history = split_history(policy.config, history).test or history
        elif given:
            raise InputError(f"the policy is of the {environment.kind} environment, which has no use for a history")
        notes = {} if history is None else {"notes": console.note_history(history)}
        report = evaluate(policy, episodes=episodes, seed=seed, history=history).to_dict()
    if json:
        console.print_json({"schema_version": 1, "policy": str(artifact), **report, **notes})
        return
    sure = [] if policy.certainty is None else [("sure moves", shown_share(policy.sure_moves()))]
    _report(artifact, report, sure)


def _report(artifact: Path, report: dict, sure: list[tuple[str, str]]) -> None:
    from idi_fast.evaluation.baselines import beside_best_baseline

    if report["in_sample"]:
        console.note_in_sample(report.get("optimism"))
    low, high = report["interval"] or (None, None)
    interval = None if low is None else f"{format_value(low)} to {format_value(high)}"
    alerts = report["alerts"]
    shares = [] if alerts is None else [(f"alert {name}", alerts[f"alert_{name}"]) for name in ("precision", "recall")]
    on = "windows of the bars" if report["seed"] is None else f"fresh episodes of seed {report['seed']}"
    console.print_rows(
        [
            ("policy", artifact),
            ("on", f"{report['episodes']:,} {on}"),
            ("mean reward", report["mean"]),
            ("standard error", report["standard_error"]),
            ("95% interval", interval),
            *shares,
            *sure,
        ]
    )
    typer.echo()
    rows = [
        (name, other["mean"], other["difference"]["mean"], other["difference"]["standard_error"])
        for name, other in report["baselines"].items()
    ]
    console.print_columns(("baseline", "mean reward", "policy exceeds it by", "standard error"), rows)
    typer.echo()
    if "by_symbol" in report:
        found = [
            (symbol, of["episodes"], of["mean"], of["difference"]["mean"], of["difference"]["standard_error"])
            for symbol, of in report["by_symbol"].items()
        ]
        heads = ("symbol", "episodes", "mean reward", f"exceeds {report['best_baseline']!r} by", "standard error")
        console.print_symbols(heads, found)
    if not report["in_sample"]:
        typer.echo(beside_best_baseline(report))
    typer.echo(report["verdict"])
