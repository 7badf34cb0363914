"""Price histories: what is accepted, what is refused and with which words."""

import dataclasses
import gzip
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from idi_fast.errors import ConfigError, DataError
from idi_fast.history import load_history

DAY_NS = 86_400 * 10**9
JAN_1 = 1_704_067_200 * 10**9  # 2024-01-01 UTC

# Daily bars as the common exporters write them, the index unnamed.
DAILY = """\
,Open,High,Low,Close,Volume
2004-08-19,100,104.06,95.96,100.34,22351900
2004-08-20,101.01,109.08,100.5,108.31,11428600
2004-08-23,110.75,113.48,109.05,109.4,9137200
2004-08-24,111.24,111.6,103.57,104.87,7631300
"""
HOURLY = """\
,Open,High,Low,Close,Volume
2017-04-19 09:00:00,1.0716,1.0722,1.07083,1.07219,1413
2017-04-19 10:00:00,1.07214,1.07296,1.07214,1.0726,1241
2017-04-19 11:00:00,1.07256,1.07299,1.0717,1.07192,1025
"""


def text(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet(path: Path, **columns) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(columns).write_parquet(path)
    return path


def refusal(path: Path, **options) -> str:
    """Return the text of the refusal, checked to be one sentence on one line."""
    with pytest.raises(DataError) as caught:
        load_history(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert "Traceback" not in message
    return message


def assert_mentions(message: str, *parts: object) -> None:
    for part in parts:
        assert str(part) in message


def assert_equal_histories(left, right) -> None:
    for field in ("close", "open", "volume", "time", "risk", "after_gap"):
        a, b = getattr(left, field), getattr(right, field)
        assert (a is None) == (b is None), field
        if a is not None:
            assert a.dtype == b.dtype
            assert_array_equal(a, b)
    assert list(left.extra) == list(right.extra)
    for name in left.extra:
        assert_array_equal(left.extra[name], right.extra[name])
    assert left.dropped == right.dropped


# ---- what is accepted


def test_daily_bars_as_csv_and_parquet(tmp_path):
    history = load_history(text(tmp_path / "daily.csv", DAILY))
    assert len(history) == 4
    assert history.columns == {"time": "", "close": "Close", "open": "Open", "volume": "Volume"}
    assert_array_equal(history.close, [100.34, 108.31, 109.4, 104.87])
    assert_array_equal(history.open, [100, 101.01, 110.75, 111.24])
    assert_array_equal(history.volume, [22351900, 11428600, 9137200, 7631300])
    days = np.array(["2004-08-19", "2004-08-20", "2004-08-23", "2004-08-24"], "datetime64[ns]")
    assert_array_equal(history.time, days.view(np.int64))
    assert history.files == (tmp_path / "daily.csv",)
    assert history.dropped == 0
    assert not history.after_gap.any()
    pl.read_csv(tmp_path / "daily.csv", try_parse_dates=True).write_parquet(tmp_path / "daily.parquet")
    assert_equal_histories(history, load_history(tmp_path / "daily.parquet"))


def test_hourly_bars(tmp_path):
    history = load_history(str(text(tmp_path / "hourly.csv", HOURLY)))
    assert_array_equal(np.diff(history.time), [3600 * 10**9] * 2)
    assert history.time[0] == np.datetime64("2017-04-19T09", "ns").astype(np.int64)


@pytest.mark.parametrize("suffix", [".csv", ".CSV", ".csv.gz", ".parquet", ".pq", ".Parquet"])
def test_suffixes(tmp_path, suffix):
    path = tmp_path / f"bars{suffix}"
    if "csv" not in suffix.lower():
        parquet(path, close=[1.0, 2.0])
    else:
        text(path, gzip.compress(b"close\n1\n2\n") if suffix == ".csv.gz" else "close\n1\n2\n")
    assert_array_equal(load_history(path).close, [1, 2])


def test_a_name_with_glob_signs_is_a_name_first(tmp_path):
    assert len(load_history(text(tmp_path / "bars[1].csv", "close\n1\n2\n"))) == 2
    assert len(load_history(parquet(tmp_path / "bars*.parquet", close=[1.0, 2.0]))) == 2


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("close", "close"),
        ("Price,CLOSE", "CLOSE"),
        ("Adj Close", "Adj Close"),
        ("adj_close,Close", "Close"),
        ("mid,LAST", "LAST"),
        (" Close ", " Close "),
        ("mid", "mid"),
    ],
)
def test_usual_price_names(tmp_path, header, column):
    n = header.count(",") + 1
    rows = "\n".join([header, ",".join(["1"] * n), ",".join(["2"] * n)])
    history = load_history(text(tmp_path / "x.csv", rows))
    assert history.columns["close"] == column
    assert history.open is history.volume is history.time is history.risk is None


