"""The config: defaults, what is refused and how, JSON files, overrides, schema and documentation."""

import copy
import dataclasses
import hashlib
import json
import math
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idi_fast.config import EngineConfig, FeatureConfig, QuantizerConfig, RewardWeights, TrainingConfig
from idi_fast.config_io import json_schema, with_overrides
from idi_fast.errors import ConfigError, OutputError

ROOT = Path(__file__).parent.parent
DOCS = (ROOT / "docs/CONFIG.md").read_text(encoding="utf-8")
VALIDATOR = jsonschema.Draft202012Validator(json_schema())

# fmt: off
MARKET = {
    "drift_bull": 0.002, "drift_bear": -0.002, "drift_chop": 0.0, "vol_base": 0.01, "vol_panic": 0.04,
    "shock_prob": 0.02, "shock_scale": 0.05, "fee_bps": 5.0, "stress_scenario": "normal",
}
DATA = dict.fromkeys(("path", "time", "price", "open", "volume")) | {"nan": "refuse", "fill": "next_open"}
DEFAULTS = {
    "episodes": 128, "episode_length": 64, "discount": 0.92, "learning_rate": 0.2, "exploration_decay": 0.995,
    "quantizer": {
        "price_buckets": 4, "volume_buckets": 4, "trend_buckets": 4, "scarcity_buckets": 8, "mood_buckets": 4,
    },
    "rewards": {"pnl": 1.0, "scarcity_alignment": 0.5, "ethics_bonus": 0.75, "communication_clarity": 0.2},
    "emote": {
        "palette": {"0": "🙂 steady", "1": "🚀 optimistic", "2": "😐 cautious", "3": "⚠️ alert"}, "linger_ticks": 2,
    },
    "layers": {
        "emit_weight_streams": True, "momentum_threshold": 0.6, "contrarian_threshold": 0.3, "trend_favors_even": True,
    },
    "tile_coder": None,
    "communication": {"actions": ["silent", "positive", "alert", "persist"]},
    "episodic": None,
    "engine": {"compat": None, "rng": "sfc64"},
    "environment": {"kind": "synthetic", "allow_short": True, "market": MARKET, "data": DATA},
    "features": {"price": None, "volume": None, "trend": None, "scarcity": None},
}
WHEN_GIVEN = {
    "tile_coder": {"num_tilings": 3, "tile_sizes": [4, 4, 4, 4, 4], "offsets": [0, 1, 2, 3, 4]},
    "episodic": {"enabled": False, "capacity": 1024, "k": 8, "decay": 0.99, "blend_alpha": 0.5},
} | {f"features.{x}": {"column": "close", "transform": "zscore", "window": 32} for x in DEFAULTS["features"]}
# fmt: on


def nest(values):
    """{"a": {"b": 1}} of {"a.b": 1}."""
    tree = {}
    for key, value in values.items():
        *blocks, name = key.split(".")
        inner = tree
        for block in blocks:
            inner = inner.setdefault(block, {})
        inner[name] = value
    return tree


def with_value(key, value):
    """A tree with this value, and what else the key needs to be valid."""
    if key.startswith("features."):
        transform = f"{key.rpartition('.')[0]}.transform"
        return nest({"environment.kind": "crypto", transform: "zscore", key: value})
    return nest((COMPAT if key.startswith("tile_coder") else {}) | {key: value})


def leaves(tree, prefix=""):
    """Dotted keys and values of all that is no block; a block that is null by default as it is when given."""
    for name, value in tree.items():
        key = prefix + name
        value = WHEN_GIVEN.get(key, value)
        if isinstance(value, dict) and name != "palette":
            yield from leaves(value, f"{key}.")
        else:
            yield key, value


