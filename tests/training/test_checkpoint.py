"""Checkpoints: a run that is interrupted anywhere, any number of times, resumes to the same result."""

import json
import tempfile
from pathlib import Path
from unittest import mock

import cli_helpers as cli
import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from market_data import random_walk
from numpy.testing import assert_array_equal
from test_trainer import CASES, assert_same, config, outcome, train

import idi_fast.training.checkpoint
import idi_fast.training.trainer
from idi_fast import create_trainer
from idi_fast.data.history import History
from idi_fast.errors import ArtifactError, Cancelled, InputError
from idi_fast.training.checkpoint import Checkpoints, Every, checkpoint_paths

EPISODIC = {"enabled": True, "k": 3, "capacity": 17}
FEW = {"price_buckets": 1, "volume_buckets": 2, "trend_buckets": 1, "scarcity_buckets": 2, "mood_buckets": 2}
"""So few states that an agent comes to each again before it is forgotten there."""
RUNS = [
    *(({"kind": kind, "engine": engine}) for kind, engine in CASES),
    *({"kind": kind, "engine": engine, "episodic": EPISODIC, "quantizer": FEW} for kind, engine in CASES[::2]),
    {"kind": "synthetic", "learning": {"algorithm": "q_lambda", "rate_schedule": "visits"}, "quantizer": FEW},
    {"kind": "crypto", "learning": {"algorithm": "double_q_learning", "exploration_schedule": "linear"}},
    {"kind": "crypto", "tile_coder": {"num_tilings": 2, "table_size": 100}},
    {"kind": "history", "learning": {"algorithm": "expected_sarsa", "exploration_schedule": "visits"}},
    {"kind": "crypto", "features": [{"name": name, "transform": name} for name in ("rsi", "zscore", "volume_ratio")]},
]


class Stop(Exception):
    """Ends a run from its progress callback."""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(idi_fast.training.trainer, "BLOCK_ROWS", 25)
    monkeypatch.setattr(idi_fast.training.trainer, "MOST_BLOCKS", 2)


def fresh(run: dict, seed: int = 5):
    bars = random_walk(400) if run["kind"] == "history" else None
    return create_trainer(config(**run), seed=seed, history=bars)


def interrupt(trainer, folder: Path, every: Every, calls: int, how: str) -> bool:
    """Train on and stop after some calls of the progress function; whether the run ended before."""
    left = iter(range(calls, 0, -1))

    def stop(progress):
        if next(left, 0) <= 1:
            if how == "cancel":
                trainer.cancel()
            else:
                raise Stop

    with Checkpoints(folder, every) as checkpoints:
        try:
            trainer.train(stop, checkpoints=checkpoints)
        except (Stop, Cancelled):
            return False
    return True


@pytest.mark.parametrize("run", RUNS, ids=str)
@settings(max_examples=examples(5))
@given(
    block=st.integers(1, 120),
    blocks=st.integers(1, 3),
    every=st.integers(1, 5),
    cuts=st.lists(st.tuples(st.integers(1, 12), st.sampled_from(["raise", "cancel"])), min_size=1, max_size=4),
)
def test_a_run_resumed_is_the_run_uninterrupted(run, block, blocks, every, cuts):
    whole = fresh(run)
    resized = mock.patch.multiple(idi_fast.training.trainer, BLOCK_ROWS=block, MOST_BLOCKS=blocks)
    with tempfile.TemporaryDirectory() as name, resized:
        folder = Path(name)
        whole.train()
        for calls, how in cuts:
            interrupt(fresh(run), folder, Every(episodes=every), calls, how)
            assert len(checkpoint_paths(folder)) <= 2
        trainer = fresh(run)
        with Checkpoints(folder, Every(episodes=every)) as checkpoints:
            trainer.train(checkpoints=checkpoints)
            assert trainer.stats() == whole.stats()
            assert_same(trainer._state, whole._state)
            assert_same(outcome(trainer, *trainer.rollout()), outcome(whole, *whole.rollout()))


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_a_long_run_resumed_is_the_run_uninterrupted(run, tmp_path, monkeypatch):
    # Long enough for the Mersenne Twister to come round, and for a bounded memory to forget.
    monkeypatch.setattr(idi_fast.training.trainer, "BLOCK_ROWS", 2500)
    whole, trainer = fresh({**run, "episodes": 1500}), fresh({**run, "episodes": 1500})
    whole.train()
    assert not interrupt(fresh({**run, "episodes": 1500}), tmp_path, Every(), 6, "cancel")
    with Checkpoints(tmp_path) as checkpoints:
        trainer.train(checkpoints=checkpoints)
        assert_same(trainer._state, whole._state)
        assert_array_equal(trainer.episode_rewards, whole.episode_rewards)


def test_a_run_that_has_ended_is_resumed_at_its_end(tmp_path):
    assert interrupt(fresh(RUNS[0]), tmp_path, Every(), 99, "raise")
    trainer, called = fresh(RUNS[0]), []
    with Checkpoints(tmp_path) as checkpoints:
        trainer.train(called.append, checkpoints=checkpoints)
        assert called == []
        assert_same(outcome(trainer, *trainer.rollout()), outcome(*train(config(**RUNS[0]), 5)))


