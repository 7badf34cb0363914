"""`idi-fast train`."""

from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args

import typer

from idi_fast.cli import checkpointed, console, population
from idi_fast.cli.checkpointed import Kept, Options
from idi_fast.cli.completion import choices
from idi_fast.cli.option_groups import Bars, Costs, Market, Reading
from idi_fast.cli.options import (
    FLAGS,
    Compat,
    Edges,
    Force,
    Json,
    Out,
    Set,
    compat_name,
    edges_of,
    required_out,
    resolve_config,
)
from idi_fast.config.consistency import OF_EPISODES, OF_PLANNING
from idi_fast.config.settings import Algorithm, LearningConfig, TrainingConfig
from idi_fast.errors import InputError

ALGORITHMS: tuple[str, ...] = get_args(Algorithm)
PLANS = "value_iteration"
LEARNING = (field.name for field in fields(LearningConfig) if field.name not in ("algorithm", *OF_PLANNING))
IDLE = (*OF_EPISODES, *(f"learning.{name}" for name in LEARNING))
"""Settings of a file that do not stand in the way of --algorithm value_iteration."""


def train(
    config: Annotated[Path | None, typer.Option(help="JSON config file.")] = None,
    out: Out = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed, 0 or more (compat: any); -1: drawn and recorded [default: 0].")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Train a population, one lane per seed: 0:64, 0:64:4, 1,5,9 or a mixture.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Lanes trained at a time [default: usable cores].")] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            help="Lanes of a population to write: best or all [default: best].", autocompletion=choices("best", "all")
        ),
    ] = None,
    combine: Annotated[
        str | None,
        typer.Option(
            help="Make one policy of a population: best, mean of the values, or vote [default: best].",
            autocompletion=choices("best", "mean", "vote"),
        ),
    ] = None,
    init_policy: Annotated[
        Path | None, typer.Option(help="Artifact or policy.parquet whose values training starts from.")
    ] = None,
    env: Annotated[
        str | None,
        typer.Option(
            help="synthetic, crypto, history, or a market of a --plugin [default: synthetic].",
            autocompletion=choices("synthetic", "crypto", "history"),
        ),
    ] = None,
    use_crypto_env: Annotated[bool, typer.Option("--use-crypto-env", help="The same as --env crypto.")] = False,
    data: Annotated[
        str | None, typer.Option(help="Price history: CSV or Parquet file, glob or folder; implies --env history.")
    ] = None,
    episodes: Annotated[int | None, typer.Option(help="Training episodes [default: 128].")] = None,
    episode_length: Annotated[int | None, typer.Option(help="Steps per episode [default: 64].")] = None,
    algorithm: Annotated[
        str | None,
        typer.Option(
            help="How the table is made, as value_iteration [default: q_learning].", autocompletion=choices(*ALGORITHMS)
        ),
    ] = None,
    compat: Compat = None,
    rng: Annotated[
        str | None, typer.Option(help="Generator: sfc64 or mt19937.", autocompletion=choices("sfc64", "mt19937"))
    ] = None,
    set_: Set = None,
    checkpoint_every: Annotated[
        str | None, typer.Option(help="Save the run regularly: every 30s, 5m, 2h, or a number of episodes.")
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(help="Stop after so many episodes without a new highest mean reward (of windows of a tenth)."),
    ] = None,
    progress_csv: Annotated[
        Path | None, typer.Option(help="CSV file for the course of the training, a row a second.")
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Folder for TensorBoard's event files of the course of the training.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the last checkpoint of the same run.")
    ] = False,
    force: Force = False,
    json: Json = False,
    print_config: Annotated[bool, typer.Option("--print-config", help="Print the resulting config and stop.")] = False,
    edges: Edges = None,
    split: Annotated[
        str | None, typer.Option(help="Train before, test after: a time, ISO 8601, or a share of the bars, as 70%.")
    ] = None,
    *,
    bars: Bars,
    market: Market,
    costs: Costs,
    reading: Reading,
) -> None:
    """Train an agent, or with --seeds a population.

    Writes an artifact: policy, episode rewards, greedy trace and streams for Tau.

    Example: idi-fast train --data bars.parquet --episodes 2000 --out my_agent
    """
    columns = {"path": data, "split": split, **bars, **edges_of(edges), **reading}
    if "funding" in costs:
        columns["funding"] = costs.pop("funding")
    market |= costs
    flags = {
        "episodes": episodes,
        "episode_length": episode_length,
        "environment.kind": _environment(env, use_crypto_env, data),
        "learning.algorithm": algorithm,
        **{f"environment.market.{name}": value for name, value in market.items()},
        **{f"environment.data.{name}": value for name, value in columns.items()},
        **_engine(compat_name(compat), rng),
    }
    implied = "--use-crypto-env" if use_crypto_env else "--data"
    names = {**FLAGS, "environment.kind": "--env" if env else implied, "engine.rng": "--rng" if rng else "--compat"}
    base = TrainingConfig.draft(config, note=console.note)
    if algorithm == PLANS and (gone := base.unset(IDLE)):
        console.note(f"{', '.join(gone)} of {config}: left out, for {PLANS} has no use for them")
    settings = resolve_config(base, set_ or [], flags, names)
    if print_config:
        console.print_json(settings.to_dict())
        return
    _check_effect(settings.environment.kind, market, columns)
    if settings.learning.plans and (resume or checkpoint_every is not None):
        raise InputError("--checkpoint-every and --resume are for training by episodes; value_iteration plans at once")
    options = Options(required_out(out), checkpoint_every, resume, force, json)
    if (settings.environment.data.split or "").endswith("%"):
        from idi_fast.data.config_bars import load_config_bars
        from idi_fast.environments.splits import split_history

        # As the time of a bar, which the artifact and later commands know.
        settings = split_history(settings, load_config_bars(settings)).config
    if seeds is None:
        population.refuse_without_seeds(jobs=jobs, keep=keep, combine=combine)
        course = Course(patience, progress_csv, tensorboard)
        _train(settings, 0 if seed is None else seed, init_policy, options, course)
    elif patience is not None or progress_csv is not None or tensorboard is not None:
        raise InputError("--patience, --progress-csv and --tensorboard go with a single --seed only")
    elif init_policy is not None:
        raise InputError("--init-policy goes with a single --seed only")
    elif seed is not None:
        raise InputError("--seed and --seeds exclude each other; --seeds takes single seeds too")
    else:
        population.train(settings, seeds, jobs, keep, combine, options)


