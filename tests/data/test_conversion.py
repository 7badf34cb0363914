"""Price files written again: what is in them stays, and longer bars are put together right."""

from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from examples import examples
from history_files import text
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import idi_fast.data.loading
from idi_fast.data.conversion import convert_files, frame_of, resampled
from idi_fast.data.loading import load_history
from idi_fast.errors import DataError, InputError
from oracle.resampling import resample

LENGTHS = {"1m": 60, "5m": 300, "1h": 3600, "1d": 86_400}


@st.composite
def bars(draw):
    times = sorted(draw(st.sets(st.integers(1_600_000_000, 1_600_300_000), min_size=2, max_size=80)))
    has_range, has_volume = draw(st.booleans()), draw(st.booleans())
    found = []
    for time in times:
        bar = {"time": time, "close": draw(st.integers(1, 100)) / 4}
        if has_range:
            open_ = draw(st.integers(1, 100)) / 4
            bar |= {"open": open_, "high": max(open_, bar["close"]) + 1, "low": min(open_, bar["close"]) / 2}
        if has_volume:
            bar["volume"] = float(draw(st.integers(0, 100)))
        found.append(bar)
    return found


@settings(max_examples=examples(50), deadline=None)
@given(bars(), st.sampled_from(sorted(LENGTHS)), st.sampled_from([1, 3, 1000]))
def test_longer_bars_are_those_of_the_oracle_in_any_chunks(short, length, rows):
    expected = resample(short, LENGTHS[length])
    before = idi_fast.data.loading.CHUNK_BARS
    with TemporaryDirectory() as folder:
        source, out = Path(folder) / "a.csv", Path(folder) / "b.parquet"
        pl.DataFrame(short).write_csv(source)
        try:
            idi_fast.data.loading.CHUNK_BARS = rows
            report = convert_files([source], out, resample=length)
        finally:
            idi_fast.data.loading.CHUNK_BARS = before
        found = pl.read_parquet(out)
    assert report["bars"] == len(found) == len(expected)
    assert_array_equal(found["time"].dt.epoch("s"), [bar["time"] for bar in expected])
    for name in ("open", "high", "low", "close", *(["volume"] if "volume" in short[0] else [])):
        assert_array_equal(found[name], [bar[name] for bar in expected])


def test_a_bar_belongs_to_the_one_that_it_begins_in():
    times = [datetime(2024, 1, 1, 9, minute) for minute in (0, 30, 59)] + [datetime(2024, 1, 1, 10)]
    frame = pl.DataFrame({"time": times, "close": [1.0, 2.0, 3.0, 4.0]}).with_columns(
        pl.col("time").cast(pl.Datetime("ns", "UTC"))
    )
    found = resampled(frame, "1h")
    assert found["close"].to_list() == [3.0, 4.0]
    assert found.columns == ["time", "open", "high", "low", "close"]
    days = resampled(frame, "1d", "Asia/Tokyo")  # it begins at 15:00 of the day before
    assert days["time"].to_list() == [datetime(2023, 12, 31, 15, tzinfo=days["time"][0].tzinfo)]


@pytest.mark.parametrize("name", ["b.parquet", "b.csv", "b.csv.gz", "b.feather"])
def test_what_is_written_is_read_as_it_was(tmp_path, name):
    rows = [f"2024-01-{day:02d},{day + 0.1},{day + 0.2},{day + 1},{day - 0.5},{day * 10}" for day in range(1, 29)]
    source = text(tmp_path / "a.csv", "\n".join(["time,close,open,high,low,volume", *rows]))
    report = convert_files([source], tmp_path / name, start="2024-01-05", end="2024-01-20")
    assert (report["bars"], report["first"], report["last"]) == (15, "2024-01-05T00:00:00Z", "2024-01-19T00:00:00Z")
    before = load_history(source, start="2024-01-05", end="2024-01-20")
    after = load_history(tmp_path / name)
    for role in ("time", "close", "open", "high", "low", "volume"):
        assert_array_equal(getattr(after, role), getattr(before, role))


