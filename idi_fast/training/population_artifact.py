"""The folder of a population: the best lane's artifact, a summary of all, and the lanes that were kept."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

from idi_fast.agents.policy import Policy
from idi_fast.config.plugin_hashes import plugins_entry
from idi_fast.config.settings import TrainingConfig
from idi_fast.errors import ArtifactError
from idi_fast.storage.files import BEST, COMBINED, TIMINGS, list_files, new_directory, write_json
from idi_fast.storage.json_files import load_json
from idi_fast.storage.manifests import SCHEMA_VERSION, write_manifest
from idi_fast.storage.tables import write_table
from idi_fast.training.artifact import finished_output, versions, write_training
from idi_fast.training.population import Lane, Population


def write_lane(folder: Path, lane: Lane) -> None:
    """Write a lane's artifact to `seeds/<seed>` of a population's folder."""
    target = folder / "seeds" / str(lane.seed)
    target.mkdir(parents=True)
    write_training(target, lane.trainer, lane.policy, lane.trace, {"training_seconds": lane.trainer.training_seconds})


def write_combined(folder: Path, population: Population, how: str) -> dict:
    """Write the policy that combines all lanes, and its evaluation, to `combined` of a population's folder; returns its
    run.json."""
    policy = population.combined(how)
    target = folder / COMBINED
    target.mkdir()
    policy.save(target / "policy.parquet")
    run = {
        "schema_version": SCHEMA_VERSION,
        "kind": "combined",
        "how": how,
        "seeds": list(population.seeds),
        "fingerprint": policy.config.fingerprint(),
        "evaluation": population.compare(policy).to_dict(),
        "versions": versions(),
        "trained_on": policy.trained_on,
        "config": policy.config.canonical(),
        **plugins_entry(policy.config),
    }
    write_json(target / "run.json", run)
    training = {"seeds": run["seeds"], "episodes": policy.config.drawn_episodes}
    write_manifest(target, config_sha256=run["fingerprint"], training=training)
    return run


def write_population(folder: Path, population: Population, combine: str = BEST) -> tuple[dict, dict]:
    """Fill a folder, in which there may be lanes already, with the rest of a population; combine: "mean" or "vote"
    writes a policy of all lanes as well.

    Returns its run.json and timings.json as dicts. Everything but the timings depends only on version, config, seeds
    and data.
    """
    best, config = population.best, population.config
    lane = folder / "seeds" / str(best.seed)
    if lane.exists():
        for name in list_files(lane):  # not by shutil.copytree, whose error does not say that the disk is full
            place = folder / BEST / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(lane / name, place)
    else:
        (folder / BEST).mkdir()
        took = {"training_seconds": best.trainer.training_seconds}
        write_training(folder / BEST, best.trainer, best.policy, best.trace, took)
    write_table(folder / "summary.parquet", population.summary)
    combined = {} if combine == BEST else {"combined": write_combined(folder, population, combine)["how"]}
    evaluations = population.summary["evaluation"]
    run = {
        "schema_version": SCHEMA_VERSION,
        "kind": "population",
        "seeds": list(population.seeds),
        "kept": "all" if (folder / "seeds").exists() else "best",
        "best_seed": best.seed,
        **combined,
        "fingerprint": config.fingerprint(),
        "evaluation": population.evaluation_file(),
        "summary": {
            "steps": len(population.seeds) * best.trainer.steps,
            "best": {"mean": best.evaluation.mean, "standard_error": best.evaluation.standard_error},
            "over_seeds": {"min": evaluations.min(), "median": evaluations.median(), "max": evaluations.max()},
        },
        "versions": versions(),
        "trained_on": best.policy.trained_on,
        "config": config.canonical(),
        **plugins_entry(config),
    }
    write_json(folder / "run.json", run)
    seconds = {"jobs": population.jobs, "training_seconds": population.seconds}
    write_json(folder / TIMINGS, seconds)
    training = {"seeds": run["seeds"], "episodes": config.drawn_episodes}
    write_manifest(folder, config_sha256=run["fingerprint"], training=training)
    return run, seconds


def finished_population(
    out: str | Path, config: TrainingConfig, seeds: Iterable[int], keep: str, combine: str = BEST
) -> tuple[dict, dict] | None:
    """run.json and timings.json of the population at `out`, if it is complete and of the same training; else None."""
    about = {"kind": "population", "seeds": list(seeds), "kept": keep}
    about["combined"] = None if combine == BEST else combine
    return finished_output(out, config, about)


def save_population(out: str | Path, population: Population, *, force: bool = False) -> None:
    """Write the folder that `idi-fast train --seeds` writes, of the lanes that were kept.

    `force` replaces an earlier output. Raises OutputError.
    """
    with new_directory(out, force=force) as folder:
        if population.keep == "all":
            for lane in population.lanes.values():
                write_lane(folder, lane)
        write_population(folder, population)


def policy_files(folder: Path) -> list[Path]:
    """The policies of a population or a sweep by their files, in the order of the seeds.

    Raises ArtifactError if the folder holds neither, or not all of its policies.
    """
    try:
        run = load_json(folder / "run.json")
    except (OSError, ValueError) as error:
        raise ArtifactError(f"no population in {folder}: run.json cannot be read ({error})") from error
    kind = run.get("kind") if isinstance(run, dict) else None
    if kind == "sweep":
        return sorted((folder / "policies").glob("*.parquet"), key=lambda file: int(file.stem))
    if kind != "population":
        _refuse(folder, "is no population; expected what `idi-fast train --seeds … --keep all`, or a sweep, wrote")
    if run.get("kept") != "all":
        _refuse(folder, f"keeps its best policy only; train it again with `keep='all'`, or give {folder / BEST}")
    return [folder / "seeds" / str(seed) / "policy.parquet" for seed in run["seeds"]]


def load_policies(files: Iterable[Path]) -> Iterator[Policy]:
    """The policies in files, one at a time. Raises ArtifactError."""
    return map(Policy.load, files)


def _refuse(folder: Path, why: str) -> NoReturn:
    raise ArtifactError(f"{folder} {why}")
