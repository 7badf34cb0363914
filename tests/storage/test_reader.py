"""Files are parsed in a separate process: whatever a file does to that one, this one continues."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import product
from pathlib import Path

import cli_helpers as cli
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal
from places import TESTS

from idi_fast.data import bar_files
from idi_fast.data.loading import load_history, open_history
from idi_fast.errors import ArtifactError, DataError, IdiFastError
from idi_fast.storage.reader import client, messages
from idi_fast.storage.reader.client import Limits
from idi_fast.storage.tables import Table

ABORTS = TESTS / "damaged" / "aborts_polars.parquet"
ENDS_EARLY = TESTS / "damaged" / "ends_early_in_polars.parquet"
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")


def write_bars(path: Path, n: int = 1000) -> Path:
    cli.bars(n).write_parquet(path)
    return path


def test_a_file_that_aborts_its_reader_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"aborts_polars.parquet: reading it ended .* \(SIGABRT\): it is damaged"):
        load_history(ABORTS)
    assert len(load_history(write_bars(tmp_path / "next.parquet"))) == 1000


@pytest.mark.parametrize("command", ["train", "backtest", "walkforward"])
def test_such_a_file_ends_a_command_in_one_line(command, world, tmp_path):
    args = {
        "train": ("train", *cli.QUICK, "--data", ABORTS),
        "backtest": ("backtest", ABORTS, "--policy", world / "agent", "--volume-col", "open"),
        "walkforward": ("walkforward", ABORTS, *cli.QUICK, "--train-bars", 20, "--test-bars", 10),
    }[command]
    cli.assert_mentions(cli.refused(tmp_path, *args, "--out", tmp_path / "out"), ABORTS, "SIGABRT", "write it again")


def test_such_a_table_ends_neither_a_comparison_nor_an_export(world, tmp_path):
    cli.assert_mentions(cli.refused(tmp_path, "compare", ABORTS, world / "later.parquet"), "aborts_polars", "SIGABRT")
    args = ("export", world / "agent", "--to", tmp_path / "to", "--columns", ABORTS, "--stream", "q_buy=close")
    cli.assert_mentions(cli.refused(tmp_path, *args), "aborts_polars", "SIGABRT")


def test_a_table_that_ends_early_is_an_error_and_not_a_shorter_one(world, tmp_path, monkeypatch):
    """A damaged page of `high` ends polars' batches without a word."""
    said = r"(it has fewer rows than its footer says|0 of its 160 rows can be read|Unknown encoding type|.*Thrift)"
    with pytest.raises(IdiFastError, match=said):
        Table.open(ENDS_EARLY, "the table").frame()
    args = ("export", world / "agent", "--to", tmp_path / "to", "--columns", ENDS_EARLY, "--stream", "q_buy=high")
    cli.assert_mentions(cli.refused(tmp_path, *args), "ends_early")
    for small_bytes in (10**9, -1):
        monkeypatch.setattr(bar_files, "SMALL_BYTES", small_bytes)
        with pytest.raises(DataError, match=said):
            load_history(ENDS_EARLY, price="high", time="none")
        # Rows out of order, and no rows from which to tell why.
        with pytest.raises(DataError, match=r"2022-07-24 is earlier|ends_early"):
            load_history(ENDS_EARLY)


def small_files() -> dict[str, bytes]:
    """Parquet files of a few bars, of all codecs and encodings."""
    frame = cli.bars(40).with_columns(pl.col("time").dt.strftime("%Y-%m-%dT%H:%M:%S").alias("text"))
    delta = {"text": "DELTA_BYTE_ARRAY", "time": "DELTA_BINARY_PACKED"}
    made = {}
    for codec in ("none", "snappy", "gzip", "brotli", "lz4", "zstd"):
        for name, options in {
            "plain": {"use_dictionary": False},
            "dictionary": {},
            "delta": {"use_dictionary": False, "column_encoding": delta},
            "split": {"use_dictionary": False, "use_byte_stream_split": ["close", "open", "volume"]},
        }.items():
            buffer = io.BytesIO()
            pq.write_table(frame.to_arrow(), buffer, compression=codec, **options)
            made[f"{codec} {name}"] = buffer.getvalue()
    nested = frame.to_arrow().append_column("nested", pa.array([[{"a": k}] for k in range(40)]))
    pq.write_table(nested, buffer := io.BytesIO())
    return {**made, "nested": buffer.getvalue()}