def test_training_time_includes_that_before_the_interruption(tmp_path):
    trainer = fresh(RUNS[0])
    interrupt(trainer, tmp_path, Every(episodes=1), 4, "cancel")
    header, _ = checkpoint_paths(tmp_path)[0].read_bytes().split(b"\n", 1)
    before = json.loads(header)["position"]["seconds"]
    assert before > 0.0
    with mock.patch.object(idi_fast.training.trainer, "perf_counter", return_value=100.0):
        again = fresh(RUNS[0])
        with Checkpoints(tmp_path) as checkpoints:
            again.train(checkpoints=checkpoints)
    assert again.training_seconds == pytest.approx(before)


def test_a_checkpoint_is_due_after_so_many_seconds_or_episodes(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(idi_fast.training.checkpoint, "monotonic", lambda: now[0])
    for every, episodes, seconds, due in [
        (None, 10**9, 10**9, False),
        (Every(seconds=30.0), 10**9, 29.0, False),
        (Every(seconds=30.0), 0, 30.0, True),
        (Every(episodes=7), 6, 10**9, False),
        (Every(episodes=7), 7, 0, True),
    ]:
        now[0] = 1000.0
        with Checkpoints(tmp_path, every) as checkpoints:
            checkpoints.restore({}, {})
            now[0] += seconds
            assert checkpoints.due(episodes) is due


@pytest.mark.parametrize(
    ("text", "every"),
    [
        ("30s", Every(seconds=30.0)),
        ("5m", Every(seconds=300.0)),
        ("2h", Every(seconds=7200.0)),
        ("50", Every(None, 50)),
    ],
)
def test_how_often_is_a_time_or_a_number_of_episodes(text, every):
    assert Every.parse(text) == every


@pytest.mark.parametrize("text", ["", "0", "0s", "-1", "5 m", "1.5h", "3d", "s", "5M", "1e3", "9" * 10])
def test_how_often_that_is_neither(text):
    with pytest.raises(
        InputError, match=r"`checkpoint_every` is '.*'; expected a time such as 30s, 5m or 2h, or a num"
    ):
        Every.parse(text)


@pytest.mark.parametrize("at", [0.0, 0.001, 0.01, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("how", ["flip", "truncate"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(how, at, tmp_path):
    interrupt(fresh(RUNS[0]), tmp_path, Every(episodes=2), 5, "raise")
    newest, older = checkpoint_paths(tmp_path)
    cli.damage(newest, how, at)
    trainer, notes = fresh(RUNS[0]), []
    with Checkpoints(tmp_path, note=notes.append) as checkpoints:
        trainer.train(checkpoints=checkpoints)
        assert_same(outcome(trainer, *trainer.rollout()), outcome(*train(config(**RUNS[0]), 5)))
    assert notes == [f"the checkpoint {newest} is damaged (its checksum differs); going on from the one before"]
    assert older in checkpoint_paths(tmp_path)
    assert newest not in checkpoint_paths(tmp_path)


@pytest.mark.parametrize("at", [0.0, 0.99])
def test_a_log_that_was_changed_is_noticed(at, tmp_path):
    interrupt(fresh(RUNS[0]), tmp_path, Every(episodes=2), 5, "cancel")
    # The end of the log belongs to the newest checkpoint alone, its beginning to both.
    cli.damage(tmp_path / "rewards.f8", "flip", at)
    before, notes = cli.snapshot(tmp_path), []
    trainer = fresh(RUNS[0])
    with Checkpoints(tmp_path, note=notes.append) as checkpoints:
        if at:
            trainer.train(checkpoints=checkpoints)
            assert_same(outcome(trainer, *trainer.rollout()), outcome(*train(config(**RUNS[0]), 5)))
        else:
            with pytest.raises(ArtifactError, match=r"no checkpoint in .* is sound; `force=True` without `resume`"):
                trainer.train(checkpoints=checkpoints)
            assert cli.snapshot(tmp_path) == before
    assert [("(rewards.f8 beside it was changed)" in text) for text in notes] == ([True] if at else [True, True])


def test_arrays_of_another_shape_are_not_read(tmp_path):
    run, state = {}, {"a.b": np.arange(6.0), "c": np.zeros((0, 3), np.int8)}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.restore(run, state)
        checkpoints.save(idi_fast.training.checkpoint.Position(1), state)
        copy = {"a.b": np.zeros(6), "c": np.ones((0, 3), np.int8)}
        checkpoints.restore(run, copy)
        assert_array_equal(copy["a.b"], state["a.b"])
        for other in ({"a.b": np.arange(7.0)}, {"a.b": np.arange(6)}, {"c": state["c"]}):
            with pytest.raises(ArtifactError, match=r"does not fit this version: the array (a\.b|c) differs"):
                checkpoints.restore(run, other)


def test_bars_that_differ_anywhere_are_other_data(tmp_path):
    bars = random_walk(400)
    trainer = create_trainer(config("history"), history=bars)
    interrupt(trainer, tmp_path, Every(episodes=1), 4, "cancel")
    volume = bars.volume.copy()
    volume[123] += 1.0
    other = create_trainer(config("history"), history=History(**{**vars(bars), "volume": volume}))
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(InputError, match=r"another run: data\.sha256 is"):
        other.train(checkpoints=checkpoints)
