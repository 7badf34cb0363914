"""`idi-fast train --seeds`."""

from functools import partial
from pathlib import Path

from idi_fast.cli import checkpointed, console
from idi_fast.cli.checkpointed import Kept, Options
from idi_fast.errors import InputError
from idi_fast.storage.files import COMBINED
from idi_fast.storage.json_files import load_json


def refuse_without_seeds(**options: object) -> None:
    """Raise InputError if options of populations were given for a single training run."""
    given = [f"--{name}" for name, value in options.items() if value is not None]
    if given:
        raise InputError(f"{' and '.join(given)}: only with --seeds, which trains a population")


def train(settings, text: str, jobs: int | None, keep: str | None, combine: str | None, options: Options) -> None:
    """Train a population, write its folder and report on it."""
    from idi_fast.config.seeds import parse_seeds
    from idi_fast.training.population_artifact import finished_population

    keep = "best" if keep is None else keep
    if keep not in ("best", "all"):
        raise InputError(f"--keep is {keep!r}; expected 'best' or 'all'")
    combine = "best" if combine is None else combine
    if combine not in ("best", "mean", "vote"):
        raise InputError(f"--combine is {combine!r}; expected 'best', 'mean' or 'vote'")
    draws_edges = settings.environment.kind not in ("synthetic", "history") and settings.engine.compat is None
    if combine != "best" and draws_edges:
        raise InputError(
            f"--combine {combine}: on a simulated market each seed fits bucket edges to bars of its own, so that a "
            "state of one is not that of the other; it is for histories"
        )
    seeds = parse_seeds(text)
    run, seconds = checkpointed.write(
        settings,
        options,
        lambda: finished_population(options.out, settings, seeds, keep, combine),
        partial(_fill, settings, seeds, jobs, keep, combine),
    )
    # A run that was resumed has not made all its steps in these seconds.
    rate = None if options.resume else run["summary"]["steps"] / seconds["training_seconds"]
    _report(options.out, run, seconds, rate, options.json)


def _fill(
    settings, seeds: list[int], jobs: int | None, keep: str, combine: str, folder: Path, kept: Kept
) -> tuple[dict, dict]:
    from idi_fast.data.config_bars import load_config_bars
    from idi_fast.training.population import train_population
    from idi_fast.training.population_artifact import write_lane, write_population
    from idi_fast.training.population_checkpoint import PopulationCheckpoints

    history = load_config_bars(settings) if settings.environment.kind == "history" else None
    console.note_history(history)
    held = keep if combine == "best" else "all"
    checkpoints = None
    if kept.folder is not None:
        checkpoints = PopulationCheckpoints(kept.folder, kept.every, resume=kept.resume, keep=held, note=console.note)
    # Lanes go from their threads to the disk, so that no more of them are in memory than are in training.
    write = partial(write_lane, folder) if keep == "all" else None
    steps = len(seeds) * settings.drawn_episodes * settings.episode_length
    with console.training_progress(steps, lambda p: f"seed {p.lanes:,} of {p.total_lanes:,}") as progress:
        population = train_population(
            settings, seeds, jobs, held, history=history, progress=progress, finished=write, checkpoints=checkpoints
        )
    return write_population(folder, population, combine)


def _report(out: Path, run: dict, seconds: dict, rate: float | None, json: bool) -> None:
    summary, evaluation = run["summary"], run["evaluation"]
    combined = None if "combined" not in run else load_json(out / COMBINED / "run.json")
    if json:
        facts = {"out": str(out), "seeds": run["seeds"], "jobs": seconds["jobs"], "best_seed": run["best_seed"]}
        facts |= {"fingerprint": run["fingerprint"], "evaluation": evaluation, **summary}
        if combined is not None:
            facts["combined"] = {"how": combined["how"], "evaluation": combined["evaluation"]}
        took = {"training_seconds": seconds["training_seconds"], "steps_per_second": rate}
        console.print_json({"schema_version": 1, **facts, **took})
        return
    from idi_fast.config.settings import TrainingConfig
    from idi_fast.evaluation.baselines import remedy

    best, spread = summary["best"], summary["over_seeds"]
    above, verdict = [], []
    if "baselines" in evaluation:  # a complete population of an earlier version, found by --resume, has none
        name = evaluation["best_baseline"]
        above = [(f"  above {name!r}", console.format_error(evaluation["baselines"][name]["difference"]))]
        verdict = [("verdict", evaluation["verdict"])]
        to_do = remedy(evaluation, TrainingConfig.from_dict(run["config"]))
        verdict += [] if to_do is None else [("what to do", to_do)]
    is_split = run["config"]["environment"]["data"].get("split") is not None
    on = "windows of the training bars" if evaluation["in_sample"] else "fresh episodes"
    on = "windows of the bars behind the split" if is_split else on
    console.print_rows(
        [
            ("population", out),
            ("environment", run["config"]["environment"]["kind"]),
            ("seeds", len(run["seeds"])),
            ("jobs", seconds["jobs"]),
            ("best seed", str(run["best_seed"])),
            ("evaluation", console.format_error(evaluation if is_split else best)),
            *above,
            ("  on", f"{evaluation['episodes']:,} {on}"),
            *((f"  {name} of seeds{', in sample' * is_split}", spread[name]) for name in ("min", "median", "max")),
            ("speed", None if rate is None else f"{rate / 1e6:.1f} million steps/s"),
            *verdict,
            *([] if combined is None else _of_combined(out / COMBINED, combined)),
        ]
    )


def _of_combined(out: Path, run: dict) -> list[tuple[str, object]]:
    from idi_fast.evaluation.baselines import plain_verdict

    evaluation = run["evaluation"]
    return [
        ("combined", f"{run['how']} of {len(run['seeds']):,} seeds, {out}"),
        ("  evaluation", console.format_error(evaluation)),
        ("  verdict", plain_verdict(evaluation)),
    ]
