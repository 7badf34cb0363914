"""Times of price histories: what is read, and that no time is misread or silently skipped."""

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import cli_helpers as cli
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from history_files import DAY_NS, JAN_1, assert_mentions, parquet, refusal, text
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from idi_fast import TrainingConfig
from idi_fast.data.config_history import load_config_history
from idi_fast.data.loading import load_history, open_history
from idi_fast.data.timestamps import AMBIGUOUS_ROWS, TICKS_PER_SECOND, TimeReader
from idi_fast.errors import DataError

NS = pl.Datetime("ns")
STARTS = {"date": datetime(2021, 2, 18, 9, 30), "month's end": datetime(2019, 12, 31, 23, 59)}
STEPS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}


def table(path: Path, name: str, values, rows: int | None = None) -> Path:
    values = list(values)
    lines = [f'"{value}",{1 + row % 7}' for row, value in enumerate(values[:rows])]
    return text(path / "x.csv", "\n".join([f"{name},close", *lines, ""]))


def moments(start: datetime, step: timedelta, rows: int) -> list[datetime]:
    return [start + step * row for row in range(rows)]


# ---- numbers that are dates


@pytest.mark.parametrize("rows", [2, 9, AMBIGUOUS_ROWS - 1, AMBIGUOUS_ROWS, 200])
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize(
    ("form", "step"),
    [
        ("%Y%m%d", "day"),
        ("%y%m%d", "day"),
        ("%Y%m%d%H", "hour"),
        ("%Y%m%d%H", "day"),
        ("%Y%m%d%H%M", "minute"),
        ("%Y%m%d%H%M", "hour"),
        ("%y%m%d%H%M", "minute"),
        ("%y%m%d%H%M%S", "hour"),
        ("%Y%m%d%H%M%S", "minute"),
        ("%Y%m%d%H%M%S000", "minute"),
        ("%Y%m%d%H%M%S000000", "hour"),
    ],
)
def test_dates_in_digits_are_never_read_as_epochs(tmp_path, form, step, start, rows):
    """Those of 8, 12 and 14 digits with one reading are read, the others refused, or read if their form is named."""
    times = moments(STARTS[start], STEPS[step], rows)
    values = [moment.strftime(form) for moment in times]
    files = [table(tmp_path, "time", values)]
    if len(values[0]) <= 18:  # an integer
        files.append(parquet(tmp_path / "x.parquet", time=list(map(int, values)), close=[1.0] * rows))
    meant = [datetime.strptime(value, form) for value in values]
    for file in files:
        if form in ("%Y%m%d", "%Y%m%d%H%M", "%Y%m%d%H%M%S"):
            assert (
                load_history(file).time.view("datetime64[ns]").tolist()
                == pl.Series(meant).cast(NS).to_physical().to_list()
            )
            continue
        message = refusal(file)
        assert_mentions(message, f"{file}, row ", "column 'time': found ", "expected a date")
        if not form.endswith("0"):
            found = load_history(file, time_format=form, duplicates="drop").time
            assert found.tolist() == sorted(set(pl.Series(meant).cast(NS).to_physical().to_list()))


def test_what_digits_may_mean_is_said(tmp_path):
    for value, words in [
        ("2021021809", "may be 2021-02-18T09:00:00 in digits or the epoch of 2034-01-16T10:56:49Z; say which: `time_f"),
        (
            "210218",
            "(210218 may be 2021-02-18T00:00:00 in digits or 2018-02-21T00:00:00 in digits; say which: `time_form",
        ),
        (
            "44245",
            "(44245 may be a spreadsheet's 2021-02-18; say so: `time_format='excel'`; or write times as 2024-01-3",
        ),
    ]:
        assert_mentions(refusal(table(tmp_path, "time", [value])), words)


def serials(rows: int, step: float = 1.0) -> list[str]:
    return [f"{44245 + step * row:g}" for row in range(rows)]


@pytest.mark.parametrize("values", [serials(9), serials(9, 1 / 24), serials(100, 7), range(9), range(5, 300), ["0"]])
def test_serial_days_and_counters_are_no_times(tmp_path, values):
    assert_mentions(refusal(table(tmp_path, "time", values)), "row 1, column 'time'", "Unix epoch of 1971 to 2099")


@pytest.mark.parametrize("first", ["9223372036854775808", "4102444800", "31535999", "0031536000", "-1", "9999999999"])
def test_numbers_that_are_no_epochs(tmp_path, first):
    assert_mentions(refusal(table(tmp_path, "time", [first, "1700000000"])), "row 1", first, "a Unix epoch")


@pytest.mark.parametrize("unit", TICKS_PER_SECOND)
def test_each_row_must_be_an_epoch_in_the_unit_of_the_first(tmp_path, unit):
    ticks = TICKS_PER_SECOND[unit]
    late = 4_102_444_800 * ticks
    path = parquet(tmp_path / "x.parquet", time=[late - 2, late - 1], close=[1.0, 1.0])
    assert load_history(path).time[1] == late // ticks * 10**9 - 10**9 // ticks
    path = parquet(tmp_path / "x.parquet", time=[late - 2, late - 1, late], close=[1.0] * 3)
    assert_mentions(refusal(path), f"row 3, column 'time': found {late}")


