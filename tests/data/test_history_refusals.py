"""Price histories: what is refused, and in which words."""

import gzip
import re
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from history_files import assert_mentions, parquet, refusal, text

from idi_fast.data.loading import load_history
from idi_fast.data.sources import ACCEPTED
from idi_fast.errors import ConfigError

pytestmark = pytest.mark.usefixtures("any_size")

# ---- what is refused


@pytest.mark.parametrize(
    ("column", "value", "shown", "expected"),
    [
        ("close", "0", "'0'", "above 0"),
        ("close", "-2.5", "'-2.5'", "above 0"),
        ("close", "inf", "'inf'", "a finite number"),
        ("close", "1e999", "'1e999'", "a finite number"),
        ("close", "nan", "'nan'", "a finite number"),
        ("close", "", "no value", "a finite number"),
        ("close", '" "', "no value", "a finite number"),
        ("close", "abc", "'abc'", "a finite number"),
        ("close", '"1,5"', "'1,5'", "a finite number"),
        ("close", "0x1F", "'0x1F'", "a finite number"),
        ("open", "0", "'0'", "above 0"),
        ("open", "-inf", "'-inf'", "above 0"),
        ("volume", "-1", "'-1'", "0 or more"),
        ("volume", "inf", "'inf'", "0 or more"),
        ("volume", "", "no value", "0 or more"),
        ("volume", "12Q", "'12Q'", "0 or more"),
        ("more", "inf", "'inf'", "a finite number"),
        ("more", "true", "'true'", "a finite number"),
        ("flag", "2", "'2'", "0 or 1"),
        ("flag", "0.5", "'0.5'", "0 or 1"),
        ("flag", "yes", "'yes'", "0 or 1"),
        ("flag", "", "no value", "0 or 1"),
        ("time", "", "no value", "a date"),
        ("time", "yesterday", "'yesterday'", "a date"),
        ("time", "2024-02-30", "'2024-02-30'", "a date"),
        ("time", "2024-01-17T25:00:00", "'2024-01-17T25:00:00'", "a date"),
        ("time", "17/01/2024", "'17/01/2024'", "a date"),
        ("time", "3000-01-01", "'3000-01-01'", "years 1700 to 2199"),
        ("time", "1600-01-01T00:00:00", "'1600-01-01T00:00:00'", "years 1700 to 2199"),
        ("time", "1705449600", "'1705449600'", "a date"),
    ],
)
def test_a_bad_value_in_csv_is_named(tmp_path, column, value, shown, expected):
    """Row 1017 lies beyond the rows from which polars would guess a type."""
    names = ("time", "close", "open", "volume", "more", "flag")
    rows = [{"time": f"{date(2020, 1, 1) + timedelta(i)}", **dict.fromkeys(names[1:], "1")} for i in range(1100)]
    rows[1016][column] = value
    table = "\n".join([",".join(names), *(",".join(row.values()) for row in rows)])
    message = refusal(text(tmp_path / "x.csv", table), extra=["more"], risk="flag")
    assert_mentions(message, tmp_path / "x.csv", ", row 1017, ", f"column '{column}'", f"found {shown}", expected)


@pytest.mark.parametrize(
    ("column", "values", "shown"),
    [
        ("close", [1.0, 2.0, float("nan")], "nan"),
        ("close", [1.0, 2.0, None], "no value"),
        ("close", [1.0, 2.0, float("inf")], "inf"),
        ("close", [1, 2, -3], "-3"),
        ("close", [Decimal("1"), Decimal("2"), Decimal("-3.25")], "-3.25"),
        ("close", ["1", "2", "three"], "'three'"),
        ("volume", [1, 2, -3], "-3"),
        ("risk", [0, 1, 2], "2"),
        ("risk", [True, False, None], "no value"),
        ("time", [date(2024, 1, 1), date(2024, 1, 2), None], "no value"),
        ("time", [date(2024, 1, 1), date(2024, 1, 2), date(3000, 1, 1)], "3000-01-01"),
        (
            "time",
            [datetime(2024, 1, 1), datetime(2024, 1, 2), datetime(3000, 1, 1)],
            "3000-01-01T",
        ),
        ("time", pl.Series([1, 2, 10**18]).cast(pl.Datetime("ms")), "31690708-07-05"),
        ("time", [10**9, 2 * 10**9, 10**10], "10000000000"),
        ("time", pl.Series([10**9, 2 * 10**9, 2**64 - 1], dtype=pl.UInt64), "18446744073709551615"),
    ],
)
def test_a_bad_value_in_parquet_is_named(tmp_path, column, values, shown):
    table = {"close": [1.0, 2.0, 3.0], column: values}
    message = refusal(parquet(tmp_path / "x.parquet", **table), risk="risk" if column == "risk" else None)
    assert_mentions(message, tmp_path / "x.parquet", "row 3", f"column '{column}'", f"found {shown}", "expected")


