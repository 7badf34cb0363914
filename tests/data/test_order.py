"""The order of bars: newest first, out of order, and repeated rows."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from examples import examples
from history_files import assert_mentions, refusal, text
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from idi_fast.data.loading import load_history, open_history


def write(path: Path, rows: list[tuple[int, float]]) -> Path:
    return text(path, "\n".join(["time,close", *(f"{1_700_000_000 + time},{close}" for time, close in rows)]))


CHUNKS = st.sampled_from([1, 2, 7, 1000])


@settings(max_examples=examples(40), deadline=None)
@given(st.sets(st.integers(0, 10**6), min_size=2, max_size=60), st.randoms(use_true_random=False), CHUNKS)
def test_sorting_and_turning_round_give_the_bars_in_order(times, random, rows):
    bars = [(time, 1.0 + time) for time in sorted(times)]
    shuffled = list(bars)
    random.shuffle(shuffled)
    with TemporaryDirectory() as folder:
        plain = load_history(write(Path(folder) / "a.csv", bars))
        for name, order, options in (("b", bars[::-1], {}), ("c", shuffled, {"sort": True})):
            path = write(Path(folder) / f"{name}.csv", order)
            found = load_history(path, **options)
            assert_array_equal(found.time, plain.time)
            assert_array_equal(found.close, plain.close)
        chunks = list(open_history(Path(folder) / "b.csv").chunks(rows))
        assert_array_equal(np.concatenate([chunk.close for chunk in chunks]), plain.close)


def test_gaps_stay_where_they_are_when_turned_round(tmp_path):
    lines = [f"2024-01-{day:02d},{'' if day in (3, 4, 9) else day}" for day in range(1, 10)]
    plain = load_history(text(tmp_path / "a.csv", "\n".join(["time,close", *lines])), nan="drop")
    path = text(tmp_path / "b.csv", "\n".join(["time,close", *reversed(lines)]))
    for rows in (1, 2, 3, 100):
        chunks = list(open_history(path, nan="drop").chunks(rows))
        assert_array_equal(np.concatenate([chunk.close for chunk in chunks]), plain.close)
        assert_array_equal(np.concatenate([chunk.after_gap for chunk in chunks]), plain.after_gap)


def test_rows_of_many_files_are_sorted_together(tmp_path):
    write(tmp_path / "d" / "april.csv", [(30, 4.0), (40, 5.0)])
    write(tmp_path / "d" / "january.csv", [(10, 2.0), (0, 1.0), (20, 3.0)])
    message = refusal(tmp_path / "d")
    assert_mentions(message, "january.csv, row 1", "is earlier than", "april.csv, row 2", "`sort=True`")
    assert_array_equal(load_history(tmp_path / "d", sort=True).close, [1, 2, 3, 4, 5])
    write(tmp_path / "d" / "march.csv", [(10, 2.5)])
    message = refusal(tmp_path / "d", sort=True, duplicates="drop")
    assert_mentions(message, "march.csv, row 1", "repeats", "january.csv, row 1")


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_copies_are_dropped_if_asked(tmp_path, rows):
    bars = [(0, 1.0), (0, 1.0), (0, 1.0), (10, 2.0), (20, 3.0), (20, 3.0)]
    path = write(tmp_path / "x.csv", bars)
    assert_mentions(refusal(path), "row 2, column 'time'", "repeats", "the rows are equal", "`duplicates='drop'`")
    chunks = list(_opened(path).chunks(rows))
    assert_array_equal(np.concatenate([chunk.close for chunk in chunks]), [1, 2, 3])
    found = load_history(path, duplicates="drop")
    assert (found.dropped, found.copies) == (3, 3)
    assert not found.after_gap.any()
    message = refusal(write(tmp_path / "y.csv", [*bars, (20, 4.0)]), duplicates="drop")
    assert_mentions(message, "row 7, column 'time'", "repeats")
    assert "equal" not in message


def _opened(path: Path):
    from idi_fast.config.read_options import ReadOptions

    return open_history(path, options=ReadOptions(duplicates="drop"))


def test_gaps_lie_between_the_same_bars_in_any_order(tmp_path):
    rows = {day: f"2024-01-{day:02d},{'' if day == 3 else day}" for day in (1, 2, 3, 4, 5)}
    for name, order in (("a", (1, 2, 3, 4, 5)), ("b", (5, 4, 3, 2, 1))):
        path = text(tmp_path / f"{name}.csv", "\n".join(["time,close", *(rows[day] for day in order)]))
        for sort in (False, True):
            assert load_history(path, nan="drop", sort=sort).after_gap.tolist() == [False, False, True, False]


def test_the_gap_before_a_copy_is_one_before_the_next_bar(tmp_path):
    path = text(tmp_path / "x.csv", "time,close\n2024-01-01,1\n2024-01-02,\n2024-01-01,1\n2024-01-03,3\n")
    found = load_history(path, nan="drop", duplicates="drop")
    assert (found.close.tolist(), found.after_gap.tolist(), found.dropped) == ([1, 3], [False, True], 2)
