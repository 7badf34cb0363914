"""Times of price histories: what is read, and that no time is misread or silently skipped."""

from datetime import datetime, timedelta

import cli_helpers as cli
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from history_files import assert_mentions, parquet, refusal, table
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from idi_fast.data.loading import load_history, open_history
from idi_fast.data.timestamps import AMBIGUOUS_ROWS, TICKS_PER_SECOND, TimeReader
from idi_fast.errors import DataError

NS = pl.Datetime("ns")
STARTS = {"date": datetime(2021, 2, 18, 9, 30), "month's end": datetime(2019, 12, 31, 23, 59)}
STEPS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}


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