def test_damaged_bytes_anywhere(tmp_path):
    rng, path, outcomes = np.random.default_rng(0), tmp_path / "damaged.parquet", set()
    for data in small_files().values():
        for part, options in product(("pages", "footer"), ({}, {"time": "text"})):
            damaged = bytearray(data)
            footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
            low, high = (4, footer) if part == "pages" else (footer, len(data))
            for place in rng.integers(low, high, 3):
                damaged[place] ^= 1 << rng.integers(8)
            path.write_bytes(damaged)
            try:
                outcomes.add(len(load_history(path, **options)))
            except DataError as error:
                outcomes.add("refused" if str(path) in str(error) else str(error))
    assert outcomes >= {40, "refused"}
    assert all(outcome == "refused" or isinstance(outcome, int) for outcome in outcomes)


def test_a_reader_is_kept_and_one_that_ended_is_replaced(readers, tmp_path):
    path = write_bars(tmp_path / "bars.parquet")
    load_history(path)
    (first,) = readers._all
    load_history(path)
    next(open_history(path).chunks(100)).close.sum()  # the rest is wanted by nobody
    load_history(path)
    assert readers._all == readers._idle == [first]
    with pytest.raises(DataError):
        load_history(ABORTS)
    load_history(path)
    (second,) = readers._all
    second._process.kill()  # not by a file
    second._process.wait()
    assert len(load_history(path)) == 1000
    assert (len(readers._all), first in readers._all, first._process.returncode) == (1, False, -signal.SIGABRT)


def test_chunks_that_are_kept_hold_what_they_held(readers, tmp_path):
    frame = cli.bars(2000)
    frame.write_parquet(tmp_path / "bars.parquet")
    chunks = list(open_history(tmp_path / "bars.parquet").chunks(50))
    assert len(chunks) > 2 * messages.SLOTS
    assert all(chunk.close.flags.writeable for chunk in chunks)
    for name in ("close", "volume", "open"):
        assert_array_equal(np.concatenate([chunk.column(name) for chunk in chunks]), frame[name])
    for chunk in chunks:
        chunk.close[:] = 1.0  # one's own
    views = [chunk.volume[10:20] for chunk in chunks]
    del chunks, chunk
    load_history(tmp_path / "bars.parquet")
    assert_array_equal(np.concatenate(views), frame["volume"].to_numpy().reshape(-1, 50)[:, 10:20].ravel())


def test_without_memory_files_arrays_take_the_pipe(readers, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "make_slots", list)
    path = write_bars(tmp_path / "bars.parquet", 5000)
    history = load_history(path)
    assert_array_equal(history.close, cli.bars(5000)["close"])
    assert sum(len(chunk) for chunk in open_history(path).chunks(100)) == 5000


