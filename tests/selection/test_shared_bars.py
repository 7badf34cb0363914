"""What runs of a sweep or walk-forward share: made once, and the same bits as made alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pytest
from market_data import random_walk
from numpy.testing import assert_array_equal

import idi_fast as idi
from idi_fast.environments import history_bars
from idi_fast.environments import series as of_series
from idi_fast.environments.history_bars import HistoryBars
from idi_fast.environments.shared_bars import Shared, encoding_key
from idi_fast.selection import criteria

BARS = random_walk(700, 1)
CONFIG = {
    "episodes": 4,
    "episode_length": 16,
    "environment": {"kind": "history"},
    "features": [{"name": "rsi", "transform": "rsi"}, {"name": "trend", "transform": "ema_ratio", "window": 20}],
}
GRID = {"learning_rate": [0.1, 0.3], "features.trend.window": [10, 20, 40], "discount": [0.5, 0.9]}


def test_a_value_is_made_once_and_the_last_used_are_kept():
    made, shared = [], Shared(2)

    def get(key):
        return shared.get(key, lambda: made.append(key) or key)

    assert [get(key) for key in "aabab"] == list("aabab")
    assert made == ["a", "b"]
    get("c"), get("b"), get("a")
    assert made == ["a", "b", "c", "a"]
    sized = Shared(10, len)
    assert sized.get("long", lambda: "x" * 20) == "x" * 20  # too large to be kept
    assert sized.get("long", lambda: "y") == "y"


def test_threads_that_ask_at_once_wait_for_one_and_an_error_leaves_nothing():
    shared, made, ready = Shared(4), [], threading.Barrier(4)

    def ask(_):
        ready.wait(10)
        return shared.get("key", lambda: made.append(1) or len(made))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [1] * 4
    with pytest.raises(ZeroDivisionError):
        shared.get("wrong", lambda: 1 // 0)
    assert shared.get("wrong", lambda: 5) == 5


@pytest.fixture
def counted(monkeypatch):
    """How often bars were encoded, and the series that were computed."""
    encoded, series = [], []
    init, push = HistoryBars.__init__, of_series.computed

    def counting(self, *args, **more):
        encoded.append(1)
        init(self, *args, **more)

    monkeypatch.setattr(HistoryBars, "__init__", counting)
    monkeypatch.setattr(history_bars, "computed", lambda one, columns: series.append(one) or push(one, columns))
    return encoded, series


def test_a_sweep_encodes_equal_features_once_and_computes_each_once(counted, monkeypatch):
    encoded, series = counted
    found = idi.sweep(CONFIG, GRID, BARS, seeds=[1, 2], jobs=1)
    assert found.points.height == 12
    # Three windows of the trend, and the chosen one once more for its policies.
    assert len(encoded) in (3, 4)
    assert len(series) == len(set(series)) == 3 + 1 + 2  # trends, RSI, and what rewards and regimes are measured by
    monkeypatch.setattr(criteria, "SHARED_BYTES", 0)  # each by itself
    alone = idi.sweep(CONFIG, GRID, BARS, seeds=[1, 2], jobs=2)
    assert len(series) == 6
    for name in ("points", "trials"):
        assert getattr(found, name).equals(getattr(alone, name)), name
    for seed, policy in found.policies.items():
        assert_array_equal(policy.q, alone.policies[seed].q)


def test_bars_of_shared_series_are_the_same(counted):
    config = idi.TrainingConfig.from_dict(CONFIG)
    series = Shared(2**20, lambda values: values.nbytes)
    alone = HistoryBars(config, BARS)
    for _ in range(2):
        made = HistoryBars(config, BARS, series=series)
        for name, expected in alone.bars._asdict().items():
            assert_array_equal(getattr(made.bars, name), expected, err_msg=name)
        assert made.encoder.to_dict() == alone.encoder.to_dict()
    assert len(counted[1]) == 4


@pytest.mark.parametrize("warm", [False, True])
def test_a_walk_forward_encodes_each_window_once(counted, warm):
    options = {"train_bars": 300, "test_bars": 100, "warm": warm}
    both = idi.walk_forward(CONFIG, BARS, seeds=[1, 2], jobs=2, **options)
    n = both.assumptions["windows"]
    assert len(counted[0]) == n
    first = idi.walk_forward(CONFIG, BARS, seeds=[1], jobs=1, **options)
    own = both.equity.filter(pl.col("seed") == "1")
    assert own.equals(first.equity)


def test_a_key_tells_configs_apart_that_see_other_bars():
    config = idi.TrainingConfig.from_dict(CONFIG)

    def key(**changes):
        values = {name.replace("__", "."): value for name, value in changes.items()}
        return encoding_key(idi.TrainingConfig.from_dict(config.to_dict(), values))

    assert key() == key(learning_rate=0.9, episodes=7, episode_length=9)
    others = [
        key(features__rsi__window=3),
        key(features__rsi__buckets=3),
        key(environment__market__fee_bps=1.0),
        key(environment__data__fill="next_close"),
        key(),
    ]
    assert len(set(others)) == len(others)
    assert np.isfinite(hash(key()))
