"""`idi-fast layers`: what a plan may say, and that all of it appears, or nothing."""

import json
import os
import re
from pathlib import Path
from unittest import mock

import cli_helpers as cli
import pytest
from layer_plans import CONFIGS, FAILURE, GOOD, layer, outputs, write_plan

import idi_fast.layers.train
from idi_fast.agents.streams import CONTRACTS
from idi_fast.errors import IdiFastError, OutputError
from idi_fast.layers.train import run_plan
from idi_fast.storage import exchange, hidden
from idi_fast.storage.staging import Staging

# --- all of it


def test_a_layer_is_what_train_and_export_make_of_it(good_plan, tmp_path):
    cli.succeed("layers", good_plan)
    for name in GOOD:
        cli.succeed("train", "--config", tmp_path / f"configs/{name}.json", "--out", tmp_path / "alone" / name)
        made, alone = cli.snapshot(tmp_path / "artifacts" / name), cli.snapshot(tmp_path / "alone" / name)
        manifest, plain = (json.loads(files.pop("manifest.json")) for files in (made, alone))
        assert manifest.pop("metadata") == {"layer": name, "note": "a=b"}
        assert manifest == plain
        assert made.pop("timings.json") != alone.pop("timings.json")
        assert made == alone
        cli.succeed("export", tmp_path / "alone" / name, "--to", tmp_path / "exported" / name)
        assert cli.snapshot(tmp_path / "specs" / name / "inputs") == cli.snapshot(tmp_path / "exported" / name)
    assert {name.split("/")[0] for name in cli.snapshot(tmp_path)} == {
        "plan.json",
        "configs",
        "artifacts",
        "specs",
        "alone",
        "exported",
    }


def test_without_metadata_seed_or_streams_it_is_what_train_makes(tmp_path):
    run_plan(write_plan(tmp_path, [layer("momentum", metadata=..., install_inputs=..., seed=7)]))
    cli.succeed("train", "--config", tmp_path / "configs/momentum.json", "--seed", 7, "--out", tmp_path / "alone")
    assert cli.same_run(tmp_path / "artifacts" / "momentum", tmp_path / "alone")
    assert not (tmp_path / "specs").exists()


def test_how_many_are_trained_at_a_time_changes_no_byte(bad_plan, tmp_path):
    results = []
    for jobs in (1, 3):
        report = run_plan(bad_plan, jobs=jobs, keep_going=True, force=True)
        results.append((report, outputs(tmp_path)))
    assert results[0] != results[1]  # the second run replaced what the first had left
    for report, _ in results:
        for about in report["layers"]:
            about["replaces"], about["installs"]["replaces"] = False, []
    assert results[0] == results[1]


