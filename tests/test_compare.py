"""`idi-fast compare`: what is a difference, where it is found, and what cannot be compared."""

import json
import math
import os
from datetime import UTC, datetime
from pathlib import Path

import cli_helpers as cli
import polars as pl
import pytest
from compare_files import BITS, only_file, streams, table
from hypothesis import given
from hypothesis import strategies as st

from idi_fast.compare import compare
from idi_fast.errors import ArtifactError, ConfigError, InputError

# --- streams


def test_equal_folders(tmp_path):
    report = compare(streams(tmp_path / "a"), streams(tmp_path / "b"))
    assert (report["equal"], report["only_in_a"], report["only_in_b"]) == (True, [], [])
    assert [file["name"] for file in report["files"]] == ["q_buy.in", "q_regime.in"]
    assert [file["lines"] for file in report["files"]] == [[8, 8], [8, 8]]
    for file in report["files"]:
        assert (file["differing"], file["first"], file["notes"]) == (0, None, [])
        assert file["sha256"][0] == file["sha256"][1]


@given(data=st.data(), n=st.integers(1, 60), context=st.integers(0, 4))
def test_one_changed_value_is_found_at_its_tick(data, n, context, tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")
    values = data.draw(st.lists(st.integers(0, 31), min_size=n, max_size=n))
    tick = data.draw(st.integers(0, n - 1))
    changed = [*values]
    changed[tick] = (values[tick] + data.draw(st.integers(1, 31))) % 32
    a = streams(folder / "a", {"q_regime": values}, newline=data.draw(st.booleans()))
    b = streams(folder / "b", {"q_regime": changed}, newline=data.draw(st.booleans()))
    found = only_file(a, b, context=context)
    first = max(0, tick - context)
    assert (found["equal"], found["differing"], found["lines"]) == (False, 1, [n, n])
    assert found["first"] == {
        "at": tick,
        "from": first,
        "a": [str(value) for value in values[first : tick + context + 1]],
        "b": [str(value) for value in changed[first : tick + context + 1]],
    }


@given(
    a=st.lists(st.sampled_from(["0", "1", "31", ""]), max_size=12),
    b=st.lists(st.sampled_from(["0", "1", "31", ""]), max_size=12),
    endings=st.tuples(*[st.sampled_from(["\n", "\r\n"])] * 2),
)
def test_lines_decide_and_not_their_endings(a, b, endings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lines")
    for name, lines, ending in zip("ab", (a, b), endings, strict=True):
        (folder / f"{name}.in").write_bytes("".join(line + ending for line in lines).encode())
    found = only_file(folder / "a.in", folder / "b.in", context=0)
    assert (found["equal"], found["lines"]) == (a == b, [len(a), len(b)])
    if a == b:
        assert found["first"] is None
    else:
        longest = max(len(a), len(b))
        padded = [[*lines, *[None] * (longest - len(lines))] for lines in (a, b)]
        at = next(k for k in range(longest) if padded[0][k] != padded[1][k])
        assert found["first"] == {"at": at, "from": at, "a": [padded[0][at]], "b": [padded[1][at]]}
        assert found["differing"] == sum(x != y for x, y in zip(a, b, strict=False))


@pytest.mark.parametrize(
    ("a", "b", "notes"),
    [
        (b"1\n0\n", b"1\n0", ["the last line is not terminated in B"]),
        (b"1\n0", b"1\n0\n", ["the last line is not terminated in A"]),
        (b"1\n0", b"1\r\n0", ["lines end with CRLF in B"]),
        (b"1\r\n0\r\n", b"1\n0", ["the last line is not terminated in B", "lines end with CRLF in A"]),
        (b"", b"", []),
    ],
)
def test_bytes_that_differ_are_noted(a, b, notes, tmp_path):
    (tmp_path / "a.out").write_bytes(a)
    (tmp_path / "b.out").write_bytes(b)
    found = only_file(tmp_path / "a.out", tmp_path / "b.out")
    assert (found["equal"], found["notes"]) == (True, notes)
    assert (found["sha256"][0] == found["sha256"][1]) == (not notes)


@pytest.mark.parametrize(("a", "b"), [(b"1\n", b"01\n"), (b"1\n", b"1 \n"), (b"1\n", b"1\n\n"), (b"1\n", b"")])
def test_what_stands_in_a_line_is_its_value(a, b, tmp_path):
    (tmp_path / "a.in").write_bytes(a)
    (tmp_path / "b.in").write_bytes(b)
    assert not only_file(tmp_path / "a.in", tmp_path / "b.in")["equal"]


def test_a_shorter_stream_differs_where_it_ends(tmp_path):
    a, b = streams(tmp_path / "a"), streams(tmp_path / "b", {"q_buy": BITS["q_buy"][:5], "q_regime": BITS["q_regime"]})
    found = only_file(a, b, context=1)
    assert (found["name"], found["lines"], found["differing"]) == ("q_buy.in", [8, 5], 0)
    assert found["first"] == {"at": 5, "from": 4, "a": ["1", "1", "0"], "b": ["1", None, None]}


def test_a_stream_that_only_one_has(tmp_path):
    a, b = streams(tmp_path / "a"), streams(tmp_path / "b", {**BITS, "q_sell": BITS["q_buy"]})
    report = compare(a, b)
    assert (report["equal"], report["only_in_a"], report["only_in_b"]) == (False, [], ["q_sell.in"])
    assert compare(b, a)["only_in_a"] == ["q_sell.in"]


def test_an_index_and_hidden_files_are_not_looked_at(tmp_path):
    a, b = streams(tmp_path / "a"), streams(tmp_path / "b")
    (a / "streams.json").unlink()
    (b / ".q_sell.in").write_text("1\n")
    assert compare(a, b)["equal"]


def test_an_artifact_gives_its_streams_to_a_folder_of_them(world, tmp_path):
    there = cli.copy_of(world / "synthetic" / "streams", tmp_path / "inputs")
    for pair in ((world / "synthetic", there), (there, world / "synthetic")):
        report = compare(*pair)
        assert report["equal"]
        assert len(report["files"]) == len(cli.STREAMS)
        assert {report["a"], report["b"]} == {str(there), str(world / "synthetic" / "streams")}


# --- tables


@given(data=st.data(), n=st.integers(1, 40))
def test_one_changed_cell_is_found_in_its_column_and_row(data, n, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    numbers = st.none() | st.floats(width=32, allow_nan=True, allow_infinity=True)
    columns = {name: data.draw(st.lists(numbers, min_size=n, max_size=n)) for name in ("x", "y")}
    row, value = data.draw(st.integers(0, n - 1)), data.draw(numbers)
    changed = [*columns["y"][:row], value, *columns["y"][row + 1 :]]
    schema = {"schema": {"x": pl.Float64, "y": pl.Float64}}
    pl.DataFrame(columns, **schema).write_parquet(folder / "a.parquet")
    pl.DataFrame({**columns, "y": changed}, **schema).write_parquet(folder / "b.parquet")
    found = only_file(folder / "a.parquet", folder / "b.parquet", context=0)
    before = columns["y"][row]
    same = before == value or (None not in (before, value) and math.isnan(before) and math.isnan(value))
    assert found["equal"] == same
    if not same:
        (column,) = found["columns"]
        assert (column["name"], column["differing"], column["first"]["at"]) == ("y", 1, row)
        finite = None not in (before, value) and math.isfinite(before) and math.isfinite(value)
        assert column["largest"] == (abs(before - value) if finite else None)
        json.dumps(found, allow_nan=False)


def test_tables_of_other_lengths_columns_and_types(tmp_path):
    a = table(tmp_path / "a.parquet", tick=[0, 1, 2], x=[1, 0, 1], only=[1, 2, 3], said=["a", "b", "c"], kind=[1, 2, 3])
    b = table(tmp_path / "b.parquet", tick=[0, 1], x=[True, True], said=["a", "x"], kind=["1", "2"], more=[0, 0])
    found = only_file(a, b, context=5)
    assert found["rows"] == [3, 2]
    assert (found["columns_only_in_a"], found["columns_only_in_b"]) == (["only"], ["more"])
    assert found["columns"] == [
        {
            "name": "x",
            "differing": 1,
            "largest": 1.0,
            "first": {"at": 1, "from": 0, "a": [1, 0, 1], "b": [True, True, None]},
        },
        {
            "name": "said",
            "differing": 1,
            "largest": None,
            "first": {"at": 1, "from": 0, "a": ["a", "b", "c"], "b": ["a", "x", None]},
        },
        {
            "name": "kind",
            "differing": 2,
            "largest": None,
            "first": {"at": 0, "from": 0, "a": [1, 2, 3], "b": ["1", "2", None]},
        },
    ]
    assert found["notes"] == ["x is Int64 in A, Boolean in B", "kind is Int64 in A, String in B"]


def test_types_and_metadata_are_no_difference(tmp_path):
    time = [datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)]
    columns = {"bit": pl.Series([0, 1], dtype=pl.UInt8), "time": pl.Series(time), "said": ["hold", "buy"]}
    a = table(tmp_path / "a.parquet", {"format": "x", "fingerprint": "1"}, **columns)
    other = {"bit": [0.0, 1.0], "time": pl.Series(time).dt.replace_time_zone(None).dt.cast_time_unit("ns")}
    said = pl.Series(["hold", "buy"], dtype=pl.Categorical)
    b = table(tmp_path / "b.parquet", {"format": "x", "fingerprint": "2"}, **other, said=said)
    found = only_file(a, b)
    assert (found["equal"], found["columns"]) == (True, [])
    assert [note.split(" is ")[0] for note in found["notes"]] == [
        "bit",
        "time",
        "said",
        "the metadata differ in fingerprint",
    ]
    found = only_file(a, table(tmp_path / "c.parquet", **columns))
    assert (found["equal"], len(found["notes"])) == (True, 1)


def test_a_table_with_more_rows_differs(tmp_path):
    found = only_file(table(tmp_path / "a.parquet", x=[1, 2]), table(tmp_path / "b.parquet", x=[1, 2, 3]))
    assert (found["equal"], found["columns"], found["rows"]) == (False, [], [2, 3])


def test_a_trace_is_compared_with_that_of_an_artifact(world, tmp_path):
    trace = tmp_path / "trace.parquet"
    cli.rewritten(
        world / "agent" / "trace.parquet",
        trace,
        columns=lambda frame: frame.with_columns(q_buy=pl.when(pl.col("tick") == 9).then(7).otherwise("q_buy")),
    )
    found = only_file(trace, world / "agent")
    assert [(column["name"], column["first"]["at"]) for column in found["columns"]] == [("q_buy", 9)]
    assert only_file(world / "agent", world / "agent" / "trace.parquet")["equal"]


# --- what is refused


@pytest.mark.parametrize(
    ("make", "error", "parts"),
    [
        (lambda f: (f / "a", f / "agnt"), InputError, ["agnt: no such file or folder", "'agent'"]),
        (lambda f: (f / "no" / "x", f / "a"), InputError, ["x: no such file or folder"]),
        (lambda f: (f / "a", f / "empty"), InputError, ["empty holds nothing to compare", "*.in"]),
        (lambda f: (cli.put(f / "x"), f / "a"), InputError, ["x holds nothing to compare"]),
        (lambda f: (f / "a", f / "other"), InputError, ["have no file in common"]),
        (lambda f: (f / "a" / "q_buy.in", f / "x.parquet"), InputError, ["as stream", "as table", "the same kind"]),
        (lambda f: (f / "x.parquet", f / "a"), InputError, ["a holds no x.parquet to compare with"]),
        (lambda f: (f / "x.parquet", f / "bad.parquet"), ArtifactError, ["cannot read the table", "bad.parquet"]),
        (lambda f: (f / "x.json", f / "bad.json"), ConfigError, ["bad.json: line 1"]),
    ],
)
def test_what_cannot_be_compared(make, error, parts, tmp_path):
    streams(tmp_path / "a")
    streams(tmp_path / "other", {"q_sell": [0, 1]})
    (tmp_path / "agent").mkdir()
    (tmp_path / "empty").mkdir()
    table(tmp_path / "x.parquet", x=[1])
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    (tmp_path / "x.json").write_text("{}")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(error) as caught:
        compare(*make(tmp_path))
    cli.assert_mentions(str(caught.value), *parts)


def test_a_file_that_was_changed_behind_its_manifest_is_refused(world, tmp_path):
    (damaged,) = cli.flipped(world / "agent", "trace.parquet", tmp_path, 1)
    with pytest.raises(ArtifactError, match=r"is not the file that manifest\.json beside it describes"):
        compare(world / "agent", damaged)


@pytest.mark.parametrize("name", ["policy.parquet", "run.json", "streams/q_buy.in"])
@pytest.mark.parametrize("device", [True, False], ids=["device", "pipe"])
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes by name")
def test_what_is_no_regular_file_is_refused_unread(device, name, world, tmp_path):
    other = cli.copy_of(world / "agent", tmp_path / "other")
    (other / name).unlink()
    cli.link(other / name, Path("/dev/zero")) if device else os.mkfifo(other / name)
    outcome = cli.finish(cli.start("compare", world / "agent", other))
    assert (outcome.status, outcome.stdout, outcome.stderr.count("\n")) == (2, "", 1)
    cli.assert_mentions(outcome.stderr, str(other / name), "expected a regular file")


def test_a_context_below_zero_is_refused(tmp_path):
    with pytest.raises(InputError, match="context is -1; expected 0 or more"):
        compare(streams(tmp_path / "a"), streams(tmp_path / "b"), -1)


# --- the command


def test_exit_code_and_report_of_equal_folders(tmp_path):
    streams(tmp_path / "a")
    streams(tmp_path / "b", newline=False)
    status, stdout, stderr = cli.run("compare", tmp_path / "a", tmp_path / "b")
    assert (status, stderr) == (0, "")
    cli.assert_mentions(stdout, "q_buy.in", "not terminated in B")
    assert stdout.endswith("\nequal: 2 files\n")
    assert cli.one_object(cli.succeed("compare", tmp_path / "a", tmp_path / "b", "--json").stdout)["equal"]


def test_exit_code_and_report_of_folders_that_differ(tmp_path):
    changed = {**BITS, "q_buy": [*BITS["q_buy"][:4], 0, 1, 0]}
    streams(tmp_path / "a")
    streams(tmp_path / "b", changed)
    (tmp_path / "b" / "q_sell.in").write_text("1\n")
    status, stdout, stderr = cli.run("compare", tmp_path / "a", tmp_path / "b", "--context", 1)
    assert (status, stderr) == (1, "")
    told = (
        "q_buy.in\n"
        "ticks that differ: 1\n"
        "A is longer by 1 tick\n"
        "tick  3  4  5\n"
        "A     0  1  1\n"
        "B     0  0  1\n"
        "         ≠   \n"
    )
    assert told in stdout
    assert stdout.endswith("\ndifferent: 2 of 3 files\n")
    outcome = cli.run("compare", tmp_path / "a", tmp_path / "b", "--json")
    assert (outcome.status, outcome.stderr) == (1, "")
    assert cli.one_object(outcome.stdout)["only_in_b"] == ["q_sell.in"]


def test_the_report_on_two_artifacts_names_what_differs(world, tmp_path):
    longer = ("--episodes", 5, "--episode-length", 17, "--seed", 8)
    cli.succeed("train", *longer, "--out", tmp_path / "longer")
    status, stdout, stderr = cli.run("compare", world / "synthetic", tmp_path / "longer")
    assert (status, stderr) == (1, "")
    cli.assert_mentions(
        stdout,
        "B is longer by 1 tick\n",
        "states that differ",
        "q_hold differs first in price ",
        "states only in A",
        " more keys, which --json lists\n",
        "B is longer by 1 row\n",
        "the first that differs is in",
        "different: 18 of 18 files",
    )
    run = stdout.partition("\nrun.json\n")[2].splitlines()
    assert [line.split()[0] for line in run[1:3]] == ["config.episodes", "config.episode_length"]
    stdout = cli.run("compare", world / "synthetic", world / "agent").stdout
    cli.assert_mentions(stdout, "columns only in B: time, close", "states only in A", "config.environment.kind")


def test_bad_input_is_refused_in_one_line(tmp_path):
    streams(tmp_path / "a")
    cli.assert_mentions(cli.refused(tmp_path, "compare", tmp_path / "a", tmp_path / "b"), "b: no such file or folder")
    cli.assert_mentions(cli.refused(tmp_path, "compare", *[tmp_path / "a"] * 2, "--context", -1), "context is -1")