def test_the_first_bad_row_of_all_columns_is_named(tmp_path):
    path = text(tmp_path / "x.csv", "close,volume\n1,1\n2,x\n0,1\n")
    assert_mentions(refusal(path), "row 2, column 'volume'", "'x'")


def test_rows_are_counted_in_their_own_file(tmp_path):
    text(tmp_path / "d" / "1.csv", "close\n1\n2\n3\n")
    text(tmp_path / "d" / "2.csv", "close\n1\n-1\n")
    assert_mentions(refusal(tmp_path / "d"), tmp_path / "d" / "2.csv", "row 2", "'-1'")


@pytest.mark.parametrize(
    ("stamps", "row", "words"),
    [
        (["2024-01-01", "2024-01-03", "2024-01-02"], 3, "2024-01-02 is earlier than 2024-01-03 in"),
        (["2024-01-01", "2024-01-01", "2024-01-02"], 2, "2024-01-01 repeats 2024-01-01 in"),
        (
            ["2024-01-01T12:00Z", "2024-01-01T12:30+01:00", "2024-01-01T12:00Z"],
            2,
            "2024-01-01T11:30 is earlier than 2024-01-01T12",
        ),
    ],
)
def test_times_must_increase(tmp_path, stamps, row, words):
    rows = [f"{stamp},1" for stamp in stamps]
    message = refusal(text(tmp_path / "x.csv", "\n".join(["Date,close", *rows])))
    x = tmp_path / "x.csv"
    assert_mentions(message, f"{x}, row {row}, column 'Date'", words, f"{x}, row {row - 1}")


def test_times_must_increase_from_file_to_file_and_over_dropped_rows(tmp_path):
    text(tmp_path / "d" / "1.csv", "time,close\n2024-01-01,1\n2024-01-03,1\n2024-01-09,\n")
    text(tmp_path / "d" / "2.csv", "time,close\n2024-01-01,\n2024-01-03,1\n")
    message = refusal(tmp_path / "d", nan="drop")
    assert_mentions(message, "2.csv, row 2, column 'time'", "repeats", "1.csv, row 2")


@pytest.mark.parametrize("nan", ["refuse", "drop"])
@pytest.mark.parametrize("content", ["close\n", "close", "close\n1\n"])
def test_too_few_rows(tmp_path, content, nan):
    message = refusal(text(tmp_path / "x.csv", content), nan=nan)
    assert_mentions(message, "x.csv", "usable rows", "2 or more")


def test_too_few_rows_left(tmp_path):
    message = refusal(text(tmp_path / "x.csv", "close,volume\n1,\n2,1\n3,\n"), nan="drop")
    assert_mentions(message, "x.csv", "1 usable rows (2 dropped)")


@pytest.mark.parametrize(
    ("header", "options", "words"),
    [
        ("when,what", {}, ["no price column", "'when', 'what'"]),
        ("close,x", {"price": "closs"}, ["no column 'closs'", "'close', 'x'", "Did you mean 'close'?"]),
        ("close,x", {"time": "timer"}, ["no column 'timer'"]),
        ("close,x", {"open": "open"}, ["no column 'open'"]),
        ("close,x", {"volume": "volume"}, ["no column 'volume'"]),
        ("close,flags", {"risk": "flag"}, ["no column 'flag'", "Did you mean 'flags'?"]),
        ("close,spread", {"extra": ["spred"]}, ["no column 'spred'", "Did you mean 'spread'?"]),
        ("close,x", {"extra": ["volume"]}, ["no volume column", "'close', 'x'"]),
        ("close,x", {"extra": ["open"]}, ["no open column"]),
        ("close,Close", {}, ["close column", "'close', 'Close'", "name one"]),
        ("close,CLOSE", {"price": "Close"}, ["'close', 'CLOSE'", "name one"]),
        ("close,close", {}, ["'close', 'close_duplicated_0'"]),
        ("close,Date,date", {}, ["time column", "'Date', 'date'"]),
        ("close~volume", {}, ["only 'close~volume'", "`sep`"]),
    ],
)
def test_columns_that_cannot_be_told(tmp_path, header, options, words):
    row = ",".join(["1"] * (header.count(",") + 1))
    message = refusal(text(tmp_path / "x.csv", f"{header}\n{row}\n{row}\n"), **options)
    assert_mentions(message, tmp_path / "x.csv", *words)


