"""Histories of frames in memory: `History.from_frame`."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal

from idi_fast import DataError, History, InputError, load_history
from idi_fast.errors import IdiFastError, WriteError

N = 50
CLOSE = 100.0 + np.arange(N)
TIME = np.datetime64("2024-01-01", "ns") + np.arange(N) * np.timedelta64(1, "h")


def polars() -> pl.DataFrame:
    return pl.DataFrame({"time": TIME, "open": CLOSE - 0.5, "close": CLOSE, "volume": np.arange(N, dtype=np.int32)})


def indexed(name: str | None) -> pd.DataFrame:
    return polars().to_pandas().set_index("time").rename_axis(name)


FRAMES = {
    "polars": polars,
    "lazy": lambda: polars().lazy(),
    "pandas": lambda: polars().to_pandas(),
    "pandas, index": lambda: indexed("Date"),
    "pandas, index without a name": lambda: indexed(None),
    "pandas, a zone": lambda: indexed(None).tz_localize("UTC").tz_convert("America/New_York"),
    "table": lambda: polars().to_arrow(),
    "batch": lambda: polars().to_arrow().combine_chunks().to_batches()[0],
    "dict": lambda: polars().to_dict(as_series=False),
    "dict of arrays": lambda: {"time": TIME, "open": CLOSE - 0.5, "close": CLOSE, "volume": np.arange(N)},
    "objects beside": lambda: polars().with_columns(pl.Series("note", [object()] * N, dtype=pl.Object)),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_all_frames_give_the_same_history(kind, tmp_path):
    polars().write_parquet(tmp_path / "bars.parquet")
    expected, found = load_history(tmp_path / "bars.parquet"), History.from_frame(FRAMES[kind]())
    for name in ("time", "open", "close", "volume", "after_gap"):
        values = getattr(found, name)
        assert values.dtype == getattr(expected, name).dtype
        assert_array_equal(values, getattr(expected, name))
    assert found.digests == {}


def test_columns_are_named_and_rows_dropped_as_of_a_file():
    frame = polars().rename({"close": "mid of quotes", "time": "when"}).with_columns(score=pl.lit(2.5), risky=pl.lit(1))
    frame[3, "mid of quotes"] = None
    names = {"price": "mid of quotes", "time": "when", "risk": "risky", "extra": ["score"]}
    with pytest.raises(DataError, match="the frame, row 4, column 'mid of quotes': found no value"):
        History.from_frame(frame, **names)
    found = History.from_frame(frame, nan="drop", **names)
    assert (len(found), found.dropped) == (N - 1, 1)
    assert found.after_gap.nonzero()[0].tolist() == [3]
    assert_array_equal(found.column("score"), np.full(N - 1, 2.5))
    assert found.risk.dtype == np.uint8
    assert History.from_frame(frame.drop_nulls(), time="none", price="mid of quotes").time is None


def test_the_frame_is_copied():
    frame = polars()
    found = History.from_frame(frame)
    found.close[0] = 1.0
    assert frame["close"][0] == CLOSE[0]


def many_levels() -> pd.DataFrame:
    return pd.DataFrame(np.ones((3, 2)), columns=pd.MultiIndex.from_tuples([("Close", "GOOG"), ("Open", "GOOG")]))


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ({"close": [1.0, -2.0]}, "the frame, row 2, column 'close': found -2.0, expected a finite number above 0"),
        ({"x": [1.0, 2.0]}, "the frame: no price column, name one; the columns are 'x'"),
        ({"close": [[1.0], [2.0]]}, "the frame: column 'close' has type List"),
        ({"close": [1.0] * 3, "time": ["2024-01-02", "2024-01-01", "2024-01-03"]}, "the frame, row 2, column 'time'"),
        ({"close": [1.0, 2.0], "when": [1.7e9, 1.8e9]}, "the frame: column 'when'"),
        ({"close": [1.0]}, "the frame: 1 usable rows"),
        ({"close": [1.0, 2.0], "open": [1.0]}, "the frame cannot be read"),
        ({}, "the frame has no columns"),
        (pl.DataFrame({"close": pl.Series([object()], dtype=pl.Object)}), "the frame has no columns"),
        (pd.DataFrame({"close": [1.0, {}]}), "the frame cannot be read"),
        (pd.DataFrame([[1.0, 2.0]], columns=["close", "close"]), "the frame has two columns 'close'"),
        (many_levels(), r"the frame has columns of 2 levels, such as \('Close', 'GOOG'\)"),
    ],
)
def test_bad_frames_are_refused_by_row_and_column(frame, said):
    with pytest.raises(DataError, match=said) as caught:
        History.from_frame(frame)
    assert "/" not in str(caught.value).replace("date/time", "")


def test_a_named_column_of_objects_is_refused():
    frame = pl.DataFrame({"close": [1.0, 2.0], "p": pl.Series([object()] * 2, dtype=pl.Object)})
    with pytest.raises(DataError, match="the frame: column 'p' holds Python objects"):
        History.from_frame(frame, price="p")


@pytest.mark.parametrize(
    "thing", ["bars.csv", np.zeros(3), [1.0, 2.0], None, 3, pd.Series([1.0, 2.0], name="close"), pl.Series([1.0])]
)
def test_what_is_no_frame_is_refused(thing):
    with pytest.raises(InputError, match=r"^the frame is .*; expected a DataFrame of polars or pandas"):
        History.from_frame(thing)


# --- dates that do not begin with their year


@pytest.mark.parametrize(
    ("dates", "first"),
    [
        (["31/01/2024", "01/02/2024"], "2024-01-31"),
        (["01/02/2024", "13/02/2024"], "2024-02-01"),
        (["01/13/2024", "02/01/2024"], "2024-01-13"),
        (["31.01.24 09:30", "01.02.24 09:30"], "2024-01-31T09:30"),
        (["31-1-1999 9:30:00", "1-2-1999 9:30:00"], "1999-01-31T09:30"),
    ],
)
@pytest.mark.parametrize("name", ["date", "Datum"])
def test_dates_are_read_in_the_one_order_that_all_rows_allow(name, dates, first):
    found = History.from_frame({name: dates, "close": [1.0, 2.0]})
    assert found.time.view("datetime64[ns]")[0] == np.datetime64(first)


def test_dates_that_may_be_either_name_both():
    frame = {"date": ["01/02/2024", "02/02/2024"], "close": [1.0, 2.0]}
    with pytest.raises(DataError, match="may be 2024-02-01, day first or 2024-01-02, month first") as caught:
        History.from_frame(frame)
    for form, first in (("%d/%m/%Y", "2024-02-01"), ("%m/%d/%Y", "2024-01-02")):
        assert f"`time_format={form!r}`" in str(caught.value)  # and the advice is good
        assert History.from_frame(frame, time_format=form).time.view("datetime64[ns]")[0] == np.datetime64(first)
    for nonsense in ("40/50/2024", "ab/cd/2024"):
        with pytest.raises(IdiFastError) as caught:
            History.from_frame({"date": [nonsense, nonsense], "close": [1.0, 2.0]})
        assert "first" not in str(caught.value)


def test_no_room_for_a_frame_s_file():
    resource = pytest.importorskip("resource")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # Python ignores the signal: a write fails
    try:
        with pytest.raises(WriteError, match=r"cannot write .*frame\.parquet: File too large"):
            History.from_frame(polars())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


# --- frames in place of a history


class Stream:
    """A frame that only hands out a stream, as DuckDB's and others' do."""

    def __init__(self, frame: pl.DataFrame):
        self._frame, self.columns = frame, frame.columns

    def __arrow_c_stream__(self, requested_schema=None):
        return self._frame.__arrow_c_stream__(requested_schema)


def test_a_frame_of_any_kind_and_the_file_give_the_same_policy(tmp_path):
    import idi_fast as idi

    rng = np.random.default_rng(5)
    times = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 20), "1h", eager=True)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, len(times))))
    frame = pl.DataFrame({"Date": times, "Close": close, "Volume": rng.integers(1, 99, len(times))})
    frame.write_csv(tmp_path / "bars.csv")
    frame.write_parquet(tmp_path / "bars.parquet")
    kinds = {
        "polars": frame,
        "lazy": frame.lazy(),
        "pandas": frame.to_pandas().set_index("Date"),
        "arrow": frame.to_arrow(),
        "any stream": Stream(frame),
        "dict": frame.to_dict(),
        "csv": idi.load_history(tmp_path / "bars.csv"),
        "parquet": idi.load_history(tmp_path / "bars.parquet"),
    }
    config = {"episodes": 8, "episode_length": 16}
    found = {name: idi.train(config, bars, seed=2).policy.identity()["tables_sha256"] for name, bars in kinds.items()}
    assert len(set(found.values())) == 1, found
    run = idi.train(config, frame, seed=2)
    assert idi.backtest(run.policy, frame.to_arrow()).kpis == idi.backtest(run.policy, kinds["csv"]).kpis
    assert idi.evaluate(run.policy, frame.to_pandas()).in_sample


def test_arrays_and_back():
    times = ["2024-01-01", "2024-01-02", "2024-01-03"]
    bars = History.from_arrays(
        [1.0, 2.0, 3.0], time=times, open=[1, 2, 3], high=[2, 3, 4], low=[1, 1, 1], own=[7, 8, 9]
    )
    assert list(bars.columns) == ["time", "close", "open", "high", "low", "own"]
    again = History.from_frame(bars.to_frame(), extra=["own"])
    for name in bars.columns:
        assert_array_equal(again.column(name), bars.column(name))
    assert History.from_arrays([1.0, 2.0]).time is None
    part = bars.between("2024-01-02", None)
    assert (len(part), part.close[0]) == (2, 2.0)
    with pytest.raises(DataError, match="no bar lies from 2030-01-01T00:00:00Z; the history has bars from 2024-01-01"):
        bars.between("2030-01-01", None)
    with pytest.raises(DataError, match=r"close has the shape \(1, 2\); expected one dimension"):
        History.from_arrays([[1.0, 2.0]])
    with pytest.raises(InputError, match="the history has no times"):
        History.from_arrays([1.0, 2.0]).between("2024-01-02", None)