def _environment(env: str | None, use_crypto_env: bool, data: str | None) -> str | None:
    named = {kind for kind in (env, "crypto" if use_crypto_env else None, "history" if data else None) if kind}
    if len(named) > 1:
        raise InputError(
            f"--env, --use-crypto-env and --data ask for different environments: {', '.join(sorted(named))}"
        )
    return next(iter(named), None)


def _check_effect(kind: str, market: dict, columns: dict) -> None:
    # A forgotten --env crypto must not pass for a stress test.
    held = {"borrow_bps", "cash_rate"}
    known = {"crypto": set(market) - held, "synthetic": set()}.get(kind, {"fee_bps", *held})
    idle = [name for name in market if name not in known]
    idle += [name for name, value in columns.items() if value is not None and kind != "history"]
    if idle:
        raise InputError(f"the {kind} environment has no use for {', '.join(idle)}; choose another with --env")


def _engine(compat: str | None, rng: str | None) -> dict[str, str | None]:
    # Compat has a generator of its own: one that a config file names for the default mode does not stand in its way.
    if compat and not rng:
        return {"engine.compat": compat, "engine.rng": "mt19937"}
    return {"engine.compat": compat, "engine.rng": rng}


class Course(NamedTuple):
    """When a training is to stop early, and where its course is written."""

    patience: int | None
    progress_csv: Path | None
    tensorboard: Path | None


def _train(settings, seed: int, init_policy: Path | None, options: Options, course: Course) -> None:
    from idi_fast.agents.policy import Policy
    from idi_fast.training.artifact import finished_run

    known = None if seed == -1 else seed
    initial = None if init_policy is None else Policy.load(init_policy)
    done = checkpointed.write(
        settings,
        options,
        lambda: finished_run(options.out, settings, known, initial, course.patience),
        partial(_fill, settings, known, initial, course),
    )
    _report(options.out, *done, options.json)


def _fill(settings, seed: int | None, initial, course: Course, folder: Path, kept: Kept) -> tuple[dict, dict]:
    from idi_fast import create_trainer
    from idi_fast.training.artifact import stopped_early, write_training
    from idi_fast.training.checkpoint import Checkpoints, recorded_seed
    from idi_fast.training.episode_log import temporary_log
    from idi_fast.training.progress_log import ProgressLog

    if kept.resume and kept.folder is not None and seed is None:
        seed = recorded_seed(kept.folder)
    trainer = create_trainer(settings, seed, initial=initial)
    console.note_history(trainer.history)
    trainer.compile()
    with ExitStack() as stack:
        if kept.folder is None:
            log: dict[str, Any] = {"rewards": stack.enter_context(temporary_log(folder))}
            stopping = nullcontext()
        else:
            checkpoints = Checkpoints(kept.folder, kept.every, resume=kept.resume, note=console.note)
            log = {"checkpoints": stack.enter_context(checkpoints)}
            stopping = console.stopped_by_signals(trainer.cancel)
        written = None
        if course.progress_csv is not None or course.tensorboard is not None:
            written = stack.enter_context(ProgressLog(course.progress_csv, course.tensorboard))
        with stopping, console.training_progress(settings.drawn_episodes * settings.episode_length) as shown:
            trainer.train(_both(shown, written), patience=course.patience, **log)
        seconds = {"training_seconds": trainer.training_seconds, **stopped_early(trainer)}
        policy, trace = trainer.rollout()
        return write_training(folder, trainer, policy, trace, seconds), seconds


