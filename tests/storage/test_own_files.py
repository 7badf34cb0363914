"""--force deletes what idi-fast wrote, and nothing else, whatever a manifest lists."""

import hashlib
import io
import json
import os

import cli_helpers as cli
import polars as pl
import pytest

from idi_fast.reporting.pictures import marked


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


def parquet(**columns) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_parquet(buffer)
    return buffer.getvalue()


PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc0000003010100"
    "18dd8db00000000049454e44ae426082"
)
USERS = {
    "README.md": b"# Thesis\n\nTen years of work.\n",
    "agent.tau": b'i_x:sbf := in file("inputs/x.in").\no_x:sbf := out file("outputs/x.out").\nr o_x[t] = i_x[t].\n',
    "equity.png": PIXEL,
    "returns.csv": b"time,return\n2024-01-02T00:00:00,0.0\n2024-01-03T00:00:00,0.01\n",
    "run.json": b'{"schema_version": 1, "kind": "marathon", "versions": {}, "fingerprint": "3:59:59"}',
    "config.json": b'{"episodes": 20}',
    "kpis.json": b'{"schema_version": 1, "sharpe": 1.5}',
    "spec.json": b'{"name": "mine"}',
    "policy.parquet": parquet(state=[1, 2], action=["hold", "buy"]),
    "trace.parquet": b"PAR1" + bytes(64) + b"idi-fast-" + bytes(64),
    "equity.parquet": parquet(time=[1, 2], equity=[1.0, 1.5]),
    "episodes.parquet": parquet(episode=[1, 2], reward=[1.0, 1.5]),
    "policies/0.parquet": parquet(x=[1]),
    "streams/q_buy.in": b"0\n1\n",
    "inputs/x.in": b"0\n1\n",
    "expected/x.out": b"0\n1\n",
    "proof/proof.bin": b"ten years of work",
    "proof/proof.json": b'{"proof": "of Fermat"}',
    "commitment.json": b'{"to": "my family"}',
    "artifact_manifest.json": b'{"schema_version": "idi-manifest-v1"}',
    "best/manifest.json": b'{"config_sha256": "", "files": {}}',
}


@pytest.mark.parametrize("name", USERS)
def test_a_file_of_the_user_s_under_a_name_of_ours_with_its_true_digest(name, tmp_path):
    path = tmp_path / "mine" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(USERS[name])
    put_manifest(tmp_path / "mine", name)
    assert_kept(tmp_path / "mine", name)


def test_all_of_them_together(tmp_path):
    """The README beside the specification, the stream beside an index: none of these makes the others ours."""
    for name, data in USERS.items():
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    put_manifest(tmp_path / "mine", *USERS)
    assert_kept(tmp_path / "mine", "which does not have the format")


@pytest.mark.parametrize("name", ["equity.parquet", "returns.csv", "agent.tau", "streams/q_buy.in"])
def test_a_long_file_is_judged_by_what_it_holds(name, tmp_path):
    path = tmp_path / "mine" / name
    path.parent.mkdir(parents=True)
    with open(path, "wb") as file:
        file.truncate(2**26 + 1)
    put_manifest(tmp_path / "mine", name, listed={"sha256": "0" * 64, "bytes": 2**26 + 1})
    outcome = cli.run("train", *cli.QUICK, "--out", tmp_path / "mine", "--force")
    assert outcome.status == 2
    cli.assert_mentions(outcome.stderr, name, "move it away")
    assert path.stat().st_size == 2**26 + 1


@pytest.mark.parametrize("about", [{"config_sha256": "ab"}, {"config_sha256": 0}, {"schema_version": 4}, {"files": []}])
def test_a_manifest_that_is_none_of_ours(old, about):
    manifest = json.loads((old / "manifest.json").read_bytes()) | about
    (old / "manifest.json").write_text(json.dumps(manifest))
    line = cli.refused(old.parent, "train", *cli.QUICK, "--out", old, "--force")
    cli.assert_mentions(line, old)


def test_a_run_of_another_config_than_the_manifest_s(old):
    manifest = json.loads((old / "manifest.json").read_bytes()) | {"config_sha256": "0" * 64}
    (old / "manifest.json").write_text(json.dumps(manifest))
    assert_kept(old, "run.json")


@pytest.mark.parametrize("name", ["README.md", "returns.csv"])
def test_a_file_that_idi_fast_manifest_has_listed(old, name):
    (old / name).write_bytes(USERS[name])
    cli.succeed("manifest", old)
    assert_kept(old, name)


@pytest.mark.parametrize("name", ["README.md", "agent.tau"])
def test_a_file_of_ours_that_the_user_went_on_with(world, tmp_path, name):
    cli.succeed("spec", world / "agent", "--kind", "layered", "--out", tmp_path / "spec")
    with open(tmp_path / "spec" / name, "a") as file:
        file.write("# ten years of work\n")
    line = cli.refused(tmp_path, "spec", world / "agent", "--kind", "layered", "--out", tmp_path / "spec", "--force")
    cli.assert_mentions(line, name, "was changed", "move it away")


def test_an_output_that_holds_no_values(world, tmp_path):
    """The manifest of a specification says that it comes later; what has come is looked at all the same."""
    spec = ("spec", world / "agent", "--kind", "layered", "--out", tmp_path / "spec")
    cli.succeed(*spec)
    (tmp_path / "spec/outputs/position.out").write_text("ten years of work")
    cli.assert_mentions(cli.refused(tmp_path, *spec, "--force"), "outputs/position.out", "move it away")
    (tmp_path / "spec/outputs/position.out").write_text("0\n1\n")
    cli.succeed(*spec, "--force")


def test_a_picture_of_a_report_is_known_by_its_mark(tmp_path):
    path = tmp_path / "old" / "equity.png"
    path.parent.mkdir()
    path.write_bytes(marked(PIXEL))
    put_manifest(tmp_path / "old", "equity.png")
    cli.succeed("train", *cli.QUICK, "--out", tmp_path / "old", "--force")


def test_a_link_to_a_folder_and_a_folder_that_cannot_be_listed(old, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    cli.link(old / "photos", tmp_path / "photos")
    assert_kept(old, "photos")
    (old / "photos").unlink()
    (old / "photos").mkdir()
    real = os.scandir

    def scandir(path="."):
        if os.path.basename(path) == "photos":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real(path)

    monkeypatch.setattr("os.scandir", scandir)
    outcome = cli.run("train", *cli.QUICK, "--out", old, "--force")
    monkeypatch.undo()
    assert outcome.status == 2
    cli.assert_mentions(outcome.stderr, "Permission denied")
    assert (old / "policy.parquet").exists()


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
