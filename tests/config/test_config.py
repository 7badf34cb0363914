"""The config: defaults, bounds and rules."""

import copy
import dataclasses
import hashlib
import json
import math
import pickle
import re

import pytest
from config_trees import (
    COMPAT,
    CRYPTO,
    DEFAULTS,
    FOUR,
    HISTORY,
    LEAVES,
    OLD_CRYPTO,
    TRANSFORMS,
    VALIDATOR,
    WHEN_GIVEN,
    nest,
    with_value,
    without_newer,
)

from idi_fast.config import settings as settings_module
from idi_fast.config.feature_settings import FeatureConfig
from idi_fast.config.settings import EngineConfig, QuantizerConfig, RewardWeights, TrainingConfig
from idi_fast.errors import ConfigError

SCENARIOS = ["normal", "panic", "extreme_shock", "fee_spike", "bear_market", "flash_crash"]
POSITIVE = ([0, -1], [1, 7])
COUNT = ([-1], [0, 5])
RATE = ([0, -0.5, 1.001], [1, 1e-9])
SHARE = ([-0.001, 1.001], [0, 1, 0.4])
SIZE = ([-1e-9], [0, 2.5])
BOUNDS = {  # what is refused, and the edges that are not
    "episodes": COUNT,
    "episode_length": POSITIVE,
    "emote.linger_ticks": COUNT,
    "discount": RATE,
    "learning_rate": RATE,
    "exploration_decay": RATE,
    **{f"quantizer.{name}": POSITIVE for name in DEFAULTS["quantizer"]},
    "rewards.objective": ([1], ["volatility_units", "simple", "log", "mean_variance", "downside"]),
    "rewards.risk_aversion": ([-0.1], [0, 9.5]),
    "rewards.turnover_penalty": ([-0.1], [0, 0.5]),
    "layers.momentum_threshold": ([-0.001, 1.001], [1, 0.3]),
    "layers.contrarian_threshold": ([-0.001, 1.001], [0, 0.6]),
    "tile_coder.num_tilings": POSITIVE,
    "tile_coder.tile_sizes": ([[4, 4, 0, 4, 4]], [[1, 1, 1, 1, 1]]),
    "tile_coder.tiling": (["square"], ["reference", "displaced"]),
    "tile_coder.table_size": ([0, 2**31], [1, 2**31 - 1]),
    "communication.actions": ([[]], [["one"], ["twice", "twice"], [""]]),
    "episodic.capacity": POSITIVE,
    "episodic.k": POSITIVE,
    "episodic.decay": SHARE,
    "episodic.blend_alpha": SHARE,
    "learning.algorithm": (["sarsa"], ["q_learning", "double_q_learning", "expected_sarsa", "q_lambda"]),
    "learning.rate_schedule": (["steps"], ["constant", "visits", "episodes"]),
    "learning.exploration_schedule": (["none"], ["decay", "linear", "visits"]),
    "learning.trace_decay": ([-0.001, 1.0], [0, 0.999]),
    "learning.exploration_floor": SHARE,
    **{f"learning.{name}": RATE for name in ("rate_power", "exploration_share")},
    **{
        f"learning.{name}": ([0, -1.0], [1e-9, 1e9])
        for name in ("rate_delay", "exploration_episodes", "exploration_visits")
    },
    "learning.bars": ([1, 2**31], [2, 2**31 - 1]),
    "learning.tolerance": ([0, -1.0], [1e-12, 1.0]),
    "learning.shrinkage": ([-1, "best"], [0, 100.0, "auto"]),
    "learning.confidence": ([-0.1], [0, 3.0]),
    "learning.bootstrap": ([-1], [0, 50]),
    "learning.min_agreement": SHARE,
    "engine.compat": (["idi-iann"], ["idi_iann"]),
    "engine.rng": (["pcg64"], ["sfc64", "mt19937"]),
    "environment.kind": ([1], ["synthetic", "crypto", "history"]),
    **{f"environment.market.{name}": SIZE for name in ("vol_base", "vol_panic", "shock_scale")},
    "environment.market.shock_prob": SHARE,
    "environment.market.fee_bps": ([-0.1, 10_000], [0, 9_999.5]),
    "environment.market.stress_scenario": (["calm"], SCENARIOS),
    "environment.market.borrow_bps": ([-0.1, 100_001], [0, 100_000]),
    "environment.market.cash_rate": ([-1, 1, 4], [-0.99, 0.04, 0.99]),
    "environment.data.funding": ([""], ["funding_rate"]),
    "environment.data.path": ([""], ["bars/*.csv"]),
    "environment.data.nan": (["keep"], ["refuse", "drop"]),
    "environment.data.fill": (["now"], ["next_open", "next_close", "same_close"]),
    "environment.data.format": (["bloomberg"], ["binance", "yfinance"]),
    "environment.data.decimal": (["'"], [".", ","]),
    "environment.data.duplicates": (["keep"], ["refuse", "drop"]),
    "environment.data.skip_rows": ([-1], [0, 100]),
    "environment.data.start": (["yesterday"], ["2020-01-01", "2020-01-01T09:30:00Z"]),
    "environment.data.end": (["01.02.2020"], ["2020-01-01"]),
    "environment.data.split": (["0%", "100%", "seventy"], ["2020-01-01", "70%", "0.5%", "99.9%"]),
    **{f"features.{name}.window": ([0, 1_000_001], [2, 1_000_000]) for name in DEFAULTS["features"]},
    **{f"features.{name}.transform": (["sma"], TRANSFORMS) for name in DEFAULTS["features"]},
}
PLANS = {"learning.algorithm": "value_iteration"}
WRONG_TYPES = {
    bool: [1, 0, "true", None, []],
    int: [True, 4.0, "4", None, [4], math.nan, 2**63, -(2**63) - 1],
    float: [True, "0.5", None, [0.5], math.nan, math.inf, -math.inf, 10**400],
    str: [1, True, ["a"], math.nan],
    type(None): [1, True, ["a"], {}],
    list: ["abc", None, 4, [None], [1.5], {}],
    dict: [None, [], "a", {"0": 1}, {"x": "a"}, {"01": "a"}, {"1.0": "a"}, {True: "a"}, {"9" * 19: "a"}, {10**18: "a"}],
}