@pytest.mark.parametrize(
    "name",
    [
        "time",
        "Timestamp",
        "DATE",
        "datetime",
        "ts",
        "open_time",
        "Close_Time",
        "Unnamed: 0",
        "__index_level_0__",
        "",
    ],
)
def test_usual_time_names(tmp_path, name):
    path = text(tmp_path / "x.csv", f"{name},close\n2024-01-01,1\n2024-01-02,2\n")
    assert load_history(path).columns["time"] == name
    table = {name: [date(2024, 1, 1), date(2024, 1, 2)], "close": [1.0, 2.0]}
    assert_array_equal(load_history(parquet(tmp_path / "x.parquet", **table)).time, [JAN_1, JAN_1 + DAY_NS])


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "__index_level_0__"])
def test_an_index_of_row_numbers_is_no_time(tmp_path, name):
    assert load_history(text(tmp_path / "x.csv", f"{name},close\n0,1\n1,2\n")).time is None
    assert load_history(parquet(tmp_path / "x.parquet", **{name: [0, 1], "close": [1.0, 2.0]})).time is None


def test_a_time_by_name_wins_over_the_index(tmp_path):
    path = text(tmp_path / "x.csv", ",close,Date\n0,1,2024-01-01\n1,2,2024-01-02\n")
    assert load_history(path).columns["time"] == "Date"


def test_given_names(tmp_path):
    path = text(tmp_path / "x.csv", "when,close,Fair,o,turnover,Calm\n2024-01-01,9,1,3,0,0\n2024-01-02,9,2,4,5,1\n")
    names = {"time": "when", "price": "fair", "open": "o", "volume": "turnover", "risk": "CALM"}
    history = load_history(path, **names, extra=["close", "turnover", "volume"])
    assert history.columns == {
        "time": "when",
        "close": "Fair",
        "open": "o",
        "volume": "turnover",
        "risk": "Calm",
        "turnover": "turnover",
    }
    assert_array_equal(history.close, [1, 2])
    assert_array_equal(history.column("close"), [1, 2])
    assert_array_equal(history.column("turnover"), history.volume)
    assert history.risk.dtype == np.uint8
    assert_array_equal(history.risk, [0, 1])


def test_a_given_name_is_first_taken_letter_by_letter(tmp_path):
    path = text(tmp_path / "x.csv", "close,Close\n1,3\n2,4\n")
    assert_array_equal(load_history(path, price="Close").close, [3, 4])
    assert_array_equal(load_history(path, price="close").close, [1, 2])


STAMPS = [datetime(2024, 1, 1), datetime(2024, 1, 1, 12, 30)]
NOON = JAN_1 + 45_000 * 10**9


