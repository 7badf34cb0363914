"""The frequency of bars: how many make a year, and when that is unknown."""

import math
import re
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kernel_strategies import CHUNKS, pieces

from idi_fast.data.bar_frequency import DAY_NS, YEAR_NS, BarFrequency, BarTimes
from idi_fast.errors import InputError

HOUR_NS = DAY_NS // 24


def frequency_of(time: np.ndarray, chunks=(10**9,), year_days: float | None = None) -> BarFrequency:
    made = BarTimes(year_days)
    for piece in pieces(time.size, list(chunks)):
        made.push(time[piece])
    return made.frequency()


def test_bars_per_year_of_365_days():
    frequency = frequency_of(np.arange(366) * DAY_NS)
    assert frequency == BarFrequency(365.0, None, 1.0, None)
    assert frequency_of(np.arange(100) * HOUR_NS).periods_per_year == 365 * 24


def test_trading_days_times_the_median_day():
    # Five days of seven, with bars at 14 to 20 o'clock; the second day has one bar less, the first begins late.
    hours = [day * 24 + hour for day in range(40) if day % 7 < 5 for hour in range(14, 21)]
    time = np.array(hours[3:9] + hours[10:]) * HOUR_NS
    assert frequency_of(time, year_days=252).periods_per_year == 252 * 7
    assert frequency_of(time).periods_per_year == (time.size - 1) * YEAR_NS / (time[-1] - time[0])
    assert frequency_of(time - 100 * 365 * DAY_NS, year_days=252).periods_per_year == 252 * 7  # before 1970


def test_days_without_bars_are_no_days():
    weekdays = np.array([day for day in range(300) if day % 7 < 5]) * DAY_NS
    assert frequency_of(weekdays, year_days=252).periods_per_year == 252


def test_a_median_between_two_days():
    time = np.array([0, 1, 2, 3, 24, 25, 26, 27, 28]) * HOUR_NS
    assert frequency_of(time, year_days=200).periods_per_year == 200 * 4.5


def test_irregular_bars_are_not_annualised():
    time = np.cumsum(np.random.default_rng(0).exponential(60e9, 100_000)).astype(np.int64)
    frequency = frequency_of(time)
    assert math.isnan(frequency.periods_per_year)
    assert re.match(r"the bars are irregular: only 1\d% of the spacings lie within a fifth", frequency.why_not)
    assert frequency.years == (time[-1] - time[0]) / YEAR_NS  # growth takes no regular bars


def test_months_are_regular():
    months = np.arange("2012-01", "2025-01", dtype="datetime64[M]").astype("datetime64[ns]").astype(np.int64)
    assert frequency_of(months).periods_per_year == pytest.approx(12, rel=1e-2)


def test_the_first_spacings_decide():
    regular = np.arange(65_537) * HOUR_NS
    later = regular[-1] + np.cumsum(np.random.default_rng(0).exponential(1e12, 200_000)).astype(np.int64) + 1
    assert frequency_of(np.concatenate([regular, later])).why_not is None
    assert frequency_of(np.concatenate([regular[:20_000], later])).why_not is not None


def test_half_of_the_spacings_within_a_fifth_are_enough():
    time = np.cumsum([0, 10, 10, 12, 1, 30]) * HOUR_NS  # 3 of 5, one of them a fifth above
    assert frequency_of(time).why_not is None
    assert frequency_of(time + np.array([0, 0, 0, 1, 1, 1])).why_not is not None


def test_no_spacing_after_the_first_counts():
    time = np.cumsum([0, 10, 1, 30, 10, 3, 5, 7]) * HOUR_NS
    for spacings, is_regular in ((3, False), (4, True), (6, False)):  # 1 of 3, 2 of 4, none of 6 lie within a fifth
        with mock.patch("idi_fast.data.bar_frequency.SPACINGS", spacings):
            assert (frequency_of(time).why_not is None) == is_regular