def test_defaults_are_the_references():
    assert TrainingConfig().to_dict() == TrainingConfig.from_dict({}).to_dict() == DEFAULTS


@pytest.mark.parametrize("key", ["tile_coder", "episodic"])
def test_an_empty_block_has_its_own_defaults(key):
    assert TrainingConfig.from_dict(nest({**COMPAT, key: {}})).to_dict()[key] == WHEN_GIVEN[key]


def test_a_given_block_replaces_only_the_fields_it_names():
    config = TrainingConfig.from_dict(nest({"layers.momentum_threshold": 0.9, "emote.palette": {"7": "x"}}))
    assert config.to_dict()["layers"] == {**DEFAULTS["layers"], "momentum_threshold": 0.9}
    assert config.to_dict()["emote"] == {"palette": {"7": "x"}, "linger_ticks": 2}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, (bad, _) in BOUNDS.items() for value in bad])
def test_out_of_range_is_refused_with_its_path(key, value):
    with pytest.raises(ConfigError, match=rf"^{re.escape(key)}(\[\d\])? is .*; expected "):
        TrainingConfig.from_dict(with_value(key, value))
    assert not VALIDATOR.is_valid(with_value(key, value))


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, (_, good) in BOUNDS.items() for value in good])
def test_the_edges_of_a_range_are_accepted(key, value):
    stored = TrainingConfig.from_dict(with_value(key, value))
    for name in key.split("."):
        stored = getattr(stored, name)
    assert stored == (tuple(value) if isinstance(value, list) else value)
    assert VALIDATOR.is_valid(with_value(key, value))


