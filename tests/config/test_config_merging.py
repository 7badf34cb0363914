"""Defaults, file, --set, flags and grid are merged first and checked once; a JSON Schema's defaults are a config."""

import json
import re
import warnings
from pathlib import Path

import cli_helpers as cli
import polars as pl
import pytest
from config_trees import COMPAT, DEFAULTS, FOUR, HISTORY, VALIDATOR, nest

from idi_fast.config.block import json_schema
from idi_fast.config.draft import Draft, schema_defaults
from idi_fast.config.settings import QuantizerConfig, TrainingConfig
from idi_fast.errors import ConfigError
from oracle import reference

TILED = {"episodic.enabled": True, "episodic.k": 2, "tile_coder.num_tilings": 4}


def print_config(folder: Path, tree: object, *options: object) -> dict:
    (folder / "agent.json").write_text(json.dumps(tree))
    return json.loads(cli.succeed("train", "--config", folder / "agent.json", "--print-config", *options).stdout)


# fmt: off
@pytest.mark.parametrize(("file", "options", "whole"), [
    (TILED, ["--compat", "idi-iann"], {**TILED, **COMPAT}),
    ({**TILED, **FOUR}, ["--compat", "idi-iann", "--env", "crypto"],
     {**TILED, **FOUR, **COMPAT, "environment.kind": "crypto"}),
    ({**TILED, **FOUR}, ["--set", "environment.kind=crypto", "--set", "engine.compat=idi_iann"],
     {**TILED, **FOUR, **COMPAT, "environment.kind": "crypto"}),
    (FOUR, ["--use-crypto-env", "--compat", "idi-iann"], {**FOUR, **COMPAT, "environment.kind": "crypto"}),
    ({"layers.contrarian_threshold": 0.7}, ["--set", "layers.momentum_threshold=0.8"],
     {"layers.contrarian_threshold": 0.7, "layers.momentum_threshold": 0.8}),
    ({"features.price": {"column": "flow", "transform": "level"}}, ["--data", "bars.csv"],
     {**HISTORY, "environment.data.path": "bars.csv", "features.price": {"column": "flow", "transform": "level"}}),
    ({"features.price": {"window": 9}}, ["--env", "crypto", "--set", "features.price.transform=level"],
     {"environment.kind": "crypto", "features.price": {"window": 9, "transform": "level"}}),
    ({"environment.observe_regime": True}, ["--env", "crypto"],
     {"environment.kind": "crypto", "environment.observe_regime": True}),
    ({"quantizer.price_buckets": 0, "episodes": "many"}, ["--set", "quantizer.price_buckets=3", "--episodes", 5],
     {"quantizer.price_buckets": 3, "episodes": 5}),
    ({"quantizer.scarcity_buckets": 40}, ["--env", "crypto"],
     {"environment.kind": "crypto", "quantizer.scarcity_buckets": 40}),
    ({"engine.rng": "sfc64", "engine.compat": None}, ["--compat", "idi-iann"], COMPAT),
    ({"engine.rng": "sfc64"}, ["--set", "engine.compat=idi_iann"], COMPAT),
])
def test_a_file_is_checked_with_what_completes_it(file, options, whole, tmp_path):
    expected = TrainingConfig.from_dict(nest(whole)).to_dict()
    assert print_config(tmp_path, nest(file), *options) == expected


