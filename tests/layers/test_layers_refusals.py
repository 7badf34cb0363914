"""`idi-fast layers`: plans and options that are refused, before anything is trained."""

import json
from unittest import mock

import cli_helpers as cli
import pytest
from layer_plans import CONFIGS, layer, write_plan

import idi_fast.layers.train
from idi_fast.errors import ConfigError, DataError, InputError, OutputError
from idi_fast.layers.train import check_plan, run_plan


@pytest.mark.parametrize(
    ("plan", "parts"),
    [
        ({}, ["found JSON of type dict; expected a list of layers"]),
        ([], ["found an empty list; expected a list of layers, at least one"]),
        ([layer("momentum"), 5], ["layer 2: the top level is 5; expected an object"]),
        ([layer("momentum", confg="x")], ["layer 1 ('momentum'): confg is not a known key. Did you mean 'config'?"]),
        ([layer("momentum", instal_inputs="x")], ["Did you mean 'install_inputs'?"]),
        ([layer("momentum", config=...)], ["layer 1 ('momentum'): config is missing; expected non-empty text"]),
        ([layer("momentum", name=...)], ["layer 1: name is missing"]),
        ([layer("momentum", name=7)], ["layer 1: name is 7; expected non-empty text"]),
        ([layer("momentum", out="")], ["out is ''; expected non-empty text"]),
        ([layer("momentum", out="a\0b")], ["out is 'a\\x00b'", "without null characters"]),
        ([layer("momentum", seed="1")], ["seed is '1'; expected an integer"]),
        ([layer("momentum", metadata="a=b")], ["metadata is 'a=b'; expected a list"]),
        ([layer("momentum", metadata=["owner"])], ["metadata[0] is 'owner'; expected key=value"]),
        ([layer("momentum", metadata=["a=1", "=x"])], ["metadata[1] is '=x'; expected key=value"]),
        ([layer("momentum", metadata=["a=1", "a =2"])], ["metadata[1] gives 'a' once more; expected each key once"]),
        ([layer("momentum", contract="layerd")], ["contract is 'layerd'; expected one of v38", "mean 'layered'?"]),
        ([layer("momentum"), layer("momentum", out="b")], ["layer 2 ('momentum'): an earlier layer has that name"]),
        (
            [layer("momentum"), layer("crypto", out="configs/../artifacts/momentum")],
            ["the layers 'momentum' and 'crypto' have the same out"],
        ),
        (
            [layer("momentum", contract="v38"), layer("crypto", install_inputs="./specs/momentum/inputs/")],
            ["the layers 'momentum' and 'crypto' both install q_buy into", "folders of their own"],
        ),
        (
            [layer("momentum"), layer("crypto", out="artifacts/momentum/crypto")],
            ["the layer 'crypto' writes to", "in the out of 'momentum'"],
        ),
        (
            [layer("momentum", install_inputs="artifacts/momentum/inputs")],
            ["the layer 'momentum' writes to", "in the out of 'momentum'"],
        ),
        (
            [layer("momentum", install_inputs="x"), layer("crypto", out="x/q_buy.in")],
            ["writes to", "x/q_buy.in, in the out of 'crypto'"],
        ),
        (
            [layer("momentum", install_inputs="x"), layer("crypto", out="x/streams.json")],
            ["writes to", "x/streams.json, in the out of 'crypto'"],
        ),
        (
            [layer("momentum", install_inputs="x", out="x/q_sell.in")],
            ["the layer 'momentum' writes to", "x/q_sell.in, in the out of 'momentum'"],
        ),
    ],
)
def test_plans_that_are_refused(plan, parts, tmp_path):
    path = write_plan(tmp_path, plan)
    for options in ([], ["--dry-run"]):
        cli.assert_mentions(cli.refused(tmp_path, "layers", path, *options), path, *parts)


