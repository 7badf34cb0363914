"""`idi-fast train --checkpoint-every … --resume`: messages, refusals and files, after a kill at any moment."""

import os
import random
import shutil
import signal
import time
from pathlib import Path
from unittest import mock

import cli_helpers as cli
import pytest

import idi_fast.training.checkpoint
import idi_fast.training.run_description
import idi_fast.training.trainer
from idi_fast.errors import OutputError
from idi_fast.training.checkpoint import Checkpoints, checkpoint_paths
from idi_fast.training.checkpoint_folder import checkpoint_folder

TRAIN = ("train", "--episodes", 40, "--episode-length", 16, "--checkpoint-every", 5)
LEFT = "interrupted; --resume continues the run from its last checkpoint\n"


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(idi_fast.training.trainer, "BLOCK_ROWS", 25)
    monkeypatch.setattr(idi_fast.training.trainer, "MOST_BLOCKS", 2)


@pytest.fixture
def begun(tmp_path) -> Path:
    """The output of a run that was interrupted after its second checkpoint."""
    out = tmp_path / "a"
    assert interrupted(*TRAIN, "--out", out) == (130, "", LEFT)
    assert sorted(os.listdir(tmp_path)) == ["a.checkpoint"]
    return out


def interrupted(*args: object, saves: int = 2) -> cli.Outcome:
    """Run a command and interrupt it after so many checkpoints."""
    real, left = Checkpoints.save, iter(range(saves - 1, -1, -1))

    def save(self, *position):
        real(self, *position)
        if next(left) == 0:
            raise KeyboardInterrupt

    with mock.patch.object(Checkpoints, "save", save):
        return cli.run(*args)


def uninterrupted(folder: Path, *args: object) -> Path:
    cli.succeed(*TRAIN, *args, "--out", folder / "whole")
    return folder / "whole"


def test_resumed_by_the_command(begun, tmp_path):
    outcome = cli.succeed(*TRAIN, "--out", begun, "--resume")
    assert outcome.stderr == ""
    assert os.listdir(tmp_path) == ["a"]
    assert cli.same_run(begun, uninterrupted(tmp_path))


def test_resumed_without_further_checkpoints(begun, tmp_path):
    args = [arg for arg in TRAIN if arg not in ("--checkpoint-every", 5)]
    cli.succeed(*args, "--out", begun, "--resume")
    assert cli.same_run(begun, uninterrupted(tmp_path))


def test_resumed_before_the_first_checkpoint(tmp_path):
    outcome = cli.succeed(*TRAIN, "--out", tmp_path / "a", "--resume")
    assert outcome.stderr == "note: there is no checkpoint yet; training starts from the beginning\n"
    assert os.listdir(tmp_path) == ["a"]
    assert cli.same_run(tmp_path / "a", uninterrupted(tmp_path))


def test_resumed_when_all_is_done(begun, tmp_path):
    shutil.copytree(tmp_path / "a.checkpoint", tmp_path / "kept")
    first = cli.succeed(*TRAIN, "--out", begun, "--resume")
    before = cli.snapshot(begun)
    os.rename(tmp_path / "kept", tmp_path / "a.checkpoint")  # killed between the renaming and the removal
    for _ in range(2):
        again = cli.succeed(*TRAIN, "--out", begun, "--resume")
        assert (again.stdout, again.stderr) == (first.stdout, f"note: {begun} is complete already; nothing was done\n")
        assert os.listdir(tmp_path) == ["a"]
    assert cli.snapshot(begun) == before
    # Another seed's artifact, or one that was damaged, is not this run's.
    cli.assert_mentions(cli.refused(tmp_path, *TRAIN, "--out", begun, "--resume", "--seed", 3), "a already exists")
    (begun / "streams" / "q_buy.in").write_text("1\n")
    cli.assert_mentions(cli.refused(tmp_path, *TRAIN, "--out", begun, "--resume"), "a already exists")
    cli.succeed(*TRAIN, "--out", begun, "--resume", "--force")
    assert cli.same_run(begun, uninterrupted(tmp_path))


def test_a_drawn_seed_is_gone_on_with(tmp_path):
    out = tmp_path / "a"
    assert interrupted(*TRAIN, "--out", out, "--seed", -1).status == 130
    seed = idi_fast.training.checkpoint.recorded_seed(tmp_path / "a.checkpoint")
    cli.succeed(*TRAIN, "--out", out, "--seed", -1, "--resume")
    assert cli.same_run(out, uninterrupted(tmp_path, "--seed", seed))
    assert "complete already" in cli.succeed(*TRAIN, "--out", out, "--seed", -1, "--resume").stderr


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--set", "learning_rate=0.1"], ["learning_rate is 0.1 here and 0.2 in the checkpoint."]),
        (["--seed", 7], ["another run: seed is 7 here and 0 in the checkpoint."]),
        (
            ["--episodes", 41, "--set", "quantizer.price_buckets=5"],
            ["episodes is 41 here and 40 in the", "; quantizer.price_buckets is 5 here and 4 in the checkpoint."],
        ),
        (["--env", "crypto"], ['environment.kind is "crypto" here and "synthetic" in the checkpoint']),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(options, parts, begun, tmp_path):
    line = cli.refused(tmp_path, *TRAIN, *options, "--out", begun, "--resume")
    cli.assert_mentions(line, "a.checkpoint/checkpoint_", " is of another run: ", "--force without --resume", *parts)