@pytest.mark.parametrize(("file", "options", "parts"), [
    ({"episodes": -1}, [], ["agent.json: episodes is -1; expected an integer >= 0\n"]),
    ({}, ["--set", "episodes=-1"], ["error: --set: episodes is -1"]),
    ({}, ["--episodes", -1], ["error: --episodes: episodes is -1"]),
    ({"episodes": -1}, ["--set", "discount=2"], ["agent.json: episodes is -1"]),
    ({"emote": {"palette": {"x": "y"}}}, ["--episodes", 5], ["agent.json: emote.palette has the key 'x'"]),
    ({"communication": {"actions": ["a", 5]}}, [], ["agent.json: communication.actions[1] is 5"]),
    ({"quantiser": {}}, [], ["agent.json: quantiser is not a known key"]),
    ({}, ["--set", "quantiser.x=1"], ["error: --set: quantiser is not a known key"]),
    ({}, ["--stress", "calm"], ["error: --stress: environment.market.stress_scenario is 'calm'"]),
    (nest({"layers.contrarian_threshold": 0.8}), [], ["agent.json: layers.contrarian_threshold is 0.8; expected"]),
    (nest({"layers.contrarian_threshold": 0.8}), ["--set", "layers.momentum_threshold=0.7"],
     ["agent.json: layers.contrarian_threshold is 0.8", "(layers.momentum_threshold is from --set)"]),
    ({}, ["--set", "layers.momentum_threshold=0.1"], ["error: layers.contrarian_threshold is 0.3", "is from --set)"]),
    (nest({"learning.algorithm": "q_lambda"}), ["--compat", "idi-iann"],
     ["agent.json: learning.algorithm is 'q_lambda'", "(engine.compat is from --compat)"]),
    (nest({"engine.compat": "idi_iann"}), ["--data", "bars.csv"],
     ["error: --data: environment.kind is 'history'", "(engine.compat is from ", "agent.json)"]),
    (nest(TILED), [], ["agent.json: episodic.enabled is true", "expected no tile_coder\n"]),
    ({}, ["--set", "tile_coder={}", "--set", "episodic.enabled=true"], ["error: --set: episodic.enabled is true"]),
])
def test_an_error_names_the_place_of_the_wrong_value(file, options, parts, tmp_path):
    (tmp_path / "agent.json").write_text(json.dumps(file))
    out = ["--out", tmp_path / "a"]
    message = cli.refused(tmp_path, "train", "--config", tmp_path / "agent.json", *out, *options)
    cli.assert_mentions(message, *parts)
# fmt: on


def test_the_library_merges_first_too(tmp_path):
    tree, rest = nest(TILED), {"engine.compat": "idi_iann", "episodic.k": 3}
    (tmp_path / "agent.json").write_text(json.dumps(tree))
    expected = TrainingConfig.from_dict(nest({**TILED, **COMPAT, "episodic.k": 3}))
    assert TrainingConfig.from_dict(tree, rest) == TrainingConfig.from_json(tmp_path / "agent.json", rest) == expected
    assert tree == nest(TILED)
    with pytest.raises(ConfigError, match=r"agent\.json: episodic\.enabled is true"):
        TrainingConfig.from_json(tmp_path / "agent.json")


def test_drafts_do_not_share_their_values():
    tree = {"layers": {"momentum_threshold": 0.5}}
    draft = Draft(TrainingConfig, tree)
    other = draft.copy().override({"layers.contrarian_threshold": 0.45, "layers.momentum_threshold": 0.9})
    assert other.build().layers.contrarian_threshold == 0.45
    assert draft.build() == TrainingConfig.from_dict(tree)
    assert tree == {"layers": {"momentum_threshold": 0.5}}
    blocks = TrainingConfig.from_dict({"quantizer": QuantizerConfig(trend_buckets=2)}, {"quantizer.price_buckets": 3})
    assert blocks.quantizer == QuantizerConfig(price_buckets=3, trend_buckets=2)


@pytest.mark.parametrize("order", [1, -1])
def test_a_grid_completes_the_config(order, world, tmp_path):
    (tmp_path / "agent.json").write_text(json.dumps(nest({"layers.contrarian_threshold": 0.7})))
    grid = ["--grid", "layers.momentum_threshold=0.7,0.8", "--set", "learning_rate=0.1"][::order]
    grid = grid if order == 1 else [grid[1], grid[0], grid[3], grid[2]]
    common = ["sweep", world / "bars.csv", "--config", tmp_path / "agent.json", *grid, "--validation-bars", 20]
    small = [*cli.QUICK[:2], "--episode-length", 4, "--test-bars", 20, "--out"]
    windows = [f'features.{name}={{"transform":"level","window":2}}' for name in ("scarcity", "trend")]
    result = cli.run(
        *common, *(part for window in windows for part in ("--set", window)), *small, tmp_path / "s", "--json"
    )
    assert (result.status, cli.one_object(result.stdout)["chosen"]["values"].keys()) == (
        0,
        {"layers.momentum_threshold"},
    )
    message = cli.refused(tmp_path, *common, "--grid", "discount=0.5,7", *small, tmp_path / "t")
    cli.assert_mentions(message, "error: the grid: discount is 7")


