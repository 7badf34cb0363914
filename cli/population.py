"""`idi-fast train --seeds`."""

from pathlib import Path

from idi_fast.cli import console
from idi_fast.errors import InputError


def refuse_without_seeds(**options: object) -> None:
    """Raise InputError if options of populations were given for a single training run."""
    given = [f"--{name}" for name, value in options.items() if value is not None]
    if given:
        raise InputError(f"{' and '.join(given)} go with --seeds only, which trains a population")


def train(
    settings, text: str, jobs: int | None, keep: str | None, out: Path, every: str | None, resume: bool, force: bool,
    json: bool,
) -> None:  # fmt: skip
    """Train a population, write its folder and report on it."""
    from idi_fast.checkpoint import Every, checkpoint_folder
    from idi_fast.files import new_directory
    from idi_fast.population import finished_population
    from idi_fast.seeds import parse_seeds

    keep = "best" if keep is None else keep
    if keep not in ("best", "all"):
        raise InputError(f"--keep is {keep!r}; expected 'best' or 'all'")
    seeds, period = parse_seeds(text), None if every is None else Every.parse(every)
    console.warn_of_compilation()
    wanted, data = resume or period is not None, settings.environment.data.path
    inputs = () if data is None else (data,)
    left = console.RESUMABLE if wanted else "nothing was written"
    with console.interruptible(left), checkpoint_folder(out, wanted=wanted, resume=resume, force=force) as kept:
        done = finished_population(out, settings, seeds, keep) if resume else None
        if done is not None:
            console.note(f"{out} is complete already; nothing was done")
        else:
            with new_directory(out, force=force, inputs=inputs, within=kept) as folder:
                done = _fill(folder, settings, seeds, jobs, keep, kept, period, resume)
    # A run that was resumed has not made all its steps in these seconds.
    rate = None if resume else done[0]["summary"]["steps"] / done[1]["training_seconds"]
    _report(out, *done, rate, json)


def _fill(
    folder: Path, settings, seeds: list[int], jobs: int | None, keep: str, kept: Path | None, period, resume: bool
) -> tuple[dict, dict]:
    from functools import partial

    from idi_fast.population import train_population, write_lane, write_population
    from idi_fast.population_checkpoint import PopulationCheckpoints

    checkpoints = None
    if kept is not None:
        checkpoints = PopulationCheckpoints(kept, period, resume=resume, keep=keep, note=console.note)
    # Lanes go from their threads to the disk, so that no more of them are in memory than are in training.
    write = partial(write_lane, folder) if keep == "all" else None
    steps = len(seeds) * settings.episodes * settings.episode_length
    with console.training_progress(steps, lambda p: f"seed {p.lanes:,} of {p.total_lanes:,}") as progress:
        population = train_population(settings, seeds, jobs, progress=progress, finished=write, checkpoints=checkpoints)
    return write_population(folder, population)


def _report(out: Path, run: dict, seconds: dict, rate: float | None, json: bool) -> None:
    summary, evaluation = run["summary"], run["evaluation"]
    if json:
        facts = {"out": str(out), "seeds": run["seeds"], "jobs": seconds["jobs"], "best_seed": run["best_seed"]}
        facts |= {"fingerprint": run["fingerprint"], "evaluation": evaluation, **summary}
        took = {"training_seconds": seconds["training_seconds"], "steps_per_second": rate}
        console.print_json({"schema_version": 1, **facts, **took})
        return
    best, spread = summary["best"], summary["over_seeds"]
    found = f"{console.format_value(best['mean'])} ± {console.format_value(best['standard_error'])}"
    on = "windows of the training bars" if evaluation["in_sample"] else "fresh episodes"
    console.print_rows(
        [
            ("population", out),
            ("environment", run["config"]["environment"]["kind"]),
            ("seeds", len(run["seeds"])),
            ("jobs", seconds["jobs"]),
            ("best seed", str(run["best_seed"])),
            ("evaluation", found),
            ("  on", f"{evaluation['episodes']:,} {on}"),
            *((f"  {name} of seeds", spread[name]) for name in ("min", "median", "max")),
            ("speed", None if rate is None else f"{rate / 1e6:.1f} million steps/s"),
        ]
    )