LEAVES = dict(leaves(DEFAULTS))
# fmt: off
TRANSFORMS = ["zscore", "log_return", "drawdown", "ema_ratio", "volatility", "level"]
SCENARIOS = ["normal", "panic", "extreme_shock", "fee_spike", "bear_market", "flash_crash"]
POSITIVE = ([0, -1], [1, 7])
COUNT = ([-1], [0, 5])
RATE = ([0, -0.5, 1.001], [1, 1e-9])
SHARE = ([-0.001, 1.001], [0, 1, 0.4])
SIZE = ([-1e-9], [0, 2.5])
BOUNDS = {  # what is refused, and the edges that are not
    "episodes": COUNT, "episode_length": POSITIVE, "emote.linger_ticks": COUNT,
    "discount": RATE, "learning_rate": RATE, "exploration_decay": RATE,
    **{f"quantizer.{name}": POSITIVE for name in DEFAULTS["quantizer"]},
    "layers.momentum_threshold": ([-0.001, 1.001], [1, 0.3]),
    "layers.contrarian_threshold": ([-0.001, 1.001], [0, 0.6]),
    "tile_coder.num_tilings": POSITIVE, "tile_coder.tile_sizes": ([[4, 4, 0, 4, 4]], [[1, 1, 1, 1, 1]]),
    "communication.actions": ([[]], [["one"], ["twice", "twice"], [""]]),
    "episodic.capacity": POSITIVE, "episodic.k": POSITIVE,
    "episodic.decay": SHARE, "episodic.blend_alpha": SHARE,
    "engine.compat": (["idi-iann"], ["idi_iann"]), "engine.rng": (["pcg64"], ["sfc64", "mt19937"]),
    "environment.kind": (["real"], ["synthetic", "crypto", "history"]),
    **{f"environment.market.{name}": SIZE for name in ("vol_base", "vol_panic", "shock_scale")},
    "environment.market.shock_prob": SHARE, "environment.market.fee_bps": ([-0.1, 10_000], [0, 9_999.5]),
    "environment.market.stress_scenario": (["calm"], SCENARIOS),
    "environment.data.path": ([""], ["bars/*.csv"]), "environment.data.nan": (["keep"], ["refuse", "drop"]),
    "environment.data.fill": (["now"], ["next_open", "next_close", "same_close"]),
    **{f"features.{name}.window": ([0, 1_000_001], [2, 1_000_000]) for name in DEFAULTS["features"]},
    **{f"features.{name}.transform": (["sma"], TRANSFORMS) for name in DEFAULTS["features"]},
}
WRONG_TYPES = {
    bool: [1, 0, "true", None, []],
    int: [True, 4.0, "4", None, [4], math.nan, 2**63, -(2**63) - 1],
    float: [True, "0.5", None, [0.5], math.nan, math.inf, -math.inf, 10**400],
    str: [1, True, ["a"], math.nan],
    type(None): [1, True, ["a"], {}],
    list: ["abc", None, 4, [None], [1.5], {}],
    dict: [None, [], "a", {"0": 1}, {"x": "a"}, {"01": "a"}, {"1.0": "a"}, {True: "a"}, {"9" * 19: "a"}, {10**18: "a"}],
}
# fmt: on
COMPAT = {"engine.compat": "idi_iann"}
CRYPTO = {"environment.kind": "crypto"}
HISTORY = {"environment.kind": "history"}
OLD_CRYPTO = {**COMPAT, **CRYPTO}
FOUR = {"tile_coder.tile_sizes": [4] * 4, "tile_coder.offsets": [0] * 4}


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


@pytest.mark.parametrize(("key", "value"), [(k, wrong) for k, v in LEAVES.items() for wrong in WRONG_TYPES[type(v)]])
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
    ({"quantizer": []}, r"quantizer is \[\]; expected an object \(QuantizerConfig\)$"),
    ({"emote.palette": {"x": "a"}}, "emote.palette has the key 'x'; expected integers as keys$"),
    ({"emote.palette": {1: "a", "1": "b"}}, "emote.palette has the key 1 twice"),
    ({"environment.market.stress_scenario": "pannic"}, "environment.market.stress_scenario is 'pannic'; expected "
     r"one of 'normal', .*'flash_crash'\. Did you mean 'panic'\?$"),
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
    ({"tile_coder": {}}, "tile_coder is given, but .* not available .*'idi_iann'"),
    ({**COMPAT, **HISTORY}, "environment.kind is 'history', but compat 'idi_iann'"),
    ({**COMPAT, "environment.allow_short": False}, "environment.allow_short is false, but .*'idi_iann'"),
    ({"quantizer.scarcity_buckets": 33}, "quantizer.scarcity_buckets is 33; expected at most 32 .*q_regime"),
    ({"quantizer.price_buckets": 2**22}, r"quantizer gives 2147483648 states; expected .* below 2147483648"),
    ({**CRYPTO, "quantizer.price_buckets": 1_398_102}, "quantizer gives 2147484672 states; .*3 positions"),
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
    "tile_coder.tile_sizes": [4, 4, 4, 4, 3], "tile_coder.offsets": [0, 1, 2, 3, 3],
    "communication.actions": ["positive", "silent", "alert", "persist"],
    "engine.compat": "idi_iann", "engine.rng": "mt19937",
    "environment.kind": "crypto", "environment.market.stress_scenario": "panic",
    **{f"environment.data.{name}": "x" for name in ("path", "time", "price", "open", "volume")},
    "environment.data.nan": "drop", "environment.data.fill": "same_close",
    **{f"features.{name}.column": "volume" for name in DEFAULTS["features"]},
    **{f"features.{name}.transform": "level" for name in DEFAULTS["features"]},
}
# fmt: on