# --- $schema


def test_a_config_may_name_its_schema(tmp_path):
    named = {"$schema": "https://example.org/config.schema.json", "episodes": 7}
    VALIDATOR.validate(named)
    plain = TrainingConfig.from_dict({"episodes": 7})
    assert TrainingConfig.from_dict(named) == plain
    assert TrainingConfig.from_dict(named).fingerprint() == plain.fingerprint()
    assert "$schema" not in print_config(tmp_path, named)
    assert print_config(tmp_path, named) == plain.to_dict()
    with pytest.raises(ConfigError, match=r"^\$schema is 5; expected text$"):
        TrainingConfig.from_dict({"$schema": 5})
    with pytest.raises(ConfigError, match=r"^quantizer\.\$schema is not a known key"):
        TrainingConfig.from_dict({"quantizer": {"$schema": "x"}})


BUCKETS = {"type": "object", "properties": {"price_buckets": {"type": "integer", "default": 6}}}
# fmt: off
SCHEMAS = {
    "ours": (json_schema(), {}),
    "nested, of a block that is required": ({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object",
        "required": ["quantizer"], "properties": {"episodes": {"default": 9}, "quantizer": BUCKETS}},
        {"episodes": 9, "quantizer.price_buckets": 6}),
    "nested, of any block": ({"properties": {"quantizer": BUCKETS, "discount": {"exclusiveMinimum": True}}},
        {"quantizer.price_buckets": 6}),
    "a block that is null by default stays null": ({"properties": {"tile_coder": {"properties": {
        "num_tilings": {"default": 3}}}}}, {}),
    "unless it has a default": ({"properties": {"episodic": {"default": {"enabled": True}, "properties": {
        "enabled": {"default": False}, "k": {"default": 3}}}}}, {"episodic": {"enabled": True, "k": 3}}),
    "or is required": ({"required": ["episodic"], "properties": {"episodic": {"properties": {"k": {"default": 3}}}}},
        {"episodic": {"k": 3}}),
    "references": ({"$ref": "#/definitions/a~1b", "definitions": {"a/b": {"allOf": [{"$ref": "#/definitions/c"}]},
        "c": {"properties": {"quantizer": {"anyOf": [{"$ref": "#/definitions/d"}, {"type": "null"}]}}}, "d": BUCKETS}},
        {"quantizer.price_buckets": 6}),
    "own keys before those referred to": ({"$defs": {"n": {"default": 5}}, "properties": {
        "episodes": {"$ref": "#/$defs/n", "default": 8}, "episode_length": {"$ref": "#/$defs/n"}}},
        {"episodes": 8, "episode_length": 5}),
    "a default above nested ones": ({"properties": {"environment": {"default": {"market": {"fee_bps": 7}},
        "properties": {"market": {"properties": {"vol_base": {"default": 0.5}, "fee_bps": {"default": 1}}}}}}},
        {"environment.market": {"fee_bps": 7, "vol_base": 0.5}}),
    "a palette": ({"properties": {"emote": {"properties": {"palette": {"default": {"0": "x"}}}}}},
        {"emote.palette": {"0": "x"}}),
    "a schema of its own key": ({"properties": {"$schema": {"default": "x"}}}, {}),
    "properties that are true": ({"properties": {"episodes": True, "discount": {"default": 0.5}}}, {"discount": 0.5}),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_defaults_of_a_schema_are_a_config(name, tmp_path):
    schema, values = SCHEMAS[name]
    expected, path = TrainingConfig.from_dict(nest(values)), tmp_path / "agent.json"
    path.write_text(json.dumps(schema))
    told = f"{path} is a JSON Schema; the config is made of its defaults"
    with pytest.warns(UserWarning, match=f"^{re.escape(told)}$"):
        assert TrainingConfig.from_json(path) == expected
    outcome = cli.succeed("train", "--config", path, "--print-config", "--set", "learning_rate=0.125")
    assert outcome.stderr == f"note: {told}\n"
    assert json.loads(outcome.stdout) == {**expected.to_dict(), "learning_rate": 0.125}


@pytest.mark.parametrize(("schema", "message"), [
    ({"properties": {"episodes": {"default": -1}}}, "episodes is -1; expected an integer >= 0"),
    ({"properties": {"episode": {"default": 1}}}, "episode is not a known key. Did you mean 'episodes'?"),
    ({"properties": {"quantizer": {"default": None}}}, "quantizer is null; expected an object"),
    ({"properties": {"quantizer": {"$ref": "#/$defs/q"}}}, "the schema refers to '#/$defs/q', which is not in it"),
    ({"properties": {"quantizer": {"$ref": "other.json"}}}, "the schema refers to 'other.json', which is not in it"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
     "the schema's reference '#/$defs/a' leads back to itself"),
])
def test_schemas_that_are_refused(schema, message, tmp_path):
    (tmp_path / "agent.json").write_text(json.dumps(schema))
    with pytest.raises(ConfigError, match=f"^{re.escape(str(tmp_path / 'agent.json'))}: {re.escape(message)}"):
        TrainingConfig.from_json(tmp_path / "agent.json", note=lambda _: None)
# fmt: on


def test_a_schema_of_many_references_is_read_in_a_moment():
    definitions = {f"d{k}": {"allOf": [{"$ref": f"#/$defs/d{k + 1}"}] * 3} for k in range(60)}
    schema = {"$ref": "#/$defs/d0", "$defs": {**definitions, "d60": {"properties": {"episodes": {"default": 4}}}}}
    assert schema_defaults(TrainingConfig, schema) == {"episodes": 4}


def test_a_config_is_not_taken_for_a_schema(tmp_path):
    for tree in ({"$schema": "http://json-schema.org/draft-07/schema#", "episodes": 3}, {"episodes": 3}, DEFAULTS):
        (tmp_path / "agent.json").write_text(json.dumps(tree))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert TrainingConfig.from_json(tmp_path / "agent.json").episodes == tree["episodes"]
    (tmp_path / "agent.json").write_text(json.dumps({"episodes": 3, "properties": {}}))
    with pytest.raises(ConfigError, match="properties is not a known key"):
        TrainingConfig.from_json(tmp_path / "agent.json")


# --- sizes


# fmt: off
@pytest.mark.parametrize(("values", "message"), [
    ({"tile_coder.tile_sizes": [9] * 8001}, "tile_coder.tile_sizes has length 8001; expected 5, "),
    ({"tile_coder.tile_sizes": [2**62] * 5}, r"tile_coder.tile_sizes make \d+ tiles; expected a product of at most"),
    ({"tile_coder.offsets": [1] * 8001}, "tile_coder.offsets has length 8001; expected "),
    ({**COMPAT, "tile_coder.tile_sizes": [9] * 8001}, "tile_coder.tile_sizes has length 8001; expected 5, "),
])
def test_too_many_tiles(values, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        TrainingConfig.from_dict(nest(values))
# fmt: on


@pytest.mark.parametrize("env", ["synthetic", "crypto"])
def test_what_is_good_under_compat_only_equals_the_plain_python_twin(env, tmp_path):
    coder = {"num_tilings": 2, "tile_sizes": [3, 2, 4, 2, 3], "offsets": [0, 1, 2, 3, 1]}
    if env == "crypto":
        coder |= {name: coder[name][:4] for name in ("tile_sizes", "offsets")}
    episodic = {"enabled": True, "k": 3, "decay": 0.9}
    tree = {"episodes": 30, "episode_length": 20, "episodic": episodic, "tile_coder": coder}
    (tmp_path / "agent.json").write_text(json.dumps(tree))
    flags = ("--compat", "idi-iann", "--env", env, "--seed", 7, "--out", tmp_path / "agent")
    cli.succeed("train", "--config", tmp_path / "agent.json", *flags)
    run = reference.train(tree, env=env, market=None, seed=7)
    streams = {path.name: path.read_bytes() for path in (tmp_path / "agent/streams").iterdir()}
    assert streams == reference.stream_files(run)
    assert pl.read_parquet(tmp_path / "agent/episodes.parquet")["reward"].to_list() == run.episode_rewards
