"""--force deletes what idi-fast wrote, and nothing because a manifest of somebody else's names it."""

import hashlib
import json

import cli_helpers as cli
import pytest


def put_manifest(folder, *names, listed=None, **more):
    """A hand-made manifest that lists files, with their true digests or those given."""
    files = {name: listed or entry(folder / name) for name in names}
    made = {"schema_version": 2, "config_sha256": "0" * 64, "inputs": {}, "files": files, **more}
    (folder / "manifest.json").write_text(json.dumps(made))


def entry(path) -> dict:
    return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size}


def assert_kept(folder, name):
    text = cli.refused(folder.parent, "train", *cli.QUICK, "--out", folder, "--force")
    cli.assert_mentions(text, folder, name, "move it away")


@pytest.mark.parametrize("name", ["thesis.txt", "photos/a.jpg", "trades.csv", "streams/a.txt", "notes/README.md"])
def test_a_name_that_no_output_has(name, tmp_path):
    path = tmp_path / "mine" / name
    path.parent.mkdir(parents=True)
    path.write_text("ten years of work")
    put_manifest(tmp_path / "mine", name)
    assert_kept(tmp_path / "mine", name)


@pytest.mark.parametrize(
    "name",
    ["README.md", "returns.csv", "equity.parquet", "policy.parquet", "agent.tau", "config.json", "streams/q_buy.in"],
)
def test_a_name_that_outputs_have_on_a_file_that_is_another(name, tmp_path):
    path = tmp_path / "mine" / name
    path.parent.mkdir(parents=True)
    path.write_text("ten years of work")
    put_manifest(tmp_path / "mine", name, listed={"sha256": "0" * 64, "bytes": 17})
    assert_kept(tmp_path / "mine", name)
    put_manifest(tmp_path / "mine", name, listed=17)
    assert_kept(tmp_path / "mine", name)


@pytest.mark.parametrize("name", ["thesis.txt", "outputs/thesis.txt", "a.out"])
def test_files_that_are_said_to_come_later(name, tmp_path):
    path = tmp_path / "mine" / name
    path.parent.mkdir(parents=True)
    path.write_text("ten years of work")
    put_manifest(tmp_path / "mine", later=[name])
    assert_kept(tmp_path / "mine", name)


def test_timings_that_are_none(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "timings.json").write_text('{"marathon": "3:59:59"}')
    put_manifest(folder)
    assert_kept(folder, "timings.json")


def test_a_whole_artifact_with_a_file_of_the_users(old):
    (old / "thesis.txt").write_text("ten years of work")
    manifest = json.loads((old / "manifest.json").read_bytes())
    manifest["files"]["thesis.txt"] = entry(old / "thesis.txt")
    (old / "manifest.json").write_text(json.dumps(manifest))
    assert_kept(old, "thesis.txt")


OUTPUTS = {
    "population": ("train", "--seeds", "0:2", "--keep", "all", *cli.QUICK),
    "backtest": ("backtest", "later.parquet", "--policy", "agent"),
    "walk-forward": ("walkforward", "long.csv", "--train-bars", 60, "--test-bars", 50, *cli.QUICK),
    "sweep": (
        "sweep",
        "long.csv",
        "--grid",
        "discount=0.5,0.9",
        "--validation-bars",
        40,
        "--test-bars",
        40,
        *cli.QUICK,
    ),
    "spec": ("spec", "agent", "--kind", "layered"),
    "commitment": ("commit", "agent"),
    "the reference's commitment": ("commit", "agent", "--form", "idi"),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_every_output_is_replaced(name, world, tmp_path, monkeypatch):
    monkeypatch.chdir(world)
    cli.bars(400).write_csv("long.csv")
    for more in ((), ("--force",)):
        cli.succeed(*OUTPUTS[name], "--out", tmp_path / "out", *more)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_workflow_and_its_proof_are_replaced(tmp_path):
    config = tmp_path / "config.json"
    config.write_text('{"episodes": 20, "episode_length": 16}')
    for more in ((), ("--force", "--seed", 3)):
        cli.succeed("workflow", config, "--out", tmp_path / "out", *more)
    (tmp_path / "out" / "spec" / "outputs" / "executing.out").write_text("0\n")
    cli.succeed("workflow", config, "--out", tmp_path / "out", "--force", "--seed", 4)
