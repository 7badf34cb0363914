"""What a published folder may cost its reader: memory and time are bounded by the sizes that it states, and limits."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import cli_helpers as cli
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from evidence_runs import failed

from idi_fast.evidence.manifest import rebuilt
from idi_fast.storage.files import digest

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")


def peak_bytes(pool) -> int:
    """The most memory that a reader has had so far."""
    (reader,) = pool._all
    status = Path(f"/proc/{reader._process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def remake(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(rebuilt(folder).text())


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Write a table of ours anew, with a manifest that fits."""
    about = pl.read_parquet_metadata(path).get("idi_fast")
    table = change(pq.read_table(path))
    metadata = None if about is None else {"idi_fast": about}
    pq.write_table(table.replace_schema_metadata(metadata), path, compression="zstd")
    assert path.stat().st_size < 2**21
    remake(path.parent)


def lists(table: pa.Table) -> pa.Array:
    """A column of lists of zeros, which is a quarter of a gigabyte in memory and next to nothing in a file."""
    width = 2**25 // table.num_rows
    values = pa.DictionaryArray.from_arrays(pa.array(np.zeros(width * table.num_rows, np.int8)), pa.array([0.0]))
    return pa.FixedSizeListArray.from_arrays(values, width)


@on_linux
@pytest.mark.parametrize("name", ["policy.parquet", "trace.parquet", "episodes.parquet"])
def test_a_column_that_no_such_table_has_is_not_read(name, readers, synthetic):
    rewrite(synthetic / name, lambda table: table.append_column("more", lists(table)))
    cli.assert_mentions(failed("verify", synthetic), f"{name} has a column 'more'", "never writes there")
    assert peak_bytes(readers) < 2**28


@pytest.mark.parametrize("name", ["equity.parquet", "trades.parquet"])
def test_so_it_is_of_a_backtest_s_tables(name, evidence, tmp_path):
    out = cli.copy_of(evidence / "backtest", tmp_path / "backtest")
    cli.succeed("verify", out)
    rewrite(out / name, lambda table: table.append_column("more", pa.nulls(table.num_rows, pa.int8())))
    cli.assert_mentions(failed("verify", out), f"{name} has a column 'more'", "never writes there")


def test_tables_of_figures_hold_no_lists(world, tmp_path):
    out = tmp_path / "w"
    args = ("--train-bars", 30, "--test-bars", 10, *cli.QUICK)
    cli.succeed("walkforward", world / "bars.csv", *args, "--out", out)
    cli.succeed("verify", out)
    rewrite(out / "windows.parquet", lambda table: table.append_column("more", pa.array([[0.0]] * table.num_rows)))
    cli.assert_mentions(failed("verify", out), "windows.parquet: more must hold one figure per row; its type is List")


@on_linux
def test_a_known_column_of_another_type_is_not_read(readers, synthetic):
    rewrite(synthetic / "trace.parquet", lambda t: t.drop_columns("target").append_column("target", lists(t)))
    cli.assert_mentions(failed("verify", synthetic), "target must hold whole numbers", "its type is")
    assert peak_bytes(readers) < 2**28


@on_linux
@pytest.mark.parametrize(("name", "what"), [("policy.parquet", "rows"), ("trace.parquet", "ticks")])
def test_more_rows_than_there_can_be(name, what, readers, synthetic):
    rewrite(synthetic / name, lambda table: table.take(pa.array(np.zeros(100_000, np.int64))))
    cli.assert_mentions(failed("verify", synthetic), f"{name} ", f"100,000 {what}")
    assert peak_bytes(readers) < 2**29


@on_linux
def test_a_long_text_in_each_row(readers, synthetic):
    def change(table: pa.Table) -> pa.Table:
        at = pa.array(np.zeros(table.num_rows, np.int32))
        texts = pa.DictionaryArray.from_arrays(at, pa.array(["x" * 2**24]))
        return table.drop_columns("comm_action").append_column("comm_action", texts)

    rewrite(synthetic / "trace.parquet", change)
    text = failed("verify", synthetic)
    assert "holds a text of 16,777,216 bytes" in text or "comm_action" in text, text
    assert peak_bytes(readers) < 2**30


def test_a_footer_longer_than_any_of_ours(synthetic):
    table, text = pq.read_table(synthetic / "trace.parquet"), "x" * (2**26 + 1)
    pq.write_table(table.replace_schema_metadata({"idi_fast": text}), synthetic / "trace.parquet")
    remake(synthetic)
    cli.assert_mentions(failed("verify", synthetic), "trace.parquet", "footer", "67,108,864")


@pytest.mark.parametrize("text", ["[" + "{}," * 3_000_000 + "{}]", "[" * 2_000_000], ids=["wide", "deep"])
def test_json_of_too_many_values(text, synthetic):
    run = json.loads((synthetic / "run.json").read_bytes())
    remake(synthetic)
    (synthetic / "run.json").write_text(json.dumps(run)[:-1] + f', "more": {text}}}')
    manifest = json.loads((synthetic / "manifest.json").read_bytes())
    manifest["files"]["run.json"] = digest(synthetic / "run.json")
    (synthetic / "manifest.json").write_text(json.dumps(manifest))
    error = failed("verify", synthetic)
    assert "run.json holds some" in error or "run.json is nested too deep" in error


@on_linux
def test_a_policy_reads_its_own_columns_alone(readers, synthetic):
    rewrite(synthetic / "policy.parquet", lambda table: table.append_column("more", lists(table)))
    cli.succeed("evaluate", synthetic, "--episodes", 2)
    assert peak_bytes(readers) < 2**28
