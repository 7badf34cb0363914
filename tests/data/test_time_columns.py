"""Which columns of price histories hold the time: none that looks like it is passed over."""

import re
from datetime import UTC, date, datetime, timedelta

import cli_helpers as cli
import numpy as np
import polars as pl
import pytest
from history_files import DAY_NS, JAN_1, assert_mentions, parquet, refusal, table, text
from numpy.testing import assert_array_equal

from idi_fast import TrainingConfig
from idi_fast.data.config_history import load_config_history
from idi_fast.data.loading import load_history
from idi_fast.errors import DataError

NS = pl.Datetime("ns")


# ---- columns that look like times


UNKNOWN = {
    "Open Time UTC": ["1613606400", "1613610000"],
    "day": ["18", "19"],
    "month": ["Feb 2021", "Mar 2021"],
    "beginTime": ["0", "60"],
    "x1": ["2021-02-18", "2021-02-19"],
    "x2": ["Feb 18, 2021", "Feb 19, 2021"],
    "x3": ["18-Feb-2021", "19-Feb-2021"],
    "x4": ["2/18/21 9:30 AM", "2/18/21 9:31 AM"],
    "x5": ["20210218 093000", "20210218 093100"],
    "x6": ["2021Q1", "2021Q2"],
    "x7": ["09:30", "09:31"],
    "x8": ["2021-02", "2021-03"],
    "Price": ["2021-02-18", "2021-02-19"],
    "y1": ["1613606400000", "1613610000000"],
    "y2": ["1613606400.5", "1613610000.5"],
    "y3": ["20210218", "20210219"],
    "y4": ["202102180930", "202102180931"],
    "y5": ["2021021809", "2021021810"],
    "y6": ["1613610000", "1613606400"],
    "y7": [f"{44245 + day}" for day in (0, 1, 2, 3, 4, 7, 8, 9, 10, 11)],
    "y8": [f"{44245 + hour / 24}" for hour in range(30)],
    "y9": ["210218", "210219", "210222"],
}


KNOWN = {
    "Gmt time": ["18.02.2021 00:00:00.000", "18.02.2021 01:00:00.000"],
    "Local time": ["18.02.2021 01:00:00.000 GMT+0100", "18.02.2021 02:00:00.000 GMT+0100"],
    "Date/Time": ["02/18/2021 00:00", "02/18/2021 01:00"],
    "datetime_utc": ["2021-02-18T00:00:00Z", "2021-02-18T01:00:00Z"],
    "openTime": ["1613606400000", "1613610000000"],
    "<DATE>": ["20210218", "20210219"],
    "Datum": ["18.02.2021", "19.02.2021"],
    "дата": ["18.02.2021", "19.02.2021"],
    "unix": ["1613606400", "1613610000"],
    "Date": ["Feb 18, 2021", "Feb 19, 2021"],
    "DATE": ["18-Feb-2021", "19-Feb-2021"],
    "date": ["Thu, 18 Feb 2021", "Fri, 19 Feb 2021"],
    "ts": ["2/18/21 12:00 AM", "2/18/21 1:00 AM"],
    "timestamp": ["20210218 000000", "20210218 010000"],
    "Time": ["2021.02.18 00:00", "2021.02.18 01:00"],
}


