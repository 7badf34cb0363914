"""Every command reads JSON that users name from regular files of limited size only."""

import os
from pathlib import Path

import cli_helpers as cli
import pytest


def sparse(path: Path) -> Path:
    with path.open("wb") as file:
        file.truncate(50 * 10**9)
    return path


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


ODD = {
    "a pipe": (pipe, "it is a named pipe; expected a regular file"),
    "50 GB": (sparse, "it has 50,000,000,000 bytes; expected at most 67,108,864"),
    "a device": (lambda path: Path("/dev/zero"), "it is a device; expected a regular file"),
    "a folder": (lambda path: path.mkdir() or path, "Is a directory"),
    "a link to a pipe": (lambda path: cli.link(path, pipe(path.with_name("pipe"))), "it is a named pipe"),
}
READERS = {
    "train": lambda odd, out, world: ("train", "--config", odd, "--out", out),
    "print": lambda odd, out, world: ("train", "--config", odd, "--print-config"),
    "walkforward": lambda odd, out, world: ("walkforward", world / "bars.csv", "--config", odd, "--out", out),
    "sweep": lambda odd, out, world: ("sweep", "--grid", "discount=0.5", "--config", odd, "--out", out),
    "workflow": lambda odd, out, world: ("workflow", odd, "--out", out),
    "plan": lambda odd, out, world: ("layers", odd),
    "contract": lambda odd, out, world: ("spec", world / "agent", "--kind", odd, "--out", out),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("reader", READERS)
def test_json_is_read_from_regular_files_of_some_size_only(kind, reader, world, tmp_path):
    make, message = ODD[kind]
    path = make(tmp_path / "odd.json")
    arguments = READERS[reader](path, tmp_path / "out", world)
    before = sorted(os.listdir(tmp_path))
    outcome = cli.run(*arguments)
    assert (outcome.status, outcome.stdout, outcome.stderr.count("\n")) == (2, "", 1), outcome
    cli.assert_mentions(outcome.stderr, f"{path}: cannot be read: {message}")
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("kind", ["a pipe", "50 GB", "a folder", "a link to a pipe"])
def test_a_manifest_is_a_regular_file_of_some_size(kind, world, tmp_path):
    agent = cli.copy_of(world / "agent", tmp_path / "agent")
    (agent / "manifest.json").unlink()
    ODD[kind][0](agent / "manifest.json")
    message = cli.run("train", "--out", agent, "--force", *cli.QUICK).stderr
    cli.assert_mentions(message, "holds something other than an output of idi-fast")


@pytest.mark.parametrize("command", ["verify", "manifest", "prove"])
def test_a_folder_in_the_place_of_a_manifest_is_named_and_left_alone(command, world, tmp_path):
    agent = cli.copy_of(world / "synthetic", tmp_path / "agent")
    (agent / "manifest.json").unlink()
    (agent / "manifest.json").mkdir()
    (agent / "manifest.json" / "thesis.txt").write_text("ten years of work")
    before = cli.snapshot(tmp_path)
    options = ("--prover", "replay", "--force") if command == "prove" else ()
    outcome = cli.run(command, agent, *options)
    assert (outcome.status, outcome.stdout, outcome.stderr.count("\n")) == (2, "", 1), outcome
    cli.assert_mentions(outcome.stderr, "manifest.json")
    assert cli.snapshot(tmp_path) == before


# --- Numba's environment


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("NUMBA_NUM_THREADS", "0", "Number of threads specified must be > 0"),
        ("NUMBA_NUM_THREADS", "-1", "Number of threads specified must be > 0"),
        ("NUMBA_CACHE_LOCATOR_CLASSES", "Nowhere", "Unknown cache locator class: 'Nowhere'"),
    ],
)
def test_an_environment_that_numba_cannot_use_is_named(variable, value, reason, tmp_path):
    process = cli.start("train", "--out", tmp_path / "a", *cli.QUICK, env={variable: value, "NUMBA_OPT": "3"})
    status, stdout, stderr = cli.finish(process)
    assert (status, stdout, stderr.count("\n")) == (2, "", 1), stderr
    cli.assert_mentions(stderr, "error: Numba cannot be used: ", reason, f"; correct or unset {variable} ('{value}')\n")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, '{"environment": ' + "[" * 100_000])
def test_a_config_of_too_many_brackets(text, tmp_path):
    (tmp_path / "deep.json").write_text(text)
    error = cli.refused(tmp_path, "train", "--config", tmp_path / "deep.json", "--out", tmp_path / "out")
    cli.assert_mentions(error, "deep.json: nested too deep")
    assert "recursion" not in error
