"""Training that ends early: by a callback, by patience, after a checkpoint; and the course that it writes."""

import csv
import itertools
import json

import numpy as np
import pytest
from cli_helpers import refused, run, succeed

import idi_fast as idi
from idi_fast.training.episode_log import EpisodeRewards
from idi_fast.training.stopping import WINDOWS, Patience

LINEAR = {"exploration_schedule": "linear", "exploration_floor": 0.1}


def assert_same(one: idi.TrainingRun, other: idi.TrainingRun) -> None:
    assert one.trainer.config == other.trainer.config
    for table in ("q", "comm_q", "visits"):
        np.testing.assert_array_equal(getattr(one.policy, table), getattr(other.policy, table))
    np.testing.assert_array_equal(one.trainer.episode_rewards, other.trainer.episode_rewards)
    assert one.episodes.equals(other.episodes)
    assert one.trace.frame().equals(other.trace.frame())


@pytest.mark.parametrize(
    "settings", [{}, {"environment": {"kind": "crypto"}}, {"learning": LINEAR}, {"engine": {"compat": "idi_iann"}}]
)
def test_a_run_that_is_told_to_stop_is_the_run_of_as_many_episodes(settings):
    config = idi.TrainingConfig.from_dict({"episodes": 20_000, **settings})
    run = idi.train(config, progress=lambda progress: progress.episodes < 300)
    episodes = run.trainer.config.episodes
    assert 300 <= episodes < 20_000
    assert run.trainer.planned == config
    assert_same(run, idi.train(run.trainer.config))
    assert run.trainer.config.fingerprint() != config.fingerprint()


def test_none_is_no_wish_to_stop():
    assert len(idi.train({"episodes": 16}, progress=lambda progress: None).trainer.rewards) == 16


def test_a_linear_rate_goes_on_falling_by_what_was_planned():
    run = idi.train({"episodes": 20_000, "learning": LINEAR}, progress=lambda progress: False)
    learning = run.trainer.config.learning
    assert learning.exploration_episodes == 0.8 * 20_000
    slope = np.diff(run.trainer.exploration)
    assert slope == pytest.approx(np.full(slope.size, -0.9 / 16_000), rel=1e-9)


def exhausted_at(rewards: list[float], patience: int) -> int | None:
    """After how many episodes there has been no new highest mean of whole windows for `patience` episodes."""
    window, means = max(1, patience // WINDOWS), []
    for first in range(0, len(rewards) - window + 1, window):
        means.append(sum(rewards[first : first + window]) / window)
        best = max(range(len(means)), key=lambda k: (means[k], -k))
        if (len(means) - 1 - best) * window >= patience:
            return len(means) * window
    return None


@pytest.mark.parametrize("patience", [1, 7, 20, 55])
@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_patience_ends_where_no_window_was_better_for_so_long(patience, chunk):
    rewards = np.random.default_rng(patience).normal(size=2000).round(1) + 2.0 * np.tanh(np.arange(2000) / 50)
    log, waiting, ended = EpisodeRewards(), Patience(patience), None
    for first in range(0, rewards.size, chunk):
        log.append(rewards[first : first + chunk])
        if waiting.is_exhausted(log):
            ended = len(log)
            break
    expected = exhausted_at(rewards.tolist(), patience)
    assert expected is not None
    assert ended is not None
    # Between two looks it may only be late, never early.
    assert expected <= ended < expected + max(chunk, 2)


def test_patience_ends_at_the_same_episode_however_rows_are_cut(tmp_path):
    runs = [idi.train({"episodes": 50_000}, seed=3, patience=1000) for _ in range(2)]
    assert_same(*runs)
    episodes = runs[0].trainer.config.episodes
    full = idi.train({"episodes": episodes}, seed=3)
    assert exhausted_at(full.trainer.episode_rewards.tolist(), 1000) == episodes
    assert_same(runs[0], full)


def test_the_command_says_that_it_stopped_and_knows_its_run_again(tmp_path):
    out = tmp_path / "agent"
    arguments = ["train", "--episodes", 50_000, "--out", out]
    assert "of 50,000 episodes" in succeed(*arguments, "--patience", 1000).stderr
    made = json.loads((out / "run.json").read_text())
    planned = {"episodes": 50_000, "fingerprint": idi.TrainingConfig(episodes=50_000).fingerprint()}
    timings = json.loads((out / "timings.json").read_text())
    assert timings["stopped"] == {"planned": planned, "patience": 1000}
    assert made["summary"]["episodes"] == made["config"]["episodes"] < 50_000
    assert "is complete already" in succeed(*arguments, "--patience", 1000, "--resume").stderr
    for other in (("--patience", 2000), ()):
        refused(tmp_path, *arguments, *other, "--resume")
    succeed("prove", out, "--prover", "replay")
    assert run("verify", out, "--require", "replay").status == 0


def test_the_course_of_a_training_for_other_programs(tmp_path):
    path, folder = tmp_path / "course" / "progress.csv", tmp_path / "events"
    with idi.ProgressLog(path, folder, seconds=0.0) as log:
        run = idi.train({"episodes": 2000, "environment": {"kind": "crypto"}}, progress=log)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 1
    assert [int(row["time/episodes"]) for row in rows][-1] == 2000
    assert int(rows[-1]["time/total_timesteps"]) == 2000 * 64
    # Means of the rows, by their episodes, are those of the log.
    ends = [0, *(int(row["time/episodes"]) for row in rows)]
    for row, (first, stop) in zip(rows, itertools.pairwise(ends), strict=True):
        mean = run.trainer.rewards.mean(first, stop)
        assert float(row["rollout/ep_rew_mean"]) == pytest.approx(mean, rel=1e-9)  # summed in another order
        rate = run.trainer.exploration[stop - 1]
        assert float(row["rollout/exploration_rate"]) == pytest.approx(rate, rel=1e-9)
    (events,) = folder.iterdir()
    content = events.read_bytes()
    for name in rows[0]:
        assert content.count(name.encode()) == len(rows)


def test_a_resumed_run_goes_on_in_the_same_file(tmp_path):
    path = tmp_path / "progress.csv"
    for _ in range(2):
        with idi.ProgressLog(path) as log:
            idi.train({"episodes": 64}, progress=log)
    lines = path.read_text().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("time/episodes,")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--patience", 0], "patience"),
        (["--patience", 10, "--seeds", "0:2"], "single --seed"),
        (["--progress-csv", "x.csv", "--seeds", "0:2"], "single --seed"),
        (["--progress-csv", "."], "directory"),
    ],
)
def test_refusals(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert words in refused(tmp_path, "train", "--episodes", 16, "--out", "agent", *arguments)


def test_a_plan_has_no_patience(tmp_path):
    plan = ("train", "--env", "crypto", "--algorithm", "value_iteration", "--out", tmp_path / "agent")
    assert "value_iteration" in refused(tmp_path, *plan, "--patience", 10)


def test_another_file_is_left_alone(tmp_path):
    (tmp_path / "prices.csv").write_text("time,close\n2020-01-01,5\n")
    arguments = ("train", "--episodes", 16, "--out", tmp_path / "agent", "--progress-csv", tmp_path / "prices.csv")
    assert "is no log of a training" in refused(tmp_path, *arguments)


def test_a_log_of_nothing_is_refused():
    with pytest.raises(idi.InputError, match="neither was given"):
        idi.ProgressLog()
    with pytest.raises(idi.InputError, match="seconds"):
        idi.ProgressLog("x.csv", seconds=-1.0)
