"""Price histories: the loaded result, and properties of any history."""

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from examples import examples
from history_files import assert_equal_histories, parquet, refusal, text
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from idi_fast.data.loading import load_history
from idi_fast.errors import DataError


def history_of_all_columns(folder: Path):
    path = parquet(
        folder / "x.parquet",
        time=[10**9, 10**9 + 1, 10**9 + 2, 10**9 + 3],
        close=[1.0, 2.0, 3.0, 4.0],
        open=[1.5, 2.5, 3.5, 4.5],
        volume=[0, 1, 2, 3],
        flag=[True, False, True, False],
        more=[-1, 0, 1, 2],
    )
    return load_history(path, risk="flag", extra=["more"])


def test_arrays_have_one_layout(tmp_path):
    whole = history_of_all_columns(tmp_path)
    kinds = {"close": "f8", "open": "f8", "volume": "f8", "time": "i8", "risk": "u1", "more": "f8"}
    for history in (whole, whole.slice(1, 3)):
        arrays = {name: history.column(name) for name in kinds} | {"after_gap": history.after_gap}
        for name, values in arrays.items():
            assert values.dtype == np.dtype(kinds.get(name, "?"))
            assert values.shape == (len(history),)
            assert values.flags.c_contiguous
            assert values.flags.writeable
            assert values.flags.aligned


def test_histories_are_frozen(tmp_path):
    history = history_of_all_columns(tmp_path)
    with pytest.raises(dataclasses.FrozenInstanceError):
        history.close = history.open


def test_column_refuses_what_is_not_there(tmp_path):
    history = history_of_all_columns(tmp_path)
    with pytest.raises(DataError, match=r"no column 'volum'.*'close'.*Did you mean 'volume'"):
        history.column("volum")
    lean = load_history(text(tmp_path / "x.csv", "close\n1\n2\n"))
    with pytest.raises(DataError, match="no column 'volume', only 'close'"):
        lean.column("volume")


@pytest.mark.parametrize(("start", "stop"), [(0, 4), (1, 3), (2, None), (None, -1), (3, 3)])
def test_slices_are_views_of_the_same_bars(tmp_path, start, stop):
    whole = history_of_all_columns(tmp_path)
    part = whole.slice(start, stop)
    for name in whole.columns:
        assert_array_equal(part.column(name), whole.column(name)[start:stop])
        assert part.column(name).base is not None
    assert_array_equal(part.after_gap, whole.after_gap[start:stop])
    assert (part.columns, part.files, part.dropped) == (whole.columns, whole.files, whole.dropped)
    assert load_history(text(tmp_path / "x.csv", "close\n1\n2\n")).slice(0, 1).volume is None


# ---- properties


@st.composite
def bars(draw) -> dict[str, list]:
    n = draw(st.integers(2, 30))
    price = st.floats(min_value=5e-324, max_value=1.7e308, allow_subnormal=True)
    steps = draw(st.lists(st.integers(1, 10**12), min_size=n, max_size=n))
    start = draw(st.integers(-(10**14), 3 * 10**15))
    first = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=start)
    moments = [first + timedelta(microseconds=int(step)) for step in np.cumsum(steps)]
    return {
        "time": moments,
        "open": draw(st.lists(price, min_size=n, max_size=n)),
        "close": draw(st.lists(price, min_size=n, max_size=n)),
        "volume": draw(st.lists(st.floats(0, 1e300), min_size=n, max_size=n)),
        "more": draw(st.lists(st.floats(-1e300, 1e300), min_size=n, max_size=n)),
        "flag": draw(st.lists(st.booleans(), min_size=n, max_size=n)),
    }


@given(bars(), st.data())
@settings(deadline=None, max_examples=examples(60))
def test_csv_parquet_and_split_files_load_alike(tmp_path_factory, table, data):
    folder = tmp_path_factory.mktemp("bars")
    frame = pl.DataFrame(table)
    frame.write_parquet(folder / "x.parquet")
    frame.write_csv(folder / "x.csv")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(frame)), max_size=3)))
    for i, (start, stop) in enumerate(zip([0, *cuts], [*cuts, len(frame)], strict=True)):
        for kind in ("csv", "parquet"):
            (folder / kind).mkdir(exist_ok=True)
        frame[start:stop].write_csv(folder / "csv" / f"{i}.csv")
        frame[start:stop].write_parquet(folder / "parquet" / f"{i}.parquet")
    options = {"risk": "flag", "extra": ["more"]}
    whole = load_history(folder / "x.parquet", **options)
    for name in ("open", "close", "volume", "more"):
        assert_array_equal(whole.column(name), table[name])
    assert_array_equal(whole.time, frame["time"].dt.epoch("ns"))
    assert_array_equal(whole.risk, table["flag"])
    for other in ("x.csv", "csv", "parquet", "csv/*.csv"):
        assert_equal_histories(whole, load_history(folder / other, **options))


@given(st.lists(st.sampled_from([1.5, 2.0, None, float("nan")]), min_size=2, max_size=40), st.integers(0, 40))
@settings(deadline=None, max_examples=examples(60))
def test_dropping_keeps_what_is_there(tmp_path_factory, prices, cut):
    """Against the definition, bar by bar; the input is split at any row."""
    folder = tmp_path_factory.mktemp("gaps")
    for name, part in (("1", prices[:cut]), ("2", prices[cut:])):
        parquet(folder / f"{name}.parquet", close=pl.Series(part, dtype=pl.Float64))
    kept = [i for i, price in enumerate(prices) if price in (1.5, 2.0)]
    if len(kept) < 2:
        assert "usable rows" in refusal(folder, nan="drop")
        return
    history = load_history(folder, nan="drop")
    assert_array_equal(history.close, [prices[i] for i in kept])
    assert_array_equal(history.after_gap, [i > 0 and i - 1 not in kept for i in kept])
    assert history.dropped == len(prices) - len(kept)
