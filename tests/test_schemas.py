"""The JSON Schemas that are shipped fit all that the commands write, and refuse what they do not."""

import copy
import json
from pathlib import Path

import jsonschema
import pytest
from cli_helpers import FEW_STATES, QUICK, assert_mentions, one_object, run, succeed
from cli_helpers import bars as make_bars

from idi_fast import TrainingConfig
from idi_fast.errors import InputError
from idi_fast.schemas import load_schema, schema_names

VALIDATORS = {
    name: jsonschema.Draft202012Validator(load_schema(name), format_checker=jsonschema.FormatChecker())
    for name in schema_names()
}
WITHOUT = {"streams.json", "timings.json"}
"""What is written without a schema: an index of files, and how long a run took."""


@pytest.fixture(scope="module")
def written(world) -> Path:
    """The world, and in it what every command writes."""
    few = ("--evaluation-episodes", 4)
    grid = ("--grid", "learning_rate=0.1,0.2", "--seeds", "0:2", *QUICK)
    (world / "compat.json").write_text('{"engine": {"compat": "idi_iann"}, "episodes": 4, "episode_length": 16}')
    (world / "plan.json").write_text('[{"name": "one", "config": "compat.json", "out": "layer"}]')
    bars, later, agent = world / "bars.csv", world / "later.parquet", world / "agent"
    many = world / "many.csv"
    make_bars(400).write_csv(many)
    (world / "symbols").mkdir()
    for name in ("a.csv", "b.csv"):
        (world / "symbols" / name).write_bytes(bars.read_bytes())
    for args in (
        ("train", "--env", "crypto", *QUICK, "--out", world / "crypto"),
        ("train", "--set", "tile_coder.tiling=displaced", *QUICK, "--out", world / "tiled"),
        ("train", "--config", world / "compat.json", "--out", world / "compat"),
        ("train", "--data", bars, "--init-policy", agent, *QUICK, *FEW_STATES, "--out", world / "warm"),
        ("train", "--seeds", "0:2", "--keep", "all", *QUICK, "--out", world / "population"),
        ("train", "--seeds", "0:2", "--data", bars, *QUICK, "--combine", "mean", "--out", world / "on_bars"),
        ("backtest", later, "--policy", agent, "--out", world / "backtest"),
        ("backtest", bars, "--policy", world / "warm", "--no-trace", "--out", world / "in_sample"),
        ("backtest", later, "--policy", world / "compat", "--compat", "idi_iann", "--out", world / "by_reference"),
        ("backtest", world / "symbols/*.csv", "--policy", agent, "--symbol-files", "--out", world / "book"),
        ("train", "--seeds", "0:3", "--keep", "all", "--data", bars, *QUICK, *FEW_STATES, "--out", world / "seeds"),
        ("backtest", later, "--policy", world / "seeds", "--all", "--out", world / "of_all"),
        ("walkforward", many, "--train-bars", 200, "--test-bars", 60, *QUICK, "--out", world / "walk"),
        ("sweep", many, *grid, "--out", world / "sweep"),
        ("sweep", "--env", "crypto", *few, *grid, "--out", world / "simulated"),
        ("spec", agent, "--kind", "v38", "--out", world / "spec"),
        ("export", agent, "--trace-json", world / "agent_trace.json"),
        ("export", world / "backtest", "--trace-json", world / "backtest_trace.json"),
        ("commit", agent, "--out", world / "plain"),
        ("commit", agent, "--private", world / "private", "--out", world / "salted"),
        ("manifest", world / "warm", "--idi-manifest"),
        ("prove", world / "crypto", "--prover", "digest"),
        ("layers", world / "plan.json"),
        ("run", many, "--out", world / "whole"),
        ("workflow", world / "compat.json", "--kind", "layered", "--out", world / "workflow"),
    ):
        succeed(*args)
    return world


def schema_of(path: Path) -> str | None:
    """The name of the schema of a file, by its name."""
    if path.name.endswith("_trace.json"):
        return "trace"
    return path.stem if path.stem in VALIDATORS else None


