"""Old outputs stay when new ones are refused, interrupted or cannot be written."""

import os
import re
from unittest import mock

import cli_helpers as cli
import pytest

from idi_fast.storage import hidden


@pytest.mark.parametrize("command", ["train", "backtest"])
@pytest.mark.parametrize(
    ("make", "options", "parts"),
    [
        (lambda folder: folder / "old", [], ["old already exists", "--force"]),
        (lambda folder: cli.put(folder / "x"), [], ["x already exists"]),
        (lambda folder: cli.put(folder / "x"), ["--force"], ["x holds something other than an output of idi-fast"]),
        (lambda folder: cli.put(folder / "x", manifest='{"name": "app"}'), ["--force"], ["x holds something other"]),
        (lambda folder: cli.put(folder / "x", manifest="no JSON"), ["--force"], ["x holds something other than"]),
        (lambda folder: cli.put(folder / "x") / "thesis.txt", ["--force"], ["thesis.txt", "not a folder"]),
        (lambda folder: cli.put(folder / "x") / "thesis.txt" / "y", [], ["cannot write", "thesis.txt/y"]),
        (lambda folder: cli.link(folder / "x", folder / "old"), ["--force"], ["x exists and is not a folder"]),
        (lambda folder: folder / ("n" * 300), [], ["nnn", "File name too long"]),
    ],
)
def test_an_output_that_cannot_be(make, options, parts, command, world, old, tmp_path):
    out = make(tmp_path)
    args = {"train": cli.QUICK, "backtest": (world / "later.parquet", "--policy", world / "agent")}[command]
    cli.assert_mentions(cli.refused(tmp_path, command, *args, "--out", out, *options), *parts)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes by name")
@pytest.mark.parametrize("name", ["run.json", "timings.json", "policy.parquet", "streams/q_buy.in"])
def test_a_pipe_in_an_earlier_output_is_not_waited_for(name, old):
    (old / name).unlink()
    os.mkfifo(old / name)
    outcome = cli.finish(cli.start("train", *cli.QUICK, "--force", "--out", old))
    assert (outcome.status, outcome.stdout) == (2, "")
    cli.assert_mentions(outcome.stderr, f"holds {name}, which idi-fast did not write", "not a regular file")


@pytest.fixture
def commands(world, old, tmp_path) -> dict[str, tuple]:
    """Commands that replace an earlier output of theirs."""
    cli.succeed("export", world / "compat_crypto", "--to", tmp_path / "spec", "--kind", "layered")
    return {
        "train": ("train", *cli.QUICK, "--out", old, "--force"),
        "backtest": ("backtest", world / "later.parquet", "--policy", world / "agent", "--out", old, "--force"),
        "export": ("export", world / "agent", "--to", tmp_path / "spec", "--kind", "layered"),
    }


@pytest.mark.parametrize("error", [cli.FULL, cli.DENIED, KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize(
    ("command", "name"),
    [
        *(("train", name) for name in ("episodes.parquet", "trace.parquet", "q_buy.in", "run.json", "manifest.json")),
        *(("backtest", name) for name in ("kpis.json", "equity.parquet", "streams.json", "manifest.json")),
        *(("export", name) for name in ("price_up.in", "streams.json")),
    ],
)
def test_a_write_that_fails(command, name, error, commands, tmp_path):
    before = cli.snapshot(tmp_path)
    with cli.failing_write(name, error):
        if isinstance(error, OSError):
            line = cli.refused(tmp_path, *commands[command], code=1 if error is cli.FULL else 2)
            cli.assert_mentions(line, "cannot write", error.strerror, "nothing")
        else:
            status, stdout, stderr = cli.run(*commands[command])
            assert (status, stdout, stderr.count("\n")) == (130, "", stderr.count("interrupted"))
    assert cli.snapshot(tmp_path) == before


@pytest.mark.parametrize("command", ["train", "backtest", "export"])
def test_a_folder_that_cannot_be_written_to(command, commands, tmp_path):
    with mock.patch.object(hidden, "make", side_effect=cli.DENIED):
        cli.assert_mentions(cli.refused(tmp_path, *commands[command]), "cannot write", cli.DENIED.strerror)


@pytest.mark.parametrize("command", ["train", "export"])
def test_a_renaming_that_fails(command, commands, tmp_path):
    for number in range(1, {"train": 1, "export": 6}[command] + 1):
        for error, code in ((cli.FULL, 1), (cli.DENIED, 2)):
            with cli.failing_rename(error, first=number, last=number):
                line = cli.refused(tmp_path, *commands[command], code=code)
            cli.assert_mentions(line, "cannot write", error.strerror, "everything is unchanged")


@pytest.mark.parametrize("command", ["train", "export"])
def test_an_interrupt_between_renamings_leaves_the_old_or_the_new(command, commands, tmp_path):
    before = cli.snapshot(tmp_path)
    cli.succeed(*commands[command])
    after, broken = cli.snapshot(tmp_path), []
    for number in range(1, {"train": 1, "export": 6}[command] + 1):
        cli.restore(tmp_path, before)
        with cli.failing_rename(KeyboardInterrupt(), first=number, last=number, after=True):
            status, stdout, _ = cli.run(*commands[command])
        left = cli.snapshot(tmp_path)
        left["old/timings.json"] = after["old/timings.json"] if left != before else left["old/timings.json"]
        if (status, stdout) != (130, "") or left not in (before, after):
            broken.append((number, status, sorted(left)))
    assert broken == []


def test_what_cannot_be_taken_back_the_next_command_completes(commands, tmp_path):
    cli.succeed(*commands["export"])
    after = cli.snapshot(tmp_path)
    (tmp_path / "spec" / "price_up.in").write_text("0\n")
    with cli.failing_rename(cli.FULL, first=5, last=99):
        status, stdout, stderr = cli.run(*commands["export"])
    assert (status, stdout, stderr.count("\n")) == (1, "", 1)
    cli.assert_mentions(stderr, "cannot write", "which the next command of idi-fast completes")
    outcome = cli.run("--version")
    assert (outcome.status, outcome.stderr.count("\n")) == (0, 1)
    cli.assert_mentions(outcome.stderr, "note: completed what an interrupted", f"6 files and folders in {tmp_path}")
    assert cli.snapshot(tmp_path) == after


def test_a_disk_that_fills_up(commands, world, tmp_path):
    before = cli.snapshot(tmp_path)
    calls = [(None, ("train", "--out", tmp_path / "first", *cli.QUICK))]  # compiles, if need be, while there is room
    # The artifact will be that of `world`: each of these sizes is too small for one of its files at least.
    sizes = {len(data) - 1 for data in cli.snapshot(world / "synthetic").values() if data}
    calls += [(size, commands["train"]) for size in sorted(sizes)]
    calls += [(size, commands["backtest"]) for size in (0, 20, 1000)]
    calls += [(size, commands["export"]) for size in (0, 20)]
    outcomes = cli.run_batch(calls)
    assert [outcome.status for outcome in outcomes] == [0] + [1] * (len(calls) - 1)
    refusal = re.compile(r"error: cannot write [^\n]*File too large[^\n]*\n")
    assert [text for _, _, text in outcomes[1:] if not refusal.fullmatch(text)] == []
    assert {name: data for name, data in cli.snapshot(tmp_path).items() if not name.startswith("first")} == before
