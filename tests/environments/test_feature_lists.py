"""Bars of any number of features: cut anywhere, by the edges asked for, and as the four of the reference are."""

from dataclasses import replace

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, pieces
from market_data import random_walk
from numpy.testing import assert_array_equal

from idi_fast import TrainingConfig, create_trainer
from idi_fast.agents.rollout import rollout_history
from idi_fast.config.transforms import TRANSFORMS
from idi_fast.environments import features
from idi_fast.environments.features import BarStream, Encoder, longest_window, resolve_features
from idi_fast.environments.history_bars import log_columns
from idi_fast.environments.series import FeatureStream
from idi_fast.environments.state_space import StateSpace
from idi_fast.errors import ArtifactError, DataError
from oracle import market as oracle

N = 120


def with_range(n: int, seed: int):
    """Bars with high and low."""
    bars = random_walk(n, seed)
    high, low = (pick(bars.open, bars.close) * share for pick, share in ((np.maximum, 1.01), (np.minimum, 0.99)))
    return replace(bars, high=high, low=low, columns={**bars.columns, "high": "high", "low": "low"})


HISTORY = with_range(N, 4)
COLUMNS = log_columns(HISTORY)
EVERY = [
    {"name": f"f_{name}", "transform": name, "buckets": 2}
    | ({"other": "open"} if "other" in transform.inputs else {})
    | ({} if transform.is_ordered else {"buckets": None})
    for name, transform in TRANSFORMS.items()
]
SLOTS = [
    {"name": "price", "transform": "zscore", "window": 16, "buckets": 4},
    {"name": "volume", "transform": "zscore", "column": "volume", "window": 32, "buckets": 4},
    {"name": "trend", "transform": "ema_ratio", "window": 32, "buckets": 4},
    {"name": "scarcity", "transform": "drawdown", "window": 64, "buckets": 8},
]


def config_of(*listed: dict, **fields: object) -> TrainingConfig:
    return TrainingConfig.from_dict({"environment": {"kind": "history"}, "features": list(listed), **fields})


def fitted(config: TrainingConfig) -> Encoder:
    """An encoder of the whole history."""
    return Encoder.fit(config, resolve_features(config, HISTORY.columns), [COLUMNS])


@given(st.permutations(EVERY), st.integers(1, 7), st.integers(1, 50), CHUNKS)
@settings(max_examples=examples(15))
def test_bars_of_any_features_in_any_blocks_and_chunks(shuffled, number, block_bars, chunks):
    config = config_of(*shuffled[:number])
    encoder = fitted(config)
    whole = BarStream(encoder, 5.0).push(COLUMNS, COLUMNS["open"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "BLOCK_BARS", block_bars)
        stream = BarStream(encoder, 5.0)
        parts = [
            stream.push({name: values[piece] for name, values in COLUMNS.items()}, COLUMNS["open"][piece])
            for piece in pieces(N, chunks)
        ]
    for name, expected in whole._asdict().items():
        assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), expected, err_msg=name)
    # The code by its definition: buckets by the edges, the first feature the most significant digit.
    values = FeatureStream(encoder.features, encoder.unused).push(COLUMNS)
    pairs = zip(values, encoder.edges, strict=False)
    digits = [oracle.quantize(column.tolist(), edges.tolist()) for column, edges in pairs]
    assert_array_equal(whole.observation, oracle.mixed_radix(digits, list(encoder.sizes)))
    assert_array_equal(whole.scarcity, np.zeros(N))


def test_the_four_in_a_list_are_the_four_of_the_reference():
    four = TrainingConfig.from_dict({"environment": {"kind": "history"}})
    expected = BarStream(fitted(four), 5.0).push(COLUMNS, COLUMNS["open"])
    for made, column in zip(
        BarStream(fitted(config_of(*SLOTS)), 5.0).push(COLUMNS, COLUMNS["open"]), expected, strict=True
    ):
        assert_array_equal(made, column)
    assert StateSpace.of(config_of(*SLOTS)) == StateSpace.of(four)
    agents = [create_trainer(config, history=HISTORY).run() for config in (four, config_of(*SLOTS))]
    assert_array_equal(agents[0][0].q, agents[1][0].q)
    for name, stream in agents[0][1].streams.items():
        assert_array_equal(agents[1][1].streams[name], stream)