def test_all_that_is_written_fits_its_schema(written):
    kinds = set()
    files = [path for path in sorted(written.rglob("*.json")) if path.parent != written or "_trace" in path.name]
    for path in files:
        name = schema_of(path)
        if name is None:
            assert path.name in WITHOUT or path.parent.name == "proof" or path.name == "artifact_manifest.json", path
            continue
        value = json.loads(path.read_text(encoding="utf-8"))
        error = jsonschema.exceptions.best_match(VALIDATORS[name].iter_errors(value))
        assert error is None, (path, list(error.absolute_path), error.message[:500])
        kinds.add((name, value.get("kind") if name == "run" else None))
    assert {name for name, _ in kinds} == set(VALIDATORS)
    assert {kind for name, kind in kinds if name == "run"} == set(load_schema("run")["properties"]["kind"]["enum"])


def test_the_config_in_a_run_is_one(written):
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in written.rglob("run.json")]
    configs = [run["config"] for run in runs if "config" in run]
    assert configs
    for config in [*configs, TrainingConfig().to_dict()]:
        VALIDATORS["config"].validate(config)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("run", "agent/run.json"),
        ("run", "backtest/run.json"),
        ("run", "population/run.json"),
        ("run", "walk/run.json"),
        ("run", "sweep/run.json"),
        ("run", "book/run.json"),
        ("run", "by_reference/run.json"),
        ("kpis", "backtest/kpis.json"),
        ("kpis", "book/kpis.json"),
        ("kpis", "by_reference/kpis.json"),
        ("trace", "agent_trace.json"),
        ("spec", "spec/spec.json"),
        ("walkforward", "walk/walkforward.json"),
        ("sweep", "sweep/sweep.json"),
        ("sweep", "simulated/sweep.json"),
        ("commitment", "plain/commitment.json"),
        ("manifest", "agent/manifest.json"),
    ],
)
def test_a_key_more_and_a_key_less_are_refused(written, name, file):
    value = json.loads((written / file).read_text(encoding="utf-8"))
    VALIDATORS[name].validate(value)
    assert not VALIDATORS[name].is_valid({**value, "surprise": 1})
    optional = {"manifest": {"training", "metadata", "later"}}.get(name, set())
    for key in set(value) - optional:
        assert not VALIDATORS[name].is_valid({other: value[other] for other in value if other != key}), key


@pytest.mark.parametrize(
    ("name", "file", "path", "value"),
    [
        ("run", "agent/run.json", ["fingerprint"], "0" * 63),
        ("run", "agent/run.json", ["seed"], 0.5),
        ("run", "agent/run.json", ["kind"], "backtest"),
        ("run", "agent/run.json", ["evaluation", "mean"], "1"),
        ("run", "agent/run.json", ["versions", "numba"], None),
        ("run", "backtest/run.json", ["assumptions", "fill"], "next"),
        ("kpis", "backtest/kpis.json", ["kpis", "total_return"], "0"),
        ("kpis", "backtest/kpis.json", ["undefined", "x"], 1),
        ("trace", "agent_trace.json", ["ticks", 3, "q_buy"], 2),
        ("trace", "agent_trace.json", ["ticks", 3, "q_regime"], 32),
        ("trace", "agent_trace.json", ["metadata", "timestamp"], 1.5),
        ("spec", "spec/spec.json", ["inputs", 0, "type"], "bv"),
        ("commitment", "plain/commitment.json", ["size"], 0),
    ],
)
def test_wrong_values_are_refused(written, name, file, path, value):
    tree = copy.deepcopy(json.loads((written / file).read_text(encoding="utf-8")))
    inner = tree
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    assert not VALIDATORS[name].is_valid(tree)


@pytest.mark.parametrize("name", schema_names())
def test_schemas_are_printed(name):
    jsonschema.Draft202012Validator.check_schema(load_schema(name))
    assert json.loads(succeed("schema", name).stdout) == load_schema(name)


def test_schemas_are_listed():
    listed = one_object(succeed("schema", "--json").stdout)["schemas"]
    assert set(listed) == set(schema_names()) >= {"config", "manifest", "trace", "run", "kpis"}
    assert_mentions(succeed("schema").stdout, *listed)
    outcome = run("schema", "kpi")
    assert (outcome.status, outcome.stdout) == (2, "")
    assert_mentions(outcome.stderr, "no schema 'kpi'", "Did you mean 'kpis'?")
    with pytest.raises(InputError, match="no schema"):
        load_schema("../config")