WRONG = [(key, wrong) for key, value in LEAVES.items() for wrong in WRONG_TYPES[type(value)]]
# null, or a text, by default, and a number otherwise
for key in ("environment.data.skip_rows", "learning.exploration_episodes", "learning.shrinkage"):
    WRONG.remove((key, 1))


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_wrong_type_is_refused_with_its_path(key, value):
    with pytest.raises(ConfigError, match=rf"^{re.escape(key)}(\[\d\]|\.\d+)? (is|has) .*; expected "):
        TrainingConfig.from_dict(with_value(key, value))


# fmt: off
@pytest.mark.parametrize(("values", "message"), [
    ({"quantizer.price_buckets": 0}, "quantizer.price_buckets is 0; expected an integer >= 1$"),
    ({"discount": None}, "discount is null; expected a number > 0 and <= 1$"),
    ({"discount": True}, "discount is true; expected"),
    ({"episodes": 2**63}, f"episodes is {2**63}; expected an integer >= 0 that fits in 64 bits$"),
    ({"episodes": 10**5000}, "episodes is int too large to show; expected an integer >= 0 that fits in 64 bits"),
    ({"episodes": "x" * 99}, "episodes is 'x{78}…; expected an integer >= 0$"),
    ({"rewards.pnl": math.nan}, "rewards.pnl is nan; expected a finite number$"),
    ({"communication.actions": []}, r"communication.actions is \[\]; expected a non-empty list, each entry text"),
    ({"communication.actions": ["\ud800"]}, r"communication.actions\[0\] is .* text without lone surrogates"),
    ({"environment.data.path": "a\0b"}, r"environment.data.path is .*; .* without null characters"),
    ({"quantizer": []}, r"quantizer is \[\]; expected an object \(QuantizerConfig\)$"),
    ({"emote.palette": {"x": "a"}}, "emote.palette has the key 'x'; expected integers as keys$"),
    ({"emote.palette": {1: "a", "1": "b"}}, "emote.palette has the key 1 twice"),
    ({"environment.market.stress_scenario": "pannic"}, "environment.market.stress_scenario is 'pannic'; expected "
     r"one of 'normal', .*'flash_crash'\. Did you mean 'panic'\?$"),
    ({**COMPAT, "learning.algorithm": "q_lambda"}, "learning.algorithm is 'q_lambda', but compat 'idi_iann' supports"),
    ({**COMPAT, "communication.alert_bonus": 1.0}, "communication has other bonuses, but compat 'idi_iann' supports"),
    ({**COMPAT, "learning.initial_value": 1.0}, "learning.initial_value is 1.0, but compat 'idi_iann' supports only"),
    ({"episodic.enabled": True, "learning.rate_schedule": "visits"}, "episodic.enabled is true, but .*expected learni"),
    ({"environment.observe_regime": True}, "environment.observe_regime is true, but the synthetic environment has no"),
    ({**COMPAT, "environment.kind": "crypto", "environment.observe_regime": True},
     "environment.observe_regime is true, but compat 'idi_iann' has no regime"),
    ({"environment.kind": "crypto", "environment.observe_regime": True, "quantizer.price_buckets": 2**22},
     ".* times 3 positions times 4 regimes below 2147483648"),
    ({"features.price": {"window": 8}}, "features.price.transform is missing; expected one of 'zscore', "),
    ({"quantiser": {}}, r"quantiser is not a known key\. Did you mean 'quantizer'\?$"),
    ({"quantizer.price_bucket": 4}, r"quantizer.price_bucket is not a known key\. Did you mean 'price_buckets'\?"),
    ({"environment.market.fee": 4}, r"environment.market.fee is not a known key\. Did you mean 'fee_bps'\?$"),
    ({"environment.data.paths": 4}, r"environment.data.paths is not a known key\. Did you mean 'path'\?$"),
    ({"tile_coder.sizes": []}, r"tile_coder.sizes is not a known key\. Did you mean 'tile_sizes'\?$"),
    ({"features.trend.qqq": 4}, r"features.trend.qqq is not a known key\. The known keys are column, transform, "),
    # fields that do not go together
    ({**COMPAT, "engine.rng": "sfc64"}, "engine.rng is 'sfc64', but compat 'idi_iann' reproduces CPython's "
     "generator; remove engine.rng or set it to 'mt19937'$"),
    ({"layers.contrarian_threshold": 0.61}, "layers.contrarian_threshold is 0.61; expected at most .*0.6"),
    ({**COMPAT, "tile_coder.offsets": [1]}, "tile_coder.offsets has length 1; expected .*5"),
    ({**COMPAT, **FOUR}, "tile_coder.tile_sizes has length 4; expected 5, .*synthetic"),
    ({**OLD_CRYPTO, "tile_coder": {}}, "tile_coder.tile_sizes has length 5; expected 4, .*crypto"),
    ({**COMPAT, "tile_coder.tiling": "displaced"}, "tile_coder is given, but compat 'idi_iann' keeps a row for every"),
    ({**FOUR}, "tile_coder.tile_sizes has length 4; expected 5, one for each of the four features and the mood"),
    ({"tile_coder.tiling": "displaced", "tile_coder.offsets": [0] * 5}, "tile_coder.offsets is given, but displaced"),
    ({"tile_coder": {}, "episodic.enabled": True}, "episodic.enabled is true, but .* a plain table only"),
    ({**COMPAT, **HISTORY}, "environment.kind is 'history', but compat 'idi_iann'"),
    ({**COMPAT, "environment.allow_short": False}, "environment.allow_short is false, but .*'idi_iann'"),
    ({"quantizer.scarcity_buckets": 33}, "quantizer.scarcity_buckets is 33; expected at most 32 .*q_regime"),
    ({"episode_length": 2**63 - 1}, "episode_length is 9223372036854775807; expected .* 2147483647"),
    ({"quantizer.price_buckets": 2**22}, r"quantizer gives 2147483648 states; expected .* below 2147483648"),
    ({**CRYPTO, "quantizer.price_buckets": 1_398_102}, "quantizer gives 2147484672 states; .*3 positions"),
    (PLANS, "learning.algorithm is 'value_iteration', but the synthetic environment hides its position, .*'history'"),
    ({**COMPAT, **CRYPTO, **PLANS}, "learning.algorithm is 'value_iteration', but compat"),
    ({"learning.shrinkage": 3}, "learning.shrinkage is 3.0, but learning.algorithm 'q_learning' has no use for it; "),
    ({**CRYPTO, **PLANS, "tile_coder": {}}, "tile_coder is given, but .* fills a plain table; remove it"),
    ({**CRYPTO, **PLANS, "episodic.enabled": True}, "episodic"),
    ({**CRYPTO, **PLANS, "discount": 1}, "discount is 1; expected less "),
    ({**CRYPTO, **PLANS, "episodes": 9}, "episodes is given, but .* without episodes, .* no effect; remove it"),
    ({**CRYPTO, **PLANS, "learning_rate": 0.1}, "learning_rate is given, but"),
    ({**CRYPTO, **PLANS, "learning.rate_schedule": "visits"}, "learning.rate_schedule is given, but"),
    ({**HISTORY, **PLANS, "learning.bars": 9}, "learning.bars is given, but .* all bars of the history"),
    ({**CRYPTO, **PLANS, "learning.min_agreement": 0.5}, "learning.min_agreement is given, but .* learning.bootstrap"),
    ({**CRYPTO, **PLANS, "quantizer.price_buckets": 2**15}, r"quantizer gives \d+ states; expected at most 16777216"),
    ({"features.trend.transform": "level"}, "features.trend is given, but the synthetic environment"),
    ({**OLD_CRYPTO, "features.price.transform": "level"}, "features.price is given, but compat"),
    ({**CRYPTO, "features.price": {"transform": "level", "column": "open"}}, "features.price.column is 'open'; "),
    ({**CRYPTO, "features.price": {"transform": "volatility", "window": 1}}, "features.price.window is 1; .*2 for"),
    ({**CRYPTO, "features.price": {"transform": "zscore", "window": 1}}, "features.price.window is 1; .*2 for"),
])
def test_what_is_refused_is_named(values, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        TrainingConfig.from_dict(nest(values))


@pytest.mark.parametrize("values", [
    {**COMPAT, "engine.rng": "mt19937"},
    {"layers.contrarian_threshold": 0.6},
    {**COMPAT, "tile_coder": {}}, {**OLD_CRYPTO, **FOUR},
    {"episodic.enabled": True}, {**COMPAT, "episodic.enabled": True},
    {**HISTORY, "environment.allow_short": False},
    {"quantizer.scarcity_buckets": 32}, {**CRYPTO, "quantizer.scarcity_buckets": 33},
    {**HISTORY, "quantizer.scarcity_buckets": 33}, {**OLD_CRYPTO, "quantizer.scarcity_buckets": 33},
    {"quantizer.price_buckets": 2**22 - 1}, {**CRYPTO, "quantizer.price_buckets": 1_398_101},
    {**OLD_CRYPTO, "quantizer.price_buckets": 1_398_102},
    {**CRYPTO, "features.price": {"transform": "level", "column": "volume", "window": 1}},
    {**HISTORY, "features.price": {"transform": "level", "column": "funding"}},
])
def test_what_goes_together_is_accepted(values):
    config = TrainingConfig.from_dict(nest(values))
    assert TrainingConfig.from_dict(config.to_dict()) == config
# fmt: on


def test_a_config_built_directly_is_checked_just_as_well():
    with pytest.raises(ConfigError, match=r"^price_buckets is 0; expected an integer >= 1$"):
        QuantizerConfig(price_buckets=0)
    with pytest.raises(ConfigError, match=r"^quantizer is RewardWeights.*; expected an object \(QuantizerConfig\)$"):
        TrainingConfig(quantizer=RewardWeights())
    with pytest.raises(ConfigError, match=r"^the top level is \[\]; expected an object$"):
        TrainingConfig.from_dict([])
    with pytest.raises(ConfigError, match=r"^episodes is -1"):
        dataclasses.replace(TrainingConfig(), episodes=-1)
    assert dataclasses.replace(TrainingConfig(), episodes=9).to_dict() == {**DEFAULTS, "episodes": 9}
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainingConfig().episodes = 3
    with pytest.raises(TypeError, match="transform"):
        FeatureConfig(column="close")


@pytest.mark.parametrize("compat", [None, "idi_iann"])
def test_the_generator_is_stored_as_what_it_stands_for(compat):
    assert EngineConfig(compat=compat).rng == EngineConfig(compat=compat, rng=None).rng
    assert EngineConfig(compat=compat).rng == ("mt19937" if compat else "sfc64")


def test_the_palette_takes_either_kind_of_key_and_cannot_change():
    by_text = TrainingConfig.from_dict(nest({"emote.palette": {"10": "b", "2": "a"}}))
    by_number = TrainingConfig.from_dict(nest({"emote.palette": {2: "a", 10: "b"}}))
    assert by_text == by_number
    assert list(by_text.emote.palette.items()) == [(2, "a"), (10, "b")]
    assert (by_text.fingerprint(), hash(by_text)) == (by_number.fingerprint(), hash(by_number))
    assert pickle.loads(pickle.dumps(by_text)) == copy.deepcopy(by_text) == by_text
    with pytest.raises(TypeError):
        by_text.emote.palette[2] = "c"


def other(value):
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else value / 2 + 0.0625


# fmt: off
CHANGED = {key: other(value) for key, value in LEAVES.items() if isinstance(value, bool | int | float)} | {
    "emote.palette": {"0": "🙂"},
    "tile_coder.tiling": "displaced", "tile_coder.tile_sizes": [4, 4, 4, 4, 3], "tile_coder.offsets": [0, 1, 2, 3, 3],
    "communication.actions": ["positive", "silent", "alert", "persist"],
    "rewards.objective": "log",
    "learning.algorithm": "q_lambda", "learning.rate_schedule": "visits", "learning.exploration_schedule": "linear",
    "learning.exploration_episodes": 9.5,
    "learning.shrinkage": 50.0,
    "engine.compat": "idi_iann", "engine.rng": "mt19937",
    "environment.kind": "crypto", "environment.market.stress_scenario": "panic",
    **{f"environment.data.{name}": "x" for name in ("path", "time", "price", "open", "volume", "funding")},
    "environment.data.nan": "drop", "environment.data.fill": "same_close",
    "environment.data.format": "kraken", "environment.data.sep": ";", "environment.data.decimal": ",",
    "environment.data.thousands": ".", "environment.data.time_format": "%d.%m.%Y",
    "environment.data.tz": "Europe/Berlin", "environment.data.no_header": True, "environment.data.encoding": "cp1252",
    "environment.data.skip_rows": 2,
    "environment.data.sort": True, "environment.data.duplicates": "drop",
    "environment.data.start": "2020-01-01", "environment.data.end": "2021-01-01",
    "environment.data.symbol_col": "x", "environment.data.symbol_files": True, "environment.data.split": "70%",
    "environment.data.edges": "per_symbol",
    "environment.market.regimes": [{"name": "calm", "volatility": 0.01}],
    **{f"features.{name}.column": "volume" for name in DEFAULTS["features"]},
    **{f"features.{name}.transform": "level" for name in DEFAULTS["features"]},
}
# fmt: on


@pytest.mark.parametrize("key", LEAVES)
def test_the_fingerprint_changes_with_any_field(key):
    before, after = (TrainingConfig.from_dict(with_value(key, values[key])) for values in (LEAVES, CHANGED))
    assert before.fingerprint() != after.fingerprint()


def test_the_fingerprint_is_the_hash_of_the_canonical_json():
    first = without_newer(DEFAULTS)
    canonical = json.dumps(first, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert TrainingConfig().fingerprint() == hashlib.sha256(canonical.encode("utf-8")).hexdigest()


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ({"discount": 1}, {"discount": 1.0}),
        ({"rewards.pnl": 0.0}, {"rewards.pnl": -0.0}),
        ({"communication.actions": ["a"]}, {"communication.actions": ("a",)}),
        ({"engine.rng": None}, {"engine.rng": "sfc64"}),
        ({"episodes": 1, "discount": 0.5}, {"discount": 0.5, "episodes": 1}),
    ],
)
def test_equal_configs_have_equal_fingerprints(one, same):
    first, second = TrainingConfig.from_dict(nest(one)), TrainingConfig.from_dict(nest(same))
    assert (first, first.fingerprint()) == (second, second.fingerprint())


