"""`idi-fast layers`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from idi_fast.cli import console
from idi_fast.cli.options import Force, Json
from idi_fast.display import format_value


def layers(
    plan: Annotated[
        Path, typer.Argument(help="JSON list of layers; paths are relative to its folder or the working directory.")
    ],
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="Name of a layer to train [default: all]; may be repeated."),
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Keep and install the layers that succeed, if others fail.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the plan, print what would be done, and stop.")
    ] = False,
    jobs: Annotated[int | None, typer.Option(help="Layers trained at a time [default: usable cores].")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train all agents of a plan and install their streams.

    Artifacts and streams are written all or none.

    Example: idi-fast layers plan.json
    """
    from idi_fast.layers.train import check_plan, run_plan

    if dry_run:
        described = [task.describe() for task in check_plan(plan, only=only or (), force=force, note=console.note)]
        _report_plan({"schema_version": 1, "plan": str(plan), "layers": described}, json)
        return
    console.tell_of_compilation()
    report = None
    said = ("the outputs were written", console.UNWRITTEN)
    with console.interruptible(unchanged=lambda: said[report is None]), console.counted_progress("layers") as progress:
        report = run_plan(
            plan, only=only or (), keep_going=keep_going, force=force, jobs=jobs, progress=progress, note=console.note
        )
    _report(report, json)
    failures = [layer["failure"] for layer in report["layers"] if layer["failure"] is not None]
    for failure in failures:
        console.message(f"error: {failure}")
    if failures:
        raise typer.Exit(1)


def _report_plan(report: dict, json: bool) -> None:
    if json:
        console.print_json(report)
        return
    rows = []
    for layer in report["layers"]:
        name, seed, steps, installs = (layer[key] for key in ("name", "seed", "steps", "installs"))
        artifact = f"{'replaces' if layer['replaces'] else 'makes'} {_short(layer['out'])}"
        replaced = None if installs is None else f"{len(installs['replaces'])} of {len(installs['streams'])}"
        rows.append((name, seed, steps, artifact, _installed(layer), replaced))
    console.print_columns(("layer", "seed", "steps", "artifact", "streams", "replaced"), rows)


def _report(report: dict, json: bool) -> None:
    for folder, names in report["left_behind"].items():
        console.note(f"left in {_short(folder)} from an earlier run, perhaps with another length: {', '.join(names)}")
    if json:
        console.print_json(report)
        return
    rows = []
    for layer in report["layers"]:
        result = None, None, "none", "failed"
        if layer["failure"] is None:
            result = layer["summary"]["mean_reward"], _evaluated(layer), _installed(layer), _short(layer["out"])
        rows.append((layer["name"], layer["steps"], *result))
    console.print_columns(("layer", "steps", "mean reward", "evaluation", "streams", "artifact"), rows)


def _evaluated(layer: dict) -> str:
    figures = layer["evaluation"]
    text = f"{format_value(figures['mean'])} ± {format_value(figures['standard_error'])}"
    chance = f", at least {figures['optimism']:.0%} chance" if figures.get("optimism") else ""
    return f"{text} (in sample{chance})" if figures["in_sample"] else text


def _installed(layer: dict) -> str:
    installs = layer["installs"]
    return "none" if installs is None else f"{len(installs['streams'])} in {_short(installs['folder'])}"


def _short(path: str) -> str:
    """A path relative to the working directory, if that is shorter."""
    return min(path, os.path.relpath(path), key=len)