def test_a_checkpoint_of_other_versions_is_refused(begun, tmp_path, monkeypatch):
    def refusal() -> str:
        return cli.refused(tmp_path, *TRAIN, "--out", begun, "--resume")

    monkeypatch.setattr(idi_fast.training.run_description, "SOURCES_HASH", "0123")
    cli.assert_mentions(refusal(), 'another run: kernels is "0123" here and "')
    monkeypatch.undo()
    now = idi_fast.training.run_description.versions()
    monkeypatch.setattr(idi_fast.training.run_description, "versions", lambda: {**now, "numpy": "9.9"})
    cli.assert_mentions(refusal(), f'versions.numpy is "9.9" here and "{now["numpy"]}" in the checkpoint.')
    monkeypatch.undo()
    monkeypatch.setattr(idi_fast.training.checkpoint, "FORMAT", "idi-fast-checkpoint-2")
    cli.assert_mentions(refusal(), "has the format 'idi-fast-checkpoint-1'; expected 'idi-fast-checkpoint-2'")


def test_a_checkpoint_of_other_data_is_refused(tmp_path):
    args = (*TRAIN, "--data", tmp_path / "bars.csv", "--out", tmp_path / "a")
    cli.bars(60).write_csv(tmp_path / "bars.csv")
    assert interrupted(*args).status == 130
    cli.bars(61).write_csv(tmp_path / "bars.csv")
    line = cli.refused(tmp_path, *args, "--resume")
    cli.assert_mentions(line, "data.bars is 61 here and 60 in the checkpoint; ", 'data.last_time is "2024-03-01T')
    assert "sample" not in line
    cli.bars(60).write_csv(tmp_path / "bars.csv")
    cli.succeed(*args, "--resume")


def test_an_unfinished_run_is_not_begun_anew_unasked(begun, tmp_path):
    plain = ("train", *cli.QUICK, "--out", begun)
    for args in ((*TRAIN, "--out", begun), plain):
        line = cli.refused(tmp_path, *args)
        cli.assert_mentions(
            line, "a.checkpoint holds the checkpoints of an unfinished run; --resume continues it, --force"
        )
    assert cli.succeed(*TRAIN, "--out", begun, "--force", "--seed", 8).stderr == ""
    assert os.listdir(tmp_path) == ["a"]
    assert cli.same_run(begun, uninterrupted(tmp_path, "--seed", 8))


def test_force_discards_the_checkpoints_for_a_run_without_any(begun, tmp_path):
    cli.succeed("train", *cli.QUICK, "--out", begun, "--force")
    assert os.listdir(tmp_path) == ["a"]


def test_a_refused_output_costs_no_checkpoint(begun, tmp_path):
    cli.put(begun)
    for options in (["--force"], ["--resume"], ["--resume", "--force"]):
        line = cli.refused(tmp_path, *TRAIN, "--out", begun, *options)
        cli.assert_mentions(line, "holds something other" if "--force" in options else "a already exists")


def test_a_failed_start_leaves_no_folder(tmp_path):
    cli.refused(tmp_path, *TRAIN, "--out", tmp_path / "a", "--data", tmp_path / "none.csv")
    cli.refused(tmp_path, *TRAIN, "--out", tmp_path / "a", "--seed", -4)
    cli.refused(tmp_path, *TRAIN, "--out", tmp_path / ("n" * 250))
    cli.refused(tmp_path, "train", "--out", tmp_path / "a", "--checkpoint-every", "5x")


@pytest.mark.parametrize("name", [".env", ".git/config", "seed_3/notes.txt"])
def test_a_folder_of_checkpoints_with_another_file_in_it_is_refused(name, begun):
    foreign = begun.with_name("a.checkpoint") / name
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_text("mine")
    for options in (["--force"], ["--resume"]):
        line = cli.refused(begun.parent, *TRAIN, "--out", begun, *options)
        cli.assert_mentions(line, name, "which idi-fast did not write; move it away first")


def test_a_folder_that_is_not_ours_is_refused(tmp_path):
    for make in (cli.put, lambda path: path.write_text("x"), lambda path: path.symlink_to("elsewhere")):
        make(tmp_path / "a.checkpoint")
        for options in ([], ["--force"], ["--resume"]):
            line = cli.refused(tmp_path, *TRAIN, "--out", tmp_path / "a", *options)
            cli.assert_mentions(line, "a.checkpoint ", "move it away" if "thesis" in line else "not a folder")
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()