@pytest.mark.parametrize(
    ("changes", "error", "parts"),
    [
        ({"config": "configs/crypt.json"}, ConfigError, ["crypt.json: no such config. Did you mean 'crypto.json'?"]),
        ({"config": "no/such.json"}, ConfigError, ["such.json: no such config."]),
        ({"config": "configs"}, ConfigError, ["configs: cannot be read: Is a directory"]),
        ({"config": "bad_plan.json"}, ConfigError, ["bad_plan.json: line 1"]),
        ({"config": "unknown.json"}, ConfigError, ["unknown.json: episode is not a known key", "'episodes'"]),
        ({"seed": -1}, InputError, ["the seed is -1; expected 0 or more"]),
        (
            {"config": "compat.json", "contract": "v38"},
            ConfigError,
            ["'v38' reads price, volume, trend", "or 'layered'"],
        ),
        ({"config": "history.json"}, DataError, ["bars.csv: no such file or folder"]),
        ({"config": "short.json"}, DataError, ["the history has 3 bars", "smaller episode_length"]),
        ({"out": "bad_plan.json"}, OutputError, ["bad_plan.json exists and is not a folder"]),
        ({"out": "bad_plan.json/x"}, OutputError, ["bad_plan.json is not a folder"]),
        ({"out": "taken"}, OutputError, ["taken already exists"]),
        ({"out": "n" * 300}, OutputError, ["File name too long"]),
        ({"install_inputs": "bad_plan.json"}, OutputError, ["bad_plan.json is not a folder"]),
        ({"install_inputs": "bad_plan.json/inputs"}, OutputError, ["bad_plan.json is not a folder"]),
        ({"install_inputs": "taken"}, OutputError, ["q_buy.in is a folder where the file of a stream must go"]),
    ],
)
def test_layers_that_are_refused(changes, error, parts, tmp_path):
    about = {"kind": "history", "data": {"path": "bars.csv"}}
    configs = {
        "unknown": {"episode": 3},
        "compat": {"engine": CONFIGS["reference"]["engine"], "environment": {"kind": "crypto"}},
        "history": {"environment": about},
        "short": {"environment": {**about, "data": {"path": str(tmp_path / "short.csv")}}},
    }
    for name, config in configs.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
    (tmp_path / "short.csv").write_text("close\n1\n2\n3\n")
    (tmp_path / "bad_plan.json").write_text("{")
    (tmp_path / "taken" / "q_buy.in").mkdir(parents=True)
    path = write_plan(tmp_path, [layer("momentum"), layer("crypto", **changes)])
    before = cli.snapshot(tmp_path)
    with mock.patch.object(idi_fast.layers.train, "create_trainer", side_effect=AssertionError):
        for run in (check_plan, run_plan):
            with pytest.raises(error) as caught:
                run(path)
            cli.assert_mentions(str(caught.value), "layer 'crypto': ", *parts)
    assert cli.snapshot(tmp_path) == before
    assert len(check_plan(path, only=["momentum"])) == 1


def test_streams_of_two_lengths_do_not_go_into_one_folder(tmp_path):
    layers = [
        layer("momentum", contract="layered", install_inputs="inputs"),
        layer("crypto", contract="v38", install_inputs="inputs"),
    ]
    message = cli.refused(tmp_path, "layers", write_plan(tmp_path, layers))
    cli.assert_mentions(message, "'momentum' and 'crypto' install streams of 16 and 20 ticks into", "episode_length")


@pytest.mark.parametrize(
    ("config", "options"), [("artifacts/momentum/config.json", []), ("configs/momentum.json", ["--force"])]
)
def test_what_is_read_is_not_replaced(config, options, tmp_path):
    plan = write_plan(tmp_path, [layer("momentum", out="configs" if options else "artifacts/momentum", config=config)])
    target = tmp_path / config
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("{}")
    message = cli.refused(tmp_path, "layers", plan, *options)
    cli.assert_mentions(message, "layer 'momentum': its out would replace", target, "which is read")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--only", "cryto"], ["plan.json has no layer 'cryto'. Did you mean 'crypto'?"]),
        (["--jobs", 0], ["jobs is 0; expected 1 or more"]),
    ],
)
def test_options_that_are_refused(options, parts, good_plan, tmp_path):
    cli.assert_mentions(cli.refused(tmp_path, "layers", good_plan, *options), *parts)


def test_a_plan_that_cannot_be_read(tmp_path):
    (tmp_path / "plan.json").write_text('[{"name": "a", "name": "b"}]')
    cli.assert_mentions(cli.refused(tmp_path, "layers", tmp_path / "plan.json"), "the key 'name' occurs 2 times")
    cli.assert_mentions(cli.refused(tmp_path, "layers", tmp_path / "no.json"), "no.json: cannot be read")
