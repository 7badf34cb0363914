"""`idi-fast compare`: policies, JSON and whole runs."""

import json
import math
from pathlib import Path

import cli_helpers as cli
import numpy as np
import pytest
from compare_files import only_file, table

from idi_fast.compare import compare
from idi_fast.errors import ArtifactError

# --- policies


STATES = {"price": [0, 0, 1], "mood": [0, 1, 0]}
VALUES = {"q_hold": [0.5, 0.0, 1.0], "q_buy": [0.0, 1.5, 0.0], "q_sell": [0.0] * 3, "comm_silent": [0.0] * 3}
ABOUT = {"format": "idi-fast-policy-1", "config": {"episodes": 4}, "encoder": {"edges": [0.25, 0.5]}}


def policy(path: Path, rows: list[int] | None = None, about: dict = ABOUT, **changes) -> Path:
    columns = {**STATES, **VALUES, "visits": [3, 1, 2], **changes}
    rows = list(range(3)) if rows is None else rows
    return table(path, about, **{name: [values[row] for row in rows] for name, values in columns.items()})


def test_policies_are_compared_by_state(tmp_path):
    a = policy(tmp_path / "a.parquet")
    assert only_file(a, policy(tmp_path / "turned.parquet", rows=[2, 0, 1]))["equal"]
    b = policy(tmp_path / "b.parquet", rows=[2, 1], q_buy=[0.0, 1.0, 0.25], visits=[3, 1, 9])
    found = only_file(a, b)
    assert (found["kind"], found["equal"], found["rows"], found["keys"]) == ("policy", False, [3, 2], [])
    assert found["columns"] == [
        {
            "name": "q_buy",
            "differing": 2,
            "largest": 0.5,
            "first": {"state": {"price": 0, "mood": 1}, "a": 1.5, "b": 1.0},
        },
        {"name": "visits", "differing": 1, "largest": 7.0, "first": {"state": {"price": 1, "mood": 0}, "a": 2, "b": 9}},
    ]
    assert found["states_only_in_a"] == {"count": 1, "first": {"price": 0, "mood": 0}}
    assert found["states_only_in_b"] == {"count": 0, "first": None}
    assert only_file(b, a)["states_only_in_b"] == found["states_only_in_a"]


def test_what_a_policys_states_mean_decides(tmp_path):
    about = {**ABOUT, "encoder": {"edges": [0.25, 0.75]}}
    found = only_file(policy(tmp_path / "a.parquet"), policy(tmp_path / "b.parquet", about=about))
    assert (found["equal"], found["columns"]) == (False, [])
    assert found["keys"] == [{"key": "encoder.edges.1", "a": 0.5, "b": 0.75}]


def test_policies_over_other_features_have_no_state_in_common(tmp_path):
    b = table(tmp_path / "b.parquet", ABOUT, row=[4, 5], **{name: values[:2] for name, values in VALUES.items()})
    found = only_file(policy(tmp_path / "a.parquet"), b)
    assert (found["equal"], found["rows"], found["columns"]) == (False, [3, 2], [])
    assert found["states_only_in_a"] == {"count": 3, "first": {"price": 0, "mood": 0}}
    assert found["states_only_in_b"] == {"count": 2, "first": {"row": 4}}


def test_a_state_twice_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="the states of the policies cannot be matched"):
        compare(policy(tmp_path / "a.parquet"), policy(tmp_path / "b.parquet", rows=[0, 1, 1]))


# --- JSON and folders of runs


@pytest.mark.parametrize(
    ("a", "b", "keys"),
    [
        ({"x": 1, "y": [1, {"z": None}]}, {"y": [1.0, {"z": None}], "x": 1}, []),
        ({"x": 1}, {"x": True}, [{"key": "x", "a": 1, "b": True}]),
        ({"x": None}, {}, [{"key": "x", "a": None}]),
        ({}, {"x": [1]}, [{"key": "x", "b": [1]}]),
        ({"x": {"y": [1, 2]}}, {"x": {"y": [1, 3, 4]}}, [{"key": "x.y.1", "a": 2, "b": 3}, {"key": "x.y.2", "b": 4}]),
        ({"x": {}}, {"x": []}, [{"key": "x", "a": {}, "b": []}]),
        ([1], 2, [{"key": "", "a": [1], "b": 2}]),
        ({"x": math.nan}, {"x": math.nan, "y": math.inf}, [{"key": "y", "b": "inf"}]),
    ],
)
def test_json_is_compared_by_key(a, b, keys, tmp_path):
    for name, value in (("a", a), ("b", b)):
        (tmp_path / f"{name}.json").write_text(json.dumps(value, indent=1 if name == "a" else 3))
    found = only_file(tmp_path / "a.json", tmp_path / "b.json")
    assert (found["equal"], found.get("keys", [])) == (not keys, keys)


def test_equal_runs_are_equal_whatever_the_versions_and_the_time_they_took(world, tmp_path):
    run = cli.copy_of(world / "agent", tmp_path / "run")
    about = json.loads((run / "run.json").read_text())
    about["versions"]["numpy"] = "0.1"
    (run / "run.json").write_text(json.dumps(about))
    (run / "timings.json").write_text("{}")
    report = compare(world / "agent", run)
    assert report["equal"]
    (found,) = [file for file in report["files"] if file["notes"]]
    assert found["name"] == "run.json"
    assert found["notes"] == [f"versions.numpy is {np.__version__} in A, 0.1 in B"]


def test_two_runs_that_differ_in_their_seed(tmp_path):
    for seed in (1, 2):
        cli.succeed("train", *cli.QUICK, "--env", "crypto", "--seed", seed, "--out", tmp_path / str(seed))
    report = compare(tmp_path / "1", tmp_path / "2")
    kinds = {file["name"]: file["kind"] for file in report["files"]}
    assert (kinds["policy.parquet"], kinds["trace.parquet"], kinds["run.json"]) == ("policy", "table", "json")
    by_name = {file["name"]: file for file in report["files"]}
    assert {"key": "seed", "a": 1, "b": 2} in by_name["run.json"]["keys"]
    assert any(found["key"].startswith("encoder.") for found in by_name["policy.parquet"]["keys"])
    # The trace says the same of a stream as its file.
    columns = {column["name"]: column for column in by_name["trace.parquet"]["columns"]}
    for name in cli.STREAMS:
        stream = by_name[f"streams/{name}.in"]
        assert stream["equal"] == (name not in columns)
        if not stream["equal"]:
            assert stream["first"]["at"] == columns[name]["first"]["at"]
            assert stream["differing"] == columns[name]["differing"]


def test_backtests_and_populations_are_folders_like_any(world, tmp_path):
    for name in ("a", "b"):
        fee = ("--fee-bps", {"a": 1, "b": 2}[name])
        cli.succeed("backtest", world / "later.parquet", "--policy", world / "agent", *fee, "--out", tmp_path / name)
        cli.succeed("train", *cli.QUICK, "--seeds", "0:2", "--keep", "all", "--out", tmp_path / f"{name}_pop")
    report = compare(tmp_path / "a", tmp_path / "b")
    different = {file["name"] for file in report["files"] if not file["equal"]}
    assert {"equity.parquet", "kpis.json", "run.json"} <= different
    assert not any(name.startswith("streams/") for name in different)
    report = compare(tmp_path / "a_pop", tmp_path / "b_pop")
    assert report["equal"]
    assert {"best/policy.parquet", "seeds/1/streams/q_buy.in"} <= {file["name"] for file in report["files"]}