def test_rarer_bars_than_days_have_no_trading_days():
    frequency = frequency_of(np.arange(100) * 7 * DAY_NS, year_days=252)
    assert frequency.why_not == "year_days counts the bars of a day, and these are 7 days apart"
    assert frequency_of(np.arange(100) * 7 * DAY_NS).periods_per_year == 365 / 7


def test_no_growth_in_less_than_thirty_days():
    assert frequency_of(np.arange(31) * DAY_NS).years == 30 / 365
    frequency = frequency_of(np.arange(30) * DAY_NS)
    assert math.isnan(frequency.years)
    assert frequency.why_no_growth == "the bars span 29 days; a growth per year takes 30"
    assert frequency.periods_per_year == 365.0


@pytest.mark.parametrize("time", [[], [5]])
def test_too_few_times(time):
    frequency = frequency_of(np.array(time, np.int64))
    assert math.isnan(frequency.periods_per_year)
    assert math.isnan(frequency.years)
    assert frequency.why_not == frequency.why_no_growth == "fewer than 2 bars have a time"


@given(st.lists(st.integers(1, 3 * 10**13), max_size=60), CHUNKS, st.none() | st.just(252))
@example([HOUR_NS] * 60, [7], 252)
def test_chunks_change_no_bit(spacings, chunks, year_days):
    time = np.cumsum(spacings, dtype=np.int64)
    with mock.patch("idi_fast.data.bar_frequency.SPACINGS", 20):
        assert repr(frequency_of(time, chunks, year_days)) == repr(frequency_of(time, year_days=year_days))


def test_what_makes_no_sense_is_refused():
    for year_days in (0, -1, 367, math.nan):
        with pytest.raises(InputError, match=r"year_days is .*; expected a number from 1 to 366"):
            BarTimes(year_days)
    late = BarTimes()
    late.push(np.array([1, 2]))
    with pytest.raises(InputError, match="bar 2 has the time 2 ns, the one before it 2 ns; expected a later one"):
        late.push(np.array([2, 3]))


# ---- what makes the bars of a year doubtful

MINUTE_NS = HOUR_NS // 60
MONDAY = 19_723  # 2024-01-01


def sessions(days, first: int = 9 * 60 + 30, stop: int = 16 * 60, step: int = 1, weekdays: int = 5) -> np.ndarray:
    """Bars of each `step` minutes of a day's session, on the first days of each week; days: counted from a Monday."""
    minutes = [(MONDAY + day) * 1440 + at for day in days if day % 7 < weekdays for at in range(first, stop, step)]
    return np.array(minutes, np.int64) * MINUTE_NS


def test_a_week_of_sessions_is_no_week_of_a_market_that_never_closes():
    time = sessions(range(5))
    frequency = frequency_of(time)
    assert frequency.periods_per_year > 1.5 * 252 * 390
    assert frequency.caution == (
        f"annualised figures assume a year of {frequency.periods_per_year:,.0f} bars, by the first and the last time, "
        "but they span 4.27 days, which may leave out days without trading; `year_days=252` would make it 98,280, as "
        "of a market that closes at weekends"
    )
    assert frequency_of(time, year_days=252).caution is None


def test_a_hole_of_months_is_pointed_out():
    day = np.array([day for day in range(365) if not 100 <= day < 190])
    time = sessions(day, 0, 1440, 5, weekdays=7)
    frequency = frequency_of(time)
    assert frequency.periods_per_year == pytest.approx(275 * 288, rel=1e-2)
    assert frequency.caution.endswith(
        "there is no bar on 90 days in a row; `year_days=365` would make it 105,120, as of a market that never closes"
    )
    time = sessions(day, 9 * 60 + 30, 16 * 60, 5)
    assert frequency_of(time).periods_per_year == pytest.approx(275 / 365 * 261 * 78, rel=1e-2)
    assert frequency_of(time).caution.endswith(
        "days in a row; `year_days=252` would make it 19,656, as of a market that closes at weekends"
    )
    assert frequency_of(time, year_days=252).periods_per_year == 19_656


ROUND_THE_CLOCK = {"first": 0, "stop": 1440, "step": 5, "weekdays": 7}


