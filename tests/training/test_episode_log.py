"""The log of episode rewards: figures independent of blocks, its table, and bounded memory."""

import json
import subprocess
import sys
import zlib
from pathlib import Path

import cli_helpers as cli
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from idi_fast import TrainingConfig, create_trainer
from idi_fast.training import episode_log as episodes
from idi_fast.training.artifact import save_training
from idi_fast.training.episode_log import EpisodeRewards, temporary_log

# Not ru_maxrss, which a process inherits: it says how large the process of the tests is.
STATUS = Path("/proc/self/status")
PEAK = """
import sys
from idi_fast.cli import main
try:
    main()
finally:
    with open("/proc/self/status") as status:
        print(next(line.split()[1] for line in status if line.startswith("VmHWM")), file=sys.stderr)
"""
SMALL_BLOCKS = "import idi_fast.training.episode_log; idi_fast.training.episode_log.BLOCK_EPISODES = 64\n"


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(episodes, "BLOCK_EPISODES", 5)


@given(
    rewards=st.lists(st.floats(-1e9, 1e9), max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=5),
    size=st.integers(1, 50),
)
def test_figures_are_those_of_the_rewards_one_after_the_other(rewards, cuts, size):
    log, before = EpisodeRewards(), episodes.BLOCK_EPISODES
    episodes.BLOCK_EPISODES = size
    try:
        for part in np.split(np.array(rewards, np.float64), sorted(cuts)):
            log.append(part)
            log.checksum()
        assert len(log) == len(rewards)
        assert log.array().tolist() == rewards
        assert max((block.size for block in log.blocks()), default=0) <= size
        tail = rewards[-max(1, len(rewards) // 10) :]
        assert log.mean() == (_sum(rewards) / len(rewards) if rewards else 0.0)
        assert log.last_tenth_mean() == (_sum(tail) / len(tail) if tail else 0.0)
        assert log.checksum() == zlib.crc32(np.array(rewards).tobytes())
    finally:
        episodes.BLOCK_EPISODES = before


def _sum(numbers: list[float]) -> float:
    # Not sum(), which compensates rounding from Python 3.12 on.
    total = 0.0
    for number in numbers:
        total += number
    return total


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan])
def test_one_reward_beyond_all_numbers_shows_in_the_mean(odd, small_blocks):
    log = EpisodeRewards()
    log.append(np.array([1.0, odd, *range(20), np.inf, 2.0]))
    assert not np.isfinite(log.mean())


def test_a_log_in_a_file_goes_on_where_it_ended(tmp_path, small_blocks):
    with open(tmp_path / "log", "a+b") as file:
        EpisodeRewards(file).append(np.arange(12.0))
    with open(tmp_path / "log", "a+b") as file:
        log = EpisodeRewards(file)
        checksum = log.checksum()
        log.append(np.arange(3.0))
        assert log.begins_with(12, checksum)
        assert not log.begins_with(11, checksum)
        assert not log.begins_with(16, log.checksum())
        log.truncate(12)
        assert log.checksum() == checksum
        log.append(np.array([7.0]))
        assert_array_equal(log.array(), [*np.arange(12.0), 7.0])
    assert (tmp_path / "log").read_bytes() == np.array([*range(12), 7], "<f8").tobytes()


def test_a_temporary_log_has_no_name(tmp_path):
    with temporary_log(tmp_path) as log:
        log.append(np.arange(1e5))
        assert log.mean() == np.arange(1e5).mean()
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n", [0, 1, 4, 5, 6, 10, 33])
def test_a_table_in_blocks_is_the_table_in_one(n, tmp_path, monkeypatch):
    tables = []
    for size in (1000, 5):
        monkeypatch.setattr(episodes, "BLOCK_EPISODES", size)
        trainer = create_trainer(TrainingConfig(episodes=n, episode_length=3, exploration_decay=0.93))
        save_training(tmp_path / str(size), trainer, *trainer.run())
        tables.append(pl.read_parquet(tmp_path / str(size) / "episodes.parquet"))
    assert tables[0].schema == {"episode": pl.Int64, "reward": pl.Float64, "exploration": pl.Float64}
    assert tables[0].equals(tables[1], null_equal=False)
    assert tables[0]["exploration"].to_list() == trainer.exploration.tolist()
    assert tables[0]["reward"].to_list() == trainer.episode_rewards.tolist()


def test_a_disk_that_fills_up_under_a_long_table_or_its_log(tmp_path):
    args = ["train", "--out", str(tmp_path / "x" / "a"), "--episodes", "4096", "--episode-length", "2"]
    (tmp_path / "x").mkdir()
    # The log takes 32 kB, the table, in row groups of 64 episodes, more than twice that.
    calls = [
        (None, [*args[:3], *map(str, cli.QUICK), "--force"]),
        (20_000, [*args, "--force"]),
        (50_000, [*args, "--force"]),
    ]
    code = f"import sys; sys.path[:] = {sys.path}\n{SMALL_BLOCKS}{cli.BATCH}"
    process = cli.start(code=code, stdin=subprocess.PIPE)
    outcomes = [json.loads(line) for line in cli.finish(process, json.dumps(calls)).stdout.splitlines()]
    assert [status for status, *_ in outcomes] == [0, 1, 1], outcomes
    for _, _, text in outcomes[1:]:
        cli.assert_mentions(text, "cannot write", "File too large")
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["a"]


@pytest.mark.skipif(not STATUS.exists(), reason="the kernel tells no peak memory")
def test_peak_memory_does_not_grow_with_the_number_of_episodes(tmp_path):
    peaks = {}
    for n in (300_000, 3_000_000):
        args = ("train", "--out", tmp_path / str(n), "--episodes", n, "--episode-length", 1)
        outcome = cli.finish(cli.start(*args, code=PEAK, fresh=True))
        assert outcome.status == 0, outcome
        peaks[n] = int(outcome.stderr) / 1024
    assert max(peaks.values()) < 350, peaks
    assert peaks[3_000_000] - peaks[300_000] < 8, peaks