@pytest.mark.parametrize(
    ("column", "values", "kind"),
    [
        ("close", [[1.0], [2.0]], "List(Float64)"),
        ("close", [True, False], "Boolean"),
        ("close", [date(2024, 1, 1), date(2024, 1, 2)], "Date"),
        ("close", [b"1", b"2"], "Binary"),
        ("volume", [timedelta(1), timedelta(2)], "Duration"),
        ("time", [timedelta(1), timedelta(2)], "Duration"),
        ("more", pl.Series([[1], [2]]), "List(Int64)"),
    ],
)
def test_types_that_hold_no_values_of_the_kind(tmp_path, column, values, kind):
    path = parquet(tmp_path / "x.parquet", **{"close": [1.0, 2.0], column: values})
    message = refusal(path, extra=["more"] if column == "more" else [])
    assert_mentions(message, path, f"column '{column}' has type {kind}", "expected")


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"time": [3, 4], "close": [3, 4]}, "column 'close' has type Int64, expected Float64 as in"),
        ({"time": [date(2024, 1, 1)], "close": [3.0]}, "column 'time' has type Date, expected Int64 as in"),
        ({"time": [3, 4], "last": [3.0, 4.0]}, "no column 'close' as in"),
    ],
)
def test_files_that_differ(tmp_path, second, words):
    first = parquet(tmp_path / "d" / "1.parquet", time=[1, 2], close=[1.0, 2.0])
    other = parquet(tmp_path / "d" / "2.parquet", **second)
    assert_mentions(refusal(tmp_path / "d"), f"{other}: {words} {first}")


def test_csv_files_that_differ(tmp_path):
    text(tmp_path / "d" / "1.csv", "close,x\n1,1\n2,2\n")
    text(tmp_path / "d" / "2.csv", "x\n1\n2\n")
    assert_mentions(refusal(tmp_path / "d" / "*.csv"), tmp_path / "d" / "2.csv", "no column 'close'", "only 'x'")


def test_paths_that_lead_nowhere(tmp_path):
    bars = text(tmp_path / "bars.csv", "close\n1\n2\n")
    for path, words in [
        (tmp_path / "bar.csv", "no such file or folder. Did you mean 'bars.csv'?"),
        (tmp_path / "none" / "bars.csv", "no such file or folder"),
        (tmp_path / "*.parquet", f"no file named {ACCEPTED} matches"),
        (bars / "x.csv", "no such file or folder"),
    ]:
        assert_mentions(refusal(path), path, words)


def test_folders_and_names_that_hold_no_history(tmp_path):
    note = text(tmp_path / "note.md", "hello")
    assert_mentions(refusal(tmp_path), tmp_path, f"the folder holds no file named {ACCEPTED}")
    assert_mentions(refusal(note), note, "not a known kind of file", ACCEPTED)
    assert_mentions(refusal(tmp_path / "*"), note, "not a known kind of file")
    note.unlink()
    text(tmp_path / "a.csv", "close\n1\n2\n")
    parquet(tmp_path / "b.parquet", close=[3.0, 4.0])
    assert_mentions(refusal(tmp_path), tmp_path, "both CSV and Parquet")
    assert_mentions(refusal(tmp_path / "*.*"), "both CSV and Parquet")


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.parquet"])
def test_empty_files(tmp_path, name):
    assert_mentions(refusal(text(tmp_path / name, b"")), tmp_path / name, "empty")