def _both(one: Callable | None, other: Callable | None) -> Callable | None:
    """A callback that calls two; either may be None."""
    if one is None or other is None:
        return one or other

    def both(progress: object) -> None:
        one(progress)
        other(progress)

    return both


def _visited(summary: dict) -> list[tuple[str, str]]:
    if summary["visited_states"] is not None:
        return [("states visited", f"{summary['visited_states']:,} of {summary['states']:,}")]
    rows = f"{summary['visited_rows']:,} of {summary['table_rows']:,} for {summary['states']:,} states"
    shared = summary.get("tile_collisions")
    return [("table rows", rows), ("  collisions", "none" if shared is None else f"{shared:.1%} of look-ups")]


def _trained(summary: dict) -> list[tuple[str, Any]]:
    plan = summary.get("plan")
    if plan is None:
        return [
            ("episodes", summary["episodes"]),
            ("mean reward", summary["mean_reward"]),
            ("  last tenth", summary["last_tenth_mean_reward"]),
        ]
    from idi_fast.agents.policy import shown_share

    how = "the best on left-out bars" if plan["left_out_reward"] else "as given or usual"
    rows: list[tuple[str, Any]] = [("bars", plan["bars"]), ("shrinkage", f"{plan['shrinkage']:g} bars, {how}")]
    rows.append(("sure moves", shown_share(plan["sure_moves"])))
    if "expected_reward" in plan:
        low, middle, high = (f"{value:.3g}" for value in plan["expected_reward"])
        rows.append(("reward per bar", f"{middle}, 95% of resamples {low} to {high}"))
    if "in_sample_reward" in plan:
        share = "" if plan["optimism_share"] is None else f", at least {plan['optimism_share']:.0%} of it chance"
        rows.append(("in-sample reward", f"{plan['in_sample_reward']:.3g} per bar{share}"))
    return rows


def _speed(rate: float, unit: str) -> str:
    return f"{rate / 1e6:.1f} million {unit}/s" if rate >= 1e6 else f"{rate:,.0f} {unit}/s"


def _report(out: Path, run: dict, seconds: dict[str, Any], json: bool) -> None:
    summary, rate = run["summary"], None
    if seconds.get("training_seconds"):  # an artifact that was saved from Python does not say
        rate = summary["steps"] / seconds["training_seconds"]
    if stopped := seconds.get("stopped"):
        console.note(f"stopped after {summary['episodes']:,} of {stopped['planned']['episodes']:,} episodes")
    if json:
        facts = {"out": str(out), "seed": run["seed"], "fingerprint": run["fingerprint"], **summary}
        worth = {"evaluation": run["evaluation"]}
        console.print_json({"schema_version": 1, **facts, **worth, **seconds, "steps_per_second": rate})
        return
    from idi_fast.agents.certainty import of_chance
    from idi_fast.evaluation.baselines import plain_verdict, remedy

    evaluation = run["evaluation"]
    best = evaluation["baselines"][evaluation["best_baseline"]]
    said = ", ".join(f"{name} {count:,}" for name, count in summary["comm_action_counts"].items())
    counts = [] if "plan" in summary else [("communication", said)]
    unit = "bars" if "plan" in summary else "steps"
    to_do = remedy(evaluation, TrainingConfig.from_dict(run["config"]))
    kind = "in-sample evaluation" if evaluation["in_sample"] else "evaluation"
    if evaluation["in_sample"]:
        chance = of_chance(evaluation.get("optimism"))
        console.note(f"the evaluation is over training bars; it says nothing about new ones{chance}")
    console.print_rows(
        [
            ("artifact", out),
            ("environment", run["config"]["environment"]["kind"]),
            ("seed", str(run["seed"])),
            *_trained(summary),
            (kind, console.format_error(evaluation)),
            (f"  above {evaluation['best_baseline']!r}", console.format_error(best["difference"])),
            *_visited(summary),
            *counts,
            ("speed", None if rate is None else _speed(rate, unit)),
            ("verdict", plain_verdict(evaluation)),
            *([] if to_do is None else [("what to do", to_do)]),
        ]
    )
    console.print_sparkline("learning curve", out / "episodes.parquet", "reward")