@pytest.mark.parametrize("key", LEAVES)
def test_the_fingerprint_changes_with_any_field(key):
    before, after = (TrainingConfig.from_dict(with_value(key, values[key])) for values in (LEAVES, CHANGED))
    assert before.fingerprint() != after.fingerprint()


def test_the_fingerprint_is_the_hash_of_the_canonical_json():
    canonical = json.dumps(DEFAULTS, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
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


def block(**values):
    return st.fixed_dictionaries({}, optional=values)


BUCKETS = st.integers(1, 32)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
SHARES = st.floats(0, 1) | st.integers(0, 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
FEATURE = st.none() | st.builds(lambda name, window: {"transform": name, "window": window},
    st.sampled_from(TRANSFORMS), st.integers(2, 1_000_000))  # fmt: skip
ANYWHERE = {
    "episodes": st.integers(0, 2**63 - 1),
    "discount": SHARES.filter(bool),
    "quantizer": block(**dict.fromkeys(DEFAULTS["quantizer"], BUCKETS)),
    "rewards": block(**dict.fromkeys(DEFAULTS["rewards"], FINITE)),
    "emote": block(palette=st.dictionaries(st.integers(-9, 99).map(str), TEXT), linger_ticks=st.integers(0, 9)),
    "layers": block(contrarian_threshold=st.floats(0, 0.6), trend_favors_even=st.booleans()),
    "communication": block(actions=st.lists(TEXT, min_size=1)),
}
MARKETS = block(drift_bull=FINITE, vol_base=SHARES, fee_bps=st.floats(0, 9_999), shock_prob=SHARES)
ENVIRONMENTS = st.builds(lambda kind, rest: {"kind": kind, **rest}, st.sampled_from(["crypto", "history"]),
    block(allow_short=st.booleans(), market=MARKETS, data=block(time=st.none() | TEXT)))  # fmt: skip
MARKET_CONFIGS = st.builds(lambda environment, rest: {"environment": environment, **rest}, ENVIRONMENTS,
    block(**ANYWHERE, features=block(**dict.fromkeys(DEFAULTS["features"], FEATURE))))  # fmt: skip
COMPAT_CONFIGS = block(
    **ANYWHERE,
    tile_coder=st.none() | block(tile_sizes=st.lists(BUCKETS, min_size=5, max_size=5)),
    episodic=st.none() | block(enabled=st.booleans(), k=BUCKETS, decay=SHARES),
).map(lambda rest: {**nest(COMPAT), **rest})


@settings(deadline=None)
@given(tree=block(**ANYWHERE, engine=block(rng=st.sampled_from([None, "mt19937"]))) | MARKET_CONFIGS | COMPAT_CONFIGS)
def test_every_valid_config_survives_a_json_file(tmp_path_factory, tree):
    VALIDATOR.validate(tree)
    config = TrainingConfig.from_dict(tree)
    path = tmp_path_factory.getbasetemp() / "round_trip.json"
    config.to_json(path)
    back = TrainingConfig.from_json(path)
    assert (back, back.to_dict(), back.fingerprint()) == (config, config.to_dict(), config.fingerprint())
    VALIDATOR.validate(config.to_dict())


# fmt: off
@pytest.mark.parametrize(("content", "message"), [
    (b'{\n  "episodes": 3,\n}', "line 3, column 1: "),
    (b"", "line 1, column 1: "),
    (b"[1]", r"the top level is \[1\]; expected an object$"),
    (b'{"episodes": 1, "episodes": 2}', "the key 'episodes' stands 2 times in one object; expected it once$"),
    (b'{"emote": {"palette": {"0": "a", "0": "b"}}}', "the key '0' stands 2 times"),
    (b'{"rewards": {"pnl": NaN}}', "rewards.pnl is nan; expected a finite number$"),
    (b'{"rewards": {"pnl": -Infinity}}', "rewards.pnl is -inf; expected a finite number$"),
    (b'{"rewards": {"pnl": 1e999}}', "rewards.pnl is inf; expected a finite number$"),
    (b'{"episodes": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
    (b'{"emote": "\xff"}', r"is not UTF-8 text \(at byte 11\)$"),
    (b'{"a":' * 100_000, "maximum recursion depth"),
    (b'{"quantizer": {"price_buckets": 0}}', "quantizer.price_buckets is 0; expected an integer >= 1$"),
])
def test_a_bad_file_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "agent.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"^{re.escape(str(path))}: {message}"):
        TrainingConfig.from_json(path)
# fmt: on


@pytest.mark.parametrize(("name", "reason"), [("none.json", "No such file"), (".", "Is a directory")])
def test_a_missing_file_is_an_error(tmp_path, name, reason):
    with pytest.raises(ConfigError, match=f"^{re.escape(str(tmp_path / name))}: cannot be read: {reason}"):
        TrainingConfig.from_json(tmp_path / name)


def test_a_byte_order_mark_is_no_obstacle(tmp_path):
    (tmp_path / "agent.json").write_bytes(b'\xef\xbb\xbf{"episodes": 5}')
    assert TrainingConfig.from_json(tmp_path / "agent.json").episodes == 5


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    path = tmp_path / "agent.json"
    TrainingConfig().to_json(path)
    written = path.read_text(encoding="utf-8")
    assert written == json.dumps(DEFAULTS, indent=2, ensure_ascii=False) + "\n"
    with pytest.raises(OutputError, match=r"cannot be written: Not a directory$"):
        TrainingConfig().to_json(path / "below.json")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match=r"agent.json: cannot be written: No space left on device$"):
        TrainingConfig(episodes=1).to_json(path)
    assert os.listdir(tmp_path) == ["agent.json"]
    assert path.read_text(encoding="utf-8") == written


# fmt: off
@pytest.mark.parametrize(("assignments", "values"), [
    ([], {}),
    (["episodes=5", "episodes=6"], {"episodes": 6}),
    (["environment.kind=crypto"], CRYPTO),
    (['environment.data.path="5"'], {"environment.data.path": "5"}),
    (["environment.data.path=a=b.csv"], {"environment.data.path": "a=b.csv"}),
    (["environment.data.path=null"], {}),
    (['quantizer={"price_buckets": 6}', "quantizer.price_buckets=7"], {"quantizer.price_buckets": 7}),
    (['emote.palette={"1": "x"}'], {"emote.palette": {"1": "x"}}),
    (["engine.compat=idi_iann", "tile_coder={}"], {**COMPAT, "tile_coder": {}}),
    (["tile_coder=null", "tile_coder.num_tilings=4", "engine.compat=idi_iann"],
     {**COMPAT, "tile_coder.num_tilings": 4}),
    (["environment.kind=history", "features.price.window=9", "features.price.transform=level"],
     {**HISTORY, "features.price": {"transform": "level", "window": 9}}),
    (["layers.contrarian_threshold=0.7", "layers.momentum_threshold=0.8"],
     {"layers.contrarian_threshold": 0.7, "layers.momentum_threshold": 0.8}),
])
def test_overrides_in_any_order(assignments, values):
    wanted = TrainingConfig.from_dict(nest(values))
    assert with_overrides(TrainingConfig(), assignments) == wanted
    if "episodes=6" not in assignments:  # of two values for one key, the later counts
        assert with_overrides(TrainingConfig(), assignments[::-1]) == wanted


@pytest.mark.parametrize(("assignments", "message"), [
    (["episodes"], "'episodes' is not an assignment; expected key=value"),
    (["=5"], "'=5' is not an assignment"),
    (["episode=5"], "episode is not a known key. Did you mean 'episodes'?"),
    (["quantizer.mood=5"], "quantizer.mood is not a known key. Did you mean 'mood_buckets'?"),
    (['tile_coder={"tilings": 5}'], "tile_coder.tilings is not a known key. Did you mean 'num_tilings'?"),
    (['emote={"linger.ticks": 5}'], "emote.linger.ticks is not a known key. Did you mean 'linger_ticks'?"),
    (["discount.x=5"], "discount.x is not a known key; set discount as a whole"),
    (["emote.palette.0=x"], "emote.palette.0 is not a known key; set emote.palette as a whole"),
    (["quantizer.price_buckets=0"], "quantizer.price_buckets is 0; expected an integer >= 1"),
    (["quantizer.price_buckets=many"], "quantizer.price_buckets is 'many'; expected an integer >= 1"),
    (["quantizer=null"], "quantizer is null; expected an object (QuantizerConfig)"),
    (["tile_coder.num_tilings=4", "tile_coder=5"], "tile_coder is 5; expected an object (TileCoderConfig)"),
    (["tile_coder.num_tilings=4", "tile_coder=0"], "tile_coder is 0; expected an object (TileCoderConfig)"),
    (["rewards.pnl=NaN"], "rewards.pnl is nan; expected a finite number"),
    (['emote.palette={"0": "a", "0": "b"}'], "the key '0' stands 2 times in one object"),
])
def test_bad_overrides(assignments, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        with_overrides(TrainingConfig(), assignments)
# fmt: on


def test_overrides_keep_what_they_do_not_name():
    config = TrainingConfig.from_dict(nest({**COMPAT, "tile_coder.num_tilings": 9, "quantizer.price_buckets": 6}))
    changed = with_overrides(config, ['tile_coder={"offsets": [2, 2, 2, 2, 2]}', "quantizer.mood_buckets=2"])
    assert (changed.tile_coder.num_tilings, changed.tile_coder.offsets) == (9, (2, 2, 2, 2, 2))
    assert changed.quantizer == QuantizerConfig(price_buckets=6, mood_buckets=2)


def test_a_generator_follows_an_override_of_compat_unless_it_was_chosen():
    compat = TrainingConfig.from_dict(nest(COMPAT))
    assert with_overrides(TrainingConfig(), ["engine.compat=idi_iann"]) == compat
    assert with_overrides(compat, ["engine.compat=null"]) == TrainingConfig()
    assert with_overrides(TrainingConfig.from_dict(nest({"engine.rng": "mt19937"})), []).engine.rng == "mt19937"
    with pytest.raises(ConfigError, match=r"^engine\.rng is 'sfc64', but compat"):
        with_overrides(compat, ["engine.rng=sfc64"])


def run(*arguments):
    """What this Python prints, run at the top of the repository."""
    done = subprocess.run([sys.executable, "-X", "utf8", *arguments], cwd=ROOT, capture_output=True, check=True)
    return done.stdout.decode("utf-8")


def test_the_schema_file_is_the_generated_one():
    written = (ROOT / "idi_fast/schemas/config.schema.json").read_text(encoding="utf-8")
    assert json.loads(written) == json_schema()
    assert run("-m", "idi_fast.config_io") == written
    jsonschema.Draft202012Validator.check_schema(json_schema())


def properties(definition):
    return (json_schema()["$defs"][definition] if definition else json_schema())["properties"]


def schema_defaults(definition):
    return {
        name: schema_defaults(node["$ref"].split("/")[-1]) if "$ref" in node else node["default"]
        for name, node in properties(definition).items()
    }


def test_the_schemas_defaults_are_the_dataclasses():
    assert schema_defaults(None) == {**DEFAULTS, "engine": {"compat": None, "rng": None}}
    assert schema_defaults("TileCoderConfig") == WHEN_GIVEN["tile_coder"]
    assert schema_defaults("EpisodicConfig") == WHEN_GIVEN["episodic"]
    assert json_schema()["$defs"]["FeatureConfig"]["required"] == ["transform"]


@pytest.mark.parametrize("block_key", sorted({key.rpartition(".")[0] for key in LEAVES}))
def test_the_schema_refuses_unknown_keys(block_key):
    assert not VALIDATOR.is_valid(with_value(f"{block_key}.extra".lstrip("."), 1))


def description(key):
    """The description of a field in the schema."""
    definition = None
    for name in key.split("."):
        node = properties(definition)[name]
        reference = node.get("$ref") or node.get("anyOf", [{}])[0].get("$ref", "")
        definition = reference.split("/")[-1]
    return node["description"]


@pytest.mark.parametrize("key", LEAVES)
def test_every_field_stands_in_the_docs_with_default_and_meaning(key):
    default = "null" if key == "engine.rng" else json.dumps(LEAVES[key], ensure_ascii=False)
    default = "required" if key.endswith(".transform") else f"`{default}`"
    cells = re.search(rf"^\| `{re.escape(key)}` \| (.*) \| (.*) \| (.*) \| (.*) \|$", DOCS, re.MULTILINE)
    assert (cells[2], cells[4]) == (default, description(key))


def test_the_docs_example_is_valid():
    example = re.search(r"```json\n(.*?)```", DOCS, re.DOTALL)[1]
    assert TrainingConfig.from_dict(json.loads(example)).environment.market.stress_scenario == "panic"


def test_the_config_loads_nothing_heavy():
    loaded = run("-c", "import sys, idi_fast.config; print(*sys.modules)").split()
    assert "idi_fast.config" in loaded
    assert not {"numpy", "numba", "polars", "pyarrow", "typer"} & set(loaded)


def test_the_tables_above_are_complete():
    """A field added to the config must come into them."""
    numbers = {key for key, value in LEAVES.items() if type(value) in (int, float)}
    free = {f"rewards.{name}" for name in DEFAULTS["rewards"]} | {key for key in LEAVES if ".drift_" in key}
    assert numbers - free <= set(BOUNDS)
    assert set(CHANGED) == set(LEAVES)
