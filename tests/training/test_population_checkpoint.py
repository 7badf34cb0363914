"""Populations that are interrupted anywhere, any number of times, resume to the same result."""

import shutil
import signal
import time
from pathlib import Path
from unittest import mock

import cli_helpers as cli
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from test_population import bars_of, without_timings
from test_trainer import config

import idi_fast.training.checkpoint
import idi_fast.training.population
import idi_fast.training.trainer
from idi_fast import train_population
from idi_fast.errors import ArtifactError, InputError
from idi_fast.training.checkpoint import Checkpoints, Every
from idi_fast.training.population_artifact import save_population
from idi_fast.training.population_checkpoint import PopulationCheckpoints
from idi_fast.training.trainer import Trainer

SEEDS = [4, 0, 9, 2, 7]
TRAIN = ("train", "--seeds", "0:3", "--checkpoint-every", 2000, "--episodes", 100_000)
LEFT = "interrupted; --resume continues the run from its last checkpoint\n"


class Stop(Exception):
    """Stands for whatever ends a process."""


def population(setup, folder: Path | None, keep: str = "best", seeds=SEEDS, resume: bool = True, **options):
    checkpoints = None
    if folder is not None:
        folder.mkdir(exist_ok=True)
        checkpoints = PopulationCheckpoints(folder, Every(episodes=3), keep=keep, resume=resume)
    return train_population(setup, seeds, keep=keep, history=bars_of(setup), checkpoints=checkpoints, **options)


def stopping_after(saves: int):
    """Let so many checkpoints be saved, and then none."""
    real, left = Checkpoints.save, iter(range(saves))

    def save(self, *args):
        if next(left, None) is None:
            raise Stop
        real(self, *args)

    return mock.patch.object(Checkpoints, "save", save)


def held(folder: Path) -> dict[str, list[str]]:
    """Seeds whose tables, and seeds of which a row, are in a folder of checkpoints."""
    tables = {path.parent.name for path in folder.glob("seed_*/checkpoint_*")}
    return {"tables": sorted(tables), "rows": sorted(path.parent.name for path in folder.glob("seed_*/row.json"))}


