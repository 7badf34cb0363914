"""Features and bars in chunks: the result does not depend on how they are computed."""

from dataclasses import replace

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, pieces
from market_data import random_walk
from numpy.testing import assert_array_equal

from idi_fast import TrainingConfig
from idi_fast.config.feature_settings import FeatureConfig
from idi_fast.environments import features
from idi_fast.environments.features import BarStream, Encoder, default_features, resolve_features
from idi_fast.environments.history_bars import log_columns
from idi_fast.environments.series import FeatureStream
from idi_fast.errors import DataError

N = 120
HISTORY = random_walk(N, seed=4)
COLUMNS = {**log_columns(HISTORY), "mood": np.linspace(-1.0, 1.0, N)}
FILL = COLUMNS["open"]


def fitted(buckets: dict | None = None, **chosen: dict) -> Encoder:
    """An encoder fitted on the whole history."""
    config = TrainingConfig.from_dict(
        {"environment": {"kind": "history"}, "quantizer": buckets or {}, "features": chosen}
    )
    return Encoder.fit(config, resolve_features(config, HISTORY.columns), [COLUMNS])


def cut(piece: slice) -> dict[str, np.ndarray]:
    """A chunk of the history's columns."""
    return {name: values[piece] for name, values in COLUMNS.items()}


@given(st.integers(1, 50), CHUNKS)
@settings(max_examples=examples(25))
def test_bars_do_not_depend_on_blocks_or_chunks_and_are_the_callers_to_keep(block_bars, chunks):
    encoder = fitted()
    whole = BarStream(encoder, 5.0).push(COLUMNS, FILL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "BLOCK_BARS", block_bars)
        stream = BarStream(encoder, 5.0)
        parts = [stream.push(cut(piece), FILL[piece]) for piece in pieces(N, chunks)]
    for name, expected in whole._asdict().items():
        made = np.concatenate([getattr(part, name) for part in parts])
        assert_array_equal(made, expected, err_msg=name)
        assert made.dtype == expected.dtype


def test_the_fill_may_be_the_last_close():
    stream = BarStream(fitted(), 5.0)
    bars = stream.push(COLUMNS, np.empty(0))
    assert_array_equal(bars.gap, np.zeros(N))
    assert np.count_nonzero(bars.change) == N - 1


def test_equal_features_are_worked_out_once():
    ema = FeatureConfig(column="close", transform="ema_ratio", window=32)
    chosen = {"price": ema, "volume": ema, "trend": ema, "scarcity": FeatureConfig(column="close", transform="level")}
    stream = FeatureStream(chosen)
    made = np.concatenate([stream.push(cut(piece)) for piece in pieces(N, [50])], axis=1)
    for row in (1, 2, 5):
        assert_array_equal(made[row], made[0])
    assert_array_equal(made[3], COLUMNS["close"])
    # The average, the level and the volatility: pushed once a chunk.
    assert [int(stream.state[f"{k}.seen"][0]) for k in (0, 2)] == [N] * 2
    assert len(stream.parts) == 3


def test_a_feature_of_one_bucket_is_not_worked_out():
    drawdown = {"column": "mood", "transform": "drawdown"}
    with pytest.raises(DataError, match=r"the logarithm of column 'mood', which holds -1; expected numbers above 0"):
        fitted(volume=drawdown)
    encoder = fitted({"volume_buckets": 1})
    bars = BarStream(encoder, 5.0).push(COLUMNS, FILL)
    refused = replace(encoder, features={**encoder.features, "volume": FeatureConfig(**drawdown)})
    for made, expected in zip(BarStream(refused, 5.0).push(COLUMNS, FILL), bars, strict=True):
        assert_array_equal(made, expected)


def test_an_encoder_needs_no_column_for_a_feature_of_one_bucket():
    columns = {name: values for name, values in COLUMNS.items() if name not in ("volume", "mood")}
    config = TrainingConfig.from_dict({"quantizer": {"volume_buckets": 1, "scarcity_buckets": 1}})
    features = {**default_features(has_volume=True), "scarcity": FeatureConfig(column="mood", transform="drawdown")}
    encoder, whole = (
        Encoder.fit(config, features, [given]) for given in (columns, {**COLUMNS, "mood": COLUMNS["close"]})
    )
    assert encoder.to_dict() == whole.to_dict()
    assert (encoder.unused, encoder.sizes) == (("volume", "scarcity"), (4, 1, 4, 1))
    loaded = BarStream(Encoder.from_dict(encoder.to_dict()), 5.0).push(columns, FILL)
    for made, expected in zip(loaded, BarStream(whole, 5.0).push(COLUMNS, FILL), strict=True):
        assert_array_equal(made, expected)


@pytest.mark.parametrize("transform", ["level", "drawdown"])
def test_further_columns_may_be_of_any_type_and_layout(transform):
    mood = (2.0 + COLUMNS["mood"]).astype(np.float32).astype(np.float64)
    encoder = fitted(volume={"column": "close", "transform": transform})
    encoder = replace(
        encoder, features={**encoder.features, "volume": FeatureConfig(column="mood", transform=transform)}
    )
    narrow = np.repeat(mood.astype(np.float32), 2)[::2]
    assert_array_equal(narrow, mood)
    expected = BarStream(encoder, 5.0).push({**COLUMNS, "mood": mood}, FILL)
    for made, column in zip(BarStream(encoder, 5.0).push({**COLUMNS, "mood": narrow}, FILL), expected, strict=True):
        assert_array_equal(made, column)


def test_a_missing_column_is_named():
    columns = {name: values for name, values in COLUMNS.items() if name != "volume"}
    with pytest.raises(DataError, match=r"needs the column 'volume', but the data has close, mood, open, time$"):
        BarStream(fitted(), 5.0).push(columns, FILL)
