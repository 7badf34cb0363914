"""Files that few programs write: remarks below the table, runs of spaces, single quotes, Arrow streams and the like."""

import json

import polars as pl
import pytest
from history_files import assert_mentions, refusal
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import idi_fast as idi
from idi_fast.data.copies import separated_by_tabs
from idi_fast.data.number_forms import find_decimal_mark, read_numbers

TABLE = "date,open,high,low,close,volume\n" + "".join(
    f"2024-02-{d:02},{d}.5,{d}.9,{d}.1,{d}.7,{d}000\n" for d in range(1, 8)
)
CLOSES = [d + 0.7 for d in range(1, 8)]
SPACED = TABLE.replace(",", "   ").replace("2024-02-01", " 2024-02-01  ")
FOOTER = '"Downloaded from Barchart.com as of 02-20-2024 08:10am CST"'


def written(tmp_path, text, name="bars.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    "footer",
    [
        FOOTER,
        f"{FOOTER}\n\n",
        f"\n{FOOTER}\n",
        "Source: Example, all rights reserved\n",
        "© Example Ltd\nEnd of the file\n",
    ],
)
@pytest.mark.parametrize("rows", [None, 2])
def test_sentences_below_the_table_are_no_rows_and_are_said(tmp_path, footer, rows):
    path = written(tmp_path, TABLE + footer)
    opened = idi.data.loading.open_history(path)
    parts = list(opened.chunks(rows)) if rows else [opened.load()]
    assert [close for part in parts for close in part.close] == CLOSES
    last = footer.replace('"', "").strip().splitlines()[-1]
    assert_mentions(opened.notes[-1], "the line below the table is no row", last, "left out")


@pytest.mark.parametrize(
    "row",
    [
        "Total,,,,,28000\n",  # a figure may be data
        "2024-02-08,,,,,\n",
        '"Feb 8, 2024",,,,,\n',
        "AAPL\n",
        "Brazil Real\n",
        "n/a,n/a,n/a,n/a,n/a,n/a\n",
        "This is a remark\n2024-02-08,8.5,8.9,8.1,8.7,8000\n",  # not below the table
    ],
)
def test_what_may_be_a_row_is_refused_below_the_table_too(tmp_path, row):
    assert_mentions(refusal(written(tmp_path, TABLE + row)), "row 8, column")


def test_runs_of_spaces_separate_fields(tmp_path):
    bars = idi.load_history(written(tmp_path, SPACED, "bars.txt"))
    assert bars.close.tolist() == CLOSES
    assert_mentions(bars.notes[0], "separated by runs of spaces")
    long = "date time close\n" + "".join(
        f"2024-01-01 {h:02}:{m:02}:{s:02}   1.5 \n" for h in range(24) for m in range(60) for s in range(60)
    )
    assert len(long) > 2**20
    found = idi.load_history(written(tmp_path, long, "long.txt"))
    assert (len(found), found.time[-1] - found.time[0]) == (86_400, 86_399 * 10**9)
    damaged = SPACED.replace("2.7", "x")
    assert_mentions(refusal(written(tmp_path, damaged, "bars.txt")), "row 2, column 'close': found 'x'")


@given(st.lists(st.lists(st.text("ab1.:-", min_size=1, max_size=4), min_size=1, max_size=4), max_size=4), st.data())
def test_a_tab_stands_for_each_run_of_spaces(rows, data):
    spaces = st.text(" ", min_size=1, max_size=3)
    text = "\n".join(
        data.draw(st.text(" ", max_size=2)) + "".join(cell + data.draw(spaces) for cell in row) for row in rows
    )
    assert separated_by_tabs(text) == "\n".join("\t".join(row) for row in rows)


def test_single_quotes_around_fields(tmp_path):
    quoted = "".join(",".join(f"'{cell}'" for cell in line.split(",")) + "\n" for line in TABLE.splitlines())
    bars = idi.load_history(written(tmp_path, quoted))
    assert bars.close.tolist() == CLOSES
    assert_mentions(bars.notes[0], "single quotes")