def test_edges_at_equal_distances_as_a_list_and_of_categories():
    encoder = fitted(
        config_of(
            {"name": "share", "transform": "rsi", "buckets": 4, "edges": "uniform"},
            {"name": "spread", "transform": "spread", "other": "open", "buckets": 2, "edges": "uniform"},
            {"name": "mine", "transform": "rsi", "edges": [30, 70]},
            {"name": "day", "transform": "day_of_week"},
        )
    )
    share, spread, mine, day = encoder.edges
    assert share.tolist() == [25.0, 50.0, 75.0]  # of 0 to 100, whatever the bars
    distance = HISTORY.close / HISTORY.open - 1
    np.testing.assert_allclose(spread, [(distance.min() + distance.max()) / 2], rtol=1e-9)
    assert (mine.tolist(), day.tolist()) == ([30.0, 70.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    bars = BarStream(encoder, 5.0).push(COLUMNS, COLUMNS["open"])
    assert_array_equal(bars.observation % 7, (np.arange(N) + 3) % 7)  # 1970-01-01 was a Thursday


def test_an_encoder_says_every_number_of_its_features():
    encoder = fitted(config_of({"name": "macd", "transform": "macd_histogram", "fast": 5}))
    loaded = Encoder.from_dict(encoder.to_dict())
    assert loaded.to_dict() == encoder.to_dict()
    told = encoder.to_dict()["features"][0]
    assert (told["window"], told["fast"], told["signal"], told["lag"]) == (26, 5, 9, None)
    with pytest.raises(ValueError, match="two features have the same name"):
        Encoder.from_dict({**encoder.to_dict(), "features": [told, told]})


def test_look_back_and_columns():
    config = config_of(
        {"name": "macd", "transform": "macd_histogram", "window": 50}, {"name": "range", "transform": "atr"}
    )
    assert longest_window(config, resolve_features(config, HISTORY.columns)) >= 50
    bare = random_walk(N, 4)
    with pytest.raises(
        DataError, match="a feature needs the column 'high', but the data has close, open, time, volume"
    ):
        create_trainer(config, history=bare)
    policy, _ = create_trainer(config, history=HISTORY).run()
    with pytest.raises(
        ArtifactError, match="feature 'range' reads the column 'high', which this history does not have"
    ):
        rollout_history(policy, bare)


def test_prices_of_the_simulated_market():
    config = config_of(
        {"name": "rsi", "transform": "rsi", "buckets": 3},
        {"name": "traded", "transform": "volume_ratio", "buckets": 3},
        environment={"kind": "crypto", "observe_regime": True},
        episodes=8,
    )
    policy, trace = create_trainer(config, seed=3).run()
    assert policy.space.names == ("rsi", "traded", "regime", "mood", "position")
    assert len(set(trace.frame()["rsi_bucket"])) > 1


def test_more_columns_than_one_call_takes():
    names = [f"c{k}" for k in range(11)]
    columns = {**COLUMNS, **{name: np.random.default_rng(k).normal(size=N) for k, name in enumerate(names)}}
    config = config_of(*({"name": name, "transform": "level", "column": name, "buckets": 2} for name in names))
    encoder = Encoder.fit(config, resolve_features(config, {}), [columns])
    bars = BarStream(encoder, 5.0).push(columns, COLUMNS["open"])
    upper = [columns[name] >= np.quantile(columns[name], 0.5) for name in names]
    assert_array_equal(bars.observation, np.array(upper).T @ (1 << np.arange(11)[::-1]))
