"""Candles: bars merged as they arrive are those merged at once, and each is what its bars are."""

from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from market_data import history, random_walk

from idi_fast.data import candles
from idi_fast.data.candles import Candles, candle_frame, has_more_than_closes
from idi_fast.data.history import History

WALK = random_walk(90)
HIGH, LOW = np.maximum(WALK.open, WALK.close) * 1.01, np.minimum(WALK.open, WALK.close) * 0.99
BARS = History.from_arrays(
    WALK.close, time=WALK.time.view("datetime64[ns]"), open=WALK.open, high=HIGH, low=LOW, volume=WALK.volume
)


def by_hand(bars, size: int) -> list[dict]:
    """Candles of so many bars each."""
    return [
        {
            "tick": first,
            "open": bars.open[first],
            "high": max(bars.high[first : first + size]),
            "low": min(bars.low[first : first + size]),
            "close": bars.close[min(first + size, len(bars)) - 1],
            "volume": sum(bars.volume[first : first + size]),
            "bars": min(size, len(bars) - first),
        }
        for first in range(0, len(bars), size)
    ]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(1, 20))
def test_candles_are_the_same_however_the_bars_arrive(parts, most):
    made, first = Candles(), 0
    with mock.patch.object(candles, "MOST_CANDLES", most):
        for n in parts:
            made.push(BARS.slice(first, first + n))
            first = min(first + n, len(BARS))
        frame = made.frame()
    bars, size = BARS.slice(0, first), 1
    while -(-first // size) > most:
        size *= 2
    expected = by_hand(bars, size)
    assert frame.height == len(expected) <= most
    for row, wanted in zip(frame.drop("time").iter_rows(named=True), expected, strict=True):
        volume = wanted.pop("volume")
        # Summed in another order: not the same bits.
        assert abs(row.pop("volume") - volume) <= 1e-12 * volume
        assert row == wanted
    assert frame["time"].dt.epoch("ns").to_list() == bars.time[::size].tolist()


def test_a_history_of_closes_has_no_candles():
    closes = history([1.0, 2.0, 3.0])
    assert not has_more_than_closes(closes)
    assert candle_frame(closes).columns == ["tick", "close", "bars"]
    assert has_more_than_closes(BARS)
    assert has_more_than_closes(history([1.0, 2.0], volume=[3.0, 4.0]))
    assert not has_more_than_closes(BARS.slice(0, 0))
    made = Candles()
    made.push(BARS.slice(0, 0))
    assert not made.is_more_than_closes
