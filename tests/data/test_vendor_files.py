"""Price files as vendors write them: every one is read as it is meant, or refused with what decides."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from history_files import assert_mentions, refusal, text
from numpy.testing import assert_array_equal

from idi_fast.config.read_options import FORMATS, OPTIONS, ReadOptions
from idi_fast.data.loading import load_history
from idi_fast.errors import ConfigError

FOLDER = Path(__file__).parent / "vendor"
EXPECTED = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))


def ns(times: list[str]) -> np.ndarray:
    return np.array([time.rstrip("Z") for time in times], "datetime64[ns]").view(np.int64)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_export_is_read_as_it_is_meant(name):
    expected = EXPECTED[name]
    if "refused" in expected:
        assert expected["refused"].lower() in refusal(FOLDER / name, **expected["options"]).lower()
        return
    found = load_history(FOLDER / name, **expected["options"])
    assert_array_equal(found.time, ns(expected["time"]))
    for role in ("close", "open", "volume"):
        values = getattr(found, role)
        assert (values is None) == (expected[role] is None), role
        if values is not None:
            assert_array_equal(values, np.array(expected[role], float))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("semicolon_decimal_comma.csv", "is read as: ';' separated, decimal comma, day first"),
        ("kraken_no_header.csv", "is read as: no header: time, open, high, low, close, volume"),
        ("yfinance_three_headers.csv", "is read as: 3 header lines"),
        ("utf16.csv", "is read as: encoding utf-16"),
        ("newest_first.csv", "the newest bar comes first; read from the end"),
        ("metatrader5_tabs.csv", "is read as: tab separated, time of day in '<TIME>'"),
        ("us_dates.csv", "is read as: month first"),
    ],
)
def test_what_was_found_out_is_said(name, said):
    notes = load_history(FOLDER / name).notes
    assert len(notes) == 1
    assert notes[0].endswith(said)
    assert load_history(FOLDER / "trailing_blank_lines.csv").notes == ()


# ---- what further exports of vendors look like

ALPHAVANTAGE = "timestamp,1. open,2. high,3. low,4. close,5. volume\n2021-02-19,2,3,1,2.5,7\n2021-02-18,1,3,1,2,9\n"
INVESTING = (
    '"Date","Price","Open","High","Low","Vol.","Change %"\n"02/19/2021","1,002.50","1,001.00","1,003.00","1,000.00",'
    '"1.25M","0.10%"\n"02/18/2021","1,002.00","1,001.00","1,003.00","1,000.00","12.5K","-0.10%"\n'
)
HISTDATA = "20210218 000000;1.10;1.12;1.09;1.11;0\n20210218 000100;1.11;1.12;1.09;1.10;0\n"
STOOQ_POLISH = "Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen\n2021-02-18,1,3,1,2,9\n2021-02-19,2,3,1,2.5,7\n"
CHINESE = "日期,开盘,收盘,最高,最低,成交量\n2021-02-18,1,2,3,1,9\n2021-02-19,2,2.5,3,1,7\n"
COMMENTED_HEADER = "# time,close\n2021-02-18,2\n2021-02-19,2.5\n"
EXCEL_TRAILER = "Date,Close,,\n2021-02-18,2,,\n2021-02-19,2.5,,\n,,,\n,,,\n"
RAGGED = "Date,Close\n2021-02-18,2,\n2021-02-19,2.5,\n"
TICKERS = "Ticker,Date,Close\nXYZ,2021-02-18,2\nXYZ,2021-02-19,2.5\n"
PANDAS = ",close\n2021-02-18 00:00:00+00:00,2\n2021-02-19 00:00:00+00:00,2.5\n"
WINDOWS_1252 = "Datum;Eröffnung;Schluß;Stück\n18.02.2021;1,5;2,25;1.000\n19.02.2021;2,5;2,75;2.500\n".encode("cp1252")


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        (ALPHAVANTAGE, {"close": [2, 2.5], "open": [1, 2], "high": [3, 3], "low": [1, 1], "volume": [9, 7]}),
        (INVESTING, {"close": [1002, 1002.5], "open": [1001, 1001], "volume": [12_500, 1_250_000]}),
        (STOOQ_POLISH, {"close": [2, 2.5], "open": [1, 2], "volume": [9, 7]}),
        (CHINESE, {"close": [2, 2.5], "open": [1, 2], "high": [3, 3], "low": [1, 1], "volume": [9, 7]}),
        (COMMENTED_HEADER, {"close": [2, 2.5]}),
        (EXCEL_TRAILER, {"close": [2, 2.5]}),
        (RAGGED, {"close": [2, 2.5]}),
        (TICKERS, {"close": [2, 2.5]}),
        (PANDAS, {"close": [2, 2.5]}),
    ],
)
def test_other_exports(tmp_path, content, columns):
    found = load_history(text(tmp_path / "x.csv", content))
    assert_array_equal(found.time, ns(["2021-02-18", "2021-02-19"]))
    for role, values in columns.items():
        assert_array_equal(getattr(found, role), values)


def test_headers_in_the_letters_of_a_country(tmp_path):
    path = text(tmp_path / "x.csv", WINDOWS_1252)
    found = load_history(path, price="Schluß")
    assert_array_equal(found.close, [2.25, 2.75])
    assert_array_equal(found.open, [1.5, 2.5])
    assert "encoding cp1252" in found.notes[0]
    russian = "Дата;Открытие;Закрытие;Объём\n2021-02-18;1,5;2,25;10\n2021-02-19;2,5;2,75;20\n"
    found = load_history(text(tmp_path / "y.csv", russian.encode("cp1251")))
    assert found.columns["close"] == "Закрытие"
    assert "encoding cp1251" in found.notes[0]


@pytest.mark.parametrize("name", FORMATS)
def test_formats_of_vendors_change_nothing_that_is_plain(tmp_path, name):
    sep = FORMATS[name].get("sep", ",")
    form = FORMATS[name].get("time_format", "%Y-%m-%d %H:%M:%S")
    times = [datetime(2021, 2, 18, hour, tzinfo=UTC) for hour in range(9)]
    if "%H" not in form and form != "s":
        times = [time.replace(day=10 + number, hour=0) for number, time in enumerate(times)]
    stamps = [str(int(time.timestamp())) if form == "s" else time.strftime(form) for time in times]
    rows = [sep.join((stamp, "1", "3", "0.5", f"{2 + number / 10}", "5")) for number, stamp in enumerate(stamps)]
    path = text(tmp_path / "x.csv", "\n".join([sep.join(("Time", "Open", "High", "Low", "Close", "Volume")), *rows]))
    found = load_history(path, format=name)
    assert_array_equal(found.close, [2 + number / 10 for number in range(9)])
    hours = {"America/New_York": 5, "Etc/GMT+5": 5}.get(FORMATS[name].get("tz"), 0)
    assert found.time[0] == int(times[0].timestamp() + 3600 * hours) * 10**9


def test_the_columns_of_a_known_format_need_no_telling(tmp_path):
    flat = "\n".join(f"{1613606400000 + 60000 * row},1,1,1,1,1,0,0,0,0,0,0" for row in range(5))
    path = text(tmp_path / "x.csv", flat)
    found = load_history(path, format="binance")
    assert list(found.columns) == ["time", "close", "open", "high", "low", "volume"]
    assert len(load_history(text(tmp_path / "y.csv", HISTDATA), format="histdata")) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"format": "bloomberg"}, "format: found 'bloomberg', expected one of alphavantage, binance"),
        ({"sep": ",,"}, "sep: found ',,', expected one sign, or 'tab'"),
        ({"decimal": "'"}, "decimal: found"),
        ({"decimal": ",", "thousands": ","}, "thousands: found ',', which is the decimal mark"),
        ({"thousands": "12"}, "thousands: found '12', expected one sign"),
        ({"time_format": "dd.mm.yyyy"}, "time_format: found 'dd.mm.yyyy', expected a strptime format such as"),
        ({"tz": "Mars/Olympus"}, "tz: found 'Mars/Olympus', expected a time zone such as Europe/Berlin"),
        ({"tz": "../etc/passwd"}, "tz: found"),
        ({"skip_rows": -1}, "skip_rows: found -1, expected 0 or more"),
        ({"duplicates": "keep"}, "duplicates: found 'keep', expected 'refuse' or 'drop'"),
    ],
)
def test_options_are_checked(tmp_path, options, said):
    with pytest.raises(ConfigError, match=f"^{said}".replace("'", "'")):
        load_history(text(tmp_path / "x.csv", "close\n1\n2\n"), **options)
    assert set(options) <= set(OPTIONS)
    assert ReadOptions.of({}) == ReadOptions()


# ---- refusals: nothing is guessed


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ("time;close\n2021-02-18;1,234\n2021-02-19;1,235\n", {}, ["row 1, column 'close'", "`decimal=','`"]),
        ("2021-02-18,1,2,3\n2021-02-19,2,3,4\n", {}, ["it has no header", "`price='column_2'`"]),
        ("2021-02-18,1,2,3\n2021-02-19,2,3,4\n", {"price": "column_9"}, ["no column 'column_9'"]),
        ("time,close\n210218,1\n210219,2\n", {}, ["`time_format='%y%m%d'`", "`time_format='%d%m%y'`"]),
        ("a~b\n1~2\n3~4\n", {}, ["only 'a~b'", "`sep`"]),
        ("time,close\n18.02.2021,1\n19-02-2021,2\n", {}, ["row 2, column 'time': found '19-02-2021'"]),
        ("time,close\n2021-03-28 02:30,1\n2021-03-28 04:00,2\n", {"tz": "Europe/Berlin"}, ["row 1", "does not exist"]),
        ("time,close\n18.02.2021,1\n19.02.2021,2\n", {"encoding": "utf-99"}, ["encoding 'utf-99' is not known"]),
    ],
)
def test_what_two_readings_fit_is_refused(tmp_path, content, options, said):
    path = text(tmp_path / "x.csv", content)
    assert_mentions(refusal(path, **options), path, *said)


@pytest.mark.parametrize(
    ("content", "options", "close"),
    [
        ("time;close\n2021-02-18;1,234\n2021-02-19;1,235\n", {"decimal": ","}, [1.234, 1.235]),
        ("time;close\n2021-02-18;1,234\n2021-02-19;1,235\n", {"decimal": "."}, [1234, 1235]),
        ("2021-02-18,1,2,3\n2021-02-19,2,3,4\n", {"price": "column_4", "time": "column_1"}, [3, 4]),
        ("time,close\n210218,1\n210219,2\n", {"time_format": "%y%m%d"}, [1, 2]),
        ("time~close\n2021-02-18~2\n2021-02-19~4\n", {"sep": "~"}, [2, 4]),
        (
            "44245,1\n44246.5,2\n",
            {"no_header": True, "time_format": "excel", "time": "column_1", "price": "column_2"},
            [1, 2],
        ),
        ("junk\nmore,junk,here\ntime,close\n2021-02-18,2\n2021-02-19,4\n", {"skip_rows": 2}, [2, 4]),
        ("time,close\n2021-02-19,4\n2021-02-20,5\n2021-02-18,2\n", {"sort": True}, [2, 4, 5]),
    ],
)
def test_the_option_that_is_named_decides(tmp_path, content, options, close):
    found = load_history(text(tmp_path / "x.csv", content), **options)
    assert_array_equal(found.close, close)
    assert (np.diff(found.time) > 0).all()


def test_a_late_row_decides(tmp_path):
    """Whether the day or the month is first, and what a comma is, in rows far behind the first ones."""
    days = [f"{1 + row % 12:02d}/{1 + row // 1000 % 12:02d}/2021 {row // 12 % 24:02d}:00,1" for row in range(600)]
    path = text(tmp_path / "x.csv", "\n".join(["time,close", *days]))
    assert_mentions(refusal(path), "say which: `time_format=")
    stamps = [f"{1 + row // 24:02d}/02/2021 {row % 24:02d}:00" for row in range(24 * 12)]
    path = text(
        tmp_path / "y.csv", "\n".join(["time,close", *(f"{stamp},1" for stamp in [*stamps, "13/02/2021 00:00"])])
    )
    assert load_history(path).time[-1] == ns(["2021-02-13"])[0]
    numbers = [f"2021-01-01 {row // 60:02d}:{row % 60:02d};1,{100 + row:03d}" for row in range(400)]
    path = text(tmp_path / "z.csv", "\n".join(["time;close", *numbers, "2021-02-01 00:00;1,5"]))
    assert load_history(path).close[0] == 1.1


def test_archives(tmp_path):
    import zipfile

    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "close\n1\n2\n")
        archive.writestr("__MACOSX/._a.csv", "x")
    assert_array_equal(load_history(path).close, [1, 2])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b.csv", "close\n1\n2\n")
    assert_mentions(refusal(path), path, "holds 2 files ('a.csv', 'b.csv'); expected one CSV file")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.xlsx", "close\n1\n2\n")
    assert_mentions(refusal(path), path, "'a.xlsx'; expected a file named .csv")
    path.write_bytes(path.read_bytes()[:20])
    assert_mentions(refusal(path), f"{path}: cannot be read as CSV")


# ---- what else was found in exports

DAY1, DAY2 = "2021-02-18", "2021-02-19"


@pytest.mark.parametrize(
    ("content", "options", "times"),
    [
        ('Date,Close\n"February 18, 2021",1\n"May 19, 2021",2\n', {}, [DAY1, "2021-05-19"]),
        ('Date,Close\n"Thursday, February 18, 2021",1\n"Friday, February 19, 2021",2\n', {}, [DAY1, DAY2]),
        ("Date,Close\n03-Sept-2021,1\n04-Sep-2021,2\n", {}, ["2021-09-03", "2021-09-04"]),
        ("Date,Close\n18FEB2021,1\n19FEB2021,2\n", {}, [DAY1, DAY2]),
        ("time,close\n1613606400.0,1\n1613692800.0,2\n", {}, [DAY1, DAY2]),
        ("time,close\n1613606400.25,1\n1613692800.5,2\n", {}, [f"{DAY1}T00:00:00.25", f"{DAY2}T00:00:00.5"]),
        ("time,close\n1613606400.25,1\n1613692800,2\n", {"time_format": "s"}, [f"{DAY1}T00:00:00.25", DAY2]),
        ("time;close\n44245,5;1\n44246,5;2\n", {"time_format": "excel"}, [f"{DAY1}T12", f"{DAY2}T12"]),
        (
            "time;close\n2021-02-18 09:30:00,000;1\n2021-02-18 09:31:00,500;2\n",
            {},
            [f"{DAY1}T09:30", f"{DAY1}T09:31:00.5"],
        ),
        ("Date,Close\n2021-02-18,1\n2021-02-19,null\n2021-02-20,2\n", {"nan": "drop"}, [DAY1, "2021-02-20"]),
        ("Price,Close,High\nTicker,A,A\n2021-02-18,1,2\n2021-02-19,2,3\n", {}, [DAY1, DAY2]),
        ("Ticker,AAPL,AAPL\nPrice,Open,Close\nDate,,\n2021-02-18,9,1\n2021-02-19,9,2\n", {}, [DAY1, DAY2]),
        ("date,close\n2021-02-18,1\n\n2021-02-19,2\n", {}, [DAY1, DAY2]),
        ("date,close\n2021-02-18,1\n2021-02-19,2\n \t\n\x1a", {}, [DAY1, DAY2]),
        ("date,close\r2021-02-18,1\r2021-02-19,2\r", {}, [DAY1, DAY2]),
        ("date,close\n2021-02-18,1 USD\n2021-02-19,$2\n", {}, [DAY1, DAY2]),
        ("Date,openPrice,closePrice\n2021-02-18,9,1\n2021-02-19,9,2\n", {}, [DAY1, DAY2]),
        ("snapped_at,price,total_volume\n2021-02-18 00:00:00 UTC,1,9\n2021-02-19 00:00:00 UTC,2,9\n", {}, [DAY1, DAY2]),
        ("Date,Time,Close\n20210218,930,1\n20210218,1000,2\n", {}, [f"{DAY1}T09:30", f"{DAY1}T10:00"]),
        ("time,close\n1613606400,1\n1613692800,2\n", {"tz": "America/New_York"}, [DAY1, DAY2]),
        (
            "time,close\n2021-02-18 09:30,1\n2021-02-19,2\n".replace("19,", "19 00:00,"),
            {"tz": "Asia/Tokyo"},
            [f"{DAY1}T00:30", f"{DAY1}T15"],
        ),
        ("Time (UTC),close\n2021-02-18,1\n2021-02-19,2\n", {}, [DAY1, DAY2]),
        ('Date,Price\n"03/04/2021",1\n"03/05/2021",2\n', {"format": "investing"}, ["2021-03-04", "2021-03-05"]),
        ('Date,Price\n"26.02.2021",1\n"27.02.2021",2\n', {"format": "investing"}, ["2021-02-26", "2021-02-27"]),
        (
            "2021.02.18,09:30,1,1,1,1,5\n2021.02.18,09:31,2,2,2,2,6\n",
            {"format": "histdata"},
            [f"{DAY1}T14:30", f"{DAY1}T14:31"],
        ),
    ],
)
def test_further_forms_are_read(tmp_path, content, options, times):
    found = load_history(text(tmp_path / "x.csv", content), **options)
    assert_array_equal(found.time, ns(times))
    assert_array_equal(found.close, [1, 2])


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (
            "Date,Time,Close\n20210218,0,1\n20210218,1,2\n",
            {},
            ["column 'Time' ('0') may hold hours, minutes or seconds"],
        ),
        ("2021-02-18,10,9,11,8,500\n2021-02-19,10,9,11,8,600\n", {}, ["it has no header", "`price='column_2'`"]),
        ("Datum;Schluss\n18.02.2021;13.100\n19.02.2021;13.200\n", {}, ["found '13.100'", "`decimal=','`"]),
        ("close\n1\n2\n", {"skip_rows": 50}, ["skip_rows is 50, but there are 3 lines"]),
        ("Time (EST),close\n2021-02-18 09:30,1\n2021-02-18 09:31,2\n", {}, ["names a zone; say which, as `tz="]),
        ("date,symbol,close\n2021-02-18,A,1\n2021-02-18,B,2\n", {}, ["repeats", "`symbol_col='symbol'`"]),
        ("date,close\n2021-W07-4,1\n2021-W07-5,2\n", {}, ["row 1, column 'date'", "`time_format`"]),
    ],
)
def test_further_doubts_are_refused(tmp_path, content, options, said):
    assert_mentions(refusal(text(tmp_path / "x.csv", content), **options), *said)


def test_what_a_file_lacks_is_said(tmp_path):
    found = load_history(text(tmp_path / "x.csv", "close,open\n1,1\n2,2\n"))
    assert found.notes == (f"{tmp_path / 'x.csv'}: there is no column of times",)
    assert load_history(tmp_path / "x.csv", time="none").notes == ()
    found = load_history(text(tmp_path / "y.csv", "Date,Price,Vol.\n2021-02-18,1,-\n2021-02-19,2,-\n"))
    assert found.volume is None
    assert "the column 'Vol.' is empty; there is no volume" in found.notes[0]


def test_what_one_file_leaves_open_another_tells(tmp_path):
    text(tmp_path / "d" / "1.csv", "date,close\n03/01/2021,1\n04/01/2021,2\n")
    text(tmp_path / "d" / "2.csv", "date,close\n13/01/2021,3\n14/01/2021,4\n")
    assert_array_equal(load_history(tmp_path / "d").time, ns(["2021-01-03", "2021-01-04", "2021-01-13", "2021-01-14"]))


def test_whole_numbers_before_fractions_in_json(tmp_path):
    lines = "".join(
        f'{{"time": {1613606400 + 60 * row}, "close": {100 if row < 3000 else 100.5}}}\n' for row in range(3010)
    )
    found = load_history(text(tmp_path / "x.jsonl", lines))
    assert (found.close[0], found.close[-1]) == (100.0, 100.5)