def test_paths_are_relative_to_the_plan(good_plan, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run_plan("../plan.json", only=["crypto"])
    assert os.listdir(tmp_path / "artifacts") == ["crypto"]
    assert os.listdir(tmp_path / "elsewhere") == []


def test_absolute_paths_and_a_history(world, tmp_path):
    config = {"episodes": 9, "episode_length": 16, "environment": {"kind": "history", "data": {"path": "bars.csv"}}}
    config["environment"]["data"]["path"] = str(world / "bars.csv")
    layers = [
        layer("momentum", config=str(tmp_path / "history.json"), out=str(tmp_path / "deep" / "er" / "x")),
        layer("crypto", config=str(tmp_path / "history.json"), seed=1),
    ]
    (tmp_path / "history.json").write_text(json.dumps(config))
    with mock.patch.object(
        idi_fast.layers.train, "load_config_bars", wraps=idi_fast.layers.train.load_config_bars
    ) as loaded:
        report = run_plan(write_plan(tmp_path, layers), jobs=2)
    assert loaded.call_count == 1  # layers with the same data share it
    assert [about["evaluation"]["in_sample"] for about in report["layers"]] == [True, True]
    cli.succeed("train", "--config", tmp_path / "history.json", "--seed", 1, "--out", tmp_path / "alone")
    made, alone = cli.snapshot(tmp_path / "artifacts" / "crypto"), cli.snapshot(tmp_path / "alone")
    assert made["policy.parquet"] == alone["policy.parquet"]
    assert (tmp_path / "deep" / "er" / "x" / "run.json").exists()


def test_a_contract_is_installed_as_export_does(tmp_path):
    layers = [layer("momentum", contract="layered"), layer("crypto", contract="v38")]
    report = run_plan(write_plan(tmp_path, layers))
    for about, contract in zip(report["layers"], ("layered", "v38"), strict=True):
        assert tuple(about["installs"]["streams"]) == CONTRACTS[contract]
        exported = tmp_path / "exported" / about["name"]
        cli.succeed("export", about["out"], "--to", exported, "--kind", contract)
        assert cli.snapshot(Path(about["installs"]["folder"])) == cli.snapshot(exported)


def test_two_layers_may_share_a_folder_if_their_streams_differ(tmp_path):
    layers = [
        layer("momentum", contract="layered", install_inputs="inputs"),
        layer("reference", contract="v38", install_inputs="./inputs", config="configs/momentum.json", seed=3),
    ]
    report = run_plan(write_plan(tmp_path, layers))
    installed = cli.snapshot(tmp_path / "inputs")
    index = json.loads(installed.pop("streams.json"))["streams"]
    assert set(index.values()) == set(installed)
    assert set(index) == {*CONTRACTS["layered"], *CONTRACTS["v38"]}
    for about, names in zip(report["layers"], (CONTRACTS["layered"], CONTRACTS["v38"]), strict=True):
        cli.succeed("export", about["out"], "--to", tmp_path / about["name"], "--kind", about["installs"]["contract"])
        exported = cli.snapshot(tmp_path / about["name"])
        assert all(installed[f"{name}.in"] == exported[f"{name}.in"] for name in names)


def test_streams_of_another_run_are_named_and_other_files_are_left_alone(tmp_path):
    plan = write_plan(tmp_path, [layer("momentum", contract="layered")])
    inputs = tmp_path / "specs" / "momentum" / "inputs"
    inputs.mkdir(parents=True)
    for name in ("q_buy.in", "notes.txt", "price_up.in"):
        (inputs / name).write_text("mine")
    outcome = cli.succeed("layers", plan)
    assert re.fullmatch(r"note: left in \S+inputs from an earlier run, .*: q_buy\n", outcome.stderr)
    assert {(inputs / name).read_text() for name in ("q_buy.in", "notes.txt")} == {"mine"}
    assert (inputs / "price_up.in").read_text() != "mine"
    assert run_plan(plan, force=True)["left_behind"] == {str(inputs): ["q_buy"]}


# --- a layer that fails


@pytest.mark.parametrize("jobs", [1, 3])
def test_if_one_layer_fails_nothing_appears(bad_plan, tmp_path, jobs):
    before = cli.snapshot(tmp_path)
    status, stdout, stderr = cli.run("layers", bad_plan, "--jobs", jobs)
    assert (status, stdout, stderr.count("\n")) == (1, "", 1)
    assert stderr.startswith(f"error: {FAILURE}")
    assert cli.snapshot(tmp_path) == before


def test_if_one_layer_fails_what_stood_there_stays(bad_plan, tmp_path):
    run_plan(bad_plan, only=GOOD)
    before = cli.snapshot(tmp_path)
    assert cli.run("layers", bad_plan, "--force").status == 1
    assert cli.snapshot(tmp_path) == before


@pytest.mark.parametrize("jobs", [1, 3])
def test_with_keep_going_the_others_appear(bad_plan, tmp_path, jobs):
    status, stdout, stderr = cli.run("layers", bad_plan, "--keep-going", "--jobs", jobs)
    assert (status, stderr.count("\n")) == (1, 1)
    assert stderr.startswith(f"error: {FAILURE}")
    rows = [line.split() for line in stdout.splitlines()[1:]]
    assert [row[0] for row in rows if row[-1] == "failed"] == ["endless"]
    assert [Path(row[-1]).resolve() for row in rows if row[-1] != "failed"] == [
        tmp_path / "artifacts" / name for name in GOOD
    ]
    left = outputs(tmp_path)
    assert not any("endless" in name for name in left)
    assert not [name for name in left if "/." in name]
    for name in ("artifacts", "specs"):
        os.rename(tmp_path / name, tmp_path / f"first_{name}")
    run_plan(bad_plan, only=GOOD)
    assert outputs(tmp_path) == left


def test_with_keep_going_the_report_says_what_failed(bad_plan):
    outcome = cli.run("layers", bad_plan, "--keep-going", "--json")
    report = cli.one_object(outcome.stdout)
    assert outcome.status == 1
    failures = {about["name"]: about["failure"] for about in report["layers"]}
    assert failures.pop("endless").startswith(FAILURE)
    assert failures == dict.fromkeys(GOOD)
    for about in report["layers"]:
        assert (about["summary"] is None) == (about["evaluation"] is None) == (about["name"] == "endless")


def test_if_all_fail_nothing_appears(tmp_path):
    plan = write_plan(tmp_path, [layer("endless"), layer("reference", config="configs/endless.json")])
    before = cli.snapshot(tmp_path)
    status, stdout, stderr = cli.run("layers", plan, "--keep-going")
    assert (status, stdout.count("failed"), stderr.count("error: layer ")) == (1, 2, 2)
    assert cli.snapshot(tmp_path) == before


@pytest.mark.parametrize("keep_going", [False, True])
def test_a_layer_without_memory_is_named(good_plan, tmp_path, keep_going):
    before, real = cli.snapshot(tmp_path), idi_fast.layers.train.create_trainer

    def create(config, seed, history):
        if config.episodes == CONFIGS["crypto"]["episodes"]:
            raise MemoryError
        return real(config, seed, history)

    with mock.patch.object(idi_fast.layers.train, "create_trainer", create):
        if keep_going:
            report = run_plan(good_plan, keep_going=True)
            assert [about["failure"] is None for about in report["layers"]] == [True, False, True]
            return
        with pytest.raises(IdiFastError, match="layer 'crypto': not enough memory"):
            run_plan(good_plan)
    assert cli.snapshot(tmp_path) == before


def test_an_error_that_is_a_fault_of_ours_stops_all(good_plan, tmp_path):
    before = cli.snapshot(tmp_path)
    ours = mock.patch.object(idi_fast.layers.train, "write_training", side_effect=ZeroDivisionError)
    with ours, pytest.raises(ZeroDivisionError):
        run_plan(good_plan, keep_going=True)
    assert cli.snapshot(tmp_path) == before


# --- outputs that cannot be written


@pytest.mark.parametrize("name", ["policy.parquet", "manifest.json", "q_buy.in", "weight_trend.in", "streams.json"])
def test_a_write_that_fails(good_plan, tmp_path, name):
    before = cli.snapshot(tmp_path)
    with cli.failing_write(name, cli.FULL):
        message = cli.refused(tmp_path, "layers", good_plan, code=1)
    cli.assert_mentions(message, "layer 'momentum': cannot write", cli.FULL.strerror, "nothing there was changed")
    with cli.failing_write(name, KeyboardInterrupt()):
        status, stdout, _ = cli.run("layers", good_plan, "--jobs", 1)
    assert (status, stdout, cli.snapshot(tmp_path)) == (130, "", before)


@pytest.mark.parametrize("name", ["q_buy.in", "streams.json"])
def test_a_stream_that_cannot_be_installed(good_plan, tmp_path, name):
    real = Path.write_bytes

    def write(path: Path, data: bytes) -> int:
        if path.name == name and "specs" in path.parts:
            raise cli.FULL
        return real(path, data)

    with mock.patch.object(Path, "write_bytes", write):
        message = cli.refused(tmp_path, "layers", good_plan, code=1)
    cli.assert_mentions(message, "cannot write ", "specs/momentum/inputs/", cli.FULL.strerror)


@pytest.mark.parametrize("error", [cli.FULL, KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("after", [False, True])
def test_a_swap_that_fails_takes_all_back(good_plan, tmp_path, error, after):
    run_plan(good_plan, only=["crypto", "momentum"])
    (tmp_path / "specs" / "crypto" / "inputs" / "notes.txt").write_text("mine")
    before = cli.snapshot(tmp_path)
    with mock.patch.object(exchange, "_call", side_effect=exchange._call) as counted:
        run_plan(good_plan, force=True)
    renames, changed = counted.call_count, cli.snapshot(tmp_path)
    # Of three layers: artifact, 13 streams and an index each.
    assert renames == 3 * (1 + 13 + 1)
    assert changed != before
    cli.restore(tmp_path, before)
    for number in [*range(1, renames, 13), renames]:
        with cli.failing_rename(error, first=number, last=number, after=after):
            outcome = cli.run("layers", good_plan, "--force", "--jobs", 2)
        assert outcome.status == (1 if error is cli.FULL else 130)
        assert outcome.stdout == ""
        if error is cli.FULL:
            cli.assert_mentions(outcome.stderr, "cannot write", cli.FULL.strerror, "everything is unchanged\n")
        assert cli.snapshot(tmp_path) == before


def test_what_cannot_be_taken_back_is_completed_later(good_plan, tmp_path):
    run_plan(good_plan, only=["momentum"])
    with cli.failing_rename(cli.FULL, first=3, last=99):
        status, stdout, stderr = cli.run("layers", good_plan, "--only", "momentum", "--force")
    assert (status, stdout) == (1, "")
    cli.assert_mentions(stderr, "everything is unchanged but for", tmp_path / "artifacts/momentum")
    assert "note: completed what" in cli.run("--version").stderr
    left = cli.snapshot(tmp_path)
    run_plan(good_plan, only=["momentum"], force=True)
    after = cli.snapshot(tmp_path)
    assert {name for name in {*left, *after} if left.get(name) != after.get(name)} <= {
        "artifacts/momentum/timings.json"
    }


def test_a_folder_that_cannot_be_written_to_is_told_before_anything_is_trained(good_plan, tmp_path):
    with (
        mock.patch.object(hidden, "make", side_effect=cli.DENIED),
        mock.patch.object(idi_fast.layers.train, "create_trainer", side_effect=AssertionError),
    ):
        message = cli.refused(tmp_path, "layers", good_plan)
    cli.assert_mentions(message, "layer 'momentum': cannot write", cli.DENIED.strerror)


def test_an_interrupt_leaves_nothing_behind(tmp_path):
    plan = write_plan(tmp_path, [layer("momentum", config="long.json"), layer("crypto", config="long.json")])
    (tmp_path / "long.json").write_text('{"episodes": 1000000000}')
    before = cli.snapshot(tmp_path)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, progress=interrupt)
    assert cli.snapshot(tmp_path) == before


def test_what_was_made_and_is_gone_is_not_swapped(tmp_path):
    (tmp_path / "x").write_text("old")
    with Staging() as staging:
        staging.reserve(tmp_path / "y").write_text("new")
        staging.reserve(tmp_path / "x")
        with pytest.raises(OutputError, match="what was made for it is gone"):
            staging.swap([tmp_path / "y", tmp_path / "x"])
    assert cli.snapshot(tmp_path) == {"x": b"old"}


def test_parents_stay_only_where_something_took_its_place(tmp_path):
    with Staging() as staging:
        for name in ("a/b/c", "a/d/e", "f/g/h"):
            staging.reserve(tmp_path / name).write_text(name)
        staging.swap([tmp_path / "a/b/c"])
    assert cli.snapshot(tmp_path) == {"a": None, "a/b": None, "a/b/c": b"a/b/c"}


# --- --only, --dry-run, --force, progress


def test_only_some_layers(bad_plan, tmp_path):
    cli.succeed("layers", bad_plan, "--only", "reference", "--only", "momentum")
    assert sorted(os.listdir(tmp_path / "artifacts")) == ["momentum", "reference"]
    (tmp_path / "configs" / "endless.json").unlink()
    run_plan(bad_plan, only=["crypto"])  # the configs of the others are not read
    assert sorted(os.listdir(tmp_path / "specs")) == ["crypto", "momentum", "reference"]


def test_a_dry_run_says_what_would_be_done_and_does_nothing(bad_plan, tmp_path):
    before = cli.snapshot(tmp_path)
    stdout = cli.succeed("layers", bad_plan, "--dry-run").stdout
    assert [line.split()[0] for line in stdout.splitlines()] == ["layer", "momentum", "crypto", "endless", "reference"]
    assert stdout.count("makes ") == 4
    assert cli.snapshot(tmp_path) == before
    run_plan(bad_plan, only=["momentum"])
    before = cli.snapshot(tmp_path)
    cli.assert_mentions(
        cli.refused(tmp_path, "layers", bad_plan, "--dry-run"), "'momentum'", "already exists", "--force"
    )
    report = cli.one_object(cli.succeed("layers", bad_plan, "--dry-run", "--force", "--json").stdout)
    assert [about["replaces"] for about in report["layers"]] == [True, False, False, False]
    installs = [about["installs"] for about in report["layers"]]
    assert [len(about["replaces"]) for about in installs] == [13, 0, 0, 0]
    assert [about["ticks"] for about in installs] == [16, 20, 30, 18]
    cli.assert_mentions(cli.succeed("layers", bad_plan, "--dry-run", "--force").stdout, "replaces ", "13 of 13")
    assert cli.snapshot(tmp_path) == before


def test_a_dry_run_and_a_run_describe_layers_alike(good_plan):
    described = cli.one_object(cli.succeed("layers", good_plan, "--dry-run", "--json").stdout)
    done = cli.one_object(cli.succeed("layers", good_plan, "--json").stdout)
    for planned, trained in zip(described["layers"], done["layers"], strict=True):
        assert planned == {key: trained[key] for key in planned}
        assert trained["summary"]["steps"] == planned["steps"]
        run = json.loads((Path(trained["out"]) / "run.json").read_bytes())
        assert {key: run[key] for key in ("summary", "evaluation")} == {
            key: trained[key] for key in ("summary", "evaluation")
        }


def test_force_replaces_earlier_artifacts_and_nothing_else(good_plan, tmp_path):
    run_plan(good_plan)
    cli.assert_mentions(cli.refused(tmp_path, "layers", good_plan), "layer 'momentum': ", "already exists; --force")
    (tmp_path / "artifacts" / "crypto" / "thesis.txt").write_text("ten years of work")
    message = cli.refused(tmp_path, "layers", good_plan, "--force")
    cli.assert_mentions(message, "layer 'crypto': ", "thesis.txt, which idi-fast did not write")
    (tmp_path / "artifacts" / "crypto" / "thesis.txt").unlink()
    before = outputs(tmp_path)
    cli.succeed("layers", good_plan, "--force")
    assert outputs(tmp_path) == before


def test_progress_counts_the_layers_that_have_ended(bad_plan):
    seen = []
    run_plan(bad_plan, keep_going=True, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (4, 4)
