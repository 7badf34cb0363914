"""Features as a list: what is refused and why, overrides by name, and what is left of the four names."""

import json

import pytest
from config_trees import DEFAULTS, HISTORY, VALIDATOR, nest

from idi_fast.config.draft import Draft, assigned
from idi_fast.config.feature_columns import feature_columns, feature_sizes
from idi_fast.config.settings import TrainingConfig
from idi_fast.errors import ConfigError

RSI = {"name": "rsi", "transform": "rsi"}
LEVEL = {"name": "mine", "transform": "level", "column": "sentiment"}


def listed(*features: dict, **others: object) -> TrainingConfig:
    """A config of a history environment with these features; others: by dotted key, __ for the dot."""
    keys = {key.replace("__", "."): value for key, value in others.items()}
    return TrainingConfig.from_dict(nest({**HISTORY, "features": list(features), **keys}))


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([], r"features is \[\]; expected an object \(FeaturesConfig\), or a non-empty list, each entry"),
        ([5], r"features\[0\] is 5; expected an object \(NamedFeature\)"),
        ([{"transform": "rsi"}], r"features\[0\]\.name is missing; expected text of 1 to 40 lower-case letters"),
        ([{**RSI, "name": "RSI 14"}], r"features\[0\]\.name is 'RSI 14'; expected text of 1 to 40 lower-case letters"),
        ([{**RSI, "name": "rsi\n"}], r"features\[0\]\.name is 'rsi\\n'; expected text of 1 to 40"),
        ([RSI, LEVEL, RSI], r"features\[2\]\.name is 'rsi' as that of features\[0\]; expected each name once"),
        *(
            ([{**RSI, "name": name}], rf"features\[0\]\.name is '{name}', which is a column of every policy")
            for name in ("mood", "position", "regime", "visits", "q_buy", "comm_silent", "tile_0")
        ),
        ([{**RSI, "transform": "rsj"}], r"features\[0\]\.transform is 'rsj', which is none\. Did you mean 'rsi'\?"),
        ([{**RSI, "transform": "nothing"}], r"which is none\. The transforms are zscore, volatility, log_return, "),
        ([{**RSI, "windo": 3}], r"features\[0\]\.windo is not a known key\. Did you mean 'window'\?"),
        ([{**RSI, "window": 1}], r"features\[0\]\.window is 1; expected 2 to 1000000 for transform 'rsi'"),
        ([{**RSI, "lag": 1}], r"features\[0\]\.lag is 1, but transform 'rsi' takes window; remove it"),
        ([{**LEVEL, "window": 9}], r"features\[0\]\.window is 9, but transform 'level' takes no numbers; remove it"),
        ([{**RSI, "other": "open"}], r"\.other is 'open', but transform 'rsi' reads no second column; remove it"),
        (
            [{**LEVEL, "transform": "spread"}],
            r"\.other is missing; transform 'spread' compares the column with",
        ),
        ([{**LEVEL, "transform": "atr"}], r"\.column is 'sentiment', but transform 'atr' reads high and low and close"),
        ([{**RSI, "edges": [70, 30]}], r"features\[0\]\.edges\[1\] is 30 after 70; expected edges that increase"),
        (
            [{**RSI, "edges": [30, 150]}],
            r"edges\[1\] is 150; expected above 0 and at most 100: the values of transform 'rsi' lie on one side of it",
        ),
        ([{**RSI, "edges": [0, 50]}], r"edges\[0\] is 0; expected above 0 and at most 100"),
        (
            [{"name": "low", "transform": "drawdown", "edges": [-0.1, 0.0, 0.1]}],
            r"edges\[2\] is 0\.1; expected at most 0:",
        ),
        ([{"name": "moved", "transform": "atr", "edges": [-1, 1]}], r"edges\[0\] is -1; expected above 0: "),
        ([{**RSI, "edges": [30, 30]}], r"features\[0\]\.edges\[1\] is 30 after 30; expected edges that increase"),
        ([{**RSI, "edges": [30, 70], "buckets": 4}], r"\.edges has length 2; expected 3, one less than buckets"),
        ([{**RSI, "edges": "quantiles"}], r"\.edges is 'quantiles'; expected one of 'quantile', 'uniform', or a list"),
        ([{**RSI, "buckets": 0}], r"features\[0\]\.buckets is 0; expected an integer >= 1 or null"),
        (
            [{"name": "day", "transform": "day_of_week", "buckets": 3}],
            r"\.buckets is 3; expected 7, one for each value of 'day_of_week', or edges as a list",
        ),
    ],
)
def test_what_is_refused(features, message):
    with pytest.raises(ConfigError, match=message):
        listed(*features)


