"""The file of a policy: two formats, what the second adds, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from market_data import random_walk
from numpy.testing import assert_array_equal

import idi_fast as idi
from idi_fast.agents.policy import Policy
from idi_fast.compare import compare
from idi_fast.environments.features import SKETCH, Encoder, resolve_features
from idi_fast.environments.history_bars import log_columns
from idi_fast.environments.series import FeatureStream
from idi_fast.errors import ArtifactError
from idi_fast.storage.tables import METADATA_KEY, Table

BARS = random_walk(200, 1)
MARKET = {"episodes": 8, "episode_length": 20, "environment": {"kind": "history"}}
LIST = [{"name": "rsi", "transform": "rsi", "buckets": 3}, {"name": "same", "transform": "level", "buckets": 1}]


def about(path: Path) -> dict:
    text = Table.open(path).about
    assert text is not None
    return json.loads(text)


def nearest_quantiles(values: np.ndarray) -> list[float]:
    """65 of them from the least to the greatest."""
    some = sorted(values.tolist())
    return [some[round(k * (len(some) - 1) / 64)] for k in range(65)]


def rewritten(path: Path, about: dict, frame: pl.DataFrame | None = None) -> Path:
    frame = pl.read_parquet(path) if frame is None else frame
    frame.write_parquet(path, metadata={METADATA_KEY: json.dumps(about)})
    return path


def test_what_the_first_format_says_is_written_in_it(tmp_path):
    for config in ({"episodes": 8}, {"episodes": 8, "engine": {"compat": "idi_iann"}}):
        policy = idi.train(idi.TrainingConfig.from_dict(config)).policy
        policy.save(tmp_path / "policy.parquet")
        assert about(tmp_path / "policy.parquet")["format"] == "idi-fast-policy-1"
        assert not {"sketches", "plugins", "symbols"} & about(tmp_path / "policy.parquet").keys()


@pytest.mark.parametrize("features", [{}, LIST], ids=["four", "list"])
def test_a_market_policy_comes_back_with_its_sketches(tmp_path, features):
    policy = idi.train(idi.TrainingConfig.from_dict({**MARKET, "features": features}), BARS).policy
    policy.save(tmp_path / "a.parquet")
    loaded = Policy.load(tmp_path / "a.parquet")
    loaded.save(tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    told = about(tmp_path / "a.parquet")
    assert (told["format"], told["symbols"], told["plugins"]) == ("idi-fast-policy-2", [], {})
    assert loaded.encoder.sketches.keys() == set(policy.space.features) - {"same"}
    # By the definition: quantiles of what the encoder sees of the training bars.
    columns = log_columns(BARS)
    values = dict(zip(policy.encoder.features, FeatureStream(policy.encoder.features).push(columns), strict=False))
    for name, sketch in loaded.encoder.sketches.items():
        assert_array_equal(sketch, nearest_quantiles(values[name]))
    # A policy of the first format has none, and is as it was when it is saved again.
    plain = replace(loaded, encoder=replace(loaded.encoder, sketches={}))
    if not features:
        plain.save(tmp_path / "first.parquet")
        assert about(tmp_path / "first.parquet")["format"] == "idi-fast-policy-1"
        found = compare(tmp_path / "first.parquet", tmp_path / "a.parquet")["files"][0]
        assert (found["equal"], len(found["notes"])) == (True, 1)


def test_sketches_of_many_bars_are_of_some_at_equal_distances():
    config = idi.TrainingConfig.from_dict(MARKET)
    bars = random_walk(40_000, 2)
    columns = log_columns(bars)
    encoder = Encoder.fit(config, resolve_features(config, bars.columns), [columns])
    values = FeatureStream(encoder.features).push(columns)[0]
    assert_array_equal(encoder.sketches["price"], nearest_quantiles(values[::2]))


def test_what_is_known_of_values_travels(tmp_path):
    policy = idi.train(idi.TrainingConfig.from_dict(MARKET), BARS).policy
    rng = np.random.default_rng(0)
    shape = policy.q.shape
    known = policy.visits > 0
    counts = rng.integers(0, 9, shape) * known[:, np.newaxis]
    more = replace(policy, counts=counts)
    more.save(tmp_path / "policy.parquet")
    assert about(tmp_path / "policy.parquet")["format"] == "idi-fast-policy-2"
    loaded = Policy.load(tmp_path / "policy.parquet")
    for name in ("q", "visits", "counts"):
        assert_array_equal(getattr(loaded, name), getattr(more, name), err_msg=name)


def test_what_is_planned_and_never_visited_travels(tmp_path):
    planned = {**MARKET, "learning": {"algorithm": "value_iteration", "bootstrap": 3}}
    planned.pop("episodes", None)
    policy = idi.train(idi.TrainingConfig.from_dict(planned), BARS).policy
    policy.save(tmp_path / "policy.parquet")
    loaded, frame = Policy.load(tmp_path / "policy.parquet"), pl.read_parquet(tmp_path / "policy.parquet")
    assert (frame["visits"] == 0).any()
    assert_array_equal(loaded.q, policy.q)
    for name in ("errors", "bars", "agreement"):
        kept = policy.q.any(axis=1) | (policy.visits > 0)  # rows of the file
        assert_array_equal(getattr(loaded.certainty, name)[kept], getattr(policy.certainty, name)[kept], err_msg=name)


def test_updates_by_visits_are_counted():
    config = idi.TrainingConfig.from_dict({"episodes": 8, "learning": {"rate_schedule": "visits"}})
    policy = idi.train(config).policy
    assert policy.counts.sum() == 8 * config.episode_length
    # An episode's last state is visited, and nothing is learnt of it.
    assert (policy.visits[policy.counts.sum(axis=1) > 0] > 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda told: told | {"plugins": {"mine": "00"}}, "is damaged: plugins must be the SHA-256 of each, by name"),
        (
            lambda told: told | {"plugins": {"mine": "0a" * 32}},
            "cannot be applied: it needs the function 'mine'",
        ),
        (lambda told: told | {"sketches": {"rsj": [0.0] * SKETCH}}, "sketches are to be of features that there are"),
        (lambda told: told | {"sketches": {"price": [0.0]}}, "the sketch price are to be 65 finite numbers"),
        (lambda told: told | {"sketches": {"price": [1.0, *[0.0] * (SKETCH - 1)]}}, "sketch of price is to increase"),
        (lambda told: told | {"format": "idi-fast-policy-3"}, "expected 'idi-fast-policy-1' or 'idi-fast-policy-2'"),
    ],
)
def test_metadata_that_are_refused(tmp_path, change, message):
    idi.train(idi.TrainingConfig.from_dict(MARKET), BARS).policy.save(tmp_path / "policy.parquet")
    path = rewritten(tmp_path / "policy.parquet", change(about(tmp_path / "policy.parquet")))
    with pytest.raises(ArtifactError, match=message):
        Policy.load(path)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pl.lit(-1).alias("q_buy_count"), "a count is below 0"),
        (pl.lit(-0.5).alias("se_buy"), "se_buy or se_sell is below 0"),
        (pl.lit(-0.5).alias("n"), "n is below 0"),
    ],
)
def test_columns_that_are_refused(tmp_path, column, message):
    planned = {**MARKET, "learning": {"algorithm": "value_iteration"}}
    planned.pop("episodes", None)
    policy = idi.train(idi.TrainingConfig.from_dict(planned), BARS).policy
    replace(policy, counts=np.zeros(policy.q.shape, np.int64)).save(tmp_path / "policy.parquet")
    told = about(tmp_path / "policy.parquet")
    path = rewritten(
        tmp_path / "policy.parquet", told, pl.read_parquet(tmp_path / "policy.parquet").with_columns(column)
    )
    with pytest.raises(ArtifactError, match=message):
        Policy.load(path)