def test_threads_read_side_by_side(readers, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "START_SECONDS", 0.0)
    lengths = dict.fromkeys(range(6))

    def read(k: int) -> None:
        path = write_bars(tmp_path / f"{k}.parquet", 100 + k)
        lengths[k] = sum(len(chunk) for chunk in open_history(path).chunks(10))

    threads = [threading.Thread(target=read, args=(k,)) for k in lengths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lengths == {k: 100 + k for k in range(6)}
    assert 1 <= len(readers._all) == len(readers._idle) <= 6


@on_linux
def test_memory_files_are_emptied_after_use(readers, tmp_path):
    path = write_bars(tmp_path / "bars.parquet", 300)
    pl.concat([pl.read_parquet(path)] * 4000).drop("time").write_parquet(path)
    for _ in range(2):
        history = load_history(path)
        assert_array_equal(history.close.reshape(4000, 300)[::999], np.tile(cli.bars(300)["close"], (5, 1)))
    (reader,) = readers._all
    sizes = [os.fstat(slot).st_size for slot in reader._descriptors]
    assert sum(sizes) < 2**26


def test_a_slot_may_become_free_while_others_are_emptied(readers, tmp_path, monkeypatch):
    path = write_bars(tmp_path / "bars.parquet")
    load_history(path)
    (reader,) = readers._all
    held = [reader._free.pop()]  # as by arrays that another thread still has

    def trim(slot):
        if held:
            reader._free.appendleft(held.pop())

    monkeypatch.setattr(messages.Slot, "trim", trim)
    load_history(path)
    assert sorted(reader._free) == list(range(len(reader._slots)))


def test_relative_paths_follow_the_working_directory(tmp_path, monkeypatch):
    for n in (10, 20):
        (tmp_path / str(n)).mkdir()
        write_bars(tmp_path / str(n) / "bars.parquet", n)
        monkeypatch.chdir(tmp_path / str(n))
        assert len(load_history("bars.parquet")) == n


def test_what_the_reader_raises_is_raised(tmp_path):
    (tmp_path / "bars.csv").write_text("time,close\n2024-01-01,1\n2024-01-02,x\n")
    with pytest.raises(DataError, match=r"bars.csv, row 2, column 'close': found 'x'"):
        load_history(tmp_path / "bars.csv")
    with pytest.raises(RuntimeError, match=r"in reading: TypeError.*unexpected"):
        client.ask("count", {"unexpected": 1})


@pytest.mark.parametrize("value", ["", "/nowhere/python"])
def test_without_an_interpreter_the_error_says_what_to_set(value, readers, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", value)
    with pytest.raises(IdiFastError, match="IDI_FAST_PYTHON"):
        load_history(write_bars(tmp_path / "bars.parquet"))


def test_an_interpreter_can_be_named(readers, tmp_path, monkeypatch):
    monkeypatch.setenv("IDI_FAST_PYTHON", sys.executable)
    monkeypatch.setattr(sys, "executable", "")
    assert len(load_history(write_bars(tmp_path / "bars.parquet"))) == 1000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a FIFO")
def test_reading_that_does_not_end_is_stopped(readers, tmp_path):
    os.mkfifo(tmp_path / "pipe.parquet")
    with pytest.raises(ArtifactError, match="took too long"):
        Table.open(tmp_path / "pipe.parquet", "the table", Limits(seconds=2.0))


@on_linux
def test_reading_that_takes_too_much_memory_is_stopped(readers, tmp_path):
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"a": pa.array(np.zeros(2**27))}), path, compression="zstd")
    assert path.stat().st_size < 2**20
    table = Table.open(path, "the table", Limits(memory=2**28))
    with pytest.raises(ArtifactError, match=r"more memory|SIG"):
        list(table.frames())
    assert Table.open(path).rows == 2**27


@on_linux
def test_a_reader_survives_interrupts_and_ends_with_its_process(tmp_path):
    code = (
        "import os, sys, time\nfrom idi_fast.data.loading import load_history\n"
        "from idi_fast.storage.reader import client\n"
        "load_history(sys.argv[1])\npid = client._pool._all[0]._process.pid\nos.kill(pid, 2)\n"
        "assert len(load_history(sys.argv[1])) == 1000\nassert client._pool._all[0]._process.pid == pid\n"
        "print(pid, flush=True)\ntime.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, write_bars(tmp_path / "bars.parquet")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        pid = int(process.stdout.readline())
        assert os.path.exists(f"/proc/{pid}")
        process.kill()
    deadline = time.monotonic() + 20.0
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_script_needs_no_main_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom idi_fast import load_history\nprint(len(load_history(sys.argv[1])))\n"
        "try:\n    load_history(sys.argv[2])\nexcept Exception as error:\n    print(type(error).__name__)\n"
    )
    command = [sys.executable, script, write_bars(tmp_path / "bars.parquet"), ABORTS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("1000\nDataError\n", "", 0)


def test_what_lies_in_the_working_directory_is_not_imported(tmp_path):
    """A stranger's folder is a place to verify, not one to run code from."""
    for name in ("json.py", "queue.py", "numpy.py"):
        (tmp_path / name).write_text("import os\nopen('ran', 'w').close()\nos._exit(0)\n")
    pl.DataFrame({"close": [1.0, 2.0, 3.0]}).write_parquet(tmp_path / "bars.parquet")
    code = "from idi_fast.cli import main; main()"
    command = [sys.executable, "-P", "-c", code, "backtest", "bars.parquet", "--policy", "none", "--out", "x"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended
    load = "import idi_fast; print(len(idi_fast.load_history('bars.parquet')))"
    ended = subprocess.run(
        [sys.executable, "-P", "-c", load], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.stdout, ended.returncode) == ("3\n", 0), ended
    assert not (tmp_path / "ran").exists()