@pytest.mark.parametrize(
    "column",
    [
        pl.Series(STAMPS, dtype=pl.Datetime("ms")),
        pl.Series(STAMPS, dtype=pl.Datetime("us")),
        pl.Series(STAMPS, dtype=pl.Datetime("ns")),
        pl.Series(STAMPS).dt.replace_time_zone("UTC"),
        pl.Series(STAMPS).dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York"),
        pl.Series([JAN_1 // 10**9, NOON // 10**9]),
        pl.Series([JAN_1 // 10**6, NOON // 10**6]),
        pl.Series([JAN_1 // 10**3, NOON // 10**3], dtype=pl.UInt64),
        pl.Series([JAN_1, NOON]),
        pl.Series(["2024-01-01", "2024-01-01 12:30"]),
    ],
    ids=lambda column: str(column.dtype),
)
def test_times_in_parquet(tmp_path, column):
    history = load_history(parquet(tmp_path / "x.parquet", time=column, close=[1.0, 2.0]))
    assert history.time.dtype == np.int64
    assert_array_equal(history.time, [JAN_1, NOON])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2024-01-01", "2024-01-01 12:30"),
        ("2024-01-01 00:00", "2024-01-01T12:30"),
        ("2024-01-01 00:00:00", "2024-01-01 12:30:00"),
        ("2024-01-01T00:00:00.000", "2024-01-01T12:30:00.000000000"),
        ("2024-01-01T00:00:00Z", "2024-01-01T12:30:00Z"),
        ("2024-01-01T01:00:00+01:00", "2024-01-01T14:30:00+0200"),
        ("2023-12-31 19:00:00.5-05", "2024-01-01 12:30Z"),
        (" 2024-01-01 ", "2024-01-01T12:30:00"),
        (str(JAN_1 // 10**9), str(NOON // 10**9)),
        (str(JAN_1 // 10**6), str(NOON // 10**6)),
        (str(JAN_1 // 10**3), str(NOON // 10**3)),
        (str(JAN_1), str(NOON)),
    ],
)
def test_times_in_csv(tmp_path, first, second):
    history = load_history(text(tmp_path / "x.csv", f"time,close\n{first},1\n{second},2\n"))
    assert_array_equal(history.time, [JAN_1 + 500_000_000 * (".5" in first), NOON])


def test_nanoseconds_and_times_before_1970_are_kept(tmp_path):
    path = text(tmp_path / "x.csv", "time,close\n1969-12-31T23:59:59.999999999,1\n1970-01-01T00:00:00.000000001,2\n")
    assert_array_equal(load_history(path).time, [-1, 1])
    path = text(tmp_path / "x.csv", "time,close\n-86400,1\n0,2\n")
    assert_array_equal(load_history(path).time, [-DAY_NS, 0])


def test_the_unit_of_an_epoch_is_each_files_own(tmp_path):
    text(tmp_path / "d" / "2024.csv", f"time,close\n{JAN_1 // 10**6},1\n")
    text(tmp_path / "d" / "2025.csv", f"time,close\n{JAN_1 // 10**3 + 1},2\n")
    assert_array_equal(load_history(tmp_path / "d").time, [JAN_1, JAN_1 + 1000])


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([1, 2], dtype=pl.Int8),
        pl.Series([1, 2], dtype=pl.UInt64),
        pl.Series([1, 2], dtype=pl.Float32),
        pl.Series([Decimal("1.00"), Decimal("2.00")]),
        pl.Series(["1", " 2.0"]),
    ],
    ids=lambda column: str(column.dtype),
)
def test_numeric_types(tmp_path, column):
    history = load_history(parquet(tmp_path / "x.parquet", close=column, more=column), extra=["more"])
    for values in (history.close, history.extra["more"]):
        assert values.dtype == np.float64
        assert_array_equal(values, [1, 2])


@pytest.mark.parametrize("values", [("0", "1"), ("false", "true"), ("False", "TRUE")])
def test_risk_in_csv(tmp_path, values):
    path = text(tmp_path / "x.csv", f"close,flag\n1,{values[0]}\n2,{values[1]}\n")
    assert_array_equal(load_history(path, risk="flag").risk, np.array([0, 1], np.uint8))


@pytest.mark.parametrize("dtype", [pl.Boolean, pl.Int64, pl.UInt8])
def test_risk_in_parquet(tmp_path, dtype):
    path = parquet(tmp_path / "x.parquet", close=[1.0, 2.0], flag=pl.Series([0, 1]).cast(dtype))
    assert_array_equal(load_history(path, risk="flag").risk, np.array([0, 1], np.uint8))


@pytest.mark.parametrize(
    "content", ["close\r\n1\r\n2\r\n", "\ufeffclose\n1\n2\n", 'close\n"1"\n" 2"', "close\n+1\n2e0\n"]
)
def test_csv_dialects(tmp_path, content):
    assert_array_equal(load_history(text(tmp_path / "x.csv", content)).close, [1, 2])


def test_other_columns_may_hold_anything(tmp_path):
    path = text(tmp_path / "x.csv", b"close,note\n1,caf\xe9\n2,\n")
    assert_array_equal(load_history(path).close, [1, 2])


# ---- several files


@pytest.mark.parametrize(
    "names",
    [
        ["a.csv", "b.csv", "c.csv"],
        ["bars9.csv", "bars10.csv", "bars11.csv"],
        ["year=2023/month=2/x.csv", "year=2023/month=10/x.csv", "year=2024/month=1/x.csv"],
        ["a.parquet", "b.pq", "sub/c.parquet"],
    ],
)
def test_folders_are_read_in_the_order_of_paths(tmp_path, names):
    for i, name in reversed(list(enumerate(names))):
        if name.endswith("csv"):
            text(tmp_path / "d" / name, f"time,close\n2024-01-0{i + 1},{i + 1}\n")
        else:
            parquet(tmp_path / "d" / name, time=[date(2024, 1, i + 1)], close=[i + 1.0])
    for noise in ("README.md", "_SUCCESS", ".hidden.csv", "_log/0.parquet"):
        text(tmp_path / "d" / noise, "noise")
    history = load_history(tmp_path / "d")
    assert_array_equal(history.close, [1, 2, 3])
    assert history.files == tuple(tmp_path / "d" / name for name in names)


@pytest.mark.parametrize("pattern", ["*.csv", "d[a-b]/*.csv", "**/*.csv", "d?", "**"])
def test_globs(tmp_path, pattern):
    folders = [""] if pattern == "*.csv" else ["da/", "db/"]
    for i, name in enumerate([f"{folder}{name}" for folder in folders for name in "xy"]):
        text(tmp_path / f"{name}.csv", f"time,close\n2024-01-0{i + 1},{i + 1}\n")
    assert_array_equal(load_history(tmp_path / pattern).close, np.arange(2 * len(folders)) + 1)


def test_a_partition_column_is_not_read(tmp_path):
    parquet(tmp_path / "close=7" / "x.parquet", close=[1.0, 2.0])
    assert_array_equal(load_history(tmp_path).close, [1, 2])


# ---- gaps


def test_dropping_marks_the_bar_after(tmp_path):
    text(tmp_path / "d" / "1.csv", "close,volume\n,1\n1,1\nNaN,1\n2,\n3,1\n4,1\n5,nan\n")
    text(tmp_path / "d" / "2.csv", "close,volume\n6,1\n7,1\n,\n")
    history = load_history(tmp_path / "d", nan="drop")
    assert_array_equal(history.close, [1, 3, 4, 6, 7])
    assert_array_equal(history.after_gap, [True, True, False, True, False])
    assert history.dropped == 5


def test_dropping_in_parquet_and_in_any_column(tmp_path):
    nan = float("nan")
    path = parquet(
        tmp_path / "x.parquet",
        time=[1, 2, 3, None, 5, 6, 7],
        close=[1.0, nan, 3.0, 4.0, 5.0, 6.0, 7.0],
        more=[1, 2, 3, 4, None, 6, 7],
        flag=[False, True, None, True, True, False, True],
        unread=[nan] * 7,
    )
    history = load_history(path, risk="flag", extra=["more"], nan="drop")
    assert_array_equal(history.close, [1, 6, 7])
    assert_array_equal(history.time, [10**9, 6 * 10**9, 7 * 10**9])
    assert_array_equal(history.risk, [0, 0, 1])
    assert_array_equal(history.extra["more"], [1, 6, 7])
    assert_array_equal(history.after_gap, [False, True, False])
    assert history.dropped == 4


@pytest.mark.parametrize("bad", ["0", "-1", "inf", "n/a"])
def test_dropping_forgives_nothing_else(tmp_path, bad):
    path = text(tmp_path / "x.csv", f"close\n1\n\n{bad}\n2\n")
    assert_mentions(refusal(path, nan="drop"), "x.csv, row 3, column 'close'", bad, "above 0")


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
        ("volume", "12K", "'12K'", "0 or more"),
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
        ("time", [1, 2, 10**10], "10000000000"),
        ("time", pl.Series([1, 2, 2**64 - 1], dtype=pl.UInt64), "18446744073709551615"),
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


@pytest.mark.parametrize("first", ["20240131", "9223372036854775808"])
def test_integers_that_are_no_epoch(tmp_path, first):
    message = refusal(text(tmp_path / "x.csv", f"time,close\n{first},1\n20240201,2\n"))
    assert_mentions(message, "row 1", "'time'", first, "a Unix epoch (not 20240131)")


@pytest.mark.parametrize(
    ("stamps", "row", "words"),
    [
        (["2024-01-01", "2024-01-03", "2024-01-02"], 3, "2024-01-02 is earlier than 2024-01-03 in"),
        (["2024-01-01", "2024-01-01", "2024-01-02"], 2, "2024-01-01 repeats 2024-01-01 in"),
        (
            ["2024-01-01T12:00Z", "2024-01-01T12:30+01:00"],
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
        ("close;volume", {}, ["no price column", "'close;volume'"]),
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
        ("time", [1.5, 2.5], "Float64"),
        ("time", [timedelta(1), timedelta(2)], "Duration"),
        ("more", pl.Series(["1", "2"], dtype=pl.Categorical), "Categorical"),
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
        ({"time": [3, 4], "Close": [3.0, 4.0]}, "no column 'close' as in"),
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
        (tmp_path / "*.parquet", "no file named .csv, .csv.gz, .parquet, .pq matches"),
        (bars / "x.csv", "no such file or folder"),
    ]:
        assert_mentions(refusal(path), path, words)


def test_folders_and_names_that_hold_no_history(tmp_path):
    note = text(tmp_path / "note.txt", "hello")
    assert_mentions(refusal(tmp_path), tmp_path, "the folder holds no file named .csv, .csv.gz, .parquet, .pq")
    assert_mentions(refusal(note), note, "not a known kind of file", ".csv, .csv.gz, .parquet, .pq")
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


# ---- the result


def history_of_all_columns(folder: Path):
    path = parquet(
        folder / "x.parquet",
        time=[1, 2, 3, 4],
        close=[1.0, 2.0, 3.0, 4.0],
        open=[1.5, 2.5, 3.5, 4.5],
        volume=[0, 1, 2, 3],
        flag=[True, False, True, False],
        more=[-1, 0, 1, 2],
    )
    return load_history(path, risk="flag", extra=["more"])


def test_arrays_have_one_layout(tmp_path):
    whole = history_of_all_columns(tmp_path)
    kinds = {"close": "f8", "open": "f8", "volume": "f8", "time": "i8", "risk": "u1", "more": "f8"}
    for history in (whole, whole.slice(1, 3)):
        arrays = {name: history.column(name) for name in kinds} | {"after_gap": history.after_gap}
        for name, values in arrays.items():
            assert values.dtype == np.dtype(kinds.get(name, "?"))
            assert values.shape == (len(history),)
            assert values.flags.c_contiguous
            assert values.flags.writeable
            assert values.flags.aligned


def test_histories_are_frozen(tmp_path):
    history = history_of_all_columns(tmp_path)
    with pytest.raises(dataclasses.FrozenInstanceError):
        history.close = history.open


def test_column_refuses_what_is_not_there(tmp_path):
    history = history_of_all_columns(tmp_path)
    with pytest.raises(DataError, match=r"no column 'volum'.*'close'.*Did you mean 'volume'"):
        history.column("volum")
    lean = load_history(text(tmp_path / "x.csv", "close\n1\n2\n"))
    with pytest.raises(DataError, match="no column 'volume', only 'close'"):
        lean.column("volume")


@pytest.mark.parametrize(("start", "stop"), [(0, 4), (1, 3), (2, None), (None, -1), (3, 3)])
def test_slices_are_views_of_the_same_bars(tmp_path, start, stop):
    whole = history_of_all_columns(tmp_path)
    part = whole.slice(start, stop)
    for name in whole.columns:
        assert_array_equal(part.column(name), whole.column(name)[start:stop])
        assert part.column(name).base is not None
    assert_array_equal(part.after_gap, whole.after_gap[start:stop])
    assert (part.columns, part.files, part.dropped) == (whole.columns, whole.files, whole.dropped)
    assert load_history(text(tmp_path / "x.csv", "close\n1\n2\n")).slice(0, 1).volume is None


# ---- properties


@st.composite
def bars(draw) -> dict[str, list]:
    n = draw(st.integers(2, 30))
    price = st.floats(min_value=5e-324, max_value=1.7e308, allow_subnormal=True)
    steps = draw(st.lists(st.integers(1, 10**12), min_size=n, max_size=n))
    start = draw(st.integers(-(10**14), 3 * 10**15))
    first = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=start)
    moments = [first + timedelta(microseconds=int(step)) for step in np.cumsum(steps)]
    return {
        "time": moments,
        "open": draw(st.lists(price, min_size=n, max_size=n)),
        "close": draw(st.lists(price, min_size=n, max_size=n)),
        "volume": draw(st.lists(st.floats(0, 1e300), min_size=n, max_size=n)),
        "more": draw(st.lists(st.floats(-1e300, 1e300), min_size=n, max_size=n)),
        "flag": draw(st.lists(st.booleans(), min_size=n, max_size=n)),
    }


@given(bars(), st.data())
@settings(deadline=None, max_examples=60)
def test_csv_parquet_and_split_files_load_alike(tmp_path_factory, table, data):
    folder = tmp_path_factory.mktemp("bars")
    frame = pl.DataFrame(table)
    frame.write_parquet(folder / "x.parquet")
    frame.write_csv(folder / "x.csv")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(frame)), max_size=3)))
    for i, (start, stop) in enumerate(zip([0, *cuts], [*cuts, len(frame)], strict=True)):
        for kind in ("csv", "parquet"):
            (folder / kind).mkdir(exist_ok=True)
        frame[start:stop].write_csv(folder / "csv" / f"{i}.csv")
        frame[start:stop].write_parquet(folder / "parquet" / f"{i}.parquet")
    options = {"risk": "flag", "extra": ["more"]}
    whole = load_history(folder / "x.parquet", **options)
    for name in ("open", "close", "volume", "more"):
        assert_array_equal(whole.column(name), table[name])
    assert_array_equal(whole.time, frame["time"].dt.epoch("ns"))
    assert_array_equal(whole.risk, table["flag"])
    for other in ("x.csv", "csv", "parquet", "csv/*.csv"):
        assert_equal_histories(whole, load_history(folder / other, **options))


@given(st.lists(st.sampled_from([1.5, 2.0, None, float("nan")]), min_size=2, max_size=40), st.integers(0, 40))
@settings(deadline=None, max_examples=60)
def test_dropping_keeps_what_is_there(tmp_path_factory, prices, cut):
    """Against the definition, bar by bar; the input is split at any row."""
    folder = tmp_path_factory.mktemp("gaps")
    for name, part in (("1", prices[:cut]), ("2", prices[cut:])):
        parquet(folder / f"{name}.parquet", close=pl.Series(part, dtype=pl.Float64))
    kept = [i for i, price in enumerate(prices) if price in (1.5, 2.0)]
    if len(kept) < 2:
        assert "usable rows" in refusal(folder, nan="drop")
        return
    history = load_history(folder, nan="drop")
    assert_array_equal(history.close, [prices[i] for i in kept])
    assert_array_equal(history.after_gap, [i > 0 and i - 1 not in kept for i in kept])
    assert history.dropped == len(prices) - len(kept)
