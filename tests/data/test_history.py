"""Price histories: what is accepted."""

import dataclasses
import gzip
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from history_files import DAILY, DAY_NS, HOURLY, JAN_1, assert_equal_histories, assert_mentions, parquet, refusal, text
from numpy.testing import assert_array_equal

from idi_fast.data.loading import load_history
from idi_fast.errors import DataError

pytestmark = pytest.mark.usefixtures("any_size")

# ---- what is accepted


def test_daily_bars_as_csv_and_parquet(tmp_path):
    history = load_history(text(tmp_path / "daily.csv", DAILY))
    assert len(history) == 4
    names = {"time": "", "close": "Close", "open": "Open", "high": "High", "low": "Low", "volume": "Volume"}
    assert history.columns == names
    assert_array_equal(history.close, [100.34, 108.31, 109.4, 104.87])
    assert_array_equal(history.high, [104.06, 109.08, 113.48, 111.6])
    assert_array_equal(history.low, [95.96, 100.5, 109.05, 103.57])
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


def test_an_adjusted_close_is_not_put_together_with_an_open_as_traded(tmp_path):
    path = text(tmp_path / "x.csv", "Date,Open,Adj Close\n2024-01-01,10,1\n2024-01-02,11,1.1\n")
    assert load_history(path).open is None
    assert load_history(path, open="Open").open.tolist() == [10, 11]


def test_what_is_not_sought_is_not_read(tmp_path):
    path = text(tmp_path / "x.csv", "time,open,close,volume\nsoon,0,1,x\nlater,0,2,y\n")
    assert load_history(path, optional=()).columns == {"close": "close"}


def test_a_history_of_other_types_is_converted_and_checked(tmp_path):
    history = load_history(text(tmp_path / "x.csv", DAILY))
    other = dataclasses.replace(history, close=history.close.astype(np.float32)[::1], time=None)
    assert (other.close.dtype, other.close.flags.c_contiguous) == (np.float64, True)
    with pytest.raises(DataError, match="close holds a value that is not a finite number above 0"):
        dataclasses.replace(history, close=history.close * np.nan)
    with pytest.raises(DataError, match=r"volume has the shape \(3,\); expected \(4,\)"):
        dataclasses.replace(history, volume=history.volume[:3])


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
    path = text(tmp_path / "x.csv", "time,close\n-315619200,1\n-86400,2\n0,3\n")
    assert_array_equal(load_history(path).time, [-3653 * DAY_NS, -DAY_NS, 0])


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
    text(tmp_path / "d" / "2.csv", "close,volume\n6,1\n7,1\n,\n")  # the last one holds nothing at all
    history = load_history(tmp_path / "d", nan="drop")
    assert_array_equal(history.close, [1, 3, 4, 6, 7])
    assert_array_equal(history.after_gap, [True, True, False, True, False])
    assert history.dropped == 4


def test_dropping_in_parquet_and_in_any_column(tmp_path):
    nan = float("nan")
    path = parquet(
        tmp_path / "x.parquet",
        time=[10**9, 2 * 10**9, 3 * 10**9, None, 4 * 10**9, 4 * 10**9 + 1, 4 * 10**9 + 2],
        close=[1.0, nan, 3.0, 4.0, 5.0, 6.0, 7.0],
        more=[1, 2, 3, 4, None, 6, 7],
        flag=[False, True, None, True, True, False, True],
        unread=[nan] * 7,
    )
    history = load_history(path, risk="flag", extra=["more"], nan="drop")
    assert_array_equal(history.close, [1, 6, 7])
    assert_array_equal(history.time, [10**18, (4 * 10**9 + 1) * 10**9, (4 * 10**9 + 2) * 10**9])
    assert_array_equal(history.risk, [0, 0, 1])
    assert_array_equal(history.extra["more"], [1, 6, 7])
    assert_array_equal(history.after_gap, [False, True, False])
    assert history.dropped == 4


@pytest.mark.parametrize("bad", ["0", "-1", "inf", "abc"])
def test_dropping_forgives_nothing_else(tmp_path, bad):
    path = text(tmp_path / "x.csv", f"close\n1\n\n{bad}\n2\n")
    assert_mentions(refusal(path, nan="drop"), "x.csv, row 3, column 'close'", bad, "above 0")


def test_times_of_the_old_kind_are_read(tmp_path):
    table = pa.table({"time": pa.array([datetime(2024, 1, 1), datetime(2024, 1, 2)]), "close": [1.0, 2.0]})
    pq.write_table(table, tmp_path / "bars.parquet", use_deprecated_int96_timestamps=True, store_schema=False)
    assert_array_equal(load_history(tmp_path / "bars.parquet").time, [JAN_1, JAN_1 + DAY_NS])


def test_wide_decimals_and_names_that_say_nothing(tmp_path):
    wide = pa.array([Decimal("1.25"), Decimal("2.00")], pa.decimal256(20, 2))
    pq.write_table(pa.table({"close": wide, "": [1, 2], "column_0": [3, 4]}), tmp_path / "bars.parquet")
    history = load_history(tmp_path / "bars.parquet", extra=["", "column_0"])
    assert_array_equal(history.close, [1.25, 2.0])
    assert_array_equal([history.extra[""], history.extra["column_0"]], [[1, 2], [3, 4]])


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.int64(), pa.uint8()])
def test_dictionaries_of_numbers(tmp_path, kind):
    close = pa.array([1, 2, 1], kind).dictionary_encode()
    pq.write_table(pa.table({"close": close}), tmp_path / "bars.parquet")
    assert_array_equal(load_history(tmp_path / "bars.parquet").close, [1.0, 2.0, 1.0])
