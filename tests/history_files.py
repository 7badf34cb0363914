"""Small price files for tests of the loader."""

from pathlib import Path

import polars as pl
import pytest
from numpy.testing import assert_array_equal

from idi_fast.data.loading import load_history
from idi_fast.errors import DataError

DAY_NS = 86_400 * 10**9
JAN_1 = 1_704_067_200 * 10**9  # 2024-01-01 UTC

# Daily bars as the common exporters write them, the index unnamed.
DAILY = """\
,Open,High,Low,Close,Volume
2004-08-19,100,104.06,95.96,100.34,22351900
2004-08-20,101.01,109.08,100.5,108.31,11428600
2004-08-23,110.75,113.48,109.05,109.4,9137200
2004-08-24,111.24,111.6,103.57,104.87,7631300
"""
HOURLY = """\
,Open,High,Low,Close,Volume
2017-04-19 09:00:00,1.0716,1.0722,1.07083,1.07219,1413
2017-04-19 10:00:00,1.07214,1.07296,1.07214,1.0726,1241
2017-04-19 11:00:00,1.07256,1.07299,1.0717,1.07192,1025
"""


def text(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet(path: Path, **columns) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(columns).write_parquet(path)
    return path


def refusal(path: Path, **options) -> str:
    """Return the text of the refusal, checked to be one sentence on one line."""
    with pytest.raises(DataError) as caught:
        load_history(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert "Traceback" not in message
    return message


def assert_mentions(message: str, *parts: object) -> None:
    for part in parts:
        assert str(part) in message


def assert_equal_histories(left, right) -> None:
    for field in ("close", "open", "volume", "time", "risk", "after_gap"):
        a, b = getattr(left, field), getattr(right, field)
        assert (a is None) == (b is None), field
        if a is not None:
            assert a.dtype == b.dtype
            assert_array_equal(a, b)
    assert list(left.extra) == list(right.extra)
    for name in left.extra:
        assert_array_equal(left.extra[name], right.extra[name])
    assert left.dropped == right.dropped


def table(path: Path, name: str, values, rows: int | None = None) -> Path:
    """A CSV of a column of a name beside one of closes."""
    values = list(values)
    lines = [f'"{value}",{1 + row % 7}' for row, value in enumerate(values[:rows])]
    return text(path / "x.csv", "\n".join([f"{name},close", *lines, ""]))