def test_the_tables_above_are_complete():
    """A field added to the config must come into them."""
    numbers = {key for key, value in LEAVES.items() if type(value) in (int, float)}
    free = {f"rewards.{name}" for name in DEFAULTS["rewards"]} | {key for key in LEAVES if ".drift_" in key}
    free |= {"learning.initial_value", *(f"communication.{name}_bonus" for name in ("alert", "positive", "persist"))}
    assert numbers - free <= set(BOUNDS)
    assert set(CHANGED) == set(LEAVES)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({}, "TrainingConfig()"),
        (
            {"episodes": 3, "environment": {"kind": "crypto"}},
            "TrainingConfig(episodes=3, environment=EnvironmentConfig(kind='crypto'))",
        ),
        ({"engine": {"compat": "idi_iann"}}, "TrainingConfig(engine=EngineConfig(compat='idi_iann'))"),
        ({"engine": {"rng": "mt19937"}}, "TrainingConfig(engine=EngineConfig(rng='mt19937'))"),
        ({"tile_coder": {}}, "TrainingConfig(tile_coder=TileCoderConfig())"),
    ],
)
def test_a_config_prints_what_differs_from_the_defaults(values, shown):
    config = TrainingConfig.from_dict(values)
    assert repr(config) == shown
    assert eval(shown, vars(settings_module)) == config
