"""Whether a backtest knows the bars its policy was trained on."""

import numpy as np
import pytest
from market_data import history, random_walk

from idi_fast.data.in_sample import describe_history, is_in_sample
from idi_fast.data.loading import load_history
from idi_fast.data.timestamps import iso_time

DAY = 86_400 * 10**9
BARS = random_walk(500, seed=4)
TRAINED = describe_history(BARS.slice(0, 300))


def without_times(bars):
    return history(bars.close)


@pytest.mark.parametrize(
    ("shown", "answer"),
    [
        (BARS.slice(0, 300), True),
        (BARS.slice(250, 500), True),
        (BARS.slice(296, 500), True),  # less than a sampled distance of overlap
        (BARS.slice(300, 500), False),
        (random_walk(500, seed=5), False),  # the same days of another market
        (without_times(BARS.slice(0, 300)), True),
        (without_times(BARS.slice(300, 500)), None),  # perhaps some were seen: it cannot be told
    ],
)
def test_bars_are_known_again(shown, answer):
    assert is_in_sample([TRAINED], shown) is answer


STRANGE, UNTOLD = describe_history(random_walk(500, seed=6)), describe_history(without_times(random_walk(500, seed=6)))


@pytest.mark.parametrize(
    ("known", "answer"),
    [
        ([], False),
        ([TRAINED, STRANGE], True),
        ([STRANGE, TRAINED], True),
        ([UNTOLD, TRAINED], True),
        ([UNTOLD, STRANGE], None),
        ([STRANGE], False),
    ],
)
def test_bars_of_any_description_are_known_again(known, answer):
    assert is_in_sample(known, BARS) is answer


def test_bars_without_times_are_known_again_by_their_prices_or_file(tmp_path):
    trained = describe_history(without_times(BARS))
    assert is_in_sample([trained], BARS) is True
    assert is_in_sample([trained], without_times(random_walk(500, seed=6))) is None
    (tmp_path / "x.csv").write_text("close\n1\n2\n3\n")
    loaded = load_history(tmp_path / "x.csv")
    assert is_in_sample([describe_history(loaded)], loaded.slice(1, 3)) is True


def test_bars_less_than_a_second_apart_are_told_apart():
    close = np.linspace(1.0, 2.0, 20)
    bars = history(close, time=np.arange(20) * 10**8)
    assert is_in_sample([describe_history(bars.slice(0, 10))], bars.slice(10, 20)) is False
    assert is_in_sample([describe_history(bars.slice(0, 11))], bars.slice(10, 20)) is True


def test_the_digest_is_that_of_the_file_as_it_was_read(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("close\n1\n2\n")
    loaded = load_history(path)
    path.write_text("close\n3\n4\n")
    assert describe_history(loaded)["files"] != load_history(path).digests
    assert describe_history(loaded)["files"][str(path)]["bytes"] == 10


def test_times_are_written_as_short_as_they_are_exact():
    assert iso_time(DAY) == "1970-01-02T00:00:00Z"
    assert iso_time(1) == "1970-01-01T00:00:00.000000001Z"