def test_many_files_and_symbols(tmp_path):
    for month, symbol in ((1, "A"), (2, "A"), (1, "B")):
        rows = [f"2024-{month:02d}-{day:02d},{day},{symbol},{day * 2}" for day in range(1, 20)]
        text(tmp_path / f"{symbol}{month}.csv", "\n".join(["time,close,ticker,more", *rows]))
    one = convert_files([tmp_path / "A1.csv", tmp_path / "A2.csv"], tmp_path / "a.parquet", keep=["more"])
    assert one["bars"] == 38
    assert pl.read_parquet(tmp_path / "a.parquet").columns == ["time", "close", "more"]
    both = convert_files(
        [tmp_path / "A1.csv", tmp_path / "B1.csv"], tmp_path / "b.parquet", symbol_col="ticker", resample="1w"
    )
    assert both["symbols"] == 2
    found = pl.read_parquet(tmp_path / "b.parquet")
    assert found["symbol"].to_list() == ["A"] * 3 + ["B"] * 3
    files = convert_files([tmp_path / "*1.csv"], tmp_path / "c.parquet", symbol_files=True)
    assert pl.read_parquet(tmp_path / "c.parquet")["symbol"].unique().sort().to_list() == ["A1", "B1"]
    assert files["bars"] == 38


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"to": "x.xlsx"}, "not a known kind of file, expected a name in .parquet"),
        ({"resample": "5 minutes"}, "resample is '5 minutes'; expected a length such as 30s, 5m"),
        ({"to": "a.csv", "force": True}, "a.csv"),
    ],
)
def test_bad_arguments_write_nothing(tmp_path, options, said):
    source = text(tmp_path / "a.csv", "time,close\n2024-01-01,1\n2024-01-02,2\n")
    before = source.read_bytes()
    options = {"to": "x.parquet", **options}
    with pytest.raises(InputError, match=said):
        convert_files([source], tmp_path / options.pop("to"), **options)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert source.read_bytes() == before


def test_bars_without_times_cannot_be_resampled(tmp_path):
    source = text(tmp_path / "a.csv", "close\n1\n2\n")
    with pytest.raises(InputError, match="the bars have no times"):
        convert_files([source], tmp_path / "x.parquet", resample="1h")
    assert not (tmp_path / "x.parquet").exists()
    assert frame_of(load_history(source)).columns == ["close"]
    assert np.isfinite(load_history(source).close).all()


@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.feather"])
def test_symbols_of_other_columns_are_refused(tmp_path, name):
    text(tmp_path / "d" / "A.csv", "time,open,close\n2024-01-01,1,2\n2024-01-02,1,2\n")
    text(tmp_path / "d" / "B.csv", "time,close,volume\n2024-01-01,1,2\n2024-01-02,1,2\n")
    with pytest.raises(DataError, match=r"symbol 'B' has the columns close, time, volume, 'A' has close, open, time"):
        convert_files(tmp_path / "d", tmp_path / name, symbol_files=True)
    assert not (tmp_path / name).exists()


def test_symbols_of_one_file_are_read_by_its_dialect(tmp_path):
    rows = [f"2024-01-{day:02d};{symbol};{day},5" for day in range(1, 9) for symbol in "AB"]
    path = text(tmp_path / "x.csv", "\n".join(["time;sym;close", *rows, "", ""]))
    convert_files(path, tmp_path / "x.parquet", symbol_col="sym")
    assert pl.read_parquet(tmp_path / "x.parquet")["close"].to_list() == [day + 0.5 for day in range(1, 9)] * 2
    rows = [f"2024-01-{day:02d};{symbol};1.23{day}" for day in range(1, 9) for symbol in "AB"]
    path = text(tmp_path / "y.csv", "\n".join(["time;sym;close", *rows]))
    with pytest.raises(DataError, match=r"say which: `decimal='\.'`"):
        convert_files(path, tmp_path / "y.parquet", symbol_col="sym")


def test_unknown_ways_of_reading_are_named(tmp_path):
    with pytest.raises(InputError, match=r"reading has 'seperator'; expected time, price"):
        convert_files(text(tmp_path / "x.csv", "close\n1\n2\n"), tmp_path / "x.parquet", reading={"seperator": ";"})
