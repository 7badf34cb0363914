"""Columns of unknown names: which hold times by their form or name, and which do not."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from history_files import assert_mentions, parquet, refusal, text
from hypothesis import given
from hypothesis import strategies as st

from idi_fast.data.column_names import USUAL_NAMES, folded
from idi_fast.data.loading import load_history
from idi_fast.data.timestamps import TimeReader, meaning_of_number
from idi_fast.errors import DataError

WEEKDAYS = [0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 14, 15]


def table(path: Path, name: str, values, *, comes_last: bool = False) -> Path:
    rows = [(f'"{value}"', f"{1 + row % 7}") for row, value in enumerate(values)]
    order = (1, 0) if comes_last else (0, 1)
    lines = [",".join(row[k] for k in order) for row in [(name, "close"), *rows]]
    return text(path / "x.csv", "\n".join([*lines, ""]))


# ---- by their form


ANYWHERE = {
    "weekdays of a spreadsheet": [44245 + day for day in WEEKDAYS],
    "weekdays as modified Julian days": [59263 + day for day in WEEKDAYS],
    "weekdays since 1970": [18676 + day for day in WEEKDAYS],
    "weekdays by MATLAB": [738205 + day for day in WEEKDAYS],
    "Julian days": [2459263.5 + day for day in range(9)],
    "hours of serial days": [f"{44245 + hour / 24:.6f}" for hour in range(30)],
    "ordinal dates": ["2021-049", "2021-050"],
    "ordinal dates in digits": [2021049, 2021050, 2021051],
    "months with M": ["2021M01", "2021M02"],
    "months in digits": [202101, 202102, 202103],
    "months and years": ["01.2021", "02.2021", "03.2021"],
    "quarters of two digits": ["1Q20", "2Q20"],
    "quarters first": ["Q1 2020", "Q2 2020"],
    "quarters last": ["2020Q1", "2020Q2"],
    "quarters with a year of two digits": ["Q1-20", "Q2-20"],
    "halves": ["H1 2020", "H2 2020"],
    "fiscal years": ["FY2000", "FY2001"],
    "weeks": ["2021-W05", "2021-W06"],
    "calendar weeks": ["KW 5/2021", "KW 6/2021"],
    "French abbreviations": ["18 janv. 2021", "19 janv. 2021"],
    "French accents": ["1 févr. 2021", "2 févr. 2021"],
    "French days": ["jeudi 18 février 2021", "vendredi 19 février 2021"],
    "Spanish abbreviations": ["18-ene-2021", "19-ene-2021"],
    "Spanish April": ["18 abr 2021", "19 abr 2021"],
    "Spanish in full": ["18 de febrero de 2021", "19 de febrero de 2021"],
    "German in full": ["18. Dezember 2021", "19. Dezember 2021"],
    "German March": ["18. März 2021", "19. März 2021"],
    "Italian": ["18 gen 2021", "19 gen 2021"],
    "Russian": ["18 мая 2021 г.", "19 мая 2021 г."],
    "C": ["Thu Feb 18 09:30:00 2021", "Thu Feb 18 09:31:00 2021"],
    "bare months": ["January", "February"],
    "bare French months": ["janv.", "févr."],
    "clocks after a T": ["T09:00", "T09:05"],
    "French clocks": ["09h30", "09h35"],
    "hours of the day": ["9 AM", "10 AM"],
    "clocks in digits": ["0930", "0931"],
    "day first": ["18022021", "19022021"],
    "day first over a month's end": ["30012021", "31012021", "01022021", "02022021"],
    "month first": ["02182021", "02192021"],
    "floats of dates": ["20210218.0", "20210219.0"],
    ".NET ticks": [637492410000000000 + 36 * 10**9 * hour for hour in range(5)],
    "Windows file times": [132580000000000000 + 6 * 10**8 * minute for minute in range(5)],
    "dates over a weekend": [20210218, 20210219, 20210222],
    "JSON of .NET": ["/Date(1613606400000)/", "/Date(1613606460000)/"],
}
LEADING = {
    "days of a spreadsheet": [44245 + day for day in range(9)],
    "two of them": [44245, 44246],
    "hours of a spreadsheet": ["44245.5", "44245.541667", "44245.583333"],
    "days by MATLAB": [738205 + day for day in range(9)],
    "years": [2000, 2001, 2002],
    "years and months": ["1871.01", "1871.02", "1871.03"],
    "years and their parts": ["2000.0417", "2000.125", "2000.2083"],
}


@pytest.mark.parametrize("comes_last", [False, True])
@pytest.mark.parametrize("case", ANYWHERE)
def test_a_column_of_times_is_seen_wherever_it_stands(tmp_path, case, comes_last):
    message = refusal(table(tmp_path, "x", ANYWHERE[case], comes_last=comes_last))
    assert_mentions(message, f"column 'x' ('{ANYWHERE[case][0]}') looks like the bars' times", "`time='none'`")


@pytest.mark.parametrize("case", LEADING)
def test_numbers_before_the_prices_may_be_days(tmp_path, case):
    """Numbers that rise by one may count rows: behind the prices, or by their name, they are taken to."""
    values = LEADING[case]
    assert_mentions(refusal(table(tmp_path, "x", values)), f"column 'x' ('{values[0]}') looks like the bars' times")
    assert load_history(table(tmp_path, "x", values, comes_last=True)).time is None
    counters = ["id", "row_number", "trade no", *(["Unnamed: 0"] if str(values[0]).isdecimal() else [])]
    for name in counters:
        assert load_history(table(tmp_path, name, values)).time is None


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Binary])
def test_text_of_other_types_is_looked_at(tmp_path, kind):
    values = pl.Series(["18.02.2021", "19.02.2021"]).cast(kind)
    assert_mentions(refusal(parquet(tmp_path / "x.parquet", x=values, close=[1.0, 2.0])), "column 'x'", "looks like")


def test_bytes_that_are_no_text_are_no_times(tmp_path):
    path = parquet(tmp_path / "x.parquet", x=[b"\xff\xfe", b"\x00", b"2021-02-18"], close=[1.0, 2.0, 3.0])
    assert load_history(path).time is None


def test_growing_durations_are_times(tmp_path):
    values = pl.Series([timedelta(minutes=minute) for minute in range(4)])
    assert_mentions(refusal(parquet(tmp_path / "x.parquet", x=values, close=[1.0] * 4)), "column 'x'", "looks like")
    held = pl.Series([timedelta(minutes=minute) for minute in (5, 2, 9, 1, 7)])
    assert load_history(parquet(tmp_path / "x.parquet", x=held, close=[1.0] * 5)).time is None


RANDOM = np.random.default_rng(1)
OTHERS = {
    "n": range(1, 300),
    "A": range(256),
    "x": range(1, 9),
    "Unnamed: 0": range(738000, 738100),
    "block_height": range(738000, 738100),
    "open_interest": [44245 + 3 * row for row in range(30)],
    "OI": [738000 + 7 * row for row in range(40)],
    "market_cap": [10**9 + 10**6 * row for row in range(30)],
    "ema": [f"{value:.4f}" for value in 1.2 + np.cumsum(RANDOM.normal(0, 0.0005, 256))],
    "spx": [f"{value:.2f}" for value in 2000 + 40 * RANDOM.normal(size=100)],
    "nasdaq": [f"{value:.2f}" for value in 15_000 + 25 * RANDOM.normal(size=256)],
    "funding": [f"{0.0001 * row}" for row in range(30)],
    "note": ["market 5", "summary 5"] * 4,
    "regime": ["may", "may"],
    "ticker": ["ESH21", "ESM21"] * 5,
    "timeframe": ["H1", "H4"] * 5,
    "interval": ["1h"] * 5,
    "interval of two": ["1h", "4h"] * 5,
    "trade_id": range(20210201, 20210229),
    "x_no": ["0001", "0002", "0003"],
    "odd": [".0", "0", "0"],
    "version": ["v1", "v2"],
    "code": ["0012", "0399", "0100"],
    "ratio": ["1.5", "2.5"],
    "bucket": [0, 1, 2, 3] * 20,
}


@pytest.mark.parametrize("comes_last", [False, True])
@pytest.mark.parametrize("name", OTHERS)
def test_a_column_of_something_else_is_left_alone(tmp_path, name, comes_last):
    assert load_history(table(tmp_path, name, OTHERS[name], comes_last=comes_last)).time is None


# ---- by their name


@pytest.mark.parametrize(
    "name",
    [
        "Zeitpunkt",
        "Zeitstempel",
        "Datum",
        "Uhrzeit",
        "Fecha",
        "Hora",
        "Heure",
        "Horodatage",
        "Orario",
        "Czas",
        "Tarih",
        "clock",
        "stamp",
        "bar_stamp",
        "tstamp",
        "Trade Date",
        "交易日期",
        "날짜",
        "время",
        "data",
        "giorno",
        "Stichtag",
        "año",
    ],
)
def test_a_column_of_time_by_name_is_never_passed_over(tmp_path, name):
    message = refusal(table(tmp_path, name, ["x", "x"]))
    if folded(name) in USUAL_NAMES["time"]:
        assert_mentions(message, f"row 1, column {name!r}: found 'x', expected a date")
    else:
        assert_mentions(message, f"column {name!r} ('x') looks like the bars' times", "`time='none'`")


@pytest.mark.parametrize(
    "name", ["period", "Index", "session", "Trading Session", "season", "Saison", "Periode", "período", "idx"]
)
def test_a_column_that_tells_bars_apart_is_never_passed_over(tmp_path, name):
    for values in (["a1", "b2"], ["P1", "P2", "P3"], [5, 10, 20]):
        assert_mentions(refusal(table(tmp_path, name, values)), f"column {name!r} ('{values[0]}') looks like")
    for values in (["RTH", "ETH"] * 4, [14] * 9, range(9), range(500, 520), [1, 2, 3, 4] * 5):
        assert load_history(table(tmp_path, name, values)).time is None
    assert load_history(table(tmp_path, f"{name}_return", ["0.1", "0.3", "0.2"])).time is None


# ---- what to do about it


def test_days_and_times_of_day_are_joined(tmp_path):
    rows = [f"2021-02-18,09:3{minute}:00,{100 + minute}" for minute in range(9)]
    path = text(tmp_path / "x.csv", "\n".join(["Date,Time,Close", *rows]))
    joined = [row.replace(",", "T", 1) for row in rows]
    whole = load_history(text(tmp_path / "y.csv", "\n".join(["Date,Close", *joined])))
    for header in ("Date,Time,Close", "Time,Date,Close", "Date,at,Close"):
        swapped = [",".join([*reversed(row.split(",")[:2]), row.split(",")[2]]) for row in rows]
        text(path, "\n".join([header, *(swapped if header.startswith("Time") else rows)]))
        found = load_history(path)
        assert found.time.tolist() == whole.time.tolist()
        assert list(found.columns) == ["time", "close"]
    assert load_history(path, time="none").time is None
    assert "symbol_col" not in refusal(path, time="Date")  # times of day are no symbols


def test_further_lines_of_a_header_are_skipped(tmp_path):
    rows = [f"2021-02-{day},{day},{day}" for day in range(18, 27)]
    head = ["Price,Close,Volume", "Ticker,XYZ,XYZ", "Date,,"]
    found = load_history(text(tmp_path / "x.csv", "\n".join([*head, *rows])))
    assert found.columns == {"time": "Date", "close": "Close", "volume": "Volume"}
    assert found.close.tolist() == list(range(18, 27))
    assert_mentions(found.notes[0], "3 header lines")
    path = text(tmp_path / "y.csv", "\n".join([head[0], *rows]))
    assert len(load_history(path, time="Price").time) == 9
    message = refusal(text(tmp_path / "z.csv", "Date,Close\n2021-02-18,n/a\n2021-02-19,n/a\n"))
    assert_mentions(message, "row 1, column 'Close': found 'n/a'")


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        (637492410000000000, ".NET ticks of 2021-02-18T10:30:00Z or the epoch of 1990-03-15T09:13:30Z"),
        (132580000000000000, "a Windows file time of 2021-02-17T01:46:40Z or the epoch of 1974-03-15T11:46:40Z"),
        ("44245.5", "a spreadsheet's 2021-02-18T12:00:00"),
        (2459263.5, "the Julian day of 2021-02-18"),
        (59263, "the modified Julian day of 2021-02-18"),
        (18676, "the day since 1970 of 2021-02-18"),
        (738205, "MATLAB's 2021-02-18 or the ordinal day of 2022-02-19"),
        (18022021, "2021-02-18T00:00:00 in digits"),
        (2021049, "2021-02-18T00:00:00 in digits"),
    ],
)
def test_what_a_number_may_mean(value, meaning):
    assert meaning_of_number(value) == f"{value} may be {meaning}"


# ---- counts of 100 ns and dates that are plausible epochs


START = datetime(2021, 2, 18, 10, 30)
COUNTED_FROM = {".NET ticks": datetime(1, 1, 1), "a Windows file time": datetime(1601, 1, 1)}


@pytest.mark.parametrize("minutes", [1, 5, 15, 30, 60, 240, 1440, 10080])
@pytest.mark.parametrize("year", [1962, 1990, 2021, 2099])
@pytest.mark.parametrize("kind", COUNTED_FROM)
def test_counts_of_100_ns_are_never_read_as_nanoseconds(tmp_path, kind, year, minutes):
    first = (START.replace(year=year) - COUNTED_FROM[kind]) // timedelta(microseconds=1) * 10
    values = [first + 600_000_000 * minutes * row for row in range(3)]
    message = refusal(table(tmp_path, "time", values))
    assert_mentions(message, "row 2, column 'time'", f"{values[1]} may be {kind} of {year}-", " or the epoch of 19")
    assert_mentions(refusal(parquet(tmp_path / "x.parquet", time=values, close=[1.0] * 3)), kind)
    assert_mentions(refusal(table(tmp_path, "x", values)), "column 'x'", kind)


@given(
    year=st.sampled_from([1973, 1974, 1989, 1990]),
    second=st.integers(0, 360 * 86_400),
    ns=st.integers(0, 10**9 - 1),
    minutes=st.sampled_from([1, 5, 60, 1440]),
    rows=st.integers(2, 40),
)
def test_nanoseconds_of_the_same_size_are_read(year, second, ns, minutes, rows):
    first = (datetime(year, 1, 1) - datetime(1970, 1, 1)) // timedelta(seconds=1) * 10**9 + second * 10**9 + ns
    values = [first + minutes * 60 * 10**9 * row for row in range(rows)]
    assert TimeReader().read(pl.Series(values)).to_list() == values


@pytest.mark.parametrize("rows", [2, 9, 64, 200])
@pytest.mark.parametrize("start", [datetime(2021, 2, 18), datetime(2021, 1, 31, 9), datetime(1999, 12, 31)])
@pytest.mark.parametrize(
    ("form", "step"),
    [
        ("%d%m%Y%H", "hours"),
        ("%d%m%Y%H%M", "minutes"),
        ("%m%d%Y%H", "hours"),
        ("%m%d%Y%H%M", "hours"),
        ("%d%m%y%H%M", "minutes"),
        ("%m%d%y%H%M", "hours"),
        ("%d%m%y%H%M%S", "hours"),
        ("%y%m%d%H%M", "minutes"),
    ],
)
def test_dates_of_any_order_are_never_read_as_epochs(tmp_path, form, step, start, rows):
    values = [(start + timedelta(**{step: row})).strftime(form) for row in range(rows)]
    meant = [np.datetime64(datetime.strptime(value, form), "ns").astype(int) for value in values]
    for path in (
        table(tmp_path, "time", values),
        parquet(tmp_path / "x.parquet", time=list(map(int, values)), close=[1.0] * rows),
    ):
        try:
            found = load_history(path).time
        except DataError as error:
            assert_mentions(str(error), "column 'time': found ", "expected a date")
        else:
            assert len(values[0]) in (8, 12, 14)
            assert found.tolist() == meant


@pytest.mark.parametrize("first", [float("nan"), float("inf"), -float("inf"), 1e300, 0.5, None])
def test_floats_that_are_no_whole_numbers_are_no_times(first):
    reader = TimeReader()
    read = reader.read(pl.Series([first, 1_613_606_400.0, 1_613_606_460.5, None], dtype=pl.Float64))
    assert read.to_list() == [None, 1_613_606_400 * 10**9, None, None]