def test_other_settings_that_a_list_leaves_without_effect():
    with pytest.raises(ConfigError, match=r"quantizer\.price_buckets is 5, but features is a list, each of which has"):
        listed(RSI, quantizer__price_buckets=5)
    with pytest.raises(ConfigError, match=r"features\[0\] is given, but the synthetic environment makes its features"):
        listed(RSI, environment__kind="synthetic")
    with pytest.raises(ConfigError, match=r"\.transform is 'atr', which reads high and low and close; expected one of"):
        listed({"name": "range", "transform": "atr"}, environment__kind="crypto")
    with pytest.raises(ConfigError, match=r"features\[0\]\.column is 'sentiment'; expected 'close' or 'volume', all"):
        listed(LEVEL, environment__kind="crypto")


def test_the_number_of_states_is_bounded_by_the_table_or_with_tiles_by_the_observation():
    ten = [{**RSI, "name": f"f{k}", "buckets": 10} for k in range(10)]
    memory = r"gives 12000000000 states; .* times 3 positions below 2147483648 .* here of 804 GB; .*tile_coder"
    with pytest.raises(ConfigError, match=memory):
        listed(*ten[:9])
    coder = {"tile_sizes": [4] * 11, "offsets": [0] * 11}
    with pytest.raises(ConfigError, match=r"tile_sizes has length 11; expected 10, one for each of the 9 features and"):
        listed(*ten[:9], tile_coder=coder)
    nine = {"tile_sizes": [4] * 10, "offsets": [0] * 10}
    assert len(listed(*ten[:9], tile_coder=nine).features) == 9
    with pytest.raises(ConfigError, match=r"features gives 10000000000 observations; .* below 2147483648"):
        listed(*ten, tile_coder=coder)


def test_what_a_config_is_read_for():
    config = listed(
        RSI,
        {"name": "range", "transform": "garman_klass", "buckets": 3},
        {"name": "gap", "transform": "spread", "column": "sentiment", "other": "rate"},
        {"name": "day", "transform": "day_of_week"},
        {"name": "unused", "transform": "level", "column": "absent", "buckets": 1},
        {"name": "cut", "transform": "rsi", "edges": [20, 50, 80, 90]},
    )
    assert feature_sizes(config) == {"rsi": 4, "range": 3, "gap": 4, "day": 7, "unused": 1, "cut": 5}
    assert feature_columns(config) == ("high", "low", "rate", "sentiment")


def test_a_list_is_overridden_by_name_or_as_a_whole():
    draft = Draft.of(listed(RSI, {**LEVEL, "buckets": 3}))

    def overridden(*texts):
        return draft.copy().override(assigned(texts), "--set").build().features

    changed = overridden("features.rsi.window=7", "features.rsi.edges=[30,70]")
    assert (changed[0].window, changed[0].edges, changed[0].buckets) == (7, (30.0, 70.0), 3)
    assert changed[1].buckets == 3
    assert [one.name for one in overridden('features=[{"name": "x", "transform": "lag"}]', "features.x.window=2")] == [
        "x"
    ]
    assert overridden('features={"price": {"transform": "level"}}').price.transform == "level"
    with pytest.raises(ConfigError, match=r"--set: features\.trend\.window names no .* names rsi, mine"):
        overridden("features.trend.window=7")
    with pytest.raises(ConfigError, match=r"--set: features\[0\]\.window is 0; expected an integer >= 1"):
        overridden("features.rsi.window=0")
    with pytest.raises(ConfigError, match=r"--set: features\[1\]\.buckets is 0; expected an integer >= 1"):
        overridden("features.mine.buckets=0")


def test_a_list_travels_and_has_a_fingerprint_of_its_own():
    config = listed(RSI, {**LEVEL, "edges": [-1, 0.5]})
    assert TrainingConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert TrainingConfig.from_dict(config.canonical()).fingerprint() == config.fingerprint()
    assert config.fingerprint() != listed({**LEVEL, "edges": [-1, 0.5]}, RSI).fingerprint()
    assert VALIDATOR.is_valid(nest({**HISTORY, "features": [RSI, {**LEVEL, "edges": [-1, 0.5]}]}))
    for wrong in ([], [LEVEL | {"edges": "none"}], [{"name": "Rsi", "transform": "rsi"}]):
        assert not VALIDATOR.is_valid(nest({**HISTORY, "features": wrong}))
    # The four names as an object are as they were.
    assert TrainingConfig().canonical()["features"] == DEFAULTS["features"]