@pytest.mark.parametrize("name", KNOWN)
def test_columns_of_usual_names_are_read_in_the_forms_of_vendors(tmp_path, name):
    found = load_history(table(tmp_path, name, KNOWN[name]))
    assert found.columns["time"] == name
    assert found.time.view("datetime64[ns]")[0] == np.datetime64("2021-02-18")
    assert np.diff(found.time)[0] in (DAY_NS // 24, DAY_NS)


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_column_that_looks_like_time_is_never_passed_over(tmp_path, name):
    message = refusal(table(tmp_path, name, UNKNOWN[name]))
    assert_mentions(message, f"x.csv: column {name!r} ({UNKNOWN[name][0]!r}) looks like the bars' times")
    assert_mentions(message, "(`time='none'`)")
    for option in ("none", "None"):
        history = load_history(tmp_path / "x.csv", time=option)
        assert (history.time, list(history.columns)) == (None, ["close"])
    # A column that is read as something else was named.
    if name in ("x1", "y1"):
        assert load_history(table(tmp_path, name, ["1613606400", "1613606500"]), extra=[name]).time is None


@pytest.mark.parametrize(("name", "is_understood"), [("x1", True), ("y1", True), ("x2", True), ("x6", False)])
def test_what_to_do_is_said(tmp_path, name, is_understood):
    path = table(tmp_path, name, UNKNOWN[name])
    message, hint = refusal(path), f"(`time={name!r}`)"
    assert (hint in message) == is_understood
    if is_understood:
        assert (
            load_history(path, time=name).time[0] // DAY_NS * DAY_NS
            == pl.Series([datetime(2021, 2, 18)]).dt.epoch("ns")[0]
        )
    else:
        assert_mentions(message, "write its times as 2024-01-31T09:30:00Z")
        assert_mentions(refusal(path, time=name), "row 1", "expected a date")


@pytest.mark.parametrize("kind", [pl.Date, pl.Datetime("ms"), pl.Datetime("ns", "UTC"), pl.Time])
def test_typed_times_of_any_name_are_seen(tmp_path, kind):
    values = pl.Series([datetime(2024, 1, 1, hour) + timedelta(hour) for hour in range(4)])
    values = (
        values.dt.time()
        if kind == pl.Time
        else values.cast(kind)
        if kind == pl.Date
        else values.dt.replace_time_zone(kind.time_zone).cast(kind)
    )
    path = parquet(tmp_path / "x.parquet", stamp=values, close=[1.0, 2.0, 3.0, 4.0])
    assert_mentions(refusal(path), "column 'stamp' ('", "looks like the bars' times")


def test_reversed_times_of_an_unknown_name_do_not_train_backwards(tmp_path):
    times = [f"{date(2024, 3, 31) - timedelta(day)}" for day in range(400)]
    path = table(tmp_path, "stamped", times)
    for args in [("train", "--data", path), ("walkforward", path), ("sweep", path, "--grid", "learning_rate=0.1")]:
        outcome = cli.run(*args, "--out", tmp_path / "a", *cli.QUICK)
        assert outcome.status == 2
        assert_mentions(outcome.stderr, "column 'stamped'", "--time-col")
        outcome = cli.run(*args, "--out", tmp_path / args[0], "--time-col", "stamped", *cli.QUICK)
        assert outcome.status == 0
        assert_mentions(outcome.stderr, "the newest bar comes first; read from the end")
    outcome = cli.succeed("train", "--data", path, "--out", tmp_path / "a", "--time-col", "none", *cli.QUICK)
    assert outcome.status == 0


ORDINARY = {
    "id": range(1000, 1009),
    "trade_id": range(44245, 44260),
    "High": [30_000 + 100 * row for row in range(9)],
    "symbol": ["BTC-USD"] * 9,
    "isin": ["US0378331005"] * 9,
    "note": ["a", "b", "", "c"],
    "rsi": [f"{50 + row / 7}" for row in range(9)],
    "turnover": [2_000_000_000 + 7 * row for row in range(9)],
    "bid": [101_000 + row * row for row in range(9)],
    "count": range(1_700_000_000, 1_700_000_009),
    "ratio": ["1", "2", "0.5", "3"] * 3,
    "flags": ["true", "false"] * 4,
    "sentiment": [0.1, -0.2, 0.3, 0.4],
    "update": ["", "", "", ""],
}


@pytest.mark.parametrize("name", ORDINARY)
def test_other_columns_are_no_times(tmp_path, name):
    path = table(tmp_path, name, ORDINARY[name])
    assert load_history(path).time is None


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_row_numbers_from_anywhere_are_no_times(tmp_path, name):
    assert load_history(table(tmp_path, name, range(44_245, 44_300))).time is None
    days = [44_245 + day + 2 * (day // 5) for day in range(30)]  # weekends are missing
    assert_mentions(refusal(table(tmp_path, name, days)), f"column {name!r} ('44245')")


def test_a_column_called_none_is_a_column(tmp_path):
    path = table(tmp_path, "none", ["2024-01-01", "2024-01-02"])
    assert_array_equal(load_history(path, time="none").time, [JAN_1, JAN_1 + DAY_NS])


def test_none_is_a_value_of_the_config(tmp_path):
    path = table(tmp_path, "time", range(9))
    data = {"path": str(path), "time": "none"}
    config = TrainingConfig.from_dict({"environment": {"kind": "history", "data": data}})
    assert load_config_history(config).time is None


def test_further_files_are_looked_at_too(tmp_path):
    text(tmp_path / "d" / "1.csv", "close\n1\n2\n")
    other = text(tmp_path / "d" / "2.csv", "close,date\n3,2024-01-01\n")
    assert_mentions(refusal(tmp_path / "d"), f"{other}: column 'date'")
    text(tmp_path / "e" / "1.csv", "close,Date,hour\n1,2024-01-01,000000\n")
    other = text(tmp_path / "e" / "2.csv", "close,hour\n1,093000\n")
    assert_mentions(refusal(tmp_path / "e"), f"{other}: no column 'Date'")


# ---- times of day in a column of their own


@pytest.mark.parametrize(
    "clock", [["09:30", "16:00"], ["9:30 AM", "4:00 PM"], ["093000", "160000"], ["0930", "1600"], ["9", "16"]]
)
@pytest.mark.parametrize("name", ["Time", "Hour", "Bar time"])
def test_dates_are_read_with_their_times_of_day(tmp_path, name, clock):
    rows = [f"2024-01-0{day},{hour},1" for day, hour in enumerate(clock, 1)]
    path = text(tmp_path / "x.csv", "\n".join([f"Date,{name},close", *rows]))
    if clock[0] == "9" and name != "Hour":
        assert_mentions(refusal(path), f"column '{name}' ('9') may hold hours, minutes or seconds of the day")
        return
    first = np.datetime64("2024-01-01T09:00" if clock[0] == "9" else "2024-01-01T09:30")
    assert load_history(path).time.view("datetime64[ns]").tolist() == [
        np.datetime64(time, "ns").astype(int) for time in (first, np.datetime64("2024-01-02T16:00"))
    ]
    assert load_history(path, time="Date").time.tolist() == [JAN_1, JAN_1 + DAY_NS]


def test_midnights_change_nothing(tmp_path):
    path = text(tmp_path / "x.csv", "Date,hour,close\n2024-01-01,000000,1\n2024-01-02,000000,2\n")
    assert load_history(path).time.tolist() == [JAN_1, JAN_1 + DAY_NS]


def test_typed_times_of_day_count_too(tmp_path):
    days, noon = [date(2024, 1, 1), date(2024, 1, 2)], datetime(2024, 1, 1, 12, tzinfo=UTC).time()
    path = parquet(tmp_path / "x.parquet", date=days, at=[noon, noon], close=[1.0, 2.0])
    assert load_history(path).time.tolist() == [JAN_1 + DAY_NS // 2, JAN_1 + 3 * DAY_NS // 2]


def test_a_second_column_of_full_times_changes_nothing(tmp_path):
    path = text(
        tmp_path / "x.csv", "date,close_time,close\n2024-01-01,2024-01-01T23:59,1\n2024-01-02,2024-01-02T23:59,2\n"
    )
    assert load_history(path).columns["time"] == "date"
    path = text(
        tmp_path / "x.csv", "open_time,close_time,close\n1613606400000,1613609999999,1\n1613610000000,1613613599999,2\n"
    )
    assert re.match("open", load_history(path).columns["time"])


@pytest.mark.parametrize(
    "values",
    [
        [f"202102{day:02d} 09:30:00" for day in range(28, 0, -1)],
        [f"2021_02_{day:02d}" for day in range(1, 29)],
        [f"{month:02d}/2021" for month in range(1, 13)],
        ["1613640600", "1613647800", "1613644200", *(str(1613651400 + 3600 * hour) for hour in range(20))],
        [str(1613640600 + 3600 * (hour + 10) % 72000) for hour in range(20)],
    ],
)
def test_times_out_of_order_or_in_other_forms_are_not_passed_over(values, tmp_path):
    rows = "".join(f"{value},{100 + number}\n" for number, value in enumerate(values))
    (tmp_path / "bars.csv").write_text(f"Stamp,close\n{rows}")
    with pytest.raises(DataError, match=r"'Stamp'.* looks like the bars' times"):
        load_history(tmp_path / "bars.csv")


def test_each_file_of_a_folder_is_looked_at(tmp_path):
    (tmp_path / "1.csv").write_text("x,close\n1,10\n5,11\n2,12\n")
    (tmp_path / "2.csv").write_text("x,close\n2021-02-05,10\n2021-02-03,11\n2021-02-04,12\n")
    with pytest.raises(DataError, match=r"2\.csv: column 'x'"):
        load_history(tmp_path)
