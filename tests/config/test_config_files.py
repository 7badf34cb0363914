"""The config as JSON, its overrides, its schema and its documentation."""

import json
import os
import re
import subprocess
import sys

import cli_helpers as cli
import jsonschema
import pytest
from config_trees import (
    COMPAT,
    CRYPTO,
    DEFAULTS,
    HISTORY,
    LEAVES,
    NEWER,
    TRANSFORMS,
    VALIDATOR,
    WHEN_GIVEN,
    nest,
    with_overrides,
    with_value,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from places import ROOT

from idi_fast.config.block import json_schema
from idi_fast.config.settings import QuantizerConfig, TrainingConfig
from idi_fast.errors import ConfigError, OutputError, WriteError
from idi_fast.storage import exchange

DOCS = (ROOT / "docs/CONFIG.md").read_text(encoding="utf-8")


def block(**values):
    return st.fixed_dictionaries({}, optional=values)


BUCKETS = st.integers(1, 32)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
SHARES = st.floats(0, 1) | st.integers(0, 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
FEATURE = st.none() | st.builds(
    lambda name, window: {"transform": name, "window": window}, st.sampled_from(TRANSFORMS), st.integers(2, 1_000_000)
)
WEIGHTS = {name: FINITE for name, value in DEFAULTS["rewards"].items() if f"rewards.{name}" not in NEWER}
OBJECTIVES = {
    "objective": st.sampled_from(["volatility_units", "simple", "log", "mean_variance", "downside"]),
    "risk_aversion": st.floats(0, 1e9),
    "turnover_penalty": SHARES,
}
ANYWHERE = {
    "episodes": st.integers(0, 2**63 - 1),
    "discount": SHARES.filter(bool),
    "quantizer": block(**dict.fromkeys(DEFAULTS["quantizer"], BUCKETS)),
    "rewards": block(**WEIGHTS),
    "emote": block(palette=st.dictionaries(st.integers(-9, 99).map(str), TEXT), linger_ticks=st.integers(0, 9)),
    "layers": block(contrarian_threshold=st.floats(0, 0.6), trend_favors_even=st.booleans()),
    "communication": block(actions=st.lists(TEXT, min_size=1)),
}
MARKETS = block(drift_bull=FINITE, vol_base=SHARES, fee_bps=st.floats(0, 9_999), shock_prob=SHARES)
ENVIRONMENTS = st.builds(
    lambda kind, rest: {"kind": kind, **rest},
    st.sampled_from(["crypto", "history"]),
    block(allow_short=st.booleans(), market=MARKETS, data=block(time=st.none() | TEXT)),
)
MARKET_CONFIGS = st.builds(
    lambda environment, rest: {"environment": environment, **rest},
    ENVIRONMENTS,
    block(
        **ANYWHERE | {"rewards": block(**WEIGHTS, **OBJECTIVES)},
        features=block(**dict.fromkeys(DEFAULTS["features"], FEATURE)),
    ),
)
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
    (b'{\n  "episodes": 3\n  "seed": 1}', "line 3, column 3: "),
    (b"", "line 1, column 1: "),
    (b"[1]", r"the top level is \[1\]; expected an object$"),
    (b'{"episodes": 1, "episodes": 2}', "the key 'episodes' occurs 2 times in one object; expected it once$"),
    (b'{"emote": {"palette": {"0": "a", "0": "b"}}}', "the key '0' occurs 2 times"),
    (b'{"rewards": {"pnl": NaN}}', "rewards.pnl is nan; expected a finite number$"),
    (b'{"rewards": {"pnl": -Infinity}}', "rewards.pnl is -inf; expected a finite number$"),
    (b'{"rewards": {"pnl": 1e999}}', "rewards.pnl is inf; expected a finite number$"),
    (b'{"episodes": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
    (b'{"emote": "\xff"}', r"is not UTF-8 text \(at byte 11\)$"),
    (b'{"a":' * 100_000, "nested too deep"),
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
        raise cli.FULL

    path = tmp_path / "agent.json"
    TrainingConfig().to_json(path)
    written = path.read_text(encoding="utf-8")
    assert written == json.dumps(DEFAULTS, indent=2, ensure_ascii=False) + "\n"
    with pytest.raises(OutputError, match=r"cannot write .*below.json: Not a directory; nothing there was changed$"):
        TrainingConfig().to_json(path / "below.json")
    monkeypatch.setattr(exchange, "exchange", full)
    with pytest.raises(WriteError, match=r"cannot write .*agent.json: No space left on device; everything"):
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
    (['tile_coder={"tilings": 5}'], "tile_coder.tilings is not a known key. Did you mean 'tiling'?"),
    (['emote={"linger.ticks": 5}'], "emote.linger.ticks is not a known key. Did you mean 'linger_ticks'?"),
    (["discount.x=5"], "discount.x is not a known key; set discount as a whole"),
    (["emote.palette.0=x"], "emote.palette.0 is not a known key; set emote.palette as a whole"),
    (["quantizer.price_buckets=0"], "quantizer.price_buckets is 0; expected an integer >= 1"),
    (["quantizer.price_buckets=many"], "quantizer.price_buckets is 'many'; expected an integer >= 1"),
    (["quantizer=null"], "quantizer is null; expected an object (QuantizerConfig)"),
    (["tile_coder.num_tilings=4", "tile_coder=5"], "tile_coder is 5; expected an object (TileCoderConfig)"),
    (["tile_coder.num_tilings=4", "tile_coder=0"], "tile_coder is 0; expected an object (TileCoderConfig)"),
    (["rewards.pnl=NaN"], "rewards.pnl is nan; expected a finite number"),
    (['emote.palette={"0": "a", "0": "b"}'], "the key '0' occurs 2 times in one object"),
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
    assert run("-m", "idi_fast.config.block") == written
    jsonschema.Draft202012Validator.check_schema(json_schema())


def properties(definition):
    return (json_schema()["$defs"][definition] if definition else json_schema())["properties"]


def schema_defaults(definition):
    found = {}
    for name, node in properties(definition).items():
        # An object, or one of two things of which the object is the default.
        block = node if "$ref" in node else node["anyOf"][0] if node["default"] == {} else {}
        found[name] = schema_defaults(block["$ref"].split("/")[-1]) if "$ref" in block else node["default"]
    return found


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
    loaded = run("-c", "import sys, idi_fast.config.settings; print(*sys.modules)").split()
    assert "idi_fast.config.settings" in loaded
    assert not {"numpy", "numba", "polars", "pyarrow", "typer"} & set(loaded)