def test_two_processes_do_not_share_a_folder(begun, tmp_path):
    with checkpoint_folder(begun, wanted=True, resume=True, force=False):
        for options in (["--resume"], ["--force"], []):
            line = cli.refused(tmp_path, *TRAIN, "--out", begun, *options)
            cli.assert_mentions(line, "another process is at work in", "a.checkpoint")
        (tmp_path / "a.checkpoint" / "keep").touch()  # stands for the other's checkpoints
    gone = mock.patch("os.path.exists", return_value=False)
    other = checkpoint_folder(tmp_path / "b", wanted=True, resume=False, force=False)
    with gone, pytest.raises(OutputError, match="another process has just ended"):
        other.__enter__()


def test_damaged_checkpoints_by_the_command(begun, tmp_path):
    newest, older = checkpoint_paths(tmp_path / "a.checkpoint")
    cli.damage(newest, "flip", 0.5)
    kept = cli.snapshot(tmp_path / "a.checkpoint")
    cli.assert_mentions(cli.succeed(*TRAIN, "--out", begun, "--resume").stderr, "note: the checkpoint ", "is damaged")
    assert cli.same_run(begun, uninterrupted(tmp_path))
    shutil.rmtree(begun)
    (tmp_path / "a.checkpoint").mkdir()
    cli.restore(tmp_path / "a.checkpoint", kept)
    cli.damage(older, "truncate", 0.5)
    status, stdout, stderr = cli.run(*TRAIN, "--out", begun, "--resume")
    assert (status, stdout, stderr.count("\n")) == (2, "", 3)
    cli.assert_mentions(stderr, "going on from the one before", "there is no other", "error: no checkpoint in ")


def test_a_disk_that_fills_up_costs_no_checkpoint(begun, tmp_path):
    with mock.patch.object(os, "replace", side_effect=cli.FULL):
        status, stdout, stderr = cli.run(*TRAIN, "--out", begun, "--resume")
    assert (status, stdout) == (1, "")
    cli.assert_mentions(stderr, "error: cannot write", cli.FULL.strerror)
    cli.succeed(*TRAIN, "--out", begun, "--resume")
    assert cli.same_run(begun, uninterrupted(tmp_path))


def test_an_output_that_an_earlier_version_put_aside_comes_back(begun, tmp_path):
    cli.succeed("train", *cli.QUICK, "--out", tmp_path / "other")
    earlier = cli.snapshot(tmp_path / "other")
    aside = tmp_path / "a.checkpoint" / ".a-xyz"
    aside.mkdir()
    os.rename(tmp_path / "other", aside / "old")
    assert interrupted(*TRAIN, "--out", begun, "--resume", "--force", saves=1).status == 130
    assert cli.snapshot(begun) == earlier
    assert not aside.exists()
    cli.succeed(*TRAIN, "--out", begun, "--resume", "--force")
    assert cli.same_run(begun, uninterrupted(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_run(number, tmp_path):
    args = (
        "train",
        "--episodes",
        3_000_000,
        "--episode-length",
        16,
        "--checkpoint-every",
        "2h",
        "--out",
        tmp_path / "a",
    )
    process = cli.start(*args)
    wait_for(lambda: (tmp_path / "a.checkpoint" / "rewards.f8").exists(), process)
    time.sleep(0.1)
    process.send_signal(number)
    assert cli.finish(process) == (128 + number, "", LEFT)
    assert os.listdir(tmp_path) == ["a.checkpoint"]
    paths = checkpoint_paths(tmp_path / "a.checkpoint")
    assert len(paths) == 1
    assert not paths[0].name.endswith("_" + "0" * 18)


def wait_for(condition, process) -> None:
    patience = time.monotonic() + 60
    while not condition() and process.poll() is None and time.monotonic() < patience:
        time.sleep(0.002)


def test_killed_at_any_moment_and_resumed(tmp_path):
    seed = random.randrange(10**6)
    chance, kept, moments = random.Random(seed), tmp_path / "a.checkpoint", []
    args = ("train", "--episodes", 60_000, "--episode-length", 640, "--checkpoint-every", 300, "--resume")
    for _ in range(2):
        process = cli.start(*args, "--out", tmp_path / "a")
        # Some while it starts, most a little after it has begun to save.
        early, before = chance.random() < 0.25, checkpoint_paths(kept)
        if not early:
            wait_for(lambda before=before: checkpoint_paths(kept) != before, process)
        moments.append((early, chance.uniform(0.0, 0.8 if early else 0.06)))
        time.sleep(moments[-1][1])
        process.kill()
        status, *_ = cli.finish(process)
        assert status == -signal.SIGKILL, (seed, moments)
    status, _, stderr = cli.finish(cli.start(*args, "--out", tmp_path / "a"))
    assert (status, os.listdir(tmp_path)) == (0, ["a"]), (seed, moments, stderr)
    whole = [arg for arg in args if arg not in ("--checkpoint-every", 300, "--resume")]
    cli.succeed(*whole, "--out", tmp_path / "whole")
    assert cli.same_run(tmp_path / "a", tmp_path / "whole"), (seed, moments)
