"""However bars are written, and in whatever chunks they are read, they are the same bars."""

import gzip
import io
import zipfile
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from examples import examples
from hypothesis import event, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from idi_fast.config.read_options import ReadOptions
from idi_fast.data.dialect import find_dialect
from idi_fast.data.layouts import layout
from idi_fast.data.loading import load_history, open_history
from idi_fast.errors import DataError

FORMS = {  # of a date with its time of day, and whether it may be read in two ways
    "%Y-%m-%dT%H:%M:%SZ": False,
    "%Y-%m-%d %H:%M": False,
    "%d.%m.%Y %H:%M:%S": False,
    "%d/%m/%Y %H:%M": True,
    "%m/%d/%Y %H:%M": True,
    "%d-%m-%y %H:%M:%S": True,
    "%m-%d-%Y %I:%M %p": True,
    "%b %d, %Y %H:%M": False,
    "%d-%b-%Y %H:%M:%S": False,
    "%Y%m%d %H%M%S": False,
    "%Y%m%d%H%M": False,
    "%a, %d %b %Y %H:%M": False,
}
NAMES = ("time", "open", "high", "low", "close", "volume")
GERMAN = ("Datum", "Eröffnung", "Hoch", "Tief", "Schluss", "Volumen")


def pack(kind: str, content: bytes) -> bytes:
    if kind == ".gz":
        return gzip.compress(content)
    if kind == ".zst":
        return pa.compress(content, codec="zstd", asbytes=True)
    if kind == ".zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("bars.csv", content)
        return packed.getvalue()
    return content


@st.composite
def exports(draw):
    n = draw(st.integers(2, 40))
    start = draw(st.datetimes(datetime(1990, 1, 1), datetime(2035, 1, 1))).replace(second=0, microsecond=0)
    step = draw(st.sampled_from([timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)]))
    decimal = draw(st.sampled_from(".,"))
    sep = draw(st.sampled_from([",", ";", "\t", "|"] if decimal == "." else [";", "\t", "|"]))
    walk = draw(st.lists(st.integers(5_000, 20_000), min_size=n, max_size=n))
    bars = []
    for close in walk:
        open_ = close + draw(st.integers(-50, 50))
        bars.append((open_, max(open_, close) + 7, min(open_, close) - 11, close))
    form = draw(st.sampled_from(sorted(FORMS)))
    times = [start + step * row for row in range(n)]
    number = lambda value: f"{value / 100:.2f}".replace(".", decimal)  # noqa: E731
    quote = '"' if sep == "," and "," in form else ""
    rows = [
        sep.join([f"{quote}{time.strftime(form)}{quote}", *map(number, bar), str(volume)])
        for time, bar, volume in zip(times, bars, range(100, 100 + n), strict=True)
    ]
    is_reversed = draw(st.booleans())
    rows = rows[::-1] if is_reversed else rows
    has_header = draw(st.booleans())
    names = draw(st.sampled_from([NAMES, GERMAN]))
    above = draw(st.sampled_from([[], ["# made by hand"], ["https://www.example.com"], [""]])) if has_header else []
    lines = [*above, *([sep.join(names)] if has_header else []), *rows, *[""] * draw(st.integers(0, 3))]
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    kind = draw(st.sampled_from(["", "", ".gz", ".zst", ".zip"]))
    content = pack(kind, (end.join(lines) + end).encode(encoding))
    expected = np.array([time.strftime(form) for time in times])
    meant = np.array([datetime.strptime(text, form) for text in expected], "datetime64[ns]").view(np.int64)
    return content, kind, form, meant, np.array(bars) / 100, draw(st.sampled_from([1, 3, 7, 1000]))


@settings(max_examples=examples(60), deadline=None)
@given(exports())
def test_bars_are_read_however_they_are_written(export):
    content, kind, form, times, bars, rows = export
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"bars.csv{kind}"
        path.write_bytes(content)
        found = refused = None
        try:
            found = load_history(path)
        except DataError as error:
            refused = str(error)
        event("refused" if refused else "read")
        if refused is not None:
            days = times.view("datetime64[ns]").astype("datetime64[D]").astype(object)
            assert FORMS[form], refused
            assert all(day.day <= 12 for day in days) or "%y" in form, refused
            assert "say which: `time_format=" in refused
            found = load_history(path, time_format=form)
        assert found is not None
        assert_array_equal(found.time, times)
        for column, role in enumerate(("open", "high", "low", "close")):
            assert_array_equal(getattr(found, role), bars[:, column])
        options = ReadOptions(time_format=form if FORMS[form] else None)
        pieces = list(open_history(path, options=options).chunks(rows))
        assert_array_equal(np.concatenate([piece.close for piece in pieces]), found.close)
        assert_array_equal(np.concatenate([piece.time for piece in pieces]), found.time)


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        (["2021-02-18,1", "2021-02-19,2"], ["time", "close"]),
        (["1613606400,5,7,3,6,100", "1613692800,6,7,5,5,90"], ["time", "open", "high", "low", "close", "volume"]),
        (["20210218,5,6,7,3,100", "20210219,6,5,7,5,90"], ["time", *(f"column_{n}" for n in range(2, 7))]),
        (["2021-02-18,5,7,3,6,0.31", "2021-02-19,6,8,4,7,0.361"], ["time", "open", "high", "low", "close", "column_6"]),
        (["XYZ,20210218,0930,5,7,3,6"], ["column_1", "date", "time_of_day", "open", "high", "low", "close"]),
        (["5,7,3,6", "6,7,5,5"], ["open", "high", "low", "close"]),
        (["101.5", "99"], ["close"]),
        (["2021-02-18,5,7,3,6,5.5"], ["time", "open", "high", "low", "close", "column_6"]),
        (["2021-02-18,1,2,3"], ["time", "column_2", "column_3", "column_4"]),
        (["a,b", "c,d"], ["column_1", "column_2"]),
    ],
)
def test_columns_without_a_header(rows, names):
    cells = [row.split(",") for row in rows]
    assert list(layout(cells, len(cells[0]))) == names


@pytest.mark.parametrize(
    ("head", "separator", "names", "skipped"),
    [
        ("time,close\n1,2\n", ",", None, 0),
        ("a;b\n1,5;2\n1,7;3\n", ";", None, 0),
        ("note; of 3\n\na\tb\n1\t2\n3\t4\n", "\t", ("a", "b"), 3),
        ("close\n1\n2\n", ",", None, 0),
        ("x,y\n1,2\n# later\n3,4\n", ",", None, 0),
    ],
)
def test_how_a_text_is_written(head, separator, names, skipped):
    found = find_dialect(head, "utf-8")
    assert (found.separator, found.skip_lines) == (separator, skipped)
    if separator != ",":
        assert found.names == names
    assert (found.comment == "#") == ("# later" in head)