@pytest.mark.parametrize("keep", ["best", "all"])
@pytest.mark.parametrize("kind", ["synthetic", "crypto", "history"])
@settings(max_examples=examples(3))
@given(stops=st.lists(st.integers(0, 12), max_size=4), jobs=st.integers(1, 3))
def test_a_resumed_population_is_the_one_that_was_not_interrupted(kind, keep, stops, jobs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("population")
    setup = config(kind)
    with mock.patch.multiple(idi_fast.training.trainer, BLOCK_ROWS=25, MOST_BLOCKS=2):
        for saves in stops:
            try:
                with stopping_after(saves):
                    population(setup, folder / "kept", keep, jobs=jobs)
            except Stop:
                continue
        save_population(folder / "resumed", population(setup, folder / "kept", keep, jobs=jobs))
    save_population(folder / "whole", population(setup, None, keep))
    assert without_timings(folder / "resumed") == without_timings(folder / "whole")


def test_lanes_that_lost_are_not_trained_again_and_only_the_best_keeps_its_tables(tmp_path):
    whole = population(config(), None)
    lanes = []

    def stop(lane):
        lanes.append(lane.seed)
        if len(lanes) == 4:
            raise Stop

    with pytest.raises(Stop):
        population(config(), tmp_path / "kept", finished=stop, jobs=1)
    # Of the first three the best is left; the fourth was trained, but not yet compared with it.
    best = max(lanes[:3], key=lambda seed: whole.summary["evaluation"][SEEDS.index(seed)])
    found = held(tmp_path / "kept")
    assert found["tables"] == sorted([f"seed_{best}", "seed_2"])
    assert found["rows"] == sorted(f"seed_{seed}" for seed in lanes[:3] if seed != best)
    made = []
    record = mock.Mock(side_effect=lambda setup, seed, bars: made.append(seed) or Trainer(setup, seed, bars))
    with mock.patch.object(idi_fast.training.population, "Trainer", record):
        resumed = population(config(), tmp_path / "kept", jobs=1)
    assert sorted(made) == sorted([best, 2, 7])
    assert resumed.summary.equals(whole.summary)
    assert len(held(tmp_path / "kept")["tables"]) == 1


def test_a_lane_whose_row_is_damaged_is_trained_again(tmp_path):
    whole = population(config(), tmp_path / "kept")
    for row in (tmp_path / "kept").glob("seed_*/row.json"):
        row.write_text(row.read_text().replace('"visited_states": ', '"visited_states": 1'))
    assert population(config(), tmp_path / "kept").summary.equals(whole.summary)


def test_rows_of_a_population_that_was_being_discarded_are_not_taken_for_those_of_another(tmp_path):
    population(config(), tmp_path / "kept")
    longer = config(episodes=30)
    whole = population(longer, None)
    with mock.patch.object(idi_fast.training.checkpoint.shutil, "rmtree", side_effect=Stop), pytest.raises(Stop):
        population(longer, tmp_path / "kept", resume=False)
    assert held(tmp_path / "kept")["rows"]
    assert population(longer, tmp_path / "kept").summary.equals(whole.summary)


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_damaged_description_of_a_population_is_refused(text, tmp_path):
    population(config(), tmp_path / "kept")
    (tmp_path / "kept" / "population.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"population.json is damaged; `force=True` without `resume` discards"):
        population(config(), tmp_path / "kept")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": [4, 0]}, "seed is "),
        ({"keep": "all"}, 'keep is "all" here and "best" in the checkpoint'),
        ({"setup": config(episodes=13)}, "episodes is 13 here and 12"),
    ],
)
def test_another_population_is_not_resumed(change, message, tmp_path):
    population(config(), tmp_path / "kept")
    with pytest.raises(InputError, match=message):
        population(**{"setup": config(), "folder": tmp_path / "kept", **change})
    population(**{"setup": config(), "folder": tmp_path / "kept", **change}, resume=False)


def test_populations_and_single_runs_do_not_take_each_other_for_their_own(tmp_path):
    single, several = ("--episodes", 10), ("--episodes", 10, "--seeds", "0:2")
    for first, second, part in ((single, several, "of a single run"), (several, single, "of a population")):
        with stopping_after(1):
            cli.run("train", "--out", tmp_path / "a", "--checkpoint-every", 1, *first)
        assert (tmp_path / "a.checkpoint").exists()
        cli.assert_mentions(cli.refused(tmp_path, "train", "--out", tmp_path / "a", "--resume", *second), part)
        plain = cli.refused(tmp_path, "train", "--out", tmp_path / "a", *second)
        cli.assert_mentions(plain, "a.checkpoint", "--resume continues it, --force discards it")
        with stopping_after(1):  # what it discards does not come back when it is resumed itself
            cli.run("train", "--out", tmp_path / "a", "--checkpoint-every", 1, "--force", *second)
        cli.succeed("train", "--out", tmp_path / "a", "--resume", *second)
        assert not (tmp_path / "a.checkpoint").exists()
        shutil.rmtree(tmp_path / "a")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_process_that_is_stopped_and_resumed(number, tmp_path):
    pop, kept = tmp_path / "pop", tmp_path / "pop.checkpoint"
    process = cli.start(*TRAIN, "--out", pop)
    patience = time.monotonic() + 60
    while not any(kept.glob("seed_*/checkpoint_*")) and time.monotonic() < patience:
        time.sleep(0.005)
    process.send_signal(number)
    status, stdout, stderr = cli.finish(process)
    assert (status, stdout) == ({signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[number], "")
    assert stderr == ("" if number == signal.SIGKILL else LEFT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pop.checkpoint"]
    cli.succeed(*TRAIN, "--out", pop, "--resume")
    cli.succeed(*TRAIN, "--out", tmp_path / "whole")
    assert without_timings(pop) == without_timings(tmp_path / "whole")
    assert not kept.exists()
    assert "nothing was done" in cli.succeed(*TRAIN, "--out", pop, "--resume").stderr