def test_bars_of_less_than_a_week_may_be_of_either_market():
    assert frequency_of(sessions(range(4), **ROUND_THE_CLOCK)).caution.endswith(
        "`year_days=252` would make it 72,576 (of a market that closes at weekends), `year_days=365` 105,120 (of one "
        "that never does)"
    )
    # A Saturday tells which.
    assert frequency_of(sessions(range(3, 8), **ROUND_THE_CLOCK)).caution is None
    assert frequency_of(sessions(range(3, 9), **{**ROUND_THE_CLOCK, "weekdays": 5})).caution is None


def test_a_currency_market_opens_on_sunday_evening():
    """By UTC: from Sunday, 22 o'clock, to Friday, 22 o'clock, which is as much as five days."""
    hours = np.arange(24 * 7 * 60)
    of_week = hours % 168
    is_open = (of_week < 4 * 24 + 22) | (of_week >= 6 * 24 + 22)
    is_hole = (hours > 24 * 7 * 20) & (hours < 24 * 7 * 32)
    time = (MONDAY * 24 + hours[is_open & ~is_hole]) * HOUR_NS
    assert "`year_days=252` would make it 6,048, as of" in frequency_of(time).caution
    assert frequency_of((MONDAY * 24 + hours[is_open]) * HOUR_NS).caution is None


HOLIDAYS = {7 * week + 2 for week in range(0, 52, 6)}  # nine Wednesdays


@pytest.mark.parametrize(
    ("days", "options", "is_doubtful"),
    [
        (range(365), {}, False),
        ([day for day in range(365) if day not in HOLIDAYS], {}, False),
        (range(3 * 365), {"step": 60}, False),
        (range(60), {}, False),
        (range(12), {}, True),
        (range(19), {}, True),
        ([*range(40), *range(200, 240)], {}, True),
        # Day and night.
        (range(365), {"first": 0, "stop": 1440, "step": 5, "weekdays": 7}, False),
        (range(20), {"first": 0, "stop": 1440, "step": 5, "weekdays": 7}, False),
        (range(5), {"first": 0, "stop": 1440, "step": 5, "weekdays": 7}, True),
        (range(365), {"first": 0, "stop": 1440, "step": 60, "weekdays": 5}, False),
        # A bar a day.
        (range(3 * 365), {"stop": 600, "step": 60}, False),
        (range(365), {"stop": 600, "step": 60, "weekdays": 7}, False),
        ([*range(200), *range(400, 600)], {"stop": 600, "step": 60}, True),
        # A bar a week.
        (range(3 * 365), {"stop": 600, "step": 60, "weekdays": 1}, False),
        ([*range(200), *range(330, 600)], {"stop": 600, "step": 60, "weekdays": 1}, False),
        ([*range(200), *range(400, 600)], {"stop": 600, "step": 60, "weekdays": 1}, True),
    ],
)
def test_what_makes_a_year_doubtful(days, options, is_doubtful):
    assert (frequency_of(sessions(days, **options)).caution is not None) == is_doubtful


GAP = [day for day in range(3 * 365) if not 400 <= day < 430]


@pytest.mark.parametrize("options", [ROUND_THE_CLOCK, {"step": 60}, {"stop": 600, "step": 60}])
def test_a_gap_that_changes_no_figure_is_pointed_out(options):
    """A month of three years is less than a tenth."""
    caution = frequency_of(sessions(GAP, **options)).caution
    assert caution == "there is no bar on 30 days in a row, from 2025-02-04 on: positions are held across them"
    assert frequency_of(sessions(GAP, **options), year_days=252).caution == caution
    assert frequency_of(sessions([day for day in range(365) if not 100 <= day < 110], **options)).caution is None


def test_months_and_irregular_bars_are_not_doubted():
    months = np.arange("2012-01", "2025-01", dtype="datetime64[M]").astype("datetime64[ns]").astype(np.int64)
    assert frequency_of(months).caution is None
    irregular = np.cumsum(np.random.default_rng(0).exponential(60e9, 1000)).astype(np.int64)
    assert frequency_of(irregular).caution is None