@given(
    unit=st.sampled_from(sorted(TICKS_PER_SECOND)),
    start=st.integers(31_536_000, 4_000_000_000),
    step=st.sampled_from([60, 300, 900, 3600, 86_400]),
    rows=st.integers(65, 200),
    is_text=st.booleans(),
)
def test_epochs_from_1971_on_are_read(unit, start, step, rows, is_text):
    """Some of them spell dates here and there, but not in all rows."""
    seconds = start + step * np.arange(rows)
    source = pl.Series(seconds * TICKS_PER_SECOND[unit])
    reader = TimeReader()
    read = reader.read(source.cast(pl.String) if is_text else source)
    assert_array_equal(read.to_numpy(), seconds * 10**9)
    assert not reader.is_ambiguous()


CASES = st.sampled_from(["%Y%m%d%H", "%Y%m%d%H%M", "%y%m%d%H%M", "epochs", "late"])


@given(case=CASES, rows=st.integers(1, 150), cuts=st.lists(st.integers(0, 150)), gaps=st.sets(st.integers(0, 150)))
def test_batches_make_no_difference(case, rows, cuts, gaps):
    step = STEPS["minute" if case.endswith("M") else "hour"]
    values = [int(m.strftime(case)) if "%" in case else int(m.timestamp()) for m in moments(STARTS["date"], step, rows)]
    if case == "late":  # the last row alone is none
        values[-1] = 5_000_000_000
    source = pl.Series([None if row in gaps else value for row, value in enumerate(values)], dtype=pl.Int64)

    def read(bounds: list[int]) -> tuple[list, bool]:
        reader, parts = TimeReader(), []
        for first, stop in zip([0, *bounds], [*bounds, rows], strict=True):
            parts += reader.read(source[first:stop]).to_list()
            refused = [row for row, ns in enumerate(parts) if ns is None and source[row] is not None]
            if refused:
                return parts[: refused[0] + 1], False
        return parts, reader.is_ambiguous()

    assert read(sorted(min(cut, rows) for cut in cuts)) == read([])


@pytest.mark.parametrize("rows", [9, 100])
@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_ambiguous_digits_are_refused_in_the_same_row_of_any_chunks(tmp_path, chunk, rows):
    values = [m.strftime("%Y%m%d%H") for m in moments(STARTS["date"], STEPS["hour"], rows)]
    history = open_history(table(tmp_path, "time", values))
    row = min(rows, AMBIGUOUS_ROWS)
    with pytest.raises(DataError, match=rf"row {row}, column 'time': found '{values[row - 1]}'"):
        list(history.chunks(chunk))


# ---- times beyond all calendars


@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    ("unit", "value"),
    [
        ("D", 2**31 - 1),
        ("D", -(2**31)),
        ("ms", 2**62),
        ("ms", -(2**62)),
        ("us", 2**62),
        ("us", -(2**62)),
        ("us", 2**63 - 1),
        ("ms", 2**63 - 1),
    ],
)
def test_times_beyond_all_calendars_are_named(tmp_path, unit, value, place, zone):
    kind = pa.date32() if unit == "D" else pa.timestamp(unit, zone)
    ticks = [0, value] if place else [value, 0]
    times = pa.array(ticks, pa.int32() if unit == "D" else pa.int64()).cast(kind)
    pq.write_table(pa.table({"time": times, "close": [1.0, 2.0]}), tmp_path / "x.parquet")
    assert_mentions(refusal(tmp_path / "x.parquet"), f"x.parquet, row {place + 1}, column 'time': found ", "expected")
    # Neither may a look at a column that nobody named end the process.
    pq.write_table(pa.table({"when": times, "close": [1.0, 2.0]}), tmp_path / "x.parquet")
    assert_mentions(refusal(tmp_path / "x.parquet"), "column 'when'", "looks like the bars' times")
    pq.write_table(pa.table({"": times, "close": [1.0, 2.0]}), tmp_path / "x.parquet")
    assert_mentions(refusal(tmp_path / "x.parquet"), f"row {place + 1}, column ''")


def test_a_command_that_meets_one_ends_with_one_line(tmp_path):
    times = pa.array([0, 2**31 - 1], pa.int32()).cast(pa.date32())
    pq.write_table(pa.table({"time": times, "close": [1.0, 2.0]}), tmp_path / "x.parquet")
    outcome = cli.run("train", "--data", tmp_path / "x.parquet", "--out", tmp_path / "a", *cli.QUICK)
    assert outcome.status == 2
    assert outcome.stderr.count("\n") == 1
    assert_mentions(outcome.stderr, "x.parquet, row 2, column 'time'")


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