def test_arrow_streams_and_json_lines_with_a_mark(tmp_path):
    frame = pl.read_csv(TABLE.encode(), try_parse_dates=True)
    for name in ("bars.arrows", "bars.arrow"):
        frame.write_ipc_stream(tmp_path / name)
        assert idi.load_history(tmp_path / name).close.tolist() == CLOSES
    lines = "".join(json.dumps({**row, "date": str(row["date"])}) + "\n" for row in frame.iter_rows(named=True))
    assert idi.load_history(written(tmp_path, "\ufeff" + lines, "bars.jsonl")).close.tolist() == CLOSES
    assert_mentions(
        refusal(written(tmp_path, b"\xff\xff\xff\xff", "torn.arrow")), "torn.arrow", "cannot be read as Arrow"
    )


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_names_of_columns_may_differ_in_case_between_files(tmp_path, kind):
    frame = pl.read_csv(TABLE.encode(), try_parse_dates=kind != "csv")
    parts = frame[:4], frame[4:].rename(str.upper)
    for number, part in enumerate(parts):
        getattr(part, f"write_{kind}")(tmp_path / f"{number}.{kind}")
    bars = idi.load_history(tmp_path)
    assert bars.close.tolist() == CLOSES
    assert bars.volume is not None
    two = parts[1].with_columns(pl.col("CLOSE").alias("Close"))
    getattr(two, f"write_{kind}")(tmp_path / f"1.{kind}")
    assert_mentions(refusal(tmp_path), "no column 'close' as in")


@pytest.mark.parametrize(("vendor", "order"), [("bitfinex", "ochl"), ("coinbase", "lhoc")])
def test_dumps_without_a_header_of_other_orders(tmp_path, vendor, order):
    prices = {"o": 2.0, "h": 4.0, "l": 1.0, "c": 3.0}
    rows = [f"{1704067200 + 60 * k},{','.join(str(prices[name] + k) for name in order)},7.5\n" for k in range(5)]
    path = written(tmp_path, "".join(reversed(rows)))
    assert_mentions(refusal(path), "no header")
    bars = idi.load_history(path, format=vendor)
    first = bars.open[0], bars.high[0], bars.low[0], bars.close[0], bars.volume[0]
    assert first == (2.0, 4.0, 1.0, 3.0, 7.5)


def test_indian_grouping():
    values = pl.Series(["1,20,300.50", "12,34,567", "-1,00,000", "1,234.5", "1,2,300", "1,20,30"])
    assert find_decimal_mark([pl.Series(["12,34,567"])]) == "."
    assert read_numbers(values, ".").to_list() == [120300.5, 1234567.0, -100000.0, 1234.5, None, None]


def test_the_other_prices_are_of_the_currency_of_the_price(tmp_path):
    heads = "timestamp,open (EUR),high (EUR),low (EUR),close (EUR),open (USD),high (USD),low (USD),close (USD),volume\n"
    path = written(tmp_path, heads + "".join(f"2024-02-0{d},1,3,1,2,{d},{d + 2},{d},{d + 1},5\n" for d in range(1, 8)))
    assert_mentions(refusal(path), "close column could be any of 'close (EUR)', 'close (USD)'")
    bars = idi.load_history(path, price="close (USD)")
    assert {role: bars.columns[role] for role in ("open", "high", "low")} == {
        role: f"{role} (USD)" for role in ("open", "high", "low")
    }


def test_rows_dropped_at_the_seams_of_files_that_begin_with_the_newest_bar_leave_gaps(tmp_path):
    def write(number, days, dropped):
        rows = [f"2024-02-{day:02},{'' if day in dropped else day}\n" for day in reversed(days)]
        (tmp_path / f"{number}.csv").write_text("date,close\n" + "".join(rows))

    def gaps(*parts):
        for number, (days, dropped) in enumerate(parts):
            write(number, days, dropped)
        bars = idi.load_history(tmp_path, nan="drop")
        return [int(day) for day in bars.close[bars.after_gap]]

    first, second = range(1, 6), range(6, 11)
    assert gaps((first, ()), (second, ())) == []
    assert gaps((first, [5]), (second, ())) == [6]
    assert gaps((first, ()), (second, [6])) == [7]
    assert gaps((first, [1, 3]), (second, [10])) == [2, 4]


def test_months_in_another_language_are_refused_with_the_way_to_write_them(tmp_path):
    path = written(tmp_path, "Datum;Schluss\n1. März 2024;1,5\n2. März 2024;1,6\n")
    assert_mentions(refusal(path), "found '1. März 2024'", "months by name are read in English")
    assert_array_equal(
        idi.load_history(written(tmp_path, "date;close\n1 Mar 2024;1.5\n2 Mar 2024;1.6\n")).close, [1.5, 1.6]
    )