def test_files_that_cannot_be_read(tmp_path):
    whole = parquet(tmp_path / "whole.parquet", close=np.arange(1.0, 1000.0)).read_bytes()
    zipped = gzip.compress(b"close\n" + b"1\n" * 10_000)
    for name, content in [
        ("cut.parquet", whole[: len(whole) // 2]),
        ("tail.parquet", whole[:-1]),
        ("head.parquet", whole[-100:]),
        ("hole.parquet", whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :]),
        ("csv.parquet", b"close\n1\n2\n" * 10),
        ("cut.csv.gz", zipped[:-20]),
        ("blank.csv", b"\n\n"),
        ("quote.csv", b'close\n"1\n2\n3\n'),
    ]:
        path = text(tmp_path / "bad" / name, content)
        kind = "CSV" if "csv" in path.suffixes[0] else "Parquet"
        assert_mentions(refusal(path), f"{path}: cannot be read as {kind}: ")


@pytest.mark.parametrize("zipped", [False, True])
def test_a_csv_row_with_too_many_fields_is_named(tmp_path, zipped):
    """A decimal comma would else move every later column of its row, the ones read included."""
    content = b"close,open,volume,note\n1,1,1,a\n1,5,1,1,b\n"
    path = tmp_path / ("x.csv.gz" if zipped else "x.csv")
    text(path, gzip.compress(content) if zipped else content)
    assert_mentions(refusal(path), f"{path}: cannot be read as CSV: row 2 has 5 fields, the header 4")


def test_a_short_csv_row_lacks_values(tmp_path):
    path = text(tmp_path / "x.csv", "time,close\n2024-01-01,1\n2024-01-02\n")
    assert_mentions(refusal(path), "row 2, column 'close'", "no value")


def test_nan_is_one_of_two_words(tmp_path):
    with pytest.raises(ConfigError, match=r"'skip'.*'refuse' or 'drop'"):
        load_history(text(tmp_path / "x.csv", "close\n1\n2\n"), nan="skip")


def test_times_that_no_int64_of_nanoseconds_holds(tmp_path):
    times = pa.array([datetime(2600, 1, 1), datetime(2601, 1, 1)])
    pq.write_table(
        pa.table({"time": times, "close": [1.0, 2.0]}),
        tmp_path / "bars.parquet",
        use_deprecated_int96_timestamps=True,
        store_schema=False,
    )
    assert_mentions(refusal(tmp_path / "bars.parquet"), "bars.parquet", "time")


@pytest.mark.parametrize("row", [1, 2])
def test_a_time_of_thousands_of_digits(tmp_path, row):
    times = ["1704067200", "1704153600", "1704240000"]
    times[row - 1] = "9" * 5000
    path = text(tmp_path / "bars.csv", "time,close\n" + "".join(f"{time},1.0\n" for time in times))
    assert_mentions(refusal(path), "bars.csv", f"row {row}", "'time'")


def test_text_that_is_no_utf_8(tmp_path):
    letters = b"1.52.5\xff\xfe"
    offsets = pa.array([0, 3, 6, 8], pa.int32()).buffers()[1]
    close = pa.Array.from_buffers(pa.string(), 3, [None, offsets, pa.py_buffer(letters)])
    pq.write_table(pa.table({"close": close}), tmp_path / "bars.parquet")
    assert_mentions(refusal(tmp_path / "bars.parquet"), "bars.parquet", "UTF-8")


@pytest.mark.parametrize("size", [50 * 10**9, 200_000])
@pytest.mark.parametrize("name", ["bars.csv", "BARS.CSV"])
@pytest.mark.parametrize("rows", ["", "time,close\n2024-01-01,1\n2024-01-02,2\n"])
def test_nul_bytes_are_no_text(tmp_path, rows, name, size):
    """However many: what a file system does not keep takes no time to parse."""
    path = text(tmp_path / name, rows)
    with path.open("r+b") as file:
        file.truncate(size)
    message = refusal(path)
    assert_mentions(message, f"{name}: byte {len(rows) + 1:,} is NUL", "expected UTF-8 text: write it again")


def test_a_hole_behind_many_rows(tmp_path):
    path = text(tmp_path / "bars.csv", "close\n" + "1.5\n" * 100_000)
    with path.open("r+b") as file:
        file.truncate(50 * 10**9)
    assert re.search(r"bars.csv: byte \d{3},\d{3} is NUL", refusal(path)), refusal(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_hole_in_text_of_several_bytes_a_letter(tmp_path, encoding):
    path = text(tmp_path / "bars.csv", ("time,close\n" + "2024-01-01,1\n" * 9000).encode(encoding))
    with path.open("r+b") as file:
        file.truncate(50 * 10**9)
    assert re.search(r"bars.csv: byte \d+,\d{3} is NUL", refusal(path)), refusal(path)
